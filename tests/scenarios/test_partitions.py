"""Faults of the network, from one deaf node to a cluster in two halves for longer than anybody remembers."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gossip.core.events import EventKind
from gossip.core.params import LAN
from gossip.core.types import Status
from sim.host import Host
from sim.names import DEFAULT_PORT
from sim.world import World
from tests.world import about, all_see, cluster, none_sees

LONG = 120.0
FAULTS = {"no inbound": (False, True), "no outbound": (True, False), "neither": (True, True)}


def break_off(host: Host, fault: str) -> None:
    host.mute, host.deaf = FAULTS[fault]


def failures(world: World, subject: Host) -> list[Host]:
    """Who ever held it for dead."""
    return [host for host in world.hosts if EventKind.MEMBER_FAILED in about(host, subject)]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_node_that_recovers_before_its_end_was_only_suspected(fault: str) -> None:
    """Scenario 75: before removal."""
    world = cluster(5)
    victim = world.hosts[2]
    world.run(10)
    break_off(victim, fault)
    world.run_until(lambda: all_see(world, victim, Status.SUSPECT), limit=30)
    victim.mute = victim.deaf = False
    world.run_until(world.converged, limit=30)
    world.run(LONG)
    assert world.converged()
    for host in world.hosts:
        assert failures(world, host) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_node_that_recovers_after_its_end_comes_back_by_itself(fault: str) -> None:
    """Scenario 75: after removal, by the dead that are tried for ever."""
    world = cluster(5)
    victim = world.hosts[2]
    victim.register("web")
    world.run(10)
    break_off(victim, fault)
    world.run_until(lambda: all_see(world, victim, Status.DEAD), limit=LONG)
    others = [host for host in world.hosts if host is not victim]
    assert world.converged(others)
    assert all(host.lookup("web") == [] for host in others)
    world.run(LONG)
    victim.mute = victim.deaf = False
    world.run_until(world.converged, limit=60)
    assert all(host.lookup("web") == [victim.name] for host in world.hosts)


def test_one_deaf_node_makes_nobody_else_suspect_for_long() -> None:
    """Scenario 75: it accuses all whose answers it does not hear; the others bury none of them."""
    world = cluster(8)
    deaf = world.hosts[3]
    deaf.deaf = True
    world.run(LONG)
    for host in world.hosts:
        if host is not deaf:
            assert [other for other in failures(world, host) if other is not deaf] == []


@pytest.mark.parametrize("times", [1, 2])
def test_halves_that_forgot_each_other_are_one_cluster_again_without_an_operator(times: int) -> None:
    """Scenarios 76 and 77: cut for longer than every retention time, and that again."""
    world = cluster(6, params=replace(LAN, retention=90.0))
    left, right = world.hosts[:3], world.hosts[3:]
    left[0].register("web")
    for _ in range(times):
        world.partition([left, right])
        world.run_until(lambda: world.converged(left) and world.converged(right), limit=LONG)
        world.run_until(lambda: all(a.sees(b) is b.sees(a) is None for a in left for b in right), limit=400)
        assert right[0].lookup("web") == []
        world.heal()
        world.run_until(world.converged, limit=LONG)
        world.run_until(lambda: right[2].lookup("web") == [left[0].name], limit=5)


def test_many_nodes_restart_at_their_addresses() -> None:
    """Scenario 78: at once, with their identities; the others hold them all again."""
    world = cluster(12)
    for host in world.hosts:
        host.register("web")
    world.run(10)
    again = world.hosts[1:9]
    for host in again:
        world.restart(host)
    world.run_until(world.converged, limit=60)
    names = {host.name for host in world.hosts}
    world.run_until(lambda: all(set(host.lookup("web")) == names for host in world.hosts), limit=10)
    world.run(LONG)
    assert world.converged()
    for host in again:
        assert none_sees(world, host, Status.DEAD)


def test_all_nodes_restart_at_their_addresses() -> None:
    """Scenario 78: nobody is left who knows, and the disks suffice."""
    world = cluster(6)
    for host in world.hosts:
        world.crash(host)
    world.run(5)
    for host in world.hosts:
        world.restart(host, seeds=())
    world.run_until(world.converged, limit=60)


@pytest.mark.parametrize("identity", ["same", "new"])
def test_many_nodes_restart_at_new_addresses_under_the_same_names(identity: str) -> None:
    """Scenario 79: by a newer record of the same node, or as new nodes whose forerunners die."""
    world = cluster(10)
    moved = world.hosts[1:6]
    old = {host.name: host.address for host in moved}
    former = [host.id for host in moved]
    for host in moved:
        world.restart(host, address="new", identity="same" if identity == "same" else "new")
    if identity == "new":
        world.run_until(lambda: all(none_sees(world, x, Status.ALIVE, Status.SUSPECT) for x in former), LONG)
    world.run_until(world.converged, limit=LONG)
    for observer in world.hosts:
        for host in moved:
            assert host.address != old[host.name]
            assert observer.node.find(host.name).id == host.id
            assert observer.node.find(host.name).address == host.address
            assert "name_conflict" not in observer.node.find(host.name).flags
    if identity == "same":
        for host in moved:
            assert failures(world, host) == []


def test_seeds_that_are_down_at_the_start_are_joined_when_they_appear() -> None:
    """Scenario 80: nobody has to ask again."""
    world = World()
    seed = world.add(seeds=(), start=False)
    others = world.grow(3)
    world.run(LONG)
    assert all(len(host.node.members) == 0 for host in others)
    world.start(seed)
    world.run_until(world.converged, limit=40)


def test_a_seed_is_looked_up_anew_each_time_it_is_tried() -> None:
    """Scenario 80: its name has another address by then."""
    world = World()
    world.names.table["seed.example"] = ["10.99.0.1"]
    waiting = world.add("waiting", seeds=["seed.example"])
    world.run(LONG)
    assert len(waiting.node.members) == 0
    seed = world.add("seed", seeds=())
    world.names.table["seed.example"] = [seed.address[0]]
    assert seed.address[1] == DEFAULT_PORT
    world.run_until(world.converged, limit=40)


def test_a_seed_whose_name_means_nothing_yet_is_tried_again() -> None:
    """Scenario 80."""
    world = World()
    waiting = world.add("waiting", seeds=["seed.example"])
    world.run(LONG)
    seed = world.add("seed", seeds=())
    world.names.table["seed.example"] = [seed.address[0]]
    world.run_until(world.converged, limit=40)
    assert waiting.sees(seed) is Status.ALIVE


def test_a_seed_that_all_have_lost_brings_two_clusters_together() -> None:
    """Scenario 80: one that is no live member is tried for ever, also by who has company."""
    world = World()
    seed = world.add("seed", seeds=(), start=False)
    a = world.add("a", seeds=[seed])
    b = world.add("b", seeds=[a, seed])
    world.run_until(lambda: a.sees(b) is b.sees(a) is Status.ALIVE, limit=30)
    world.start(seed)
    world.run_until(world.converged, limit=200)


def test_who_has_become_alone_tries_its_seeds_again() -> None:
    """Scenario 80: the others left, and somebody new has the seed's name."""
    world = World()
    first = world.add("first", seeds=())
    world.names.table["seed.example"] = [first.address[0]]
    alone = world.add("alone", seeds=["seed.example"])
    world.run_until(world.converged, limit=20)
    world.run(LONG)
    world.leave(first)
    world.run_until(lambda: alone.sees(first) is Status.LEFT, limit=10)
    world.run(LONG)
    second = world.add("second", seeds=())
    world.names.table["seed.example"] = [second.address[0]]
    world.run_until(lambda: alone.sees(second) is Status.ALIVE, limit=40)


@pytest.mark.parametrize("turn", range(6))
def test_after_any_cuts_and_crashes_the_healed_cluster_holds_one_view(turn: int, seed: int) -> None:
    """Scenarios 75 to 79, over random schedules; the seed is in the report of a failure."""
    world = cluster(6, seed=seed + turn, loss=0.02)
    rng = world.rng
    for _ in range(8):
        host = rng.choice(world.hosts)
        match rng.randrange(6):
            case 0:
                shuffled = rng.sample(world.hosts, len(world.hosts))
                world.partition([shuffled[: rng.randrange(1, 4)]])
            case 1:
                world.heal()
            case 2 if host.process is not None:
                world.crash(host, machine=rng.random() < 0.5)
            case 3:
                world.restart(host, address=rng.choice(["same", "new"]), seeds=[world.hosts[0]])
            case 4:
                host.mute, host.deaf = rng.random() < 0.5, rng.random() < 0.5
            case _:
                world.network.cut(host, rng.choice(world.hosts))
        world.run(rng.random() * 40)
    world.heal()
    for host in world.hosts:
        host.mute = host.deaf = False
        if host.process is None:
            world.restart(host)
    world.run_until(world.converged, limit=200)
    world.run(60)
    assert world.converged()
    for observer in world.hosts:
        assert observer.node.flags == ()
        assert all(member.flags == () for member in observer.node.members if member.is_live)
