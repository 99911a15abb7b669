"""The shipped core in this world: whether the two fit. What the protocol promises is tested elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gossip.core.events import EventKind
from gossip.core.types import Status
from sim.latency import Uniform
from sim.world import World
from tests.world import Traffic, about, all_see, cluster, none_sees, puppet

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("count", [1, 2, 3, 16, 64])
def test_a_cold_start_ends_in_one_view(count: int) -> None:
    world = cluster(count, seed=count)
    assert world.now < 10


@pytest.mark.slow
def test_256_nodes_find_each_other() -> None:
    world = cluster(256, codec=False)
    assert world.now < 30


@pytest.mark.parametrize("machine", [True, False])
@pytest.mark.parametrize("count", [3, 16, 64])
def test_a_crash_is_noticed_by_all_and_nobody_else_is_held_dead(count: int, machine: bool) -> None:
    world = cluster(count, seed=count)
    victim = world.rng.choice(world.hosts)
    world.crash(victim, machine=machine)
    world.run_until(lambda: all_see(world, victim, Status.DEAD), limit=90)
    assert world.converged()
    for host in world.running():
        assert [event.id for _, event in host.events if event.kind is EventKind.MEMBER_FAILED] == [victim.id]


@pytest.mark.parametrize(
    "settings", [{"codec": False}, {"real_keys": True}, {"loss": 0.1}, {"duplication": 0.5}]
)
def test_each_way_to_run_a_world(settings: dict[str, object]) -> None:
    world = cluster(8, latency=Uniform(200, 2_000), **settings)
    web = world.hosts[3]
    web.register("web", 8080)
    world.run_until(lambda: all(host.lookup("web") == [web.name] for host in world.hosts), limit=30)


def test_a_restart_comes_back_with_its_services() -> None:
    world = cluster(4)
    a, b = world.hosts[:2]
    b.register("web", key="one")
    b.register("web", key="two")
    b.deregister("two")
    world.run(5)
    identity = b.id
    world.restart(b)
    world.run_until(lambda: world.converged() and a.lookup("web") == [b.name], limit=60)
    assert b.id == identity
    assert b.lookup("web") == [b.name]


def test_a_leave_ends_the_process_and_is_seen_as_one() -> None:
    world = cluster(4)
    a = world.hosts[1]
    world.leave(a)
    world.run_until(lambda: a.process is None, limit=10)
    world.run_until(lambda: all_see(world, a, Status.LEFT), limit=10)


def test_a_healed_partition_is_one_cluster_again() -> None:
    world = cluster(6)
    left, right = world.hosts[:3], world.hosts[3:]
    world.partition([left, right])
    world.run_until(lambda: world.converged(left) and world.converged(right), limit=120)
    world.heal()
    world.run_until(world.converged, limit=120)


def test_a_stopped_node_doubts_itself_when_it_goes_on() -> None:
    world = cluster(4)
    a = world.hosts[2]
    world.pause(a)
    world.run(3)
    world.resume(a)
    assert len(a.told(EventKind.DOUBT)) == 1
    world.run(30)
    assert none_sees(world, a, Status.DEAD)
    assert world.converged()


def test_a_puppet_is_a_member_as_long_as_it_answers() -> None:
    world = cluster(3)
    host, core = puppet(world, *world.hosts)
    world.run_until(lambda: all_see(world, host, Status.ALIVE), limit=5)
    world.run(10)
    assert all_see(world, host, Status.ALIVE)
    core.acks = False
    world.run_until(lambda: all_see(world, host, Status.DEAD), limit=60)
    kinds = about(world.hosts[0], host)
    assert kinds == [EventKind.MEMBER_JOINED, EventKind.MEMBER_SUSPECTED, EventKind.MEMBER_FAILED]


def test_an_idle_cluster_sends_pings_and_acks_and_nothing_else() -> None:
    world = cluster(5)
    world.run(10)
    traffic = Traffic(world.hosts)
    world.run(20)
    sent = traffic.sent()
    assert set(sent) == {"Ack", "Ping"}
    assert sent["Ack"] == sent["Ping"] == pytest.approx(100, abs=5)


def play(seed: int) -> str:
    """Some busy minutes in the life of six nodes; the log's hash."""
    world = World(seed, loss=0.05, latency=Uniform(100, 3_000))
    world.grow(6)
    for turn in range(12):
        host = world.rng.choice(world.hosts)
        match turn % 4:
            case 0:
                host.register("web", 80 + turn, key=str(turn))
            case 1:
                world.crash(host, machine=turn == 1)
                world.run(20)
                world.restart(host)
            case 2:
                world.partition([[host]])
                world.run(15)
                world.heal()
            case _:
                world.pause(host)
                world.run(8)
                world.resume(host)
        world.run(10)
    return world.log_hash()


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_run_is_a_function_of_its_seed_in_any_process(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    code = "from tests.sim.test_cluster import play; print(play(5))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert done.stdout.strip() == play(5)
    assert play(5) != play(6)
