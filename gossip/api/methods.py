"""The methods of the local socket: what each takes, and who answers it.

Three kinds. A *read* is answered from the node's memory at once. A *watch* also needs to know the
connection that asks. A *change* waits for the disk or the network, and others may be answered
before it: an answer carries its request's id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NamedTuple, Protocol, TypeVar

import msgspec
from msgspec import Meta, Struct

from gossip.api import views
from gossip.api.jsonrpc import NO_METHOD, RpcError, read_params
from gossip.config.access import Scope
from gossip.core.records import MAX_FACT_BYTES
from gossip.core.types import NodeId
from gossip.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from msgspec import Raw

__all__ = [
    "CHANGES",
    "READS",
    "WATCHES",
    "Backend",
    "Call",
    "EventWatch",
    "LogWatch",
    "Registration",
    "Session",
    "is_method",
    "missing",
]

MAX_ADDRESSES = 64
"""Addresses in one `agent.join`."""


MAX_KEY_CHARS = 256
MAX_NOTE_CHARS = 4_096
"""Of what a program says beside its status."""


class Registration(Struct, frozen=True, forbid_unknown_fields=True):
    """One service instance of this node, as a program or a file asks for it."""

    name: str
    port: Annotated[int, Meta(ge=0, le=65_535)]
    id: str = ""
    """Unique on this node; the service's name if empty."""
    address: str = ""
    """Empty: the node's own."""
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = {}
    weight: Annotated[int, Meta(ge=0, le=65_535)] = 1
    checks: list[Any] = []
    """As configuration has them: see `gossip.config.checks`."""
    while_connected: bool = False
    """Deregister it when the connection that registered it ends."""
    hold: bool = False
    """The same, by its other name."""

    @property
    def is_held(self) -> bool:
        """Whether it ends with its connection."""
        return self.while_connected or self.hold


class Session(Protocol):
    """The connection that asks, as far as methods may know it."""

    def need(self, scope: Scope, what: str) -> None:
        """Refuses what whoever asks may not do. Raises `DeniedError`."""

    def watch_services(self, question: views.Lookup | None) -> bytes:
        """Begins a watch of a lookup, or (None) of the list of services; its answer, encoded."""

    def watch_members(self) -> bytes:
        """The same for members."""

    def watch_events(self, name: str | None) -> bytes:
        """The same for user events, which have no value."""

    def watch_logs(self, level: str) -> bytes:
        """The same for the agent's log from `level` on, which has no value either."""

    def watch_catalog(self) -> bytes:
        """The same for all services, one by one."""

    def claim(self, key: str) -> AbstractContextManager[None]:
        """Within it the service is being registered: whoever held it does not take it along when it goes."""

    def hold(self, key: str) -> None:
        """Ties a registration to the life of this connection."""

    def free(self, key: str) -> None:
        """Unties a registration from whichever connection holds it."""


class Backend(Protocol):
    """What the methods need of the agent."""

    @property
    def node(self) -> views.Reads:
        """What may be read."""

    def denied(self) -> None:
        """Counts a request that whoever asked may not make."""

    def info(self) -> views.Info:
        """The answer of `agent.info`."""

    def members(self) -> views.Members:
        """The answer of `members.list`."""

    def member(self, id: NodeId) -> views.MemberView | None:
        """One member as `members.list` shows it; None if it has been forgotten."""

    def evict(self, id: NodeId) -> None:
        """Has the dead member count as left."""

    async def ban(self, raw: bytes) -> NodeId:
        """Whom the authority's signed record bans, once it is on disk and obeyed."""

    def send_event(self, name: str, payload: bytes) -> int:
        """The event's version."""

    async def join(self, addresses: Sequence[str]) -> list[tuple[str, bool, str]]:
        """(address, whether it worked, how or why not), in the order asked."""

    async def doctor(self, who: NodeId | None, patience: float) -> object:
        """The answer of `agent.doctor`: about one member, or all, within `patience` seconds."""

    async def leave(self) -> None:
        """Returns when the cluster has been told."""

    def end(self) -> None:
        """Ends the agent: called when the answer to `agent.leave` is on its way."""

    async def register(self, wanted: Registration) -> tuple[str, int]:
        """The instance's id and the record's version, once on disk and in the local view."""

    async def deregister(self, key: str) -> None:
        """Returns once the deletion is on disk and in the local view."""

    async def release(self, key: str) -> None:
        """Deregisters a service whose connection is gone, unless it has become another's."""

    def update_check(self, id: str, status: str, text: str) -> str:
        """Takes what a program says of itself; the id of the check that it is about."""

    def checks(self) -> object:
        """The answer of `checks.list`."""

    async def set_maintenance(self, key: str, reason: str | None) -> None:
        """Returns once it is on disk and in the local view; None ends it."""

    def keys(self) -> views.KeyList:
        """The answer of `keys.list`."""

    async def change_keys(self, what: str, name: str, key: str, *, insist: bool) -> object:
        """Returns once the change (`add`, `use`, `remove`, `rotate`) is on disk here; names the key."""

    async def reload_files(self) -> object:
        """Reads the configuration again; the answer of `agent.reload`."""


class _Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Addresses(Struct, frozen=True, forbid_unknown_fields=True):
    addresses: Annotated[tuple[str, ...], Meta(min_length=1, max_length=MAX_ADDRESSES)]


class _Doctor(Struct, frozen=True, forbid_unknown_fields=True):
    member: str = ""
    """Its name, its id or the beginning of one; empty: all."""
    timeout: Annotated[float, Meta(ge=1, le=30)] = 5.0
    """Seconds."""


class _Evict(Struct, frozen=True, forbid_unknown_fields=True):
    member: str
    ban: bool = False


class _Ban(Struct, frozen=True, forbid_unknown_fields=True):
    record: Annotated[str, Meta(max_length=2 * MAX_FACT_BYTES)]
    """The signed record, in hex."""


class _Key(Struct, frozen=True, forbid_unknown_fields=True):
    id: str


class _Event(Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    payload: str = ""


class EventWatch(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of `events.watch`."""

    name: views.Name | None = None


class LogWatch(Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of `logs.watch`."""

    level: Literal["debug", "info", "warning", "error"] = "info"


class _Pair(Struct, frozen=True, forbid_unknown_fields=True):
    b: str
    a: str | None = None


class _NewKey(Struct, frozen=True, forbid_unknown_fields=True):
    key: Annotated[str, Meta(max_length=MAX_KEY_CHARS)]
    name: str = ""


class _KeyName(Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1)]
    """Its name, its mark or the beginning of one."""


class _Rotate(Struct, frozen=True, forbid_unknown_fields=True):
    name: str = ""
    """Of a key that is here, or for the one in `key`; empty: a new key, or the change that is under way."""
    key: Annotated[str, Meta(max_length=MAX_KEY_CHARS)] = ""
    insist: bool = False
    """Begin nothing: have older keys retired, whoever is away."""


class _CheckUpdate(Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    status: Literal["passing", "warning", "critical"]
    note: Annotated[str, Meta(max_length=MAX_NOTE_CHARS)] = ""


class _Maintenance(Struct, frozen=True, forbid_unknown_fields=True):
    on: bool
    id: str = ""
    reason: str = ""


def _update_check(agent: Backend, params: _CheckUpdate) -> object:
    return {"id": agent.update_check(params.id, params.status, params.note), "status": params.status}


def _evict(agent: Backend, params: _Evict) -> object:
    if params.ban:
        raise RefusedError(
            "a ban is signed with the authority's private key, which no agent has:"
            " use 'gossip evict --ban --key FILE'"
        )
    found = agent.node.find(params.member)
    if found.id == agent.node.id:
        raise RefusedError("this agent does not evict itself: use 'gossip leave'")
    agent.evict(found.id)
    return {"id": found.id.hex(), "name": found.record.name}


def _send_event(agent: Backend, params: _Event) -> object:
    return {"id": agent.send_event(params.name, params.payload.encode())}


def _rtt(agent: Backend, params: _Pair) -> object:
    node = agent.node
    a = node.members.me if params.a is None else node.find(params.a)
    b = node.find(params.b)
    return {"from": a.name, "to": b.name, "rtt_ms": views.milliseconds(node.rtt(a.id, b.id))}


class Call(NamedTuple):
    """Who is asked for a change, and by whom."""

    agent: Backend
    session: Session


async def _join(call: Call, params: _Addresses) -> object:
    results = await call.agent.join(params.addresses)
    return {"results": [{"address": address, "ok": ok, "detail": detail} for address, ok, detail in results]}


async def _doctor(call: Call, params: _Doctor) -> object:
    who = call.agent.node.find(params.member).id if params.member else None
    return await call.agent.doctor(who, params.timeout)


async def _ban(call: Call, params: _Ban) -> object:
    try:
        raw = bytes.fromhex(params.record)
    except ValueError:
        raise RefusedError("the record is not in hexadecimal digits") from None
    return {"id": (await call.agent.ban(raw)).hex()}


async def _leave(call: Call, _: _Nothing) -> object:
    await call.agent.leave()
    return {"left": True}


async def _register(call: Call, params: Registration) -> object:
    if any(isinstance(check, dict) and "command" in check for check in params.checks):
        call.session.need(Scope.ADMIN, "have the agent run commands, as its user")
    before = views.version_of(call.agent.node, params.id or params.name)
    with call.session.claim(params.id or params.name):
        key, version = await call.agent.register(params)
        if params.is_held:
            call.session.hold(key)
        else:
            call.session.free(key)
    # Said only where it is so: the same words again replace nothing.
    replaced = {} if before in (None, version) else {"replaced": True}
    return {"id": key, "version": version, **replaced}


async def _set_maintenance(call: Call, params: _Maintenance) -> object:
    if not params.id:
        call.session.need(Scope.ADMIN, "put the whole node into maintenance")
    await call.agent.set_maintenance(params.id, params.reason if params.on else None)
    return {"id": params.id, "on": params.on}


async def _reload(call: Call, _: _Nothing) -> object:
    return await call.agent.reload_files()


async def _add_key(call: Call, params: _NewKey) -> object:
    return await call.agent.change_keys("add", params.name, params.key, insist=False)


async def _use_key(call: Call, params: _KeyName) -> object:
    return await call.agent.change_keys("use", params.name, "", insist=False)


async def _remove_key(call: Call, params: _KeyName) -> object:
    return await call.agent.change_keys("remove", params.name, "", insist=False)


async def _rotate_keys(call: Call, params: _Rotate) -> object:
    return await call.agent.change_keys("rotate", params.name, params.key, insist=params.insist)


async def _deregister(call: Call, params: _Key) -> object:
    await call.agent.deregister(params.id)
    call.session.free(params.id)
    return {"id": params.id}


P = TypeVar("P")
S = TypeVar("S")
R = TypeVar("R")


class Method(Generic[P, S, R]):
    """One method: how its parameters are read, and the function that takes them."""

    __slots__ = ("_decoder", "_run")

    def __init__(self, params: type[P], run: Callable[[S, P], R]) -> None:
        self._decoder = msgspec.json.Decoder(params)
        self._run = run

    def __call__(self, subject: S, params: Raw) -> R:
        """Raises `RpcError` for bad parameters, and whatever the method raises."""
        return self._run(subject, read_params(self._decoder, params))


READS: dict[str, Method[Any, Backend, object]] = {
    "agent.info": Method(_Nothing, lambda agent, _: agent.info()),
    "agent.evict": Method(_Evict, _evict),
    "members.list": Method(_Nothing, lambda agent, _: agent.members()),
    "members.places": Method(_Nothing, lambda agent, _: views.places(agent.node)),
    "services.list": Method(_Nothing, lambda agent, _: views.services(agent.node)),
    "services.lookup": Method(views.Lookup, lambda agent, question: views.instances(agent.node, question)),
    "checks.update": Method(_CheckUpdate, _update_check),
    "checks.list": Method(_Nothing, lambda agent, _: agent.checks()),
    "events.send": Method(_Event, _send_event),
    "rtt": Method(_Pair, _rtt),
    "keys.list": Method(_Nothing, lambda agent, _: agent.keys()),
}
WATCHES: dict[str, Method[Any, Session, bytes]] = {
    "services.watch": Method(
        views.ServicesWatch, lambda session, params: session.watch_services(params.question())
    ),
    "catalog.watch": Method(_Nothing, lambda session, _: session.watch_catalog()),
    "members.watch": Method(_Nothing, lambda session, _: session.watch_members()),
    "events.watch": Method(EventWatch, lambda session, params: session.watch_events(params.name)),
    "logs.watch": Method(LogWatch, lambda session, params: session.watch_logs(params.level)),
}
CHANGES: dict[str, Method[Any, Call, Awaitable[object]]] = {
    "agent.join": Method(_Addresses, _join),
    "agent.doctor": Method(_Doctor, _doctor),
    "agent.leave": Method(_Nothing, _leave),
    "agent.ban": Method(_Ban, _ban),
    "services.register": Method(Registration, _register),
    "services.deregister": Method(_Key, _deregister),
    "maintenance.set": Method(_Maintenance, _set_maintenance),
    "agent.reload": Method(_Nothing, _reload),
    "keys.add": Method(_NewKey, _add_key),
    "keys.use": Method(_KeyName, _use_key),
    "keys.remove": Method(_KeyName, _remove_key),
    "keys.rotate": Method(_Rotate, _rotate_keys),
}


def is_method(method: str) -> bool:
    """Whether it is there."""
    return method in READS or method in WATCHES or method in CHANGES


def missing(method: str) -> RpcError:
    """What to say to a method that is not there."""
    return RpcError(NO_METHOD, f"no method {method[:64]!r}", "unknown_method")
