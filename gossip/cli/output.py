"""How answers look: aligned columns for people, JSON for programs, one line for what went wrong."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "STATUS_COLOUR",
    "Cell",
    "age",
    "clock",
    "complain",
    "counted",
    "paint",
    "plain",
    "say",
    "say_json",
    "say_pairs",
    "say_table",
    "width_of",
]

_COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}

STATUS_COLOUR = {
    "alive": "green",
    "passing": "green",
    "suspect": "yellow",
    "warning": "yellow",
    "critical": "red",
    "maintenance": "cyan",
    "restarting": "cyan",
    "dead": "red",
    "left": "dim",
}

GAP = "  "


class Cell(NamedTuple):
    """One field of a table: its text, and a colour for terminals ("" for none)."""

    text: str
    colour: str = ""

    @classmethod
    def status(cls, word: str) -> Cell:
        """A status in the colour that is everywhere its own."""
        return cls(word, STATUS_COLOUR.get(word, ""))


def say(line: str = "") -> None:
    """One line of output, at once: whoever reads a stream waits for it."""
    print(line, flush=True)


def say_json(value: Any) -> None:
    """One JSON value on one line, in ASCII: right in whatever encoding the output has."""
    say(json.dumps(value, separators=(",", ":")))


def complain(message: str) -> None:
    """One line on standard error."""
    print(f"gossip: {plain(message)}", file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """Text from elsewhere, with what a terminal would obey (escape sequences, new lines) shown, not done."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def paint(text: str, colour: str) -> str:
    """`text` in `colour`, when standard output is a terminal that wants colours."""
    if not colour or not _coloured(sys.stdout):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def _coloured(stream: TextIO | None) -> bool:
    return (
        stream is not None
        and stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def say_table(header: Sequence[str], rows: Iterable[Sequence[Cell]], otherwise: int = sys.maxsize) -> None:
    """Aligned columns under a header. The last is cut to what fits the terminal, or `otherwise` columns."""
    lines = [[Cell(name, "bold") for name in header]]
    lines += [[Cell(plain(cell.text), cell.colour) for cell in row] for row in rows]
    widths = [max(width_of(line[column].text) for line in lines) for column in range(len(header))]
    room = _terminal_width(otherwise) - sum(widths[:-1]) - len(GAP) * (len(widths) - 1)
    for line in lines:
        shown = [
            paint(cell.text, cell.colour) + " " * (width - width_of(cell.text))
            for cell, width in zip(line[:-1], widths, strict=False)
        ]
        last = line[-1]
        print(GAP.join([*shown, paint(_cut(last.text, room), last.colour)]).rstrip())
    print(end="", flush=True)


def say_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Names and values, one pair a line; of the same name, the first only shows it."""
    width = max(len(name) for name, _ in pairs)
    previous = ""
    for name, value in pairs:
        shown = "" if name == previous else name
        print(f"{paint(shown.ljust(width), 'bold')}{GAP}{plain(value)}".rstrip())
        previous = name


def width_of(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def _cut(text: str, room: int) -> str:
    if width_of(text) <= room:
        return text
    while text and width_of(text) > max(room - 1, 1):
        text = text[:-1]
    return text + "…"


def _terminal_width(otherwise: int) -> int:
    """Columns of the terminal; `otherwise` when the output goes elsewhere."""
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or otherwise
    except (OSError, ValueError, AttributeError):  # closed, or there is none
        return otherwise


def age(seconds: float) -> str:
    """A time span in its two largest units: `3m20s`, `2d4h`."""
    whole = max(int(seconds), 0)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count}{unit}")
        elif parts:
            break
    return "".join(parts[:2])


def clock() -> str:
    """The time of day, for the lines of a stream."""
    import time

    return paint(time.strftime("%H:%M:%S"), "dim")


def counted(count: int, word: str) -> str:
    """`1 instance`, `2 instances`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
