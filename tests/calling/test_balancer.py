"""Shares by weight, load and latency; who is left out; subsets, keys, distance, zones."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from gossip.calling import rendezvous
from gossip.calling.balancer import Balancer, Places, Question
from gossip.calling.records import KEPT_SECONDS, MAX_RECORDS
from gossip.calling.target import key_of
from tests.calling.targets import T, assert_shares, targets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


PLAIN = Question()


def picks(
    balancer: Balancer[T], offered: Sequence[T], count: int, question: Question = PLAIN, **more: object
) -> Counter[str]:
    """What that many idle picks give."""
    return Counter(
        found.id
        for _ in range(count)
        if (found := balancer.pick(offered, 0.0, question, **more)) is not None  # type: ignore[arg-type]
    )


def test_shares_are_the_weights(rng: random.Random) -> None:
    offered = targets(1, 2, 3, 4, 5, 0, 20)
    found = picks(Balancer(rng.random), offered, 100_000)
    assert_shares(found, {each.id: each.weight for each in offered})
    assert found["f"] == 0


def test_weights_of_nothing_are_equal_shares(rng: random.Random) -> None:
    assert_shares(picks(Balancer(rng.random), targets(0, 0, 0), 10_000), dict.fromkeys("abc", 1.0))


def test_the_same_chance_gives_the_same_picks() -> None:
    first, second = (picks_in_order(random.Random(7)) for _ in range(2))
    assert first == second
    assert picks_in_order(random.Random(8)) != first


def picks_in_order(rng: random.Random) -> list[str]:
    balancer: Balancer[T] = Balancer(rng.random)
    offered = targets(1, 1, 1, 1)
    found = [balancer.pick(offered, 0.0) for _ in range(50)]
    return [each.id for each in found if each is not None]


def test_nothing_offered_is_nothing_picked(rng: random.Random) -> None:
    balancer: Balancer[T] = Balancer(rng.random)
    assert balancer.pick((), 0.0) is None
    assert balancer.pick((), 0.0, key="k") is None
    assert balancer.pick(targets(1), 0.0, Question(frozenset({"v2"}))) is None
    (only,) = targets(1)
    assert balancer.pick((only,), 0.0) is only
    assert balancer.pick((only,), 0.0, avoid=[key_of(only)]) is None


def run(
    balancer: Balancer[T],
    offered: Sequence[T],
    seconds: float,
    rate: float,
    rng: random.Random,
    takes: Callable[[T, float], tuple[bool, float]],
    began: float = 0.0,
) -> Counter[str]:
    """Calls at a rate, each of which takes its time and goes well or does not; who got how many."""
    under_way: list[tuple[float, int, T, object, bool, float]] = []
    counts: Counter[str] = Counter()
    now, number = began, 0
    while now < began + seconds:
        now += rng.expovariate(rate)
        while under_way and under_way[0][0] <= now:
            at, _, target, record, ok, took = heapq.heappop(under_way)
            balancer.end(record, at, ok, took)  # type: ignore[arg-type]
        picked = balancer.pick(offered, now)
        assert picked is not None
        target = picked
        counts[target.id] += 1
        ok, took = takes(target, now)
        number += 1
        heapq.heappush(under_way, (now + took, number, target, balancer.begin(target), ok, took))
    while under_way:
        at, _, target, record, ok, took = heapq.heappop(under_way)
        balancer.end(record, at, ok, took)  # type: ignore[arg-type]
    return counts


def test_a_slow_instance_among_ten_gets_less(rng: random.Random) -> None:
    offered = targets(*[1] * 10)
    balancer: Balancer[T] = Balancer(rng.random)
    slow = run(balancer, offered, 60.0, 200.0, rng, lambda t, _: (True, 0.2 if t.id == "a" else 0.02))
    others = [slow[each.id] for each in offered[1:]]
    assert slow["a"] < 0.4 * min(others)
    assert max(others) < 1.3 * min(others)
    # Healed, it has its share again: a latency is forgotten when it is old.
    healed = run(balancer, offered, 60.0, 200.0, rng, lambda *_: (True, 0.02), began=200.0)
    assert healed["a"] > 0.8 * min(healed[each.id] for each in offered[1:])


def test_calls_under_way_count_by_weight(rng: random.Random) -> None:
    offered = targets(1, 4)
    balancer: Balancer[T] = Balancer(rng.random)
    busy = [balancer.begin(offered[1]) for _ in range(8)]
    # Four times the weight, eight calls: twice as loaded as none at all is not equal.
    assert picks(balancer, offered, 1_000)["a"] > 900 * 0.2
    for record in busy:
        balancer.end(record, 1.0, True)
    assert_shares(picks(balancer, offered, 10_000), {"a": 1, "b": 4})


def test_one_that_fails_half_its_calls_is_left_out_and_returns(rng: random.Random) -> None:
    offered = targets(*[1] * 10)
    balancer: Balancer[T] = Balancer(rng.random)

    def takes(target: T, now: float) -> tuple[bool, float]:
        return target.id != "a" or now > 100.0 or rng.random() < 0.5, 0.01

    sick = run(balancer, offered, 100.0, 200.0, rng, takes)
    assert balancer.ejections >= 2, "it was tried again, and left out again"
    assert sick["a"] < 0.15 * min(sick[each.id] for each in offered[1:])
    assert balancer.panics == 0
    well = run(balancer, offered, 300.0, 200.0, rng, takes, began=100.0)
    assert well["a"] > 0.4 * min(well[each.id] for each in offered[1:])
    last = run(balancer, offered, 20.0, 200.0, rng, takes, began=400.0)
    assert last["a"] > 0.7 * min(last[each.id] for each in offered[1:])


def test_what_fails_everywhere_is_nobodys_fault(rng: random.Random) -> None:
    balancer: Balancer[T] = Balancer(rng.random)
    run(balancer, targets(1, 1, 1), 60.0, 100.0, rng, lambda *_: (rng.random() < 0.5, 0.01))
    assert balancer.ejections == 0


def eject(balancer: Balancer[T], target: T, now: float) -> None:
    """Have it fail until it is left out."""
    for _ in range(20):
        if balancer.told(balancer.record(target), now, ok=False):
            return
    raise AssertionError("it was not left out")


def test_if_most_are_out_nobody_is_and_that_is_told(rng: random.Random) -> None:
    offered = targets(1, 1, 1, 1)
    balancer: Balancer[T] = Balancer(rng.random)
    for target in offered:
        balancer.told(balancer.record(target), 0.0, ok=True)
    eject(balancer, offered[0], 0.0)
    for _ in range(30):
        balancer.told(balancer.record(offered[2]), 0.0, ok=True)
    eject(balancer, offered[1], 0.0)
    assert set(picks(balancer, offered, 1_000)) == {"c", "d"}
    assert balancer.panics == 0
    for _ in range(60):
        balancer.told(balancer.record(offered[3]), 0.0, ok=True)
    eject(balancer, offered[2], 0.0)
    assert_shares(picks(balancer, offered, 10_000), dict.fromkeys("abcd", 1.0), 4)
    assert balancer.panics == 10_000


@pytest.mark.parametrize("suspects", [1, 2])
def test_suspects_are_left_out_while_half_of_the_others_are_there(rng: random.Random, suspects: int) -> None:
    offered = (*(T(f"s{n}", status="suspect", node_id=f"s{n}") for n in range(suspects)), *targets(1, 1))
    assert set(picks(Balancer(rng.random), offered, 300)) == {"a", "b"}
    assert len(picks(Balancer(rng.random), (*offered, T("s", status="suspect")), 300)) == (
        2 if suspects == 1 else 5
    )
    assert set(picks(Balancer(rng.random), offered[:1], 3)) == {"s0"}
    assert not picks(Balancer(rng.random), offered[:1], 3, Question(no_suspect=True))


def test_what_was_tried_is_avoided_and_then_all_others_may_be_called(rng: random.Random) -> None:
    offered = (*targets(1, 1), T("s", status="suspect", node_id="s"))
    balancer: Balancer[T] = Balancer(rng.random)
    tried = [key_of(offered[0])]
    assert set(picks(balancer, offered, 100, avoid=tried)) == {"b"}
    tried.append(key_of(offered[1]))
    assert set(picks(balancer, offered, 100, avoid=tried)) == {"s"}
    assert not picks(balancer, offered, 10, avoid=[*tried, key_of(offered[2])])


def test_a_key_stays_with_its_instance(rng: random.Random) -> None:
    offered = targets(1, 1, 1, 3)
    first: Balancer[T] = Balancer(rng.random, name="one")
    second: Balancer[T] = Balancer(random.Random(99).random, name="other")
    keys = [f"user-{number}" for number in range(3_000)]
    owners = {key: owner(first, offered, key) for key in keys}
    assert owners == {key: owner(second, offered[::-1], key) for key in keys}, "whoever asks"
    assert_shares(Counter(owners.values()), {"a": 1, "b": 1, "c": 1, "d": 3}, 4)
    after = {key: owner(first, offered[1:], key) for key in keys}
    assert all(after[key] == was for key, was in owners.items() if was != "a"), "only its own move"
    assert {after[key] for key, was in owners.items() if was == "a"} == {"b", "c", "d"}
    # Left out, it hands its keys to the next, and gets them back.
    eject(first, offered[0], 0.0)
    assert {key: owner(first, offered, key) for key in keys[:200]} == {key: after[key] for key in keys[:200]}
    assert owner(first, offered, keys[0], avoid=[key_of(each) for each in offered if each.id != "c"]) == "c"


def owner(balancer: Balancer[T], offered: Sequence[T], key: str, **more: object) -> str:
    found = balancer.pick(offered, 0.0, key=key, **more)  # type: ignore[arg-type]
    assert found is not None
    return found.id


def test_a_subset_is_the_same_and_refills(rng: random.Random) -> None:
    offered = targets(*[1] * 10)
    mine: Balancer[T] = Balancer(rng.random, name="me")
    few = set(picks(mine, offered, 300, Question(subset=3)))
    assert len(few) == 3
    assert set(picks(mine, offered, 300, Question(subset=3))) == few
    gone = min(few)
    rest = tuple(each for each in offered if each.id != gone)
    assert len(set(picks(mine, rest, 300, Question(subset=3))) & few) == 2
    # Over many callers, all instances are used alike.
    used: Counter[str] = Counter()
    for number in range(400):
        used.update(set(picks(Balancer(rng.random, name=str(number)), offered, 30, Question(subset=3))))
    assert max(used.values()) < 1.5 * min(used.values())


def test_near_is_the_own_zone_then_the_nearest(rng: random.Random) -> None:
    far, near = targets(1, 1, zone="far"), targets(1, 1, 1, zone="near")
    offered = (*far, *near)
    rtts = {"nfar0": 2.0, "nnear0": 10.0, "nnear1": 14.0, "nnear2": 40.0}
    balancer: Balancer[T] = Balancer(rng.random)

    def nodes(places: Places) -> set[str]:
        found = (balancer.pick(offered, 0.0, Question(near=True), places) for _ in range(200))
        return {each.node_id for each in found if each is not None}

    assert nodes(Places("near", {}, rtts)) == {"nnear0", "nnear1"}
    assert nodes(Places("", {}, rtts)) == {"nfar0"}
    assert nodes(Places("elsewhere", {}, rtts)) == {"nfar0"}
    assert len(nodes(Places())) == 5, "nothing is known, so everybody is as near"


def test_the_own_zone_is_preferred_and_spills_over_by_share(rng: random.Random) -> None:
    here, there = targets(1, 1, 1, zone="here"), targets(1, 1, 1, zone="there")
    balancer: Balancer[T] = Balancer(rng.random)
    places = Places("here", {"here": 10, "there": 10})

    def zones(offered: Sequence[T], question: Question = PLAIN) -> Counter[str]:
        found = [balancer.pick(offered, 0.0, question, places) for _ in range(10_000)]
        return Counter(each.zone for each in found if each is not None)

    assert set(zones((*here, *there))) == {"here"}
    assert_shares(zones((*here, *there), Question(zone=False)), {"here": 1, "there": 1}, 4)
    # A third of the weight for half of the members: 1/3 / (1/2 x 0.8).
    assert_shares(zones((*here[:1], *there[:2])), {"here": 5, "there": 1}, 4)
    assert set(zones(there)) == {"there"}


def test_who_is_gone_for_long_is_forgotten_and_who_flaps_is_not(rng: random.Random) -> None:
    one, other = targets(1, 1)
    balancer: Balancer[T] = Balancer(rng.random)
    both = (one, other)
    balancer.pick(both, 0.0)
    record = balancer.record(one)
    balancer.pick((other,), 1_000.0)
    balancer.pick(both, 1_000.0 + KEPT_SECONDS)
    assert balancer.record(one) is record
    balancer.pick((other,), 2_000.0)
    balancer.pick((other,) * 1, 2_001.0 + KEPT_SECONDS)
    assert balancer.record(one) is not record


def test_what_is_remembered_has_a_bound(rng: random.Random) -> None:
    balancer: Balancer[T] = Balancer(rng.random)
    busy = balancer.begin(T("busy"))
    for number in range(MAX_RECORDS + 500):
        balancer.record(T(str(number)))
    for number in range(200):
        balancer.pick(targets(1), 0.0, Question(frozenset({str(number)})))
    assert len(balancer._records) <= MAX_RECORDS
    assert len(balancer._tables) <= 64
    assert balancer.record(T("busy")) is busy, "not while it is called"


def failing(
    balancer: Balancer[T], offered: Sequence[T], places: Places, question: Question = PLAIN, seconds: int = 10
) -> list[bool]:
    """Calls, fifty a second, of which those in zone `here` fail: how each went."""
    went = []
    for tick in range(50 * seconds):
        now = tick / 50
        found = balancer.pick(offered, now, question, places)
        assert found is not None
        went.append(found.zone != "here")
        balancer.end(balancer.begin(found), now, ok=went[-1])
    return went


@pytest.mark.parametrize("question", [PLAIN, Question(near=True)])
def test_a_zone_that_fails_as_a_whole_spills_over(rng: random.Random, question: Question) -> None:
    offered = (*targets(1, 1, 1, zone="here"), *targets(1, 1, 1, zone="there"))
    balancer: Balancer[T] = Balancer(rng.random)
    went = failing(balancer, offered, Places("here", {"here": 3, "there": 3}), question)
    assert not all(went[:10])
    assert all(went[50:]), "within a second, the other zone has all of the calls"
    assert balancer.ejections == 3


def test_a_sick_zone_with_most_of_the_weight_keeps_no_calls_to_itself(rng: random.Random) -> None:
    offered = (*targets(1, 1, 1, 1, 1, zone="here"), *targets(1, 1, 1, zone="there"))
    balancer: Balancer[T] = Balancer(rng.random)
    places = Places("here", {"here": 5, "there": 3})
    went = failing(balancer, offered, places, seconds=4)
    assert balancer.panics
    assert_shares(Counter(str(ok) for ok in went[50:]), {"True": 3, "False": 5}, 4)
    # If it is the others that are sick, it does.
    suspects = tuple(T(f"s{n}", status="suspect", zone="there", node_id=f"s{n}") for n in range(3))
    found = picks(Balancer(rng.random), (*offered[:2], *suspects), 300, places=Places("here", {"here": 1}))
    assert found["a"] + found["b"] > 100


def test_a_key_keeps_its_instance_when_most_are_out(rng: random.Random) -> None:
    offered = targets(1, 1, 1, 1)
    keys = [f"user-{number}" for number in range(200)]
    balancer: Balancer[T] = Balancer(rng.random)
    owners = {key: owner(balancer, offered, key) for key in keys}
    sick = tuple(T(each.id, status="suspect", node_id=each.node_id) for each in offered[:3])
    assert {key: owner(balancer, (*sick, offered[3]), key) for key in keys} == owners


def test_the_highest_draw_has_a_number_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Highest:
        def digest(self) -> bytes:
            return b"\xff" * 8

    monkeypatch.setattr(rendezvous, "blake2b", lambda *_, **__: Highest())
    assert [each.id for each in rendezvous.ranked("key", [(each, 1.0) for each in targets(1, 1)])] == [
        "b",
        "a",
    ]
