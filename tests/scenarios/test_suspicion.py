"""Scenarios 31 to 42: accusations, the clock that they start, and how it ends."""

from __future__ import annotations

import random

import msgspec
import pytest

from gossip.core.detector import ACCUSERS_MAX, LOOKERS_AT_ONE
from gossip.core.effects import Send
from gossip.core.events import EventKind
from gossip.core.messages import Ack, Gossip, Ping, PingRequest
from gossip.core.own import ANSWERS_MAX, BROUGHT_MAX
from gossip.core.params import LAN
from gossip.core.records import Accusation
from gossip.core.spread import PATIENT_FANOUT
from gossip.core.suspicion import suspicion_timeout
from gossip.core.types import Kind, Status
from tests.core.rig import INCARNATION, RTT, Peer, Rig
from tests.world import about, all_see, cluster, none_sees, puppet, say

PATIENT = msgspec.structs.replace(LAN, suspicion_alpha=4.0, suspicion_beta=6.0, suspicion_k=3)
"""Clocks whose steps are far apart."""
QUIET = msgspec.structs.replace(PATIENT, period=1_000.0, suspicion_alpha=0.004, patience_max=1)
"""The same clocks, and no probes of the node's own in between."""
LOOK = 3 * max(LAN.direct_max, LAN.direct_min)
"""Seconds after which a last look has ended, whatever the round trips."""


def group(count: int, *, alone: bool = False) -> tuple[Rig, list[Peer], Peer]:
    """A cluster of `count`, the node included, that does not probe by itself; and one who answers nothing.

    Times are bad, as far as the node knows: nobody is the only suspect, unless `alone`.
    """
    rig = Rig(params=QUIET)
    *others, x = rig.members(count - 1)
    x.acks = False
    rig.node._prober.start = lambda *_, **__: None  # type: ignore[method-assign]
    if not alone:
        rig.node._detector.is_alone = lambda member: False  # type: ignore[method-assign]  # noqa: ARG005 - its name
    return rig, others, x


def looked(rig: Rig, x: Peer) -> float:
    """Let time pass until the last look at `x`: how long from now."""
    before = len(x.got(Ping))
    return rig.run_until(lambda: len(x.got(Ping)) > before)


def test_an_accusation_of_an_unknown_node_is_ignored_and_creates_nothing() -> None:
    """Scenario 31."""
    rig = Rig()
    a, b = rig.members(2)
    x = rig.peer("x")
    effects = rig.hear(a, a.accuse(x, incarnation=INCARNATION))
    assert effects == []
    assert rig.status(x) is None
    assert b.heard == []


@pytest.mark.parametrize("accusation_first", [True, False])
def test_with_its_record_the_accused_is_added_as_a_suspect(accusation_first: bool) -> None:
    """Scenario 31: whichever stands first in the packet."""
    rig = Rig()
    (a,) = rig.members(1)
    x = rig.peer("x")
    facts = [a.accuse(x), x.current]
    rig.hear(a, *(facts if accusation_first else reversed(facts)))
    assert rig.status(x) is Status.SUSPECT
    assert rig.about(x) == [EventKind.MEMBER_JOINED, EventKind.MEMBER_SUSPECTED]


@pytest.mark.parametrize("kind", [Kind.SILENT, Kind.REFUSED])
def test_an_accusation_starts_a_clock_and_is_relayed(kind: Kind) -> None:
    """Scenario 32: the clock runs from when it was heard here, whenever issued.

    In bad times evidence alone is in a hurry: each word of silence would have packets of its own.
    """
    rig, (a, b, *_), x = group(6)
    charge = a.accuse(x, kind)
    rig.run(500)
    rig.hear(a, charge)
    assert rig.status(x) is Status.SUSPECT
    assert rig.told(EventKind.MEMBER_SUSPECTED) == [x.name]
    assert bool(b.got(Gossip)) is (kind is Kind.REFUSED)
    wait = rig.run_until(lambda: b.got(Gossip), 10 * LAN.gossip_interval)
    assert b.got(Gossip) == [Gossip(rig.id, (charge.raw,), life=1)]
    assert a.got(Gossip) == []
    assert wait + looked(rig, x) == pytest.approx(24.0)


@pytest.mark.parametrize("kind", [Kind.SILENT, Kind.REFUSED])
def test_what_is_said_of_the_only_suspect_leaves_at_once(kind: Kind) -> None:
    """Scenario 32: it costs next to nothing, and all clocks start together."""
    rig, (a, *_), x = group(8, alone=True)
    charge = a.accuse(x, kind)
    rig.hear(a, charge)
    told = [peer for peer in rig.peers if peer.got(Gossip)]
    assert all(news.news == (charge.raw,) for peer in told for news in peer.got(Gossip))
    assert len(told) == (len(rig.peers) - 1 if kind is Kind.REFUSED else PATIENT_FANOUT)


def test_so_does_the_answer_of_the_only_suspect() -> None:
    """Scenario 38: whoever hears the word at once must not wait for the answer to it."""
    rig, (a, b, *_), x = group(8, alone=True)
    rig.hear(a, a.accuse(x))
    rig.run(1)
    rig.quieten()
    rig.quieten_peers()
    answer = x.again()
    rig.hear(b, answer)
    told = [peer for peer in rig.peers if answer.raw in peer.got_news()]
    assert len(told) == PATIENT_FANOUT
    rig.hear(a, a.accuse(b), b.accuse(a))
    rig.quieten()
    rig.quieten_peers()
    rig.hear(x, b.again())
    assert not any(peer.got(Gossip) for peer in rig.peers), "one of two can wait for a tick"


def test_an_accuser_that_nobody_joins_says_it_to_the_accused_again_every_period() -> None:
    """Said too often, its word counts nowhere else, and the first time it may have been lost.

    Then only the clock's end would ask, in what may be another bad moment.
    """
    rig = Rig(params=PATIENT)
    *others, x = rig.members(5)
    x.acks = False
    rig.node._prober.start = lambda *_, **__: None  # type: ignore[method-assign]
    rig.do(lambda now: rig.node._detector.accuse(rig.member(x), Kind.SILENT, now))
    (word,) = rig.member(x).accusations.values()
    for period in range(6):
        assert (word.raw,) in [news.news for news in x.got(Gossip)], period
        x.heard.clear()
        rig.run(LAN.period)
    rig.hear(others[0], others[0].accuse(x))
    rig.run(LAN.period)
    x.heard.clear()
    rig.run(LAN.period)
    assert not x.got(Gossip), "another has joined"


def test_the_accused_is_told_too() -> None:
    """Scenario 32: of all, it should know first."""
    rig, (a, *_), x = group(6)
    charge = a.accuse(x)
    rig.hear(a, charge)
    rig.run(1)
    assert charge.raw in x.got_news()


def test_at_the_end_the_node_looks_once_more_and_then_buries() -> None:
    """Scenario 32: with the accusations inside and nothing else; and it publishes that it gave up."""
    rig, (a, b, *_), x = group(6)
    charge = a.accuse(x)
    rig.hear(a, charge)
    looked(rig, x)
    (ping,) = x.got(Ping)
    assert ping.news == (charge.raw,)
    assert rig.status(x) is Status.SUSPECT
    b.heard.clear()
    rig.run(LOOK + 10 * LAN.gossip_interval)
    assert rig.status(x) is Status.DEAD
    assert rig.about(x)[1:] == [EventKind.MEMBER_SUSPECTED, EventKind.MEMBER_FAILED]
    own = [body for raw in b.got_news() if (body := rig.archive.parse(raw).body).owner == rig.id]
    charges = [(body.subject, body.kind) for body in own if isinstance(body, Accusation)]
    assert charges == [(x.id, Kind.GAVE_UP)]
    assert len(x.got(Ping)) == 3, "one lost ping buries nobody"


def test_an_answer_to_the_last_look_ends_the_suspicion() -> None:
    """Scenario 32: whatever the others think."""
    rig, (a, b, c, *_), x = group(6)
    for accuser in (a, b, c):
        rig.hear(accuser, accuser.accuse(x))
    x.acks = True
    looked(rig, x)
    rig.run(0.1)
    assert rig.status(x) is Status.ALIVE
    rig.run(10)
    assert rig.about(x)[1:] == [EventKind.MEMBER_SUSPECTED, EventKind.MEMBER_REFUTED]
    rig.hear(b, a.accuse(x))
    assert rig.status(x) is Status.ALIVE, "the same word is not counted again so soon"


def test_the_same_accuser_twice_is_no_confirmation() -> None:
    """Scenario 33: by whatever way, and whatever it met."""
    rig, (a, b, c, *_), x = group(6)
    rig.hear(a, a.accuse(x))
    rig.quieten()
    for kind in Kind:
        rig.hear(b, a.accuse(x, kind))
    assert set(rig.member(x).accusations) == {a.id}
    assert c.heard == []
    assert looked(rig, x) == pytest.approx(24.0)


@pytest.mark.parametrize("confirmations", range(5))
@pytest.mark.parametrize("n", [3, 4, 5, 6, 100])
def test_new_accusers_shorten_the_clock(n: int, confirmations: int) -> None:
    """Scenario 34: the table of tests/core/test_suspicion.py, on a running node."""
    rig, others, x = group(n)
    accusers = others[: confirmations + 1]
    for accuser in accusers:
        rig.hear(accuser, accuser.accuse(x))
    assert looked(rig, x) == pytest.approx(suspicion_timeout(PATIENT, n, len(accusers) - 1))


def test_each_accuser_is_relayed_until_the_clock_is_at_its_shortest() -> None:
    """Scenario 34: k + 1 in all, and no more, since they would change nothing."""
    rig, others, x = group(10)
    charges = [accuser.accuse(x) for accuser in others[:6]]
    for charge in charges:
        rig.hear(others[6], charge)
    rig.run(2)
    heard = others[7].got_news()
    assert [charge.raw in heard for charge in charges] == [True] * 4 + [False] * 2
    assert len(rig.member(x).accusations) == 6


def test_evidence_is_relayed_however_many_met_silence_until_two_have_seen_it() -> None:
    """Two who saw a refusal end the clock at once, and that must not depend on who spoke first."""
    rig, others, x = group(12)
    silent = [accuser.accuse(x) for accuser in others[:5]]
    refused = [accuser.accuse(x, Kind.REFUSED) for accuser in others[5:8]]
    rig.hear(others[8], *silent, *refused)
    rig.run(LOOK / 2)
    heard = {raw for peer in others for raw in peer.got_news()}
    assert [charge.raw in heard for charge in refused] == [True, True, False]
    assert [charge.raw in heard for charge in silent] == [True, True, True, True, False]


def test_the_size_is_that_when_the_suspicion_began() -> None:
    """Scenario 34."""
    rig, others, x = group(100)
    rig.hear(others[0], others[0].accuse(x))
    for peer in others[10:]:
        rig.hear(others[0], peer.again(phase=1))
    assert rig.node.members.n == 12
    assert looked(rig, x) == pytest.approx(48.0)


def test_two_nodes_wait_the_longest() -> None:
    """Scenario 35: the weakest evidence there is."""
    rig = Rig()
    (x,) = rig.members(1)
    x.acks = False
    rig.run_until(lambda: rig.status(x) is Status.SUSPECT)
    assert rig.run_until(lambda: rig.status(x) is Status.DEAD) > LAN.suspicion_max(2)


def test_a_confirmation_after_the_shortened_time_fires_at_once_and_once() -> None:
    """Scenario 36."""
    rig, (a, b, c, d), x = group(6)
    rig.hear(a, a.accuse(x))
    rig.run(20)
    rig.hear(b, b.accuse(x))
    assert x.got(Ping) == []
    rig.run(0)
    assert len(x.got(Ping)) == 1, "14 s were enough"
    rig.hear(c, c.accuse(x))
    rig.hear(d, d.accuse(x))
    rig.run(LOOK)
    assert len(x.got(Ping)) == 1, "where so many accuse, it is asked once"
    assert rig.told(EventKind.MEMBER_FAILED) == [x.name]


def test_an_accusation_of_an_older_life_is_ignored() -> None:
    """Scenario 37."""
    rig, (a, b, *_), x = group(6)
    old = a.accuse(x)
    rig.hear(b, x.again())
    rig.quieten()
    assert rig.hear(a, old) == []
    assert rig.status(x) is Status.ALIVE


def test_an_accusation_of_a_life_not_known_here_is_asked_about_and_changes_nothing() -> None:
    """Scenario 37, the other way: no rule lets one node's word raise another's incarnation."""
    rig, (a, b, *_), x = group(6)
    future = a.accuse(x, incarnation=x.version + 1)
    rig.hear(a, future)
    assert rig.status(x) is Status.ALIVE
    assert rig.member(x).incarnation == x.version
    assert b.heard == []
    rig.hear(a, x.again(), future)
    assert rig.status(x) is Status.SUSPECT


def test_an_accused_refutes_above_the_accusation_at_once() -> None:
    """Scenario 38."""
    rig = Rig()
    a, b, c = rig.members(3)
    before = rig.node.incarnation
    rig.hear(a, b.accuse(rig))
    assert rig.node.incarnation > before
    for peer in (a, b, c):
        assert peer.got(Gossip) == [Gossip(rig.id, (rig.node._own.me.fact.raw,), life=1)]
    assert rig.node.health == 1
    assert rig.node.counters["refuted"] == 1
    assert rig.told(EventKind.MEMBER_UPDATED) == [], "which is no event"


@pytest.mark.parametrize("heard", [False, True])
def test_a_refutation_is_told_until_somebody_is_heard_telling_it(heard: bool) -> None:
    """Its datagrams may all be lost, and the clocks of others run; other news is given up after as many."""
    rig, (a, b, *others), _ = group(30)
    rig.hear(a, b.accuse(rig))
    record = rig.node._own.me.fact.raw

    def told() -> int:
        return sum(record in gossip.news for peer in (a, b, *others) for gossip in peer.got(Gossip))

    usual = LAN.send_limit(rig.node.members.n)
    rig.run_until(lambda: told() >= usual)
    if heard:
        rig.hear(a, rig.node._own.me.fact)
    rig.run(8)
    assert (told() > 4 * usual) is not heard
    assert told() <= 10 * usual


def test_many_accusations_cost_health_once() -> None:
    """Scenario 38: several in one period, and the same accuser again and again."""
    rig, others, _ = group(8)
    for accuser in others:
        rig.hear(accuser, accuser.accuse(rig))
    assert rig.node.health == 1
    assert rig.node.counters["refuted"] == len(others)
    again = Rig()
    a, *_ = again.members(3)
    for _ in range(5):
        again.hear(a, a.accuse(again))
        again.node._health.score, cost = 0, again.node.health
        again.run(1.5)
        assert cost == (again.node.counters["refuted"] == 1)


def test_a_stale_accusation_raises_nothing_and_is_answered() -> None:
    """Scenario 39: to the accuser and to whoever repeats it; at most once a period each."""
    rig = Rig()
    a, b, c = rig.members(3)
    charge = b.accuse(rig)
    rig.hear(a, charge)
    mine = rig.node._own.me.fact
    rig.run(10)
    rig.quieten()
    for _ in range(5):
        rig.hear(a, charge)
    assert rig.node._own.me.fact is mine
    assert rig.node.health == 0
    assert a.got(Gossip) == b.got(Gossip) == [Gossip(rig.id, (mine.raw,), life=1)]
    assert c.got(Gossip) == []
    rig.run(LAN.period)
    rig.hear(a, charge)
    assert len(b.got(Gossip)) == 2


@pytest.mark.parametrize(
    ("as_itself", "as_others"), [(True, False), (False, True), (True, True)], ids=["itself", "others", "both"]
)
def test_who_still_repeats_an_accusation_is_answered_whoever_else_does(
    as_itself: bool, as_others: bool
) -> None:
    """Copies of old ones are there to be sent by anybody, for ever, and the answers of a period are few."""
    rig = Rig()
    liar, holds_it_dead, *others = rig.members(14)
    charges = [accuser.accuse(rig) for accuser in others]
    charge = holds_it_dead.accuse(rig)
    rig.hear(others[0], *charges)
    rig.run(10)
    for period in range(5):
        rig.quieten()
        if as_itself:
            rig.hear(liar, *charges)
        if as_others:
            for other in others:
                rig.feed(other.gossip(*charges), ("10.9.9.9", 1))
        answers = sum(len(peer.got(Gossip)) for peer in rig.peers)
        assert answers == BROUGHT_MAX * (as_itself + as_others)
        rig.feed(holds_it_dead.ping(None, charge, seq=period + 1), holds_it_dead)
        assert Gossip(rig.id, (rig.node._own.me.fact.raw,), life=1) in holds_it_dead.got(Gossip)
        rig.run(LAN.period)


def test_whoever_wakes_up_shows_its_record_to_so_many_a_period() -> None:
    rig = Rig()
    peers = rig.members(30)
    charges = {peer: peer.accuse(rig) for peer in peers}
    rig.hear(peers[0], charges[peers[0]])
    rig.run(10)
    rig.quieten()
    for peer, charge in charges.items():
        rig.hear(peer, charge)
    assert sum(len(peer.got(Gossip)) for peer in peers) == ANSWERS_MAX


@pytest.mark.parametrize("known", [True, False])
def test_what_was_never_said_of_me_is_not_answered(known: bool) -> None:
    """Scenarios 38 and 39: an accusation at an incarnation that I never had, and a forged one."""
    rig = Rig()
    a, b = rig.members(2)
    before = rig.node.incarnation
    if known:
        rig.hear(a, b.accuse(rig, incarnation=before + 1))
        assert rig.node.counters["accusation_future"] == 1
    else:
        true = b.accuse(rig)
        rig.feed(Gossip(a.id, (a.notary.sign(b"?") + true.raw[64:],)), a)
        assert rig.node.counters["signature"] == 1
    assert rig.node.incarnation == before
    assert a.got(Gossip) == []


def test_a_clock_that_ends_after_a_refutation_does_nothing() -> None:
    """Scenario 40: also with a second suspicion running meanwhile."""
    rig, (a, b, *_), x = group(6)
    rig.hear(a, a.accuse(x))
    rig.run(20)
    rig.hear(a, x.again())
    rig.run(1)
    rig.hear(b, b.accuse(x))
    assert looked(rig, x) == pytest.approx(24.0)
    assert rig.told(EventKind.MEMBER_FAILED) == []


def test_a_refutation_during_the_last_look_counts() -> None:
    """Scenario 40."""
    rig, (a, b, *_), x = group(6)
    rig.hear(a, a.accuse(x))
    looked(rig, x)
    rig.hear(b, x.again())
    rig.run(60)
    assert rig.status(x) is Status.ALIVE
    assert rig.told(EventKind.MEMBER_FAILED) == []


def test_accusers_are_a_set_of_bounded_size() -> None:
    """Scenario 41: a union, which does not grow when it is full."""
    rig, others, x = group(20)
    for accuser in others[:15]:
        rig.hear(others[16], accuser.accuse(x))
    assert set(rig.member(x).accusations) == {accuser.id for accuser in others[:ACCUSERS_MAX]}
    assert rig.node._detector.charges(rig.member(x)) == tuple(
        fact.raw for fact in list(rig.member(x).accusations.values())[: PATIENT.suspicion_k + 1]
    )


def test_more_accusers_shorten_a_running_clock_and_fewer_do_not_lengthen_it() -> None:
    """Scenario 42."""
    rig, (a, b, c, _), x = group(6)
    rig.hear(a, a.accuse(x))
    rig.run(5)
    rig.hear(b, b.accuse(x), c.accuse(x))
    rig.hear(a, a.accuse(x))
    assert looked(rig, x) == pytest.approx(8.150375 - 5)


# -- who counts


@pytest.mark.parametrize("status", [Status.DEAD, Status.LEFT])
def test_accusers_that_are_gone_do_not_count(status: Status) -> None:
    rig, (a, b, *_), x = group(6)
    rig.node._roster.set_status(rig.member(a), status, EventKind.MEMBER_FAILED, rig.now)
    rig.hear(b, a.accuse(x))
    assert rig.status(x) is Status.ALIVE
    assert rig.node.counters["accuser_dead"] == 1


def test_strangers_do_not_count_and_nobody_accuses_for_another() -> None:
    rig, (a, *_), x = group(6)
    stranger = rig.peer("stranger")
    rig.hear(a, stranger.accuse(x))
    true = a.accuse(x)
    rig.feed(Gossip(a.id, (stranger.notary.sign(b"?") + true.raw[64:],)), a)
    assert rig.status(x) is Status.ALIVE
    assert rig.node.counters["accuser_unknown"] == 1
    assert rig.node.counters["signature"] == 1


def test_no_accuser_counts_against_more_than_three_at_once_and_one_a_period_after() -> None:
    rig = Rig()
    a, *others = rig.members(9)
    for x in others:
        rig.hear(a, a.accuse(x))
    assert rig.told(EventKind.MEMBER_SUSPECTED) == [x.name for x in others[:3]]
    for at, x in enumerate(others[3:], 1):
        rig.run(LAN.period)
        rig.hear(a, a.accuse(x), *[a.accuse(y) for y in others[3 + at :]])
        assert len(rig.told(EventKind.MEMBER_SUSPECTED)) == 3 + at
    assert rig.node.counters["accusation_rate"] > 5


def test_a_node_keeps_to_that_rate_itself() -> None:
    """What it said beyond it would not count elsewhere, and the others' views would differ from its own."""
    rig, others, _ = group(9)
    for member in list(rig.node.members):
        rig.node._detector.accuse(member, Kind.SILENT, rig.now)
    assert rig.node.counters["accused"] == 3
    rig.run(QUIET.period)
    for member in list(rig.node.members):
        rig.node._detector.accuse(member, Kind.SILENT, rig.now)
    assert rig.node.counters["accused"] == 4
    assert len(others) == 7


def test_an_accuser_counts_against_one_member_once_in_a_while() -> None:
    """So that no member can be kept under suspicion by one that it refutes again and again."""
    rig = Rig()
    a, b, *_, x = rig.members(5)
    rig.hear(a, a.accuse(x))
    for _ in range(9):
        rig.hear(b, x.again())
        rig.run(2)
        rig.hear(a, a.accuse(x))
        assert rig.status(x) is Status.ALIVE
    rig.hear(b, b.accuse(x))
    assert rig.status(x) is Status.SUSPECT, "another's word counts"
    rig.hear(b, x.again())
    rig.run(LAN.accusation_window(6) - 17)
    rig.hear(a, a.accuse(x))
    assert rig.status(x) is Status.SUSPECT


# -- confirmation


@pytest.mark.parametrize(("suspects", "lookers"), [(1, LOOKERS_AT_ONE), (2, LAN.suspicion_k)])
def test_some_of_the_others_look_at_once_when_they_hear_an_accusation(suspects: int, lookers: int) -> None:
    """Confirmation does not wait for the round robin: so many look, on average, fewer in bad times."""
    n, looks, runs = 20, 0, 300
    for seed in range(runs):
        rig = Rig(seed)
        a, b, *_, other, x = rig.members(n - 1)
        while rig.node._prober._running:
            rig.run(RTT)
        if suspects == 2:
            rig.hear(b, b.accuse(other))
        x.heard.clear()
        rig.hear(a, a.accuse(x))
        looks += len(x.got(Ping))
    expected = runs * lookers / (n - 2)
    assert looks == pytest.approx(expected, abs=3.5 * expected**0.5)


def test_whoever_looks_at_the_only_suspect_asks_in_all_ways_at_once_for_half_a_period() -> None:
    rig = Rig(params=PATIENT)
    a, _, x = rig.members(3)
    x.acks = False
    rig.run(RTT)
    while rig.node._prober._running:
        rig.run(RTT)
    x.heard.clear()
    rig.hear(a, a.accuse(x))
    assert len(x.got(Ping)) == 1
    assert sum(len(peer.got(PingRequest)) for peer in rig.peers) == 2
    assert rig.run_until(lambda: rig.id in rig.member(x).accusations, 5) == pytest.approx(LAN.period / 2)
    assert len(x.got(Ping)) == 2


def test_with_two_others_everybody_looks() -> None:
    rig = Rig()
    a, _, x = rig.members(3)
    rig.hear(a, a.accuse(x))
    (ping,) = x.got(Ping)[-1:]
    assert len(ping.news) == 1


def test_a_probe_that_is_acked_does_not_end_a_suspicion_but_the_answer_does() -> None:
    """The ack proves that X reaches me; only its own word tells everybody."""
    rig = Rig()
    a, _, x = rig.members(3)
    rig.hear(a, a.accuse(x))
    rig.run(2)
    assert rig.status(x) is Status.SUSPECT
    ping = x.got(Ping)[-1]
    x.acks = False
    rig.run_until(lambda: x.got(Ping)[-1] is not ping)
    rig.feed(x.ack(x.got(Ping)[-1], x.again()), x)
    assert rig.status(x) is Status.ALIVE


def test_the_pinger_that_is_suspected_is_told_with_the_ack() -> None:
    """The buddy system, the other way round."""
    rig = Rig()
    a, *_, x = rig.members(4)
    charge = a.accuse(x)
    rig.hear(a, charge)
    rig.run(1)
    rig.quieten()
    effects = rig.feed(x.ping(), x)
    (ack,) = rig.sent(Ack, x, effects)
    assert charge.raw in ack.news


# -- in a cluster


def test_a_member_that_all_but_one_can_hear_survives_its_accuser() -> None:
    """A node that hears nothing accuses everybody; everybody refutes; nobody dies anywhere."""
    world = cluster(6, seed=41)
    deaf = world.hosts[4]
    deaf.deaf = True
    world.run(20)
    deaf.deaf = False
    world.run_until(world.converged, limit=60)
    for host in world.hosts:
        if host is not deaf:
            assert none_sees(world, host, Status.DEAD)
            others = [other for other in world.hosts if other is not deaf]
            assert all(EventKind.MEMBER_FAILED not in about(other, host) for other in others)


def test_a_liar_alone_cannot_have_anybody_held_dead() -> None:
    """No death by hearsay: a member accuses another for minutes, in every way; all look for themselves."""
    world = cluster(5, seed=42)
    host, liar = puppet(world, *world.hosts)
    victim = world.hosts[2]
    for _ in range(60):
        for kind in Kind:
            news = liar.news(liar.accuse(victim, kind))
            say(host, *[Send(other.address, news) for other in world.hosts[:5]])
        world.run(2)
    for other in world.hosts[:5]:
        assert EventKind.MEMBER_FAILED not in about(other, victim)
    suspected = about(world.hosts[0], victim).count(EventKind.MEMBER_SUSPECTED)
    assert 1 <= suspected <= 120 / LAN.suspicion_max(6) + 1
    assert victim.node.health <= 1


@pytest.mark.parametrize("count", [3, 5, 32])
def test_a_death_takes_as_long_as_its_evidence_is_weak(count: int) -> None:
    """Scenarios 32 and 34: never sooner than the shortest clock, never later than the longest."""
    world = cluster(count, seed=count)
    victim = world.hosts[-1]
    world.crash(victim, machine=True)
    begun = world.now
    world.run_until(lambda: all_see(world, victim, Status.DEAD), limit=LAN.suspicion_max(count) + 2 * count)
    for host in world.running():
        (suspected,) = host.told(EventKind.MEMBER_SUSPECTED, victim.name)
        (failed,) = host.told(EventKind.MEMBER_FAILED, victim.name)
        assert LAN.suspicion_min(count) <= failed - suspected <= LAN.suspicion_max(count) + 1
        assert suspected > begun


# -- any order of arrival


@pytest.mark.parametrize("run", range(40))
def test_any_schedule_of_accusations_ends_the_clock_as_the_formula_says(run: int, seed: int) -> None:
    """Scenarios 33, 34, 36, 40 to 42, as a property: accusers, repeats and refutations at random times.

    The model keeps the set of accusers with the times at which they were first heard, and knows nothing of
    timers: a member is looked at when the formula's time for the accusers so far has passed, or so much
    earlier as a thorough look takes.
    """
    chance = random.Random(seed + run)
    n = chance.choice([4, 5, 6, 12])
    alone = chance.random() < 0.5
    sooner = LAN.direct_max if alone else 0.0
    rig, others, x = group(n, alone=alone)
    heard: dict[bytes, float] = {}
    began = 0.0
    events: list[tuple[float, Peer | None]] = sorted(
        ((chance.uniform(0, 40), chance.choice([*others[:6], None])) for _ in range(chance.randrange(1, 9))),
        key=lambda event: event[0],
    )
    start = rig.now
    for at, accuser in events:
        due = began + suspicion_timeout(PATIENT, n, len(heard) - 1) - sooner if heard else float("inf")
        if due <= at:
            break
        rig.run(start + at - rig.now)
        assert x.got(Ping) == [], f"nobody is looked at before {due}"
        if accuser is None:
            rig.hear(others[0], x.again())
            heard.clear()
            for member in rig.node.members:
                member.case.accuse_at = float("-inf")
            rig.member(x).case.accused_at.clear()
        else:
            began = began if heard else at
            heard.setdefault(accuser.id, at)
            rig.hear(chance.choice(others), *[accuser.accuse(x)] * chance.randrange(1, 3))
        assert set(rig.member(x).accusations) == set(heard)
    if heard:
        now = rig.now - start
        due = began + suspicion_timeout(PATIENT, n, len(heard) - 1) - sooner
        assert looked(rig, x) == pytest.approx(max(0.0, due - now), abs=1e-6)
    else:
        rig.run(100)
        assert x.got(Ping) == []
