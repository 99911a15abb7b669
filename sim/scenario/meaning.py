"""Whether what a scenario says of nodes and services means anything: nobody is meant twice, nothing is empty.

Only what is certain is refused: who is meant by chance, and who joins later, is known when the run is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from sim.scenario.actions import Action, Check, Churn, Cut, Deregister, Flap, LinkChange, Partition, Register
from sim.scenario.schema import Document, ServiceTable
from sim.scenario.values import Selector

__all__ = ["check_meaning", "check_services"]

EVERYBODY, REST = "all", "rest"


def check_meaning(action: Action, document: Document) -> None:
    """Raise ValueError if the action surely can do nothing."""
    if isinstance(action, Partition):
        _check_sides(action.sides)
        return
    nodes: Selector | None = getattr(action, "nodes", None)
    if nodes is not None and _has_rest([nodes]):
        raise ValueError("nodes: `rest` means nothing here, where no selector stands before it")
    if isinstance(action, Cut | Flap | LinkChange):
        _check_ends(action.nodes, action.to)
    elif isinstance(action, Deregister) or (isinstance(action, Check) and action.key):
        _check_key(action.key, document)


def check_services(services: Sequence[ServiceTable]) -> None:
    """Raise ValueError if a node surely had two services of one key, of which it would keep the last."""
    for one, other in combinations(services, 2):
        key = _common_key(one, other)
        if key and _overlap(one.nodes, other.nodes):
            raise ValueError(
                f"[[service]]: two of them have the key {key!r} on the same nodes: write one with a count,"
                " another name, or other nodes"
            )


def _check_sides(sides: Sequence[Selector]) -> None:
    if not sides:
        raise ValueError("sides is empty")
    if _has_rest(sides[:1]):
        raise ValueError(
            "sides: `rest` means nothing in the first of them, where no selector stands before it"
        )
    taken: set[str] = set()
    for number, side in enumerate(sides, 1):
        if EVERYBODY in taken or all(part.place in taken for part in side.parts):
            raise ValueError(f"sides: nobody is left for side {number} ({side.text})")
        taken |= side.wholly
        if REST in taken:
            taken.add(EVERYBODY)
    if len(sides) == 1 and EVERYBODY in taken:
        raise ValueError("sides: with everybody on one side nothing is parted")


def _check_ends(nodes: Selector, to: Selector) -> None:
    if EVERYBODY in nodes.wholly and all(part.place == REST for part in to.parts):
        raise ValueError("to: there is no rest where nodes is everybody")
    ends = {part.place for part in (*nodes.parts, *to.parts)}
    if len(ends) == 1 and _is_node(*ends):
        raise ValueError(f"to: {to.text} has no link to itself")


def _check_key(key: str, document: Document) -> None:
    known = any(_is_key(key, service.name, service.count) for service in document.service)
    for action in document.action:
        if isinstance(action, Register):
            known |= key == (action.key or action.name)
        elif isinstance(action, Churn):
            known |= _is_numbered(key, action.name, action.services)
    if not known:
        raise ValueError(
            f"key: no node ever has a service of the key {key!r}: write one of a [[service]] or of an action"
        )


def _has_rest(selectors: Iterable[Selector]) -> bool:
    return any(part.place == REST for selector in selectors for part in selector.parts)


def _is_node(place: str) -> bool:
    # No group or zone is called so.
    return place[:1] == "n" and place[1:].isdecimal()


def _common_key(one: ServiceTable, other: ServiceTable) -> str:
    """A key that instances of both have; empty if there is none."""
    if one.count == 1:
        return one.name if _is_key(one.name, other.name, other.count) else ""
    if other.count == 1:
        return _common_key(other, one)
    return f"{one.name}-0" if one.name == other.name else ""


def _is_key(key: str, name: str, count: int) -> bool:
    return key == name if count == 1 else _is_numbered(key, name, count)


def _is_numbered(key: str, name: str, count: int) -> bool:
    head, _, number = key.rpartition("-")
    return head == name and number.isdecimal() and str(int(number)) == number and int(number) < count


def _overlap(one: Selector, other: Selector) -> bool:
    """Whether they surely have nodes in common."""
    if EVERYBODY in one.wholly | other.wholly:
        return True
    return any(
        mine.place == theirs.place and (mine.whole or theirs.whole)
        for mine in one.parts
        for theirs in other.parts
    )
