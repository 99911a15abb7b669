"""Work that is done a step at a time, in turns, so that nobody waits for the end of it.

A job is an iterator: each `next` of it is a step. Jobs are done in the order in which they came, each to its
end before the next begins, so what one says is heard before what a later one says. A little is done at once,
when a job comes; what is left then is done by `Watches.run`, and gossip goes before each step.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["TURN_SECONDS", "Turns"]

TURN_SECONDS = 0.001
RENEWED_SECONDS = 0.020
"""In so long, the work of one turn is done at once: 5 % of the time, whatever happens."""


class Turns:
    """The jobs that are not done yet.

    Args:
        now: seconds, of any clock.
        timer: seconds, of the clock that work is measured by.
        gossip_first: called before each step. Jobs that it brings are done after those that there are.
    """

    def __init__(
        self, now: Callable[[], float], timer: Callable[[], float], gossip_first: Callable[[], None]
    ) -> None:
        self._now = now
        self._timer = timer
        self._gossip_first = gossip_first
        self._jobs: deque[Iterator[None]] = deque()
        self._is_working = False
        self._renewed = -math.inf
        self._left = 0.0

    def __bool__(self) -> bool:
        """Whether there is something to do."""
        return bool(self._jobs)

    def add(self, job: Iterator[None]) -> None:
        """One job more, to be begun when it is its turn."""
        self._jobs.append(job)

    def at_once(self) -> bool:
        """Do what may be done at once; whether there is more."""
        now = self._now()
        if now - self._renewed >= RENEWED_SECONDS:
            self._renewed, self._left = now, TURN_SECONDS
        if self._left > 0 and not self._is_working:
            self._left -= self._work(self._left)
        return bool(self._jobs)

    def turn(self) -> bool:
        """Do what a turn has time for, but at least one step; whether there is more."""
        if not self._is_working:
            self._work(TURN_SECONDS)
        return bool(self._jobs)

    def _work(self, seconds: float) -> float:
        begun = self._timer()
        spent = 0.0
        self._is_working = True
        try:
            while self._jobs and spent < seconds:
                self._gossip_first()
                if next(self._jobs[0], self) is self:
                    self._jobs.popleft()
                spent = self._timer() - begun
        finally:
            self._is_working = False
        return spent
