"""What differs between two views, found at a cost of what differs.

A view is a set of records, each standing at a place that is a hash of (owner, key) alone. Each
live record's 64-bit hash is xored into one of 256 buckets. Two nodes compare their buckets (2 KiB
whatever they hold), and list the hashes of those that differ: 8 bytes a record. A bucket too long
to list cheaply is first split 256-fold again. Then only records that differ travel.

Hidden records (of the dead and the left, and deletions) are listed apart from live ones, and are
in no fingerprint: the same record live on one side and hidden on the other means that the two
disagree about its owner, and is settled by accusations, not by the record.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, cast

from msgspec import Struct

from gossip.core.members import Member, MemberTable
from gossip.core.records import Ban, Deletion, Fact, Key, Notary, key_of
from gossip.core.types import HEAD_BYTES, NodeId

__all__ = ["Difference", "Digest", "Held", "bucket_of", "join_hashes", "split_hashes"]

BUCKETS = 256
SPLIT_OVER = BUCKETS
"""A bucket is split above this many records: where its fingerprints (8 bytes each) cost less than
its listing (8 bytes a record). Splitting at 32, at 10,000 records, would cost 2 KiB a difference."""

MEMBER_KEY: Key = (1, "")

ListedBucket = tuple[int, bytes, bytes]


def bucket_of(owner: NodeId, key: Key) -> int:
    """The place of a record among 65,536 fine buckets; its high byte is the coarse one."""
    family, name = key
    return zlib.crc32(f"{family}/{name}".encode(), zlib.crc32(owner)) & 0xFFFF


class Holder(Protocol):
    """Whose record it is: a member, or the authority."""

    @property
    def id(self) -> NodeId: ...
    @property
    def is_live(self) -> bool: ...


class Held(Struct, frozen=True, eq=False, gc=False):
    """One record of the view, as a digest sees it."""

    fact: Fact
    key: Key
    live: bool
    member: Holder


class Seat(NamedTuple):
    """The authority, as the owner of bans."""

    id: NodeId
    is_live: bool = True


class Difference(NamedTuple):
    """What one side learns from the other's listing."""

    wants: list[int]
    """Hashes of records that are missing here."""
    haves: list[Held]
    """Records held here that the listing lacks."""
    tell: list[Member]
    """Hidden here and live there: they should hear what is held against these."""
    ask: list[NodeId]
    """Live here and hidden there."""


class Digest:
    """A view at one instant, in buckets. Costs a walk over the view: made when a repair begins."""

    def __init__(self, table: MemberTable) -> None:
        self._coarse: list[list[Held]] = [[] for _ in range(BUCKETS)]
        self._marks = [0] * BUCKETS
        self._fine: dict[int, dict[int, list[Held]]] = {}
        """Coarse buckets by the fine ones in them, each grouped once, when it is first split."""
        self._by_hash: dict[int, Held] | None = None
        self.fingerprint = table.fingerprint
        self._enter((table.me,), live=True)
        self._enter(table)
        for fact in table.bans.values():
            self._put(key_of(cast("Ban", fact.body)), fact, Seat(fact.body.owner), live=True)

    def _enter(self, members: Iterable[Member], *, live: bool | None = None) -> None:
        """All records of these members; whose `live` is not given counts as its status says."""
        groups, marks, crc32 = self._coarse, self._marks, zlib.crc32
        for member in members:
            fact = member.fact
            counts = member.is_live if live is None else live
            # As `bucket_of` has it, for the one key that every member has.
            coarse = crc32(b"1/", crc32(fact.body.owner)) >> 8 & 0xFF
            groups[coarse].append(Held(fact, MEMBER_KEY, counts, member))
            if counts:
                marks[coarse] ^= fact.hash
            if member.services:
                for key, other in member.services.items():
                    self._put(key, other, member, live=counts and not isinstance(other.body, Deletion))

    def _put(self, key: Key, fact: Fact, member: Holder, *, live: bool) -> None:
        coarse = bucket_of(member.id, key) >> 8
        self._coarse[coarse].append(Held(fact, key, live, member))
        if live:
            self._marks[coarse] ^= fact.hash

    def marks(self) -> bytes:
        """The fingerprints of the 256 coarse buckets, 2,048 bytes."""
        return join_hashes(self._marks)

    def answer(self, theirs: bytes) -> tuple[list[ListedBucket], list[tuple[int, bytes]]]:
        """Given the peer's `marks`: the buckets that differ, listed, and those to be split first."""
        listed, split = [], []
        for coarse in _differing(self._marks, theirs):
            if len(self._coarse[coarse]) > SPLIT_OVER:
                split.append((coarse, join_hashes(self._fine_marks(coarse))))
            else:
                listed.append(_listing(coarse, self._coarse[coarse]))
        return listed, split

    def list_fine(self, coarse: int, theirs: bytes) -> list[ListedBucket]:
        """Given the peer's fine marks of one coarse bucket: the fine buckets that differ, listed."""
        groups = self._groups(coarse)
        return [
            _listing(BUCKETS + (coarse << 8 | fine), groups.get(coarse << 8 | fine, ()))
            for fine in _differing(self._fine_marks(coarse), theirs)
        ]

    def compare(self, listed: Iterable[ListedBucket]) -> Difference:
        """What differs between the peer's listing and this view."""
        difference = Difference([], [], [], [])
        for bucket, live, hidden in listed:
            self._compare_bucket(bucket, live, hidden, difference)
        return difference

    def _compare_bucket(self, bucket: int, live: bytes, hidden: bytes, out: Difference) -> None:
        mine = {held.fact.hash: held for held in self._bucket(bucket)}
        for hashes, is_live in ((live, True), (hidden, False)):
            for record in split_hashes(hashes):
                held = mine.pop(record, None)
                if held is None:
                    out.wants.append(record)
                elif held.key == MEMBER_KEY and held.live != is_live:
                    if is_live:
                        out.tell.append(cast("Member", held.member))
                    else:
                        out.ask.append(held.member.id)
        out.haves.extend(mine.values())

    def find(self, record: int) -> Held | None:
        """The record of that hash."""
        if self._by_hash is None:
            self._by_hash = {held.fact.hash: held for group in self._coarse for held in group}
        return self._by_hash.get(record)

    def places(self, buckets: Iterable[int], notary: Notary) -> dict[int, Held]:
        """Records of the given buckets by their place hash."""
        return {
            notary.place(held.member.id, held.key): held
            for bucket in buckets
            for held in self._bucket(bucket)
        }

    def _bucket(self, bucket: int) -> Sequence[Held]:
        if bucket < BUCKETS:
            return self._coarse[bucket]
        fine = bucket - BUCKETS
        return self._groups(fine >> 8).get(fine, ())

    def _groups(self, coarse: int) -> dict[int, list[Held]]:
        """The records of a coarse bucket by their fine one, whose number is as `bucket_of` has it."""
        groups = self._fine.get(coarse)
        if groups is None:
            groups = self._fine[coarse] = {}
            for held in self._coarse[coarse]:
                groups.setdefault(bucket_of(held.member.id, held.key), []).append(held)
        return groups

    def _fine_marks(self, coarse: int) -> list[int]:
        marks = [0] * BUCKETS
        for fine, group in self._groups(coarse).items():
            for held in group:
                if held.live:
                    marks[fine & 0xFF] ^= held.fact.hash
        return marks


def join_hashes(hashes: Sequence[int]) -> bytes:
    """Hashes as a listing has them: 8 bytes each, big endian."""
    return struct.pack(f">{len(hashes)}Q", *hashes)


def split_hashes(hashes: bytes) -> tuple[int, ...]:
    """The hashes of a listing; a ragged end is no hash."""
    return struct.unpack_from(f">{len(hashes) // HEAD_BYTES}Q", hashes)


def _listing(bucket: int, group: Iterable[Held]) -> ListedBucket:
    live: list[int] = []
    hidden: list[int] = []
    for held in group:
        (live if held.live else hidden).append(held.fact.hash)
    return bucket, join_hashes(live), join_hashes(hidden)


def _differing(mine: list[int], theirs: bytes) -> list[int]:
    return [
        place
        for place, mark in enumerate(mine)
        if mark.to_bytes(HEAD_BYTES, "big") != theirs[place * HEAD_BYTES : (place + 1) * HEAD_BYTES]
    ]
