"""`catalog/register` and `deregister`: services of machines without an agent.

Such a service is one of this agent's, with the machine's name and address carried in its record: every agent
lists it under that machine, and it lives as long as this agent does. The machine by itself, which may have
no service at all, stands here as a service of a name of its own that Consul's API does not show
(`carried.BARE`). Nobody runs its checks; their status is what was registered last. A machine that runs an
agent speaks for itself: what others say of it is refused.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gossip.api.consul import bodies, carried, definitions
from gossip.api.consul.carried import Foreign
from gossip.api.consul.holdings import NODE_CHECK
from gossip.api.consul.questions import refuse_other_cluster
from gossip.api.consul.registering import registration_of
from gossip.api.consul.words import Refusal
from gossip.api.methods import Registration
from gossip.core.records import ServiceRecord
from gossip.core.types import Status
from gossip.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gossip.api.consul.context import Context
    from gossip.api.consul.table import Table
    from gossip.api.http.values import Request, Response
    from gossip.core.members import Member, MemberTable

__all__ = ["External"]

FOR_EVER: Final = "2160h"
"""What a status that nobody renews is good for: the longest that a check may be."""


class External:
    """The handlers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._agent = context.agent

    def add_to(self, table: Table) -> None:
        """Put them into the table."""
        table.add("PUT", "catalog/register", self.register)
        table.add("PUT", "catalog/deregister", self.deregister)

    # -------------------------------------------------------------------------------------- registering

    async def register(self, asked: Request) -> Response:
        """A service of a machine, its checks, or what is known of the machine."""
        given = bodies.decode(asked.body, bodies.CATALOG_REGISTRATION)
        name = self._node_name(asked, given)
        held = self._held(name)
        node = self._described(name, given, held)
        wanted = {record.key: self._again(record, node) for record in held}
        bare = carried.key_of(name, "")
        meta = carried.put(node=node)
        wanted.setdefault(bare, Registration(carried.BARE, 0, bare, node.address, (), meta, 1, []))
        if given.get("Service"):
            new = _service(
                given["Service"], node, definitions.command_policy(self._agent.command_checks, asked.grant)
            )
            old = wanted.get(new.id)
            wanted[new.id] = new if old is None else msgspec.structs.replace(new, checks=old.checks)
        reports = self._add_checks(given, name, wanted, bare)
        for registration in wanted.values():
            # What is registered already in the same words costs nothing.
            await self._agent.register(registration)
        for _, id, status, output in reports:
            self._agent.update_check(id, status, output)
        return self._context.kept(asked, True)

    def _node_name(self, asked: Request, given: Mapping[str, Any]) -> str:
        refuse_other_cluster(asked, self._agent.cluster, given.get("Datacenter", ""))
        name = given.get("Node", "")
        if not name:
            raise Refusal(400, "Must provide node")
        return str(name)

    def _described(self, name: str, given: Mapping[str, Any], held: list[ServiceRecord]) -> Foreign:
        if self._member(name) is not None:
            raise Refusal(400, f"The node {name!r} runs an agent, which alone speaks for it: register there")
        known = carried.read(held[0]).node if held else None
        if given.get("SkipNodeUpdate") and known is not None:
            return known
        address = given.get("Address", "")
        if not address:
            raise Refusal(400, "Must provide address if SkipNodeUpdate is not set")
        definitions.check_meta(given.get("NodeMeta", {}), "Invalid node metadata")
        tagged = dict(given.get("TaggedAddresses", {}))
        return Foreign(name, address, given.get("ID", ""), dict(given.get("NodeMeta", {})), tagged)

    def _again(self, record: ServiceRecord, node: Foreign) -> Registration:
        checks = [each.mapping() for each in self._agent.monitor.definitions(record.key)]
        old = carried.read(record).node
        host = node.address if old is None or record.host == old.address else record.host
        registration = registration_of(record, checks)
        meta = {**record.meta, **carried.put(node=node)}
        return msgspec.structs.replace(registration, meta=meta, address=host)

    def _add_checks(
        self, given: Mapping[str, Any], name: str, wanted: dict[str, Registration], bare: str
    ) -> list[tuple[str, str, str, str]]:
        """Adds the checks to the registrations; (service, check, status, output) of each."""
        reports = []
        for check in [given.get("Check"), *given.get("Checks", ())]:
            if not check:
                continue
            if check.get("Node") not in (None, "", name):
                raise Refusal(400, f"check node {check['Node']!r} does not match node {name!r}")
            shown = check.get("CheckID") or check.get("Name")
            if not shown:
                raise Refusal(400, "Missing check name")
            status = check.get("Status") or "critical"
            if status not in ("passing", "warning", "critical"):
                raise Refusal(400, f"Invalid check status: '{status[:64]}'")
            service = check.get("ServiceID", "")
            key = carried.key_of(name, service) if service else bare
            if key not in wanted:
                raise Refusal(400, f"ServiceID {service!r} does not exist on node {name!r}")
            label = definitions.short(("" if service else NODE_CHECK) + (check.get("Name") or shown))
            id = carried.key_of(name, shown)
            table = {
                "ttl": FOR_EVER,
                "id": id,
                "name": label,
                "start": status,
                "note": check.get("Notes", ""),
            }
            rest = [each for each in wanted[key].checks if each["id"] != id]
            checks = definitions.unlike([*rest, table])
            wanted[key] = msgspec.structs.replace(wanted[key], checks=checks)
            reports.append((key, id, status, check.get("Output", "")))
        return reports

    # ------------------------------------------------------------------------------------ deregistering

    async def deregister(self, asked: Request) -> Response:
        """A service or a check of a machine goes, or all of it."""
        given = bodies.decode(asked.body, bodies.CATALOG_DEREGISTRATION)
        name = self._node_name(asked, given)
        member = self._member(name)
        service, check = given.get("ServiceID", ""), given.get("CheckID", "")
        if member is not None:
            self._forget(member, is_whole=not (service or check))
            return self._context.kept(asked, True)
        self._refuse_others(name)
        for record in self._held(name):
            if service and record.key != carried.key_of(name, service):
                continue
            if check and not service:
                await self._drop_check(record, carried.key_of(name, check))
                continue
            with contextlib.suppress(NotFoundError):
                await self._agent.deregister(record.key)
        return self._context.kept(asked, True)

    def _forget(self, member: Member, *, is_whole: bool) -> None:
        if member.status is Status.DEAD and is_whole:
            self._agent.evict(member.id)
        elif member.status is not Status.LEFT:
            raise Refusal(
                400, f"The node {member.name!r} runs an agent, which alone speaks for it: deregister there"
            )

    def _refuse_others(self, name: str) -> None:
        node = self._context.holdings.find(name)
        if node is not None and node.is_foreign and node.member.id != self._agent.node.id:
            raise Refusal(
                400,
                f"The node {name!r} was registered at {node.member.name!r}: deregister it there",
            )

    async def _drop_check(self, record: ServiceRecord, id: str) -> None:
        old = self._agent.monitor.definitions(record.key)
        rest = [each.mapping() for each in old if each.id != id]
        if len(rest) < len(old):
            await self._agent.register(registration_of(record, rest))

    # -------------------------------------------------------------------------------------------- both

    def _member(self, name: str) -> Member | None:
        members: MemberTable = self._agent.node.members
        found = [members.me] if members.me.name == name else []
        found += [each for each in members.named(name) if each.status is not Status.LEFT]
        return min(found, key=lambda each: not each.is_live) if found else None

    def _held(self, name: str) -> list[ServiceRecord]:
        """The records of a machine that this agent has, by id."""
        found = []
        for fact in self._agent.node.members.me.services.values():
            record = fact.body
            if isinstance(record, ServiceRecord):
                node = carried.read(record).node
                if node is not None and node.name == name:
                    found.append(record)
        return sorted(found, key=lambda record: record.key)


def _service(given: Mapping[str, Any], node: Foreign, command_checks: str) -> Registration:
    plain = definitions.service_registration({**given, "Name": given.get("Name", "")}, command_checks)
    return msgspec.structs.replace(
        plain,
        id=carried.key_of(node.name, plain.id),
        address=plain.address or node.address,
        meta={**plain.meta, **carried.put(node=node)},
    )
