"""Scenarios 1 to 20: who is asked, who answers, and what is made of it."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence

import msgspec
import pytest

from gossip.core.effects import Close, Dial, Effect, Send, Write
from gossip.core.events import EventKind
from gossip.core.messages import Ack, Gossip, NotMe, Ping, PingRequest, Report
from gossip.core.params import LAN
from gossip.core.pings import not_me_bytes
from gossip.core.records import Accusation, MemberRecord
from gossip.core.types import Kind, Outcome, Phase, Status
from sim.world import World
from tests.core.rig import RTT, Peer, Rig
from tests.world import Traffic, about, all_see, cluster, none_sees

PERIOD = LAN.period


def pinged(rig: Rig, peer: Peer) -> Ping:
    """Let time pass until the node's probe has come to this peer; its ping."""
    before = len(peer.got(Ping))
    rig.run_until(lambda: len(peer.got(Ping)) > before)
    return peer.got(Ping)[-1]


def accusations(rig: Rig, effects: Sequence[Effect] | None = None) -> list[tuple[bytes, Kind]]:
    """Who was accused by the node, and of what, as far as it told anybody."""
    own: dict[bytes, Accusation] = {}
    for effect in rig.effects if effects is None else effects:
        if isinstance(effect, Send) and isinstance(effect.message, Gossip | Ping | Ack):
            for raw in effect.message.news:
                body = rig.archive.parse(raw).body
                if isinstance(body, Accusation) and body.owner == rig.id:
                    own[raw] = body
    return [(body.subject, Kind(body.kind)) for body in own.values()]


def leaks(rig: Rig) -> int:
    """What is kept for pings, probes and streams under way."""
    node = rig.node
    probes = len(node._prober._running) + len(node._prober._requests)
    return probes + len(node._pings._expected) + len(node._sessions)


# -- what an answer does


def test_a_live_peer_answers_and_nothing_changes() -> None:
    """Scenario 1."""
    rig = Rig()
    peers = rig.members(4)
    rig.node._health.score = 3
    events = len(rig.events)
    rig.run(60)
    assert rig.node.health == 0
    assert len(rig.events) == events
    assert all(rig.status(peer) is Status.ALIVE for peer in peers)
    assert {type(message) for peer in peers for message in peer.heard} == {Ping}
    assert leaks(rig) == 0


def test_a_dead_peer_is_suspected_within_one_period_after_all_helpers_were_asked() -> None:
    """Scenario 2."""
    rig = Rig()
    *others, x = rig.members(6)
    rig.run(10)
    x.acks = False
    pinged(rig, x)
    begun = rig.now
    took = rig.run_until(lambda: rig.status(x) is Status.SUSPECT)
    assert took == pytest.approx(PERIOD)
    requests = [message for peer in others for message in peer.got(PingRequest)]
    assert len(requests) == LAN.helpers
    assert sum(bool(peer.got(PingRequest)) for peer in others) == LAN.helpers, "three different ones"
    assert {(request.target, request.address) for request in requests} == {(x.id, x.address)}
    assert all(request.patience_ms <= 1_000 * PERIOD for request in requests)
    assert accusations(rig) == [(x.id, Kind.SILENT)]
    assert begun > 100


def test_the_ping_is_repeated_in_the_indirect_round_and_at_60_percent() -> None:
    rig = Rig()
    *_, x = rig.members(4)
    rig.run(10)
    x.acks = False
    pinged(rig, x)
    begun = rig.now
    times = []
    while rig.now < begun + 0.99 * PERIOD:
        before = len(x.got(Ping))
        rig.run(0.01)
        times += [rig.now - begun] * (len(x.got(Ping)) - before)
    assert times == pytest.approx([LAN.direct_min, 0.6 * PERIOD], abs=0.0101)


@pytest.mark.parametrize("at", [0.0, 0.1, 0.7, 0.99])
def test_an_ack_at_any_time_of_the_period_ends_the_probe_well(at: float) -> None:
    """Scenario 1: also an ack to the first ping that comes while helpers are asked."""
    rig = Rig()
    *_, x = rig.members(4)
    rig.run(10)
    x.acks = False
    rig.node._health.score = 0
    ping = pinged(rig, x)
    rig.run(at * PERIOD)
    rig.feed(x.ack(ping), x)
    assert x.id not in rig.node._prober._running
    rig.run(PERIOD - at * PERIOD)
    assert rig.status(x) is Status.ALIVE
    assert rig.node.health == 0


def test_helpers_that_reach_the_target_keep_it_alive() -> None:
    """Scenario 3."""
    rig = Rig()
    *others, x = rig.members(5)
    for peer in others:
        peer.helps = Outcome.ACKED
    x.acks = False
    rig.run(60)
    assert rig.node.counters["probe_indirect"] > 5
    assert rig.status(x) is Status.ALIVE
    assert rig.node.health == 0
    assert accusations(rig) == []


def test_only_who_was_asked_can_report() -> None:
    """Scenario 3: and only about that probe."""
    rig = Rig()
    *others, x = rig.members(8)
    rig.run(10)
    x.acks = False
    pinged(rig, x)
    rig.run_until(lambda: rig.sent(PingRequest))
    seq = rig.sent(PingRequest)[-1].seq
    bystander = next(peer for peer in others if not peer.got(PingRequest))
    helper = next(peer for peer in others if peer.got(PingRequest))
    rig.feed(Report(seq, bystander.id, Outcome.ACKED), bystander)
    rig.feed(Report(seq ^ 1, helper.id, Outcome.ACKED), helper)
    assert rig.node.counters["report_unexpected"] == 2
    rig.run(PERIOD)
    assert rig.status(x) is Status.SUSPECT


def test_one_cut_link_makes_nobody_suspect() -> None:
    """Scenario 3, in a cluster: two nodes that cannot hear each other, with others between."""
    world = cluster(5, seed=3)
    a, b = world.hosts[1], world.hosts[3]
    world.network.cut(a, b, both=True)
    world.run(120)
    assert [kind for kind in about(a, b) + about(b, a) if kind is not EventKind.MEMBER_JOINED] == []
    assert a.node.counters["probe_indirect"] > 5
    assert world.converged()


def test_a_dead_peer_is_noticed_by_all_with_the_stages_in_order() -> None:
    """Scenario 2, in a cluster."""
    world = cluster(8, seed=2)
    victim = world.hosts[5]
    world.crash(victim, machine=True)
    first = world.run_until(
        lambda: any(host.sees(victim) is Status.SUSPECT for host in world.running()), limit=10
    )
    world.run_until(lambda: all_see(world, victim, Status.DEAD), limit=LAN.suspicion_max(8) + 5)
    assert first < 8 * PERIOD
    for host in world.running():
        assert about(host, victim) == [
            EventKind.MEMBER_JOINED,
            EventKind.MEMBER_SUSPECTED,
            EventKind.MEMBER_FAILED,
        ]


def test_a_helper_asked_for_nobody_it_knows_accuses_nobody() -> None:
    """Scenario 4: it says at once that it met silence, which is a nack."""
    rig = Rig()
    a, b = rig.members(2)
    rig.feed(PingRequest(3, a.id, b"?" * 16, ("10.8.8.8", 1), 900), a)
    assert a.got(Report) == [Report(3, rig.id, Outcome.SILENT, life=1)]
    rig.run(5)
    assert accusations(rig) == []
    assert rig.status(b) is Status.ALIVE


def test_a_ping_for_another_identity_is_not_acked() -> None:
    """Scenario 5, in a cluster: whoever took over an address does not pass for the one before."""
    world = cluster(4, seed=5)
    victim = world.hosts[2]
    former = victim.id
    world.restart(victim, identity="new")
    others = [host for host in world.hosts if host is not victim]
    took = world.run_until(lambda: all(host.sees(former) is Status.DEAD for host in others), limit=60)
    assert took < LAN.suspicion_min(4), "found out by proof, not by silence"
    assert all_see(world, victim, Status.ALIVE)
    details = [event.detail for host in others for _, event in host.events if event.id == former]
    assert Kind.NOT_ME.name.lower() in details
    assert victim.sees(former) is None, "and it never learns of itself as another"


def test_a_stranger_at_the_address_is_proof_within_the_grace() -> None:
    """Scenario 5: `not_me` is evidence that needs two witnesses, and must outlast the grace."""
    rig = Rig()
    *others, x = rig.members(4)
    x.acks = False
    stranger = rig.peer("stranger", x.address)
    for peer in others:
        peer.helps = Outcome.NOT_ME
    rig.run(0.1)

    def answer(ping: Ping) -> None:
        signature = stranger.notary.sign(not_me_bytes(ping.seq, ping.target, ping.address))
        rig.feed(NotMe(ping.seq, ping.address, stranger.current.raw, signature), stranger)

    first = pinged(rig, x)
    answer(first)
    rig.run(LAN.grace - 0.1)
    assert rig.status(x) is Status.ALIVE
    rig.run(0.1 + RTT)
    answer(x.got(Ping)[-1])
    assert rig.status(x) is Status.SUSPECT
    assert accusations(rig) == [(x.id, Kind.NOT_ME)]


@pytest.mark.parametrize("when", ["early", "late"])
def test_an_ack_with_a_sequence_that_nobody_waits_for_is_ignored(when: str) -> None:
    """Scenarios 6 and 7: unknown, or of a probe that is over. Nothing is kept for it."""
    rig = Rig()
    _, _, x = rig.members(3)
    x.acks = False
    ping = pinged(rig, x)
    if when == "early":
        rig.feed(x.ack(ping, seq=ping.seq ^ 1), x)
        assert x.id in rig.node._prober._running
    rig.run(PERIOD)
    assert rig.status(x) is Status.SUSPECT
    assert x.id not in rig.node._prober._running
    assert ping.seq not in rig.node._pings._expected
    rig.feed(x.ack(ping), x)
    assert rig.node.counters["ack_unexpected"] == 1 + (when == "early")
    assert rig.status(x) is Status.SUSPECT


def test_nothing_is_kept_of_probes_that_failed() -> None:
    """Scenario 7: after hundreds of them, with acks long after the deadline."""
    rig = Rig()
    peers = rig.members(3)
    for peer in peers:
        peer.acks = False
    for _ in range(30):
        rig.run(7.3)
        for peer in peers:
            rig.hear(peer, peer.again())
        for ping in peers[0].got(Ping)[-3:]:
            rig.feed(peers[0].ack(ping), peers[0])
    for peer in peers:
        peer.acks = True
    rig.run(60)
    assert rig.node.counters["probe_failed"] > 10
    assert leaks(rig) == 0
    opened = {effect.stream for effect in rig.effects if isinstance(effect, Dial)}
    closed = [effect.stream for effect in rig.effects if isinstance(effect, Close)]
    assert len(closed) == len(set(closed))
    assert set(closed) <= opened


# -- the score


def failing(helps: Outcome | None, *, heard: bool) -> int:
    """The score after one failed probe, with helpers of that habit, and others heard meanwhile or not."""
    rig = Rig()
    *others, x = rig.members(5)
    for peer in others:
        peer.helps = helps
    x.acks = False
    ping = pinged(rig, x)
    rig.node._health.score = 0
    rig.node._health._heard.clear()
    rig.node._health._last_heard.clear()
    assert ping.target == x.id
    if heard:
        rig.later(0.5, lambda: [rig.hear(peer) for peer in others[:2]])
    rig.run_until(lambda: rig.node.counters["probe_failed"])
    return rig.node.health


def test_nacks_show_that_the_helpers_are_well_and_cost_nothing() -> None:
    """Scenario 8: the failed probe itself costs one."""
    assert failing(Outcome.SILENT, heard=False) == 1


def test_missing_nacks_cost_one_in_all_while_few_others_are_heard() -> None:
    """Scenario 9: three are missing."""
    assert failing(None, heard=False) == 2


def test_missing_nacks_cost_nothing_while_others_are_heard() -> None:
    """Scenario 10: there are no helpers that cannot nack, but there are some that are dead themselves."""
    assert failing(None, heard=True) == 1


@pytest.mark.parametrize("score", [0, 2, 8])
def test_the_score_stretches_the_period_and_the_waits(score: int) -> None:
    """Scenario 11."""
    rig = Rig()
    peers = rig.members(2)
    rig.run(5)
    for peer in peers:
        peer.acks = False
    rig.run_until(lambda: not rig.node._prober._running)
    rig.node._health.score = score
    rig.run_until(lambda: rig.node._prober._running)
    assert rig.run_until(lambda: rig.sent(PingRequest)) == pytest.approx(LAN.direct_min * (score + 1))
    waited = LAN.direct_min * (score + 1)
    took = rig.run_until(lambda: rig.told(EventKind.MEMBER_SUSPECTED))
    assert waited + took == pytest.approx(PERIOD * (score + 1))


def test_the_score_has_bounds_and_heals() -> None:
    """Scenarios 11 and 12."""
    rig = Rig()
    peers = rig.members(12)
    for peer in peers:
        peer.acks = False
        peer.helps = None
    scores = [rig.node.health]
    while scores[-1] < LAN.health_max:
        rig.run(1)
        scores.append(rig.node.health)
    rig.run(60)
    assert rig.node.health == LAN.health_max == 8
    for peer in peers:
        peer.acks = True
        rig.hear(peer, peer.again())
    rig.run_until(lambda: rig.node.health == 0)
    assert scores == sorted(scores)


# -- streams


def test_a_member_behind_a_wall_for_datagrams_is_degraded_and_not_suspected() -> None:
    """Scenario 13."""
    rig = Rig()
    *_, x = rig.members(4)
    rig.run(10)
    x.acks, x.stream = False, True
    rig.run(30)
    assert rig.status(x) is Status.ALIVE
    assert rig.member(x).flags == ("degraded",)
    flagged = [event.detail for _, event in rig.events if event.kind is EventKind.MEMBER_FLAGGED]
    assert flagged == ["+degraded"]
    assert accusations(rig) == []
    assert rig.node.health == 0

    x.heard.clear()
    effects = rig.do(lambda now: rig.node.set_tags({"a": "1"}, now))
    effects += rig.run(2)
    assert x.got(Gossip) == [], "datagrams do not reach it"
    frames = [effect.frame for effect in effects if isinstance(effect, Write)]
    assert any(isinstance(frame, Gossip) for frame in frames), "gossip to it goes over the stream"

    x.acks = True
    rig.run_until(lambda: rig.member(x).flags == ())
    assert rig.status(x) is Status.ALIVE


def test_a_datagram_that_was_only_late_or_lost_makes_nobody_degraded() -> None:
    """Scenario 13: the stream answers first, then the repeated ping does."""
    rig = Rig()
    *_, x = rig.members(4)
    rig.run(10)
    x.acks, x.stream = False, True
    pinged(rig, x)
    rig.run(0.3)
    assert rig.node._prober._running[x.id].heard == pytest.approx(rig.now, abs=0.3)
    x.acks = True
    rig.run(10)
    assert rig.told(EventKind.MEMBER_FLAGGED) == []
    (dial,) = [effect for effect in rig.effects if isinstance(effect, Dial)]
    assert Close(dial.stream) in rig.effects
    assert len(rig.node._sessions) == 0


def test_an_ack_on_the_stream_is_bound_as_well() -> None:
    """Scenario 13: to the sequence, the member and the address."""
    rig = Rig()
    *_, y, x = rig.members(4)
    rig.run(10)
    x.acks = False
    pinged(rig, x)
    effects = rig.run(0.5)
    (dial,) = [effect for effect in effects if isinstance(effect, Dial)]
    (ping,) = [effect.frame for effect in effects if isinstance(effect, Write)]
    assert isinstance(ping, Ping)
    assert dial.address == x.address
    for wrong in (x.ack(ping, seq=1), x.ack(ping, sender=y.id), x.ack(ping, address=y.address)):
        rig.frame(dial.stream, wrong)
    rig.run(PERIOD)
    assert rig.status(x) is Status.SUSPECT


def test_the_stream_probe_can_be_switched_off() -> None:
    """Scenario 14: a setting of the prober."""
    rig = Rig(params=msgspec.structs.replace(LAN, stream_probe=False))
    *_, x = rig.members(4)
    x.acks, x.stream = False, True
    rig.run_until(lambda: rig.status(x) is Status.SUSPECT)
    assert not [effect for effect in rig.effects if isinstance(effect, Dial)]


# -- telling the suspect


def test_a_suspect_is_told_with_the_ping() -> None:
    """Scenario 15, the prober's side."""
    rig = Rig()
    a, b, *_, x = rig.members(8)
    charge, second = a.accuse(x), b.accuse(x)
    rig.hear(a, charge)
    rig.hear(b, second)
    x.heard.clear()
    ping = pinged(rig, x)
    assert {charge.raw, second.raw} <= set(ping.news)
    assert len(ping.news) == len(set(ping.news)), "each of them once"


def test_a_suspect_refutes_in_the_same_exchange() -> None:
    """Scenario 15, the suspect's side: the ack carries the record that answers the accusation."""
    rig = Rig()
    a, b = rig.members(2)
    rig.prove(a)
    before = rig.node.incarnation
    effects = rig.feed(a.ping(None, b.accuse(rig)), a)
    (ack,) = rig.sent(Ack, a, effects)
    records = [body for raw in ack.news if isinstance(body := rig.archive.parse(raw).body, MemberRecord)]
    assert [(record.owner, record.version > before) for record in records] == [(rig.id, True)]


def test_whoever_missed_the_refutation_gets_it_with_the_next_ping() -> None:
    """Scenarios 15 and 39: also long after it was gossiped."""
    rig = Rig()
    a, b, c = rig.members(3)
    charge = b.accuse(rig)
    rig.hear(a, charge)
    rig.run(30)
    rig.quieten()
    refuted = rig.node.incarnation
    rig.feed(c.ping(None, charge), c)
    assert rig.node.incarnation == refuted
    assert c.got_news() == [rig.node._own.me.fact.raw]


# -- the round robin


def test_each_member_is_probed_once_in_a_round() -> None:
    """Scenario 16: one probe a period, each member once in n periods."""
    rig = Rig()
    peers = rig.members(10)
    rig.run_until(lambda: rig.sent(Ping))
    effects = list(rig.effects[-1:])
    rig.effects.clear()
    effects = rig.run(10 * PERIOD * 20 - 0.5)
    targets = [ping.target for ping in rig.sent(Ping, among=effects)]
    assert len(targets) == 199
    gaps = {peer: Counter[int]() for peer in peers}
    for peer in peers:
        places = [at for at, target in enumerate(targets) if target == peer.id]
        gaps[peer].update(later - earlier for earlier, later in itertools.pairwise(places))
        assert 19 <= len(places) <= 21
        assert max(gaps[peer]) < 20
    assert any(len(gap) > 5 for gap in gaps.values()), "the order changes from round to round"


def test_alone_there_is_nothing_to_probe_and_one_chain_of_timers() -> None:
    """Scenario 17: also after members came and went, and after leaving and coming back."""
    rig = Rig()
    assert rig.sent(Ping, among=rig.run(30)) == []
    for _ in range(3):
        peer = rig.peer()
        rig.introduce(peer)
        assert len(rig.sent(Ping, among=rig.run(20))) == 20
        rig.hear(peer, peer.again(phase=Phase.LEAVING))
        rig.run(3)
        assert rig.sent(Ping, among=rig.run(20)) == []
    (peer,) = rig.members(1)
    for _ in range(3):
        rig.do(rig.node.leave)
        rig.do(lambda now: rig.node.join([], now))
    rig.run(3)
    assert len(rig.sent(Ping, among=rig.run(20))) == 20


@pytest.mark.parametrize("how", ["left", "dead", "moved"])
def test_a_probe_whose_member_is_gone_asks_no_helpers(how: str) -> None:
    """Scenario 18: between the direct and the indirect stage."""
    rig = Rig()
    *_, a, x = rig.members(4)
    rig.run(10)
    x.acks = False
    pinged(rig, x)
    match how:
        case "left":
            rig.hear(a, x.again(phase=Phase.LEAVING))
        case "moved":
            rig.hear(a, x.again(host="10.7.7.7"))
        case _:
            rig.node._roster.set_status(rig.member(x), Status.DEAD, EventKind.MEMBER_FAILED, rig.now)
    effects = rig.run(PERIOD - 0.01)
    assert [request for request in rig.sent(PingRequest, among=effects) if request.target == x.id] == []
    assert accusations(rig, effects) == []
    assert rig.node.health == 0
    rig.run(2)
    assert leaks(rig) <= 1


def test_a_node_that_was_not_woken_blames_nobody_and_recovers() -> None:
    """Scenario 19: the wake-ups that should have ended a probe came five seconds late."""
    rig = Rig()
    *_, x = rig.members(4)
    rig.run(10)
    ping = pinged(rig, x)
    rig._due.clear()
    rig.now += 5.0
    rig.node.pulse(5.0, 0.0, False, 0, rig.now)
    rig.feed(x.ack(ping), x)
    effects = rig.do(rig.node.tick)
    assert accusations(rig, effects) == []
    assert rig.node.is_doubting
    effects = rig.run(20)
    assert len(rig.sent(Ping, among=effects)) == 20, "one chain of timers, one probe a period"
    assert not rig.node.is_doubting
    assert all(member.status is Status.ALIVE for member in rig.node.members)
    assert rig.told(EventKind.MEMBER_SUSPECTED) == []


def test_while_it_doubts_itself_a_node_accuses_and_buries_nobody() -> None:
    """Scenario 19: and the doubt has an end, after which it does."""
    rig = Rig(params=msgspec.structs.replace(LAN, suspicion_alpha=4.0, suspicion_beta=6.0, suspicion_k=3))
    *others, x = rig.members(4)
    rig.run(5)
    x.acks = False
    rig.hear(others[0], others[0].accuse(x))
    rig.run(10)
    accused = rig.node.counters["accused"]
    assert accused == 1, "its own word has joined: 14 s in all"
    for peer in others:
        peer.acks, peer.helps = False, None
    rig.node.pulse(0.0, 0.3, False, 0, rig.now)
    took = rig.run_until(lambda: not rig.node.is_doubting)
    assert 10 * PERIOD < took < 10 * 9 * PERIOD, "ten periods, which its score stretches"
    assert rig.node.counters["accused"] == accused
    assert rig.status(x) is Status.SUSPECT
    for peer in others:
        peer.acks, peer.helps = True, Outcome.SILENT
    rig.run_until(lambda: rig.status(x) is Status.DEAD, limit=60)


@pytest.mark.parametrize("changes", [{"boot": 2}, {"tags": {"a": "1"}}, {}])
def test_a_member_renewed_in_the_middle_of_a_probe_is_not_blamed_for_its_former_life(
    changes: dict[str, object],
) -> None:
    """Scenario 20: the timers of that probe are void; the next round begins anew."""
    rig = Rig()
    *_, a, x = rig.members(4)
    rig.run(10)
    x.acks = False
    pinged(rig, x)
    rig.run(0.9 * PERIOD)
    rig.hear(a, x.again(**changes))
    rig.run(0.15 * PERIOD)
    assert rig.status(x) is Status.ALIVE
    assert accusations(rig) == []
    assert rig.node.health == 0
    rig.run_until(lambda: rig.status(x) is Status.SUSPECT, limit=10)


# -- refusals


def refusing_helpers() -> tuple[Rig, list[Peer], Peer]:
    rig = Rig()
    *others, x = rig.members(4)
    for peer in others:
        peer.helps = Outcome.REFUSED
    rig.run(10)
    return rig, others, x


def test_a_refusal_seen_by_two_and_again_after_the_grace_accuses() -> None:
    rig, _, x = refusing_helpers()
    x.refuses = True
    begun = rig.now
    rig.run_until(lambda: rig.status(x) is Status.SUSPECT)
    assert accusations(rig) == [(x.id, Kind.REFUSED)]
    met = [at for at, event in rig.events if event.kind is EventKind.MEMBER_SUSPECTED]
    assert met[0] > begun + LAN.grace


def test_an_agent_that_is_back_within_the_grace_is_not_noticed_at_all() -> None:
    rig, _, x = refusing_helpers()
    x.refuses = True
    rig.run_until(lambda: rig.node._prober._running.get(x.id) is not None)
    rig.run(LAN.grace / 2)
    x.refuses = False
    events = len(rig.events)
    rig.run(10)
    assert len(rig.events) == events
    assert accusations(rig) == []


def test_a_refusal_that_no_helper_saw_is_silence() -> None:
    rig, others, x = refusing_helpers()
    for peer in others:
        peer.helps = Outcome.SILENT
    x.refuses = True
    rig.run_until(lambda: rig.status(x) is Status.SUSPECT)
    assert accusations(rig) == [(x.id, Kind.SILENT)]


def test_who_answers_on_the_stream_is_not_refused() -> None:
    """Scenario 13: a firewall may refuse datagrams for it, in the sight of all."""
    rig, _, x = refusing_helpers()
    x.acks, x.stream = False, True
    for _ in range(200):
        rig.do(lambda now: rig.node.refused(x.address, now))
        rig.run(0.05)
    assert accusations(rig) == []
    assert rig.member(x).flags == ("degraded",)


def test_refusals_that_killed_a_living_member_count_as_silence_from_then_on() -> None:
    rig, others, x = refusing_helpers()
    x.refuses = True
    rig.run_until(lambda: rig.status(x) is Status.SUSPECT)
    rig.hear(others[0], others[0].accuse(x, Kind.REFUSED))
    rig.run_until(lambda: rig.status(x) is Status.DEAD, limit=5)
    rig.hear(others[0], x.again())
    assert rig.status(x) is Status.ALIVE
    rig.effects.clear()
    rig.run_until(lambda: rig.status(x) is Status.SUSPECT)
    assert accusations(rig) == [(x.id, Kind.SILENT)]
    x.refuses, x.acks = False, False
    rig.run_until(lambda: x.id in rig.node._detector._looks, limit=400)
    (seq,) = rig.node._detector._looks._looks[x.id].seqs
    (look,) = [ping for ping in x.got(Ping) if ping.seq == seq]
    rig.do(lambda now: rig.node.refused(x.address, now))
    assert rig.status(x) is Status.SUSPECT, "also at the last look"
    rig.feed(x.ack(look), x)
    assert rig.status(x) is Status.ALIVE


# -- chance


@pytest.mark.parametrize("loss", [0.05, 0.2])
def test_under_loss_nobody_healthy_is_held_dead(loss: float, seed: int) -> None:
    """Scenarios 1 to 3, over a random schedule of losses: probes fail rarely, and nothing comes of it."""
    world = cluster(8, seed=seed, loss=loss, codec=False)
    traffic = Traffic(world.hosts)
    world.run(120)
    assert all(none_sees(world, host, Status.DEAD) for host in world.hosts), world.describe()
    failed = sum(host.node.counters["probe_failed"] for host in world.hosts)
    indirect = sum(host.node.counters["probe_indirect"] for host in world.hosts)
    assert indirect > loss * traffic.sent()["Ping"] / 3
    assert failed < indirect / 10


def random_faults(world: World, chance: random.Random) -> None:
    """A minute in which hosts are stopped, cut off and killed for less time than a burial takes."""
    for _ in range(6):
        host = chance.choice(world.hosts[1:])
        match chance.randrange(3):
            case 0:
                world.pause(host)
                world.run(chance.uniform(0.1, 3.0))
                world.resume(host)
            case 1:
                world.partition([[host]])
                world.run(chance.uniform(0.1, 3.0))
                world.heal()
            case _:
                world.restart(host)
        world.run(chance.uniform(1.0, 8.0))


@pytest.mark.parametrize("run", range(6))
def test_random_faults_leave_no_probe_behind_and_one_view(run: int, seed: int) -> None:
    """Scenarios 6, 7, 18 to 20, over random schedules."""
    world = cluster(5, seed=seed + run, codec=False, loss=0.02)
    random_faults(world, random.Random(seed + run))
    world.run_until(world.converged, limit=90)
    world.network.default = msgspec.structs.replace(world.network.default, loss=0)
    world.run(15)
    world.run_until(lambda: all(not host.node._prober._running for host in world.hosts), limit=5)
    for host in world.hosts:
        assert not host.node._pings._expected, world.describe()
        assert not host.node._prober._requests
        assert host.node.health == 0
        assert not host.node.is_doubting
