"""Periods, fanouts and limits, and the times that follow from the size of the cluster.

Every default is here, with where it comes from. Times are float seconds, sizes are bytes.
"""

from __future__ import annotations

import math

from msgspec import Struct

__all__ = [
    "ACCUSED_AGAIN_PERIODS",
    "LAN",
    "LOCAL",
    "PACKET_OVERHEAD_BYTES",
    "PROFILES",
    "PROTOCOL_MAX",
    "PROTOCOL_MIN",
    "WAN",
    "Params",
]

PROTOCOL_MIN = 1
PROTOCOL_MAX = 1
"""The range of protocol versions this code speaks; each member record carries its node's range."""

PACKET_OVERHEAD_BYTES = 42
"""Version 1, key id 1, session 16, counter 8, tag 16: what a datagram costs besides its body."""


ACCUSED_AGAIN_PERIODS = 20
"""However short clocks are, nobody can keep a member that refutes under suspicion by saying it again."""


class Params(Struct, frozen=True):
    """The protocol's settings. All members of a cluster should share one profile."""

    period: float = 1.0
    """Probe period, multiplied by health + 1 (SWIM's T')."""
    direct_min: float = 0.020
    direct_max: float = 0.500
    """Bounds of the wait for a direct ack, which is 4 x rtt + 4 x deviation."""
    helpers: int = 3
    """Indirect probes per round (SWIM's k)."""
    stream_probe: bool = True
    """Whether a silent member is also asked over a stream."""
    suspicion_alpha: float = 1.0
    suspicion_beta: float = 3.0
    """Lifeguard's alpha and beta: min = alpha x max(1, log10 n) x period, max = beta x min."""
    suspicion_k: int = 1
    """Accusers beyond the first that bring the suspicion down to its minimum."""
    patience_max: int = 8
    """By how much at most the clock is longer for a member that keeps coming back (1: never)."""
    grace: float = 0.600
    """A refused address must be seen refused again after this long."""
    isolation: float = 120.0
    """For so long a node that hears nobody judges nobody, if there were at least two to be heard."""
    health_max: int = 8
    """Lifeguard's S."""
    doubt_bound: float = 0.250
    """A wake-up later than this, or a clock gap over it, means: I was not running."""
    gossip_interval: float = 0.200
    gossip_fanout: int = 3
    eager_quiet: float = 0.005
    """News after a silence of this long leaves at once; what follows within it waits for its end."""
    eager_extra: int = 4
    """Eager fanout is ceil(ln n) + this."""
    eager_budget: int = 64
    """Eager packets per 100 ms and node; the rest waits for ticks."""
    send_extra: int = 10
    """An item is sent ceil(ln n) + this times by each node that carries it."""
    packet_bytes: int = 1_200
    packet_bytes_proven: int = 1_400
    """Datagram sizes, all included: to anyone; to a peer that acked a larger one."""
    sync_wait: float = 2.0
    """Repair starts when nobody has agreed with my view for this long."""
    sync_backoff_max: float = 300.0
    agreement_window: float = 10.0
    stream_timeout: float = 10.0
    streams: int = 128
    retention: float = 86_400.0
    """How long the dead and the left are remembered."""
    members_max: int = 65_536
    tombstones_max: int = 4_096
    bans_max: int = 4_096
    invitation_settles: float = 60.0
    """Seconds after which a node that uses an invitation keeps it, whoever else comes with it."""
    services_max: int = 4_096
    """Services per node."""
    addresses_max: int = 1_024
    """Remembered addresses, tried for ever."""
    reconnect_interval: float = 2.0
    seed_interval: float = 30.0
    restart_grace: float = 5.0
    events_max: int = 512
    event_life: float = 60.0
    coordinates: bool = True

    def send_limit(self, n: int) -> int:
        """How often one node sends one item in a cluster of `n`: misses are n x e^-limit."""
        return math.ceil(math.log(max(2, n))) + self.send_extra

    def eager_fanout(self, n: int) -> int:
        return math.ceil(math.log(max(2, n))) + self.eager_extra

    def suspicion_min(self, n: int) -> float:
        """Seconds; `n` counts alive and suspect members, oneself included (Lifeguard, section IV)."""
        return self.suspicion_alpha * max(1.0, math.log10(max(1, n))) * self.period

    def accusation_window(self, n: int) -> float:
        """Seconds for which one accuser counts once against one life of a member."""
        return max(ACCUSED_AGAIN_PERIODS * self.period, self.suspicion_max(n))

    def suspicion_max(self, n: int) -> float:
        return self.suspicion_beta * self.suspicion_min(n)


LAN = Params()
WAN = Params(
    period=5.0,
    direct_min=0.050,
    direct_max=3.0,
    suspicion_alpha=2.0,
    grace=1.5,
    gossip_interval=0.500,
    gossip_fanout=4,
    sync_wait=5.0,
    stream_timeout=30.0,
)
LOCAL = Params(
    period=1.0,
    direct_max=0.200,
    helpers=1,
    suspicion_alpha=1.0,
    gossip_interval=0.100,
)
PROFILES = {"lan": LAN, "wan": WAN, "local": LOCAL}
