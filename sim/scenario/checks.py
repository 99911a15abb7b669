"""What goes together in a scenario: everything that can be known to be wrong before the run begins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from gossip.core.params import Params
from sim.clock import SECOND
from sim.scenario.actions import Action, Crash, Join, Lasting, Restart, word
from sim.scenario.limits import LAST_NODE, LIMITS, NODES_MAX, check_load, group_sizes
from sim.scenario.lines import line_of
from sim.scenario.meaning import check_meaning, check_services
from sim.scenario.schema import CostsTable, Document, GroupTable, NetworkTable, ServiceTable, ZonesTable
from sim.scenario.values import Selector
from sim.scenario.words import check_service, check_tags

__all__ = ["NODES_MAX", "RESERVED", "check", "occurrences"]

OCCURRENCES_MAX = 100_000
"""Of one action that repeats."""
COST_MAX_US = 60_000_000
"""A minute for one datagram."""
RESERVED = ("all", "rest", "next")
NODE = re.compile(r"n\d+")
"""What nodes are called."""


def check(document: Document, params: Params) -> None:
    """Raise ValueError, naming the place and what to write, if this makes no sense with these settings."""
    if not 1 <= document.nodes <= NODES_MAX:
        raise ValueError(f"nodes is {document.nodes}: a cluster has at least one node, at most {NODES_MAX}")
    if document.duration <= 0:
        raise ValueError("the duration must be more than nothing")
    if not 1 <= document.seeds <= document.nodes:
        raise ValueError(f"seeds is {document.seeds}: write a number from 1 to the number of nodes")
    _check_network(document.network)
    _check_costs(document.costs)
    places = _check_places(document)
    for service in document.service:
        _check_service(service, places, params.services_max)
    check_services(document.service)
    _check_held(document, params.services_max)
    for number, action in enumerate(document.action, 1):
        _check_action(action, f"action {number} ({word(action)})", document, places)
    gone = sum(_certain(action, document.nodes) for action in document.action)
    comes = any(isinstance(action, Restart | Join) for action in document.action)
    if gone >= document.nodes and not comes:
        raise ValueError(f"of {document.nodes} nodes at least one must be left by the crashes")


def occurrences(action: Action, duration_us: int) -> Iterator[int]:
    """When the action is done, in microseconds: once, or every so often while `until` is not reached."""
    if action.every is None:
        yield action.at
        return
    yield from range(action.at, min(action.until or duration_us, duration_us), action.every)


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Errors of what is done in it name the place."""
    try:
        yield
    except ValueError as problem:
        raise ValueError(f"{place}: {problem}") from None


def _check_network(network: NetworkTable) -> None:
    if network.reordering and not network.reorder:
        raise ValueError('[network]: reordering needs `reorder`, how late such a packet is: write "5ms"')
    with _at("[network]"):
        line_of(network)


def _check_costs(costs: CostsTable | None) -> None:
    for key in () if costs is None else costs.__struct_fields__:
        if not 0 <= getattr(costs, key) <= COST_MAX_US:
            raise ValueError(
                f"[costs]: {key} is {getattr(costs, key)}: write microseconds, from 0 to {COST_MAX_US}"
            )


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
        with _at(place):
            check_load(group.starve, group.clock_ppm)
            check_tags(group.tags, LAST_NODE)
        names.append(group.name)
    for name in names:
        if not name or name in RESERVED or names.count(name) > 1 or " " in name or name[0].isdecimal():
            raise ValueError(
                f"{name!r} cannot be the name of a group or zone: it must be one word that begins with no"
                f" digit, is not {', '.join(RESERVED)}, and is not used twice"
            )
        if NODE.fullmatch(name):
            raise ValueError(
                f"{name!r} cannot be the name of a group or zone: nodes are called n0, n1 and so on"
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


def _check_service(service: ServiceTable, places: set[str], most: int) -> None:
    place = f"service {service.name!r}"
    _check_selector(service.nodes, places, f"{place}, nodes")
    if any(part.in_order or part.place == "rest" for part in service.nodes.parts):
        raise ValueError(f"{place}: `next` and `rest` mean nothing here")
    if not 1 <= service.count <= most:
        raise ValueError(f"{place}: count is {service.count}: write 1 to {most} (settings.services_max)")
    key = f"{service.name}-{service.count - 1}" if service.count > 1 else service.name or "key"
    with _at(place):
        check_service(service.name, key, service.port, service.tags, service.meta, service.weight)


def _check_held(document: Document, most: int) -> None:
    """That no node has more services than nodes may have, as far as it does not hang on chance."""
    groups = [*document.group, *([] if document.group else [GroupTable(name="")])]
    for group in groups:
        own = {"all", group.name, group.zone}
        counts = {
            (service.name, service.count == 1): service.count
            for service in document.service
            if any(part.place in own and part.whole for part in service.nodes.parts)
        }
        if sum(counts.values()) > most:
            raise ValueError(
                f"[[service]]: a node has {sum(counts.values())} of them, and {most} is the most"
                " (settings.services_max): lower a count"
            )


def _check_action(action: Action, place: str, document: Document, places: set[str]) -> None:
    if action.at >= document.duration:
        what = "is" if action.at == document.duration else "comes after"
        raise ValueError(
            f"{place}: {action.at / SECOND:g} s {what} the end of the run, where nothing is done any more:"
            " write an earlier `at`, or a longer duration"
        )
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
    limits = LIMITS.get(type(action))
    with _at(place):
        if limits is not None:
            limits(action, document)
        check_meaning(action, document)


def _check_repetition(action: Action, place: str, duration_us: int) -> None:
    every = action.every or 0
    if every <= 0:
        raise ValueError(f"{place}: every must be more than nothing")
    if action.until is not None and action.until <= action.at:
        raise ValueError(f"{place}: until comes before at")
    if (min(action.until or duration_us, duration_us) - action.at) // every > OCCURRENCES_MAX:
        raise ValueError(f"{place}: it would be done more than {OCCURRENCES_MAX} times: raise every")


def _certain(action: Action, nodes: int) -> int:
    """How many of the nodes this surely takes away, as far as can be told beforehand."""
    if not isinstance(action, Crash) or action.every is not None:
        return 0
    parts = action.nodes.parts
    if any(part.place == "all" and (part.whole or part.share == 1.0) for part in parts):
        return nodes
    return sum(part.count or 0 for part in parts)
