"""What a message calls a task."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["name_of", "names_of"]

LENGTH = 120
"""Characters of a name."""
NAMED = 4
"""Tasks that one message names."""


def name_of(task: object) -> str:
    """The task's key, if it has one, else its `repr`."""
    key = getattr(task, "key", None)
    name = key if isinstance(key, str) else repr(task)
    return name if len(name) <= LENGTH else f"{name[:LENGTH]}..."


def names_of(tasks: Iterable[object]) -> str:
    """The first few by name, the others by number."""
    some = list(tasks)
    more = f" and {len(some) - NAMED} more" if len(some) > NAMED else ""
    return ", ".join(name_of(task) for task in some[:NAMED]) + more
