"""How late this process comes to its timers: the sign that something keeps the loop from gossip."""

from __future__ import annotations

from typing import Final

from gossip.core.histogram import Histogram

__all__ = ["Lag"]

BOUNDS: Final = (0.000_5, 0.001, 0.002, 0.005, 0.010, 0.020, 0.050, 0.100, 0.250, 0.500, 1.0)
"""Seconds. 20 ms is what a busy face may cost; over half a second core doubts itself."""
WINDOW_SECONDS: Final = 10.0
WINDOWS: Final = 6


class Lag:
    """The lateness of every wake-up that a timer was due at."""

    def __init__(self) -> None:
        self.histogram = Histogram(BOUNDS)
        self._worst = [0.0] * WINDOWS
        self._window = 0

    def observe(self, late: float, now: float) -> None:
        """Both in seconds, `now` of the monotonic clock."""
        self.histogram.observe(late)
        self._move(now)
        place = self._window % WINDOWS
        self._worst[place] = max(self._worst[place], late)

    def worst(self, now: float) -> float:
        """The largest of the last minute, seconds; in windows of ten, so of 50 to 60 s."""
        self._move(now)
        return max(self._worst)

    def _move(self, now: float) -> None:
        window = int(now // WINDOW_SECONDS)
        for passed in range(max(self._window + 1, window - WINDOWS + 1), window + 1):
            self._worst[passed % WINDOWS] = 0.0
        self._window = max(self._window, window)
