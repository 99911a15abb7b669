"""Whose TLS handshake is next: so many a second, the addresses that wait one after the other.

A signature takes a millisecond or two of the thread that gossips, so handshakes have a pace; and whoever
opens connections faster than that makes a queue. In a single one all others would stand behind him. Here each
address has a row of its own and one turn a round: who floods has what the others leave, and somebody else
waits a turn for each address that waits, however long its row. A turn is used when it is taken: who gives up
before that has taken nothing from those behind him.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import trio

__all__ = ["CrowdedError", "Pace"]

HANDSHAKES_PER_SECOND: Final = 100
HANDSHAKES_AT_ONCE: Final = 50
MOST_WAITING: Final = 1_000
"""What the pace gives in `talk.HANDSHAKE_SECONDS`: were there more, their time would be over first."""


class CrowdedError(ConnectionError):
    """Too many wait for a handshake, and most of them from there."""


class _Place:
    __slots__ = ("called", "is_refused")

    def __init__(self) -> None:
        self.called = trio.Event()
        self.is_refused = False


class Pace:
    """Gives turns, as long as `keep` runs.

    Args:
        rate: turns a second.
        burst: turns that may be taken at once, after a rest.
    """

    def __init__(self, rate: float = HANDSHAKES_PER_SECOND, burst: int = HANDSHAKES_AT_ONCE) -> None:
        self._gap = 1 / rate
        self._slack = burst / rate
        self._next = -math.inf
        """When the next turn may be taken."""
        self._rows: dict[str, deque[_Place]] = {}
        """Who waits, by whose connection it is; the first row is next. None is empty."""
        self._waiting = 0
        self._came = trio.lowlevel.ParkingLot()

    async def keep(self) -> None:
        """Calls those who wait, until cancelled."""
        while True:
            if not self._rows:
                await self._came.park()
            await trio.sleep_until(self._next)
            now = trio.current_time()
            while self._rows and self._next <= now:
                self._use(now)
                self._call()

    async def turn(self, whose: str) -> None:
        """Returns when it is this one's turn.

        Args:
            whose: who has one turn a round; see `net.addresses.site`.

        Raises:
            CrowdedError: at once, or while it waits.
        """
        now = trio.current_time()
        if not self._rows and self._next <= now:
            self._use(now)
            await trio.lowlevel.checkpoint()
            return
        if self._waiting >= MOST_WAITING:
            self._make_room(whose)
        place = _Place()
        self._rows.setdefault(whose, deque()).append(place)
        self._waiting += 1
        self._came.unpark()
        try:
            await place.called.wait()
        finally:
            if not place.called.is_set():
                self._leave(whose, place)
        if place.is_refused:
            raise CrowdedError("too many wait for a handshake")

    def give_back(self) -> None:
        """A turn came to nothing before it cost anything: it is somebody else's."""
        self._next -= self._gap

    def _use(self, now: float) -> None:
        self._next = max(self._next, now - self._slack) + self._gap

    def _call(self) -> None:
        whose = next(iter(self._rows))
        row = self._rows.pop(whose)
        row.popleft().called.set()
        self._waiting -= 1
        if row:
            self._rows[whose] = row

    def _make_room(self, whose: str) -> None:
        """The last of the longest row goes; that is the newcomer, if his own would be as long."""
        longest = max(self._rows, key=lambda each: len(self._rows[each]))
        if len(self._rows[longest]) <= len(self._rows.get(whose, ())) + 1:
            raise CrowdedError("too many wait for a handshake")
        place = self._rows[longest][-1]
        self._leave(longest, place)
        place.is_refused = True
        place.called.set()

    def _leave(self, whose: str, place: _Place) -> None:
        row = self._rows[whose]
        row.remove(place)
        self._waiting -= 1
        if not row:
            del self._rows[whose]
