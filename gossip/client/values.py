"""What the Python face answers with: the JSON objects of the local socket as frozen dataclasses.

Fields keep the names that `--json` shows. A field that an agent of a later release adds is ignored;
one that is missing is a `LocalProtocolError`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gossip.client.framing import show_endpoint
from gossip.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeVar

    from gossip.client.framing import Message

    T = TypeVar("T")

__all__ = [
    "CheckState",
    "Diagnosis",
    "Finding",
    "Instance",
    "JoinResult",
    "Member",
    "MemberView",
    "Registration",
    "ReloadResult",
    "RoundTrip",
    "ServiceSummary",
    "ServiceView",
    "UserEvent",
    "decode",
]


def decode(build: Callable[[Message], T], value: Message) -> T:
    """`build(value)`, with one clear error when the agent's answer has another shape."""
    try:
        return build(value)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise LocalProtocolError(
            f"the agent's answer has an unexpected shape ({problem!r}): are the versions alike?"
        ) from problem


@dataclass(frozen=True, slots=True)
class Member:
    """One node, as the agent that was asked holds it."""

    id: str
    """The node's identity, 32 hexadecimal digits. Names are for people; this is what is unique."""
    name: str
    address: str
    """`host:port`, as advertised."""
    status: str
    """alive, suspect, dead or left."""
    incarnation: int
    tags: dict[str, str]
    since: dt.datetime
    """When it took this status, by the clock of the agent that was asked."""
    rtt_ms: float | None
    """Smoothed round trip in milliseconds; None before the first."""
    flags: tuple[str, ...]
    """`self` is the agent that was asked."""
    services: int

    @classmethod
    def from_json(cls, value: Message) -> Member:
        """Reads the object that `members.list` gives."""
        return cls(
            id=value["id"],
            name=value["name"],
            address=value["address"],
            status=value["status"],
            incarnation=value["incarnation"],
            tags=dict(value["tags"]),
            since=dt.datetime.fromisoformat(value["since"]),
            rtt_ms=value["rtt_ms"],
            flags=tuple(value["flags"]),
            services=value["services"],
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the doctor found."""

    code: str
    """A word for programs: `udp_both`, `port_closed`, `advertise`, ..."""
    severity: str
    """`problem`, or `note` for what is only worth knowing."""
    text: str
    advice: str
    """What to do; may be empty."""
    member: str
    """The name of the member that it is about; empty for the agent that was asked."""
    member_id: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the doctor says."""

    ok: bool
    """Nothing is wrong."""
    summary: str
    findings: tuple[Finding, ...]
    """Problems first."""
    facts: dict[str, Any]
    """What it was concluded from, as `gossip doctor --json` shows it."""

    @classmethod
    def from_json(cls, value: Message) -> Diagnosis:
        """Reads the object that `agent.doctor` gives."""
        words = ("code", "severity", "text", "advice", "member", "member_id")
        found = tuple(Finding(*(each[word] for word in words)) for each in value["findings"])
        return cls(value["ok"], value["summary"], found, dict(value["facts"]))


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a service."""

    service: str
    id: str
    """The registration's id, unique on its node."""
    node: str
    """The owner's name."""
    node_id: str
    address: str
    """The host alone, without the port."""
    port: int
    tags: tuple[str, ...]
    meta: dict[str, str]
    weight: int
    status: str
    """The first that applies of dead, left, maintenance, critical, suspect, restarting, warning and
    passing."""
    checks: dict[str, str] = field(default_factory=dict)
    """The verdict of each check by its name; those of the node itself begin with `node:`."""
    note: str = ""
    """Why it is in maintenance."""
    zone: str = ""
    """Its own meta `zone`, else its node's tag `zone`; empty where nobody says."""

    @property
    def endpoint(self) -> str:
        """`host:port`, with the brackets that an IPv6 literal needs."""
        return show_endpoint(self.address, self.port)

    @classmethod
    def from_json(cls, value: Message) -> Instance:
        """Reads the object that `services.lookup` gives."""
        return cls(
            service=value["service"],
            id=value["id"],
            node=value["node"],
            node_id=value["node_id"],
            address=value["address"],
            port=value["port"],
            tags=tuple(value["tags"]),
            meta=dict(value["meta"]),
            weight=value["weight"],
            status=value["status"],
            # Absent from an agent that is older than checks.
            checks=dict(value.get("checks", ())),
            note=value.get("note", ""),
            zone=value.get("zone", ""),
        )


@dataclass(frozen=True, slots=True)
class ServiceSummary:
    """A service's name and how many instances a lookup gives."""

    name: str
    instances: int
    tags: tuple[str, ...]
    """Every tag that some instance has."""
    failing: int = 0
    """Instances of live members that a lookup hides, since they are critical or in maintenance. A replica
    does not hear of these."""

    @classmethod
    def from_json(cls, value: Message) -> ServiceSummary:
        """Reads the object that `services.list` gives."""
        return cls(value["name"], value["instances"], tuple(value["tags"]), value.get("failing", 0))


@dataclass(frozen=True, slots=True)
class Registration:
    """What the agent made of a registration: on its disk and visible to lookups there."""

    id: str
    version: int


@dataclass(frozen=True, slots=True)
class CheckState:
    """One check of the agent that was asked, and how it stands."""

    id: str
    name: str
    service: str
    """The service's name; empty for a check of the node."""
    service_id: str
    kind: str
    """http, tcp, grpc, command, ttl, alias or container."""
    status: str
    """passing, warning or critical."""
    output: str
    """What the last run said. Only the node itself has it."""
    since: dt.datetime
    """When it took this status."""
    next_s: float | None
    """Seconds until it runs again, or until its time is up; None when neither will come."""

    @classmethod
    def from_json(cls, value: Message) -> CheckState:
        """Reads the object that `checks.list` gives."""
        return cls(
            id=value["id"],
            name=value["name"],
            service=value["service"],
            service_id=value["service_id"],
            kind=value["kind"],
            status=value["status"],
            output=value["output"],
            since=dt.datetime.fromisoformat(value["since"]),
            next_s=value["next_s"],
        )


@dataclass(frozen=True, slots=True)
class ReloadResult:
    """What a reload of the service definitions did."""

    services: int
    """How many there are in files now."""
    added: int
    changed: int
    removed: int
    problems: tuple[str, ...] = ()
    """What could not be taken over besides, and why: settings that need a restart, ports that are taken."""

    @classmethod
    def from_json(cls, value: Message) -> ReloadResult:
        """Reads the answer of `agent.reload`."""
        services, added, changed, removed = (
            int(value[name]) for name in ("services", "added", "changed", "removed")
        )
        return cls(services, added, changed, removed, tuple(value.get("problems", ())))


@dataclass(frozen=True, slots=True)
class JoinResult:
    """What became of one address that was to be joined."""

    address: str
    ok: bool
    detail: str
    """How, or why not."""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """The round trip between two members, estimated from network coordinates."""

    source: str
    target: str
    rtt_ms: float | None
    """Milliseconds; None while unknown."""


@dataclass(frozen=True, slots=True)
class ServiceView:
    """All instances of one watched service after a change. Iterates over the instances."""

    instances: tuple[Instance, ...]
    index: int
    """Rises with each change, as long as it is the same agent that is asked."""
    resync: bool = False
    """True when states before this one may have been missed: the reader was slow, or the agent away."""

    def __iter__(self) -> Iterator[Instance]:
        return iter(self.instances)

    def __len__(self) -> int:
        return len(self.instances)

    @classmethod
    def from_json(cls, value: Message) -> ServiceView:
        """Reads a value of `services.watch`."""
        found = tuple(Instance.from_json(each) for each in value["instances"])
        return cls(found, value["index"], bool(value.get("resync", False)))


@dataclass(frozen=True, slots=True)
class MemberView:
    """All members after a change, and the change. Iterates over the members."""

    members: tuple[Member, ...]
    index: int
    event: str = ""
    """member_joined, member_updated, member_suspected, member_refuted, member_failed, member_left or
    member_flagged; empty when this is the whole value: at first, and after this watcher was too slow."""
    member: Member | None = None
    """Whom the event is about."""

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)


@dataclass(frozen=True, slots=True)
class UserEvent:
    """An event that some node sent to all."""

    name: str
    payload: str
    node: str
    """The sender's name."""
    node_id: str
    id: int
    """The event's version: rises with each event of one sender."""
    missed: bool = False
    """True when there may have been events before this one that this watcher was not told of."""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> UserEvent:
        """Reads a notification of `events.watch`."""
        return cls(
            name=value["name"],
            payload=value["payload"],
            node=value["node"],
            node_id=value["node_id"],
            id=value["id"],
            missed=bool(value.get("resync", False)),
        )
