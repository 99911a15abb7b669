"""What one action may ask for: a check for each word of `do` that can ask for the impossible."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gossip.core.records import MAX_PAYLOAD_BYTES
from sim.clock import SECOND
from sim.scenario.actions import (
    Churn,
    ClockRate,
    Cut,
    Flap,
    Join,
    JumpWall,
    LinkChange,
    NetworkChange,
    Register,
    Starve,
    Tags,
    UserEvent,
    changed_line,
)
from sim.scenario.faults import PAIRS_MAX, too_many_pairs
from sim.scenario.lines import line_of
from sim.scenario.schema import Document, GroupTable
from sim.scenario.values import Part
from sim.scenario.words import check_event, check_service, check_tags

__all__ = ["LAST_NODE", "LIMITS", "NODES_MAX", "STAMP_BYTES", "check_load", "group_sizes"]

NODES_MAX = 60_000
"""A little below what the shipped settings let a node know (`Params.members_max`)."""
LAST_NODE = f"n{NODES_MAX}"
"""The longest name of a node."""
CHURN_RATE_MAX = 100_000.0
PPM_MAX = 500_000
STARVE_MAX = 1_000_000
JUMP_MAX_US = 100 * 366 * 86_400 * SECOND
FLAPS_MAX = 100_000
"""As often as an action may be repeated."""
STAMP_BYTES = 8
"""A user event's payload begins with a number of so many bytes, by which it is known again."""


def check_load(factor: int, ppm: int) -> None:
    """Raise ValueError if no machine is so slow, or no clock so wrong."""
    if not 1 <= factor <= STARVE_MAX:
        raise ValueError(f"starving takes a factor from 1 (none) to {STARVE_MAX}")
    if abs(ppm) > PPM_MAX:
        raise ValueError(f"{ppm} parts in a million is no clock; write at most {PPM_MAX}")


def group_sizes(nodes: int, groups: Sequence[GroupTable]) -> dict[str, int]:
    """How many nodes each group has; a share is rounded, and at least one node."""
    sizes = {}
    for group in groups:
        share = max(1, round(nodes * group.share)) if group.share is not None else 0
        sizes[group.name] = group.count if group.count is not None else share
    return sizes


def _join(action: Join, document: Document) -> None:
    if not 1 <= action.count <= NODES_MAX or document.nodes + action.count > NODES_MAX:
        raise ValueError(f"count is {action.count}: at most {NODES_MAX} nodes in all, at least 1")
    if action.group and action.group not in {group.name for group in document.group}:
        raise ValueError(f"there is no group {action.group!r}")


def _flap(action: Flap, document: Document) -> None:
    if action.down <= 0 or action.up <= 0:
        raise ValueError("down and up must be more than nothing")
    span = document.duration - action.at
    repeats = 1 if action.every is None else 1 + min(action.until or span, span) // action.every
    if repeats * (min(action.lasts or span, span) // (action.down + action.up)) > FLAPS_MAX:
        raise ValueError(f"it would come and go more than {FLAPS_MAX} times: raise down or up")
    _cut(action, document)


def _cut(action: Cut | Flap | LinkChange, document: Document) -> None:
    sizes = group_sizes(document.nodes, document.group)
    senders = [_size(part, document.nodes, sizes) for part in action.nodes.parts]
    sizes["rest"] = max(0, document.nodes - sum(most for _, most in senders))
    receivers = [_size(part, document.nodes, sizes) for part in action.to.parts]
    least = [max(least for least, _ in side) for side in (senders, receivers)]
    if least[0] * least[1] > PAIRS_MAX:
        raise ValueError(too_many_pairs(*least))


def _size(part: Part, nodes: int, sizes: Mapping[str, int]) -> tuple[int, int]:
    """How many it means at least, and at most, as far as that can be told: who joins later makes it more."""
    pool = nodes if part.place == "all" else sizes.get(part.place)
    if pool is None:
        return 1, nodes
    if part.share is not None:
        pool = min(pool, max(1, round(pool * part.share)))
    return (pool, pool) if part.count is None else (min(pool, part.count),) * 2


def _churn(action: Churn, _document: Document) -> None:
    if not 0 < action.rate <= CHURN_RATE_MAX:
        raise ValueError(
            f"rate is {action.rate:g}: write a number a second above 0, up to {CHURN_RATE_MAX:,.0f}"
        )
    if action.services < 1:
        raise ValueError(f"services is {action.services}: write 1 or more")
    check_service(action.name, f"{action.name}-{action.services - 1}", 80, (), {}, 1)


def _event(action: UserEvent, _document: Document) -> None:
    if not STAMP_BYTES <= action.size <= MAX_PAYLOAD_BYTES:
        raise ValueError(f"size is {action.size}: write {STAMP_BYTES} to {MAX_PAYLOAD_BYTES} bytes")
    check_event(action.name, action.size)


def _register(action: Register, _document: Document) -> None:
    key = action.key or action.name or "key"  # an empty name is the name's fault
    check_service(action.name, key, action.port, action.tags, action.meta, action.weight)


def _tags(action: Tags, _document: Document) -> None:
    check_tags(action.tags, LAST_NODE)


def _network(action: LinkChange | NetworkChange, document: Document) -> None:
    line_of(document.network, **changed_line(action))


def _link(action: LinkChange, document: Document) -> None:
    _network(action, document)
    _cut(action, document)


def _starve(action: Starve, _document: Document) -> None:
    check_load(action.factor, 0)


def _clock_rate(action: ClockRate, _document: Document) -> None:
    check_load(1, action.ppm)


def _jump_wall(action: JumpWall, _document: Document) -> None:
    if abs(action.by) > JUMP_MAX_US:
        raise ValueError("by is more than a hundred years")


LIMITS: dict[type, Callable[[Any, Document], None]] = {
    Join: _join,
    Flap: _flap,
    Churn: _churn,
    UserEvent: _event,
    Register: _register,
    Tags: _tags,
    Cut: _cut,
    LinkChange: _link,
    NetworkChange: _network,
    Starve: _starve,
    ClockRate: _clock_rate,
    JumpWall: _jump_wall,
}
"""Each raises ValueError, in words; what is not here can ask for nothing impossible."""
