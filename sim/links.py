"""One direction between two hosts: what it does to what is sent over it, and what it remembers of that.

A `Link` is a description, shared by all pairs that it holds for. A `Course` is the state of one
pair and direction: whether a burst of loss is on, and how long the bandwidth is taken.

A burst is the model of Gilbert and Elliott ("Estimates of error rates for codes on burst-noise
channels", Bell System Technical Journal 42, 1963): before each packet a bad phase begins by the chance
`enter`, or ends by the chance `leave`, and while it is on, packets are lost by the chance `loss`. A bad
phase is 1 / `leave` packets long in the mean, and `enter` / (`enter` + `leave`) of all packets meet
one. The first packet of a pair finds either phase by these shares, so that pairs that seldom talk lose as
much as others.

Bandwidth and MTU go by the sizes of datagrams; a world that neither encodes nor sizes its messages has
none, and only headers are charged.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import force_setattr

from gossip.core.types import Address
from sim.chance import CERTAIN, threshold
from sim.latency import Latency

__all__ = ["BACKLOG", "Burst", "Course", "Link", "link", "wire_size"]

BACKLOG = 262_144
"""Bytes."""
PACKET_MAX = 1_500
"""Bytes: what a backlog must hold to let anything through."""
MTU_MIN = 68
"""Bytes: of IPv4 (RFC 791)."""
UDP_IPV4, UDP_IPV6 = 28, 48
"""Bytes of headers around a datagram."""
NANOSECONDS = 1_000_000_000


class Burst(Struct, frozen=True):
    """Loss in bursts. The chances are shares from 0 to 1, of a packet.

    Raises:
        ValueError: if one is not, or `leave` is 0: a burst must end.
    """

    enter: float
    leave: float
    loss: float = 1.0

    def __post_init__(self) -> None:
        for chance in (self.enter, self.leave, self.loss):
            threshold(chance)
        if not threshold(self.leave):
            raise ValueError("a burst must end: its chance to leave is more than 0")


class Link(Struct, frozen=True):
    """One direction between two hosts. Chances are of 2^32, as `chance.threshold` makes them."""

    latency: Latency
    loss: int = 0
    duplication: int = 0
    burst: Burst | None = None
    reordering: int = 0
    """The chance of a packet to be held up by another `reorder_us`, so that later ones overtake it."""
    reorder_us: int = 0
    bandwidth: int | None = None
    """Bytes a second, headers included."""
    backlog: int = BACKLOG
    """Bytes that may wait for the bandwidth; a packet that would make it more is dropped."""
    mtu: int | None = None
    """Bytes, headers included: longer datagrams are dropped. Streams cut their segments to fit."""
    plain: bool = True
    """Nothing but latency, loss and duplication; found out, not given."""

    def __post_init__(self) -> None:
        plain = self.burst is None and not self.reordering and self.bandwidth is None and self.mtu is None
        force_setattr(self, "plain", plain)


def link(
    latency: Latency,
    loss: float = 0.0,
    duplication: float = 0.0,
    *,
    burst: Burst | None = None,
    reordering: float = 0.0,
    reorder_us: int = 0,
    bandwidth: int | None = None,
    backlog: int = BACKLOG,
    mtu: int | None = None,
) -> Link:
    """A link whose chances are given as shares from 0 to 1; see `Link` for the rest.

    Raises:
        ValueError: if a share is not from 0 to 1, or nothing could ever pass.
    """
    if reorder_us < 0 or (reordering and not reorder_us):
        raise ValueError("reordering needs to know how much longer a packet takes: more than 0 us")
    if bandwidth is not None and bandwidth < 1:
        raise ValueError(f"a bandwidth is at least 1 byte a second, not {bandwidth}")
    if backlog < PACKET_MAX:
        raise ValueError(f"a backlog holds at least one packet, which is {PACKET_MAX} bytes, not {backlog}")
    if mtu is not None and mtu < MTU_MIN:
        raise ValueError(f"an MTU is at least {MTU_MIN} bytes, not {mtu}")
    return Link(
        latency,
        threshold(loss),
        threshold(duplication),
        burst,
        threshold(reordering),
        reorder_us,
        bandwidth,
        backlog,
        mtu,
    )


def wire_size(address: Address, size: int) -> int:
    """Bytes on the wire of a datagram of `size` bytes to that address."""
    return size + (UDP_IPV6 if ":" in address[0] else UDP_IPV4)


class Course:
    """What one direction between two hosts remembers."""

    __slots__ = ("_bad", "_free_ns")

    def __init__(self) -> None:
        self._bad: bool | None = None
        """Whether a burst is on; None before the first packet."""
        self._free_ns = 0
        """When all that was sent so far is out."""

    def waiting(self, line: Link, now_us: int) -> int:
        """Bytes that still wait for the bandwidth."""
        if line.bandwidth is None:
            return 0
        return max(0, self._free_ns - now_us * 1_000) * line.bandwidth // NANOSECONDS

    def queue(self, line: Link, size: int, now_us: int) -> int | None:
        """Put `size` bytes on the line: in how many microseconds they are out; None if there is no room."""
        if line.bandwidth is None:
            return 0
        if self.waiting(line, now_us) + size > line.backlog:
            return None
        now_ns = now_us * 1_000
        self._free_ns = max(self._free_ns, now_ns) - (-size * NANOSECONDS // line.bandwidth)
        return -((now_ns - self._free_ns) // 1_000)

    def drains(self, line: Link, size: int, now_us: int) -> int:
        """In how many microseconds, at least one, no more than `size` bytes wait."""
        ahead_ns = self._free_ns - now_us * 1_000 - (size * NANOSECONDS // (line.bandwidth or NANOSECONDS))
        return max(1, -(-ahead_ns // 1_000))

    def loses(self, burst: Burst, bits: Callable[[int], int]) -> bool:
        """Whether a burst takes the next packet."""
        enter, leave = threshold(burst.enter), threshold(burst.leave)
        if self._bad is None:
            self._bad = bits(32) < enter * CERTAIN // (enter + leave)
        elif bits(32) < (leave if self._bad else enter):
            self._bad = not self._bad
        return self._bad and bits(32) < threshold(burst.loss)
