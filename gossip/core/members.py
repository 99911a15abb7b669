"""The member table: who is known, by id, name and address; sampling; the fingerprint of the view.

A member carries everything its node ever said that still counts: the member record and the
service records, deletions included. The view's fingerprint is the xor of the hashes of all live
records: a change costs the xor of what changed, a death that of what one member said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from gossip.core.member import Member
from gossip.core.records import Deletion, Fact, Key, MemberRecord
from gossip.core.types import Address, NodeId, Phase, Status

if TYPE_CHECKING:
    import random

__all__ = ["Member", "MemberTable"]

_K = TypeVar("_K", str, Address)

_PLACES: list[int] = []
"""The numbers from 0 up, each as one object: the members of all tables of a process share them."""


class MemberTable:
    """All members but this node, which stands beside them as `me`."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._by_id: dict[NodeId, Member] = {}
        self._by_name: dict[str, Member | list[Member]] = {}
        self._by_address: dict[Address, Member | list[Member]] = {}
        self._live: list[NodeId] = []
        self._ring: list[Member] = []
        self._cursor = 0
        self._turns = bytearray()
        """Of each of the live, at its place there: 1 while its turn in this round of probes is to come."""
        self._turns_of_gone: set[NodeId] = set()
        """Who ceased to be live before that: should such a one come back, it is in the round still."""
        self.counts = dict.fromkeys(Status, 0)
        self.me: Member = cast("Member", None)
        """Set by the node before anything else is asked of the table."""
        self.bans: dict[NodeId, Fact] = {}
        """By whom they are about. Written by `set_ban` only; no member leaves it, ever."""
        self.fingerprint = 0
        self.index = 0
        """Rises on every visible change of a member."""
        self.revision = 0
        """Rises when a record, status, flag, accusation or suspicion changes, this node's own included."""

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
    def lasting(self) -> int:
        """Members besides this node that are not known to have left."""
        return self.counts[Status.ALIVE] + self.counts[Status.SUSPECT] + self.counts[Status.DEAD]

    @property
    def live(self) -> list[NodeId]:
        """Ids of alive and suspect members, in no order that means anything. Not to be changed."""
        return self._live

    def named(self, name: str) -> Sequence[Member]:
        """Members of that name, in whatever state."""
        return _holders(self._by_name, name)

    def at(self, address: Address) -> list[Member]:
        """Live members that advertise `address`."""
        return [member for member in _holders(self._by_address, address) if member.is_live]

    def life_of(self, id: NodeId) -> int:
        """The `boot` of a member's record: which life of its this node knows; 0 if it is not known."""
        member = self.get(id)
        return 0 if member is None else member.record.boot

    def anybody_at(self, address: Address) -> Member | None:
        """A member, in whatever state, that advertises `address`."""
        return next(iter(_holders(self._by_address, address)), None)

    def knows(self, address: Address) -> bool:
        """Whether any member, in whatever state, advertises `address`."""
        return address in self._by_address

    def is_alone(self, member: Member) -> bool:
        """Whether nobody else, in whatever state, has the name or the address of `member`."""
        me, record = self.me, member.record
        return (
            self._by_name.get(record.name) is member
            and self._by_address.get(record.address) is member
            and me.record.name != record.name
            and me.record.address != record.address
        )

    # -- changes; the caller has judged them ------------------------------------------------

    def add(self, member: Member) -> None:
        self.revision += 1
        self._by_id[member.record.owner] = member
        self._index(member)
        self.counts[member.status] += 1
        if member.is_live:
            self._enter(member)

    def remove(self, member: Member) -> None:
        """Forget a member altogether. Only tombstones are removed."""
        self.revision += 1
        self.set_status(member, Status.LEFT, member.since)
        self.counts[Status.LEFT] -= 1
        self._unindex(member)
        self._turns_of_gone.discard(member.id)
        del self._by_id[member.id]

    def set_status(self, member: Member, status: Status, now: float) -> None:
        if member.status is status:
            return
        self.revision += 1
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
        self.revision += 1
        self._changed(member, member.fact.hash ^ fact.hash)
        if member is not self.me:
            self._unindex(member)
        was_at = member.address
        member.fact = fact
        member.record = cast("MemberRecord", fact.body)
        if member.address != was_at:
            member.moved()
        if member is not self.me:
            self._index(member)

    def set_service(self, member: Member, key: Key, fact: Fact | None) -> None:
        """Put, replace or (with None) forget one of the member's other records."""
        self.revision += 1
        old = member.services.get(key)
        change = 0
        if old is not None and not isinstance(old.body, Deletion):
            change ^= old.hash
        if fact is not None and not isinstance(fact.body, Deletion):
            change ^= fact.hash
        member.keep(key, fact)
        self._changed(member, change)

    def set_ban(self, subject: NodeId, fact: Fact) -> None:
        """Put the authority's word against `subject`, or replace an older one."""
        self.revision += 1
        old = self.bans.get(subject)
        self.fingerprint ^= fact.hash ^ (0 if old is None else old.hash)
        self.bans[subject] = fact

    # -- whom to ask and to tell ------------------------------------------------------------

    def next_in_ring(self) -> Member | None:
        """The next member to probe: each once a round, in an order shuffled anew every round."""
        for _ in range(len(self._ring) + 1):
            if self._cursor >= len(self._ring) and not self._new_round():
                return None
            member = self._ring[self._cursor]
            self._cursor += 1
            if self._by_id.get(member.id) is not member:
                continue
            if member.ring_at < 0:
                self._turns_of_gone.discard(member.id)
                continue
            self._turns[member.ring_at] = 0
            if member.record.phase == Phase.RUNNING:
                return member
        return None

    def _new_round(self) -> bool:
        """Shuffle the live into a new round; False if there is nobody."""
        self._ring = [self._by_id[member] for member in self._live]
        self._rng.shuffle(self._ring)
        self._cursor = 0
        self._turns = bytearray(b"\x01") * len(self._live)
        return bool(self._ring)

    def sample(self, count: int, exclude: NodeId | None = None) -> list[Member]:
        """Up to `count` live members drawn at random, without `exclude`."""
        live = self._live
        drawn = self._rng.sample(live, min(len(live), count + (exclude is not None)))
        return [self._by_id[member] for member in drawn if member != exclude][:count]

    def _changed(self, member: Member, change: int) -> None:
        if member is self.me or member.ring_at >= 0:
            self.fingerprint ^= change

    def _enter(self, member: Member) -> None:
        live = self._live
        at = len(live)
        if at == len(_PLACES):
            _PLACES.append(at)
        member.ring_at = _PLACES[at]
        live.append(member.record.owner)
        self._turns.append(1)
        self.fingerprint ^= member.mark
        if member.record.owner in self._turns_of_gone:
            self._turns_of_gone.discard(member.record.owner)
        else:
            # A newcomer is probed at a random place of the round that is under way.
            left = len(self._ring) - self._cursor
            self._ring.insert(self._cursor + int(self._rng.random() * (left + 1)), member)

    def _exit(self, member: Member) -> None:
        at = member.ring_at
        if self._turns[at]:
            self._turns_of_gone.add(member.id)
        last, turn = self._live.pop(), self._turns.pop()
        if last != member.id:
            self._live[at], self._turns[at] = last, turn
            self._by_id[last].ring_at = at
        member.ring_at = -1
        self.fingerprint ^= member.mark

    def _index(self, member: Member) -> None:
        record = member.record
        _put(self._by_name, record.name, member)
        _put(self._by_address, record.address, member)

    def _unindex(self, member: Member) -> None:
        _remove(self._by_name, member.name, member)
        _remove(self._by_address, member.address, member)


# One holder of a key stands there by itself, as nearly all do: a list only where several do.


def _holders(index: dict[_K, Member | list[Member]], key: _K) -> Sequence[Member]:
    held = index.get(key)
    if held is None:
        return ()
    return (held,) if isinstance(held, Member) else held


def _put(index: dict[_K, Member | list[Member]], key: _K, member: Member) -> None:
    held = index.get(key)
    if held is None:
        index[key] = member
    elif isinstance(held, Member):
        index[key] = [held, member]
    else:
        held.append(member)


def _remove(index: dict[_K, Member | list[Member]], key: _K, member: Member) -> None:
    rest = [other for other in _holders(index, key) if other is not member]
    if rest:
        index[key] = rest if len(rest) > 1 else rest[0]
    else:
        del index[key]
