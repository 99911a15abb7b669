"""The table of a node's checks: services with theirs, and what is asked of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gossip.checks.state import CheckState, Statuses, Telling, worst
from gossip.config.checks import MAX_NAMES_BYTES
from gossip.core.records import default_check_ids
from gossip.core.types import Verdict
from gossip.errors import NotFoundError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import trio

    from gossip.config.checks import CheckDefinition

__all__ = [
    "NODE",
    "NOTHING",
    "Check",
    "Service",
    "Word",
    "find_ttl",
    "looks_at_the_same",
    "row",
    "service_status",
    "told_ids",
]

NODE: Final = ""
"""The key of the node's own checks."""


class Word(NamedTuple):
    """What others are told of a service."""

    statuses: Statuses
    maintenance: bool
    note: str
    ids: tuple[str, ...] = ()
    """Of the checks, empty for a default one; none if all are, or there is no room for them."""


NOTHING: Final = Word((), False, "")


def told_ids(service: str, checks: Sequence[CheckDefinition]) -> tuple[str, ...]:
    """The ids that a status record has to say: see `core.records.StatusRecord.ids`."""
    defaults = default_check_ids(service, len(checks))
    ids = tuple(
        "" if check.id == default else check.id for check, default in zip(checks, defaults, strict=True)
    )
    size = sum(len(check.name.encode()) for check in checks) + sum(len(id.encode()) for id in ids)
    return ids if any(ids) and size <= MAX_NAMES_BYTES else ()


class Check:
    """One check, and its place in the queue of what is due."""

    __slots__ = ("queued", "running", "service", "state")

    def __init__(self, service: Service, state: CheckState) -> None:
        self.service = service
        self.state = state
        self.queued: float | None = None
        """When its place in the queue comes; an older place is void."""
        self.running: trio.CancelScope | None = None


class Service:
    """A service of this node with its checks; the one with the empty key is the node."""

    __slots__ = ("checks", "is_waiting", "key", "name", "telling")

    def __init__(self, key: str, name: str) -> None:
        self.key = key
        self.name = name
        self.checks: list[Check] = []
        self.telling = Telling(NOTHING)
        self.is_waiting = False
        """Whether there is something to tell that has to wait."""


def find_ttl(checks: Mapping[str, Check], services: Mapping[str, Service], id: str) -> Check:
    """The TTL check of that id, or the only one of the service of that id.

    Raises:
        NotFoundError: there is no such check.
        RefusedError: it is no TTL check, or the service has several.
    """
    check = checks.get(id)
    if check is not None:
        if check.state.definition.kind != "ttl":
            raise RefusedError(
                f"check {id!r} is of kind {check.state.definition.kind}, whose status this agent finds"
                " itself: only a TTL check is told"
            )
        return check
    service = services.get(id)
    if id == NODE or service is None:
        raise NotFoundError(f"no check and no service with checks is {id!r} here; see `gossip checks`")
    found = [each for each in service.checks if each.state.definition.kind == "ttl"]
    if len(found) != 1:
        ids = ", ".join(each.state.definition.id for each in found)
        have = f"has several TTL checks: name one of {ids}" if found else "has no TTL check"
        raise RefusedError(f"service {id!r} {have}")
    return found[0]


def row(check: Check, now: float) -> dict[str, Any]:
    """A check as it is listed, with what only this node knows of it."""
    state, definition = check.state, check.state.definition
    due = state.next_run if definition.runs else state.deadline
    return {
        "id": definition.id,
        "name": definition.name,
        "service": check.service.name,
        "service_id": check.service.key,
        "kind": definition.kind,
        "status": state.status.label,
        "output": state.output,
        "note": definition.note,
        "since_s": round(now - state.since, 3),
        "next_s": None if due is None else round(max(0.0, due - now), 3),
    }


def service_status(service: Service | None, key: str, in_maintenance: bool) -> tuple[Verdict, str]:
    """What an alias of a service of this node counts as, and why."""
    if service is None or key == NODE:
        return Verdict.CRITICAL, f"no service {key!r} on this node"
    if in_maintenance:
        return Verdict.CRITICAL, f"service {key!r} is in maintenance"
    # Not its aliases: two that follow each other would hold each other down for ever.
    states = [check.state for check in service.checks if check.state.definition.kind != "alias"]
    verdict = worst(state.status for state in states)
    names = [state.definition.name for state in states if state.status is verdict and verdict]
    return verdict, f"service {key!r} is {verdict.label}" + (f": {', '.join(names)}" if names else "")


def looks_at_the_same(one: CheckDefinition, other: CheckDefinition) -> bool:
    """Whether what one found can stand for the other, for now."""
    return (one.kind, one.target, one.argv) == (other.kind, other.target, other.argv)
