"""Whether what this node sends leaves its host at all.

Whoever cannot send hears no answers either, and must not accuse others of silence. One datagram that left
shows that the failing was about where the others went. If it is a rule of the host that forbids datagrams, as
a firewall of its own does, then streams may pass all the same: who hears by them is not cut off.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["VOUCH_PERIODS", "Outlet"]

VOUCH_PERIODS: Final = 3
"""Probe periods for which a frame shows that streams pass. Whom no datagram reaches asks somebody over a
stream in each period, and is asked so about once."""


class Outlet:
    """What became of the datagrams of one driver, since its last turn.

    Args:
        period: of probes, seconds.
    """

    def __init__(self, period: float) -> None:
        self._vouched_for = VOUCH_PERIODS * period
        self._left = self._failed = self._forbidden = 0
        self._streamed_at = -math.inf

    def tried(self, problem: str) -> None:
        """A datagram was sent: with what problem, as `UdpPort.send` has it."""
        self._left += not problem
        self._failed += problem == "send_failed"
        self._forbidden += problem == "send_forbidden"

    def streamed(self, now: float) -> None:
        """A frame has come over a stream."""
        self._streamed_at = now

    def is_mute(self, now: float) -> bool:
        """Whether nothing leaves; what was tried before this call counts no more."""
        left, failed, forbidden = self._left, self._failed, self._forbidden
        self._left = self._failed = self._forbidden = 0
        if left or not (failed or forbidden):
            return False
        return failed > 0 or now - self._streamed_at > self._vouched_for
