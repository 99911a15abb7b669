"""How long this machine stood still without the monotonic clock noticing.

A suspended machine stops CLOCK_MONOTONIC, by which trio and core live; CLOCK_BOOTTIME goes on. A
virtual machine that was saved and restored stops both, and its wall clock is put right afterwards.
A process that was merely stopped shows as a late wake-up instead, which the driver sees by itself.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GapClock", "Reading", "read_clocks"]


class Reading(NamedTuple):
    """Three clocks at one moment, in seconds."""

    monotonic: float
    boottime: float
    wall: float


_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def read_clocks() -> Reading:
    """The three clocks now; where there is no boot time clock, the monotonic one stands in."""
    monotonic = time.clock_gettime(time.CLOCK_MONOTONIC)
    boottime = monotonic if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
    return Reading(monotonic, boottime, time.time())


class GapClock:
    """Compares the clocks with what they were at the last call."""

    def __init__(self, read: Callable[[], Reading] = read_clocks) -> None:
        self._read = read
        self._last = read()

    def restart(self) -> None:
        """Forget what lies before now."""
        self._last = self._read()

    def gap(self) -> float:
        """Seconds that passed since the last call and that the monotonic clock did not count.

        A wall clock that is set back is no sign of having stood still, so it gives 0.
        """
        last = self._last
        now = self._last = self._read()
        counted = now.monotonic - last.monotonic
        return max(0.0, now.boottime - last.boottime - counted, now.wall - last.wall - counted)
