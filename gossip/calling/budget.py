"""How many retries there may be: a part of the calls, so that trouble is never multiplied."""

from __future__ import annotations

__all__ = ["RetryBudget"]


class RetryBudget:
    """Each call earns a part of a retry, and so does each second; a retry costs a whole one.

    With the usual numbers a service that fails altogether is asked 1.2 times as often as it would be anyway,
    and a program that calls once in a while may retry each time.

    Args:
        share: retries for each call.
        a_second: retries for each second.
        most: what can be saved up.
    """

    def __init__(self, share: float = 0.2, a_second: float = 2.0, most: float = 20.0) -> None:
        if not (share >= 0 and a_second >= 0 and most >= 0):
            raise ValueError("a retry budget has no negative parts")
        self._share = share
        self._a_second = a_second
        self._most = most
        self._saved = most
        self._at: float | None = None
        self.refused = 0
        """Retries that there was nothing left for."""

    def called(self) -> None:
        """One call was begun."""
        self._saved = min(self._saved + self._share, self._most)

    def take(self, now: float) -> bool:
        """Whether there may be one retry more. `now` is in seconds."""
        if self._at is not None:
            self._saved = min(self._saved + max(now - self._at, 0.0) * self._a_second, self._most)
        self._at = now
        if self._saved < 1.0:
            self.refused += 1
            return False
        self._saved -= 1.0
        return True
