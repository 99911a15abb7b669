"""Probing on behalf of a peer."""

from __future__ import annotations

import pytest

from gossip.core.effects import Close, Dial, Effect
from gossip.core.helping import CALLS_MAX, FAVOURS_EACH, OTHERS_MAX
from gossip.core.messages import Ping, PingRequest, Report
from gossip.core.types import Address, NodeId, Outcome
from tests.core.rig import Peer, Rig

PATIENCE_MS = 1_000
NOBODY = b"nobody knows me!"


def ask(rig: Rig, asker: Peer, target: NodeId, address: Address, seq: int = 9) -> None:
    rig.feed(PingRequest(seq, asker.id, target, address, PATIENCE_MS), asker)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_helper_pings_and_reports_the_ack(rig: Rig) -> None:
    asker, target = rig.members(2)
    ask(rig, asker, target.id, target.address)
    (ping,) = target.got(Ping)
    assert ping.target == target.id
    rig.run(0.1)
    assert asker.got(Report) == [Report(9, rig.id, Outcome.ACKED, life=1)]
    assert not rig.node._pings._expected


def test_a_helper_that_met_silence_says_so_in_time(rig: Rig) -> None:
    """Scenario 8: at 80 % of the patience, so that the asker hears it before the end."""
    asker, target = rig.members(2)
    target.acks = False
    rig.run(0.5)
    asker.heard.clear()
    begun = rig.now
    ask(rig, asker, target.id, target.address)
    took = rig.run_until(lambda: asker.got(Report))
    assert took == pytest.approx(0.8)
    assert rig.now - begun == pytest.approx(0.8)
    assert asker.got(Report) == [Report(9, rig.id, Outcome.SILENT, life=1)]
    rig.run(2)
    assert len(asker.got(Report)) == 1


def test_a_helper_that_was_refused_says_so_at_once(rig: Rig) -> None:
    asker, target = rig.members(2)
    target.refuses = True
    ask(rig, asker, target.id, target.address)
    rig.run(0.1)
    assert asker.got(Report) == [Report(9, rig.id, Outcome.REFUSED, life=1)]


def test_a_helper_asked_for_whom_it_does_not_know_answers_and_pings_nobody(rig: Rig) -> None:
    """Scenario 4."""
    (asker,) = rig.members(1)
    stranger = rig.peer("stranger")
    ask(rig, asker, stranger.id, stranger.address)
    assert asker.got(Report) == [Report(9, rig.id, Outcome.SILENT, life=1)]
    assert stranger.heard == []
    rig.run(3)
    assert rig.node.counters["accused"] == 0


def test_a_helper_asked_for_itself_answers(rig: Rig) -> None:
    """Scenario 4."""
    (asker,) = rig.members(1)
    ask(rig, asker, rig.id, ("10.0.0.1", 7_946))
    assert asker.got(Report) == [Report(9, rig.id, Outcome.ACKED, life=1)]


def test_nobody_can_aim_a_helper_at_an_address_of_their_own_choice(rig: Rig) -> None:
    asker, target = rig.members(2)
    elsewhere = rig.peer("victim")
    ask(rig, asker, target.id, elsewhere.address)
    assert asker.got(Report) == [Report(9, rig.id, Outcome.SILENT, life=1)]
    assert elsewhere.heard == []


def test_favours_are_bounded(rig: Rig) -> None:
    *askers, target = rig.members(21)
    target.acks = False
    for number in range(300):
        ask(rig, askers[number % 20], target.id, target.address, seq=number)
    assert len(target.got(Ping)) == 256
    refused = [report.seq for asker in askers for report in asker.got(Report)]
    assert sorted(refused) == list(range(256, 300))
    rig.run(1.0)
    assert sum(len(asker.got(Report)) for asker in askers) == 300
    ask(rig, askers[0], target.id, target.address, seq=1_000)
    assert len(target.got(Ping)) >= 257


def test_one_asker_cannot_use_up_all_favours(rig: Rig) -> None:
    """Or a malicious member could leave every probe without helpers."""
    greedy, honest, target = rig.members(3)
    target.acks = False
    for number in range(100):
        ask(rig, greedy, target.id, target.address, seq=number)
    assert len(target.got(Ping)) == 16
    assert len(greedy.got(Report)) == 84
    ask(rig, honest, target.id, target.address)
    assert len(target.got(Ping)) == 17


def test_nor_by_saying_that_it_is_elsewhere_now(rig: Rig) -> None:
    greedy, honest, target = rig.members(3)
    target.acks = False
    for number in range(20):
        rig.hear(honest, greedy.again(port=9_000 + number))
        for turn in range(FAVOURS_EACH):
            ask(rig, greedy, target.id, target.address, seq=FAVOURS_EACH * number + turn)
    assert len(rig.node._helping._favours) == FAVOURS_EACH


@pytest.mark.parametrize("is_named", [False, True])
def test_who_is_no_member_uses_up_no_favours_of_members(rig: Rig, is_named: bool) -> None:
    """Whoever has the cluster's key writes any name, but does not send from where that member is."""
    asker, target, gone = rig.members(3)
    gone.acks = False
    sender = asker.id if is_named else NOBODY
    favours = rig.node._helping._favours
    for number in range(400):
        request = PingRequest(number, sender, gone.id, gone.address, 60_000)
        rig.feed(request, ("10.9.9.9", 4_000 + number % 100))
    assert len(favours) == FAVOURS_EACH
    for number in range(400):
        request = PingRequest(number, sender, gone.id, gone.address, 60_000)
        rig.feed(request, (f"10.9.9.{number % 100}", 4_000))
    assert len(favours) == OTHERS_MAX
    ask(rig, asker, target.id, target.address)
    rig.run(0.1)
    assert asker.got(Report) == [Report(9, rig.id, Outcome.ACKED, life=1)]


def test_a_network_of_ipv6_is_one_host(rig: Rig) -> None:
    (gone,) = rig.members(1)
    gone.acks = False
    for number in range(40):
        request = PingRequest(number, NOBODY, gone.id, gone.address, 60_000)
        rig.feed(request, (f"2001:db8:0:1::{number:x}", 4_000))
    assert len(rig.node._helping._favours) == FAVOURS_EACH


def test_agents_of_one_host_have_each_their_own_favours(rig: Rig) -> None:
    askers = [rig.peer(address=("127.0.0.1", 8_000 + number)) for number in range(50)]
    for peer in askers:
        rig.introduce(peer)
    (target,) = rig.members(1)
    target.acks = False
    for peer in askers:
        peer.heard.clear()
        ask(rig, peer, target.id, target.address)
    assert len(rig.node._helping._favours) == 50
    assert not any(peer.got(Report) for peer in askers)


def degraded(rig: Rig) -> Peer:
    """One whom the node reaches over streams only."""
    _, *_, target = rig.members(3)
    target.acks, target.stream = False, True
    rig.run_until(lambda: rig.member(target).degraded)
    return target


def test_a_helper_asks_over_a_stream_whom_it_reaches_over_streams_only(rig: Rig) -> None:
    """Scenario 14: the asker may have no other way, and would bury a member that is well."""
    target = degraded(rig)
    asker = rig.peers[0]
    asker.heard.clear()
    begun = len(rig.effects)
    ask(rig, asker, target.id, target.address)
    (dial,) = [effect for effect in rig.effects[begun:] if isinstance(effect, Dial)]
    assert dial.address == target.address
    assert dial.timeout == pytest.approx(0.8)
    # Late: the asker's own stream may tell it more, until then.
    took = rig.run_until(lambda: asker.got(Report))
    assert took == pytest.approx(0.8)
    assert asker.got(Report) == [Report(9, rig.id, Outcome.ACKED, life=1)]
    assert Close(dial.stream) in rig.effects[begun:]


def test_a_stream_that_is_refused_to_a_helper_is_reported(rig: Rig) -> None:
    """A firewall keeps the datagram's refusal away: without this a crash behind one were slow to tell."""
    target = degraded(rig)
    asker = rig.peers[0]
    asker.heard.clear()
    target.stream, target.refuses = False, True
    rig.moved(target, ("10.9.9.9", 1))
    begun = len(rig.effects)
    ask(rig, asker, target.id, target.address)
    (dial,) = [effect for effect in rig.effects[begun:] if isinstance(effect, Dial)]
    rig.do(lambda now: rig.node.stream_closed(dial.stream, "refused", now))
    assert asker.got(Report) == [Report(9, rig.id, Outcome.REFUSED, life=1)]


def test_an_answer_on_a_stream_that_is_not_the_members_is_none(rig: Rig) -> None:
    target = degraded(rig)
    asker, other = rig.peers[0], rig.peers[1]
    asker.heard.clear()
    target.stream = False
    ask(rig, asker, target.id, target.address)
    stream = rig.dialled(target.address)
    (ping,) = rig.frames(stream)
    assert isinstance(ping, Ping)
    for wrong in (
        other.ack(ping),
        target.ack(ping, seq=ping.seq + 1),
        target.ack(ping, address=("10.9.9.9", 1)),
        target.gossip(),
    ):
        rig.frame(stream, wrong)
    assert asker.got(Report) == []
    rig.run(1.0)
    assert asker.got(Report) == [Report(9, rig.id, Outcome.SILENT, life=1)]


def test_favours_over_streams_are_bounded(rig: Rig) -> None:
    """And who asks for more gets a datagram's answer: streams are few."""
    *askers, target = rig.members(5)
    target.acks, target.stream = False, True
    rig.run_until(lambda: rig.member(target).degraded)
    target.stream = False
    rig.run_until(lambda: not rig.node._prober._running)
    before = len(rig.node._sessions)
    for number in range(40):
        ask(rig, askers[number % 4], target.id, target.address, seq=number)
    assert len(rig.node._sessions) - before == CALLS_MAX
    rig.run(2.0)
    assert sum(len(asker.got(Report)) for asker in askers) >= 40
    assert not rig.node._helping._favours
    assert len(rig.node._sessions) <= before + 1


def dials(effects: list[Effect], to: Peer) -> int:
    return sum(isinstance(effect, Dial) and effect.address == to.address for effect in effects)


@pytest.mark.parametrize("is_member", [False, True])
def test_one_asker_cannot_use_up_all_favours_over_streams(rig: Rig, is_member: bool) -> None:
    """Or the helper would say that whom it reaches over streams only is silent."""
    target = degraded(rig)
    greedy, honest = rig.peers[:2]
    greedy.heard.clear()
    honest.heard.clear()
    helping = rig.node._helping
    for number in range(CALLS_MAX):
        if is_member:
            ask(rig, greedy, target.id, target.address, seq=number)
        else:
            rig.feed(
                PingRequest(number, NOBODY, target.id, target.address, PATIENCE_MS),
                (f"10.9.9.{number}", 4_000),
            )
    assert sum(favour.stream > 0 for favour in helping._favours.values()) == CALLS_MAX
    begun = len(rig.effects)
    ask(rig, honest, target.id, target.address)
    assert dials(rig.effects[begun:], target) == 1
    assert sum(favour.stream > 0 for favour in helping._favours.values()) == CALLS_MAX
    rig.run(1.0)
    assert honest.got(Report) == [Report(9, rig.id, Outcome.ACKED, life=1)]
    if is_member:
        # The one that gave way was done by datagram alone, and the others as ever.
        met = {report.seq: report.outcome for report in greedy.got(Report)}
        assert met == {0: Outcome.SILENT, **dict.fromkeys(range(1, CALLS_MAX), Outcome.ACKED)}
    assert not helping._favours


def test_nobody_gives_way_to_who_has_as_many(rig: Rig) -> None:
    target = degraded(rig)
    askers = rig.peers[:2]
    for number in range(2 * CALLS_MAX):
        ask(rig, askers[number % 2], target.id, target.address, seq=number)
    begun = len(rig.effects)
    for asker in askers:
        ask(rig, asker, target.id, target.address, seq=99)
    assert dials(rig.effects[begun:], target) == 0
