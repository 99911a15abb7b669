"""What may be asked of an agent, as values: both clients ask these, and neither spells a method itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gossip.client.values import (
    CheckState,
    Diagnosis,
    Instance,
    JoinResult,
    Member,
    MemberView,
    Registration,
    ReloadResult,
    RoundTrip,
    ServiceSummary,
    ServiceView,
    UserEvent,
    decode,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gossip.client.checks import Check
    from gossip.client.framing import Message

__all__ = ["DOCTOR_GRACE", "DOCTOR_SECONDS", "PATIENCE", "Question", "Topic", "texts"]

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that the agent has to join or to leave, which it does over the network."""


DOCTOR_SECONDS = 5.0
"""What a diagnosis may take, unless its asker says otherwise."""
DOCTOR_GRACE = 5.0
"""Seconds that a diagnosis may be late, on a host that is slow for the very reason that is looked for."""


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """One call: what is sent, and what is made of the answer."""

    method: str
    params: Message
    build: Callable[[Message], T]
    timeout: float | None = None
    """Seconds; None is the client's own."""
    repeatable: bool = False
    """Nothing changes by it, so it is asked again when a connection broke before the answer came."""

    def answer(self, value: Message) -> T:
        """The typed value.

        Raises:
            LocalProtocolError: the answer has another shape.
        """
        return decode(self.build, value)


@dataclass(frozen=True, slots=True)
class Topic(Generic[T]):
    """One watch: what is sent, and what is made of each value."""

    method: str
    params: Message
    build: Callable[[Message], T | None]
    """None for a value that says nothing to the reader."""

    def value(self, value: Message) -> T | None:
        """As `Question.answer`."""
        return decode(self.build, value)


# -- the agent and its members ------------------------------------------------------------------------


def info() -> Question[dict[str, Any]]:
    """`agent.info`."""
    return Question("agent.info", {}, dict, repeatable=True)


def members() -> Question[list[Member]]:
    """`members.list`."""
    return Question("members.list", {}, _members, repeatable=True)


def join(addresses: Iterable[str], timeout: float) -> Question[list[JoinResult]]:
    """`agent.join`."""

    def build(value: Message) -> list[JoinResult]:
        return [JoinResult(each["address"], each["ok"], each["detail"]) for each in value["results"]]

    return Question("agent.join", {"addresses": texts(addresses)}, build, timeout)


def leave(timeout: float) -> Question[None]:
    """`agent.leave`."""
    return Question("agent.leave", {}, _nothing, timeout)


def evict(member: str, ban: bool) -> Question[None]:
    """`agent.evict`."""
    return Question("agent.evict", {"member": member, "ban": ban}, _nothing)


def keys() -> Question[dict[str, Any]]:
    """`keys.list`."""
    return Question("keys.list", {}, dict, repeatable=True)


def rotate_keys(name: str, key: str, insist: bool) -> Question[str]:
    """`keys.rotate`."""
    return Question("keys.rotate", {"name": name, "key": key, "insist": insist}, _key_name)


def _key_name(value: Message) -> str:
    return str(value["name"])


def rtt(b: str, a: str | None) -> Question[RoundTrip]:
    """`rtt`."""

    def build(value: Message) -> RoundTrip:
        return RoundTrip(value["from"], value["to"], value["rtt_ms"])

    return Question("rtt", {"b": b} if a is None else {"a": a, "b": b}, build, repeatable=True)


def doctor(member: str | None, timeout: float) -> Question[Diagnosis]:
    """`agent.doctor`."""
    params: Message = {"timeout": timeout} | ({} if member is None else {"member": member})
    return Question("agent.doctor", params, Diagnosis.from_json, timeout + DOCTOR_GRACE, repeatable=True)


def reload() -> Question[ReloadResult]:
    """`agent.reload`."""
    return Question("agent.reload", {}, ReloadResult.from_json)


# -- services -----------------------------------------------------------------------------------------


def register(
    name: str,
    port: int,
    *,
    id: str | None,
    address: str | None,
    tags: Iterable[str],
    meta: Mapping[str, str] | None,
    weight: int | None,
    check: Check | None,
    checks: Iterable[Check],
    while_connected: bool,
) -> Question[Registration]:
    """`services.register`."""
    given = {"id": id, "address": address, "meta": None if meta is None else dict(meta), "weight": weight}
    params: Message = {key: value for key, value in given.items() if value is not None}
    params |= {"name": name, "port": port, "tags": texts(tags)}
    wanted = [each.mapping() for each in (*(() if check is None else (check,)), *checks)]
    if wanted:
        params["checks"] = wanted
    if while_connected:
        params["while_connected"] = True
    return Question(
        "services.register", params, lambda value: Registration(value["id"], int(value["version"]))
    )


def deregister(id: str) -> Question[None]:
    """`services.deregister`."""
    return Question("services.deregister", {"id": id}, _nothing)


def services() -> Question[list[ServiceSummary]]:
    """`services.list`."""

    def build(value: Message) -> list[ServiceSummary]:
        return [ServiceSummary.from_json(each) for each in value["services"]]

    return Question("services.list", {}, build, repeatable=True)


def lookup(
    name: str, *, tags: Iterable[str] = (), any: bool = False, no_suspect: bool = False, near: bool = False
) -> Question[list[Instance]]:
    """`services.lookup`."""
    params = _filter(name, tags, any, no_suspect, near)
    return Question("services.lookup", params, _instances, repeatable=True)


# -- checks -------------------------------------------------------------------------------------------


def update_check(id: str, status: str, note: str) -> Question[None]:
    """`checks.update`."""
    return Question("checks.update", {"id": id, "status": status, "note": note}, _nothing)


def checks() -> Question[list[CheckState]]:
    """`checks.list`."""

    def build(value: Message) -> list[CheckState]:
        return [CheckState.from_json(each) for each in value["checks"]]

    return Question("checks.list", {}, build, repeatable=True)


def maintenance(on: bool, id: str, reason: str) -> Question[None]:
    """`maintenance.set`."""
    return Question("maintenance.set", {"on": on, "id": id, "reason": reason}, _nothing)


# -- events -------------------------------------------------------------------------------------------


def event(name: str, payload: str) -> Question[int]:
    """`events.send`."""
    return Question("events.send", {"name": name, "payload": payload}, lambda value: int(value["id"]))


# -- watches ------------------------------------------------------------------------------------------


def watch(
    name: str, *, tags: Iterable[str] = (), any: bool = False, no_suspect: bool = False, near: bool = False
) -> Topic[ServiceView]:
    """`services.watch`."""
    params = _filter(name, tags, any, no_suspect, near)
    return Topic("services.watch", params, ServiceView.from_json)


def watch_members() -> Topic[MemberView]:
    """`members.watch`."""
    return Topic("members.watch", {}, _MemberViews().build)


def watch_events(name: str | None) -> Topic[UserEvent]:
    """`events.watch`."""
    # The first value says only that the watch stands.
    return Topic(
        "events.watch",
        {} if name is None else {"name": name},
        lambda value: UserEvent.from_json(value) if "name" in value else None,
    )


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


def texts(values: Iterable[str]) -> list[str]:
    """The values; of a text alone that text, never its letters: `tags="v2"` is written easily."""
    return [values] if isinstance(values, str) else list(values)


def _nothing(_: Message) -> None:
    return None


def _members(value: Message) -> list[Member]:
    return [Member.from_json(each) for each in value["members"]]


def _instances(value: Message) -> list[Instance]:
    return [Instance.from_json(each) for each in value["instances"]]


def _filter(name: str, tags: Iterable[str], any: bool, no_suspect: bool, near: bool) -> Message:
    params: Message = {"service": name}
    if wanted := texts(tags):
        params["tags"] = wanted
    params |= {key: True for key, on in (("any", any), ("no_suspect", no_suspect), ("near", near)) if on}
    return params
