"""Raw values as files, environment and flags have them: what kind each must be of.

Every function raises `ConfigError` with a reason only; whoever knows the place puts it before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from gossip.config.values import parse_bool
from gossip.errors import ConfigError

__all__ = ["number", "path", "rate", "switch", "text", "texts"]

MAX_RATE: Final = 1_000_000


def text(value: object) -> str:
    """One text."""
    if not isinstance(value, str):
        raise ConfigError("it must be text in quotes")
    return value


def number(value: object) -> str:
    """Text, or a number written as one in a file."""
    return str(value) if type(value) is int else text(value)


def rate(value: object) -> int:
    """So many a second; 0: without a limit."""
    found = str(value).strip()
    if isinstance(value, bool) or not (
        found.isascii() and found.isdigit() and len(found) <= 7 and int(found) <= MAX_RATE
    ):
        raise ConfigError(
            f"{found!r} is no rate: a whole number a second up to {MAX_RATE}, or 0 for no limit"
        )
    return int(found)


def texts(value: object) -> list[str]:
    """One text, or a list of such with one at least."""
    values: list[object] = value if isinstance(value, list) else [value]
    found = [item.strip() for item in values if isinstance(item, str)]
    if not found or len(found) < len(values):
        raise ConfigError("it must be text in quotes, or a list of such")
    return found


def switch(value: object) -> bool:
    """Yes or no."""
    if isinstance(value, bool):
        return value
    return parse_bool(value if isinstance(value, str) else repr(value))


def path(value: object) -> Path:
    """The path of something that is there, or will be."""
    given = text(value)
    if not given or "\0" in given:
        raise ConfigError(f"{given!r} is no path")
    return Path(given)
