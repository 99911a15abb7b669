"""Virtual time: integer microseconds on a heap; what is due at one instant keeps the order it was asked in.

An entry is `(when, number, handler, argument)`. The number breaks ties, so handlers and arguments
are never compared. Nothing is ever taken off the heap: a handler that is no longer wanted finds out
when it is called.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["SECOND", "Clock", "Entry", "microseconds"]

SECOND = 1_000_000
"""Microseconds."""

Entry: TypeAlias = tuple[int, int, Callable[[Any], None], Any]


def microseconds(seconds: float) -> int:
    """The nearest whole microsecond: how a length in seconds gets into the world."""
    return round(seconds * SECOND)


class Clock:
    """The one heap of a world, and what time it is there."""

    __slots__ = ("_heap", "_number", "now_us", "processed")

    def __init__(self) -> None:
        self.now_us = 0
        self.processed = 0
        """Entries handled since the beginning."""
        self._heap: list[Entry] = []
        self._number = itertools.count().__next__

    def __len__(self) -> int:
        return len(self._heap)

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return self.now_us / SECOND

    def at(self, when_us: int, handler: Callable[[Any], None], argument: Any) -> None:
        """Have `handler(argument)` called at `when_us`, after whatever was asked for that instant before.

        Raises:
            ValueError: if that instant is past.
        """
        if when_us < self.now_us:
            raise ValueError(f"{when_us} us is past: it is {self.now_us} us")
        heapq.heappush(self._heap, (when_us, self._number(), handler, argument))

    def after(self, delay_us: int, handler: Callable[[Any], None], argument: Any) -> None:
        """Have `handler(argument)` called `delay_us` from now."""
        heapq.heappush(self._heap, (self.now_us + delay_us, self._number(), handler, argument))

    def run(self, until_us: int) -> None:
        """Handle all that is due until `until_us` (included); then it is `until_us`."""
        heap, pop = self._heap, heapq.heappop
        number = 0
        try:
            while heap and heap[0][0] <= until_us:
                self.now_us, _, handler, argument = pop(heap)
                number += 1
                handler(argument)
        finally:
            self.processed += number
        self.now_us = max(self.now_us, until_us)
