"""The tables of a scenario file. SCHEMA.md describes each key; a test holds the two together."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin, get_type_hints

from msgspec import Struct

from sim.processor import Costs
from sim.refusals import Refusals
from sim.scenario.actions import ACTIONS, EVERYBODY, Action, word
from sim.scenario.values import Delay, Duration, Selector, Share, Size

__all__ = [
    "BurstTable",
    "CostsTable",
    "Document",
    "GroupTable",
    "NetworkTable",
    "ServiceTable",
    "ZonesTable",
    "choices_at",
    "keys_at",
]


COSTS = Costs()


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keys that are not known are refused."""


class BurstTable(Table, frozen=True, kw_only=True):
    """`network.burst`: loss that comes in bursts (Gilbert-Elliott), per direction and pair."""

    enter: Share
    leave: Share
    loss: Share = Share(1.0)


class NetworkTable(Table, frozen=True, kw_only=True):
    """`[network]`: every link that has none of its own."""

    latency: Delay = Delay("0.5ms")
    loss: Share = Share(0.0)
    burst: BurstTable | None = None
    duplication: Share = Share(0.0)
    reordering: Share = Share(0.0)
    reorder: Duration = Duration(0)
    bandwidth: Size | None = None
    backlog: Size = Size(262_144)
    mtu: Size | None = None
    receive_buffer: Size | None = None


class ZonesTable(Table, frozen=True, kw_only=True):
    """`[zones]`: matrices of the links between zones, rows sending to columns."""

    names: tuple[str, ...]
    latency: tuple[tuple[Delay, ...], ...] = ()
    loss: tuple[tuple[Share, ...], ...] = ()


class GroupTable(Table, frozen=True, kw_only=True):
    """`[[group]]`: nodes with something in common, as a rack."""

    name: str
    count: int | None = None
    share: Share | None = None
    zone: str = ""
    starve: int = 1
    clock_ppm: int = 0
    loss_in: Share = Share(0.0)
    loss_out: Share = Share(0.0)
    refusals: Refusals = "sent"
    receive_buffer: Size | None = None
    tags: dict[str, str] = {}


class ServiceTable(Table, frozen=True, kw_only=True):
    """`[[service]]`: what nodes register when they start."""

    name: str
    nodes: Selector = EVERYBODY
    count: int = 1
    port: int = 80
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = {}
    weight: int = 1


class CostsTable(Table, frozen=True, kw_only=True):
    """`[costs]`: processor time of what a node does, in microseconds; what is not given is as measured."""

    wake: int = COSTS.wake
    received: int = COSTS.received
    sent: int = COSTS.sent
    checked: int = COSTS.checked
    signed: int = COSTS.signed
    tick: int = COSTS.tick


class Document(Table, frozen=True, kw_only=True):
    """A whole file."""

    nodes: int
    name: str = ""
    description: str = ""
    duration: Duration = Duration(60_000_000)
    start: str = "together"
    seeds: int = 1
    network: NetworkTable = NetworkTable()
    zones: ZonesTable | None = None
    group: tuple[GroupTable, ...] = ()
    service: tuple[ServiceTable, ...] = ()
    settings: dict[str, Any] = {}
    costs: CostsTable | None = None
    action: tuple[Action, ...] = ()


TABLES: dict[str, type[Table]] = {
    "": Document,
    "network": NetworkTable,
    "network.burst": BurstTable,
    "zones": ZonesTable,
    "group": GroupTable,
    "service": ServiceTable,
    "costs": CostsTable,
}


def keys_at(path: str, document: dict[str, Any]) -> tuple[str, ...]:
    """The keys that a table may have: of `network`, `group[1]` or, by its `do`, `action[0]`."""
    table = _table_at(path, document)
    keys = table.__struct_encode_fields__
    return keys if table in TABLES.values() else ("do", *keys)


def choices_at(path: str, document: dict[str, Any]) -> tuple[str, ...]:
    """The words that may stand at a key, as `group[1].refusals`; empty if it is not one of few."""
    table, _, key = path.rpartition(".")
    written = get_type_hints(_table_at(table, document))[key]
    # What may be left out is a union with None.
    kinds = (written, *get_args(written))
    return next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())


def _table_at(path: str, document: dict[str, Any]) -> type[Struct]:
    name, _, number = path.rstrip("]").partition("[")
    if name != "action":
        return TABLES[name]
    does = document["action"][int(number)]["do"]
    return next(action for action in ACTIONS if word(action) == does)
