"""The view is a function of the facts: no order, repetition or packing of the same words changes it."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from gossip.core.events import EventKind
from gossip.core.records import Deletion, Fact, MemberRecord, ServiceRecord, StatusRecord
from gossip.core.types import Phase, Status
from tests.core.rig import INCARNATION, Peer, Rig

SUBJECTS = 3
VERSIONS = st.integers(INCARNATION, INCARNATION + 12)

record = st.tuples(
    st.just("record"),
    VERSIONS,
    st.sampled_from([Phase.RUNNING, Phase.RUNNING, Phase.LEAVING]),
    st.integers(0, 2),
)
service = st.tuples(st.just("service"), VERSIONS, st.sampled_from("ab"), st.integers(80, 82))
deletion = st.tuples(st.just("deletion"), VERSIONS, st.sampled_from("ab"), st.just(0))
status = st.tuples(st.just("status"), VERSIONS, st.sampled_from("ab"), st.integers(0, 2))
word = st.tuples(st.integers(0, SUBJECTS - 1), st.one_of(record, service, deletion, status))
words = st.lists(word, min_size=1, max_size=30)
"""(who, what it says): versions may repeat, as only a copied key would have it."""


def node() -> tuple[Rig, Peer, list[Peer]]:
    """A node that knows one gossiper, and the subjects of whom it is going to hear."""
    rig = Rig()
    (gossiper,) = rig.members(1)
    return rig, gossiper, [rig.peer() for _ in range(SUBJECTS)]


def say(subjects: list[Peer], said: list[tuple[int, tuple[str, int, object, int]]]) -> list[Fact]:
    """The signed facts. A floor never falls, as an owner keeps it: a third of the way to the version."""
    facts = []
    for who, (kind, version, what, number) in said:
        peer = subjects[who]
        if kind == "record":
            assert isinstance(what, Phase)
            floor = INCARNATION + (version - INCARNATION) // 3
            facts.append(peer.say(version=version, phase=int(what), floor=floor, tags={"n": str(number)}))
        elif kind == "service":
            facts.append(peer.service(str(what), version, port=number))
        elif kind == "status":
            body = StatusRecord(peer.id, version, str(what), (("check", number),), False, "")
            facts.append(peer.notary.issue(body))
        else:
            facts.append(peer.deletion(str(what), version))
    return facts


def view(rig: Rig) -> tuple[object, ...]:
    """All that the node holds of the others, and what it would tell of it."""
    members = {
        member.id: (
            member.status,
            member.fact.raw,
            {key: fact.raw for key, fact in member.services.items()},
        )
        for member in rig.node.members
    }
    return members, rig.node.fingerprint, rig.node.catalog.lookup("web", any=True), rig.node.catalog.names()


def hear(rig: Rig, gossiper: Peer, facts: list[Fact], rng: random.Random) -> None:
    """In packets of one to five."""
    rest = list(facts)
    while rest:
        count = rng.randrange(1, 6)
        rig.hear(gossiper, *rest[:count])
        del rest[:count]


@settings(max_examples=100)
@given(words, st.randoms(use_true_random=False))
def test_any_order_and_repetition_of_the_same_facts_gives_the_same_view(
    said: list[tuple[int, tuple[str, int, object, int]]], rng: random.Random
) -> None:
    """Scenarios 47, 67 and 72. Services that came before their owner come again, as a repair brings them."""
    views = []
    for turn in range(3):
        rig, gossiper, subjects = node()
        facts = say(subjects, said)
        schedule = facts if turn == 0 else facts * 2
        if turn:
            rng.shuffle(schedule)
        hear(rig, gossiper, schedule, rng)
        hear(rig, gossiper, sorted(facts, key=lambda fact: fact.hash), rng)
        before = view(rig)
        hear(rig, gossiper, facts, rng)
        assert view(rig) == before, "a copy changed something"
        views.append(before)
    assert views[0] == views[1] == views[2]


@settings(max_examples=100)
@given(words, st.randoms(use_true_random=False))
def test_the_view_is_what_the_newest_words_say(
    said: list[tuple[int, tuple[str, int, object, int]]], rng: random.Random
) -> None:
    """Against a model in ten lines: newest version, then leaving before running, then the larger hash."""
    rig, gossiper, subjects = node()
    facts = say(subjects, said)
    schedule = facts * 2
    rng.shuffle(schedule)
    hear(rig, gossiper, schedule, rng)
    hear(rig, gossiper, facts, rng)
    for subject in subjects:
        own = [fact for fact in facts if fact.body.owner == subject.id]
        records = [
            (fact.body.version, fact.body.phase == Phase.LEAVING, fact.hash, fact)
            for fact in own
            if isinstance(fact.body, MemberRecord)
        ]
        if not records:
            assert rig.status(subject) is None
            continue
        best = max(records, key=lambda entry: entry[:3])[3]
        assert isinstance(best.body, MemberRecord)
        assert rig.member(subject).fact.raw == best.raw
        assert rig.status(subject) is (Status.LEFT if best.body.phase == Phase.LEAVING else Status.ALIVE)
        for key in "ab":
            statuses = [
                (fact.body.version, fact.hash, fact)
                for fact in own
                if isinstance(fact.body, StatusRecord)
                and fact.body.key == key
                and fact.body.version >= best.body.floor
            ]
            status = rig.member(subject).services.get((6, key))
            newest = max(statuses, key=lambda entry: entry[:2])[2] if statuses else None
            assert (status and status.raw) == (newest and newest.raw)
            rivals = [
                (fact.body.version, fact.hash, fact)
                for fact in own
                if isinstance(fact.body, ServiceRecord | Deletion)
                and fact.body.key == key
                and fact.body.version >= best.body.floor
            ]
            held = rig.member(subject).services.get((2, key))
            winner = max(rivals, key=lambda entry: entry[:2])[2] if rivals else None
            assert (held and held.raw) == (winner and winner.raw)


@settings(max_examples=60)
@given(st.data())
def test_a_dead_incarnation_is_never_alive_again(data: st.DataObject) -> None:
    """Scenario 47: whatever comes, in whatever order, only a newer word of its own brings a member back."""
    rig = Rig()
    a, b, c = rig.members(3)
    old = [c.say(version=INCARNATION - number) for number in range(1, 4)]
    rig.hear(a, c.again())
    dead = c.current
    c.acks = False
    rig.hear(a, a.accuse(c))
    rig.hear(b, b.accuse(c))
    rig.run_until(lambda: rig.status(c) is Status.DEAD, 90)
    newer = c.again()
    stale = [dead, *old, a.accuse(c, incarnation=INCARNATION), b.accuse(c, incarnation=dead.body.version)]  # type: ignore[union-attr]
    stale += [c.service("web", 2_000), c.deletion("web", 1_999), c.event(2_001)]
    for fact in data.draw(st.lists(st.sampled_from(stale), max_size=20)):
        rig.hear(data.draw(st.sampled_from([a, b, c])), fact)
        if data.draw(st.booleans()):
            rig.run(data.draw(st.integers(0, 40)))
        assert rig.status(c) is Status.DEAD
    assert rig.about(c).count(EventKind.MEMBER_FAILED) == 1
    assert rig.node.catalog.names() == []
    rig.hear(a, newer)
    assert rig.status(c) is Status.ALIVE


@settings(max_examples=60)
@given(st.lists(st.tuples(st.booleans(), VERSIONS), max_size=25), st.randoms(use_true_random=False))
def test_a_deletion_is_undone_by_a_newer_registration_only(
    changes: list[tuple[bool, int]], rng: random.Random
) -> None:
    """Scenario 72: at every step, from the moment that the deletion is known."""
    rig, gossiper, (subject, *_) = node()
    rig.hear(gossiper, subject.current)
    newest = 0
    for is_deletion, version in changes:
        fact = subject.deletion("a", version) if is_deletion else subject.service("a", version)
        rig.hear(gossiper, fact)
        held = rig.member(subject).services[(2, "a")].body
        assert isinstance(held, ServiceRecord | Deletion)
        newest = max(newest, version)
        assert held.version == newest
        assert bool(rig.node.catalog.lookup("web")) == isinstance(held, ServiceRecord)
        if rng.random() < 0.1:
            rig.node._intake.forget_recent()


@settings(max_examples=24)
@given(st.permutations(range(4)), st.permutations(range(4)))
def test_accusations_in_any_order_make_the_same_suspect(first: list[int], second: list[int]) -> None:
    """The set of accusers, and with it the end of the clock, does not depend on who was heard first."""
    ends = []
    for order in (first, second):
        rig = Rig()
        peers = rig.members(6)
        victim = peers[5]
        for number in order:
            rig.hear(peers[4], peers[number].accuse(victim))
        member = rig.member(victim)
        ends.append((set(member.accusations), rig.node._detector._look_at(member, rig.now) - rig.now))
    assert ends[0] == ends[1]
