"""Attacks by name, each with its outcome: whoever has the cluster's key, and whoever is a member, and lies.

Drawn at random and by the thousand they are in `sim.siege`.
"""

from __future__ import annotations

import msgspec
import pytest

from gossip.core.effects import Send
from gossip.core.events import EventKind
from gossip.core.messages import Ack, Gossip, Ping
from gossip.core.records import Accusation, Deletion, Fact, MemberRecord, ServiceRecord
from gossip.core.types import MAX_VERSION, Kind, Status
from sim.world import World
from tests.core.rig import INCARNATION, Peer, Rig
from tests.world import all_see, cluster, puppet, say


@pytest.fixture
def rig() -> Rig:
    return Rig()


def under_false_flag(rig: Rig, victim: Peer, liar: Peer, fact: Fact) -> Fact:
    """The liar's fact with the victim's name in it: the signature is the liar's."""
    body = fact.body
    content = msgspec.msgpack.encode(msgspec.structs.replace(body, owner=victim.id))
    return rig.notary.parse(fact.raw[:64] + content)


def test_a_forged_accuser_accuses_nobody(rig: Rig) -> None:
    """Scenario 84."""
    liar, victim, target = rig.members(3)
    rig.hear(liar, under_false_flag(rig, victim, liar, liar.accuse(target)))
    assert rig.status(target) is Status.ALIVE
    assert rig.node.counters["signature"] == 1


def test_a_forged_refutation_saves_nobody(rig: Rig) -> None:
    liar, accuser, dead = rig.members(3)
    dead.acks = False
    rig.hear(accuser, accuser.accuse(dead))
    assert rig.status(dead) is Status.SUSPECT
    refutation = dead.current.body
    assert isinstance(refutation, MemberRecord)
    content = msgspec.msgpack.encode(msgspec.structs.replace(refutation, version=dead.version + 1))
    rig.hear(liar, rig.notary.parse(liar.current.raw[:64] + content))
    assert rig.status(dead) is Status.SUSPECT
    rig.run(30)
    assert rig.status(dead) is Status.DEAD


def test_a_forged_service_or_deletion_changes_no_lookup(rig: Rig) -> None:
    liar, victim = rig.members(2)
    rig.hear(victim, victim.service("web", INCARNATION + 1))
    for body in (
        ServiceRecord(liar.id, INCARNATION + 2, "web", "web", "10.66.6.6", 80, (), {}, 1),
        Deletion(liar.id, INCARNATION + 3, "web"),
    ):
        rig.hear(liar, under_false_flag(rig, victim, liar, liar.notary.issue(body)))
    (instance,) = rig.node.catalog.lookup("web")
    assert (instance.owner, instance.port) == (victim.id, 80)
    assert instance.host != "10.66.6.6"
    assert rig.node.counters["signature"] == 2


def test_a_member_cannot_keep_another_under_suspicion(rig: Rig) -> None:
    """It refutes each time, and one accuser counts once in 20 periods against one life."""
    liar, victim, *_ = rig.members(6)
    suspected = 0
    for _ in range(40):
        rig.hear(liar, liar.accuse(victim))
        suspected += rig.status(victim) is Status.SUSPECT
        rig.hear(victim, victim.again())
        assert rig.status(victim) is Status.ALIVE
        rig.run(0.5)
    assert suspected <= 2
    assert rig.node.counters["accusation_rate"] >= 38


def test_a_member_cannot_accuse_everybody_at_once(rig: Rig) -> None:
    liar, *others = rig.members(12)
    rig.hear(liar, *[liar.accuse(other) for other in others])
    assert sum(rig.status(other) is Status.SUSPECT for other in others) == 3, "a burst of three"


def test_a_replay_changes_nothing() -> None:
    """Old records, leavings, accusations and services, at a node that has just started too."""
    world = cluster(5, seed=3)
    a, b, c, *_ = world.hosts
    heard = []
    service = b.register("web", 80)
    world.run(1)
    old = b.node.me.fact
    thief, core = puppet(world, *world.hosts)
    heard += [old, service, core.accuse(c)]
    b.deregister("web")
    world.leave(b)
    world.run(3)
    heard.append(b.node.me.fact if b.process else old)
    world.restart(b)
    world.run(10)
    world.restart(a)
    for _ in range(20):
        say(thief, *[_gossip(core.id, other.address, heard) for other in world.hosts[:5]])
        world.run(0.5)
    others = world.hosts[:5]
    assert all_see(world, b, Status.ALIVE)
    assert all_see(world, c, Status.ALIVE)
    assert not any(host.node.catalog.lookup("web", any=True) for host in others)


def _gossip(sender: bytes, address: tuple[str, int], facts: list[Fact]) -> Send:
    return Send(address, Gossip(sender, tuple(fact.raw for fact in facts)))


def test_the_clusters_key_alone_accuses_refutes_and_offers_nothing() -> None:
    """Stolen, without an invitation: whatever it makes up is not even listed."""
    world = cluster(6, invited_only=True)
    thief, core = puppet(world, *world.hosts)
    thief.disk.warrant = b""
    record = core.record(warrant=b"")
    facts = [record, core.service("web"), *[core.accuse(host) for host in world.hosts[:6]]]
    facts += [core.accuse(host, Kind.REFUSED) for host in world.hosts[:6]]
    for _ in range(10):
        say(thief, *[_gossip(b"u" * 16, host.address, facts) for host in world.hosts[:6]])
        world.run(1)
    honest = world.hosts[:6]
    assert world.converged(honest)
    for host in honest:
        assert host.sees(core.id) is None
        assert host.node.catalog.lookup("web", any=True) == []
        assert not [event for _, event in host.events if event.kind is EventKind.MEMBER_SUSPECTED]
        assert host.node.counters["accuser_unknown"] > 0


def test_phantom_members_end_and_leave_room() -> None:
    """Where everybody is let in, members that do not exist are probed, and buried like any other."""
    world = World(seed=4)
    world.establish()
    honest = world.grow(5)
    world.run(10)
    rogue = Rig(seed=77, archive=world._archive)
    facts = []
    for number in range(60):
        peer = rogue.peer(f"ghost-{number}", ("10.77.0.1", 1_000 + number))
        facts.append(peer.current)
    thief, _ = puppet(world, *honest)
    for start in range(0, 60, 5):
        news = facts[start : start + 5]
        say(thief, *[_gossip(b"u" * 16, host.address, news) for host in honest])
        world.run(0.2)
    # Each failed probe makes an honest node doubt itself, and probe more slowly: up to nine times.
    world.run(400)
    for host in honest:
        assert all(host.sees(other.id) in (None, Status.ALIVE) for other in honest)
        assert not any(member.name.startswith("ghost") and member.is_live for member in host.node.members)


def test_an_incarnation_at_the_end_of_all_numbers_is_only_its_owners_trouble(rig: Rig) -> None:
    liar, honest = rig.members(2)
    rig.hear(honest, liar.say(version=MAX_VERSION, floor=MAX_VERSION))
    assert rig.member(liar).incarnation == MAX_VERSION
    rig.hear(liar, liar.accuse(rig, incarnation=MAX_VERSION))
    assert rig.node.incarnation < INCARNATION + 10
    assert rig.node.counters["accusation_future"] == 1
    rig.hear(liar, liar.accuse(honest, incarnation=MAX_VERSION))
    assert rig.status(honest) is Status.ALIVE


def test_a_squatter_of_an_address_puts_nobody_out(rig: Rig) -> None:
    """Refusals at an address that two claim say nothing of either."""
    liar, victim, other = rig.members(3)
    rig.hear(other, liar.again(host=victim.address[0], port=victim.address[1]))
    assert "address_conflict" in rig.member(victim).flags
    rig.hear(other, liar.accuse(victim, Kind.REFUSED), other.accuse(victim, Kind.REFUSED))
    rig.run(20)
    assert rig.status(victim) is Status.ALIVE


def test_an_ack_in_another_s_name_saves_nobody(rig: Rig) -> None:
    """The sequence is random: who did not hear the ping cannot answer it."""
    liar, dead, *_ = rig.members(4)
    dead.acks = False

    def lie() -> None:
        for ping in rig.sent(Ping)[-3:]:
            guess = Ack(ping.seq ^ 1, dead.id, dead.address, rig.view, b"", ())
            rig.feed(guess, liar)
        rig.later(0.2, lie)

    rig.later(0.2, lie)
    rig.run_until(lambda: rig.status(dead) is Status.DEAD, 60)
    assert rig.node.counters["ack_unexpected"] > 0


def test_an_accusation_of_oneself_cannot_be_written(rig: Rig) -> None:
    liar, victim = rig.members(2)
    content = msgspec.msgpack.encode(Accusation(victim.id, victim.id, victim.version, 0))
    rig.feed(Gossip(liar.id, (bytes(64) + content,)), liar)
    assert rig.node.counters["malformed"] == 1
