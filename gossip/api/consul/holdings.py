"""The catalog in Consul's terms: nodes, instances on them, checks of both. Reads only.

A node is a member that has not left; a dead one stays with what it offers, and its `serfHealth` is critical,
until it is forgotten. A machine without an agent, which somebody registered through `catalog/register`, is a
node as well, as long as the agent that was told of it is one.

What checks of this agent said last is shown as it was when their status changed: others do not hear of it at
all, and watchers are not woken by it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from gossip.api.consul import carried, definitions
from gossip.api.consul.definitions import NODE_MAINTENANCE, SERF_HEALTH, SERVICE_MAINTENANCE
from gossip.checks.state import NOT_YET
from gossip.core.catalog import NODE, status_key
from gossip.core.records import ServiceRecord, StatusRecord
from gossip.core.types import Status, Verdict

if TYPE_CHECKING:
    from gossip.api import views
    from gossip.checks.monitor import Monitor
    from gossip.core.members import Member
    from gossip.core.records import MemberRecord
    from gossip.core.types import NodeId

__all__ = ["Holdings", "Instance", "Node"]

NODE_CHECK: Final = "node:"
"""What stands before the name of a check that a machine without an agent has as a whole."""
TYPES: Final = {"command": "script", "container": "docker"}
OUTPUT_SECONDS: Final = 300.0
"""After so long, an answer that is made anew shows what a check says by then, as Consul does."""
MAX_MADE: Final = 65_536
SEGMENT: Final = {"consul-network-segment": ""}


class Node(Struct, frozen=True):
    """A node of the catalog."""

    name: str
    id: str
    """A UUID, or empty."""
    address: str
    meta: dict[str, str]
    tagged: dict[str, str]
    index: int
    member: Member
    """Which it is, or whose agent holds it."""
    is_foreign: bool = False


class Instance(Struct, frozen=True):
    """A service of a node."""

    node: Node
    id: str
    name: str
    address: str
    """Empty: the node's."""
    port: int
    tags: tuple[str, ...]
    meta: dict[str, str]
    weights: tuple[int, int]
    tagged: dict[str, tuple[str, int]]
    override: bool
    native: bool
    index: int
    record: ServiceRecord | None
    """None: the agents themselves, listed as a service."""

    @property
    def is_bare(self) -> bool:
        """Whether it is no service, but the node itself: a machine without an agent."""
        return self.node.is_foreign and not self.id

    @property
    def host(self) -> str:
        """Where it is called."""
        return self.address or self.node.address


class Holdings:
    """What a node holds, read anew at each call.

    Args:
        monitor: this agent's own checks, of which more is known than their status.
        self_as: the service as which each agent is listed; empty: none.
        now: seconds, of any clock.
    """

    def __init__(self, node: views.Reads, monitor: Monitor, self_as: str, now: Callable[[], float]) -> None:
        self._node = node
        self._monitor = monitor
        self._self_as = self_as
        self._now = now
        self._outputs: dict[str, tuple[Verdict, float, str]] = {}
        # What was made of a record stands for as long as that record does.
        self._nodes: dict[NodeId, tuple[MemberRecord, Node]] = {}
        self._instances: dict[tuple[NodeId, str], tuple[ServiceRecord, Node, Instance]] = {}

    # ------------------------------------------------------------------------------------------- nodes

    def is_self(self, name: str) -> bool:
        """Whether the agents are listed as that service."""
        return bool(self._self_as) and name.lower() == self._self_as.lower()

    def members(self) -> Iterator[Member]:
        """Whoever is a node."""
        yield self._node.members.me
        for member in self._node.members:
            if member.status is not Status.LEFT:
                yield member

    def nodes(self) -> list[Node]:
        """All of them, by name."""
        found = [self.node(member) for member in self.members()]
        known = {node.name for node in found}
        for member in self.members():
            for record in _services(member):
                foreign = carried.read(record).node
                if foreign is not None and foreign.name not in known:
                    known.add(foreign.name)
                    found.append(_foreign(foreign, member, record))
        return sorted(found, key=lambda node: (node.name, node.id))

    def node(self, member: Member) -> Node:
        """A member as a node."""
        record = member.record
        known = self._nodes.get(record.owner)
        if known is not None and known[0] is record:
            return known[1]
        node = self._as_node(member, record)
        if len(self._nodes) >= MAX_MADE:
            self._nodes.clear()
        self._nodes[record.owner] = (record, node)
        return node

    def _as_node(self, member: Member, record: MemberRecord) -> Node:
        version = 6 if ":" in record.host else 4
        tagged = {side + suffix: record.host for side in ("lan", "wan") for suffix in ("", f"_ipv{version}")}
        meta = {**record.tags, **SEGMENT}
        id = str(uuid.UUID(bytes=bytes(member.id)))
        return Node(record.name, id, record.host, meta, tagged, record.birth or 1, member)

    def find(self, name: str) -> Node | None:
        """The node of a name, in any case of letters."""
        folded = name.lower()
        found = [member for member in self.members() if member.name.lower() == folded]
        if found:
            return self.node(min(found, key=lambda m: (not m.is_live, m.name != name, m.record.birth, m.id)))
        return next((node for node in self.nodes() if node.is_foreign and node.name.lower() == folded), None)

    # --------------------------------------------------------------------------------------- instances

    def instances(self, name: str) -> list[Instance]:
        """Those of a service, in any case of letters; by node and id."""
        catalog = self._node.catalog
        found = [
            self._instance(member, record)
            for spelling in catalog.spellings(name)
            for member, record in catalog.held(spelling)
            if member.status is not Status.LEFT
        ]
        found = [each for each in found if not each.is_bare]
        if self.is_self(name):
            found += [self._agent(self.node(member)) for member in self.members()]
        return sorted(found, key=_place)

    def on(self, node: Node) -> list[Instance]:
        """Those of a node, by id."""
        found = [each for each in self._of(node.member) if each.node.name == node.name and not each.is_bare]
        if self._self_as and not node.is_foreign:
            found.append(self._agent(node))
        return sorted(found, key=_place)

    def all(self) -> list[Instance]:
        """Every one, by node and id."""
        found = [each for member in self.members() for each in self._of(member) if not each.is_bare]
        if self._self_as:
            found += [self._agent(self.node(member)) for member in self.members()]
        return sorted(found, key=_place)

    def own(self) -> list[Instance]:
        """What is registered with this agent itself."""
        return sorted((e for e in self._of(self._node.members.me) if not e.node.is_foreign), key=_place)

    def tags(self) -> dict[str, list[str]]:
        """The tags of every service, by its name."""
        found: dict[str, dict[str, None]] = {}
        for member in self.members():
            for record in _services(member):
                if record.name != carried.BARE:
                    found.setdefault(record.name, {}).update(dict.fromkeys(record.tags))
        if self._self_as:
            found.setdefault(self._self_as, {})
        return {name: list(tags) for name, tags in sorted(found.items())}

    def _of(self, member: Member) -> list[Instance]:
        return [self._instance(member, record) for record in _services(member)]

    def _instance(self, member: Member, record: ServiceRecord) -> Instance:
        node, key = self.node(member), (record.owner, record.key)
        known = self._instances.get(key)
        if known is not None and known[0] is record and known[1] is node:
            return known[2]
        instance = self._as_instance(node, member, record)
        if len(self._instances) >= MAX_MADE:
            self._instances.clear()
        self._instances[key] = (record, node, instance)
        return instance

    def _as_instance(self, node: Node, member: Member, record: ServiceRecord) -> Instance:
        extra = carried.read(record)
        id, address = record.key, record.host
        if extra.node is not None:
            node = _foreign(extra.node, member, record)
            id = record.key.removeprefix(carried.key_of(extra.node.name, ""))
            address = "" if record.host == extra.node.address else record.host
        return Instance(
            node,
            id,
            record.name,
            address,
            record.port,
            record.tags,
            extra.meta,
            (record.weight, extra.warning),
            extra.tagged if node.is_foreign else definitions.with_ip(extra.tagged, address, record.port),
            extra.override,
            extra.native,
            record.version,
            record,
        )

    def _agent(self, node: Node) -> Instance:
        """An agent as an instance of the service that all agents are."""
        name, port = self._self_as, node.member.record.port
        return Instance(node, name, name, "", port, (), {}, (1, 1), {}, False, False, node.index, None)

    # ------------------------------------------------------------------------------------------ checks

    def checks(self, instance: Instance) -> list[dict[str, Any]]:
        """Those of its node, then its own; each by id."""
        return [*self.node_checks(instance.node), *self.service_checks(instance)]

    def service_checks(self, instance: Instance) -> list[dict[str, Any]]:
        """Its own, by id."""
        return [row for row in self._service_rows(instance) if row["ServiceID"]]

    def node_checks(self, node: Node) -> list[dict[str, Any]]:
        """Those of a node as a whole, by id."""
        if node.is_foreign:
            held = {
                row["CheckID"]: row
                for each in self._of(node.member)
                if each.node.name == node.name
                for row in self._service_rows(each)
                if not row["ServiceID"]
            }
            return sorted(held.values(), key=_check_id)
        member = node.member
        row = _row(node, SERF_HEALTH, "Serf Health Status", _live(member), index=node.index)
        row["Output"] = "Agent alive and reachable" if member.is_live else "Agent not live or unreachable"
        rows = [row]
        status = _status(member, NODE)
        if status is not None:
            rows += self._told(node, None, status)
            if status.maintenance:
                rows.append(_maintenance(node, None, status))
        return sorted(rows, key=_check_id)

    def _service_rows(self, instance: Instance) -> list[dict[str, Any]]:
        record, node = instance.record, instance.node
        if record is None:
            return []
        status = _status(node.member, record.key)
        if status is None:
            if not record.checked:
                return []
            row = _row(node, f"service:{instance.id}", "", "critical", instance, record.version)
            row["Name"] = f"Service '{instance.name}' check"
            row["Output"] = "What its checks find has not been heard of yet"
            return [row]
        rows = self._told(node, instance, status)
        if status.maintenance:
            rows.append(_maintenance(node, instance, status))
        return sorted(rows, key=_check_id)

    def _told(self, node: Node, instance: Instance | None, status: StatusRecord) -> list[dict[str, Any]]:
        own = {}
        if node.member is self._node.members.me:
            own = {check.state.definition.name: check for check in self._monitor.of(status.key)}
        rows = []
        for id, (name, found) in zip(status.check_ids, status.checks, strict=True):
            service = instance
            check = own.get(name)
            if node.is_foreign:
                id = id.removeprefix(carried.key_of(node.name, ""))  # noqa: PLW2901 - as it is shown
                if name.startswith(NODE_CHECK):
                    service, name = None, name.removeprefix(NODE_CHECK)  # noqa: PLW2901 - the same
            shown = definitions.show_name(name, service.name if service else "")
            row = _row(node, id, shown, Verdict(found).label, service, status.version)
            kind = definitions.is_default_name(name)
            if check is not None:
                kind = check.state.definition.kind
                row["Notes"] = check.state.definition.note
                row["Output"] = self._output(id, Verdict(found), check.state.output)
            if node.is_foreign:
                kind = ""
            row["Type"] = TYPES.get(kind, kind)
            rows.append(row)
        return rows

    def _output(self, id: str, found: Verdict, output: str) -> str:
        held = self._outputs.get(id)
        if held is None or held[0] is not found or self._now() - held[1] >= OUTPUT_SECONDS:
            if len(self._outputs) > 16_384:
                self._outputs.clear()
            held = self._outputs[id] = (found, self._now(), "" if output == NOT_YET else output)
        return held[2]


def _services(member: Member) -> Iterable[ServiceRecord]:
    return [fact.body for fact in member.services.values() if isinstance(fact.body, ServiceRecord)]


def _status(member: Member, key: str) -> StatusRecord | None:
    fact = member.services.get(status_key(key))
    return fact.body if fact is not None and isinstance(fact.body, StatusRecord) else None


def _live(member: Member) -> str:
    return "passing" if member.is_live else "critical"


def _foreign(each: carried.Foreign, member: Member, record: ServiceRecord) -> Node:
    return Node(each.name, each.id, each.address, each.meta, each.tagged, record.version, member, True)


def _maintenance(node: Node, instance: Instance | None, status: StatusRecord) -> dict[str, Any]:
    what = "Service" if instance else "Node"
    id = SERVICE_MAINTENANCE + instance.id if instance else NODE_MAINTENANCE
    row = _row(node, id, f"{what} Maintenance Mode", "critical", instance, status.version)
    row["Notes"] = status.note or definitions.NO_REASON[what]
    row["Type"] = "maintenance"
    return row


def _row(
    node: Node, id: str, name: str, status: str, instance: Instance | None = None, index: int = 0
) -> dict[str, Any]:
    return {
        "Node": node.name,
        "CheckID": id,
        "Name": name,
        "Status": status,
        "Notes": "",
        "Output": "",
        "ServiceID": instance.id if instance else "",
        "ServiceName": instance.name if instance else "",
        "ServiceTags": list(instance.tags) if instance else [],
        "Type": "",
        "Interval": "",
        "Timeout": "",
        "ExposedPort": 0,
        "Definition": {},
        "CreateIndex": index,
        "ModifyIndex": index,
    }


def _place(instance: Instance) -> tuple[str, str, str]:
    return instance.node.name, instance.id, instance.node.id


def _check_id(row: dict[str, Any]) -> str:
    return str(row["CheckID"])
