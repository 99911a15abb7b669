"""How many retries there may be: a part of the calls, so that trouble is never multiplied."""

from __future__ import annotations

import math

__all__ = ["RetryBudget"]


class RetryBudget:
    """Each call earns a part of a retry, and so does each second; a retry costs a whole one.

    With the usual numbers a service that fails altogether is asked 1.2 times as often as it would be anyway,
    and a program that calls once in a while may retry each time.

    Who leaves an instance early, because another one can be tried, reserves that retry before: else the
    calls of a service that is merely slow would be given up for nothing. Few of these are ever needed; so
    meanwhile others may borrow them, and what is owed is earned before anything is reserved again.

    Args:
        share: retries for each call.
        a_second: retries for each second.
        most: what can be saved up, beside what is reserved; and what can be owed.
    """

    def __init__(self, share: float = 0.2, a_second: float = 2.0, most: float = 20.0) -> None:
        if not (share >= 0 and a_second >= 0 and most >= 0):
            raise ValueError("a retry budget has no negative parts")
        self._share = share
        self._a_second = a_second
        self._most = most
        self._saved = most
        """Less than 0: what is owed."""
        self._reserved = 0
        self._at = math.inf
        self.refused = 0
        """Retries that there was nothing left for."""

    def called(self) -> None:
        """One call was begun."""
        if self._saved < self._most:
            self._saved = min(self._saved + self._share, self._most)

    def take(self, now: float) -> bool:
        """Whether there may be one retry more. `now` is in seconds."""
        self._earn(now)
        if self._saved + min(self._reserved, self._most) < 1.0:
            self.refused += 1
            return False
        self._saved -= 1.0
        return True

    def reserve(self, now: float) -> bool:
        """As `take`, for a retry that may never be needed; `settle` ends it."""
        if self._saved < self._most:
            self._earn(now)
        else:
            self._at = now
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        self._reserved += 1
        return True

    def settle(self, *, used: bool) -> None:
        """What was reserved is needed now, or never will be."""
        self._reserved -= 1
        if used:
            return
        if self._saved < self._most - 1.0:
            self._saved += 1.0
        else:
            self._saved = self._most

    def _earn(self, now: float) -> None:
        if now > self._at:
            self._saved = min(self._saved + (now - self._at) * self._a_second, self._most)
        self._at = now
