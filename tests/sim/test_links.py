"""What a link does to what is sent over it: bursts, order, bandwidth, MTU, zones, faults of a host."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from gossip.core.effects import Close, Dial, Send, Write
from sim.chance import derive, threshold
from sim.host import Host
from sim.latency import Constant, Lognormal, Normal
from sim.links import BACKLOG, Burst, Course, Link, link, wire_size
from sim.world import World
from tests.sim.scripted import frame, packet, say, script, scripted

ROOT = Path(__file__).parents[2]
FAST = Constant(500)
SIZE = 64
"""Bytes of `packet(number)`."""
WIRE = SIZE + 28
HASH = "9d43aac96bda0f99d16233f1c613b11d"
"""Of `play(1)`."""


def joined(line: Link, hosts: int = 2, **settings: Any) -> World:
    """A world of scripts in which every link is this one."""
    world = scripted(hosts, **settings)
    world.network.default = line
    return world


def send(sender: Host, receiver: Host, *numbers: int, size: int = 0) -> None:
    say(sender, *[Send(receiver.address, packet(number, size)) for number in numbers])


def numbers(host: Host) -> list[int]:
    return [int.from_bytes(message.sender, "big") for message in script(host).what("receive")]


# Bursts


@pytest.mark.parametrize("burst", [Burst(0.02, 0.25), Burst(0.05, 0.2, 0.5), Burst(0.01, 0.1), Burst(1, 1)])
def test_a_burst_takes_its_share_in_the_mean(burst: Burst) -> None:
    """The mean loss in closed form: the share of packets that meet a bad phase, times the loss there."""
    bits = derive(3, "burst").getrandbits
    course, count = Course(), 400_000
    lost = sum(course.loses(burst, bits) for _ in range(count))
    assert lost / count == pytest.approx(burst.enter / (burst.enter + burst.leave) * burst.loss, rel=0.05)


def test_a_burst_is_as_long_as_its_end_is_unlikely() -> None:
    """With certain loss in the bad phase, runs of lost packets are geometric, 1 / leave long in the mean."""
    burst, bits = Burst(0.02, 0.25), derive(3, "burst").getrandbits
    course = Course()
    runs = [
        len(list(run)) for lost, run in groupby(course.loses(burst, bits) for _ in range(400_000)) if lost
    ]
    assert sum(runs) / len(runs) == pytest.approx(4, rel=0.03)
    assert sum(run == 1 for run in runs) / len(runs) == pytest.approx(0.25, abs=0.01)
    assert sum(run > 8 for run in runs) / len(runs) == pytest.approx(0.75**8, abs=0.01)


def test_pairs_that_talk_once_lose_as_much_as_others() -> None:
    burst, bits = Burst(0.01, 0.04), derive(3, "burst").getrandbits
    lost = sum(Course().loses(burst, bits) for _ in range(20_000))
    assert lost / 20_000 == pytest.approx(0.2, rel=0.05)


def test_bursts_of_pairs_and_directions_are_their_own() -> None:
    """Phases so long that each direction of each pair meets one."""
    world = joined(link(FAST, burst=Burst(0.000_001, 0.000_001)), 6, codec=False)
    for sender in world.hosts:
        for receiver in world.hosts:
            if sender is not receiver:
                send(sender, receiver, *[sender.number] * 10)
    world.run(1)
    shares = {
        (sender.number, receiver.number): numbers(receiver).count(sender.number)
        for sender in world.hosts
        for receiver in world.hosts
        if sender is not receiver
    }
    assert set(shares.values()) == {0, 10}
    assert any(shares[b, a] != share for (a, b), share in shares.items())
    assert world.network.dropped == {"burst": 10 * list(shares.values()).count(0)}


# Order


def test_reordering_holds_up_its_share_and_others_overtake() -> None:
    world = joined(link(FAST, reordering=0.25, reorder_us=2_000), codec=False)
    a, b = world.hosts
    send(a, b, *range(1_000))
    world.run(1)
    times = script(b).at("receive")
    assert set(times) == {0.0005, 0.0025}
    assert times.count(0.0025) / 1_000 == pytest.approx(0.25, abs=0.03)
    assert sorted(numbers(b)) == [*range(1_000)] != numbers(b)


# Bandwidth


def test_packets_wait_for_the_bandwidth_in_a_queue() -> None:
    """A megabyte a second takes a microsecond a byte, headers included."""
    world = joined(link(FAST, bandwidth=1_000_000))
    a, b = world.hosts
    send(a, b, *range(10))
    world.run(0.01)
    assert script(b).at("receive") == pytest.approx([0.0005 + WIRE / 1e6 * turn for turn in range(1, 11)])
    send(a, b, 99)
    world.run(1)
    assert script(b).at("receive")[-1] == pytest.approx(0.01 + 0.0005 + WIRE / 1e6)


def test_what_does_not_fit_into_the_backlog_is_dropped() -> None:
    world = joined(link(FAST, bandwidth=100_000, backlog=2_000))
    a, b = world.hosts
    send(a, b, *range(30))
    fits = 2_000 // WIRE
    world.run(2_000 / 100_000 + 0.001)
    assert numbers(b) == [*range(fits)]
    assert world.network.dropped == {"backlog": 30 - fits}
    assert script(b).at("receive")[-1] == pytest.approx(0.0005 + fits * WIRE / 100_000)
    send(a, b, 99)
    world.run(1)
    assert numbers(b)[-1] == 99


def test_an_overloaded_line_carries_its_bandwidth_and_delays_by_its_backlog() -> None:
    world = joined(link(FAST, bandwidth=50_000, backlog=5_000))
    a, b = world.hosts
    for turn in range(2_000):
        send(a, b, turn)
        world.run(0.001)
    assert len(numbers(b)) * WIRE == pytest.approx(2 * 50_000, rel=0.01)
    delays = [at - number * 0.001 for at, number in zip(script(b).at("receive"), numbers(b), strict=True)]
    assert max(delays) <= 0.0005 + 5_000 / 50_000 + 1e-9
    assert min(delays[200:]) >= 0.0005 + (5_000 - WIRE) / 50_000


def test_an_idle_line_saves_up_nothing() -> None:
    course, line = Course(), link(FAST, bandwidth=1_000_000)
    assert course.queue(line, 500, 0) == 500
    assert course.waiting(line, 100) == 400
    assert course.queue(line, 500, 60_000_000) == 500
    assert course.drains(line, 100, 60_000_000) == 400
    assert course.queue(line, BACKLOG, 60_000_000) is None


def test_a_fast_line_is_not_slowed_by_whole_microseconds() -> None:
    """Ten gigabits a second: 1,250 bytes in a microsecond."""
    course, line = Course(), link(FAST, bandwidth=1_250_000_000)
    waits = [course.queue(line, 125, 0) for _ in range(1_000)]
    assert waits[-1] == 100


def test_directions_have_their_bandwidth_to_themselves() -> None:
    world = joined(link(FAST, bandwidth=10_000))
    a, b = world.hosts
    send(a, b, 1)
    send(b, a, 2)
    world.run(1)
    assert script(a).at("receive") == script(b).at("receive")


# MTU


@pytest.mark.parametrize(("address", "headers"), [(("10.0.0.9", 7946), 28), (("fd00::9", 7946), 48)])
def test_datagrams_longer_than_the_mtu_are_dropped(address: tuple[str, int], headers: int) -> None:
    world = scripted(1, codec=False, sized=True)
    (a,) = world.hosts
    b = world.add(address=address)
    send(a, b, 0, size=1_000)
    length = a.sent.bytes + headers
    assert wire_size(address, a.sent.bytes) == length
    world.network.default = link(FAST, mtu=length)
    send(a, b, 1, size=1_000)
    world.network.default = link(FAST, mtu=length - 1)
    send(a, b, 2, size=1_000)
    send(a, b, 3, size=10)
    world.run(1)
    assert numbers(b) == [0, 1, 3]
    assert world.network.dropped == {"mtu": 1}


# Zones and faults of a host


def test_zones_have_links_by_row_and_column_and_a_pair_may_have_its_own() -> None:
    world = scripted(4, latency=Constant(100))
    a, b, c, d = world.hosts
    a.zone = b.zone = "east"
    c.zone = "west"
    world.network.set_zones(
        {
            "east": {"east": link(Constant(200)), "west": link(Constant(40_000))},
            "west": {"east": link(Constant(50_000))},
        }
    )
    world.set_link(b, c, link(Constant(7_000)))
    pairs = [(a, b), (a, c), (c, a), (c, d), (b, c), (c, b), (d, a)]
    took = [world.network.line(here, there).latency for here, there in pairs]
    assert took == [Constant(us) for us in (200, 40_000, 50_000, 100, 7_000, 50_000, 100)]
    send(a, c, 1)
    send(b, c, 2)
    world.run(1)
    assert script(c).at("receive") == [0.007, 0.04]
    world.network.set_zones({})
    assert world.network.line(a, c).latency == Constant(100)


def test_loss_of_a_host_comes_on_top_of_that_of_its_links() -> None:
    world = joined(link(FAST, loss=0.2), 3, codec=False)
    a, b, c = world.hosts
    world.set_loss(a, outgoing=0.25)
    world.set_loss(b, incoming=0.5)
    count = 4_000
    for sender, receiver in ((a, b), (a, c), (c, b), (b, a)):
        send(sender, receiver, *[sender.number] * count)
    world.run(1)
    assert numbers(b).count(a.number) / count == pytest.approx(0.8 * 0.75 * 0.5, rel=0.05)
    assert numbers(c).count(a.number) / count == pytest.approx(0.8 * 0.75, rel=0.05)
    assert numbers(b).count(c.number) / count == pytest.approx(0.8 * 0.5, rel=0.05)
    assert numbers(a).count(b.number) / count == pytest.approx(0.8, rel=0.05)
    assert set(world.network.dropped) == {"loss"}


# All of it


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"reordering": 0.1}, "how much longer"),
        ({"reorder_us": -1}, "more than 0 us"),
        ({"reordering": 2.0, "reorder_us": 5}, "from 0 to 1"),
        ({"bandwidth": 0}, "at least 1 byte"),
        ({"backlog": 100}, "at least one packet"),
        ({"mtu": 10}, "at least 68"),
        ({"loss": -0.1}, "from 0 to 1"),
    ],
)
def test_links_that_cannot_be(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        link(FAST, **settings)


@pytest.mark.parametrize("chances", [(1.1, 0.5, 1.0), (0.1, 0.0, 1.0), (0.1, 0.5, -1.0)])
def test_bursts_that_cannot_be(chances: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError):
        Burst(*chances)


def test_only_a_plain_link_is_taken_for_one() -> None:
    assert link(FAST, 0.1, 0.1, reorder_us=5, backlog=2_000).plain
    hurdles: list[dict[str, Any]] = [
        {"burst": Burst(0.1, 0.5)},
        {"reordering": 0.1, "reorder_us": 5},
        {"bandwidth": 10},
        {"mtu": 1_280},
    ]
    for more in hurdles:
        assert not link(FAST, **more).plain


def play(seed: int) -> World:
    """Every fault of links and hosts in one world of scripts."""
    world = joined(
        link(
            Lognormal(5_000, 0.8),
            0.05,
            0.05,
            burst=Burst(0.05, 0.3),
            reordering=0.2,
            reorder_us=9_000,
            bandwidth=20_000,
            backlog=4_000,
            mtu=1_280,
        ),
        5,
        seed=seed,
        codec=False,
        sized=True,
    )
    a, b, c, d, e = world.hosts
    a.zone = b.zone = "east"
    c.refusals, d.refusals = "limited", "lying"
    e.loss_in = threshold(0.2)
    world.network.set_zones({"east": {"east": link(Normal(300, 100))}})
    for number in range(60):
        sender, receiver = world.rng.sample(world.hosts, 2)
        if sender.process is None:
            world.start(sender)
        send(sender, receiver, *range(5), size=number * 25)
        say(sender, Dial(number, receiver.address, 5.0), Write(number, frame(number)), Close(number))
        if number % 10 == 9:
            world.crash(receiver)
        world.run(0.1)
    world.run(60)
    return world


def test_a_run_with_all_faults_is_known_by_one_hash() -> None:
    """The same on every version of Python; it changes with what the network draws, and then is made anew."""
    world = play(1)
    assert world.log_hash() == HASH
    met = {"backlog", "burst", "closed", "icmp_limit", "loss", "mtu"}
    assert set(world.network.dropped) == met
    assert play(2).log_hash() != HASH


def test_the_hash_does_not_depend_on_the_order_of_sets() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "5", "PYTHONPATH": os.pathsep.join(sys.path)}
    code = "from tests.sim.test_links import play; print(play(1).log_hash())"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert done.stdout.strip() == HASH


@pytest.mark.parametrize(
    ("line", "met"),
    [
        pytest.param(link(FAST, burst=Burst(0.05, 0.3)), {"burst"}, id="bursts"),
        pytest.param(link(FAST, reordering=0.3, reorder_us=50_000), set(), id="reordering"),
        pytest.param(link(FAST, bandwidth=4_000, backlog=3_000), {"backlog"}, id="little bandwidth"),
        pytest.param(link(FAST, mtu=1_280), {"mtu"}, id="MTU"),
        pytest.param(link(Lognormal(20_000, 1.0)), set(), id="long tail"),
        pytest.param(
            link(
                Normal(20_000, 5_000),
                0.02,
                0.02,
                burst=Burst(0.01, 0.3),
                reordering=0.1,
                reorder_us=30_000,
                bandwidth=20_000,
                mtu=1_100,
            ),
            {"burst", "loss", "mtu"},
            id="all",
        ),
    ],
)
def test_shipped_nodes_find_each_other_and_tell_each_other_under_it(line: Link, met: set[str]) -> None:
    """More services than one datagram holds, once longer datagrams than 1,280 bytes have been tried."""
    world = World(11)
    world.network.default = line
    world.grow(5)
    world.run_until(world.converged, 60)
    world.run(20)
    names = [f"web{number}" for number in range(60)]
    for number, name in enumerate(names):
        world.hosts[number % 5].register(name, 80, meta={"what": "x" * 100})
    world.run_until(lambda: all(host.lookup(name) for host in world.hosts for name in names), 90)
    world.run_until(world.converged, 60)
    assert met <= set(world.network.dropped)
    assert met or not world.network.dropped
