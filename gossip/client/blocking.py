"""The blocking client: `with gossip.connect() as g: ...`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gossip.client.channel import TIMEOUT, Channel, RawWatch
from gossip.client.values import (
    Instance,
    JoinResult,
    Member,
    MemberView,
    Registration,
    RoundTrip,
    ServiceSummary,
    ServiceView,
    UserEvent,
    decode,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from gossip.client.framing import Message

__all__ = ["Client", "Watch", "connect"]

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that the agent has to join or to leave, which it does over the network."""


class Watch(Generic[T]):
    """An endless iterator over a value that the agent keeps up to date: the value now, then each change.

    It has a connection of its own, which `close` (or the end of a `with` block) ends. The agent
    going away raises `UnreachableError`; a reader that was too slow gets the whole value again.
    """

    def __init__(self, raw: RawWatch, build: Callable[[Message], T | None]) -> None:
        self._raw = raw
        self._build = build

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while True:
            value = self.next()
            if value is not None:
                return value

    def next(self, timeout: float | None = None) -> T | None:
        """The next value; None when none came within `timeout` seconds (None: wait for ever)."""
        while True:
            value = self._raw.next(timeout)
            if value is None:
                return None
            built = decode(self._build, value)
            if built is not None:
                return built

    def close(self) -> None:
        """Ends the watch."""
        self._raw.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Client:
    """A connection to the agent of this host. One thread at a time; open one per thread.

    Every method raises `UnreachableError` when the agent is gone or silent, and the agent's own
    error (`NotFoundError`, `RefusedError`, `LimitError`, ...) when it refuses.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None, timeout: float = TIMEOUT) -> None:
        self._channel = Channel(path, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection. Services registered with `while_connected` go with it."""
        self._channel.close()

    @property
    def path(self) -> str:
        """The socket that this client speaks to."""
        return self._channel.path

    # -- the agent and its members ------------------------------------------------------------------

    def info(self) -> dict[str, Any]:
        """What the agent says of itself: the object of `gossip info --json`."""
        return self._channel.call("agent.info")

    def members(self) -> list[Member]:
        """Every member that the agent knows, itself too (its flags contain `self`)."""
        return decode(_members, self._channel.call("members.list"))

    def join(self, addresses: Iterable[str], timeout: float = PATIENCE) -> list[JoinResult]:
        """Asks the agent to join through `addresses` (`host[:port]`); one result for each."""
        value = self._channel.call("agent.join", {"addresses": list(addresses)}, timeout)
        return decode(lambda v: [JoinResult(r["address"], r["ok"], r["detail"]) for r in v["results"]], value)

    def leave(self, timeout: float = PATIENCE) -> None:
        """Lets the agent leave the cluster gracefully and end."""
        self._channel.call("agent.leave", {}, timeout)

    def evict(self, member: str, ban: bool = False) -> None:
        """Removes a member by name or id; `ban` keeps its identity out for good."""
        self._channel.call("agent.evict", {"member": member, "ban": ban})

    def rtt(self, b: str, a: str | None = None) -> RoundTrip:
        """The estimated round trip between member `a` (the agent asked, when None) and member `b`."""
        value = self._channel.call("rtt", {"b": b} if a is None else {"a": a, "b": b})
        return decode(lambda v: RoundTrip(v["from"], v["to"], v["rtt_ms"]), value)

    # -- services -----------------------------------------------------------------------------------

    def register(
        self,
        name: str,
        port: int,
        *,
        id: str | None = None,
        address: str | None = None,
        tags: Iterable[str] = (),
        meta: Mapping[str, str] | None = None,
        weight: int | None = None,
        while_connected: bool = False,
    ) -> Registration:
        """Registers an instance of service `name`, or changes it.

        Returns when the record is on the agent's disk and visible to its lookups. `id` tells this
        registration from others on its node; what is None is the agent's choice (its advertised
        host for `address`). `weight` is the share of the load, relative to the others'. With
        `while_connected` the registration ends when this client closes or its process dies.
        """
        given = {"id": id, "address": address, "meta": None if meta is None else dict(meta), "weight": weight}
        params: Message = {key: value for key, value in given.items() if value is not None}
        params |= {"name": name, "port": port, "tags": list(tags)}
        if while_connected:
            params["while_connected"] = True
        value = self._channel.call("services.register", params)
        return decode(lambda v: Registration(v["id"], v["version"]), value)

    def deregister(self, id: str) -> None:
        """Takes back a registration of this node.

        Raises:
            NotFoundError: there is none with this id.
        """
        self._channel.call("services.deregister", {"id": id})

    def services(self) -> list[ServiceSummary]:
        """The names of all services, with their sizes."""
        value = self._channel.call("services.list")
        return decode(lambda v: [ServiceSummary.from_json(each) for each in v["services"]], value)

    def lookup(
        self,
        name: str,
        *,
        tags: Iterable[str] = (),
        any: bool = False,
        no_suspect: bool = False,
        near: bool = False,
    ) -> list[Instance]:
        """The instances of service `name`; an empty list when there are none.

        Only instances that have all of `tags`; with `any`, of every status, also of owners that
        are dead or left; with `no_suspect`, not those whose owner is suspect; with `near`, the
        nearest first.
        """
        params = _question(name, tags, any, no_suspect, near)
        return decode(_instances, self._channel.call("services.lookup", params))

    def lookup_many(self, names: Iterable[str]) -> dict[str, list[Instance]]:
        """Several lookups in one go: the questions are pipelined, so this takes little more than one."""
        wanted = list(names)
        answers = self._channel.call_all([("services.lookup", {"service": name}) for name in wanted])
        return {name: decode(_instances, answer) for name, answer in zip(wanted, answers, strict=True)}

    # -- events -------------------------------------------------------------------------------------

    def event(self, name: str, payload: str = "") -> int:
        """Sends an event to every member; its version, which rises with each."""
        value = self._channel.call("events.send", {"name": name, "payload": payload})
        return decode(lambda v: int(v["id"]), value)

    # -- watches ------------------------------------------------------------------------------------

    def watch(
        self,
        name: str,
        *,
        tags: Iterable[str] = (),
        any: bool = False,
        no_suspect: bool = False,
        near: bool = False,
    ) -> Watch[ServiceView]:
        """The instances of service `name` now, and again after each change; options as in `lookup`."""
        params = _question(name, tags, any, no_suspect, near)
        return self._watch("services.watch", params, ServiceView.from_json)

    def watch_members(self) -> Watch[MemberView]:
        """All members now, and again after each change, with the change."""
        return self._watch("members.watch", {}, _MemberViews().build)

    def watch_events(self, name: str | None = None) -> Watch[UserEvent]:
        """Events from now on; with `name`, only those."""
        # The first value says only that the watch stands.
        return self._watch(
            "events.watch",
            {} if name is None else {"name": name},
            lambda value: UserEvent.from_json(value) if "name" in value else None,
        )

    def _watch(self, method: str, params: Message, build: Callable[[Message], T | None]) -> Watch[T]:
        channel = Channel(self._channel.path, self._channel.timeout)
        try:
            return Watch(RawWatch(channel, method, params), build)
        except BaseException:
            channel.close()
            raise


def connect(path: str | os.PathLike[str] | None = None, timeout: float = TIMEOUT) -> Client:
    """Opens a blocking client to the agent of this host.

    Args:
        path: the agent's socket; None for `GOSSIP_SOCKET`, else the default of `gossip agent`.
        timeout: seconds that each call waits for its answer.

    Raises:
        UnreachableError: no agent is there, or this user may not speak to it.
    """
    return Client(path, timeout)


class _MemberViews:
    """Folds the events of a member watch into the whole list."""

    def __init__(self) -> None:
        self._members: dict[str, Member] = {}

    def build(self, value: Message) -> MemberView:
        if "members" in value:
            self._members = {member.id: member for member in _members(value)}
            return MemberView(tuple(self._members.values()), value["index"])
        member = Member.from_json(value["member"])
        self._members[member.id] = member
        return MemberView(tuple(self._members.values()), value["index"], value["event"], member)


def _members(value: Message) -> list[Member]:
    return [Member.from_json(each) for each in value["members"]]


def _instances(value: Message) -> list[Instance]:
    return [Instance.from_json(each) for each in value["instances"]]


def _question(name: str, tags: Iterable[str], any: bool, no_suspect: bool, near: bool) -> Message:
    params: Message = {"service": name}
    if wanted := list(tags):
        params["tags"] = wanted
    params |= {key: True for key, on in (("any", any), ("no_suspect", no_suspect), ("near", near)) if on}
    return params
