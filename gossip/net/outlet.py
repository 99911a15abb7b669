"""Whether what this node sends leaves its host at all.

Whoever cannot send hears no answers either, and must not accuse others of silence. One datagram that left
shows that the failing was about where the others went. A frame that came over a stream shows that only
datagrams are kept in, as by a firewall of the host itself: then streams will do, and there is nothing to doubt.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["VOUCH_PERIODS", "Outlet"]

VOUCH_PERIODS: Final = 3
"""Probe periods for which a frame vouches. Whom no datagram reaches asks somebody over a stream in each period,
and is asked so about once."""


class Outlet:
    """What became of the datagrams of one driver, since its last turn.

    Args:
        period: of probes, seconds.
    """

    def __init__(self, period: float) -> None:
        self._vouched_for = VOUCH_PERIODS * period
        self._left = self._failed = 0
        self._streamed_at = -math.inf

    def tried(self, problem: str) -> None:
        """A datagram was sent: with what problem, as `UdpPort.send` has it."""
        self._left += not problem
        self._failed += problem == "send_failed"

    def streamed(self, now: float) -> None:
        """A frame has come over a stream."""
        self._streamed_at = now

    def is_mute(self, now: float) -> bool:
        """Whether nothing leaves; what was tried before this call counts no more."""
        failing = self._failed > 0 and not self._left
        self._left = self._failed = 0
        return failing and now - self._streamed_at > self._vouched_for
