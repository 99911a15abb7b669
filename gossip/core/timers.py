"""Timers as values: each has a token, and none is ever cancelled.

A timer is (when, what, about whom, token). Setting one for the same (what, whom) again gives a
new token, so that the older one is stale: it may still surface, and then means nothing. So a
late, lost or reordered timer is harmless, and there is no handle to keep.
"""

from __future__ import annotations

import enum
import heapq
import math
from typing import TypeAlias

__all__ = ["Subject", "Timer", "Timers"]

Subject: TypeAlias = bytes | int


class Timer(enum.IntEnum):
    """What a timer is for. At one instant, lower numbers run first: to hear before to judge."""

    EAGER = 0
    HELP = 1
    DIRECT = 2
    REPEAT = 3
    GRACE = 4
    PROBE_END = 5
    INTRODUCE = 6
    LAST_LOOK = 7
    SUSPICION = 8
    RESTARTING = 9
    GOSSIP = 10
    SEEDS = 11
    LEAVING = 12
    PERIOD = 13
    TRIAL = 14
    KEYS = 15


class Timers:
    """A heap of timers, and the token that is live for each (what, whom)."""

    __slots__ = ("_heap", "_live", "_token")

    def __init__(self) -> None:
        self._heap: list[tuple[float, Timer, int, tuple[Timer, Subject]]] = []
        self._live: dict[tuple[Timer, Subject], int] = {}
        self._token = 0

    def set(self, at: float, what: Timer, about: Subject = 0) -> None:
        """Have `what` fire at `at` seconds, instead of whenever it was going to."""
        self._token = token = self._token + 1
        key = (what, about)
        self._live[key] = token
        # Equal times run in the order of `what`, then of setting: the token is unique, so two
        # subjects (bytes and int) are never compared.
        heapq.heappush(self._heap, (at, what, token, key))

    def clear(self, what: Timer, about: Subject = 0) -> None:
        """Make the timer stale, if there is one."""
        self._live.pop((what, about), None)

    def is_set(self, what: Timer, about: Subject = 0) -> bool:
        return (what, about) in self._live

    def next_deadline(self) -> float:
        """When the next live timer is due; infinity if none is."""
        heap, live = self._heap, self._live
        while heap:
            at, _, token, key = heap[0]
            if live.get(key) == token:
                return at
            heapq.heappop(heap)
        return math.inf

    def pop_due(self, now: float) -> tuple[Timer, Subject] | None:
        """Take the first live timer that is due at `now`, or None."""
        heap, live = self._heap, self._live
        while heap:
            at, _, token, key = heap[0]
            if live.get(key) != token:
                heapq.heappop(heap)
            elif at > now:
                return None
            else:
                heapq.heappop(heap)
                del live[key]
                return key
        return None

    def postpone(self, what: Timer, by: float) -> None:
        """Move every live timer of this kind `by` seconds into the future."""
        moved = [
            (at, key[1])
            for at, kind, token, key in sorted(self._heap, key=lambda entry: entry[2])
            if kind == what and self._live.get(key) == token
        ]
        for at, about in moved:
            self.set(at + by, what, about)

    def __len__(self) -> int:
        return len(self._live)
