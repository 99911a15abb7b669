"""What is known when a diagnosis is made: plain values, as they also travel in the answer.

Durations are seconds and end in `_s`; `ago` counts back from the moment of the diagnosis. Ways end in the
words of `core.types.Reach`; kinds of accusation are those of `core.types.Kind`, in small letters.
"""

from __future__ import annotations

from msgspec import Struct

__all__ = [
    "Accused",
    "Back",
    "Doubted",
    "Facts",
    "Me",
    "Other",
    "Peer",
    "Refused",
    "Relapse",
    "Seed",
    "Witness",
]


class Doubted(Struct, frozen=True):
    """One time that the agent found that it had not been running, or could not hear or send."""

    ago_s: float
    late_s: float
    gap_s: float
    overflow: bool
    mute: bool


class Accused(Struct, frozen=True):
    """Somebody's word against a member, or against the agent itself."""

    by: str
    kind: str
    ago_s: float | None = None


class Relapse(Struct, frozen=True):
    """The last time that a member came back which others, or this agent, had found silent."""

    ago_s: float
    accused: tuple[Accused, ...] = ()
    """Whose word stood against it then."""


class Refused(Struct, frozen=True):
    """A host that has sent what could not be read."""

    reason: str
    address: str
    stream: bool
    count: int
    ago_s: float


class Seed(Struct, frozen=True):
    """A seed, and why the last try to join by it failed; empty if it did not."""

    seed: str
    problem: str


class Other(Struct, frozen=True):
    """Another member of the same name or address."""

    id: str
    name: str
    address: str


class Back(Struct, frozen=True):
    """How a member reached the agent at the address that the agent advertises."""

    tried: str
    seen: str
    """Where it saw the agent's connection come from; the port is any."""
    small: str
    full: str
    stream: str
    heard: bool
    """Whether datagrams of the agent arrived there."""


class Witness(Struct, frozen=True):
    """What another member met when it tried this one; None: no report came."""

    name: str
    met: str | None
    late: bool = False
    """It may have met that over a stream, and nothing by datagram."""


class Peer(Struct, frozen=True):
    """One other member: as it is held, and what came of trying it."""

    id: str
    name: str
    address: str
    status: str
    for_s: float
    flags: tuple[str, ...] = ()
    handle: str = ""
    """By what a command finds it, if that is not its name."""
    heard_ago_s: float | None = None
    """Since its last ping or ack."""
    accused: tuple[Accused, ...] = ()
    relapse: Relapse | None = None
    """Of one that is flagged `unstable`."""
    same_name: tuple[Other, ...] = ()
    same_address: tuple[Other, ...] = ()
    small: str = "untried"
    full: str = "untried"
    stream: str = "untried"
    rtt_ms: float | None = None
    heard: bool = False
    """Whether datagrams of its own arrived here meanwhile."""
    doubted: bool = False
    """The agent was not running for a moment while it tried."""
    back: Back | None = None
    no_back: str = ""
    witnesses: tuple[Witness, ...] = ()

    @property
    def typed(self) -> str:
        """What stands for it on a command line."""
        return self.handle or self.name

    @property
    def is_live(self) -> bool:
        return self.status in ("alive", "suspect")

    @property
    def is_tried(self) -> bool:
        return (self.small, self.stream) != ("untried", "untried")


class Me(Struct, frozen=True):
    """The agent that is asked."""

    id: str
    name: str
    cluster: str
    address: str
    flags: tuple[str, ...] = ()
    health: int = 0
    members: dict[str, int] = {}
    """How many have each status, the agent itself included."""
    doubts: tuple[Doubted, ...] = ()
    lag_s: float = 0.0
    """The worst lateness of the last minute."""
    accused: tuple[Accused, ...] = ()
    same_name: tuple[Other, ...] = ()
    same_address: tuple[Other, ...] = ()
    refused: tuple[Refused, ...] = ()
    seeds: tuple[Seed, ...] = ()
    maintenance: str | None = None
    """Why its operator has all its services out of lookups (maybe empty); None: they are in."""

    @property
    def host(self) -> str:
        return host_of(self.address)


class Facts(Struct, frozen=True):
    """All of it."""

    me: Me
    peers: tuple[Peer, ...] = ()
    """Those that were tried, and those that something is wrong with."""
    more: int = 0
    """Members that are suspect or dead and not among them."""
    only: str = ""
    """The id of the one member that was asked for; empty: all were."""


def host_of(address: str) -> str:
    """The host of `host:port`, without the brackets of an IPv6 literal."""
    return address.rpartition(":")[0].strip("[]")
