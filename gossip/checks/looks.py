"""Which module looks at which kind of check; each is loaded, in a thread, when the first of its kind runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gossip.checks.finding import Finding
    from gossip.config.checks import CheckDefinition

__all__ = ["look"]

_MODULES: Final = ("http", "tcp", "grpc", "command", "container")
_found: dict[str, Callable[[CheckDefinition], Awaitable[Finding]]] = {}


async def look(check: CheckDefinition) -> Finding:
    """Looks once, without a bound on the time that it takes."""
    if check.kind not in _found:
        assert check.kind in _MODULES  # noqa: S101 - the others do not run
        # The libraries behind some take tens of milliseconds to load, which gossip would wait for.
        module = await trio.to_thread.run_sync(import_module, f"gossip.checks.{check.kind}")
        _found[check.kind] = module.look
    return await _found[check.kind](check)
