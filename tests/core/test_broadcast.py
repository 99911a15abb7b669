"""The queue of news: what goes next, to whom, how often, and how much of it fits."""

from __future__ import annotations

import random
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.core.broadcast import AGREEING, COPIES_ENOUGH, INSISTENCE, RELAYS_MAX, Broadcasts, Item
from gossip.core.params import LAN
from gossip.core.sizes import news_bytes

PEERS = [number.to_bytes(16, "big") for number in range(1, 301)]
A, B, C = PEERS[:3]


def add(
    queue: Broadcasts,
    slot: object,
    size: int = 100,
    *,
    member: bool = True,
    own: bool = False,
    source: bytes | None = None,
    text: bytes = b"",
    patient: bool = False,
    insist: bool = False,
) -> Item:
    raw = (str(slot).encode() + b"/" + text).ljust(size, b".")
    return queue.add(slot, raw, member=member, own=own, source=source, patient=patient, insist=insist)


def drain(queue: Broadcasts, peers: list[bytes], rng: random.Random, budget: int = 1_200) -> Counter[bytes]:
    """Tell everything to everybody as ticks do; how often each fact was sent."""
    sends: Counter[bytes] = Counter()
    for _ in range(100_000):
        lead = queue.head(len(peers))
        if lead is None:
            return sends
        targets = queue.untold(lead, peers, 3, rng)
        if not targets:
            queue.go_round(lead, len(peers))
        for target in targets:
            sends.update(queue.pick(target, budget, len(peers)))
    raise AssertionError("the queue never empties")


@pytest.mark.parametrize("n", [4, 10, 31, 100, 301])
def test_an_item_is_sent_as_often_as_its_limit_and_no_more(n: int, rng: random.Random) -> None:
    """Scenario 57."""
    queue = Broadcasts(LAN)
    item = add(queue, "x")
    sends = drain(queue, PEERS[: n - 1], rng)
    limit = queue.limit(n - 1)
    assert sends == {item.raw: limit}
    assert limit == min(LAN.send_limit(n), max(4, n - 1))
    assert len(queue) == 0


def test_an_item_goes_to_each_peer_once_and_never_back(rng: random.Random) -> None:
    """Scenario 57."""
    queue = Broadcasts(LAN)
    item = add(queue, "x", source=A)
    queue.heard("x", item.raw, B)
    told: Counter[bytes] = Counter()
    while (lead := queue.head(100)) is not None:
        for target in queue.untold(lead, PEERS[:100], 3, rng):
            told[target] += len(queue.pick(target, 1_200, 100))
    assert set(told.values()) == {1}
    assert not told.keys() & {A, B}


def test_patient_news_ends_when_it_was_heard_often_enough() -> None:
    """It is spreading; what must reach everybody is sent as often as the law asks."""
    queue = Broadcasts(LAN)
    item = add(queue, "x", source=A, patient=True)
    other = add(queue, "y", source=A)
    for peer in PEERS[1 : COPIES_ENOUGH - 1]:
        queue.heard("x", item.raw, peer)
    queue.heard("x", item.raw, A)
    assert queue.holds("x"), "nobody counts twice"
    assert not queue.is_patient
    for slot, held in (("x", item), ("y", other)):
        for peer in PEERS[:COPIES_ENOUGH]:
            queue.heard(slot, held.raw, peer)
    assert (queue.holds("x"), queue.holds("y")) == (False, True)
    queue.drop("y")
    assert queue.is_patient, "nothing is in a hurry"


def test_who_has_other_bytes_for_the_slot_is_told_all_the_same() -> None:
    """Scenario 58: only the very bytes show that a peer needs no telling."""
    queue = Broadcasts(LAN)
    item = add(queue, "x")
    queue.heard("x", b"something older", A)
    queue.heard("y", item.raw, A)
    assert queue.pick(A, 1_200, 10) == (item.raw,)


def test_a_new_change_replaces_the_old_and_starts_at_zero(rng: random.Random) -> None:
    """Scenarios 57 and 58."""
    queue = Broadcasts(LAN)
    old = add(queue, "x", text=b"old")
    for target in PEERS[:10]:
        queue.pick(target, 1_200, 100)
    new = add(queue, "x", text=b"new")
    assert new.sends == 0
    assert len(queue) == 1
    sends = drain(queue, PEERS[:100], rng)
    assert sends == {new.raw: queue.limit(100)}
    assert old.raw not in sends


def test_a_replaced_item_is_charged_no_more() -> None:
    """Scenario 58: whoever still holds the old one, as the eager round does, changes nothing by it."""
    queue = Broadcasts(LAN)
    old = add(queue, "x", text=b"old")
    new = add(queue, "x", text=b"new")
    assert queue.pick(A, 1_200, 100, only=[old]) == ()
    assert (old.sends, new.sends) == (0, 0)


def test_the_least_sent_goes_first_and_own_before_relayed() -> None:
    """Scenario 59."""
    queue = Broadcasts(LAN)
    old = add(queue, "old")
    queue.pick(A, 1_200, 100)
    relayed = add(queue, "relayed")
    own = add(queue, "own", own=True)
    assert queue.head(100) is own
    assert queue.pick(B, 2 * own.cost, 100) == (own.raw, relayed.raw)
    queue.drop("own")
    queue.drop("relayed")
    assert queue.head(100) is old


def test_a_packet_is_filled_as_far_as_items_fit() -> None:
    """Scenario 59: what is too large does not keep out what is smaller."""
    queue = Broadcasts(LAN)
    first = add(queue, "first", 500, own=True)
    add(queue, "large", 800)
    small = add(queue, "small", 300)
    budget = first.cost + small.cost
    assert queue.pick(A, budget, 100) == (first.raw, small.raw)


def test_an_item_that_just_fits_fits() -> None:
    """Scenario 59: to the last byte, and not one further."""
    for size in (255, 256):
        queue = Broadcasts(LAN)
        item = add(queue, "x", size)
        assert item.cost == news_bytes(item.raw)
        assert queue.pick(A, item.cost - 1, 100) == ()
        assert item.sends == 0
        assert queue.pick(A, item.cost, 100) == (item.raw,)


@pytest.mark.parametrize("many", [True, False])
def test_members_and_services_each_have_half_of_a_packet(many: bool) -> None:
    """Neither starves the other; what one kind does not use the other may."""
    queue = Broadcasts(LAN)
    items = [add(queue, ("many", number), member=many) for number in range(50)]
    few = [add(queue, ("few", number), member=not many) for number in range(2)]
    told = queue.pick(A, 10 * items[0].cost, 100)
    assert len(told) == 10
    assert {item.raw for item in few} <= set(told)


def test_a_packet_holds_at_most_64_facts() -> None:
    """Scenario 62: the receiver's bound."""
    queue = Broadcasts(LAN)
    for number in range(100):
        add(queue, number, 10, member=number % 2 == 0)
    assert len(queue.pick(A, 10_000, 100)) == 64


def test_beyond_its_bound_the_queue_drops_the_relay_that_was_sent_most() -> None:
    """Scenario 60: never what is this node's own."""
    queue = Broadcasts(LAN)
    own = add(queue, "own", own=True)
    sent = add(queue, "sent")
    for target in (A, B, C):
        queue.pick(target, 1_200, 100)
    for number in range(RELAYS_MAX):
        add(queue, number)
    assert queue.pruned == 1
    assert not queue.holds("sent")
    assert queue.holds("own")
    assert all(queue.holds(number) for number in range(RELAYS_MAX))
    assert (own.sends, sent.sends) == (3, 3)


def test_own_news_does_not_count_against_the_bound() -> None:
    """Scenario 60."""
    queue = Broadcasts(LAN)
    for number in range(2 * RELAYS_MAX):
        add(queue, number, own=True)
    assert (queue.pruned, len(queue)) == (0, 2 * RELAYS_MAX)


def test_a_small_cluster_is_told_again_for_the_sake_of_loss(rng: random.Random) -> None:
    queue = Broadcasts(LAN)
    item = add(queue, "x")
    assert drain(queue, PEERS[:2], rng) == {item.raw: 4}


def test_what_everybody_is_known_to_have_is_dropped() -> None:
    queue = Broadcasts(LAN)
    item = add(queue, "x", source=A)
    queue.heard("x", item.raw, B)
    queue.go_round(item, 2)
    assert len(queue) == 0


def compare(queue: Broadcasts, times: int) -> None:
    for _ in range(times):
        queue.compared(agreed=True)


@pytest.mark.parametrize("n", [2, 3, 31, 301])
def test_news_on_which_a_node_insists_is_told_on_while_nobody_has_it(n: int, rng: random.Random) -> None:
    queue = Broadcasts(LAN)
    limit = queue.limit(n - 1)
    item = add(queue, "x", own=True, insist=True)
    assert drain(queue, PEERS[: n - 1], rng) == {item.raw: limit * (1 + INSISTENCE)}
    assert len(queue) == 0
    other = add(queue, "y", own=True)
    assert drain(queue, PEERS[: n - 1], rng) == {other.raw: limit}, "the next is as any other"


@pytest.mark.parametrize("how", ["heard", "agreed"])
def test_insistence_ends_when_somebody_is_known_to_have_it(how: str, rng: random.Random) -> None:
    queue = Broadcasts(LAN)
    item = add(queue, "x", own=True, insist=True)
    if how == "heard":
        queue.heard("x", item.raw, A)
    else:
        queue.compared(agreed=False)
        queue.compared(agreed=True)
    assert drain(queue, PEERS, rng) == {item.raw: queue.limit(len(PEERS))}


def test_who_insists_on_something_newer_insists_no_more_on_the_older(rng: random.Random) -> None:
    queue = Broadcasts(LAN)
    add(queue, "x", own=True, insist=True)
    queue.drop("x")
    again = add(queue, "x", own=True, text=b"again")
    assert drain(queue, PEERS, rng) == {again.raw: queue.limit(len(PEERS))}


def test_relayed_records_end_when_ten_peers_in_a_row_held_this_view_since() -> None:
    queue = Broadcasts(LAN)
    add(queue, A)
    add(queue, ("record", B, (2, "web")), member=False)
    compare(queue, AGREEING - 1)
    assert len(queue) == 2
    queue.compared(agreed=False)
    compare(queue, AGREEING - 1)
    assert len(queue) == 2
    compare(queue, 1)
    assert len(queue) == 0


def test_what_came_after_the_first_of_the_ten_goes_on() -> None:
    queue = Broadcasts(LAN)
    compare(queue, 1)
    add(queue, A)
    compare(queue, AGREEING - 1)
    assert queue.holds(A)
    compare(queue, 1)
    assert not queue.holds(A)


def test_agreement_ends_neither_own_news_nor_what_no_fingerprint_covers() -> None:
    queue = Broadcasts(LAN)
    kept: list[object] = [A, ("accuse", B, C), ("event", B, 7, b"hash")]
    add(queue, kept[0], own=True)
    add(queue, kept[1])
    add(queue, kept[2], member=False)
    add(queue, B)
    compare(queue, AGREEING)
    assert [slot for slot in (*kept, B) if queue.holds(slot)] == kept


def test_a_limit_that_shrinks_with_the_cluster_ends_what_is_beyond_it() -> None:
    """Nodes died: what has been sent often enough for the smaller cluster is sent no more."""
    queue = Broadcasts(LAN)
    add(queue, "x")
    for target in PEERS[:12]:
        queue.pick(target, 1_200, 300)
    assert queue.head(300) is not None
    assert queue.head(5) is None
    assert len(queue) == 0


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"),
            st.integers(0, 9),
            st.integers(20, 1_100),
            st.booleans(),
            st.booleans(),
            st.none() | st.integers(0, 11),
        ),
        st.tuples(st.just("pick"), st.integers(0, 11), st.integers(0, 1_300)),
        st.tuples(st.just("drop"), st.integers(0, 9)),
        st.tuples(st.just("head")),
    ),
    max_size=60,
)


@given(steps)
def test_no_schedule_breaks_the_budget_the_limit_or_the_promise_to_tell_nobody_twice(
    schedule: list[tuple[object, ...]],
) -> None:
    """Scenarios 57 to 60 under any order of calls, and the books agree with what is there."""
    queue = Broadcasts(LAN)
    peers = 12
    live: dict[object, Item] = {}
    told: dict[int, Counter[bytes]] = {}
    for number, step in enumerate(schedule):
        match step:
            case ("add", slot, int(size), bool(member), bool(own), source):
                origin = PEERS[source] if isinstance(source, int) else None
                item = add(
                    queue, slot, size, member=member, own=own, source=origin, text=str(number).encode()
                )
                live[slot] = item
                told[id(item)] = Counter()
            case ("pick", int(to), int(budget)):
                news = queue.pick(PEERS[to], budget, peers)
                assert sum(map(news_bytes, news)) <= budget
                for raw in news:
                    (slot,) = [slot for slot, item in live.items() if item.raw == raw]
                    told[id(live[slot])][PEERS[to]] += 1
            case ("drop", slot):
                queue.drop(slot)
                live.pop(slot, None)
            case _:
                queue.head(peers)
        limit = queue.limit(peers)
        for slot, item in live.items():
            counts = told[id(item)]
            assert counts.total() <= limit
            # Once round before anybody is told again.
            assert max(counts.values(), default=0) <= 1 + counts.total() // max(1, peers - 1)
            if queue.holds(slot):
                assert item.sends == counts.total() < limit
        held = {slot for slot in live if queue.holds(slot)}
        assert len(queue) == len(held)
        assert sum(map(len, queue._tiers)) == len(held)
        assert queue._relays == sum(not live[slot].own for slot in held)


def test_what_is_empty_takes_no_room_however_much_passed_through_it() -> None:
    """In a join storm each of hundreds of items passes through each tier, once."""
    queue = Broadcasts(LAN)
    for number in range(RELAYS_MAX):
        add(queue, number)
    for peer in PEERS[:6]:
        while queue.pick(peer, 1_200, len(PEERS)):
            pass
    last = [tier for tier in queue._tiers if tier]
    assert [len(tier) for tier in last] == [RELAYS_MAX]
    assert all(sys.getsizeof(tier) == sys.getsizeof({}) for tier in queue._tiers if not tier)
