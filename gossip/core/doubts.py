"""When and why this node doubted itself of late: kept for its user, and for nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["DOUBTS_MAX", "Doubt", "Doubts"]

DOUBTS_MAX = 16


class Doubt(NamedTuple):
    """One wake-up that told this node that it had not been running."""

    at: float
    late: float
    """How late it came, by the monotonic clock, seconds."""
    gap: float
    """How far the other clocks had moved ahead of that one, seconds."""
    overflow: bool
    """The receive buffer had dropped datagrams."""
    mute: bool
    """Sends had failed, and none left."""

    def why(self, bound: float) -> str:
        """In words; what is lost up to `bound` is nothing to doubt oneself for."""
        lost = max(self.late, self.gap)
        if lost > bound:
            return f"not running for {lost:.3f} s"
        return (
            "no datagram leaves this host"
            if self.mute
            else "datagrams for it were dropped: its buffer is full"
        )


class Doubts:
    """The last few."""

    def __init__(self) -> None:
        self._kept: deque[Doubt] = deque(maxlen=DOUBTS_MAX)

    def note(self, doubt: Doubt) -> None:
        """A doubt begins or is renewed."""
        self._kept.append(doubt)

    def __iter__(self) -> Iterator[Doubt]:
        return iter(self._kept)
