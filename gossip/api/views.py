"""What the node holds, in the shapes that programs and people read. Reads only.

Ids become hexadecimal text, moments of the monotonic clock become RFC 3339 in UTC, seconds of
round trip become milliseconds.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Protocol, TypeAlias

import msgspec
from msgspec import Meta, Struct

from gossip.core.catalog import NODE, ZONE, status_key
from gossip.core.records import MAX_NAME_BYTES, ServiceRecord, StatusRecord
from gossip.core.types import Status, show_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gossip.core.catalog import Catalog, Instance
    from gossip.core.members import Member, MemberTable
    from gossip.core.types import NodeId

__all__ = [
    "Addresses",
    "Info",
    "InstanceView",
    "Instances",
    "Lookup",
    "MemberView",
    "Members",
    "Places",
    "Reads",
    "ServiceView",
    "Services",
    "ServicesWatch",
    "View",
    "instance",
    "instances",
    "itself",
    "maintenance",
    "member",
    "members",
    "milliseconds",
    "places",
    "reachable",
    "rfc3339",
    "service",
    "services",
    "tally",
    "version_of",
]

MAX_PLACES = 16_384
"""Distances in one answer: far below a line of 1 MiB."""


class Reads(Protocol):
    """What local programs may see of `core.node.Node`. Read between inputs: in one go, without awaiting."""

    catalog: Catalog

    @property
    def id(self) -> NodeId: ...
    @property
    def name(self) -> str: ...
    @property
    def members(self) -> MemberTable: ...
    @property
    def flags(self) -> tuple[str, ...]: ...
    @property
    def is_isolated(self) -> bool: ...
    def find(self, who: str) -> Member: ...
    def rtt(self, a: NodeId | None, b: NodeId) -> float | None: ...
    def near(self, instances: Sequence[Instance]) -> list[Instance]: ...


class MemberView(Struct, frozen=True, gc=False):
    """One member, as this node holds it."""

    id: str
    name: str
    address: str
    status: str
    incarnation: int
    tags: dict[str, str]
    since: str
    """When this node gave it this status."""
    rtt_ms: float | None
    flags: tuple[str, ...]
    services: int


class InstanceView(Struct, frozen=True, gc=False, omit_defaults=True):
    """One instance of a service."""

    service: str
    id: str
    node: str
    node_id: str
    address: str
    port: int
    tags: tuple[str, ...]
    meta: dict[str, str]
    weight: int
    status: str
    checks: dict[str, str] = {}
    """Name of each check, and what it found. Absent where there is none."""
    note: str = ""
    """Why it is in maintenance."""
    zone: str = ""
    """Where it is. Absent where nobody says."""


class ServiceView(Struct, frozen=True, gc=False):
    """A service's name, how many instances a lookup gives, and every tag that one of them has."""

    name: str
    instances: int
    tags: list[str]
    failing: int
    """Instances of live members that a lookup hides, since they are critical or in maintenance."""


Name: TypeAlias = Annotated[str, Meta(max_length=MAX_NAME_BYTES)]
"""Of a service or an event, as somebody asks for it: nothing has a longer one, and a watch keeps it."""
Tags: TypeAlias = Annotated[tuple[Annotated[str, Meta(max_length=255)], ...], Meta(max_length=64)]


class Lookup(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of `services.lookup`."""

    service: Name
    tags: Tags = ()
    """All of them are asked for."""
    any: bool = False
    """Every status, dead and left owners too."""
    no_suspect: bool = False
    near: bool = False


class ServicesWatch(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of `services.watch`: those of a lookup, or none at all to watch the list of services."""

    service: Name = ""
    tags: Tags = ()
    any: bool = False
    no_suspect: bool = False
    near: bool = False

    def question(self) -> Lookup | None:
        """The lookup to repeat; None for the list."""
        if not self.service:
            return None
        return Lookup(self.service, self.tags, self.any, self.no_suspect, self.near)


class Members(Struct, frozen=True):
    """The answer of `members.list`."""

    members: list[MemberView]
    index: int


class Instances(Struct, frozen=True, omit_defaults=True):
    """The answer of `services.lookup`; `index` is that of this service's last change."""

    instances: list[InstanceView]
    index: int
    isolated: bool = False
    """The node that is asked hears nobody, so that this may be old. Absent while it does."""


class Places(Struct, frozen=True):
    """The answer of `members.places`: what a caller here needs to prefer what is near."""

    zone: str
    """This node's; empty if it has no such tag."""
    zones: dict[str, int]
    """How many live members each zone has; under the empty name, those without one."""
    rtt_ms: dict[str, float]
    """Estimated milliseconds to live members, by their id; to the nearest, if there are very many."""


class Services(Struct, frozen=True):
    """The answer of `services.list`."""

    services: list[ServiceView]
    index: int


class Addresses(Struct, frozen=True):
    """Where an agent can be spoken to; null for a face that is switched off."""

    gossip: str
    http: str | None
    dns: str | None
    socket: str


class View(Struct, frozen=True):
    """The fingerprint of all that this node holds live, and the share of peers with the same one."""

    fingerprint: str
    agreement: float | None


class Info(Struct, frozen=True):
    """The answer of `agent.info`."""

    id: str
    name: str
    cluster: str
    version: str
    pid: int
    status: str
    addresses: Addresses
    incarnation: int
    uptime_s: float
    members: dict[str, int]
    services: int
    """Instances in the whole cluster that a lookup would give."""
    health: int
    flags: tuple[str, ...]
    view: View
    queue: int
    rss_bytes: int | None
    counters: dict[str, int]
    sealing: str = "clear"
    """How it speaks to others."""
    authority: str = ""
    """The public key of the cluster's authority; empty if there is none."""
    admission: str = "open"
    """`invited` if only whom it has invited is let in."""
    bans: int = 0
    maintenance: str | None = None
    """Why lookups give none of the node's services (maybe empty); null while its operator wants calls."""


class KeyView(Struct, frozen=True):
    """One cluster key of this agent, without its secret."""

    name: str
    mark: str
    state: str
    target: bool
    """Whether it is the one that the last change of keys was to."""


class MemberKeys(Struct, frozen=True):
    """What a member says of its cluster keys."""

    name: str
    id: str
    status: str
    keys: dict[str, str] | None
    """State by mark; None: it says nothing, since it speaks in clear or is of an older version."""


class KeyChange(Struct, frozen=True):
    """How the last change of the cluster's key stands, as this agent sees it."""

    target: str
    stage: str
    """`distributing`: members lack the key; `switching`: some seal with an older one; `done`."""
    waiting: list[str]
    """Live members that it waits for."""
    away: list[str]
    """Dead members without the key: older keys wait for them."""
    insists: bool


class KeyList(Struct, frozen=True):
    """The answer of `keys.list`."""

    keys: list[KeyView]
    members: list[MemberKeys]
    change: KeyChange | None
    sealing: str
    clear_accepted: int


def rfc3339(wall: float) -> str:
    """Milliseconds are enough, and what other programs' logs have. `wall` is seconds since 1970."""
    whole = int(wall // 1)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{int((wall - whole) * 1000):03d}Z"


def milliseconds(seconds: float | None) -> float | None:
    """To the microsecond; None stays None: not known yet."""
    return None if seconds is None else round(seconds * 1000, 3)


def maintenance(each: Member) -> str | None:
    """Why the whole node is in maintenance, as far as it says; None: it is not."""
    fact = each.services.get(status_key(NODE))
    if fact is None or not isinstance(fact.body, StatusRecord) or not fact.body.maintenance:
        return None
    return fact.body.note


def _flags(each: Member) -> tuple[str, ...]:
    return each.flags if maintenance(each) is None else (*each.flags, "maintenance")


def member(each: Member, now: float, wall: float) -> MemberView:
    """`now` and `wall` are the same moment, of the monotonic clock that `since` is in and of the calendar."""
    record = each.record
    return MemberView(
        each.id.hex(),
        record.name,
        show_address(record.address),
        each.status.label,
        record.version,
        record.tags,
        rfc3339(wall - (now - each.since)),
        milliseconds(each.rtt),
        _flags(each),
        sum(isinstance(fact.body, ServiceRecord) for fact in each.services.values()),
    )


def itself(node: Reads, now: float, wall: float) -> MemberView:
    """The node that is asked is a member too; the flag `self` says which."""
    row = member(node.members.me, now, wall)
    return msgspec.structs.replace(row, flags=tuple(dict.fromkeys(("self", *node.flags, *row.flags))))


def members(node: Reads, now: float, wall: float) -> Members:
    """Everyone, the node that is asked first."""
    rows = [itself(node, now, wall)]
    rows.extend(member(each, now, wall) for each in node.members)
    return Members(rows, node.members.index)


def instance(each: Instance) -> InstanceView:
    """One instance as a lookup found it."""
    return InstanceView(
        each.name,
        each.key,
        each.node,
        each.owner.hex(),
        each.host,
        each.port,
        each.tags,
        each.meta,
        each.weight,
        each.status,
        dict(each.checks),
        each.note,
        each.zone,
    )


def instances(node: Reads, question: Lookup) -> Instances:
    """What a lookup of one service gives, in the catalog's order or nearest first."""
    found: Sequence[Instance] = node.catalog.lookup(
        question.service, question.tags, question.any, question.no_suspect
    )
    if question.near:
        found = node.near(found)
    return Instances(
        [instance(each) for each in found], node.catalog.index_of(question.service), node.is_isolated
    )


def service(node: Reads, name: str) -> ServiceView | None:
    """The service's row in the list; None if no live member offers it."""
    found = [each for each in node.catalog.lookup(name, any=True) if each.status not in ("dead", "left")]
    if not found:
        return None
    failing = sum(each.status in ("critical", "maintenance") for each in found)
    tags = sorted({tag for each in found for tag in each.tags})
    return ServiceView(name, len(found) - failing, tags, failing)


def services(node: Reads) -> Services:
    """Every service that some live member offers."""
    rows = [service(node, name) for name in node.catalog.names()]
    return Services([row for row in rows if row is not None], node.catalog.index)


def version_of(node: Reads, key: str) -> int | None:
    """The version of the own service of that id; None if there is none."""
    fact = node.members.me.services.get((2, key))
    return fact.body.version if fact is not None and isinstance(fact.body, ServiceRecord) else None


def places(node: Reads) -> Places:
    """Where everybody is."""
    me = node.members.me
    zones: dict[str, int] = {}
    away = [(0.0, me.id)]
    for each in (me, *(member for member in node.members if member.is_live)):
        zone = each.record.tags.get(ZONE, "")
        zones[zone] = zones.get(zone, 0) + 1
        if each is not me and (rtt := node.rtt(None, each.id)) is not None:
            away.append((rtt, each.id))
    nearest = sorted(away)[:MAX_PLACES]
    return Places(
        me.record.tags.get(ZONE, ""), zones, {id.hex(): round(rtt * 1000, 3) for rtt, id in nearest}
    )


def tally(node: Reads) -> dict[str, int]:
    """How many members have each status, oneself included."""
    counts = {status.label: node.members.counts[status] for status in Status}
    counts[node.members.me.status.label] += 1
    return counts


def reachable(node: Reads) -> int:
    """How many instances in the whole cluster a lookup would give."""
    return sum(len(node.catalog.lookup(name)) for name in node.catalog.names())
