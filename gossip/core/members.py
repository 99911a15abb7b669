"""The member table: who is known, by id, name and address; sampling; the fingerprint of the view.

A member carries everything its node ever said that still counts: the member record and the
service records, deletions included. The view's fingerprint is the xor of the hashes of all live
records; each member keeps the xor of its own, so that a death costs one xor and not a walk.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar, cast

from gossip.core.coordinates import Coordinate
from gossip.core.records import Deletion, Fact, Key, MemberRecord
from gossip.core.suspicion import Suspicion
from gossip.core.types import Address, NodeId, Phase, Status

if TYPE_CHECKING:
    import random

__all__ = ["Member", "MemberTable"]

_K = TypeVar("_K")


class Member:
    """What this node holds of one node. Written by core only."""

    __slots__ = (
        "accusations",
        "accuse_at",
        "accuse_credit",
        "accused_at",
        "agreed",
        "answered_at",
        "conflicts",
        "degraded",
        "deviation",
        "distrust_refusals_until",
        "event_floor",
        "fact",
        "heard",
        "position",
        "proven",
        "record",
        "ring_at",
        "rtt",
        "services",
        "since",
        "status",
        "suspicion",
        "view_at",
        "xor",
    )

    def __init__(self, fact: Fact, status: Status, now: float) -> None:
        self.fact = fact
        self.record = cast("MemberRecord", fact.body)
        self.status = status
        self.since = now
        self.accusations: dict[NodeId, Fact] = {}
        self.suspicion: Suspicion | None = None
        self.services: dict[Key, Fact] = {}
        self.xor = fact.hash
        self.ring_at = -1
        self.heard = float("-inf")
        self.rtt: float | None = None
        self.deviation = 0.0
        self.position: Coordinate | None = None
        self.agreed = False
        self.view_at = float("-inf")
        self.proven = False
        self.degraded = False
        self.conflicts: tuple[str, ...] = ()
        self.distrust_refusals_until = float("-inf")
        self.accuse_credit = 3.0
        self.accuse_at = float("-inf")
        self.accused_at: dict[NodeId, float] = {}
        """Whose word against this member was counted lately, and when."""
        self.event_floor = 0
        self.answered_at = float("-inf")

    @property
    def id(self) -> NodeId:
        return self.record.owner

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def address(self) -> Address:
        return (self.record.host, self.record.port)

    @property
    def incarnation(self) -> int:
        return self.record.version

    @property
    def is_live(self) -> bool:
        """Whether its records count in the view: neither dead nor left."""
        return self.status <= Status.SUSPECT

    @property
    def flags(self) -> tuple[str, ...]:
        """What an operator should know besides the status."""
        flags = list(self.conflicts)
        if self.degraded:
            flags.append("degraded")
        if self.record.phase == Phase.RESTARTING:
            flags.append("restarting")
        if self.record.ephemeral:
            flags.append("ephemeral")
        return tuple(flags)

    def believes_refusals(self, now: float) -> bool:
        """Whether a refusal at its address says anything of this member, and not of another or a liar."""
        return "address_conflict" not in self.conflicts and now >= self.distrust_refusals_until

    def sample_rtt(self, rtt: float) -> None:
        """Smooth a round trip in (Jacobson 1988: gains 1/8 and 1/4)."""
        if self.rtt is None:
            self.rtt = rtt
            self.deviation = rtt / 2
            return
        self.deviation += (abs(rtt - self.rtt) - self.deviation) / 4
        self.rtt += (rtt - self.rtt) / 8


class MemberTable:
    """All members but this node, which stands beside them as `me`."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._by_id: dict[NodeId, Member] = {}
        self._by_name: dict[str, list[NodeId]] = {}
        self._by_address: dict[Address, list[NodeId]] = {}
        self._live: list[NodeId] = []
        self._ring: list[NodeId] = []
        self._cursor = 0
        self.counts = dict.fromkeys(Status, 0)
        self.me: Member = cast("Member", None)
        """Set by the node before anything else is asked of the table."""
        self.fingerprint = 0
        self.index = 0
        """Rises on every visible change of a member."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Member]:
        return iter(self._by_id.values())

    def get(self, member: NodeId) -> Member | None:
        return self._by_id.get(member)

    @property
    def n(self) -> int:
        """Alive and suspect members, this node included: the size that times derive from."""
        return len(self._live) + 1

    @property
    def live(self) -> list[NodeId]:
        """Ids of alive and suspect members, in no order that means anything. Not to be changed."""
        return self._live

    def named(self, name: str) -> list[Member]:
        return [self._by_id[member] for member in self._by_name.get(name, ())]

    def at(self, address: Address) -> list[Member]:
        """Live members that advertise `address`."""
        found = (self._by_id[member] for member in self._by_address.get(address, ()))
        return [member for member in found if member.is_live]

    def knows(self, address: Address) -> bool:
        """Whether any member, in whatever state, advertises `address`."""
        return address in self._by_address

    # -- changes; the caller has judged them ------------------------------------------------

    def add(self, member: Member) -> None:
        self._by_id[member.id] = member
        self._index(member)
        self.counts[member.status] += 1
        if member.is_live:
            self._enter(member)

    def remove(self, member: Member) -> None:
        """Forget a member altogether. Only tombstones are removed."""
        self.set_status(member, Status.LEFT, member.since)
        self.counts[Status.LEFT] -= 1
        self._unindex(member)
        del self._by_id[member.id]

    def set_status(self, member: Member, status: Status, now: float) -> None:
        if member.status is status:
            return
        was_live = member.is_live
        self.counts[member.status] -= 1
        self.counts[status] += 1
        member.status = status
        member.since = now
        if was_live and not member.is_live:
            self._exit(member)
        elif member.is_live and not was_live:
            self._enter(member)

    def set_record(self, member: Member, fact: Fact) -> None:
        """Take the member's new record of itself."""
        self._xor(member, member.fact.hash ^ fact.hash)
        if member is not self.me:
            self._unindex(member)
        member.fact = fact
        member.record = cast("MemberRecord", fact.body)
        if member is not self.me:
            self._index(member)

    def set_service(self, member: Member, key: Key, fact: Fact | None) -> None:
        """Put, replace or (with None) forget one of the member's other records."""
        old = member.services.pop(key, None)
        change = 0
        if old is not None and not isinstance(old.body, Deletion):
            change ^= old.hash
        if fact is not None:
            member.services[key] = fact
            if not isinstance(fact.body, Deletion):
                change ^= fact.hash
        self._xor(member, change)

    # -- whom to ask and to tell ------------------------------------------------------------

    def next_in_ring(self) -> Member | None:
        """The next member to probe: each once a round, in an order shuffled anew every round."""
        for _ in range(len(self._ring) + 1):
            if self._cursor >= len(self._ring):
                self._ring = list(self._live)
                self._rng.shuffle(self._ring)
                self._cursor = 0
                if not self._ring:
                    return None
            member = self._by_id.get(self._ring[self._cursor])
            self._cursor += 1
            if member is not None and member.is_live and member.record.phase == Phase.RUNNING:
                return member
        return None

    def sample(self, count: int, exclude: NodeId | None = None) -> list[Member]:
        """Up to `count` live members drawn at random, without `exclude`."""
        live = self._live
        drawn = self._rng.sample(live, min(len(live), count + (exclude is not None)))
        return [self._by_id[member] for member in drawn if member != exclude][:count]

    def _xor(self, member: Member, change: int) -> None:
        member.xor ^= change
        if member is self.me or member.ring_at >= 0:
            self.fingerprint ^= change

    def _enter(self, member: Member) -> None:
        member.ring_at = len(self._live)
        self._live.append(member.id)
        self.fingerprint ^= member.xor
        if member.id not in self._ring[self._cursor :]:
            # A newcomer is probed at a random place of the round that is under way.
            self._ring.insert(self._rng.randint(self._cursor, len(self._ring)), member.id)

    def _exit(self, member: Member) -> None:
        last = self._live.pop()
        if last != member.id:
            self._live[member.ring_at] = last
            self._by_id[last].ring_at = member.ring_at
        member.ring_at = -1
        self.fingerprint ^= member.xor

    def _index(self, member: Member) -> None:
        self._by_name.setdefault(member.name, []).append(member.id)
        self._by_address.setdefault(member.address, []).append(member.id)

    def _unindex(self, member: Member) -> None:
        _remove(self._by_name, member.name, member.id)
        _remove(self._by_address, member.address, member.id)


def _remove(index: dict[_K, list[NodeId]], key: _K, member: NodeId) -> None:
    holders = index[key]
    holders.remove(member)
    if not holders:
        del index[key]
