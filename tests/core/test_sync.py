"""The digest of a view: it finds exactly what differs, wherever it stands."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.core import sync
from gossip.core.members import Member, MemberTable
from gossip.core.records import Deletion, Fact, Key, MemberRecord, ServiceRecord, key_of
from gossip.core.sync import BUCKETS, Digest, Held, bucket_of
from gossip.core.types import Status
from sim.chance import derive_bytes
from sim.notary import Archive, StandIn

ARCHIVE = Archive("sync")
OWNERS = [StandIn(derive_bytes(0, "owner", number), ARCHIVE) for number in range(4)]
"""The first two are the nodes that compare; of the others both hold something."""


def record(owner: StandIn, version: int = 1) -> Fact:
    return owner.issue(
        MemberRecord(
            owner.id,
            version,
            owner.public_key,
            b"",
            "n",
            "10.0.0.1",
            1,
            {},
            1,
            1,
            1,
            0,
            1,
            0,
            ephemeral=False,
        )
    )


def service(owner: StandIn, key: str, version: int = 1) -> Fact:
    return owner.issue(ServiceRecord(owner.id, version, key, "web", "", 80, (), {}, 1))


def deletion(owner: StandIn, key: str, version: int = 2) -> Fact:
    return owner.issue(Deletion(owner.id, version, key))


def table(me: StandIn, others: dict[int, Status], facts: list[tuple[int, Fact]]) -> MemberTable:
    """What `me` holds: these members and these records of theirs, by the owner's number."""
    made = MemberTable(random.Random(0))
    made.me = Member(record(me), Status.ALIVE, 0.0)
    made.fingerprint ^= made.me.mark
    members = {}
    for number, status in others.items():
        members[number] = Member(record(OWNERS[number]), status, 0.0)
        made.add(members[number])
    for number, fact in facts:
        body = fact.body
        assert isinstance(body, ServiceRecord | Deletion)
        made.set_service(members.get(number, made.me), key_of(body), fact)
    return made


def pair(
    here: list[tuple[int, Fact]], there: list[tuple[int, Fact]], status: Status = Status.ALIVE
) -> tuple[Digest, Digest]:
    """Two views that differ in these records, and in the last owner's status."""
    first = table(OWNERS[0], {1: Status.ALIVE, 2: Status.ALIVE, 3: Status.ALIVE}, here)
    second = table(OWNERS[1], {0: Status.ALIVE, 2: Status.ALIVE, 3: status}, there)
    return Digest(first), Digest(second)


def exchange(mine: Digest, theirs: Digest) -> tuple[list[int], list[Held], sync.Difference]:
    """What `mine` wants and has by the listing of `theirs`, with split buckets listed in their turn."""
    listed, split = theirs.answer(mine.marks())
    difference = mine.compare(listed)
    wants, haves = list(difference.wants), list(difference.haves)
    for coarse, marks in split:
        back = theirs.compare(mine.list_fine(coarse, marks))
        wants += [held.fact.hash for held in back.haves]
        haves += [held for want in back.wants if (held := mine.find(want)) is not None]
    return wants, haves, difference


def places(facts: list[Fact]) -> set[int]:
    return {fact.hash for fact in facts}


keys = st.lists(st.integers(0, 400).map(str), unique=True, max_size=60)
kinds = st.sampled_from(["both", "here", "there", "older", "newer", "deleted here", "deleted there"])


@pytest.mark.parametrize("over", [BUCKETS, 1], ids=["listed", "split"])
@given(st.dictionaries(st.tuples(st.sampled_from([2, 3]), st.integers(0, 400).map(str)), kinds, max_size=60))
def test_the_two_find_exactly_what_differs(over: int, wanted: dict[tuple[int, str], str]) -> None:
    """What only one side holds is found, by it as held or by the other as wanted, and nothing else."""
    before, sync.SPLIT_OVER = sync.SPLIT_OVER, over
    try:
        here, there, only_here, only_there = [], [], [], []
        for (number, key), kind in wanted.items():
            owner = OWNERS[number]
            old, new, gone = service(owner, key), service(owner, key, 2), deletion(owner, key)
            mine, yours = {
                "both": (old, old),
                "here": (old, None),
                "there": (None, old),
                "older": (old, new),
                "newer": (new, old),
                "deleted here": (gone, old),
                "deleted there": (old, gone),
            }[kind]
            if mine is not None:
                here.append((number, mine))
            if yours is not None:
                there.append((number, yours))
            if mine is not yours:
                only_here += [mine] if mine is not None else []
                only_there += [yours] if yours is not None else []
        first, second = pair(here, there)
        wants, haves, difference = exchange(first, second)
        assert set(wants) == places(only_there)
        assert {held.fact.hash for held in haves} == places(only_here)
        assert not difference.tell
        assert not difference.ask
        assert (first.marks() == second.marks()) == (not only_here and not only_there)
    finally:
        sync.SPLIT_OVER = before


def test_a_member_that_is_dead_on_one_side_is_a_matter_of_words_and_not_of_records() -> None:
    """Its records are the same: one side tells what it holds against it, or asks."""
    facts = [(3, service(OWNERS[3], str(number))) for number in range(5)]
    alive, dead = pair(facts, facts, Status.DEAD)
    wants, haves, difference = exchange(alive, dead)
    assert (wants, haves) == ([], [])
    assert difference.ask == [OWNERS[3].id]
    assert difference.tell == []
    wants, haves, difference = exchange(dead, alive)
    assert (wants, haves) == ([], [])
    assert [member.id for member in difference.tell] == [OWNERS[3].id]
    assert difference.ask == []


def test_what_is_hidden_on_both_sides_is_in_no_fingerprint() -> None:
    """Two views that differ in tombstones only agree, and have nothing to say to each other."""
    first, second = pair([(2, deletion(OWNERS[2], "a"))], [(2, deletion(OWNERS[2], "b"))])
    assert first.fingerprint == second.fingerprint
    assert first.marks() == second.marks()
    assert first.answer(second.marks()) == ([], [])


def test_buckets_are_of_owner_and_key_alone_and_spread_evenly() -> None:
    counts = [0] * BUCKETS
    for number in range(25_600):
        counts[bucket_of(OWNERS[number % 4].id, (2, f"service-{number}")) >> 8] += 1
    assert min(counts) > 50
    assert max(counts) < 160
    key: Key = (2, "x")
    assert bucket_of(OWNERS[0].id, key) != bucket_of(OWNERS[1].id, key)


def test_a_digest_is_of_one_instant() -> None:
    made = table(OWNERS[0], {2: Status.ALIVE}, [(2, service(OWNERS[2], "a"))])
    digest = Digest(made)
    marks = digest.marks()
    member = made.get(OWNERS[2].id)
    assert member is not None
    made.set_service(member, (2, "b"), service(OWNERS[2], "b"))
    assert digest.marks() == marks
    assert Digest(made).marks() != marks
