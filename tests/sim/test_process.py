"""The life of a process: its clock, its stops, its restarts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from gossip.core.effects import Effect, Notify, Resolve, SaveCounter, Send
from gossip.core.events import Event, EventKind
from gossip.core.params import LAN
from sim.birth import RESERVE, WALL_MS
from sim.host import Host
from tests.sim.scripted import packet, say, script, scripted


def due(host: Host, at: float) -> None:
    """Have the script there want a tick at that time."""
    script(host).due = at
    say(host)


def test_a_tick_comes_when_it_is_due_and_never_before() -> None:
    world = scripted(1)
    (a,) = world.hosts
    for at in (0.1, 0.3000001, 1 / 3, 1.0):
        due(a, at)
        world.run(at - world.now + 0.000002)
        ticked = script(a).at("tick")[-1]
        assert at <= ticked <= at + 0.000001
    assert len(script(a).at("tick")) == 4


def test_a_deadline_that_moves_gets_one_tick_where_it_is_now() -> None:
    world = scripted(1)
    (a,) = world.hosts
    due(a, 0.5)
    due(a, 0.2)
    world.run(0.3)
    assert script(a).at("tick") == [0.2]
    due(a, 0.5)
    due(a, 0.8)
    world.run(1)
    assert script(a).at("tick") == [0.2, 0.8]


def test_what_is_due_when_a_datagram_arrives_is_done_after_it() -> None:
    world = scripted(2)
    a, b = world.hosts
    say(a, Send(b.address, packet(1)))
    due(b, 0.0005)
    world.run(1)
    assert [word for word, _ in script(b).heard] == ["start", "receive", "tick"]


def test_a_core_that_is_due_for_ever_is_reported() -> None:
    world = scripted(1)
    (a,) = world.hosts
    core = script(a)

    def insist(_word: str, _what: Any) -> Iterable[Effect]:
        core.due = 0.0
        return []

    core.react = insist
    core.due = 0.0
    with pytest.raises(RuntimeError, match="n0 is due"):
        say(a)


def test_effects_are_carried_out_in_order_and_ends_of_one_input_see_the_next() -> None:
    world = scripted(2)
    a, b = world.hosts

    def answer(word: str, what: Any) -> Iterable[Effect]:
        return [Send(a.address, packet(7)), Send(a.address, packet(8))] if word == "receive" else []

    script(b).react = answer
    say(a, Send(b.address, packet(1)))
    world.run(1)
    assert script(a).what("receive") == [packet(7), packet(8)]
    assert script(a).at("receive") == [0.001, 0.001]


def test_a_stopped_process_handles_what_came_when_it_goes_on_and_then_what_is_due() -> None:
    world = scripted(2)
    a, b = world.hosts
    due(b, 1.0)
    world.pause(b)
    say(a, *[Send(b.address, packet(number)) for number in range(3)])
    world.run(4)
    assert script(b).heard[1:] == []
    assert not b.is_running
    world.resume(b)
    assert [word for word, _ in script(b).heard] == [
        "start",
        "pulse",
        "receive",
        "receive",
        "receive",
        "tick",
    ]
    assert script(b).what("pulse") == [(3.0, 0.0, False)]
    assert set(script(b).times[1:]) == {4.0}


def test_in_a_world_of_timers_first_they_fire_before_what_came_is_read() -> None:
    world = scripted(2)
    world.timers_first = True
    a, b = world.hosts
    due(b, 1.0)
    world.pause(b)
    say(a, Send(b.address, packet(1)))
    world.run(4)
    world.resume(b)
    assert [word for word, _ in script(b).heard] == ["start", "pulse", "tick", "receive"]


def test_a_short_stop_before_the_next_deadline_is_not_late() -> None:
    world = scripted(1)
    (a,) = world.hosts
    due(a, 1.0)
    world.pause(a)
    world.run(0.5)
    world.resume(a)
    world.run(1)
    assert script(a).what("pulse") == []
    assert script(a).at("tick") == [1.0]


def test_the_buffer_of_a_stopped_process_overflows_at_its_bound_and_says_so_once() -> None:
    world = scripted(2)
    a, b = world.hosts
    world.pause(b)
    size = 42 + 21
    fits = world.receive_buffer // (size + 768)
    say(a, *[Send(b.address, packet(number)) for number in range(fits + 10)])
    world.run(1)
    world.resume(b)
    assert len(script(b).what("receive")) == fits
    assert script(b).what("pulse") == [(0.0, 0.0, True)]
    world.pause(b)
    world.resume(b)
    assert script(b).what("pulse") == [(0.0, 0.0, True)]


def test_refusals_wait_for_a_stopped_process_and_grow_stale() -> None:
    world = scripted(2)
    a, b = world.hosts
    world.crash(b)
    say(a, Send(b.address, packet(1)))
    world.pause(a)
    world.run(1.5)
    world.resume(a)
    say(a, Send(b.address, packet(2)))
    world.pause(a)
    world.run(3)
    world.resume(a)
    assert script(a).at("refused") == [1.5]


def test_a_suspended_machine_is_silent_and_its_clock_stands_still() -> None:
    world = scripted(2)
    a, b = world.hosts
    due(b, 1.0)
    world.run(0.4)
    world.suspend(b)
    say(a, Send(b.address, packet(1)))
    world.run(60)
    world.resume(b)
    assert b.agent.now == 0.4
    world.run(1)
    assert [word for word, _ in script(b).heard] == ["start", "pulse", "tick"]
    assert script(b).what("pulse") == [(0.0, 60.0, False)]
    assert script(b).at("tick") == [1.0]
    assert script(b).what("receive") == []
    assert world.now == pytest.approx(61.4)


def test_a_wall_clock_set_forward_is_told_at_the_next_wake_up_and_one_set_back_is_not() -> None:
    world = scripted(2)
    a, b = world.hosts
    world.jump_wall(a, 3_600)
    world.jump_wall(b, -3_600)
    due(a, 1.0)
    due(b, 1.0)
    world.run(2)
    assert script(a).what("pulse") == [(0.0, 3_600.0, False)]
    assert script(b).what("pulse") == []


def test_a_stopped_agent_cannot_be_asked() -> None:
    world = scripted(1)
    (a,) = world.hosts
    world.pause(a)
    with pytest.raises(RuntimeError, match="stopped"):
        say(a)


def test_resolved_names_wait_for_a_stopped_process() -> None:
    world = scripted(1)
    (a,) = world.hosts
    say(a, Resolve("nobody"))
    world.pause(a)
    world.run(1)
    world.resume(a)
    assert script(a).at("resolved") == [1.0]


def test_a_restart_has_the_key_and_a_version_above_all_that_may_have_been_used() -> None:
    world = scripted(1)
    (a,) = world.hosts
    first = script(a).life
    assert (first.incarnation, first.birth) == (WALL_MS, WALL_MS)
    assert first.ceiling == WALL_MS + RESERVE
    say(a, SaveCounter(WALL_MS + 100_000))
    world.run(10)
    world.restart(a)
    second = script(a).life
    assert second.incarnation == WALL_MS + 100_001
    assert (second.notary.id, second.birth, second.floor) == (first.notary.id, WALL_MS, 0)
    world.run(1_000)
    world.restart(a)
    assert script(a).life.incarnation == WALL_MS + 1_010_000


def test_a_wall_clock_set_back_does_not_set_the_incarnation_back() -> None:
    world = scripted(1)
    (a,) = world.hosts
    world.jump_wall(a, -3_600)
    world.restart(a)
    assert script(a).life.incarnation == WALL_MS + RESERVE + 1


def test_lost_registrations_raise_the_floor_and_a_new_identity_is_another_node() -> None:
    world = scripted(1)
    (a,) = world.hosts
    before = script(a).life
    world.run(1_000)
    world.restart(a, registrations="lost")
    lost = script(a).life
    assert lost.floor == lost.incarnation
    world.restart(a)
    assert script(a).life.floor == lost.floor
    world.restart(a, identity="new")
    assert script(a).life.notary.id != before.notary.id
    assert script(a).life.floor == 0


def test_a_node_without_a_disk_is_another_in_each_life() -> None:
    world = scripted(0)
    a = world.add(ephemeral=True)
    first = script(a).life
    world.restart(a)
    assert first.ephemeral
    assert script(a).life.notary.id != first.notary.id


def test_generators_of_nodes_are_their_own() -> None:
    def draws(hosts: int, seed: int) -> list[int]:
        return [script(host).life.rng.getrandbits(64) for host in scripted(hosts, seed=seed).hosts]

    assert draws(2, 1) == draws(3, 1)[:2]
    assert len({*draws(3, 1), *draws(3, 2)}) == 6


def test_events_are_kept_and_told() -> None:
    world = scripted(1)
    (a,) = world.hosts
    told: list[tuple[Host, float, Event]] = []
    world.listeners.append(lambda host, now, event: told.append((host, now, event)))
    world.run(2)
    event = Event(EventKind.MEMBER_JOINED, name="b")
    say(a, Notify(event))
    assert a.events == [(2.0, event)]
    assert told == [(a, 2.0, event)]
    assert a.told(EventKind.MEMBER_JOINED, "b") == [2.0]
    assert a.told(EventKind.MEMBER_JOINED, "c") == []


def test_watchers_see_the_world_after_each_input() -> None:
    world = scripted(2)
    a, b = world.hosts
    seen: list[tuple[str, float]] = []
    world.watchers.append(lambda host: seen.append((host.name, world.now)))
    say(a, Send(b.address, packet(1)))
    world.run(1)
    assert seen == [("n0", 0.0), ("n1", 0.0005)]


def test_the_end_of_an_awaited_condition_names_the_seed() -> None:
    world = scripted(1, seed=42)
    world.crash(world.hosts[0])
    assert world.run_until(lambda: world.now >= 0.25, 1) == 0.25
    with pytest.raises(AssertionError, match=r"(?s)not within 1 s.*seed 42.*n0 10\.0\.0\.1:7946: no agent"):
        world.run_until(lambda: False, 1)


def test_the_story_is_told_in_lines() -> None:
    lines: list[str] = []
    world = scripted(2, trace=lines.append)
    a, b = world.hosts
    say(a, Send(b.address, packet(1)), Notify(Event(EventKind.MEMBER_JOINED, name="b")))
    world.crash(b)
    assert [line.strip() for line in lines] == [
        "0.000000  n0 starts",
        "0.000000  n1 starts",
        "0.000000  n0 sends Gossip to 10.0.0.2:7946",
        "0.000000  n0 notes member_joined: b",
        "0.000000  n1 is killed",
    ]


def test_the_doubt_bound_is_what_renews_a_session() -> None:
    """A resumed process may be a copy: what it seals must not repeat what the other copy sealed."""
    world = scripted(1)
    (a,) = world.hosts
    due(a, 0.05)
    world.pause(a)
    world.run(LAN.doubt_bound + 0.1)
    before = a.agent.post.pack(packet(1))[0]
    world.resume(a)
    after = a.agent.post.pack(packet(1))[0]
    assert isinstance(before, bytes)
    assert isinstance(after, bytes)
    assert before[2:18] != after[2:18]
