"""How a host answers what is sent to a port where nobody listens, or seems to.

An ICMP error is evidence for the protocol, and none to rely on: hosts send them sparingly, firewalls not at
all, and some device on the way may send one for a port that is open.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from sim.clock import SECOND

__all__ = ["LIE", "Limiter", "Refusals"]

Refusals: TypeAlias = Literal["sent", "silent", "limited", "lying", "rejecting"]
"""`sent`: each datagram to a closed port is refused, and a connection reset. `silent`: neither, as behind
a firewall. `limited`: as `sent`, but a peer is sent about one ICMP error a second after a burst of six, as
Linux does (icmp_ratelimit); resets are not limited. `lying`: as `sent`, and of the datagrams to the open
port, which are all delivered, some are answered with a refusal too (`Network.lie`). `rejecting`: as `sent`,
and the open port is treated as a closed one, as by a firewall that rejects; connections that stand go on."""
LIE = 1 << 31
"""The usual chance, of 2^32, that a lying host refuses what it delivers."""
INTERVAL_US = SECOND
BURST = 6


class Limiter:
    """Who was sent how many ICMP errors lately, by (host's number, peer's number)."""

    __slots__ = ("_credit",)

    def __init__(self) -> None:
        self._credit: dict[tuple[int, int], tuple[int, int]] = {}
        """What a pair has saved up, in microseconds, and when that was counted."""

    def allows(self, host: int, peer: int, now_us: int) -> bool:
        """Whether the host sends the peer one more now; if so, it is counted."""
        full_us = BURST * INTERVAL_US
        saved_us, then_us = self._credit.get((host, peer), (full_us, now_us))
        saved_us = min(full_us, saved_us + now_us - then_us)
        allowed = saved_us >= INTERVAL_US
        self._credit[host, peer] = (saved_us - INTERVAL_US if allowed else saved_us, now_us)
        return allowed
