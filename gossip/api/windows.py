"""When a watched thing that has changed may be told. Time is given; nothing here waits.

The first change is told at once and opens a window. What changes while its window is open is told
once, at the window's end, with its newest value, and opens the next. So a lone change is never
late, and a thing that changes all the time is told 50 times a second.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable
from heapq import heappop, heappush
from itertools import count, islice
from typing import Generic, TypeVar

__all__ = ["WINDOW_SECONDS", "Windows"]

WINDOW_SECONDS = 0.020

K = TypeVar("K", bound=Hashable)


class Windows(Generic[K]):
    """The windows that are open, by what changed.

    `now` never falls from call to call. Held are only windows that are open, or ended lately.
    """

    def __init__(self, length: float = WINDOW_SECONDS) -> None:
        self._length = length
        # In the order of their ends, since all are of one length.
        self._ends: dict[K, float] = {}
        self._waiting: set[K] = set()
        self._heap: list[tuple[float, int, K]] = []
        self._order = count()

    @property
    def deadline(self) -> float:
        """When `due` has something to say; infinity while nothing waits."""
        while self._heap and self._heap[0][2] not in self._waiting:
            heappop(self._heap)
        return self._heap[0][0] if self._heap else math.inf

    def changed(self, key: K, now: float) -> bool:
        """True: tell it now. False: `due` will give it."""
        if key in self._waiting:
            return False
        end = self._ends.get(key)
        if end is None or end <= now:
            self._open(key, now)
            return True
        self._waiting.add(key)
        heappush(self._heap, (end, next(self._order), key))
        return False

    def due(self, now: float, most: int = sys.maxsize) -> list[K]:
        """What is to be told now, those first whose windows ended first: `most` of it in one call."""
        found: list[K] = []
        while self.deadline <= now and len(found) < most:
            _, _, key = heappop(self._heap)
            self._waiting.discard(key)
            found.append(key)
        for key in found:
            self._open(key, now)
        return found

    def forget(self, key: K) -> None:
        """Nobody wants to be told of it any more."""
        self._ends.pop(key, None)
        self._waiting.discard(key)

    def _open(self, key: K, now: float) -> None:
        self._ends.pop(key, None)
        self._ends[key] = now + self._length
        for old in tuple(islice(self._ends, 2)):
            # Two for each that is added: what has ended is soon gone, and no call pays for many.
            if self._ends[old] <= now and old not in self._waiting:
                del self._ends[old]
