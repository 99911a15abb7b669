"""Virtual time: integer microseconds on a heap; what is due at one instant keeps the order it was asked in.

An entry is `(when, number, handler, argument)`. The number breaks ties, so handlers and arguments
are never compared. Nothing is ever taken off the heap: a handler that is no longer wanted finds out
when it is called.

The world's time is the true one. A machine has a monotonic clock of its own (`MachineClock`), which may
run fast or slow and stands still while the machine is suspended.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Any, TypeAlias

__all__ = ["RATE_MAX", "SECOND", "Clock", "Entry", "MachineClock", "microseconds"]

SECOND = 1_000_000
"""Microseconds."""
RATE_MAX = 500_000
"""Parts per million by which a machine's clock may be wrong; real ones are off by less than 500."""
MILLION = 1_000_000

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


class MachineClock:
    """What one machine takes the time to be, in whole microseconds of its own; never goes backwards."""

    __slots__ = ("_from_us", "_own_us", "_ppm", "_rate")

    def __init__(self, now_us: int) -> None:
        self._from_us = now_us
        """The world's time at the last change, and this clock's."""
        self._own_us = now_us
        self._ppm = 0
        self._rate = 0
        """The deviation in force: that of the rate, or minus all while the clock stands still."""

    @property
    def ppm(self) -> int:
        """By how many parts per million it is fast (or slow, below 0) while it runs."""
        return self._ppm

    def read(self, now_us: int) -> int:
        """What it shows when the world's time is `now_us`."""
        passed = now_us - self._from_us
        if self._rate:
            passed += passed * self._rate // MILLION
        return self._own_us + passed

    def when(self, own_us: int) -> int:
        """The first instant of the world's time at which it shows `own_us` or more, as it runs now.

        Raises:
            ZeroDivisionError: if it stands still.
        """
        ahead = own_us - self._own_us
        if self._rate:
            ahead = -(-ahead * MILLION // (MILLION + self._rate))
        return self._from_us + ahead

    def set_rate(self, now_us: int, ppm: int) -> None:
        """From now on it is `ppm` parts per million fast, or slow if below 0.

        Raises:
            ValueError: if that is more than `RATE_MAX` either way.
        """
        if not -RATE_MAX <= ppm <= RATE_MAX:
            raise ValueError(f"a clock is off by at most {RATE_MAX} parts per million, not {ppm}")
        self._turn(now_us, ppm if self._rate != -MILLION else -MILLION)
        self._ppm = ppm

    def stop(self, now_us: int) -> None:
        """Stand still."""
        self._turn(now_us, -MILLION)

    def go(self, now_us: int) -> None:
        """Run on."""
        self._turn(now_us, self._ppm)

    def _turn(self, now_us: int, rate: int) -> None:
        self._own_us = self.read(now_us)
        self._from_us = now_us
        self._rate = rate
