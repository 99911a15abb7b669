"""The last look: how often it asks, how long it waits, and what one lost datagram costs."""

from __future__ import annotations

import msgspec
import pytest

from gossip.core.detector import UNSURE_MAX
from gossip.core.messages import Ping, PingRequest
from gossip.core.params import LAN
from gossip.core.types import Kind, Outcome, Status
from tests.core.rig import RTT, Peer, Rig

QUIET = msgspec.structs.replace(LAN, period=1_000.0, suspicion_alpha=0.001)


ROUND = LAN.direct_max / 10
"""Seconds that a ping is given on a quick network."""


def crowd(rig: Rig) -> None:
    """Times are bad: nobody is the only suspect."""
    rig.node._detector.is_alone = lambda member: False  # type: ignore[method-assign]  # noqa: ARG005 - its name


def looked_at(
    accusers: int,
    others: int = 7,
    helps: Outcome | None = Outcome.SILENT,
    *,
    itself: bool = False,
    alone: bool = False,
) -> tuple[Rig, Peer, float]:
    """A member looked at by a node that knows its round trip, on the word of so many; and since when.

    With `itself` this node is one of them. As far as it knows there are other suspects, unless `alone`.
    """
    rig = Rig(params=QUIET)
    *peers, x = rig.members(others + 1)
    if not alone:
        crowd(rig)
    rig.node._prober.start = lambda *_, **__: None  # type: ignore[method-assign]
    rig.member(x).sample_rtt(RTT)
    x.acks = False
    for peer in peers:
        peer.helps = helps
    if itself:
        rig.do(lambda now: rig.node._detector.accuse(rig.member(x), Kind.SILENT, now))
        assert rig.status(x) is Status.SUSPECT
    for accuser in peers[: accusers - itself]:
        rig.hear(accuser, accuser.accuse(x))
    rig.run_until(lambda: x.got(Ping), 10)
    return rig, x, rig.now


@pytest.mark.parametrize(("accusers", "pings"), [(1, 3), (2, 1), (4, 1)])
def test_the_fewer_accuse_the_oftener_it_asks(accusers: int, pings: int) -> None:
    """Where as many accuse as bring the clock to its minimum, once is enough for who is one of them."""
    rig, x, since = looked_at(accusers, itself=True)
    rig.run_until(lambda: rig.status(x) is Status.DEAD, 10)
    assert len(x.got(Ping)) == pings
    assert {ping.target for ping in x.got(Ping)} == {x.id}
    asked = sum(len(peer.got(PingRequest)) for peer in rig.peers)
    if pings == 1:
        assert asked == 0
        assert rig.now - since == pytest.approx(ROUND)
    else:
        assert asked == LAN.helpers
        assert 2 * ROUND < rig.now - since < 2 * ROUND + LAN.direct_max, (
            "no longer than all of them have spoken"
        )


def test_one_bad_path_buries_nobody() -> None:
    """A single accuser, and this node does not reach the member either: a helper does."""
    rig, x, _ = looked_at(1, helps=Outcome.ACKED)
    rig.run_until(lambda: rig.status(x) is Status.ALIVE, 10)
    assert len(x.got(Ping)) == 3
    assert rig.node.counters["false_alarms"] == 1
    rig.run(5)
    assert rig.node.counters["report_unexpected"] == LAN.helpers - 1, "what the others say comes too late"
    assert not rig.node._requests
    assert not rig.node._pings._expected


def test_helpers_that_say_nothing_are_not_waited_for_longer_than_they_were_given() -> None:
    rig, x, since = looked_at(1, helps=None)
    rig.run_until(lambda: rig.status(x) is Status.DEAD, 10)
    assert rig.now - since == pytest.approx(2 * ROUND + LAN.direct_max)
    assert not rig.node._requests


def test_with_nobody_to_ask_it_pings_three_times() -> None:
    rig = Rig(params=QUIET)
    (x,) = rig.members(1)
    x.acks = False
    rig.member(x).sample_rtt(RTT)
    rig.node.members.get(x.id)
    rig.do(lambda now: rig.node._detector.accuse(rig.member(x), Kind.SILENT, now))
    rig.run_until(lambda: rig.status(x) is Status.DEAD, 10)
    assert len(x.got(Ping)) == 3


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_an_ack_of_any_of_them_ends_it(answered: int) -> None:
    rig, x, _ = looked_at(1)
    rig.run_until(lambda: len(x.got(Ping)) == answered + 1, 10)
    rig.feed(x.ack(x.got(Ping)[0]), x)
    assert rig.status(x) is Status.ALIVE
    rig.run(5)
    assert len(x.got(Ping)) == answered + 1
    assert not rig.node._pings._expected


def test_a_refusal_ends_it_at_once() -> None:
    rig, x, since = looked_at(2, itself=True)
    rig.do(lambda now: rig.node.refused(x.address, now))
    assert rig.status(x) is Status.DEAD
    assert rig.now == since


def test_where_one_accuses_a_refusal_says_no_more_than_silence() -> None:
    """A box on the way to this node may have sent it: helpers are asked, without waiting."""
    rig, x, since = looked_at(1, helps=Outcome.ACKED)
    x.refuses = True
    rig.do(lambda now: rig.node.refused(x.address, now))
    rig.run_until(lambda: rig.status(x) is Status.ALIVE, 10)
    assert rig.now - since < ROUND
    rig.run(5)
    assert not rig.node._requests
    assert not rig.node._pings._expected


def test_of_two_one_refusal_does_not_end_the_clock() -> None:
    """Nobody else can be asked: the other may be back before it ends, or whatever refused be gone."""
    rig = Rig()
    (x,) = rig.members(1)
    rig.run(5)
    x.acks, x.refuses = False, True
    rig.run_until(lambda: rig.status(x) is Status.SUSPECT, 60)
    rig.run(LAN.suspicion_max(2) - LAN.direct_max / 2)
    assert rig.status(x) is Status.SUSPECT, "it was refused a quarter of a second ago"
    x.acks, x.refuses = True, False
    rig.run_until(lambda: rig.status(x) is Status.ALIVE, LAN.direct_max / 2)


def test_who_is_refused_everywhere_is_dead_without_a_wait() -> None:
    rig, x, since = looked_at(1, helps=Outcome.REFUSED)
    x.refuses = True
    rig.do(lambda now: rig.node.refused(x.address, now))
    rig.run_until(lambda: rig.status(x) is Status.DEAD, 10)
    assert rig.now - since < ROUND


def test_on_evidence_of_two_the_look_is_taken_at_once() -> None:
    rig = Rig(params=QUIET)
    a, b, *_, x = rig.members(8)
    x.acks = False
    for accuser in (a, b):
        rig.hear(accuser, accuser.accuse(x, Kind.REFUSED))
    rig.run(0)
    assert x.got(Ping)


@pytest.mark.parametrize("accusers", [2, 4])
def test_who_has_met_nothing_itself_asks_three_times_at_once(accusers: int) -> None:
    """All accusers may be one liar, and a datagram may be lost: that buries nobody, and takes no time."""
    rig, x, _ = looked_at(accusers)
    assert len(x.got(Ping)) == 3
    rig.feed(x.ack(x.got(Ping)[2]), x)
    assert rig.status(x) is Status.ALIVE


@pytest.mark.parametrize("accusers", [2, 4])
def test_and_three_times_more_where_none_of_them_is_answered(accusers: int) -> None:
    """One liar can have such looks taken by the thousand: three lost are too few (siege, seed 519)."""
    rig, x, _ = looked_at(accusers)
    rig.run_until(lambda: len(x.got(Ping)) > 3, 10)
    rig.feed(x.ack(x.got(Ping)[5]), x)
    assert rig.status(x) is Status.ALIVE
    rig, x, since = looked_at(accusers)
    rig.run_until(lambda: rig.status(x) is Status.DEAD, 10)
    assert rig.now - since == pytest.approx(2 * ROUND)
    assert len(x.got(Ping)) == 6
    assert not rig.node._pings._expected


@pytest.mark.parametrize(("age", "places", "pings"), [(0, 2, 3), (19, 2, 3), (21, 1, 3), (21, 2, 1)])
def test_on_the_word_of_two_of_long_standing_on_two_hosts_it_asks_once(
    age: int, places: int, pings: int
) -> None:
    """Whoever has the cluster's key can invent members, but no other hosts on which they answer for long."""
    rig = Rig(params=QUIET)
    a, b, *_, x = rig.members(8)
    rig.node._prober.start = lambda *_, **__: None  # type: ignore[method-assign]
    rig.member(x).sample_rtt(RTT)
    if places == 1:
        rig.hear(a, b.again(host=a.address[0], port=9_999))
    crowd(rig)
    rig.run(age * QUIET.period)
    x.acks = False
    for accuser in (a, b):
        rig.hear(accuser, accuser.accuse(x))
    rig.run_until(lambda: x.got(Ping), 10)
    assert len(x.got(Ping)) == pings


# -- the only suspect: no haste without care


def test_the_only_suspect_is_looked_at_in_all_ways_until_its_clock_ends() -> None:
    """Three pings and three helpers, in the last half second of the clock instead of after it."""
    rig, x, since = looked_at(2, alone=True)
    clock = rig.node._detector._suspicion_ends(rig.member(x), rig.now)
    assert clock - since == pytest.approx(LAN.direct_max)
    assert sum(len(peer.got(PingRequest)) for peer in rig.peers) == LAN.helpers
    rig.run_until(lambda: rig.status(x) is Status.DEAD, 10)
    assert rig.now == pytest.approx(clock)
    assert len(x.got(Ping)) == 3
    rig.run(5)
    assert not rig.node._requests
    assert not rig.node._pings._expected


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_an_ack_of_any_of_the_three_saves_the_only_suspect(answered: int) -> None:
    rig, x, _ = looked_at(2, alone=True)
    rig.run_until(lambda: len(x.got(Ping)) == answered + 1, 10)
    rig.feed(x.ack(x.got(Ping)[0]), x)
    assert rig.status(x) is Status.ALIVE


def test_a_helper_that_reaches_whom_only_one_accuses_saves_it() -> None:
    rig, x, _ = looked_at(1, helps=Outcome.ACKED, alone=True)
    rig.run_until(lambda: rig.status(x) is Status.ALIVE, 10)
    assert len(x.got(Ping)) == 1


def test_against_two_accusers_a_helpers_word_only_puts_the_end_off() -> None:
    """It may be a lie: whoever lives answers its accusers. Whoever lies is not asked every time."""
    rig, x, since = looked_at(2, helps=Outcome.ACKED, alone=True)
    rig.run(1)
    assert rig.status(x) is Status.SUSPECT
    assert rig.node.counters["look_unsure"] == 1
    for peer in rig.peers:
        peer.helps = Outcome.SILENT
    rig.run_until(lambda: rig.status(x) is Status.DEAD, QUIET.period + 2)
    assert QUIET.period < rig.now - since < QUIET.period + 1


def test_three_times_as_many_help_where_nobody_confirms_the_only_accuser() -> None:
    """It may be the path between two members, which most of the others are not on."""
    rig, _, _ = looked_at(1, others=16, alone=True, itself=True)
    assert sum(len(peer.got(PingRequest)) for peer in rig.peers) == 3 * LAN.helpers


def test_who_hears_no_helper_either_looks_again_a_period_later() -> None:
    """Scenario 16: it is this node's side of a cut, or its own line. Refuted meanwhile, nobody is dead."""
    rig, x, since = looked_at(2, helps=None, alone=True)
    rig.run(LAN.direct_max + 1)
    assert rig.status(x) is Status.SUSPECT
    assert rig.node.counters["look_unsure"] == 1
    rig.run_until(lambda: len(x.got(Ping)) == 4, QUIET.period + 1)
    assert rig.now - since == pytest.approx(LAN.direct_max + QUIET.period)


def test_but_not_for_ever() -> None:
    """Helpers may be out of reach by datagram, and the member dead all the same."""
    rig, x, since = looked_at(2, helps=None, alone=True)
    rig.run_until(lambda: rig.status(x) is Status.DEAD, (UNSURE_MAX + 1) * (QUIET.period + 1))
    assert rig.node.counters["look_unsure"] == UNSURE_MAX
    assert UNSURE_MAX * QUIET.period < rig.now - since


def test_with_others_suspect_too_it_is_buried_all_the_same() -> None:
    """Half a cluster may be gone, and with it all helpers that are asked."""
    rig, x, _ = looked_at(2, helps=None, alone=True)
    rig.run(LAN.direct_max + 1)
    crowd(rig)
    rig.run_until(lambda: rig.status(x) is Status.DEAD, QUIET.period + 1)


def test_evidence_of_two_is_looked_into_at_once_and_quickly() -> None:
    rig = Rig(params=QUIET)
    a, b, *_, x = rig.members(8)
    x.acks = False
    for accuser in (a, b):
        rig.hear(accuser, accuser.accuse(x, Kind.REFUSED))
    rig.run(0)
    assert not any(peer.got(PingRequest) for peer in rig.peers)
