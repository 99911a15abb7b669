"""Samples and how they are told: median, range, and the units of the report."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Summary", "scaled", "summarize", "table"]


@dataclass(frozen=True, slots=True)
class Summary:
    """Median and range of some samples.

    A sample that did not come before its deadline counts as infinite: it moves the median as the
    slowest one would, and `missing` tells how many there were.
    """

    count: int
    median: float
    low: float
    high: float
    missing: int

    @property
    def is_empty(self) -> bool:
        return self.count == 0


def summarize(samples: Iterable[float | None]) -> Summary:
    """Sum up `samples`; None stands for one that never came."""
    values = [math.inf if sample is None else float(sample) for sample in samples]
    missing = sum(1 for value in values if math.isinf(value))
    if not values:
        return Summary(0, math.nan, math.nan, math.nan, 0)
    # statistics.median would average a finite and an infinite value to infinity, which is what is meant.
    return Summary(len(values), statistics.median(values), min(values), max(values), missing)


def scaled(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant digits and no exponent; a dash for nothing, "never" for infinity."""
    if math.isnan(value):
        return "-"
    if math.isinf(value):
        return "never"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = ["| " + " | ".join(header) + " |"]
    lines.append("|" + "|".join(["---"] + ["--:"] * (len(header) - 1)) + "|")
    lines.extend("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join(lines)
