"""The members of the papers: each rule that they do not share with the shipped core."""

from __future__ import annotations

import math
import random

import pytest
from msgspec import structs

from gossip.core.messages import Ack, Gossip, Ping, PingRequest, Report
from gossip.core.records import Accusation
from gossip.core.types import Kind, NodeId, Status
from sim.host import Host
from sim.latency import Constant
from sim.notary import Archive, StandIn
from sim.papers.gate import BUFFER_BYTES, Gate
from sim.papers.peer import Peer, block, crowd, maker, peer_of, release
from sim.papers.rumours import Rumours
from sim.papers.variant import (
    Variant,
    decades,
    lha_suspicion,
    lifeguard,
    lifeguard_patience,
    memberlist,
    natural_logs,
    swim,
    swim_patience,
)
from sim.world import World


def world_of(variant: Variant, seed: int = 1) -> World:
    return World(seed, codec=False, latency=Constant(250), maker=maker(variant))


class Story:
    """What peers were watched doing."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, NodeId, NodeId, float]] = []

    def __call__(self, peer: Peer, what: str, subject: NodeId, now: float) -> None:
        self.lines.append((what, peer.id, subject, now))

    def of(self, what: str) -> list[tuple[NodeId, NodeId, float]]:
        return [(observer, subject, at) for word, observer, subject, at in self.lines if word == what]


def statuses(hosts: list[Host], subject: Host) -> set[Status]:
    members = [peer_of(host).table.get(subject.id) for host in hosts if host is not subject]
    return {member.status for member in members if member is not None}


# The queue


def ids(count: int) -> list[bytes]:
    return [bytes([number]) * 16 for number in range(count)]


def test_the_least_sent_leave_first_and_each_leaves_as_often_as_the_limit_says() -> None:
    rumours = Rumours(items=2, room=1_000, record=200, accusation=50)
    for subject in ids(3):
        rumours.add(subject, subject, record=False)
    sent = [raw for _ in range(6) for raw in rumours.take(limit=4)]
    assert {raw: sent.count(raw) for raw in ids(3)} == dict.fromkeys(ids(3), 4)
    assert [set(sent[:2]), set(sent[2:4])] != [set(sent[:2]), set(sent[:2])]
    assert len(rumours) == 0
    assert rumours.take(limit=4) == ()


def test_of_those_sent_equally_often_the_longer_leave_first_and_then_the_newest() -> None:
    a, b, c, d = ids(4)
    rumours = Rumours(items=3, room=1_000, record=200, accusation=50)
    rumours.add(a, b"old record", record=True)
    rumours.add(b, b"old word", record=False)
    rumours.add(c, b"new record", record=True)
    rumours.add(d, b"new word", record=False)
    assert rumours.take(limit=9) == (b"new record", b"old record", b"new word")
    assert rumours.take(limit=9)[0] == b"old word"


def test_newer_news_of_a_member_replaces_older_and_begins_anew() -> None:
    (a,) = ids(1)
    rumours = Rumours(items=9, room=1_000, record=200, accusation=50)
    rumours.add(a, b"suspect", record=False)
    assert rumours.take(limit=2) == (b"suspect",)
    rumours.add(a, b"alive", record=True)
    assert len(rumours) == 1
    assert [rumours.take(limit=2) for _ in range(3)] == [(b"alive",), (b"alive",), ()]


def test_a_message_carries_what_fits() -> None:
    rumours = Rumours(items=99, room=450, record=200, accusation=50)
    for number, subject in enumerate(ids(8)):
        rumours.add(subject, subject, record=number < 4)
    first = rumours.take(limit=9)
    assert [raw in ids(4) for raw in first] == [True, True, False]
    assert rumours.spent == 450
    assert len(rumours.take(limit=9, used=401)) == 0


class Plain:
    """The queue by its rule alone: sorted anew for every message."""

    def __init__(self) -> None:
        self.held: list[tuple[int, int, int, bytes, bytes]] = []
        """(sends, -cost, -when it came to that tier, subject, raw)."""
        self.moment = 0

    def drop(self, subject: bytes) -> None:
        self.held = [entry for entry in self.held if entry[3] != subject]

    def add(self, subject: bytes, raw: bytes, cost: int) -> None:
        self.drop(subject)
        self.moment += 1
        self.held.append((0, -cost, -self.moment, subject, raw))

    def take(self, limit: int, room: int, items: int) -> list[bytes]:
        chosen: list[tuple[int, int, int, bytes, bytes]] = []
        for entry in sorted(self.held):
            if len(chosen) < items and room + entry[1] >= 0:
                room += entry[1]
                chosen.append(entry)
        for sends, cost, _, subject, raw in reversed(chosen):
            self.drop(subject)
            self.moment += 1
            if sends + 1 < limit:
                self.held.append((sends + 1, cost, -self.moment, subject, raw))
        return [entry[4] for entry in chosen]


@pytest.mark.parametrize(("room", "items"), [(500, 6), (2_000, 40), (900, 255)])
def test_the_queue_gives_what_its_rule_says_whatever_is_asked_of_it(room: int, items: int) -> None:
    rng = random.Random(5)
    rumours, plain = Rumours(items, room, record=200, accusation=50), Plain()
    for step in range(3_000):
        subject = bytes([rng.randrange(12)]) * 16
        if rng.random() < 0.4:
            raw, record = subject + step.to_bytes(4, "big"), rng.random() < 0.3
            rumours.add(subject, raw, record=record)
            plain.add(subject, raw, 200 if record else 50)
        elif rng.random() < 0.1:
            rumours.drop(subject)
            plain.drop(subject)
        else:
            assert list(rumours.take(limit=5)) == plain.take(5, room, items)
            assert rumours.spent <= room
        assert len(rumours) == len(plain.held)


# Settings


@pytest.mark.parametrize(
    ("n", "decimal", "natural"), [(1, 4, 3), (9, 4, 9), (10, 8, 9), (99, 8, 15), (128, 12, 15)]
)
def test_send_limits_are_those_of_memberlist_and_of_swim(n: int, decimal: int, natural: int) -> None:
    assert decades(4)(n) == decimal == 4 * math.ceil(math.log10(n + 1))
    assert natural_logs(3)(n) == natural == 3 * math.ceil(math.log(n + 1))


def test_patience_is_as_published() -> None:
    fixed, dynamic = lifeguard_patience(5, 1, 3), lifeguard_patience(5, 6, 3)
    assert fixed(128, 0) == fixed(128, 3) == pytest.approx(10.536, abs=1e-3)
    assert dynamic(128, 0) == pytest.approx(63.2, abs=0.02)
    assert dynamic(128, 3) == fixed(128, 0)
    assert dynamic(128, 3) < dynamic(128, 2) < dynamic(128, 1) < dynamic(128, 0)
    steps = [swim_patience(2.0)(n, 0) / 2.0 for n in (19, 20, 53, 54)]
    assert steps == [9, 12, 12, 15], "periods, by SWIM's figure 3c"


# SWIM


def test_idle_members_send_two_messages_a_period() -> None:
    world = world_of(swim())
    hosts = crowd(world, 20)
    world.run(20.0)
    before = sum(host.sent.messages for host in hosts)
    world.run(40.0)
    sent = sum(host.sent.messages for host in hosts) - before
    assert sent == 2 * 20 * 20
    assert sum(peer_of(host).probing.probes for host in hosts) == pytest.approx(20 * 30, abs=20)


@pytest.mark.parametrize("variant", [swim(), swim(suspicion=False), swim(infection=False, suspicion=False)])
def test_a_crashed_member_is_found_and_everybody_learns_of_it(variant: Variant) -> None:
    world = world_of(variant)
    story = Story()
    hosts = crowd(world, 12, watch=story)
    world.run(5.0)
    world.crash(hosts[3], machine=True)
    rest = hosts[:3] + hosts[4:]
    world.run_until(lambda: statuses(rest, hosts[3]) == {Status.DEAD}, 2.0 * (2 * 12 + 12))
    assert {subject for _, subject, _ in story.of("dead")} == {hosts[3].id}
    assert len(story.of("dead")) == 11
    if variant.patience is not None:
        first = min(at for _, _, at in story.of("suspect"))
        verdict = min(at for _, _, at in story.of("dead"))
        assert verdict - first == pytest.approx(variant.patience(12, 0), abs=0.01)


def test_a_multicast_is_not_passed_on() -> None:
    """SWIM's Basic: who does not get the one message learns nothing, but by its own probe."""
    world = world_of(structs.replace(swim(infection=False, suspicion=False), immortal=True))
    hosts = crowd(world, 30)
    peer = peer_of(hosts[0])
    world.run(1.0)
    hosts[0].agent.call(peer.beliefs.announce)
    world.run(1.0)
    assert hosts[0].sent.count("Gossip") == 29
    assert sum(host.sent.count("Gossip") for host in hosts) == 29


def test_a_member_that_is_suspected_refutes_with_a_newer_incarnation() -> None:
    world = world_of(swim())
    story = Story()
    hosts = crowd(world, 12, watch=story)
    world.run(5.0)
    old = peer_of(hosts[5]).beliefs.incarnation
    hosts[0].agent.call(lambda now: peer_of(hosts[0]).beliefs.accuse(hosts[5].id, now))
    world.run_until(lambda: len(story.of("suspect")) > 3, 24.0)
    assert peer_of(hosts[5]).beliefs.incarnation == old
    world.run_until(lambda: story.of("refute"), 24.0)
    world.run_until(lambda: statuses(hosts, hosts[5]) == {Status.ALIVE}, 24.0)
    assert peer_of(hosts[5]).beliefs.incarnation == old + 1
    assert not story.of("dead")


def test_immortals_are_condemned_and_stay() -> None:
    variant = structs.replace(swim(suspicion=False, period=1.0), immortal=True)
    world = world_of(variant)
    story = Story()
    hosts = crowd(world, 6, watch=story)
    world.crash(hosts[0], machine=True)
    world.run(60.0)
    by_probe = [line for line in story.of("dead") if line[1] == hosts[0].id]
    assert len(by_probe) > 5 * 60 / 5 * 0.8
    assert all(peer_of(host).table.n == 6 for host in hosts[1:])


def test_a_helper_saves_a_member_whose_link_to_the_prober_is_cut() -> None:
    world = world_of(swim(helpers=2))
    story = Story()
    hosts = crowd(world, 5, watch=story)
    world.network.cut(hosts[0], hosts[1], both=True)
    world.run(60.0)
    assert not story.of("suspect")
    assert hosts[0].sent.count("PingRequest") > 0


# memberlist


def test_newcomers_join_through_a_seed_and_all_know_all() -> None:
    world = world_of(memberlist())
    first = world.add(seeds=())
    rest = [world.add(seeds=[first]) for _ in range(9)]
    hosts = [first, *rest]
    world.run_until(lambda: all(peer_of(host).table.n == 10 for host in hosts), 10.0)
    assert first.received.count("Page") == 9


def test_a_newcomer_asks_again_while_its_seed_is_down() -> None:
    world = world_of(memberlist())
    first = world.add(seeds=(), start=False)
    second = world.add(seeds=[first])
    world.run(7.0)
    assert peer_of(second).table.n == 1
    world.start(first)
    world.run_until(lambda: peer_of(second).table.n == 2, 6.0)


def test_push_pull_brings_what_gossip_did_not() -> None:
    world = world_of(structs.replace(memberlist(), push_pull=20.0, piggyback=False, gossip=None))
    hosts = crowd(world, 6)
    newcomer = world.add(seeds=[hosts[0]])
    world.run(0.1)
    assert peer_of(newcomer).table.n == 7
    assert sum(peer_of(host).table.n == 7 for host in hosts) == 1
    world.run_until(lambda: all(peer_of(host).table.n == 7 for host in hosts), 120.0)


def test_the_dead_of_a_view_are_suspected_not_believed_dead() -> None:
    world = world_of(memberlist())
    story = Story()
    hosts = crowd(world, 3, watch=story)
    world.run(1.0)
    peer, accused, third = (peer_of(host) for host in hosts)
    verdict = Accusation(third.id, accused.id, accused.beliefs.incarnation, int(Kind.GAVE_UP))
    fact = StandIn(hosts[2].disk.secret, Archive(world.cluster)).issue(verdict)
    hosts[0].agent.call(lambda now: peer.beliefs.given(fact, verdict, now))
    assert story.of("suspect")[0][:2] == (peer.id, accused.id)
    assert not story.of("dead")
    world.run_until(lambda: story.of("refute"), 2.0)
    world.run_until(lambda: statuses(hosts, hosts[1]) == {Status.ALIVE}, 2.0)


@pytest.mark.parametrize("variant", [memberlist(), lifeguard()])
def test_the_suspicion_of_a_view_confirms_in_memberlist_and_not_in_lifeguards_paper(variant: Variant) -> None:
    world = world_of(variant)
    hosts = crowd(world, 5)
    world.run(1.0)
    peer, accused, third, fourth = (peer_of(host) for host in hosts[:4])
    archive = Archive(world.cluster)
    for host, author in ((hosts[2], third), (hosts[3], fourth)):
        suspicion = Accusation(author.id, accused.id, accused.beliefs.incarnation, int(Kind.SILENT))
        fact = StandIn(host.disk.secret, archive).issue(suspicion)
        peer.beliefs.given(fact, suspicion, world.now)
    accusers = set(peer.beliefs.charges[accused.id].accusations)
    assert accusers == ({peer.id} if variant.hearsay_confirms else {third.id, fourth.id})


def test_the_dead_are_told_for_a_while_and_then_forgotten() -> None:
    variant = structs.replace(lifeguard(alpha=2.0, beta=1.0), dead_for=5.0)
    world = world_of(variant)
    hosts = crowd(world, 4)
    world.network.partition([[hosts[0]], hosts[1:]], hosts)
    world.run_until(lambda: statuses(hosts[1:], hosts[0]) == {Status.DEAD}, 30.0)
    world.run(7.0)
    assert all(peer_of(host).table.get(hosts[0].id) is None for host in hosts[1:])


def test_who_is_held_for_dead_is_told_and_comes_back() -> None:
    world = world_of(lifeguard(alpha=2.0, beta=1.0))
    hosts = crowd(world, 4)
    world.network.partition([[hosts[0]], hosts[1:]], hosts)
    world.run_until(lambda: statuses(hosts[1:], hosts[0]) == {Status.DEAD}, 30.0)
    world.heal()
    # What its own probes make of the heal is told with the next rumour; the dead are still told that.
    hosts[0].agent.call(peer_of(hosts[0]).beliefs.announce)
    world.run_until(lambda: Status.DEAD not in statuses(hosts, hosts[0]), 30.0)


# Lifeguard


def test_confirmations_shorten_a_suspicion() -> None:
    spans = []
    for variant in (lha_suspicion(), structs.replace(lha_suspicion(), confirmers=0)):
        world = world_of(variant)
        story = Story()
        hosts = crowd(world, 12, watch=story)
        world.run(2.0)
        world.crash(hosts[0], machine=True)
        world.run_until(lambda story=story: story.of("dead"), 90.0)  # type: ignore[misc] # a lambda with a default
        spans.append(min(at for _, _, at in story.of("dead")) - min(at for _, _, at in story.of("suspect")))
    shortest, longest = lifeguard_patience(5, 6, 3)(12, 3), lifeguard_patience(5, 6, 3)(12, 0)
    assert spans[0] < shortest + 12.0
    assert spans[1] == pytest.approx(longest, abs=0.5)


def test_helpers_say_that_they_heard_nothing() -> None:
    world = world_of(lifeguard())
    hosts = crowd(world, 6)
    world.run(2.0)
    world.crash(hosts[0], machine=True)
    world.run(8.0)
    asked = sum(host.sent.count("PingRequest") for host in hosts[1:])
    assert asked > 0
    reports = sum(host.sent.count("Report") for host in hosts[1:])
    assert reports >= asked - 3


def test_a_member_that_hears_nobody_stretches_its_probes() -> None:
    world = world_of(structs.replace(lifeguard(), immortal=True))
    hosts = crowd(world, 6)
    world.run(2.0)
    hosts[0].deaf = True
    world.run(60.0)
    deaf, well = peer_of(hosts[0]), peer_of(hosts[1])
    assert deaf.beliefs.health.score == 8
    assert well.beliefs.health.score < 8
    assert deaf.probing.probes < 0.5 * well.probing.probes


def test_a_buddy_tells_the_suspected_first() -> None:
    """With no gossip and no piggybacking, only the ping's own word reaches the suspected."""
    refutations = [_refutations(buddy=buddy) for buddy in (True, False)]
    assert refutations == [1, 0]


def _refutations(*, buddy: bool) -> int:
    variant = structs.replace(lifeguard(), gossip=None, piggyback=False, push_pull=None, buddy=buddy)
    world = world_of(variant)
    story = Story()
    hosts = crowd(world, 4, watch=story)
    accuser, accused = peer_of(hosts[0]), peer_of(hosts[1])
    hosts[0].agent.call(lambda now: accuser.beliefs.accuse(accused.id, now))
    world.run(8.0)
    return len(story.of("refute"))


# The gate


def test_a_closed_gate_keeps_everything_in_and_out() -> None:
    world = world_of(lifeguard())
    hosts = crowd(world, 8)
    world.run(5.0)
    block(hosts[:1])
    sent = hosts[0].sent.messages
    world.run(4.0)
    assert hosts[0].sent.messages == sent
    waiting = len(peer_of(hosts[0]).gate.inbox)
    assert waiting > 0
    release(hosts[:1])
    world.run(0.001)
    assert not peer_of(hosts[0]).gate.inbox
    assert hosts[0].sent.count("Ack") > 0
    assert hosts[0].sent.messages >= sent + waiting - 4


@pytest.mark.parametrize("seconds", [1.5, 4.0, 9.0])
def test_a_block_of_a_period_or_more_fails_exactly_one_probe(seconds: float) -> None:
    """The ping's deadline was set before it was sent; the next one is sent at once and answered."""
    variant = structs.replace(lifeguard(), health_max=0)
    world = world_of(variant)
    story = Story()
    hosts = crowd(world, 16, watch=story)
    world.run(5.0)
    block(hosts[:1])
    world.run(seconds)
    assert not [line for line in story.of("suspect") if line[0] == hosts[0].id]
    release(hosts[:1])
    world.run(0.001)
    mine = [line for line in story.of("suspect") if line[0] == hosts[0].id]
    assert len(mine) == 1
    world.run(2.5)
    assert len({line for line in story.of("suspect") if line[0] == hosts[0].id}) == 1
    assert not [line for line in story.of("dead") if line[0] == hosts[0].id]


def test_suspicions_of_a_blocked_member_expire_while_it_is_blocked() -> None:
    """Its timers run on: a false positive that no healthy member shares."""
    variant = structs.replace(lifeguard(alpha=2.0, beta=1.0), buddy=False)
    world = world_of(variant)
    story = Story()
    hosts = crowd(world, 16, watch=story)
    world.run(5.0)
    block(hosts[:1])
    world.run(1.5)
    release(hosts[:1])
    world.run(0.0001)
    block(hosts[:1])
    world.run(6.0)
    false = [line for line in story.of("dead") if line[1] != hosts[0].id]
    assert [observer for observer, _, _ in false] == [hosts[0].id]


def test_a_stopped_process_instead_accuses_nobody_in_its_sleep() -> None:
    world = world_of(structs.replace(lifeguard(alpha=2.0, beta=1.0), buddy=False))
    story = Story()
    hosts = crowd(world, 16, watch=story)
    world.run(5.0)
    for seconds in (1.5, 6.0):
        world.pause(hosts[0])
        world.run(seconds)
        world.resume(hosts[0])
        world.run(0.0001)
    assert not [line for line in story.of("dead") if line[1] != hosts[0].id]


def test_what_waited_is_handled_at_the_pace_given_and_in_order() -> None:
    world = world_of(lifeguard())
    hosts = crowd(world, 8, pace=0.010)
    world.run(5.0)
    block(hosts[:1])
    world.run(4.0)
    waiting = [message for message, _, _ in peer_of(hosts[0]).gate.inbox]
    release(hosts[:1])
    world.run(0.025)
    left = [message for message, _, _ in peer_of(hosts[0]).gate.inbox]
    assert left[: len(waiting) - 2] == waiting[2:]


def test_a_full_buffer_drops_what_comes() -> None:
    gate = Gate(200, 50)
    ping = Ping(1, b"", b"", ("10.0.0.1", 1), b"", b"", ())
    for _ in range(1_000):
        gate.keep(ping, ("10.0.0.2", 1))
    assert len(gate.inbox) == BUFFER_BYTES // 768
    assert gate.overflowed == 1_000 - len(gate.inbox)
    gate.next()
    gate.keep(ping, ("10.0.0.2", 1))
    assert len(gate.inbox) == BUFFER_BYTES // 768


# All of it


def test_a_run_is_a_function_of_its_seed() -> None:
    def digest(seed: int) -> str:
        world = world_of(lifeguard(), seed)
        hosts = crowd(world, 10)
        world.run(3.0)
        block(hosts[:2])
        world.run(12.0)
        release(hosts[:2])
        world.run(5.0)
        return world.log_hash()

    assert digest(7) == digest(7)
    assert digest(7) != digest(8)


def test_peers_speak_in_real_bytes_too() -> None:
    """Their messages are core's, so the codec takes them."""
    world = World(3, latency=Constant(250), maker=maker(lifeguard()))
    first = world.add(seeds=())
    hosts = [first, *(world.add(seeds=[first]) for _ in range(4))]
    world.run_until(lambda: all(peer_of(host).table.n == 5 for host in hosts), 10.0)
    world.crash(hosts[4], machine=True)
    world.run_until(lambda: statuses(hosts[:4], hosts[4]) == {Status.DEAD}, 60.0)
    kinds = {kind for host in hosts for kind in host.sent.kinds}
    assert {kind.__name__ for kind in (Ping, Ack, Gossip, PingRequest, Report)} <= kinds


def test_another_core_is_no_peer() -> None:
    world = World(1)
    host = world.add()
    with pytest.raises(TypeError, match="runs Node"):
        peer_of(host)
