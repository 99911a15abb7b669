"""Where streams pass and datagrams do not: scenario 13 for whole clusters, and for halves of one."""

from __future__ import annotations

from gossip.core.effects import Dial, Send, Write
from gossip.core.events import EventKind
from gossip.core.messages import Gossip, Ping, PingRequest
from gossip.core.types import Outcome, Status
from sim.links import MTU_MIN, link
from sim.world import LATENCY, World
from tests.core.rig import Peer, Rig
from tests.world import about, all_see, cluster

STREAMS_ONLY = link(LATENCY, mtu=MTU_MIN)
"""No datagram is as short as that."""


def failures(world: World) -> list[tuple[str, str]]:
    return [
        (host.name, other.name)
        for host in world.hosts
        for other in world.hosts
        if EventKind.MEMBER_FAILED in about(host, other)
    ]


def flagged(world: World) -> bool:
    """Whether every node holds every other for degraded."""
    return all(
        member.flags == ("degraded",)
        for host in world.running()
        for member in host.node.members
        if member.is_live and member.id != host.id
    )


def test_a_cluster_whose_datagrams_are_blocked_everywhere_works_over_streams() -> None:
    """Scenario 13: it joins, tells, leaves and finds the dead; nobody is accused who lives."""
    world = World()
    world.network.default = STREAMS_ONLY
    world.grow(8)
    world.run_until(lambda: world.converged() and flagged(world), limit=120)
    dialled = sum(host.node.counters["probe_indirect"] for host in world.hosts)
    world.run(100)
    dialled = sum(host.node.counters["probe_indirect"] for host in world.hosts) - dialled
    assert dialled <= 8 * 101, "at rest, one stream for each node and period"
    assert world.converged()

    a, b, *_, x, y = world.hosts
    a.register("web")
    world.run_until(lambda: all(host.lookup("web") == [a.name] for host in world.hosts), limit=2)
    b.node.send_event("deploy", b"7", world.now)
    world.leave(y, stop=False)
    world.run_until(lambda: all_see(world, y, Status.LEFT), limit=5)
    told = [
        host for host in world.running() if any(e.kind is EventKind.EVENT_RECEIVED for _, e in host.events)
    ]
    assert len(told) == 7
    assert failures(world) == []
    world.crash(y)
    world.crash(x)
    world.run_until(lambda: all_see(world, x, Status.DEAD), limit=60)
    assert {lost for _, lost in failures(world)} == {x.name}
    assert all(
        not member.flags
        for host in world.running()
        for member in host.node.members
        if member.status in {Status.DEAD, Status.LEFT}
    ), "who is dead answers over no stream either"


def test_halves_that_held_each_other_dead_meet_over_streams() -> None:
    """Scenario 76, when only streams pass again, and no seed would bring them together."""
    world = cluster(6)
    left, right = world.hosts[:3], world.hosts[3:]
    for host in world.hosts:
        world.restart(host, seeds=())
    world.run_until(world.converged, limit=60)
    world.run(10)
    world.partition([left, right])
    world.run_until(
        lambda: all(a.sees(b) is b.sees(a) is Status.DEAD for a in left for b in right), limit=200
    )
    for a in left:
        for b in right:
            world.set_link(a, b, STREAMS_ONLY)
            world.set_link(b, a, STREAMS_ONLY)
    world.heal()
    world.run_until(world.converged, limit=60)
    world.run(60)
    assert world.converged()
    assert all("degraded" in host.node.find(other.name).flags for host in left for other in right)


def test_every_other_knock_at_the_dead_is_over_a_stream() -> None:
    rig = Rig()
    *_, x = rig.members(4)
    x.acks = False
    rig.run_until(lambda: rig.status(x) is Status.DEAD)
    rig.run(20)
    rig.effects.clear()
    rig.run(200)
    dialled = {effect.stream for effect in rig.effects if isinstance(effect, Dial)}
    pings = [effect for effect in rig.effects if isinstance(effect, Write) and effect.stream in dialled]
    knocks = len(x.got(Ping))
    assert len(pings) == len(dialled) > 5
    assert knocks > len(pings)
    assert all(isinstance(ping.frame, Ping) and ping.frame.news for ping in pings), (
        "with what is held against it"
    )
    assert len(rig.node._sessions) <= 1


def test_a_degraded_member_is_told_much_at_once() -> None:
    """Scenario 13: over one stream in a tick, where others get up to eight packets."""
    rig = Rig()
    *_, x = rig.members(2)
    x.acks, x.stream = False, True
    rig.run_until(lambda: "degraded" in rig.member(x).flags)
    rig.run(30)
    facts = [rig.node.prepare_service(f"web-{n}", "web", "", 80, (), {}, 1) for n in range(30)]

    def publish(now: float) -> None:
        for fact in facts:
            rig.node.publish(fact, now)

    effects = rig.do(publish)
    (frame,) = [effect.frame for effect in effects if isinstance(effect, Write)]
    assert isinstance(frame, Gossip)
    assert sorted(frame.news) == sorted(fact.raw for fact in facts)
    x.heard.clear()
    rig.run(10)
    assert not any(ping.news for ping in x.got(Ping)), "what rides in a datagram would count as told"


def test_a_helper_looks_over_a_stream_before_it_says_that_a_member_refuses() -> None:
    """Scenario 13: a firewall refuses datagrams for it, in the sight of the prober and of its helpers."""
    rig = Rig()
    *others, x = rig.members(4)
    rig.run(10)
    x.acks, x.stream = False, True
    for peer in others:
        peer.helps = Outcome.REFUSED
    for number in range(20):
        rig.feed(PingRequest(number, others[0].id, x.id, x.address, 900), others[0])
        refuse_datagrams(rig, x, 1.3)
    assert rig.node.counters["accused"] == 0
    assert rig.member(x).flags == ("degraded",)


def refuse_datagrams(rig: Rig, peer: Peer, seconds: float) -> None:
    end = rig.now + seconds
    while rig.now < end:
        if any(isinstance(each, Send) and each.address == peer.address for each in rig.run(0.005)):
            rig.do(lambda now: rig.node.refused(peer.address, now))


def test_the_last_look_at_a_degraded_member_is_over_a_stream() -> None:
    """Scenario 13: others have accused it, and its answer was not heard; so it is not buried."""
    rig = Rig()
    a, b, *_, x = rig.members(4)
    rig.run(10)
    x.acks, x.stream = False, True
    rig.run_until(lambda: "degraded" in rig.member(x).flags)
    for accuser in (a, b):
        rig.hear(accuser, accuser.accuse(x))
    assert rig.status(x) is Status.SUSPECT
    rig.run_until(lambda: rig.status(x) is Status.ALIVE, limit=60)
    assert EventKind.MEMBER_FAILED not in [event.kind for _, event in rig.events]
    x.stream = False
    rig.run_until(lambda: rig.status(x) is Status.DEAD)
