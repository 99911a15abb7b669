"""What is to be done when, between runs of the clock: a heap like the clock's own, of a scenario's deeds."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

__all__ = ["Schedule"]

Deed = Callable[[], None]


class Schedule:
    """Deeds by time; those of one instant in the order in which they were put down."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Deed]] = []
        self._number = itertools.count().__next__

    def at(self, when_us: int, deed: Deed) -> None:
        """Have it done at that time of the world."""
        heapq.heappush(self._heap, (when_us, self._number(), deed))

    @property
    def next_us(self) -> int | None:
        """When the next deed is due; None if there is none."""
        return self._heap[0][0] if self._heap else None

    def perform(self, now_us: int) -> int:
        """Do all that is due; how many deeds that were."""
        done = 0
        while self._heap and self._heap[0][0] <= now_us:
            _, _, deed = heapq.heappop(self._heap)
            deed()
            done += 1
        return done
