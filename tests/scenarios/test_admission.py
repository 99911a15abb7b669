"""Clusters with an authority: who is let in, who is not, and who is put out, told in virtual time."""

from __future__ import annotations

from gossip.core.events import EventKind
from gossip.core.types import Status
from sim.chance import derive_bytes
from sim.host import Host
from sim.notary import StandIn
from sim.world import World
from tests.world import CONVERGENCE, all_see, cluster


def ban(world: World, by: Host, subject: Host) -> None:
    """As `gossip evict --ban` at that agent."""
    assert world.authority is not None
    fact = world.authority.ban(subject.id, version=5, name=subject.name, reason="stolen")
    by.do(lambda node, now: node.ban(fact.raw, now))


def test_a_cluster_of_invited_nodes_comes_up_and_comes_back_as_a_whole() -> None:
    world = cluster(8, invited_only=True)
    for host in world.hosts:
        world.crash(host)
    for host in world.hosts:
        world.restart(host)
    world.run_until(world.converged, CONVERGENCE)


def test_whoever_has_only_the_clusters_key_is_seen_by_nobody() -> None:
    world = cluster(5, invited_only=True)
    thief = world.add("thief", invited=False)
    world.run(30)
    assert all_see(world, thief, None)
    assert all(host.node.counters["unwarranted"] for host in world.hosts[:1])
    told = [event for _, event in world.hosts[0].events if event.kind is EventKind.MEMBER_REFUSED]
    assert {event.name for event in told} == {"thief"}
    assert world.converged(world.hosts[:5])


def test_an_invitation_that_two_use_at_one_time_lets_in_the_same_one_everywhere() -> None:
    """At two seeds, before either has heard of the other: in the end all hold one of them."""
    for seed in range(6):
        world = cluster(6, seed=seed, invited_only=True)
        assert world.authority is not None
        twins = [world.add(seeds=[world.hosts[number]], start=False) for number in (0, 3)]
        for twin in twins:
            node = StandIn(twin.disk.secret, world._archive).id
            twin.disk.warrant = world.authority.invite(node, derive_bytes(seed, "one token"))
        for twin in twins:
            world.start(twin)
        first = min(twins, key=lambda twin: (twin.disk.birth, twin.id))
        world.run(20)
        alive = [
            [twin.name for twin in twins if host.sees(twin.id) is Status.ALIVE] for host in world.hosts[:6]
        ]
        assert alive == [[first.name]] * 6, "the one that was born first, or has the smaller id"


def test_a_banned_member_is_put_out_everywhere_and_stays_out() -> None:
    world = cluster(8, invited_only=True)
    bad = world.hosts[5]
    bad.register("web", 80)
    world.run(1)
    ban(world, world.hosts[2], bad)
    world.run(1)
    assert all_see(world, bad, Status.LEFT)
    others = [host for host in world.hosts if host is not bad]
    assert not any(host.node.catalog.lookup("web") for host in others)
    world.restart(bad)
    world.run(20)
    assert all_see(world, bad, Status.LEFT)
    assert world.converged(others)
    for host in others:
        world.restart(host)
    world.run(30)
    assert all_see(world, bad, None), "after a restart of all they know nothing of it but the ban"
    assert world.converged(others)


def test_who_was_away_when_a_ban_was_made_learns_of_it() -> None:
    world = cluster(6, invited_only=True)
    bad, *away = world.hosts[3:]
    world.partition([away])
    ban(world, world.hosts[0], bad)
    world.run(5)
    assert not any(bad.id in host.node.members.bans for host in away)
    world.heal()
    world.run_until(lambda: all(bad.id in host.node.members.bans for host in away), 90)
    assert all_see(world, bad, Status.LEFT, Status.DEAD)
    late = world.add("late")
    world.run(10)
    assert bad.id in late.node.members.bans
    assert world.converged([host for host in world.hosts if host is not bad])


def test_a_ban_in_a_cluster_that_admits_anybody() -> None:
    world = World()
    authority = world.establish()
    world.grow(5)
    world.run_until(world.converged, CONVERGENCE)
    bad = world.hosts[4]
    fact = authority.ban(bad.id, version=5)
    world.hosts[0].do(lambda node, now: node.ban(fact.raw, now))
    world.run(2)
    assert all_see(world, bad, Status.LEFT)
    stranger = world.add("anybody", invited=False)
    world.run(10)
    assert all_see(world, stranger, Status.ALIVE, None)
    assert world.converged([host for host in world.hosts if host is not bad])
