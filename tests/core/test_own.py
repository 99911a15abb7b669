"""What a node says of itself: versions, former lives, clones, and records that it does not hold."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gossip.core.effects import SaveCounter
from gossip.core.events import Event, EventKind
from gossip.core.messages import Gossip
from gossip.core.own import CLONE_RAISES, HORIZON, LEASE
from gossip.core.records import Deletion, Fact, MemberRecord, ServiceRecord
from gossip.core.types import MAX_VERSION, Phase
from gossip.errors import LimitError, RefusedError
from tests.core.rig import INCARNATION, Rig


def own(rig: Rig, **changes: object) -> Fact:
    """A member record under the node's own key that it did not write in this life."""
    return rig.notary.issue(replace(rig.node.me.record, **changes))


def service(rig: Rig, key: str, version: int, port: int = 80) -> Fact:
    return rig.notary.issue(ServiceRecord(rig.id, version, key, "web", "", port, (), {}, 1))


def duplicates(rig: Rig) -> list[Event]:
    return [event for _, event in rig.events if event.kind is EventKind.DUPLICATE_IDENTITY]


def test_no_version_is_used_that_was_not_reserved_before() -> None:
    """The lease is asked for while half of the last one is left."""
    rig = Rig(ceiling=INCARNATION)
    saved = [effect.ceiling for effect in rig.effects if isinstance(effect, SaveCounter)]
    assert saved == [INCARNATION + LEASE]
    for number in range(LEASE):
        if rig.node.next_version() > saved[-1] - LEASE // 4:
            rig.settle()
            saved = [effect.ceiling for effect in rig.effects if isinstance(effect, SaveCounter)]
            assert saved[-1] >= INCARNATION + number + LEASE // 4
            break
    else:
        pytest.fail("the first lease was never used up")
    assert len(saved) == 2


def test_versions_end_at_their_limit_with_a_word() -> None:
    rig = Rig(incarnation=MAX_VERSION - 2, ceiling=MAX_VERSION)
    rig.node.next_version()
    rig.node.next_version()
    with pytest.raises(LimitError, match="new identity"):
        rig.node.next_version()


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.LEAVING, Phase.RESTARTING])
def test_a_newer_record_of_a_former_life_is_outnumbered_alive_or_left(phase: Phase) -> None:
    """Its disk was behind: no clone is suspected before the first join has ended."""
    rig = Rig()
    (a,) = rig.members(1)
    rig.hear(a, own(rig, version=5_000, phase=int(phase), boot=1))
    assert rig.node.incarnation == 5_001
    assert rig.node.me.record.phase == Phase.RUNNING
    assert duplicates(rig) == []
    rig.run(1)
    assert rig.node.me.fact.raw in a.got_news()


def test_an_older_record_of_a_former_life_is_ignored() -> None:
    rig = Rig()
    (a,) = rig.members(1)
    rig.hear(a, own(rig, version=INCARNATION - 1, birth=1, boot=1))
    assert rig.node.incarnation == INCARNATION


def test_of_two_texts_of_one_incarnation_the_owner_raises_above_the_other() -> None:
    """Only if the other would win by its hash: everybody then keeps what the owner says."""
    rig = Rig()
    (a,) = rig.members(1)
    others = [own(rig, boot=number) for number in range(20)]
    weaker = next(fact for fact in others if fact.hash < rig.node.me.fact.hash)
    stronger = next(fact for fact in others if fact.hash > rig.node.me.fact.hash)
    rig.hear(a, weaker)
    assert rig.node.incarnation == INCARNATION
    rig.hear(a, stronger)
    assert rig.node.incarnation == INCARNATION + 1


@pytest.mark.parametrize("larger", [True, False])
def test_of_two_clones_the_one_with_the_larger_boot_yields(larger: bool) -> None:
    rig = Rig()
    (a,) = rig.members(1)
    rig.node._own.settled = True
    boot = rig.node.me.record.boot + (-1 if larger else 1)
    rig.hear(a, own(rig, version=5_000, boot=boot, host="10.9.9.9"))
    (event,) = duplicates(rig)
    assert "10.9.9.9:7946" in event.detail
    assert "10.0.0.1:7946" in event.detail
    assert event.ok is not larger
    assert ("duplicate_identity" in rig.node.flags) is larger
    assert rig.node.incarnation == (INCARNATION if larger else 5_001)


@pytest.mark.parametrize("version", [HORIZON + 1, MAX_VERSION - 1, MAX_VERSION])
def test_numbers_cannot_be_used_up_by_a_thief_of_the_key(version: int) -> None:
    """Outbidding them would end in a number that is none, in the midst of somebody's packet or of a timer."""
    rig = Rig()
    (a,) = rig.members(1)
    rig.hear(a, service(rig, "web", version))
    assert rig.node.counters["own_beyond"] == 1
    assert not rig.node.me.services
    rig.hear(a, own(rig, version=version, host="10.9.9.9"))
    assert duplicates(rig)
    assert "duplicate_identity" in rig.node.flags
    assert rig.node.incarnation == INCARNATION
    rig.run(30)
    assert rig.node.next_version() < HORIZON


def test_a_node_that_yielded_announces_nothing_and_answers_lookups() -> None:
    rig = Rig()
    (a,) = rig.members(1)
    rig.node._own.settled = True
    rig.hear(a, own(rig, version=5_000, boot=rig.node.me.record.boot - 1))
    a.heard.clear()
    fact = rig.node.prepare_service("x", "web", "", 80, (), {}, 1)
    rig.do(lambda now: rig.node.publish(fact, now))
    rig.hear(a, a.accuse(rig, incarnation=rig.node.incarnation))
    rig.run(10)
    assert [message for message in a.got(Gossip) if message.news] == []
    assert len(rig.node.catalog.lookup("web")) == 1


def test_clones_do_not_outbid_each_other_for_ever() -> None:
    """At most so many raises a minute, even by the one with the smaller boot."""
    rig = Rig()
    (a,) = rig.members(1)
    rig.node._own.settled = True
    for number in range(CLONE_RAISES):
        rig.hear(a, own(rig, version=5_000 + 10 * number, boot=rig.node.me.record.boot + 1))
    assert "duplicate_identity" not in rig.node.flags
    raised = rig.node.incarnation
    rig.hear(a, own(rig, version=9_000, boot=rig.node.me.record.boot + 1))
    assert "duplicate_identity" in rig.node.flags
    assert rig.node.incarnation == raised


def test_a_record_that_the_owner_does_not_hold_is_answered_by_a_deletion_above_it() -> None:
    """What its disk has lost, or it took away in a former life."""
    rig = Rig()
    (a,) = rig.members(1)
    rig.hear(a, service(rig, "lost", 3_000))
    (fact,) = rig.node.saved()
    assert isinstance(fact.body, Deletion)
    assert fact.body.version == 3_001
    assert rig.node.catalog.lookup("web") == []
    rig.run(1)
    assert fact.raw in a.got_news()


def test_a_newer_version_of_what_the_owner_holds_is_outnumbered_by_what_it_holds() -> None:
    rig = Rig(records=[service(Rig(), "x", 1_500, port=1)])
    (a,) = rig.members(1)
    rig.hear(a, service(rig, "x", 3_000, port=2))
    (fact,) = rig.node.saved()
    assert isinstance(fact.body, ServiceRecord)
    assert (fact.body.version, fact.body.port) == (3_001, 1)


@pytest.mark.parametrize("why", ["below the floor", "leaving", "older than the deletion"])
def test_some_records_of_its_own_need_no_answer(why: str) -> None:
    floor = 900 if why == "below the floor" else 0
    rig = Rig(floor=floor)
    (a,) = rig.members(1)
    if why == "leaving":
        rig.do(rig.node.leave)
    elif why != "below the floor":
        rig.hear(a, service(rig, "x", 2_000))
    before = rig.node.saved()
    rig.hear(a, service(rig, "x", 800))
    assert rig.node.saved() == before


def test_only_what_is_its_own_and_above_the_floor_is_loaded() -> None:
    """And the counter goes on above it."""
    maker = Rig()
    foreign = maker.peer().service("y", 2_000)
    old, low, new = service(maker, "x", 1_400), service(maker, "z", 400), service(maker, "x", 1_600)
    rig = Rig(records=[new, old, low, foreign], floor=500)
    assert rig.node.saved() == [new]
    assert rig.node.next_version() > 1_600
    assert [instance.key for instance in rig.node.catalog.lookup("web")] == ["x"]


def test_the_floor_rises_above_deletions_and_never_above_what_lives() -> None:
    rig = Rig()
    rig.members(1)
    fact = rig.node.prepare_service("x", "web", "", 80, (), {}, 1)
    rig.do(lambda now: rig.node.publish(fact, now))
    with pytest.raises(RefusedError, match="'x'"):
        rig.do(lambda now: rig.node.raise_floor(rig.node.next_version(), now))
    deletion = rig.node.prepare_deletion("x")
    rig.do(lambda now: rig.node.publish(deletion, now))
    rig.do(lambda now: rig.node.raise_floor(rig.node.next_version(), now))
    assert rig.node.saved() == []
    record = rig.node.me.record
    assert isinstance(record, MemberRecord)
    assert record.floor > deletion.body.version  # type: ignore[union-attr]
