"""User events: told once to each watcher who is there, whatever the network does with the copies."""

from __future__ import annotations

import itertools
import random

import pytest
from msgspec.structs import replace

from gossip.core.events import Event, EventKind
from gossip.core.params import LAN
from gossip.core.records import MAX_PAYLOAD_BYTES
from gossip.errors import LimitError
from sim.host import Host
from sim.latency import Uniform
from tests.core.rig import Rig
from tests.world import cluster


def received(rig: Rig) -> list[tuple[str, int, bytes]]:
    """(node, version, payload) of the events that watchers were told of, in order."""
    return [
        (event.node, event.index, event.payload)
        for _, event in rig.events
        if event.kind is EventKind.EVENT_RECEIVED
    ]


def heard(host: Host) -> list[Event]:
    return [event for _, event in host.events if event.kind is EventKind.EVENT_RECEIVED]


def test_an_event_is_told_once_however_often_it_comes() -> None:
    """Scenario 88."""
    rig = Rig()
    a, b = rig.members(2)
    event = a.event(2_000, payload=b"v1")
    for source in (a, b, a, b):
        rig.hear(source, event, event)
    assert received(rig) == [(a.name, 2_000, b"v1")]


def test_two_events_of_one_version_are_both_told() -> None:
    """Scenario 88: same clock, other payload. Only a copied key can make them, and neither is lost."""
    rig = Rig()
    a, b = rig.members(2)
    rig.hear(a, a.event(2_000, payload=b"one"))
    rig.hear(b, a.event(2_000, payload=b"two"))
    assert [payload for *_, payload in received(rig)] == [b"one", b"two"]


def test_the_same_version_of_two_nodes_is_two_events() -> None:
    """Scenario 88: a version counts within its owner."""
    rig = Rig()
    a, b = rig.members(2)
    rig.hear(a, a.event(2_000), b.event(2_000))
    assert [node for node, *_ in received(rig)] == [a.name, b.name]


def test_an_event_older_than_what_is_remembered_is_dropped() -> None:
    """Scenario 88: too old, by the floor that each forgotten event leaves behind."""
    rig = Rig()
    a, b = rig.members(2)
    event = a.event(2_000)
    rig.hear(a, event)
    rig.run(LAN.event_life + 2)
    rig.node._intake.forget_recent()
    rig.hear(b, event, a.event(1_999))
    assert received(rig) == [(a.name, 2_000, b"")]
    rig.hear(b, a.event(2_001))
    assert [version for _, version, _ in received(rig)] == [2_000, 2_001]


def test_events_that_are_forgotten_for_want_of_room_do_not_run_again() -> None:
    """Scenario 88."""
    rig = Rig(params=replace(LAN, events_max=8))
    a, b = rig.members(2)
    events = [a.event(2_000 + number) for number in range(30)]
    rig.hear(a, *events)
    rig.node._intake.forget_recent()
    rig.hear(b, *events)
    assert [version for _, version, _ in received(rig)] == list(range(2_000, 2_030))


def test_a_flood_of_one_member_s_events_loses_no_event_of_another() -> None:
    """Its first is on its way when its second is there: were that forgotten, the first would be too old."""
    rig = Rig()
    a, b, greedy = rig.members(3)
    first, second = a.event(2_000, payload=b"1"), a.event(2_001, payload=b"2")
    rig.hear(b, second)
    for number in range(2 * LAN.events_max):
        rig.hear(greedy, greedy.event(3_000 + number))
    rig.hear(b, first)
    assert [payload for name, _, payload in received(rig) if name == a.name] == [b"2", b"1"]
    rig.node._intake.forget_recent()
    told = len(received(rig))
    rig.hear(b, first, second, greedy.event(3_000), greedy.event(3_000 + LAN.events_max))
    assert len(received(rig)) == told
    assert len(rig.node._events._recent) == LAN.events_max


def test_who_was_not_there_does_not_hear_of_it() -> None:
    """Scenario 88, our rule: there is no replay. What lasts is a tag or a service."""
    world = cluster(3)
    a = world.hosts[0]
    a.do(lambda node, now: node.send_event("deploy", b"v1", now))
    world.run(LAN.event_life + 10)
    newcomer = world.add()
    world.run_until(world.converged, limit=30)
    world.run(30)
    assert heard(newcomer) == []
    assert [len(heard(host)) for host in world.hosts[:3]] == [1, 1, 1]


def test_an_event_of_an_unknown_node_is_dropped() -> None:
    rig = Rig()
    (a,) = rig.members(1)
    stranger = rig.peer()
    rig.hear(a, stranger.event(2_000))
    assert received(rig) == []
    assert rig.node.counters["orphan"] == 1


def test_the_sender_hears_its_own_event_once_and_others_say_whose_it_is() -> None:
    world = cluster(5, loss=0.1, duplication=0.3, latency=Uniform(100, 30_000))
    a = world.hosts[0]
    version = a.do(lambda node, now: node.send_event("deploy", b"v1", now))
    world.run(20)
    for host in world.hosts:
        (event,) = heard(host)
        assert (event.id, event.node, event.name) == (a.id, a.name, "deploy")
        assert (event.payload, event.index) == (b"v1", version)


def test_an_event_has_a_limit_that_is_named() -> None:
    rig = Rig()
    rig.node.send_event("deploy", bytes(MAX_PAYLOAD_BYTES), rig.now)
    with pytest.raises(LimitError, match=str(MAX_PAYLOAD_BYTES)):
        rig.node.send_event("deploy", bytes(MAX_PAYLOAD_BYTES + 1), rig.now)
    with pytest.raises(LimitError):
        rig.node.send_event("d" * 65, b"", rig.now)


def test_a_restarted_sender_numbers_on() -> None:
    """Scenario 88: its events are no copies of those of its former life."""
    world = cluster(3)
    a, b, _ = world.hosts
    first = b.do(lambda node, now: node.send_event("deploy", b"1", now))
    world.run(5)
    world.restart(b)
    world.run_until(world.converged, limit=30)
    second = b.do(lambda node, now: node.send_event("deploy", b"2", now))
    world.run(5)
    assert second > first
    assert [event.payload for event in heard(a)] == [b"1", b"2"]


def test_no_order_or_repetition_of_copies_tells_an_event_twice(rng: random.Random) -> None:
    """Scenario 88: at most once with little memory and time passing, exactly once otherwise."""
    for turn in range(40):
        scarce = turn % 2 == 1
        rig = Rig(turn, params=replace(LAN, events_max=6, event_life=5.0) if scarce else LAN)
        peers = rig.members(3)
        events = [peer.event(2_000 + number) for peer, number in itertools.product(peers, range(6))]
        copies = events * 3
        rng.shuffle(copies)
        for event in copies:
            rig.hear(rng.choice(peers), event)
            if scarce and rng.random() < 0.2:
                rig.run(rng.random() * 4)
                rig.node._intake.forget_recent()
        told = received(rig)
        assert len(told) == len(set(told))
        if not scarce:
            assert len(told) == len(events)
