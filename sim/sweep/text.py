"""Tables as text: aligned, with few digits, and a dash where there is no number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.sweep.numbers import Digest, digest

__all__ = ["aligned", "folded", "number", "ranged", "said", "shown"]

DIGITS = 3
PLAIN_FROM = 1_000
"""From here on numbers are shown whole."""


def number(value: float | None) -> str:
    """Three digits that count, or all that stand before the point."""
    if value is None:
        return "-"
    if abs(value) >= PLAIN_FROM:
        return f"{value:,.0f}"
    return f"{float(f'{value:.{DIGITS}g}'):g}"


def ranged(of: Digest) -> str:
    """The median, and where 5 % and 95 % of the runs are, if they differ."""
    if of.never == of.runs:
        return "never" if of.runs else "-"
    middle = "never" if of.median is None else number(of.median)
    low, high = number(of.p5), "never" if of.p95 is None else number(of.p95)
    return middle if low == high == middle else f"{middle} ({low}..{high})"


def shown(values: Sequence[Any]) -> str:
    """One field of several runs: how many say yes, or the median and its range."""
    if values and all(isinstance(value, bool) for value in values):
        return f"{sum(values)} of {len(values)}"
    return ranged(digest(values))


def said(value: Any) -> str:
    """A setting as it is written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Rows under the first of them; the first `left` columns are words, the others numbers."""
    widths = _widths(rows)
    lines = [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def folded(rows: Sequence[Sequence[str]], left: int, width: int) -> str:
    """The same, in several tables below each other if `width` is too small; each repeats the words."""
    widths = _widths(rows)
    words = sum(column + 2 for column in widths[:left])
    tables: list[list[int]] = [[]]
    used = words
    for column in range(left, len(widths)):
        if tables[-1] and used + widths[column] > width:
            tables.append([])
            used = words
        tables[-1].append(column)
        used += widths[column] + 2
    return "\n\n".join(
        aligned([[*row[:left], *(row[column] for column in columns)] for row in rows], left)
        for columns in tables
    )


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]
