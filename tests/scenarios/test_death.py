"""Deaths, departures and returns: nobody dies of hearsay, and nobody returns but by its own newer word."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gossip.core.events import EventKind
from gossip.core.intake import HEALING
from gossip.core.messages import Ack, Gossip, Ping
from gossip.core.params import LAN
from gossip.core.records import Accusation, Fact
from gossip.core.types import Kind, Phase, Status
from sim.world import World
from tests.core.rig import HOME, Peer, Rig
from tests.world import about, all_see, cluster, none_sees

LONG = 90.0
"""Seconds in which every suspicion in a small cluster has ended."""


def kill(rig: Rig, victim: Peer, *accusers: Peer) -> None:
    """Have the node bury `victim`, which answers nothing any more, on the word of these."""
    victim.acks = False
    for accuser in accusers:
        rig.hear(accuser, accuser.accuse(victim))
    rig.run_until(lambda: rig.status(victim) is Status.DEAD, LONG)


def facts(rig: Rig, raws: list[bytes]) -> list[Fact]:
    return [rig.notary.parse(raw) for raw in raws]


def charges(rig: Rig, raws: list[bytes], subject: Peer) -> list[Fact]:
    """Those of these facts that accuse `subject`."""
    return [
        fact
        for fact in facts(rig, raws)
        if isinstance(fact.body, Accusation) and fact.body.subject == subject.id
    ]


def test_an_accusation_of_an_unknown_node_is_ignored_and_adds_nobody() -> None:
    """Scenario 43."""
    rig = Rig()
    (a,) = rig.members(1)
    stranger = rig.peer()
    rig.hear(a, a.accuse(stranger))
    assert rig.status(stranger) is None
    assert rig.node.queue == 0
    assert rig.about(stranger) == []


@pytest.mark.parametrize("order", [1, -1], ids=["record first", "accusation first"])
def test_an_accusation_that_comes_with_the_record_adds_a_suspect(order: int) -> None:
    """Scenario 43, our rule: in whichever order the two stand in the packet."""
    rig = Rig()
    (a,) = rig.members(1)
    stranger = rig.peer()
    rig.hear(a, *[stranger.current, a.accuse(stranger)][::order])
    assert rig.status(stranger) is Status.SUSPECT


def test_accusations_kill_only_after_the_clock_and_a_last_look_of_ones_own() -> None:
    """Scenario 44."""
    rig = Rig()
    a, b, c = rig.members(3)
    c.acks = False
    rig.hear(a, a.accuse(c))
    rig.hear(b, b.accuse(c))
    assert rig.status(c) is Status.SUSPECT
    begun = rig.now
    rig.run(LAN.suspicion_min(4) - 0.01)
    assert rig.status(c) is Status.SUSPECT
    rig.run_until(lambda: rig.status(c) is Status.DEAD, LONG)
    assert LAN.suspicion_min(4) < rig.now - begun <= LAN.suspicion_max(4) + LAN.direct_max * 9
    last = c.got(Ping)[-1]
    assert {fact.body.owner for fact in charges(rig, list(last.news), c)} >= {a.id, b.id}
    assert rig.about(c) == [EventKind.MEMBER_JOINED, EventKind.MEMBER_SUSPECTED, EventKind.MEMBER_FAILED]


def test_whoever_answers_the_last_look_is_not_buried() -> None:
    """Scenario 44: the accusers alone kill nobody."""
    rig = Rig(params=replace(LAN, stream_probe=False))
    a, b, c = rig.members(3)
    rig.hear(a, a.accuse(c))
    rig.hear(b, b.accuse(c))
    rig.run(LONG)
    assert rig.status(c) is Status.ALIVE
    assert EventKind.MEMBER_FAILED not in rig.about(c)


def test_a_burial_is_told_as_giving_up_which_buries_nobody_elsewhere() -> None:
    """Scenario 44: what goes out is one more accusation, where more are of use than there were."""
    rig = Rig(params=replace(LAN, suspicion_k=3))
    a, b, c, *_ = rig.members(60)
    c.acks = False
    rig.hear(a, a.accuse(c, Kind.REFUSED))
    rig.hear(b, b.accuse(c, Kind.REFUSED))
    rig.run_until(lambda: rig.status(c) is Status.DEAD, 3 * LAN.direct_max + 0.1)
    own = rig.member(c).accusations[rig.id]
    assert isinstance(own.body, Accusation)
    assert own.body.kind == Kind.GAVE_UP
    rig.run(1)
    assert any(own.raw in peer.got_news() for peer in rig.peers if peer is not c)

    other = Rig()
    other.members(60)
    other.hear(other.peers[0], other.peers[0].accuse(other.peers[2], Kind.GAVE_UP))
    assert other.status(other.peers[2]) is Status.SUSPECT


def test_a_death_is_one_event_however_many_accuse_afterwards() -> None:
    """Scenario 45."""
    rig = Rig()
    a, b, c, d = rig.members(4)
    kill(rig, d, a)
    before = rig.node.queue
    for accuser in (a, b, c, a):
        rig.hear(accuser, accuser.accuse(d))
    rig.run(LONG)
    assert rig.about(d).count(EventKind.MEMBER_FAILED) == 1
    assert rig.about(d).count(EventKind.MEMBER_SUSPECTED) == 1
    assert rig.node.queue <= before


@pytest.mark.parametrize("status", [Status.ALIVE, Status.DEAD])
def test_an_accusation_of_an_old_incarnation_is_ignored(status: Status) -> None:
    """Scenario 46."""
    rig = Rig()
    a, b, c = rig.members(3)
    rig.hear(c, c.again())
    if status is Status.DEAD:
        kill(rig, c, a)
    rig.quieten()
    rig.hear(b, b.accuse(c, incarnation=c.version - 1))
    assert rig.status(c) is status
    assert rig.node.queue == 0
    assert b.id not in rig.member(c).accusations


@pytest.mark.parametrize("age", [0, 1])
def test_a_late_record_of_the_same_or_an_older_incarnation_revives_nobody(age: int) -> None:
    """Scenario 47: a replay."""
    rig = Rig()
    a, b, c = rig.members(3)
    old = c.current
    rig.hear(c, c.again())
    late = [c.current, old][age]
    kill(rig, c, a, b)
    rig.quieten()
    rig.hear(b, late)
    rig.hear(c, late)
    assert rig.status(c) is Status.DEAD
    rig.hear(c, c.again())
    assert rig.status(c) is Status.ALIVE
    assert rig.about(c)[-2:] == [EventKind.MEMBER_FAILED, EventKind.MEMBER_JOINED]


def test_who_is_accused_while_it_runs_refutes_at_once() -> None:
    """Scenario 48."""
    rig = Rig()
    a, b, c = rig.members(3)
    before = rig.node.incarnation
    rig.hear(a, a.accuse(rig))
    assert rig.node.incarnation > before
    assert rig.node.health == 1
    rig.run(LAN.eager_quiet)
    for peer in (a, b, c):
        assert rig.node.me.fact.raw in peer.got_news()


def test_who_is_accused_while_it_leaves_goes_on_leaving() -> None:
    """Scenario 48."""
    rig = Rig()
    a, b, _ = rig.members(3)
    rig.do(rig.node.leave)
    left = rig.node.incarnation
    rig.hear(a, a.accuse(rig))
    rig.hear(b, b.accuse(rig, incarnation=left))
    assert rig.node.incarnation == left
    assert rig.node.me.record.phase == Phase.LEAVING
    assert rig.node.health == 0


def test_a_record_of_my_own_life_does_not_stop_me_from_leaving() -> None:
    """Scenario 48: a former life's newer word is answered by leaving above it."""
    rig = Rig()
    a, *_ = rig.members(3)
    rig.do(rig.node.leave)
    old = rig.node.me.record
    newer = rig.notary.issue(replace(old, version=old.version + 5, phase=int(Phase.RUNNING), boot=7))
    rig.hear(a, newer)
    assert rig.node.incarnation > old.version + 5
    assert rig.node.me.record.phase == Phase.LEAVING


@pytest.mark.parametrize("status", [Status.ALIVE, Status.SUSPECT, Status.DEAD])
def test_who_says_so_itself_has_left_whatever_was_held_of_it(status: Status) -> None:
    """Scenario 49: also after its death, so that it does not stay failed for a day."""
    rig = Rig()
    a, _, c = rig.members(3)
    if status is Status.DEAD:
        kill(rig, c, a)
    elif status is Status.SUSPECT:
        rig.hear(a, a.accuse(c))
    rig.hear(c, c.again(phase=int(Phase.LEAVING)))
    assert rig.status(c) is Status.LEFT
    assert rig.about(c)[-1] is EventKind.MEMBER_LEFT
    rig.run(LONG)
    assert rig.about(c).count(EventKind.MEMBER_FAILED) == (status is Status.DEAD)
    assert rig.about(c).count(EventKind.MEMBER_LEFT) == 1


def test_of_one_incarnation_a_leaving_record_wins_whichever_came_first() -> None:
    """Scenario 49: two copies of one key may say both; all the others hold the same in the end."""
    held = []
    for turn in (1, -1):
        rig = Rig()
        (a,) = rig.members(1)
        twin = rig.peer()
        for word in [twin.say(phase=int(phase)) for phase in (Phase.RUNNING, Phase.LEAVING)][::turn]:
            rig.hear(a, word)
        held.append((rig.status(twin), rig.member(twin).fact.raw))
    assert held[0] == held[1]
    assert held[0][0] is Status.LEFT


def test_leaving_tells_several_peers_once_each_and_is_done_when_they_are_told() -> None:
    """Scenario 50."""
    rig = Rig()
    peers = rig.members(40)
    begun = rig.now
    rig.do(rig.node.leave)
    rig.run_until(lambda: rig.told(EventKind.LEAVE_DONE), 5)
    assert rig.now - begun < 2.0
    word = rig.node.me.fact.raw
    told = [sum(word in gossip.news for gossip in peer.got(Gossip)) for peer in peers]
    assert max(told) == 1
    assert sum(told) == LAN.send_limit(41)


def test_leaving_alone_is_done_at_once() -> None:
    """Scenario 50."""
    rig = Rig()
    rig.do(rig.node.leave)
    assert rig.run_until(lambda: rig.told(EventKind.LEAVE_DONE), 5) < LAN.gossip_interval + 0.01


def test_leaving_ends_in_time_though_the_queue_is_full() -> None:
    """Scenario 50: it gives up waiting, and says so once."""
    rig = Rig(params=replace(LAN, gossip_interval=60.0, eager_budget=0))
    rig.members(5)
    rig.do(rig.node.leave)
    took = rig.run_until(lambda: rig.told(EventKind.LEAVE_DONE), 10)
    assert took == pytest.approx(2.0, abs=0.01)
    rig.run(10)
    assert len(rig.told(EventKind.LEAVE_DONE)) == 1


def test_who_left_can_join_again_in_the_same_process() -> None:
    """Scenario 51."""
    world = cluster(4)
    a, b = world.hosts[:2]
    world.leave(b, stop=False)
    world.run_until(lambda: all_see(world, b, Status.LEFT), limit=5)
    world.run(5)
    b.join(a)
    world.run_until(lambda: all_see(world, b, Status.ALIVE), limit=10)
    world.run(LONG)
    assert world.converged()
    assert about(a, b) == [EventKind.MEMBER_JOINED, EventKind.MEMBER_LEFT, EventKind.MEMBER_JOINED]


def test_who_left_can_return_at_another_address_with_other_tags_under_the_same_name() -> None:
    """Scenario 51."""
    world = cluster(4)
    a, b = world.hosts[:2]
    world.leave(b)
    world.run_until(lambda: all_see(world, b, Status.LEFT), limit=5)
    b.tags = {"role": "db"}
    world.restart(b, address="new")
    world.run_until(world.converged, limit=10)
    member = a.node.members.get(b.id)
    assert member is not None
    assert (member.name, member.record.tags, member.address) == (b.name, {"role": "db"}, b.address)
    assert member.flags == ()


def test_who_is_told_that_it_is_dead_refutes_even_to_one_that_it_holds_dead_itself() -> None:
    """Scenario 52: two halves of a healed cluster hold each other dead."""
    rig = Rig()
    a, b, c = rig.members(3)
    kill(rig, c, a, b)
    rig.quieten()
    before = rig.node.incarnation
    rig.hear(c, c.accuse(rig))
    assert rig.node.incarnation > before
    assert rig.node.me.fact.raw in a.got_news()


@pytest.mark.parametrize(
    ("dead", "later", "told"), [(4, 0.0, True), (1, 0.0, False), (4, HEALING + 1, False)]
)
def test_the_return_of_one_of_many_dead_is_told_at_once(dead: int, later: float, told: bool) -> None:
    """Scenario 51: a partition has healed, and all that it parted come back. A single one can wait."""
    rig = Rig(params=replace(LAN, reconnect_interval=1e9))
    peers = rig.members(9)
    lost, others = peers[:dead], peers[dead:]
    for x in lost:
        rig.node._roster.set_status(rig.member(x), Status.DEAD, EventKind.MEMBER_FAILED, rig.now)
    first, last = lost[0], lost[-1]
    if first is not last:
        for x in lost[:-1]:
            rig.hear(others[0], x.again())
        rig.run(later)
    rig.quieten()
    rig.run(LAN.gossip_interval)
    rig.quieten_peers()
    rig.hear(others[0], last.again())
    assert any(last.current.raw in peer.got_news() for peer in others) is told
    if not told:
        rig.run(2 * LAN.gossip_interval)
        assert any(last.current.raw in peer.got_news() for peer in others)


def test_two_that_hold_each_other_dead_do_not_answer_each_other_for_ever() -> None:
    """Scenario 52: at most one answer a period, and none once both are alive again."""
    world = cluster(2)
    a, b = world.hosts
    world.partition([[a], [b]])
    world.run_until(lambda: a.sees(b) is b.sees(a) is Status.DEAD, limit=LONG)
    world.heal()
    before = a.sent.messages + b.sent.messages
    took = world.run_until(world.converged, limit=60)
    assert a.sent.messages + b.sent.messages - before < 20 + 8 * took
    world.run(5)
    quiet = a.sent.count("Gossip") + b.sent.count("Gossip")
    world.run(20)
    assert a.sent.count("Gossip") + b.sent.count("Gossip") == quiet


def test_a_member_held_dead_hears_the_accusations_once_a_period_and_nothing_else() -> None:
    """Scenario 53."""
    rig = Rig(params=replace(LAN, reconnect_interval=1e9))
    a, b, c = rig.members(3)
    kill(rig, c, a, b)
    rig.run(10)
    c.heard.clear()
    for _ in range(5):
        rig.hear(c, c.service("web", 2_000))
    assert len(c.heard) == 1
    told = charges(rig, c.got_news(), c)
    assert {a.id, b.id} <= {fact.body.owner for fact in told}
    assert len(told) == len(c.got_news())
    rig.run(1.1)
    rig.hear(c, c.current)
    assert len(c.got(Gossip)) == 2


def test_a_ping_of_a_member_held_dead_is_acked_with_the_accusations() -> None:
    """Scenario 53."""
    rig = Rig()
    a, b, c = rig.members(3)
    rig.prove(c)
    kill(rig, c, a, b)
    c.heard.clear()
    rig.feed(c.ping(seq=77), c)
    (ack,) = c.got(Ack)
    assert {a.id, b.id} <= {fact.body.owner for fact in charges(rig, list(ack.news), c)}
    assert rig.status(c) is Status.DEAD


@pytest.mark.parametrize("end", [Status.DEAD, Status.LEFT])
def test_a_tombstone_keeps_its_member_out_until_it_expires(end: Status) -> None:
    """Scenario 54: and then nothing is held against a newcomer of that id."""
    rig = Rig(params=replace(LAN, retention=300.0))
    a, b, c = rig.members(3)
    last = c.current
    if end is Status.DEAD:
        kill(rig, c, a, b)
    else:
        rig.hear(c, c.again(phase=int(Phase.LEAVING)))
    rig.hear(a, last)
    assert rig.status(c) is end
    rig.run(290)
    rig.hear(a, last)
    assert rig.status(c) is end
    rig.run(100)
    assert rig.status(c) is None
    rig.hear(a, last)
    assert rig.status(c) is Status.ALIVE


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.RESTARTING])
def test_a_former_identity_of_this_very_host_is_never_learnt(phase: Phase) -> None:
    """Scenario 54: nobody but this node is at its address."""
    rig = Rig()
    (a,) = rig.members(1)
    former = rig.peer("me-before", HOME)
    rig.hear(a, former.say(phase=int(phase)))
    assert rig.status(former) is None
    assert rig.told(EventKind.MEMBER_JOINED) == [a.name]


def test_a_new_identity_at_the_address_of_a_dead_one_outlives_its_tombstone() -> None:
    """Scenario 55."""
    rig = Rig(params=replace(LAN, retention=120.0))
    a, b, c = rig.members(3)
    kill(rig, c, a, b)
    rig.run(60)
    renewed = Peer(rig, 99, c.name, c.address)
    rig.moved(c, ("10.9.9.9", 1))
    rig.moved(renewed, renewed.address)
    rig.hear(a, renewed.current)
    rig.run(200)
    assert rig.status(c) is None
    assert rig.status(renewed) is Status.ALIVE
    assert rig.member(renewed).flags == ()


def test_tombstones_are_bounded_and_the_short_lived_go_first() -> None:
    """Scenario 55: those without a disk first, then by the length of their life."""
    rig = Rig(params=replace(LAN, tombstones_max=2))
    a = rig.members(1)[0]
    long, short, passing = rig.peer(), rig.peer(), rig.peer()
    gone = int(Phase.LEAVING)
    rig.hear(a, long.again(phase=gone, birth=1), short.again(phase=gone, birth=short.version))
    rig.hear(a, passing.again(phase=gone, birth=1, ephemeral=True))
    rig.run(5)
    assert [rig.status(peer) for peer in (long, short, passing)] == [Status.LEFT, Status.LEFT, None]
    other = rig.peer()
    rig.hear(a, other.again(phase=gone, birth=1))
    rig.run(5)
    assert [rig.status(peer) for peer in (long, short, other)] == [Status.LEFT, None, Status.LEFT]


def test_a_crash_and_a_restart_as_somebody_else_at_the_same_address() -> None:
    """Scenario 56: before anybody noticed, the old one dies and the new one lives, in that order."""
    world = cluster(5)
    a, b = world.hosts[:2]
    old = b.id
    world.restart(b, identity="new")
    others = [host for host in world.hosts if host is not b]
    world.run_until(lambda: all(host.sees(old) is Status.DEAD for host in others), limit=LONG)
    world.run_until(world.converged, limit=LONG)
    flagged = EventKind.MEMBER_FLAGGED
    for host in others:
        assert [kind for kind in about(host, old) if kind is not flagged][-1] is EventKind.MEMBER_FAILED
        assert [kind for kind in about(host, b) if kind is not flagged] == [EventKind.MEMBER_JOINED]
        member = host.node.members.get(b.id)
        assert member is not None
        assert member.flags == ()
    assert b.sees(old) in (None, Status.DEAD)
    assert EventKind.MEMBER_JOINED not in about(b, old)
    assert a.node.find(b.name).id == b.id


def test_a_crash_and_a_restart_under_the_same_identity_are_hardly_noticed() -> None:
    """Scenario 56: the newer incarnation is the same member; nobody is buried."""
    world = cluster(5)
    b = world.hosts[1]
    world.restart(b)
    world.run_until(world.converged, limit=10)
    world.run(LONG)
    assert none_sees(world, b, Status.DEAD)
    for host in world.hosts:
        if host is not b:
            assert EventKind.MEMBER_FAILED not in about(host, b)


@pytest.mark.parametrize("down", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("count", [2, 5, 16])
def test_an_agent_that_is_back_within_the_grace_was_not_missed(count: int, down: float, seed: int) -> None:
    """Its port refuses meanwhile, and all may meet that; nobody says a word."""
    world = cluster(count, seed=seed)
    b = world.hosts[-1]
    world.run(5)
    for _ in range(5):
        known = {host.name: len(about(host, b)) for host in world.hosts}
        world.crash(b)
        world.run(down)
        world.restart(b)
        world.run(10)
        for host in world.hosts[:-1]:
            assert set(about(host, b)[known[host.name] :]) <= {EventKind.MEMBER_UPDATED}


@pytest.mark.parametrize("down", [0.8, 1.2, 2.0, 5.0])
@pytest.mark.parametrize("count", [3, 16])
def test_who_is_back_after_the_grace_is_not_thrown_out_any_more(count: int, down: float, seed: int) -> None:
    """Accusations and clocks of its former life are under way when it returns."""
    world = cluster(count, seed=seed)
    b = world.hosts[-1]
    world.run(5)
    for _ in range(5):
        world.crash(b)
        world.run(down)
        world.restart(b)
        world.run_until(lambda: all_see(world, b, Status.ALIVE), limit=5)
        known = {host.name: len(about(host, b)) for host in world.hosts}
        world.run(10)
        assert all_see(world, b, Status.ALIVE)
        for host in world.hosts[:-1]:
            later = about(host, b)[known[host.name] :]
            assert EventKind.MEMBER_FAILED not in later
            assert EventKind.MEMBER_SUSPECTED not in later


@pytest.mark.parametrize("count", [3, 5, 16])
def test_a_second_crash_is_seen_as_soon_as_the_first(count: int, seed: int) -> None:
    """A process that crashes in a loop: who accused its former life is heard about this one too."""
    world = cluster(count, seed=seed)
    b = world.hosts[-1]
    world.run(5)
    for _ in range(6):
        world.crash(b)
        world.run_until(lambda: all_see(world, b, Status.DEAD), limit=8)
        world.restart(b)
        world.run_until(world.converged, limit=30)
        world.run(4)
    assert sum(host.node.counters["accusation_rate"] for host in world.hosts) == 0


@pytest.mark.parametrize("anew", [True, False], ids=["restarted", "refuted"])
def test_an_accuser_is_heard_again_at_once_about_a_new_life_only(anew: bool) -> None:
    """Who refutes cannot be kept under suspicion by one accuser; who starts again can crash again."""
    rig = Rig()
    a, b, c = rig.members(3)
    rig.hear(a, a.accuse(c))
    rig.hear(b, c.again(boot=2) if anew else c.again())
    rig.hear(a, a.accuse(c))
    assert rig.status(c) is (Status.SUSPECT if anew else Status.ALIVE)
    assert rig.node.counters["accusation_rate"] == (0 if anew else 1)


def test_a_world_of_one_has_nobody_to_bury() -> None:
    """Scenario 43: with nobody there, nothing is accused and nothing sent but to seeds."""
    world = World()
    lone = world.add(seeds=())
    world.run(120)
    assert lone.node.counters["accused"] == 0
    assert lone.sent.messages == 0
