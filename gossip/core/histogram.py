"""How often a measure fell where: counts between fixed bounds, and their sum. No sample is kept."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["Histogram"]


class Histogram:
    """Counts of values by the first bound that is not below them; beyond the last bound is one more place.

    Args:
        bounds: upper bounds, rising; each belongs to its own place.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0
        """The sum of all values."""

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[int]:
        """How many values were at most each bound; the last number is how many there were at all."""
        running, sums = 0, []
        for count in self.counts:
            running += count
            sums.append(running)
        return sums
