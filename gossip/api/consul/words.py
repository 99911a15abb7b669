"""What Consul says: refusals with their status and sentence, and how Go reads durations and truth."""

from __future__ import annotations

import re
from typing import Final

from gossip.errors import LocalProtocolError

__all__ = ["PLAIN", "Refusal", "parse_bool", "parse_duration", "show_duration"]

PLAIN: Final = "text/plain; charset=utf-8"
"""The content type of errors."""

_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([a-zµμ]*)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


class Refusal(LocalProtocolError):  # noqa: N818 - it is an answer
    """An answer that is an error, as Consul would word it."""

    kind = "refused"

    def __init__(self, status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


def show_duration(seconds: float) -> str:
    """As Go prints a `time.Duration`: `1h0m0s`, `1m30s`, `10s`, `1.5s`, `100ms`; empty for none."""
    if seconds <= 0:
        return ""
    if seconds < 1:
        return f"{round(seconds * 1000, 6):g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{round(rest, 9):g}s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def parse_bool(text: str) -> bool | None:
    """As Go's `strconv.ParseBool`; None if it is neither."""
    return True if text in _TRUE else False if text in _FALSE else None


def parse_duration(text: str) -> float:
    """Seconds, as Go's `time.ParseDuration` reads them: `1h30m`, `1.5s`, `100ms`, `0`.

    Raises:
        ValueError: it is none, in Go's words.
    """
    shown = text[:64]
    sign, rest = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    if rest == "0":
        return 0.0
    parts = _PART.findall(rest)
    if not parts or "".join(number + unit for number, unit in parts) != rest or len(rest) > 64:
        raise ValueError(f'time: invalid duration "{shown}"')
    seconds = 0.0
    for number, unit in parts:
        if not unit:
            raise ValueError(f'time: missing unit in duration "{shown}"')
        if unit not in _SECONDS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{shown}"')
        seconds += float(number) * _SECONDS[unit]
    if seconds > 9.2e9:
        raise ValueError(f'time: invalid duration "{shown}"')
    return -seconds if sign == "-" else seconds
