"""`agent/*` and `status/*`: what this agent says of itself, its services and checks, and whom it knows."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

import gossip
from gossip.api import views
from gossip.api.consul import definitions, filters, shapes
from gossip.api.consul.context import about_node, encode
from gossip.api.consul.definitions import NODE_MAINTENANCE, SERVICE_MAINTENANCE
from gossip.api.consul.holdings import TYPES
from gossip.api.consul.questions import refuse_other_cluster
from gossip.api.consul.words import Refusal, show_duration
from gossip.api.http.values import Later, Response
from gossip.checks.state import NOT_YET
from gossip.core.catalog import NODE
from gossip.core.types import Phase, Status, show_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gossip.api.consul.context import Context
    from gossip.api.consul.holdings import Instance
    from gossip.api.consul.table import Table
    from gossip.api.http.values import Request
    from gossip.core.coordinates import Coordinate
    from gossip.core.members import Member

__all__ = ["AgentReading", "coordinate_object"]

VERSION: Final = "1.22.0"
"""The release of Consul whose HTTP API is answered here: clients decide by it what they may ask for."""
CODES: Final = {"passing": 200, "warning": 429, "critical": 503, "maintenance": 503}
DIMENSIONS: Final = 8


class AgentReading:
    """The handlers."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, table: Table) -> None:
        """Put them into the table."""
        for path, handler in (
            ("agent/self", self.itself),
            ("agent/version", self.version),
            ("agent/members", self.members),
            ("agent/services", self.services),
            ("agent/service/", self.service),
            ("agent/checks", self.checks),
            ("agent/health/service/id/", self.health_by_id),
            ("agent/health/service/name/", self.health_by_name),
            ("status/leader", self.leader),
            ("status/peers", self.peers),
        ):
            table.add("GET", path, handler)

    @property
    def _cluster(self) -> str:
        return self._context.agent.cluster

    # ------------------------------------------------------------------------------------------ itself

    async def itself(self, asked: Request) -> Response:
        """What this agent is."""
        agent = self._context.agent
        me = agent.node.members.me
        value = {
            "Config": {
                "Datacenter": self._cluster,
                "PrimaryDatacenter": self._cluster,
                "NodeName": me.name,
                "NodeID": _uuid(me),
                "Server": False,
                "Revision": f"gossip-{gossip.__version__}",
                "Version": VERSION,
                "BuildDate": "1970-01-01T00:00:01Z",
            },
            "DebugConfig": {},
            "Coord": coordinate_object(agent.node.coordinate(me.id)),
            "Member": self._member(me, me.name),
            "Stats": self._stats(),
            "Meta": {**agent.node_tags, "consul-network-segment": ""},
            "xDS": {},
        }
        return self._context.kept(asked, value)

    def _stats(self) -> dict[str, dict[str, str]]:
        agent = self._context.agent
        node, info = agent.node, agent.info()
        counts = views.tally(node)
        checks = [check.state.definition for key in self._own_keys() for check in agent.monitor.of(key)]
        kinds = Counter(each.kind for each in checks)
        return {
            "agent": {
                "check_monitors": str(kinds["command"]),
                "check_ttls": str(kinds["ttl"]),
                "checks": str(len(checks)),
                "services": str(len(self._context.holdings.own())),
            },
            "build": {"prerelease": "", "revision": f"gossip-{gossip.__version__}", "version": VERSION},
            "consul": {
                "known_servers": "0",
                "leader_addr": show_address(node.members.me.address),
                "server": "false",
            },
            "gossip": {
                "version": gossip.__version__,
                "uptime_s": str(info.uptime_s),
                "fingerprint": info.view.fingerprint,
                "queue": str(info.queue),
            },
            "serf_lan": {
                "encrypted": "true" if agent.keys().keys else "false",
                "failed": str(counts["dead"]),
                "health_score": str(info.health),
                "left": str(counts["left"]),
                "members": str(sum(counts.values())),
            },
        }

    async def version(self, asked: Request) -> Response:
        """The release whose API this is."""
        value = {"SHA": f"gossip-{gossip.__version__}", "BuildDate": "1970-01-01T00:00:01Z"}
        return self._context.kept(asked, {**value, "HumanVersion": VERSION, "FIPS": ""})

    async def leader(self, asked: Request) -> Response:
        """There is none: what clients look for is an agent that answers, and here is one."""
        refuse_other_cluster(asked, self._cluster)
        return self._context.kept(asked, show_address(self._context.agent.node.members.me.address))

    async def peers(self, asked: Request) -> Response:
        """Every live member, this one first: each of them has all there is."""
        refuse_other_cluster(asked, self._cluster)
        node = self._context.agent.node
        others = sorted(show_address(member.address) for member in node.members if member.is_live)
        return self._context.kept(asked, [show_address(node.members.me.address), *others])

    async def members(self, asked: Request) -> Response:
        """Whom this agent knows, itself first."""
        node = self._context.agent.node
        suffix = f".{self._cluster}" if asked.text("wan") not in ("", "0", "false") else ""
        rows = [self._member(member, member.name + suffix) for member in (node.members.me, *node.members)]
        test = self._filter(asked, shapes.MEMBER)
        return self._context.kept(asked, [row for row in rows if test(row)])

    def _member(self, member: Member, name: str) -> dict[str, Any]:
        record = member.record
        tags = {
            **record.tags,
            "build": f"{VERSION}:",
            "dc": self._cluster,
            "id": _uuid(member),
            "role": "node",
            "segment": "",
            "vsn": "2",
            "vsn_max": "3",
            "vsn_min": "2",
        }
        return {
            "Name": name,
            "Addr": record.host,
            "Port": record.port,
            "Tags": tags,
            "Status": _status_of(member),
            "ProtocolMin": 1,
            "ProtocolMax": 5,
            "ProtocolCur": 2,
            "DelegateMin": 2,
            "DelegateMax": 5,
            "DelegateCur": 4,
        }

    # -------------------------------------------------------------------------------- services and checks

    async def services(self, asked: Request) -> Response:
        """This agent's own services, by id."""
        own = self._context.holdings.own()
        rows = {each.id: shapes.agent_service(each, self._cluster) for each in own}
        test = self._filter(asked, shapes.SERVICE)
        return self._context.kept(asked, {id: row for id, row in rows.items() if test(row)})

    async def service(self, asked: Request) -> Response | Later:
        """One of them; with `?hash=` of what is held, when it is another."""
        context, id = self._context, asked.params["rest"]
        if not id:
            raise Refusal(400, "Missing service ID")
        question = context.question(asked)

        def make() -> object:
            for each in context.holdings.own():
                if each.id == id:
                    row = shapes.agent_service(each, self._cluster)
                    return {**row, "ContentHash": _hash(row)}
            return None

        def respond() -> Response:
            row = make()
            if not isinstance(row, dict):
                raise Refusal(404, f"unknown service ID: {id}")
            return _with_headers(context.kept(asked, row), [("X-Consul-Contenthash", row["ContentHash"])])

        held = asked.text("hash")
        row = make()
        if not held or not isinstance(row, dict) or row["ContentHash"] != held:
            return respond()

        async def wait() -> Response:
            topics = (about_node(context.agent.node.name),)
            answer = context.answers.get(("agent-service", id), topics, lambda: encode(make()))
            await context.answers.wait(answer, answer.index, context.patience(question))
            return respond()

        return Later(wait)

    async def checks(self, asked: Request) -> Response:
        """This agent's own checks, by id."""
        rows = {row["CheckID"]: row for row in self._checks(lambda _instance: True)}
        test = self._filter(asked, shapes.CHECK)
        return self._context.kept(asked, {id: row for id, row in sorted(rows.items()) if test(row)})

    def _own_keys(self) -> list[str]:
        return [NODE, *(each.id for each in self._context.holdings.own())]

    def _checks(self, wanted: Callable[[Instance], bool]) -> list[dict[str, Any]]:
        """Those of the node, and of the services that are wanted."""
        services = [each for each in self._context.holdings.own() if wanted(each)]
        rows = self._checks_of(None)
        for each in services:
            rows += self._checks_of(each)
        return rows

    def _checks_of(self, instance: Instance | None) -> list[dict[str, Any]]:
        agent = self._context.agent
        key = instance.id if instance else NODE
        rows = []
        for check in agent.monitor.of(key):
            definition, state = check.state.definition, check.state
            rows.append(
                self._row(
                    instance,
                    definition.id,
                    definitions.show_name(definition.name, instance.name if instance else ""),
                    state.status.label,
                    definition.note,
                    "" if state.output == NOT_YET else state.output,
                    TYPES.get(definition.kind, definition.kind),
                    show_duration(definition.interval) if definition.runs else "",
                    show_duration(definition.timeout) if definition.runs else "",
                )
            )
        if key in agent.monitor.maintenance:
            what = "Service" if instance else "Node"
            id = SERVICE_MAINTENANCE + key if instance else NODE_MAINTENANCE
            reason = agent.monitor.maintenance[key] or definitions.NO_REASON[what]
            name = f"{what} Maintenance Mode"
            rows.append(self._row(instance, id, name, "critical", reason, "", "maintenance", "", ""))
        return rows

    def _row(self, instance: Instance | None, id: str, name: str, *rest: str) -> dict[str, Any]:
        status, notes, output, kind, interval, timeout = rest
        return {
            "Node": self._context.agent.node.name,
            "CheckID": id,
            "Name": name,
            "Status": status,
            "Notes": notes,
            "Output": output,
            "ServiceID": instance.id if instance else "",
            "ServiceName": instance.name if instance else "",
            "ServiceTags": list(instance.tags) if instance else [],
            "Type": kind,
            "Interval": interval,
            "Timeout": timeout,
            "ExposedPort": 0,
            "Definition": {},
            "CreateIndex": 0,
            "ModifyIndex": 0,
        }

    def _filter(self, asked: Request, shape: Mapping[str, filters.Shape]) -> filters.Test:
        text = asked.text("filter")
        return filters.read(text, shape) if text else lambda _row: True

    # ------------------------------------------------------------------------------------------ health

    async def health_by_id(self, asked: Request) -> Response:
        """Whether one service here is well, in the status of the answer."""
        id = asked.params["rest"]
        if not id:
            raise Refusal(400, "Missing serviceID")
        found = [self._health(each) for each in self._context.holdings.own() if each.id == id]
        if not found:
            reason = f"ServiceId {id} not found"
            nothing = {"AggregatedStatus": "critical", "Service": None, "Checks": None}
            return self._healthy(asked, 404, reason, reason, nothing)
        status = str(found[0]["AggregatedStatus"])
        return self._healthy(asked, CODES[status], status, status, found[0])

    async def health_by_name(self, asked: Request) -> Response:
        """The same of all here of one name: the worst counts."""
        name = asked.params["rest"]
        if not name:
            raise Refusal(400, "Missing service Name")
        found = [self._health(each) for each in self._context.holdings.own() if each.name == name]
        if not found:
            reason = f"ServiceName {name} Not Found"
            return self._healthy(asked, 404, reason, reason, [])
        status = max((str(each["AggregatedStatus"]) for each in found), key=list(CODES).index)
        return self._healthy(asked, CODES[status], status, status, found)

    def _health(self, instance: Instance) -> dict[str, Any]:
        rows = [*self._checks_of(None), *self._checks_of(instance)]
        found = ("maintenance" if row["Type"] == "maintenance" else str(row["Status"]) for row in rows)
        worst = max(found, key=list(CODES).index, default="passing")
        service = shapes.agent_service(instance, self._cluster)
        return {"AggregatedStatus": worst, "Service": service, "Checks": rows}

    def _healthy(self, asked: Request, code: int, reason: str, text: str, value: object) -> Response:
        headers = [("X-Consul-Reason", _printable(reason))]
        if asked.text("format") == "text" or asked.headers.get("accept", "").startswith("text/plain"):
            return Response(code, text.encode(), "text/plain", headers)
        return _with_headers(self._context.kept(asked, value), headers, code)


def coordinate_object(coordinate: Coordinate | None) -> dict[str, Any]:
    """A coordinate; the origin, with the largest error, for a node that has none."""
    if coordinate is None:
        return {"Vec": [0.0] * DIMENSIONS, "Error": 1.5, "Adjustment": 0.0, "Height": 1e-5}
    height, error, adjustment = coordinate[DIMENSIONS:]
    return {
        "Vec": list(coordinate[:DIMENSIONS]),
        "Error": error,
        "Adjustment": adjustment,
        "Height": height,
    }


def _status_of(member: Member) -> int:
    """As Serf counts: 1 alive, 2 leaving, 3 left, 4 failed. A suspect member is alive."""
    if member.status is Status.LEFT:
        return 3
    if member.status is Status.DEAD:
        return 4
    return 2 if member.record.phase == Phase.LEAVING else 1


def _uuid(member: Member) -> str:
    return str(uuid.UUID(bytes=bytes(member.id)))


def _hash(row: dict[str, Any]) -> str:
    return blake2b(encode(row), digest_size=8).hexdigest()


def _with_headers(answer: Response, headers: list[tuple[str, str]], status: int = 200) -> Response:
    return Response(status, answer.body, answer.content_type, headers)


def _printable(text: str) -> str:
    """What a header may hold of a text."""
    return "".join(each if " " <= each <= "~" else "?" for each in text)[:256]
