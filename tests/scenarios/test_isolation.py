"""Scenario 75 and the like: a node that hears nobody doubts itself, and keeps its view for a while."""

from __future__ import annotations

from functools import partial

import pytest
from msgspec.structs import replace

from gossip.core.events import EventKind
from gossip.core.params import LAN
from gossip.core.types import Outcome, Status
from tests.core.rig import Peer, Rig
from tests.world import all_see, cluster, none_sees

SOON = 30.0


def deaf(count: int, **changes: float) -> tuple[Rig, list[Peer]]:
    """A node whom nobody answers any more, nor anybody speaks to."""
    rig = Rig(params=replace(LAN, **changes))
    peers = rig.members(count)
    rig.run(10)
    for peer in peers:
        peer.acks, peer.helps = False, None
    return rig, peers


@pytest.mark.parametrize("count", [2, 3, 11])
def test_who_hears_nobody_of_several_judges_nobody_and_says_so(count: int) -> None:
    rig, peers = deaf(count)
    rig.run_until(lambda: "isolated" in rig.node.flags, SOON)
    rig.run(LAN.isolation - SOON)
    assert [rig.status(peer) for peer in peers] == [Status.ALIVE] * count
    assert rig.node.counters["accused"] == 0
    assert rig.node.counters["probe_unheard"] > 0
    assert rig.told(EventKind.ISOLATED) == [rig.node.name]


def test_but_not_for_ever() -> None:
    """Two that died together, of three, are not listed for good."""
    rig, peers = deaf(2)
    rig.run_until(lambda: all(rig.status(peer) is Status.DEAD for peer in peers), LAN.isolation + 300)
    assert rig.node.is_isolated


def test_who_knows_of_nobody_any_more_is_alone_and_not_isolated() -> None:
    """Its operator has evicted those that will not return."""
    rig, peers = deaf(2)
    rig.run_until(lambda: all(rig.status(peer) is Status.DEAD for peer in peers), LAN.isolation + 300)
    for peer in peers:
        assert rig.node.is_isolated
        rig.do(partial(rig.node.evict, peer.id))
    rig.run(2 * LAN.period)
    assert not rig.node.is_isolated
    assert rig.told(EventKind.RECONNECTED) == [rig.node.name]


def test_of_two_the_other_may_well_be_dead() -> None:
    rig, (x,) = deaf(1)
    rig.run_until(lambda: rig.status(x) is Status.DEAD, 4 * LAN.suspicion_max(2) + SOON)


def test_hosts_that_refuse_are_heard() -> None:
    """Whose machines answer that nobody is at home is dead, however few are left to agree."""
    rig, peers = deaf(3)
    for peer in peers:
        peer.refuses = True
    rig.run_until(
        lambda: all(rig.status(peer) is Status.DEAD for peer in peers), 10 * LAN.suspicion_max(4) + SOON
    )
    assert not rig.told(EventKind.ISOLATED)


def test_so_are_those_that_refuse_streams_only() -> None:
    """A firewall may keep ICMP back."""
    rig, peers = deaf(3)
    for peer in peers:
        peer.refuses = True
    rig._sent = lambda message, address: None  # type: ignore[method-assign]  # noqa: ARG005 - its names
    rig.run_until(
        lambda: all(rig.status(peer) is Status.DEAD for peer in peers), 10 * LAN.suspicion_max(4) + SOON
    )
    assert not rig.told(EventKind.ISOLATED)


def stop(rig: Rig, seconds: float) -> None:
    """The node's process does not run for so long."""
    rig._due.clear()
    rig.now += seconds
    rig.node.pulse(seconds, 0.0, False, 0, rig.now)
    rig.do(rig.node.tick)


def test_a_stop_while_nobody_is_heard_counts_once() -> None:
    rig, (*others, x) = deaf(4, suspicion_alpha=10.0)
    rig.hear(others[0], others[0].accuse(x))
    rig.run_until(lambda: "isolated" in rig.node.flags, 10 * SOON)
    since = rig.now
    rig.run(5)
    stop(rig, 60)
    rig.run(5)
    rig.hear(others[1])
    suspicion = rig.member(x).suspicion
    assert suspicion is not None
    assert suspicion.extended == pytest.approx(rig.now - since)


def test_who_was_stopped_with_all_others_is_not_isolated_when_it_goes_on() -> None:
    """As machines of one host are: what nobody has said meanwhile could not be heard."""
    world = cluster(3, seed=3)
    world.run(10)
    for host in world.hosts:
        world.pause(host)
    world.run(600)
    for host in world.hosts:
        world.resume(host)
    world.run(30)
    assert not any(host.told(EventKind.ISOLATED) for host in world.hosts)
    assert all(none_sees(world, host, Status.SUSPECT, Status.DEAD) for host in world.hosts)


def test_the_two_minutes_of_who_hears_nobody_do_not_run_while_it_is_stopped() -> None:
    rig, peers = deaf(3)
    rig.run_until(lambda: "isolated" in rig.node.flags, SOON)
    stop(rig, 2 * LAN.isolation)
    rig.run(LAN.isolation - 1)
    assert [rig.status(peer) for peer in peers] == [Status.ALIVE] * 3
    rig.run_until(lambda: any(rig.status(peer) is Status.DEAD for peer in peers), 300)


def test_a_suspicion_does_not_run_while_nobody_is_heard() -> None:
    """What others have said before counts again when they are heard, and not what was waited meanwhile."""
    rig, (*others, x) = deaf(4, suspicion_alpha=10.0)
    rig.hear(others[0], others[0].accuse(x))
    rig.run_until(lambda: "isolated" in rig.node.flags, 10 * SOON)
    rig.run(LAN.isolation - 1)
    assert rig.status(x) is Status.SUSPECT
    for peer in others:
        peer.acks, peer.helps = True, Outcome.SILENT
    rig.hear(others[1])
    assert "isolated" not in rig.node.flags
    assert rig.told(EventKind.RECONNECTED)
    rig.run(1)
    assert rig.status(x) is Status.SUSPECT
    rig.run_until(lambda: rig.status(x) is Status.DEAD, 2 * 6 * 10.0)


def test_who_is_alone_joins_those_who_look_for_who_was_here_before() -> None:
    """A new identity at an old address, whose seeds are gone: the last who knew the old one still knocks."""
    rig = Rig()
    stranger, former = rig.peer(), rig.peer()
    rig.feed(stranger.ping(former.id), stranger)
    assert stranger.address not in rig.node.remembered(), "anybody can have written that address"
    rig.run_until(lambda: rig.dials(stranger.address), 10)
    other = Rig()
    other.members(1)
    stranger, former = other.peer(), other.peer()
    other.feed(stranger.ping(former.id), stranger)
    other.run(10)
    assert not other.dials(stranger.address), "it has company"


@pytest.mark.parametrize("count", [3, 5, 12])
@pytest.mark.parametrize("ways", ["in", "out", "both"])
def test_one_that_is_cut_off_keeps_its_view_and_all_are_one_again(count: int, ways: str, seed: int) -> None:
    """Scenario 75: no inbound, no outbound, none at all, for longer than all patience but its own."""
    world = cluster(count, seed=seed)
    x, *others = world.hosts
    x.register("web")
    world.run(10)
    for other in others:
        if ways != "out":
            world.network.cut(other, x)
        if ways != "in":
            world.network.cut(x, other)
    world.run_until(lambda: all_see(world, x, Status.DEAD), limit=120)
    assert all(other.lookup("web") == [] for other in others)
    assert all(none_sees(world, other, Status.DEAD) for other in others)
    assert all(x.sees(other) is not Status.DEAD for other in others)
    world.network.heal()
    world.run_until(world.converged, limit=120)
    assert all(other.lookup("web") == [x.name] for other in others)
