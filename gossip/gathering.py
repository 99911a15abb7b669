"""What a node, its driver and the last examination hold, as the plain facts of a diagnosis. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from gossip.api.views import maintenance, milliseconds, tally
from gossip.core.records import Accusation
from gossip.core.types import Kind, show_address
from gossip.diagnosis.facts import (
    Accused,
    Back,
    Doubted,
    Facts,
    Me,
    Other,
    Peer,
    Refused,
    Relapse,
    Seed,
    Witness,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gossip.core.examiner import Examined
    from gossip.core.members import Member
    from gossip.core.node import Node
    from gossip.core.types import NodeId
    from gossip.net.lag import Lag
    from gossip.net.strangers import Strangers

__all__ = ["Senses", "gather"]

LATELY: Final = 300.0
"""Seconds for which it matters whose words could not be read."""


class Senses(Protocol):
    """What is needed of `net.driver.Driver`."""

    lag: Lag
    strangers: Strangers

    def now(self) -> float: ...


def gather(
    node: Node, senses: Senses, cluster: str, peers: Sequence[Member], more: int, only: NodeId | None
) -> Facts:
    """The facts about a node and about `peers`, who were just examined."""
    now = senses.now()
    examined = {each.member: each for each in node.examined}
    return Facts(
        _me(node, senses, cluster, now),
        tuple(_peer(node, each, examined.get(each.id), now) for each in peers),
        more,
        "" if only is None else only.hex(),
    )


def _me(node: Node, senses: Senses, cluster: str, now: float) -> Me:
    me = node.me
    return Me(
        id=node.id.hex(),
        name=node.name,
        cluster=cluster,
        address=show_address(node.address),
        flags=node.flags,
        health=node.health,
        members=tally(node),
        doubts=tuple(
            Doubted(_ago(now, each.at), each.late, each.gap, each.overflow, each.mute) for each in node.doubts
        ),
        lag_s=senses.lag.worst(now),
        accused=tuple(
            Accused(_name(node, who), kind.name.lower(), _ago(now, at))
            for who, (kind, at) in node.accusers.items()
        ),
        same_name=_of_that_name(node, me),
        same_address=_at_that_address(node, me),
        refused=tuple(
            Refused(each.reason, show_address(each.address), each.is_stream, each.times, _ago(now, each.at))
            for each in senses.strangers.since(now - LATELY)
        ),
        seeds=tuple(Seed(seed, problem) for seed, problem in node.seed_problems().items()),
        maintenance=maintenance(me),
    )


def _peer(node: Node, member: Member, examined: Examined | None, now: float) -> Peer:
    heard = None if member.view_at == float("-inf") else _ago(now, member.view_at)
    peer = Peer(
        id=member.id.hex(),
        name=member.name,
        address=show_address(member.address),
        status=member.status.label,
        for_s=_ago(now, member.since),
        flags=member.flags,
        handle=_handle(node, member),
        heard_ago_s=heard,
        accused=_accused(node, member, now),
        relapse=_relapse(node, member, now),
        same_name=_of_that_name(node, member) if member.is_live else (),
        same_address=_at_that_address(node, member) if member.is_live else (),
    )
    return peer if examined is None else _with_trial(node, peer, examined)


def _with_trial(node: Node, peer: Peer, examined: Examined) -> Peer:
    back = examined.back
    told = None
    if back is not None:
        tried, seen = show_address(back.tried), show_address(back.seen)
        told = Back(tried, seen, back.small.label, back.full.label, back.stream.label, back.heard)
    return msgspec.structs.replace(
        peer,
        small=examined.small.label,
        full=examined.full.label,
        stream=examined.stream.label,
        rtt_ms=milliseconds(examined.rtt),
        heard=examined.heard,
        doubted=examined.doubted,
        back=told,
        no_back=examined.no_back,
        witnesses=tuple(
            Witness(_name(node, who), None if met is None else met.name.lower(), who in examined.late)
            for who, met in examined.witnesses.items()
        ),
    )


def _accused(node: Node, member: Member, now: float) -> tuple[Accused, ...]:
    found = []
    for who, fact in member.accusations.items():
        if isinstance(fact.body, Accusation):
            at = member.case.accused_at.get(who)
            kind = Kind(fact.body.kind).name.lower()
            found.append(Accused(_name(node, who), kind, None if at is None else _ago(now, at)))
    return tuple(found)


def _relapse(node: Node, member: Member, now: float) -> Relapse | None:
    case = member.judged
    if not case.unstable:
        return None
    words = [fact.body for fact in case.blamed if isinstance(fact.body, Accusation)]
    accused = (Accused(_name(node, word.owner), Kind(word.kind).name.lower()) for word in words)
    return Relapse(_ago(now, case.relapsed_at), tuple(accused))


def _of_that_name(node: Node, member: Member) -> tuple[Other, ...]:
    named = [*node.members.named(member.name), *([node.me] if node.name == member.name else ())]
    return _others(named, member)


def _at_that_address(node: Node, member: Member) -> tuple[Other, ...]:
    placed = [*node.members.at(member.address), *([node.me] if node.address == member.address else ())]
    return _others(placed, member)


def _handle(node: Node, member: Member) -> str:
    """The beginning of its id, if another node has its name and commands find that one."""
    shared = node.name == member.name or len(node.members.named(member.name)) > 1
    return member.id.hex()[:8] if shared and node.find(member.name) is not member else ""


def _others(members: Sequence[Member], but: Member) -> tuple[Other, ...]:
    return tuple(
        Other(each.id.hex(), each.name, show_address(each.address))
        for each in members
        if each.is_live and each.id != but.id
    )


def _name(node: Node, who: NodeId) -> str:
    if who == node.id:
        return "this agent"
    member = node.members.get(who)
    return who.hex()[:8] if member is None else member.name


def _ago(now: float, at: float) -> float:
    return round(max(0.0, now - at), 3)
