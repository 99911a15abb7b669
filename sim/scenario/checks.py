"""What goes together in a scenario: everything that can be known to be wrong before the run begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gossip.core.records import MAX_PAYLOAD_BYTES
from sim.clock import SECOND
from sim.scenario.actions import (
    Action,
    Churn,
    Crash,
    Flap,
    Join,
    Lasting,
    Partition,
    Restart,
    Starve,
    UserEvent,
    word,
)
from sim.scenario.schema import Document, GroupTable, ZonesTable
from sim.scenario.values import Selector

__all__ = ["NODES_MAX", "RESERVED", "STAMP_BYTES", "check", "group_sizes", "occurrences"]

NODES_MAX = 60_000
"""A little below what the shipped settings let a node know (`Params.members_max`)."""
OCCURRENCES_MAX = 100_000
"""Of one action that repeats."""
CHURN_RATE_MAX = 100_000.0
PPM_MAX = 500_000
STARVE_MAX = 1_000_000
STAMP_BYTES = 8
"""A user event's payload begins with a number of so many bytes, by which it is known again."""
RESERVED = ("all", "rest", "next")


def check(document: Document) -> None:
    """Raise ValueError, naming the place and what to write, if this makes no sense."""
    if not 1 <= document.nodes <= NODES_MAX:
        raise ValueError(f"nodes is {document.nodes}: a cluster has at least one node, at most {NODES_MAX}")
    if document.duration <= 0:
        raise ValueError("the duration must be more than nothing")
    if not 1 <= document.seeds <= document.nodes:
        raise ValueError(f"seeds is {document.seeds}: write a number from 1 to the number of nodes")
    if document.network.reordering and not document.network.reorder:
        raise ValueError('[network]: reordering needs `reorder`, how late such a packet is: write "5ms"')
    places = _check_places(document)
    for service in document.service:
        _check_selector(service.nodes, places, f"service {service.name!r}, nodes")
        if service.count < 1:
            raise ValueError(f"service {service.name!r}: count is {service.count}: write 1 or more")
    _check_order(document.service)
    for number, action in enumerate(document.action, 1):
        _check_action(action, f"action {number} ({word(action)})", document, places)
    gone = sum(_certain(action) for action in document.action)
    comes = any(isinstance(action, Restart | Join) for action in document.action)
    if gone >= document.nodes and not comes:
        raise ValueError(f"of {document.nodes} nodes at least one must be left by the crashes")


def group_sizes(nodes: int, groups: Sequence[GroupTable]) -> dict[str, int]:
    """How many nodes each group has; a share is rounded, and at least one node."""
    sizes = {}
    for group in groups:
        share = max(1, round(nodes * group.share)) if group.share is not None else 0
        sizes[group.name] = group.count if group.count is not None else share
    return sizes


def occurrences(action: Action, duration_us: int) -> Iterator[int]:
    """When the action is done, in microseconds: once, or every so often while `until` is not reached."""
    if action.every is None:
        yield action.at
        return
    yield from range(action.at, min(action.until or duration_us, duration_us), action.every)


def _check_places(document: Document) -> set[str]:
    zones = _check_zones(document.zones)
    names = list(zones)
    for group in document.group:
        place = f"group {group.name!r}"
        if (group.count is None) == (group.share is None):
            raise ValueError(f"{place}: write either count or share")
        if group.count is not None and group.count < 1:
            raise ValueError(f"{place}: count is {group.count}: write 1 or more")
        if group.zone and group.zone not in zones:
            raise ValueError(f"{place}: there is no zone {group.zone!r}; write it into zones.names")
        _check_load(group.starve, group.clock_ppm, place)
        names.append(group.name)
    for name in names:
        if not name or name in RESERVED or names.count(name) > 1 or " " in name or name[0].isdecimal():
            raise ValueError(
                f"{name!r} cannot be the name of a group or zone: it must be one word that begins with no"
                f" digit, is not {', '.join(RESERVED)}, and is not used twice"
            )
    held = sum(group_sizes(document.nodes, document.group).values())
    if held > document.nodes:
        raise ValueError(f"the groups have {held} nodes, and nodes says {document.nodes}: raise it")
    return {*names, "all", "rest", *(f"n{number}" for number in range(document.nodes))}


def _check_zones(zones: ZonesTable | None) -> tuple[str, ...]:
    if zones is None:
        return ()
    size = len(zones.names)
    if not size:
        raise ValueError("[zones]: names is empty")
    for key, matrix in (("latency", zones.latency), ("loss", zones.loss)):
        if matrix and (len(matrix) != size or any(len(row) != size for row in matrix)):
            raise ValueError(f"[zones]: {key} must have {size} rows of {size}, one for each of names")
    return zones.names


def _check_selector(selector: Selector, places: set[str], where: str) -> None:
    for part in selector.parts:
        if part.place not in places:
            raise ValueError(f"{where}: no node, group or zone is called {part.place!r}")


def _check_order(services: Sequence[object]) -> None:
    for service in services:
        selector: Selector = service.nodes  # type: ignore[attr-defined]
        if any(part.in_order or part.place == "rest" for part in selector.parts):
            raise ValueError(f"service {service.name!r}: `next` and `rest` mean nothing here")  # type: ignore[attr-defined]


def _check_action(action: Action, place: str, document: Document, places: set[str]) -> None:
    if action.at >= document.duration:
        raise ValueError(f"{place}: {action.at / SECOND:g} s comes after the end of the run")
    if action.every is not None:
        _check_repetition(action, place, document.duration)
    elif action.until is not None:
        raise ValueError(f"{place}: until means nothing without every; what ends by itself has `for`")
    if isinstance(action, Lasting) and action.lasts is not None and action.lasts <= 0:
        raise ValueError(f"{place}: for must be more than nothing")
    for key in action.__struct_fields__:
        value = getattr(action, key)
        for selector in value if isinstance(value, tuple) else (value,):
            if isinstance(selector, Selector):
                _check_selector(selector, places, f"{place}, {key}")
    _check_kind(action, place, document)


def _check_repetition(action: Action, place: str, duration_us: int) -> None:
    every = action.every or 0
    if every <= 0:
        raise ValueError(f"{place}: every must be more than nothing")
    if action.until is not None and action.until <= action.at:
        raise ValueError(f"{place}: until comes before at")
    if (min(action.until or duration_us, duration_us) - action.at) // every > OCCURRENCES_MAX:
        raise ValueError(f"{place}: it would be done more than {OCCURRENCES_MAX} times: raise every")


def _check_kind(action: Action, place: str, document: Document) -> None:
    if isinstance(action, Join):
        if not 1 <= action.count <= NODES_MAX or document.nodes + action.count > NODES_MAX:
            raise ValueError(
                f"{place}: count is {action.count}: at most {NODES_MAX} nodes in all, at least 1"
            )
        if action.group and action.group not in {group.name for group in document.group}:
            raise ValueError(f"{place}: there is no group {action.group!r}")
    elif isinstance(action, Flap):
        if action.down <= 0 or action.up <= 0:
            raise ValueError(f"{place}: down and up must be more than nothing")
    elif isinstance(action, Partition):
        if len(action.sides) < 1:
            raise ValueError(f"{place}: sides is empty")
    elif isinstance(action, Churn):
        if not 0 < action.rate <= CHURN_RATE_MAX or action.services < 1:
            raise ValueError(f"{place}: rate is a number a second above 0, services at least 1")
    elif isinstance(action, UserEvent):
        if not STAMP_BYTES <= action.size <= MAX_PAYLOAD_BYTES:
            raise ValueError(
                f"{place}: size is {action.size}: write {STAMP_BYTES} to {MAX_PAYLOAD_BYTES} bytes"
            )
    else:
        factor = action.factor if isinstance(action, Starve) else 1
        _check_load(factor, getattr(action, "ppm", 0), place)


def _check_load(factor: int, ppm: int, place: str) -> None:
    if not 1 <= factor <= STARVE_MAX:
        raise ValueError(f"{place}: starving takes a factor from 1 (none) to {STARVE_MAX}")
    if abs(ppm) > PPM_MAX:
        raise ValueError(f"{place}: {ppm} parts in a million is no clock; write at most {PPM_MAX}")


def _certain(action: Action) -> int:
    """How many nodes this surely takes away, as far as can be told beforehand."""
    if not isinstance(action, Crash) or action.every is not None:
        return 0
    return sum(part.count or 0 for part in action.nodes.parts)
