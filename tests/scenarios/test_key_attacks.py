"""Who tries to get at a key that he is not to have, or in the way of a change of keys."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from gossip.core.handover import IDLE_MAX
from gossip.core.keys import holds, keys_of
from gossip.core.types import Status
from gossip.errors import RemoteProtocolError
from gossip.wire.sealing import RingSealer
from sim.chance import derive_bytes
from sim.host import Host
from sim.keys import RealSafe, marks, real
from sim.notary import StandIn
from sim.world import World
from tests.scenarios.test_admission import ban
from tests.scenarios.test_keys import NEXT, ring, rotate, safe
from tests.scenarios.test_sealed_attacks import KEY, Tap
from tests.scenarios.test_sealed_attacks import cluster as sealed_cluster


def invited(count: int, *, seed: int = 1) -> World:
    world = World(seed, codec=False, keys=marks(), invited_only=True)
    world.grow(count)
    world.run_until(lambda: all(host.node.members.n == count for host in world.hosts), 30)
    world.run(3)
    return world


def with_token(world: World, name: str, token: str, seed: Host) -> Host:
    """A node that uses an invitation which others may have, too."""
    assert world.authority is not None
    host = world.add(name, seeds=[seed], start=False)
    node = StandIn(host.disk.secret, world._archive).id
    host.disk.warrant = world.authority.invite(node, derive_bytes(1, token))
    world.start(host)
    return host


def has(hosts: list[Host], name: str = "next") -> Callable[[], bool]:
    return lambda: all(ring(host).get(name) == "sending" for host in hosts)


def test_a_used_invitation_lets_nobody_in_at_a_newcomer_either() -> None:
    """It was used by a node that is banned by now, or has left: the seed tells, since no record does."""
    world = invited(5)
    old = world.hosts[:5]
    stolen = with_token(world, "stolen", "token", old[0])
    left = with_token(world, "left", "another", old[0])
    world.run(70)
    assert old[1].sees(stolen.id) is Status.ALIVE
    ban(world, old[0], stolen)
    left.do(lambda node, now: node.leave(now))
    world.run(3)
    world.crash(stolen, machine=True)
    late = world.add("late", seeds=[old[2]])
    world.run(10)
    later = world.add("later", seeds=[late])
    world.run(10)
    thieves = [with_token(world, "thief", "token", later), with_token(world, "heir", "another", later)]
    world.run(20)
    hosts = [*old, late, later]
    assert all(host.sees(thief.id) is None for host in hosts for thief in thieves)
    rotate(world, old[1])
    world.run_until(has(hosts), 60)
    assert all("next" not in ring(thief) for thief in thieves)


def test_who_is_refused_everywhere_is_handed_no_key_though_it_was_seen_once() -> None:
    """Of two that used one invitation at one time, one was displaced, and its tombstone stays a while."""
    world = invited(6)
    honest = world.hosts[:6]
    twins = [with_token(world, f"twin{at}", "one token", honest[at]) for at in (0, 3)]
    world.run(20)
    loser = max(twins, key=lambda twin: (twin.disk.birth, twin.id))
    assert any(host.sees(loser.id) is Status.LEFT for host in honest)
    rotate(world, honest[1])
    world.run(10)
    for member in list(loser.node.members):
        loser.do(lambda node, now, member=member: node._handover.ask(member, NEXT, now))  # type: ignore[misc]
        world.run(0.5)
    assert ring(loser) == {"first": "sending"}
    assert all("next" in ring(host) for host in honest)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_banned_get_no_key_from_those_that_were_cut_off_with_them(seed: int) -> None:
    """They know nothing of the ban when they take the key, and are asked at once, and again and again."""
    world = invited(9, seed=seed)
    rest, cut = world.hosts[:5], world.hosts[5:]
    banned, naive = cut[3], {host.id for host in cut[:3]}
    world.partition([rest, cut])
    world.run(20)
    ban(world, rest[0], banned)
    world.run(2)
    rotate(world, rest[0])
    world.run_until(has(rest), 20)
    world.heal()
    asked = 0
    for _ in range(1_500):
        own = {key.mark for key in safe(banned).held()}
        for member in list(banned.node.members):
            record = keys_of(member)
            for mark in [] if record is None else [mark for mark, _ in record.keys if mark not in own]:
                if member.id in naive and holds(member, mark):
                    asked += 1
                    banned.node._handover._wanted.free_at = 0.0
                    banned.do(lambda node, now, m=member, k=mark: node._handover.ask(m, k, now))  # type: ignore[misc]
        world.run(0.004)
    assert asked
    assert "next" not in ring(banned)
    assert all("next" in ring(host) for host in cut[:3])


def flood(world: World, hosts: list[Host], named: Host, seconds: float) -> None:
    """Give each, ten times a second, what nobody can read, as if it came from that member."""
    rng = random.Random(1)
    for _ in range(int(10 * seconds)):
        for host in hosts:
            ring = real_safe(host).ring
            unused = next(number for number in range(1, 256) if ring.by_id(number) is None)
            assert host.process is not None
            host.process.arrive(named.address, bytes((1, unused)) + rng.randbytes(64), 66)
        world.run(0.1)


def real_safe(host: Host) -> RealSafe:
    found = host.agent.safe
    assert isinstance(found, RealSafe)
    return found


@pytest.mark.parametrize("is_away", [True, False])
def test_an_outsider_cannot_hold_up_a_change_by_what_nobody_can_read(is_away: bool) -> None:
    """It has the node ask the member that it names for a key: apart from what the change asks for."""
    world, _ = sealed_cluster(5)
    named, others = world.hosts[4], world.hosts[:4]
    if is_away:
        world.crash(named, machine=True)
        world.run(20)
    flood(world, others, named, 3)
    mark = real_safe(others[0]).add("next")
    others[0].disk.keys = real_safe(others[0]).save()
    others[0].do(lambda node, now: node.rotate(mark, now))
    flood(world, others, named, 5)
    for host in others:
        assert [key.state.label for key in real_safe(host).ring.held()] == ["receiving", "sending"]


def test_nor_have_keys_wrapped_as_often_as_it_likes() -> None:
    world, _ = sealed_cluster(5)
    named = world.hosts[4]
    flood(world, world.hosts[:4], named, 60)
    assert 4 <= named.node.counters["keys_granted"] <= 4 * (5 + 60 // IDLE_MAX)


def test_a_banned_member_that_goes_on_recording_reads_nothing_after_the_change() -> None:
    """With real keys and real bytes: it has all that was ever sent, and every key that it was given."""
    world = World(1, keys=real(KEY), invited_only=True)
    tap = Tap(world)
    world.grow(6)
    world.run_until(lambda: all(host.node.members.n == 6 for host in world.hosts), 30)
    world.run(3)
    banned, others = world.hosts[5], world.hosts[:5]
    reads = RingSealer(real_safe(banned).ring, "sim", b"r" * 16, lambda: None).open
    theirs = [data for source, _, data in tap.sent if source != banned.address]
    assert all(reads(data) for data in theirs[-50:]), "as long as it is a member it reads all"
    ban(world, others[0], banned)
    mark = real_safe(others[0]).add("next")
    others[0].disk.keys = real_safe(others[0]).save()
    others[0].do(lambda node, now: node.rotate(mark, now))
    world.run_until(
        lambda: all("next" in (key.name for key in real_safe(host).ring.held()) for host in others), 20
    )
    world.run(5)
    recorded = len(tap.sent)
    world.run(20)
    heard = [data for source, _, data in tap.sent[recorded:] if source != banned.address]
    assert len(heard) > 100
    for data in heard:
        with pytest.raises(RemoteProtocolError, match="sealed"):
            reads(data)
    assert [key.name for key in real_safe(banned).ring.held()] == ["first"]
