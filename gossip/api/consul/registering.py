"""`agent/service/*`, `agent/check/*`, maintenance: what programs change at this agent."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import msgspec

from gossip.api.consul import bodies, carried, definitions
from gossip.api.consul.questions import switch
from gossip.api.consul.words import Refusal, parse_bool
from gossip.api.http.values import Response
from gossip.api.methods import Registration
from gossip.config import read_checks
from gossip.core.catalog import NODE
from gossip.errors import NotFoundError
from gossip.log import note

if TYPE_CHECKING:
    from gossip.api.consul.context import Context
    from gossip.api.consul.table import Table
    from gossip.api.http.values import Request
    from gossip.core.records import ServiceRecord

__all__ = ["DONE", "Registering", "registration_of"]

DONE = Response(200, b"", "")
"""How Consul says that a change is made."""

_DNS_NAME = re.compile(r"[A-Za-z0-9-]{1,63}")


class Registering:
    """The handlers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._agent = context.agent

    def add_to(self, table: Table) -> None:
        """Put them into the table."""
        for path, handler in (
            ("agent/service/register", self.register),
            ("agent/service/deregister/", self.deregister),
            ("agent/service/maintenance/", self.service_maintenance),
            ("agent/maintenance", self.node_maintenance),
            ("agent/check/register", self.register_check),
            ("agent/check/deregister/", self.deregister_check),
            ("agent/check/pass/", self.passing),
            ("agent/check/warn/", self.warning),
            ("agent/check/fail/", self.failing),
            ("agent/check/update/", self.update),
        ):
            table.add("PUT", path, handler)

    # ---------------------------------------------------------------------------------------- services

    async def register(self, asked: Request) -> Response:
        """A service with its checks; of those that it has, the ones that are not named stay, unless said."""
        given = bodies.decode(asked.body, bodies.SERVICE)
        wanted = definitions.service_registration(given, self._commands(asked))
        held = self._agent.own_service(wanted.id)
        if held is not None and carried.read(held).node is not None:
            raise Refusal(400, f"The ID {wanted.id!r} is that of a service of an external node")
        if not switch(asked, "replace-existing-checks"):
            new = read_checks(wanted.checks, wanted.id)
            merged = definitions.merged_checks(new, self._agent.monitor.definitions(wanted.id))
            wanted = msgspec.structs.replace(wanted, checks=merged)
        await self._agent.register(wanted)
        if not _DNS_NAME.fullmatch(wanted.name):
            detail = "this name cannot be looked up by DNS: that takes letters, digits and hyphens only"
            note(logging.WARNING, "service_name", name=wanted.name, id=wanted.id, detail=detail)
        return DONE

    async def deregister(self, asked: Request) -> Response:
        """A service goes, with its checks."""
        id = asked.params["rest"]
        if not id:
            raise Refusal(400, "ServiceID missing")
        self._own(id, _unknown_service(id))
        try:
            await self._agent.deregister(id)
        except NotFoundError:
            raise Refusal(404, _unknown_service(id)) from None
        return DONE

    def _commands(self, asked: Request) -> str:
        return definitions.command_policy(self._agent.command_checks, asked.grant)

    def _own(self, id: str, problem: str) -> ServiceRecord:
        record = self._agent.own_service(id)
        if record is None or carried.read(record).node is not None:
            raise Refusal(404, problem)
        return record

    async def service_maintenance(self, asked: Request) -> Response:
        """A service wants no calls, or wants them again."""
        id = asked.params["rest"]
        if not id:
            raise Refusal(400, "Missing service ID")
        reason = _maintenance(asked)
        self._own(id, f"No service registered with ID {_quoted(id)}")
        await self._agent.set_maintenance(id, reason)
        return DONE

    async def node_maintenance(self, asked: Request) -> Response:
        """The same for the node."""
        await self._agent.set_maintenance(NODE, _maintenance(asked))
        return DONE

    # ------------------------------------------------------------------------------------------ checks

    async def register_check(self, asked: Request) -> Response:
        """A check of a service that is there, or of the node."""
        given = bodies.decode(asked.body, bodies.CHECK)
        table = definitions.check_definition(given, self._commands(asked))
        service = given.get("ServiceID", "")
        if not service:
            await self._agent.add_check(definitions.read_one(table, NODE))
            return DONE
        record = self._own(service, f"ServiceID {_quoted(service)} does not exist")
        new = read_checks([table], service)
        checks = definitions.merged_checks(new, self._agent.monitor.definitions(service))
        # What was there first keeps its place, and with it the id that goes by it.
        await self._agent.register(registration_of(record, checks[1:] + checks[:1]))
        return DONE

    async def deregister_check(self, asked: Request) -> Response:
        """A check goes; its service stays."""
        id = asked.params["rest"]
        if not id:
            raise Refusal(400, "CheckID missing")
        owner = self._agent.monitor.owner(id)
        if owner is None:
            raise Refusal(404, _unknown_check(id))
        if owner == NODE:
            if not await self._agent.remove_check(id):
                raise Refusal(400, f"The check {_quoted(id)} is defined in the agent's configuration")
            return DONE
        record = self._own(owner, _unknown_check(id))
        rest = [each.mapping() for each in self._agent.monitor.definitions(owner) if each.id != id]
        await self._agent.register(registration_of(record, rest))
        return DONE

    async def passing(self, asked: Request) -> Response:
        """A program says that it is well."""
        return self._report(asked.params["rest"], "passing", asked.text("note"))

    async def warning(self, asked: Request) -> Response:
        """Or not quite."""
        return self._report(asked.params["rest"], "warning", asked.text("note"))

    async def failing(self, asked: Request) -> Response:
        """Or not."""
        return self._report(asked.params["rest"], "critical", asked.text("note"))

    async def update(self, asked: Request) -> Response:
        """The same, with the status in the body."""
        # Whatever a program prints, what it reports must not be lost: its check would expire.
        given = bodies.decode(asked.body.decode(errors="replace").encode(), bodies.UPDATE)
        status = given.get("Status", "")
        if status not in ("passing", "warning", "critical"):
            raise Refusal(400, f"Invalid check status: '{status[:64]}'")
        return self._report(asked.params["rest"], status, given.get("Output", ""))

    def _report(self, id: str, status: str, text: str) -> Response:
        check = self._agent.monitor.check(id)
        if check is None:
            raise Refusal(404, _unknown_check(id))
        if check.state.definition.kind != "ttl":
            raise Refusal(500, f"CheckID {_quoted(id)} does not have associated TTL")
        self._agent.update_check(id, status, text)
        return DONE


def registration_of(record: ServiceRecord, checks: list[dict[str, Any]]) -> Registration:
    """What would bring the record about again, with these checks."""
    return Registration(
        record.name,
        record.port,
        record.key,
        record.host,
        record.tags,
        record.meta,
        record.weight,
        list(checks),
    )


def _maintenance(asked: Request) -> str | None:
    """The reason; None to end it."""
    if "enable" not in asked.query:
        raise Refusal(400, "Missing value for enable")
    text = asked.text("enable")
    enable = parse_bool(text)
    if enable is None:
        raise Refusal(400, f"Invalid value for enable: {_quoted(text)}")
    return asked.text("reason") if enable else None


def _quoted(text: str) -> str:
    return '"' + text[:256].replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unknown_service(id: str) -> str:
    return f"Unknown service ID {_quoted(id)}. Ensure that the service ID is passed, not the service name."


def _unknown_check(id: str) -> str:
    return f"Unknown check ID {_quoted(id)}. Ensure that the check ID is passed, not the check name."
