"""Whether what this node sends leaves its host at all.

Whoever cannot send hears no answers either, and must not accuse others of silence. But a member that cannot
be sent to, since its route was withdrawn when its host died or a rule is about it, says nothing of this
node: others are sent to meanwhile, and one datagram that left shows that the failing was about where the
others went. That is remembered of each: where a whole site has lost its route, three in a row are often of
that site, and whoever took them for a sign would doubt itself until the route is back. If it is a rule of
the host that forbids datagrams, as a firewall of its own does, then streams may pass all the same: who
hears by them is not cut off.
"""

from __future__ import annotations

import math
from typing import Final

from gossip.core.types import Address

__all__ = ["ENOUGH", "OUTLET_PROBLEMS", "UNREACHABLE_MAX", "VOUCH_PERIODS", "Outlet"]

OUTLET_PROBLEMS: Final = frozenset({"send_failed", "send_forbidden"})
"""Counters of what may be a problem of this host: there is no way out, or a rule of its own forbids it."""

VOUCH_PERIODS: Final = 3
"""Probe periods for which a frame shows that streams pass. Whom no datagram reaches asks somebody over a
stream in each period, and is asked so about once."""
ENOUGH: Final = 3
"""So many addresses in a row that nothing could be sent to: whom a probe is of, and two that are to help. All
that there are, if they are fewer."""
UNREACHABLE_MAX: Final = 4_096
"""Beyond, the one that was found so first counts again."""


class Outlet:
    """What became of a node's datagrams since one last left.

    Args:
        period: of probes, seconds.
    """

    __slots__ = ("_failing", "_has_news", "_period", "_since", "_streamed_at", "unreachable")

    def __init__(self, period: float) -> None:
        self._period = period
        self._failing: dict[Address, str] = {}
        """Where nothing could be sent to since one left, with the problem; `ENOUGH` at most."""
        self.unreachable: dict[Address, None] = {}
        """Where nothing could be sent to while others were: it says nothing until one leaves for there."""
        self._since = 0.0
        """When the first of them was tried."""
        self._has_news = False
        self._streamed_at = -math.inf

    @property
    def failing(self) -> bool:
        """Whether the last that was tried did not leave."""
        return bool(self._failing)

    def left(self, address: Address) -> None:
        """A datagram has left for there."""
        if self._failing:
            self.unreachable |= dict.fromkeys(self._failing)
            while len(self.unreachable) > UNREACHABLE_MAX:
                del self.unreachable[next(iter(self.unreachable))]
            self._failing.clear()
            self._has_news = False
        if self.unreachable:
            self.unreachable.pop(address, None)

    def failed(self, problem: str, address: Address, now: float) -> None:
        """One has not, for one of `OUTLET_PROBLEMS`."""
        if address in self.unreachable:
            return
        if not self._failing:
            self._since = now
        if len(self._failing) < ENOUGH or address in self._failing:
            self._failing[address] = problem
        self._has_news = True

    def streamed(self, now: float) -> None:
        """A frame has come over a stream."""
        self._streamed_at = now

    def unsent(self, now: float) -> int:
        """To how many addresses in a row nothing could be sent; told once of what has failed.

        `ENOUGH` at most, and so much too if nothing has left for a period.
        """
        if not self._has_news:
            return 0
        self._has_news = False
        failed = "send_failed" in self._failing.values()
        if not failed and now - self._streamed_at <= VOUCH_PERIODS * self._period:
            return 0
        return ENOUGH if now - self._since >= self._period else len(self._failing)
