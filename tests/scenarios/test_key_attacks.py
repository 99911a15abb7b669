"""Who tries to get at a key that he is not to have, or in the way of a change of keys."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest

from gossip.core.handover import IDLE_MAX, signed_part
from gossip.core.keys import KeyState
from gossip.core.messages import Hello, KeyGrant
from gossip.core.records import KEY_MARK_BYTES, Ban, MemberRecord
from gossip.core.types import Address, Status
from gossip.errors import RemoteProtocolError
from gossip.wire.keyring import Key, KeyRing, mark_of
from gossip.wire.locksmith import RingLocksmith
from gossip.wire.sealing import RingSealer
from sim.chance import derive_bytes
from sim.host import Host
from sim.keys import RealSafe, marks, real
from sim.notary import StandIn
from sim.world import World
from tests.scenarios.test_admission import ban
from tests.scenarios.test_keys import NEXT, ring, rotate
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
    banned, naive = cut[3], cut[:3]
    world.partition([rest, cut])
    world.run(20)
    ban(world, rest[0], banned)
    world.run(2)
    rotate(world, rest[0])
    world.run_until(has(rest), 20)
    world.heal()
    for step in range(1_500):
        member = banned.node.members.get(naive[step % 3].id)
        if member is not None:
            banned.node._handover._wanted.free_at = 0.0
            banned.do(lambda node, now, m=member: node._handover.ask(m, NEXT, now))  # type: ignore[misc]
        world.run(0.004)
    assert banned.node.counters["key_not_granted"] > 10
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
    reads = RingSealer(real_safe(banned).ring, "sim", b"r" * 16, b"reader", lambda: None).open
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


class Minter:
    """Whoever hands out keys of its own making, each wrapped for the asker and signed as it should be."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.made = 0

    def grant(self, record: MemberRecord, mark: bytes = b"") -> KeyGrant:
        self.made += 1
        node, secret = self.host.node, derive_bytes(self.made, "minted")
        minted = KeyRing((Key(f"minted-{self.made}", secret, KeyState.RECEIVING),))
        locksmith = RingLocksmith(minted, self.host.disk.secret, node._ctx.notary.public_key, "sim")
        box = locksmith.wrap(mark_of(secret), record)
        name = f"minted-{self.made}"
        grant = KeyGrant(node._table.me.fact.raw, record.owner, mark or mark_of(secret), name, box, bytes(64))
        return msgspec.structs.replace(grant, signature=node._ctx.notary.sign(signed_part(grant)))

    def hand(self, stream: int, record: MemberRecord, mark: bytes) -> None:  # noqa: ARG002 - as the core has it
        sessions = self.host.node._sessions
        sessions.write(stream, self.grant(record))
        sessions.close(stream)


def begin_change(world: World, host: Host) -> None:
    """As the operator's command does it."""
    mark = real_safe(host).add("next", host.node.spare_keys(world.now))
    host.disk.keys = real_safe(host).save()
    host.do(lambda node, now: node.rotate(mark, now))


def names_of(host: Host) -> dict[str, str]:
    return {key.name: key.state.label for key in real_safe(host).ring.held()}


def test_keys_of_a_member_s_own_making_stand_in_no_real_one_s_way() -> None:
    """It has others ask it, by what they cannot read, until their rings are full."""
    world = World(1, keys=real(KEY), invited_only=True)
    world.grow(5)
    world.run_until(lambda: all(host.node.members.n == 5 for host in world.hosts), 30)
    world.run(3)
    rogue, others = world.hosts[4], world.hosts[:4]
    minter = Minter(rogue)
    rogue.node._handover._grant = minter.hand  # type: ignore[method-assign]
    flood(world, others, rogue, 100)
    assert minter.made > 4 * 4
    assert all(len(names_of(host)) >= 5 for host in others)
    for host in others:
        host.node._handover._unread.free_at = host.node._handover._wanted.free_at = 0.0
        for _ in range(8):
            host.node._handover._unread.free_at = 0.0
            flood(world, [host], rogue, 0.3)
        assert len(names_of(host)) == 8
    ban(world, others[0], rogue)
    world.run(3)
    begin_change(world, others[0])
    world.run_until(lambda: all(names_of(host).get("next") == "sending" for host in others), 30)


def test_who_is_not_let_in_hands_on_no_key() -> None:
    """It has the cluster's key and no invitation, and is where a member or a joiner calls."""
    world = World(1, keys=real(KEY), invited_only=True)
    world.grow(4)
    world.run_until(lambda: all(host.node.members.n == 4 for host in world.hosts), 30)
    thief = world.add("thief", invited=False)
    world.run(5)
    minter = Minter(thief)

    def received_hello(stream: int, hello: Hello, _source: Address, _now: float) -> None:
        record = thief.node._ctx.notary.parse(hello.record).body
        assert isinstance(record, MemberRecord)
        minter.hand(stream, record, b"")

    thief.node._admission.received_hello = received_hello  # type: ignore[assignment]
    victim = world.hosts[0]
    victim.do(lambda node, now: node.join([thief.spot], now))
    world.run(20)
    assert minter.made
    assert names_of(victim) == {"first": "sending"}
    assert victim.node.counters["key_refused"] == minter.made


def test_a_key_is_taken_only_from_whom_it_was_asked_of_and_only_the_one_that_was() -> None:
    world, _ = sealed_cluster(3)
    victim, first, second = world.hosts
    record = victim.node._table.me.record
    minter = Minter(first)
    take = victim.node._handover.granted
    other = b"\1" * KEY_MARK_BYTES
    victim.do(lambda _node, now: take(minter.grant(record), second.id, now))
    victim.do(lambda _node, now: take(minter.grant(record), first.id, now, asked=other))
    assert names_of(victim) == {"first": "sending"}
    assert victim.node.counters["key_refused"] == 2
    victim.do(lambda _node, now: take(minter.grant(record), first.id, now))
    assert names_of(victim) == {"first": "sending", "minted-3": "receiving"}


def test_bans_that_come_with_a_key_are_the_authority_s_or_nothing() -> None:
    world = World(1, keys=real(KEY), invited_only=True)
    world.grow(4)
    world.run_until(lambda: all(host.node.members.n == 4 for host in world.hosts), 30)
    victim, liar, accused = world.hosts[0], world.hosts[1], world.hosts[2]
    forged = liar.node._ctx.notary.issue(Ban(liar.id, 1, accused.id, accused.name, "")).raw
    other = accused.node._table.me.fact.raw
    grant = msgspec.structs.replace(Minter(liar).grant(victim.node._table.me.record), bans=(forged, other))
    victim.do(lambda node, now: node._handover.granted(grant, liar.id, now))
    assert not victim.node.members.bans
    assert victim.sees(accused.id) is Status.ALIVE
