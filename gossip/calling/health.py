"""When one instance is left out for failing, and how it comes back.

    well --(fails too often)--> ejected --(its time is over)--> returning --(all its share again)--> well
                                   ^                                |
                                   +-------(fails again)------------+

Too often is a number of failures in a row, or a share of the calls of the last 10 to 20 seconds; and it has
to be worse than the others fare, since what fails everywhere is no fault of one instance. Each ejection in
a row takes twice as long. Who returns gets a tenth of its share at first, and is judged by fewer calls.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Health", "Policy", "Window"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What is held against an instance, and for how long."""

    in_a_row: int = 5
    """Failures without a success in between."""
    in_a_row_returning: int = 2
    failed_share: float = 0.3
    """Of the calls in the window."""
    enough: int = 20
    """Calls in the window before their share says something."""
    enough_returning: int = 5
    window: float = 10.0
    """Seconds; what is older than two of them is forgotten."""
    ejection: float = 10.0
    """Seconds of the first ejection; each further one in a row takes twice as long."""
    longest: float = 300.0
    ramp: float = 10.0
    """Seconds from a tenth of its share to the whole."""
    panic_below: float = 0.5
    """If less than this part of the weight is left, nobody is left out."""


STEPS = 10
"""In which a share returns: each means a new table of weights."""
MUCH_WORSE = 2.0
"""How many times the failed share of the others one's own has to be."""


class Window:
    """Calls and failures of the last one to two windows, in two generations."""

    __slots__ = ("_began", "_length", "calls", "failed", "old_calls", "old_failed")

    def __init__(self, length: float) -> None:
        self._length = length
        self.clear()

    def clear(self) -> None:
        self._began = -math.inf
        self.calls = self.failed = self.old_calls = self.old_failed = 0

    def add(self, now: float, *, ok: bool) -> None:
        self.turn(now)
        self.calls += 1
        self.failed += not ok

    def turn(self, now: float) -> None:
        """Lets go what is too old."""
        age = now - self._began
        if age >= self._length:
            recent = age < 2 * self._length
            self.old_calls, self.old_failed = (self.calls, self.failed) if recent else (0, 0)
            self.calls = self.failed = 0
            self._began = now

    @property
    def total(self) -> tuple[int, int]:
        """(calls, failed ones)."""
        return self.calls + self.old_calls, self.failed + self.old_failed


class Health:
    """How one instance fares. Times are seconds of one clock that does not go back."""

    __slots__ = ("_policy", "_row", "ejections", "returns_at", "times", "whole_at", "window")

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.window = Window(policy.window)
        self._row = 0
        self.times = 0
        """Ejections in a row."""
        self.ejections = 0
        """Ejections ever."""
        self.returns_at = -math.inf
        """When it may be called again."""
        self.whole_at = -math.inf
        """When it gets its whole share."""

    def share(self, now: float) -> float:
        """Which part of its weight counts: 0 while it is ejected."""
        if now >= self.whole_at:
            return 1.0
        if now < self.returns_at:
            return 0.0
        step = math.floor(STEPS * (now - self.returns_at) / self._policy.ramp)
        return max(min(step + 1, STEPS), 1) / STEPS

    def changes_at(self, now: float) -> float:
        """Until when `share` stays as it is, if nothing is said meanwhile."""
        if now >= self.whole_at:
            return math.inf
        if now < self.returns_at:
            return self.returns_at
        length = self._policy.ramp / STEPS
        return self.returns_at + length * (math.floor((now - self.returns_at) / length) + 1)

    def succeeded(self, now: float) -> None:
        self.window.add(now, ok=True)
        self._row = 0
        # Well again, for as long as it was away the last time.
        if self.times and now > self.whole_at + self._span(self.times):
            self.times = 0

    def failed(self, now: float, others: tuple[int, int]) -> bool:
        """One failure more; whether it is ejected by it.

        Args:
            now: seconds.
            others: (calls, failed ones) of all the other instances in their windows.
        """
        self.window.add(now, ok=False)
        self._row += 1
        if now < self.returns_at or not self._is_bad(now, others):
            return False
        self.times = min(self.times + 1, 32)
        self.ejections += 1
        self.returns_at = now + self._span(self.times)
        self.whole_at = self.returns_at + self._policy.ramp
        self._row = 0
        self.window.clear()
        return True

    def _span(self, times: int) -> float:
        return float(min(self._policy.ejection * 2 ** (times - 1), self._policy.longest))

    def _is_bad(self, now: float, others: tuple[int, int]) -> bool:
        policy = self._policy
        returning = now < self.whole_at
        calls, failed = self.window.total
        enough = policy.enough_returning if returning else policy.enough
        share = failed / calls
        row = policy.in_a_row_returning if returning else policy.in_a_row
        if self._row < row and (calls < enough or share < policy.failed_share):
            return False
        other_calls, other_failed = others
        return not other_calls or share >= MUCH_WORSE * other_failed / other_calls
