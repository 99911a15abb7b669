"""Machines that are slow, clocks that are wrong, kernels that refuse: what a core hears of it, and when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossip.core.effects import Dial, Effect, Send
from gossip.core.events import EventKind
from gossip.core.params import LAN
from gossip.core.records import Notary
from gossip.core.types import Status
from sim.clock import RATE_MAX, SECOND, MachineClock
from sim.host import Host
from sim.notary import Archive, Counted, StandIn
from sim.processor import BATCH_MAX, Costs
from sim.world import World
from tests.sim.scripted import packet, say, script, scripted
from tests.world import all_see, cluster

NOTHING = Costs(0, 0, 0, 0, 0, 0)
MS = 1_000


def words(host: Host) -> list[str]:
    """What the script there heard after its start, as words."""
    return [word for word, _ in script(host).heard][1:]


def answering(host: Host, to: Host) -> None:
    """Have the script there answer each datagram with one of its own."""

    def answer(word: str, what: Any) -> Iterable[Effect]:
        return [Send(to.address, what)] if word == "receive" else []

    script(host).react = answer


# Costs


def test_what_is_handled_takes_its_time_and_an_answer_leaves_when_it_is_paid_for() -> None:
    world = scripted(2)
    a, b = world.hosts
    world.costs = Costs(wake=1 * MS, received=10 * MS, sent=100 * MS, checked=0, signed=0, tick=0)
    answering(b, a)
    say(a, Send(b.address, packet(1)), Send(b.address, packet(2)))
    world.run(2)
    # Each of the two leaves after 100 ms of a's time; b wakes (1 ms), reads (10 ms), answers (100 ms).
    assert script(b).at("receive") == [0.1015, 0.2125]
    assert script(a).at("receive") == [0.213, 0.324]


def test_what_comes_meanwhile_waits_and_is_read_in_one_turn_and_answered_after_it() -> None:
    world = scripted(3)
    a, b, c = world.hosts
    b.agent.set_costs(Costs(wake=1 * MS, received=2 * MS, sent=1 * MS, checked=0, signed=0, tick=0))
    answering(b, c)
    say(a, *[Send(b.address, packet(number)) for number in range(3)])
    world.run(1)
    assert script(b).at("receive") == [0.0015, 0.0035, 0.0055]
    assert script(c).at("receive") == [0.009, 0.010, 0.011]


def test_timers_are_late_by_what_there_is_to_do_and_the_pulse_says_by_how_much() -> None:
    world = scripted(2)
    a, b = world.hosts
    b.agent.set_costs(Costs(wake=0, received=5 * MS, sent=0, checked=0, signed=0, tick=0))
    script(b).due = 0.002
    say(b)
    say(a, *[Send(b.address, packet(number)) for number in range(2)])
    world.run(1)
    assert words(b) == ["receive", "receive", "tick"]
    assert script(b).at("tick") == [0.0105]
    script(b).due = world.now + 0.001
    say(b)
    world.pause(b)
    world.run(0.004)
    world.resume(b)
    assert script(b).what("pulse") == [(0.003, 0.0, False)]


def test_a_turn_reads_for_20_ms_and_timers_wait_for_a_dry_socket_or_real_lateness() -> None:
    """As the driver: an ack may be waiting, but a process that is drowned must not wait for ever."""
    world = scripted(2)
    a, b = world.hosts
    b.agent.set_costs(Costs(wake=0, received=30 * MS, sent=0, checked=0, signed=0, tick=0))
    script(b).due = 0.010
    say(b)
    say(a, *[Send(b.address, packet(number)) for number in range(20)])
    world.run(2)
    ticked = script(b).at("tick")[0]
    # Turns of one datagram each; the first that begins over 250 ms late ticks with 10 still to be read.
    assert ticked - 0.010 > LAN.doubt_bound
    assert words(b).count("receive") == 20
    heard = words(b)
    assert "receive" in heard[heard.index("tick") :]
    late = [what[0] for what in script(b).what("pulse")]
    assert late == sorted(late)
    assert late[-1] > LAN.doubt_bound


def test_a_turn_reads_256_datagrams_at_most() -> None:
    world = scripted(2)
    a, b = world.hosts
    b.receive_buffer = 1 << 20
    world.pause(b)
    say(a, *[Send(b.address, packet(number)) for number in range(BATCH_MAX + 10)])
    script(b).due = 0.5
    world.run(2)
    world.resume(b)
    heard = words(b)
    assert heard.count("receive") == BATCH_MAX + 10
    # 1.5 s late is over the bound: the timers fire though ten datagrams still wait.
    assert heard.index("tick") == 1 + BATCH_MAX


def test_a_drowned_process_loses_what_does_not_fit_its_own_buffer() -> None:
    world = scripted(2)
    a, b = world.hosts
    b.agent.set_costs(Costs(wake=0, received=SECOND, sent=0, checked=0, signed=0, tick=0))
    b.receive_buffer = 4 * (768 + 64)
    say(a, *[Send(b.address, packet(number)) for number in range(10)])
    world.run(20)
    # One is being handled while four wait.
    assert len(script(b).what("receive")) == 5
    assert script(b).what("count") == ["receive_overflow"]
    assert any(overflow for _, _, overflow in script(b).what("pulse"))


def test_streams_and_programs_get_their_share_of_a_busy_process() -> None:
    """A local program is answered at once, as the model is not of it; what it caused leaves in turn."""
    world = scripted(2)
    a, b = world.hosts
    b.agent.set_costs(Costs(wake=0, received=100 * MS, sent=0, checked=0, signed=0, tick=0))
    say(a, *[Send(b.address, packet(number)) for number in range(5)], Dial(1, b.address, 5.0))
    world.run(0.050)
    say(b, Send(a.address, packet(9)))
    assert script(a).what("receive") == []
    world.run(2)
    assert script(a).what("receive") == [packet(9)]
    assert words(b).index("accepted") < 5
    assert "opened" in words(a)


def test_a_stop_in_the_middle_of_a_step_makes_it_end_later() -> None:
    world = scripted(2)
    a, b = world.hosts
    b.agent.set_costs(Costs(wake=0, received=100 * MS, sent=0, checked=0, signed=0, tick=0))
    answering(b, a)
    say(a, Send(b.address, packet(1)))
    world.run(0.050)
    world.pause(b)
    world.run(1)
    world.resume(b)
    world.run(1)
    assert script(a).at("receive") == [1.101]


def test_a_machine_starves_and_recovers_while_it_runs() -> None:
    world = cluster(8, seed=3)
    slow = world.hosts[3]
    world.starve(slow, 5_000)
    world.run_until(lambda: slow.told(EventKind.DOUBT), 60)
    assert slow.node.counters["doubts"] > 0
    world.starve(slow, 1)
    world.run_until(world.converged, 120)
    world.run(30)
    doubts = slow.node.counters["doubts"]
    world.run(30)
    assert slow.node.counters["doubts"] == doubts
    assert world.converged()


def test_a_starved_node_accuses_nobody_of_its_own_lateness() -> None:
    world = cluster(8, seed=4)
    slow = world.hosts[5]
    world.starve(slow, 20_000)
    world.run(60)
    others = [host for host in world.hosts if host is not slow]
    assert all(other.sees(one) is not Status.DEAD for other in others for one in others if one is not other)


def test_a_cluster_with_costs_is_a_cluster_and_the_costs_can_go_again() -> None:
    world = cluster(8, costs=Costs())
    world.hosts[2].register("web", 80)
    world.run_until(lambda: all(host.lookup("web") == ["n2"] for host in world.hosts), 5)
    world.costs = None
    world.run(10)
    assert world.converged()
    assert not any(host.node.counters["doubts"] for host in world.hosts)


@pytest.mark.parametrize("make", [lambda: StandIn(bytes(32), Archive("c")), lambda: Counted(bytes(32), "c")])
def test_signatures_are_counted_and_cost_what_they_say(make: Any) -> None:
    notary = make()
    plain: Notary = notary
    mark = plain.sign(b"x")
    assert plain.check(plain.public_key, mark, b"x")
    assert (notary.signs, notary.checks) == (1, 1)
    world = World(costs=Costs(0, 0, 0, checked=7, signed=400 * MS, tick=0))
    host = world.add(seeds=())
    before = host.agent.notary.signs
    world.run(2)
    host.register("web", 80)
    assert host.agent.notary.signs == before + 1
    other = world.add(seeds=[host])
    begun = world.now
    world.run_until(lambda: other.sees(host) is Status.ALIVE, 10)
    # Nothing that is said of the new registration leaves before the signature is paid for.
    assert world.now - begun >= 0.4


def test_a_slower_machine_is_slower_in_everything() -> None:
    assert Costs(1, 2, 3, 4, 5, 6).times(10) == Costs(10, 20, 30, 40, 50, 60)
    with pytest.raises(ValueError, match="at least 1"):
        Costs().times(0)
    world = scripted(1)
    with pytest.raises(ValueError, match="at least 1"):
        world.starve(world.hosts[0], 0)


def test_handling_that_takes_no_time_is_the_same_in_either_way() -> None:
    """The queues and steps of a `Processor`, at no cost, lead where the short way leads."""
    hashes = []
    for costs in (None, NOTHING):
        world = cluster(6, seed=9, costs=costs)
        world.crash(world.hosts[2], machine=True)
        world.hosts[4].register("web", 80)
        world.run(40)
        hashes.append(world.log_hash())
        assert all_see(world, world.hosts[2], Status.DEAD)
    assert hashes[0] == hashes[1]


# Clocks


@given(
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(-RATE_MAX, RATE_MAX), st.booleans()), max_size=6),
    st.integers(0, 10**9),
)
def test_a_clock_never_goes_back_and_its_alarms_are_neither_early_nor_late(
    changes: list[tuple[int, int, bool]], ahead: int
) -> None:
    clock = MachineClock(0)
    now, shown = 0, 0
    for passed, ppm, sleeps in changes:
        now += passed
        assert clock.read(now) >= shown
        shown = clock.read(now)
        clock.set_rate(now, ppm)
        if sleeps:
            clock.stop(now)
            now += passed
            assert clock.read(now) == shown
            clock.go(now)
        assert clock.read(now) == shown
        assert clock.ppm == ppm
    due = clock.read(now) + 1 + ahead
    at = clock.when(due)
    assert clock.read(at) >= due > clock.read(at - 1)


def test_a_fast_clock_ticks_early_by_true_time_and_a_slow_one_late() -> None:
    world = scripted(2)
    fast, slow = world.hosts
    world.set_clock_rate(fast, 250_000)
    world.set_clock_rate(slow, -500_000)
    true: dict[str, float] = {}

    def note(host: Host) -> None:
        if script(host).at("tick"):
            true.setdefault(host.name, world.now)

    world.watchers.append(note)
    for host in (fast, slow):
        script(host).due = 1.0
        say(host)
    world.run(3)
    assert true == {"n0": 0.8, "n1": 2.0}
    assert script(fast).at("tick") == script(slow).at("tick") == [1.0]
    assert fast.agent.now == 3.75
    with pytest.raises(ValueError, match="parts per million"):
        world.set_clock_rate(fast, RATE_MAX + 1)


def test_an_alarm_that_is_set_when_the_rate_changes_is_right_afterwards() -> None:
    for first, second in ((0, 500_000), (500_000, 0), (-400_000, 400_000), (400_000, -400_000)):
        world = scripted(1)
        (a,) = world.hosts
        world.set_clock_rate(a, first)
        script(a).due = 1.0
        say(a)
        world.run(0.5)
        world.set_clock_rate(a, second)
        world.run(2)
        # Such a clock goes by one or two microseconds at a time.
        assert script(a).at("tick") in ([1.0], [1.000001])
        assert script(a).what("pulse") == []


def test_a_rate_that_changes_while_the_process_stands_still_holds_afterwards() -> None:
    world = scripted(2)
    a, b = world.hosts
    for host in (a, b):
        script(host).due = 1.0
        say(host)
    world.suspend(a)
    world.pause(b)
    world.run(10)
    for host in (a, b):
        world.set_clock_rate(host, 100_000)
    assert a.agent.now == 0.0
    world.run(10)
    world.resume(a)
    world.resume(b)
    assert b.agent.now == 21.0
    assert script(b).what("pulse") == [(20.0, 0.0, False)]
    world.run(1)
    assert script(a).at("tick") == [1.0]
    assert script(a).what("pulse") == [(0.0, 20.0, False)]


def test_a_machine_that_sleeps_for_a_moment_before_its_alarm_loses_no_alarm() -> None:
    world = scripted(1)
    (a,) = world.hosts
    script(a).due = 1.0
    say(a)
    world.run(0.4)
    world.suspend(a)
    world.run(0.2)
    world.resume(a)
    world.run(0.6)
    assert script(a).at("tick") == [1.0]


def test_a_clock_outlives_the_process_and_a_crash_ends_a_suspension() -> None:
    world = scripted(1)
    (a,) = world.hosts
    world.set_clock_rate(a, 100_000)
    world.run(10)
    world.suspend(a)
    world.run(5)
    world.restart(a)
    assert script(a).life.now == 11.0
    world.run(10)
    assert a.agent.now == 22.0
    assert a.suspended_us is None


def test_clocks_that_differ_by_a_tenth_make_one_cluster() -> None:
    world = cluster(6, seed=5)
    for host, ppm in zip(world.hosts, (100_000, -100_000, 500, -500, 0, 30_000), strict=True):
        world.set_clock_rate(host, ppm)
    world.run(120)
    assert world.converged()
    assert not any(host.told(EventKind.MEMBER_FAILED) for host in world.hosts)


# All of it together


class Diary:
    """Keeps a script due every 50 ms of its clock, answers what it hears, and checks what it is told."""

    def __init__(self, host: Host, other: Host) -> None:
        self.host = host
        self.core = core = script(host)
        self.heard = self.ticks = 0
        self.last = 0.0
        core.react = self.react
        core.due = 0.05
        self.other = other
        say(host)

    def react(self, word: str, what: Any) -> Iterable[Effect]:
        process = self.host.agent
        assert not process.stopped, "a stopped process handles nothing"
        assert process.now >= self.last, "its clock went back"
        self.last = process.now
        if word == "tick":
            self.ticks += 1
            self.core.due = self.last + 0.05
        if word == "receive":
            self.heard += 1
            return [Send(self.other.address, what)] if self.heard % 3 else []
        if word == "pulse":
            late, gap, _ = what
            assert late >= 0
            assert gap >= 0
        return []


PAUSES = st.one_of(st.integers(0, 60_000), st.integers(0, 400_000))
"""Microseconds, often about as long as an alarm is set for."""
TROUBLES = st.one_of(
    st.tuples(st.just("pause"), st.just(0)),
    st.tuples(st.just("suspend"), st.just(0)),
    st.tuples(st.just("resume"), st.just(0)),
    st.tuples(st.just("starve"), st.sampled_from([1, 10, 1_000, 20_000])),
    st.tuples(st.just("rate"), st.integers(-RATE_MAX, RATE_MAX)),
    st.tuples(st.just("costs"), st.sampled_from([0, 1])),
    st.tuples(st.just("say"), st.integers(1, 40)),
    st.tuples(st.just("wall"), st.integers(-5, 5)),
)


def trouble(world: World, host: Host, what: str, much: int) -> None:
    """Do one thing to a host."""
    match what:
        case "pause":
            world.pause(host)
        case "suspend":
            world.suspend(host)
        case "resume":
            world.resume(host)
        case "starve":
            world.starve(host, much)
        case "rate":
            world.set_clock_rate(host, much)
        case "costs":
            world.costs = Costs() if much else None
        case "wall":
            world.jump_wall(host, much)
        case _ if host.is_running:
            say(host, *[Send(script(host).life.address, packet(number)) for number in range(much)])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), TROUBLES, PAUSES), max_size=25))
def test_whatever_is_done_to_machines_their_processes_go_on_afterwards(
    story: list[tuple[int, tuple[str, int], int]],
) -> None:
    """No alarm is lost or early, nothing is handled by who is stopped, nothing stays unread."""
    world = scripted(2)
    a, b = world.hosts
    diaries = [Diary(a, b), Diary(b, a)]
    for number, (what, much), passed_us in story:
        trouble(world, world.hosts[number], what, much)
        world.run(passed_us / SECOND)
    for host in world.hosts:
        world.set_clock_rate(host, 0)
        world.resume(host)
        world.starve(host, 1)
    # The longest step under way takes 20,000 x 30 us; then all is read and in time again.
    world.run(20)
    counts = [diary.ticks for diary in diaries]
    begun = [host.agent.now for host in world.hosts]
    say(a, Send(b.address, packet(99)))
    world.run(10)
    assert script(b).what("receive")[-1] == packet(99)
    for host, diary, ticks, now in zip(world.hosts, diaries, counts, begun, strict=True):
        assert host.agent.now == now + 10
        assert diary.ticks - ticks in range(195, 202)
        late = [
            what[0]
            for what, at in zip(script(host).what("pulse"), script(host).at("pulse"), strict=True)
            if at > now
        ]
        assert max(late, default=0.0) < 0.01


# Sending and receiving


def test_a_process_whose_sends_fail_is_told_so_and_others_hear_nothing() -> None:
    world = scripted(2)
    a, b = world.hosts
    world.fail_sends(a)
    say(a, Send(b.address, packet(1)), Dial(1, b.address, 5.0))
    world.run(1)
    assert script(a).what("count") == ["send_failed"]
    assert script(a).what("closed") == ["unreachable"]
    assert words(b) == []
    say(b, Send(a.address, packet(2)))
    world.run(1)
    assert script(a).what("receive") == [packet(2)]
    # As the driver tells it: like an overflow, since whoever cannot send hears no answers either.
    assert script(a).what("pulse") == [(0.0, 0.0, True)]
    world.fail_sends(a, False)
    say(a, Send(b.address, packet(3)))
    world.run(1)
    assert script(b).what("receive") == [packet(3)]


def test_a_node_whose_sends_fail_accuses_nobody() -> None:
    world = cluster(6, seed=8)
    lame = world.hosts[2]
    world.fail_sends(lame)
    world.run(60)
    assert lame.told(EventKind.DOUBT)
    assert not lame.told(EventKind.MEMBER_FAILED)
    world.fail_sends(lame, False)
    world.run_until(world.converged, 60)


def test_a_dead_host_whose_route_is_gone_is_buried_as_soon_as_a_silent_one() -> None:
    """That nothing can be sent to it is no sign that nothing leaves."""
    world = cluster(8, seed=4)
    gone, *others = world.hosts
    world.run(10)
    world.crash(gone, machine=True)
    for host in others:
        world.withdraw_route(host, gone)
    world.run_until(lambda: all(host.sees(gone) is Status.DEAD for host in others), 20)
    assert not any(host.told(EventKind.DOUBT) for host in others)


@pytest.mark.parametrize(("count", "away"), [(5, 3), (20, 10), (20, 5)])
def test_a_site_to_which_the_route_is_gone_is_dead_as_one_that_is_cut_off(count: int, away: int) -> None:
    """Three of it in a row are tried all the time: they doubted themselves until the route was back.

    One doubt there may be before they know; with one other to be heard it takes ten periods.
    """
    world = cluster(count, seed=1)
    here, there = world.hosts[away:], world.hosts[:away]
    world.run(10)
    for side, other in ((here, there), (there, here)):
        for host in side:
            world.withdraw_route(host, *other)
    world.run_until(lambda: all(host.sees(far) is Status.DEAD for host in here for far in there), 120)
    assert all(host.sees(near) is Status.ALIVE for host in here for near in here if near is not host)
    assert all(host.node.counters["doubts"] < 20 for host in here), "there were 24 to 157 of 20 and 10"
    for host in world.hosts:
        world.withdraw_route(host)
    world.run_until(world.converged, 60)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_last_one_buries_the_others_whose_routes_went_with_them(count: int) -> None:
    """It cannot tell that from a fault of its own, and waits as long as who hears nobody; not for ever."""
    world = cluster(count, seed=1)
    last, *others = world.hosts
    world.run(10)
    for host in others:
        world.crash(host, machine=True)
    world.withdraw_route(last, *others)
    world.run(LAN.isolation)
    assert last.told(EventKind.DOUBT)
    assert not last.told(EventKind.MEMBER_FAILED)
    world.run_until(lambda: all(last.sees(host) is Status.DEAD for host in others), 120)


def test_who_alone_has_no_route_to_a_member_judges_the_others_as_ever() -> None:
    world = cluster(8, seed=5)
    lame, unseen, dead, *others = world.hosts
    world.run(10)
    world.withdraw_route(lame, unseen)
    world.run(60)
    assert not lame.told(EventKind.DOUBT)
    world.crash(dead, machine=True)
    world.run_until(lambda: lame.sees(dead) is Status.DEAD, 20)
    world.withdraw_route(lame)
    world.run_until(world.converged, 60)
    assert all(host.sees(unseen) is Status.ALIVE for host in (lame, *others))
    assert not any(host.told(EventKind.MEMBER_FAILED, unseen.name) for host in world.running())


def test_of_two_whoever_cannot_send_doubts_itself_and_buries_nobody() -> None:
    world = cluster(2, seed=6)
    lame, other = world.hosts
    world.fail_sends(lame)
    world.run(60)
    assert lame.told(EventKind.DOUBT)
    assert not lame.told(EventKind.MEMBER_SUSPECTED)
    world.fail_sends(lame, False)
    world.run_until(world.converged, 60)
    assert other.sees(lame) is Status.ALIVE


@pytest.mark.parametrize("fault", ["mute", "deaf"])
def test_a_machine_that_only_sends_or_only_hears_is_held_dead_and_comes_back(fault: str) -> None:
    world = cluster(6, seed=6)
    lame = world.hosts[2]
    setattr(lame, fault, True)
    others = [host for host in world.hosts if host is not lame]
    world.run_until(lambda: all(host.sees(lame) is Status.DEAD for host in others), 120)
    setattr(lame, fault, False)
    world.run_until(world.converged, 300)


# Lives


def test_a_lost_disk_is_another_node_at_the_same_address() -> None:
    world = cluster(4, seed=7)
    host = world.hosts[3]
    host.register("web", 80)
    world.run(5)
    before = host.id
    world.restart(host, identity="new")
    assert host.id != before
    world.run_until(world.converged, 120)
    assert all(other.lookup("web") == [] for other in world.hosts)


def test_a_storm_of_joins_ends_in_one_view() -> None:
    world = cluster(4, seed=7)
    world.grow(40)
    world.run_until(world.converged, 60)
