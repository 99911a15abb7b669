"""Trying a node in every way, and doing it for others: who is tried, how often, what is made of it."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from gossip.core.dialback import AT_ONCE, REST, RESTING_MAX
from gossip.core.effects import Close, Dial, Effect, Write
from gossip.core.events import EventKind
from gossip.core.examiner import SUBJECTS_MAX, Examined
from gossip.core.messages import (
    Ack,
    Busy,
    DialBack,
    DialledBack,
    Frame,
    FullPing,
    Ping,
    PingRequest,
    Report,
    Turned,
)
from gossip.core.params import LAN, PACKET_OVERHEAD_BYTES
from gossip.core.types import Address, Kind, Outcome, Phase, Reach, Status, StreamId
from gossip.errors import LimitError, RefusedError
from gossip.wire.codec import encode
from tests.core.rig import HOME, RTT, Peer, Rig

PATIENCE = 4.0


def examine(rig: Rig, *peers: Peer, doubtful: tuple[Peer, ...] = ()) -> list[Effect]:
    """Begin an examination: what the node asks for at once."""
    ids, doubted = [peer.id for peer in peers], [peer.id for peer in doubtful]
    return rig.do(lambda now: rig.node.examine(ids, doubted, PATIENCE, now))


def found(rig: Rig) -> Examined:
    """The one result of the examination, which must be over."""
    assert rig.told(EventKind.EXAMINED) == [rig.node.name]
    (examined,) = rig.node.examined
    examiner = rig.node._examiner
    assert not examiner.is_trying
    assert not examiner.is_busy
    assert not examiner._under_way
    assert not examiner._requests
    return examined


def dialled(effects: list[Effect], to: Address) -> StreamId:
    (stream,) = [effect.stream for effect in effects if isinstance(effect, Dial) and effect.address == to]
    return stream


def written(rig: Rig, kind: type[Any]) -> list[Any]:
    return [e.frame for e in rig.effects if isinstance(e, Write) and isinstance(e.frame, kind)]


def is_closed(rig: Rig, stream: StreamId) -> bool:
    return any(isinstance(effect, Close) and effect.stream == stream for effect in rig.effects)


# -- trials


def test_a_full_ping_is_as_long_as_the_longest_datagram_and_follows_an_ack() -> None:
    rig = Rig()
    (peer,) = rig.members(1)
    peer.acks = False
    examine(rig, peer)
    assert peer.got(FullPing) == []
    (ping,) = [each for each in peer.got(Ping) if type(each) is Ping]
    rig.feed(peer.ack(ping), peer)
    (full,) = peer.got(FullPing)
    assert PACKET_OVERHEAD_BYTES + len(encode(full)) == LAN.packet_bytes_proven
    assert full.news == ()


def test_who_answers_nothing_gets_four_small_pings_and_none_of_full_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig()
    (peer,) = rig.members(1)
    monkeypatch.setattr(rig.node._prober, "next_round", lambda _now: None)
    peer.acks = False
    rig.run(2)
    rig.quieten_peers()
    examine(rig, peer)
    rig.run(PATIENCE)
    assert [type(each) for each in peer.heard] == [Ping] * 4
    examined = found(rig)
    assert (examined.small, examined.full, examined.stream) == (Reach.SILENT, Reach.UNTRIED, Reach.SILENT)
    assert (examined.rtt, examined.heard, examined.back) == (None, False, None)


def test_full_pings_without_an_answer_show_the_size() -> None:
    rig = Rig()
    (peer,) = rig.members(1)
    peer.stream = True
    peer.acks = False
    examine(rig, peer)
    rig.feed(peer.ack(peer.got(Ping)[-1]), peer)
    rig.run(PATIENCE)
    assert len(peer.got(FullPing)) == 4
    assert (found(rig).small, found(rig).full) == (Reach.ACKED, Reach.SILENT)


def test_a_closed_port_is_known_at_once() -> None:
    rig = Rig()
    (peer,) = rig.members(1)
    peer.refuses = True
    examine(rig, peer)
    rig.run(2 * RTT)
    examined = found(rig)
    assert (examined.small, examined.full, examined.stream) == (Reach.REFUSED, Reach.UNTRIED, Reach.REFUSED)


@pytest.mark.parametrize(
    ("opened", "reason", "reach"),
    [
        (False, "refused", Reach.REFUSED),
        (False, "timeout", Reach.SILENT),
        (False, "unreachable", Reach.UNREACHABLE),
        (True, "refused", Reach.REFUSED),
        (True, "timeout", Reach.MUTE),
        (True, "eof", Reach.HUNG_UP),
        (True, "reset", Reach.HUNG_UP),
        (True, "malformed", Reach.FOREIGN),
    ],
)
def test_how_a_stream_ends_says_what_is_there(opened: bool, reason: str, reach: Reach) -> None:
    rig = Rig()
    (peer,) = rig.members(1)
    stream = dialled(examine(rig, peer), peer.address)
    if opened:
        rig.do(lambda now: rig.node.stream_opened(stream, now))
    rig.do(lambda now: rig.node.stream_closed(stream, reason, now))
    rig.run(5 * RTT)
    assert found(rig).stream is reach


def test_an_answer_of_another_on_the_stream_is_none() -> None:
    rig = Rig()
    peer, other = rig.members(2)
    effects = examine(rig, peer)
    stream = dialled(effects, peer.address)
    (ping,) = [e.frame for e in effects if isinstance(e, Write) and isinstance(e.frame, Ping)]
    rig.do(lambda now: rig.node.stream_opened(stream, now))
    wrong: list[Frame] = [
        other.ack(ping),
        peer.ack(ping, seq=ping.seq ^ 1),
        peer.ack(ping, address=("10.0.0.9", 1)),
        DialledBack(HOME, HOME, 0, 0, 0, heard=True),
    ]
    for frame in wrong:
        rig.frame(stream, frame)
    rig.run(PATIENCE)
    assert found(rig).stream is Reach.MUTE
    assert found(rig).back is None


@pytest.mark.parametrize(
    ("answer", "back", "why"),
    [
        (DialledBack(HOME, ("10.5.5.5", 40_000), 1, 8, 2, heard=True), True, ""),
        (Busy(1_000, ()), False, "busy"),
        (Turned("no"), False, "no"),
        (None, False, "no answer"),
    ],
)
def test_a_peer_is_asked_to_dial_back_on_the_same_stream(answer: Frame | None, back: bool, why: str) -> None:
    rig = Rig()
    (peer,) = rig.members(1)
    peer.stream = True
    stream = dialled(examine(rig, peer), peer.address)
    rig.run(5 * RTT)
    (request,) = written(rig, DialBack)
    assert (request.sender, request.record) == (rig.id, rig.node.me.fact.raw)
    assert request.patience_ms == 2_000
    assert rig.told(EventKind.EXAMINED) == []
    if answer is not None:
        rig.frame(stream, answer)
    else:
        rig.run(PATIENCE)
    examined = found(rig)
    assert is_closed(rig, stream)
    assert examined.no_back == why
    if back:
        assert examined.back is not None
        assert examined.back.seen == ("10.5.5.5", 40_000)
        assert (examined.back.small, examined.back.stream) == (Reach.SILENT, Reach.REFUSED)


def test_others_are_asked_as_helpers_and_only_they_can_report() -> None:
    rig = Rig()
    *others, x = rig.members(6)
    x.acks = False
    for peer in others:
        peer.helps = None
    examine(rig, x, doubtful=(x,))
    asked = [peer for peer in others if peer.got(PingRequest)]
    assert len(asked) == 3
    (request,) = {peer.got(PingRequest)[-1] for peer in asked}
    assert (request.target, request.address) == (x.id, x.address)
    bystander = next(peer for peer in others if peer not in asked)
    rig.feed(Report(request.seq, bystander.id, Outcome.ACKED), bystander)
    assert rig.node.counters["report_unexpected"] == 1
    rig.feed(Report(request.seq, asked[0].id, Outcome.REFUSED), asked[0])
    rig.run(PATIENCE)
    met = {asked[0].id: Outcome.REFUSED, asked[1].id: None, asked[2].id: None}
    assert found(rig).witnesses == met


def test_one_examination_at_a_time_of_so_many_members() -> None:
    rig = Rig()
    (peer,) = rig.members(1)
    with pytest.raises(LimitError, match="16"):
        rig.node.examine([bytes([n]) * 16 for n in range(SUBJECTS_MAX + 1)], [], 1.0, rig.now)
    peer.acks = False
    examine(rig, peer)
    with pytest.raises(RefusedError, match="under way"):
        examine(rig, peer)
    rig.run(PATIENCE)
    examine(rig, peer)


# -- dialling back


def call(rig: Rig, source: Address, frame: Frame) -> tuple[StreamId, list[Effect]]:
    """Somebody opens a stream and says this."""
    accepted: list[StreamId | None] = []
    rig.do(lambda now: accepted.append(rig.node.stream_accepted(source, now)))
    (stream,) = accepted
    assert stream is not None
    return stream, rig.frame(stream, frame)


def ask(peer: Peer, patience_ms: int = 2_000, **changes: Any) -> DialBack:
    return DialBack(**{"sender": peer.id, "record": peer.current.raw, "patience_ms": patience_ms, **changes})


def answers(rig: Rig, stream: StreamId) -> list[Frame]:
    return [e.frame for e in rig.effects if isinstance(e, Write) and e.stream == stream]


def test_who_asks_is_tried_at_its_advertised_address_and_told_where_it_was_seen() -> None:
    rig = Rig()
    peer = rig.peer()
    peer.stream = True
    seen = (peer.address[0], 55_555)
    stream, _ = call(rig, seen, ask(peer))
    rig.run(10 * RTT)
    assert answers(rig, stream) == [DialledBack(peer.address, seen, 0, 0, 0, heard=True)]
    assert is_closed(rig, stream)
    assert rig.node.members.get(peer.id) is None, "to ask makes nobody a member"
    assert rig.node.counters["dial_backs"] == 1


def test_silence_is_told_when_the_patience_is_over() -> None:
    rig = Rig()
    peer = rig.peer()
    peer.acks = False
    stream, effects = call(rig, peer.address, ask(peer, patience_ms=1_000))
    assert answers(rig, stream) == []
    rig.run(0.99)
    assert answers(rig, stream) == []
    rig.run(0.02)
    (answer,) = answers(rig, stream)
    assert answer == DialledBack(peer.address, peer.address, 1, 8, 1, heard=False)
    assert [e.address for e in effects if isinstance(e, Dial)] == [peer.address]
    # A datagram of the asker's own would have shown that way to work.
    rig.run(REST)
    stream, _ = call(rig, peer.address, ask(peer, patience_ms=1_000))
    rig.feed(peer.ping(), peer)
    rig.run(1.1)
    (answer,) = answers(rig, stream)
    assert isinstance(answer, DialledBack)
    assert answer.heard


def test_nobody_can_aim_it_at_another() -> None:
    rig = Rig()
    peer, victim = rig.peer(), rig.peer()
    forged = peer.current.raw[:63] + bytes([peer.current.raw[63] ^ 1]) + peer.current.raw[64:]
    requests = [
        ask(peer, record=victim.current.raw),
        ask(peer, record=forged),
        ask(peer, record=bytes(80)),
        ask(peer, record=peer.service("web", 1).raw),
        ask(peer, sender=rig.id, record=rig.node.me.fact.raw),
    ]
    for request in requests:
        stream, effects = call(rig, peer.address, request)
        (answer,) = answers(rig, stream)
        assert isinstance(answer, Turned)
        assert is_closed(rig, stream)
        assert not any(isinstance(effect, Dial) for effect in effects)
    assert victim.heard == []
    assert peer.heard == []


@pytest.mark.parametrize("held", ["not at all", "elsewhere", "as one that has left"])
def test_a_record_of_ones_own_aims_it_at_no_other_host(held: str) -> None:
    """Anybody may sign a record that names anything; the answer would tell what is there."""
    rig = Rig()
    peer = rig.peer()
    at_home = peer.address
    victim = {"host": "203.0.113.7", "port": 22}
    if held == "elsewhere":
        rig.introduce(peer)
        peer.again(**victim)
    elif held == "as one that has left":
        peer.say(**victim)
        rig.introduce(peer)
        rig.hear(peer, peer.again(**victim, phase=Phase.LEAVING))
        assert rig.status(peer) is Status.LEFT
    else:
        peer.say(**victim)
    stream, effects = call(rig, at_home, ask(peer))
    effects += rig.run(PATIENCE)
    assert answers(rig, stream) == [DialledBack(peer.address, at_home, 8, 8, 8, heard=False)]
    assert is_closed(rig, stream)
    assert not any(isinstance(each, Dial) and each.address == peer.address for each in effects)
    assert rig.node.counters["dial_back_elsewhere"] == 1
    assert rig.node.counters["dial_backs"] == 0


def test_nobody_is_tried_who_would_not_be_let_in() -> None:
    rig = Rig(invited_only=True)
    peer = rig.peer()
    stream, effects = call(rig, peer.address, ask(peer))
    (answer,) = answers(rig, stream)
    assert isinstance(answer, Turned)
    assert answer.reason.startswith("this node is not let in: it has no invitation")
    assert rig.node.counters["unwarranted"] == 1
    assert peer.heard == []
    assert not any(isinstance(effect, Dial) for effect in effects)


@pytest.mark.parametrize("is_dead", [False, True])
def test_a_member_is_tried_where_it_is_held_wherever_it_comes_from(is_dead: bool) -> None:
    """As behind NAT; who is held dead needs it most."""
    rig = Rig()
    (peer,) = rig.members(1)
    if is_dead:
        peer.acks = False
        rig.run_until(lambda: rig.status(peer) is Status.DEAD)
    stream, effects = call(rig, ("203.0.113.5", 40_000), ask(peer))
    dialled(effects, peer.address)
    rig.run(PATIENCE)
    (answer,) = answers(rig, stream)
    assert isinstance(answer, DialledBack)
    assert Reach(answer.small) is (Reach.SILENT if is_dead else Reach.ACKED)


def test_who_was_not_running_meanwhile_asks_to_be_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it met in no way is not told like what it does not try."""
    rig = Rig()
    monkeypatch.setattr(rig, "_dialled", lambda _effect: None)
    peer = rig.peer()
    peer.acks = False
    stream, _ = call(rig, peer.address, ask(peer))
    rig.do(lambda now: rig.node.pulse(1.0, 0.0, True, 0, now))
    rig.run(PATIENCE)
    assert [type(answer) for answer in answers(rig, stream)] == [Busy]


def test_loopback_is_tried_only_for_who_comes_from_there() -> None:
    rig = Rig()
    peer = rig.peer(address=("127.0.0.1", 7_947))
    stream, effects = call(rig, ("10.0.0.9", 5_000), ask(peer))
    assert answers(rig, stream) == [DialledBack(peer.address, ("10.0.0.9", 5_000), 4, 4, 4, heard=False)]
    assert not any(isinstance(effect, Dial) for effect in effects)
    _, effects = call(rig, ("127.0.0.1", 5_000), ask(peer))
    assert any(isinstance(effect, Dial) for effect in effects)


def test_an_address_is_tried_once_at_a_time_and_once_a_second() -> None:
    rig = Rig()
    peer = rig.peer()
    peer.stream = True
    outcomes = []
    for wait in (0.0, 0.0, 0.5, 0.51):
        rig.run(wait)
        stream, _ = call(rig, peer.address, ask(peer))
        rig.run(10 * RTT if not wait else 0.0)
        outcomes.append([type(frame) for frame in answers(rig, stream)][:1])
    assert outcomes == [[DialledBack], [Busy], [Busy], []]


def test_so_many_are_tried_at_a_time() -> None:
    rig = Rig()
    peers = [rig.peer() for _ in range(AT_ONCE + 1)]
    for peer in peers:
        peer.acks = False
    streams = [call(rig, peer.address, ask(peer))[0] for peer in peers]
    assert [bool(answers(rig, stream)) for stream in streams] == [False] * AT_ONCE + [True]
    assert isinstance(answers(rig, streams[-1])[0], Busy)
    assert peers[-1].heard == []


def kinds(rig: Rig, *streams: StreamId) -> list[type[Frame] | None]:
    """What each was answered with so far."""
    return [next(map(type, answers(rig, stream)), None) for stream in streams]


def test_a_node_is_tried_once_at_a_time_wherever_it_says_that_it_is() -> None:
    """Or a member that signs a record for each of its ports has all the places."""
    rig = Rig()
    liar, peer = rig.members(2)
    liar.acks = False
    source = liar.address
    streams = [call(rig, source, ask(liar))[0]]
    for number in range(2 * AT_ONCE):
        liar.again(port=9_000 + number)
        streams.append(call(rig, source, ask(liar))[0])
    assert kinds(rig, *streams) == [None] + 2 * AT_ONCE * [Busy]
    peer.stream = True
    stream, _ = call(rig, peer.address, ask(peer))
    rig.run(10 * RTT)
    assert kinds(rig, stream) == [DialledBack]


def test_nor_more_than_once_a_second() -> None:
    """One that refuses at once holds no place for long, but all others up while so many rest."""
    rig = Rig()
    liar, peer = rig.members(2)
    source = liar.address
    for number in range(RESTING_MAX):
        liar.again(port=9_000 + number)
        stream, _ = call(rig, source, ask(liar))
        trial = rig.node._examiner._trials._running.get(number + 1)
        assert (trial is not None) == (number == 0)
        if trial is not None:
            rig.do(partial(trial.evidence, Kind.REFUSED))
            rig.do(partial(rig.node.stream_closed, trial.stream, "refused"))
            assert kinds(rig, stream) == [DialledBack]
    call(rig, peer.address, ask(peer))
    assert rig.node.counters["dial_backs"] == 2


def crowd(rig: Rig, host: str, count: int) -> list[Peer]:
    """So many that run on one host, and none of them answers."""
    peers = [rig.peer(address=(host, 9_000 + number)) for number in range(count)]
    for peer in peers:
        peer.acks = False
    return peers


def test_half_of_the_places_are_the_most_for_one_host() -> None:
    """Whoever has the cluster's key has as many names there as it likes, where anybody is let in."""
    rig = Rig()
    many = [call(rig, peer.address, ask(peer))[0] for peer in crowd(rig, "10.9.9.9", AT_ONCE)]
    assert kinds(rig, *many) == [None] * (AT_ONCE // 2) + [Busy] * (AT_ONCE // 2)
    stream, _ = call(rig, ("10.8.8.8", 9_000), ask(crowd(rig, "10.8.8.8", 1)[0]))
    assert kinds(rig, stream) == [None]


def test_a_network_of_ipv6_is_one_host() -> None:
    rig = Rig()
    many = [rig.peer(address=(f"2001:db8:0:1::{number + 1:x}", 9_000)) for number in range(AT_ONCE)]
    streams = [call(rig, peer.address, ask(peer))[0] for peer in many]
    assert kinds(rig, *streams) == [None] * (AT_ONCE // 2) + [Busy] * (AT_ONCE // 2)


def test_nor_are_there_more_for_it_by_records_of_others() -> None:
    """Records of members are there to be read, and a dead one's trial takes all its time."""
    rig = Rig()
    peers = rig.members(AT_ONCE)
    for peer in peers:
        peer.acks = False
    streams = [call(rig, ("10.9.9.9", 4_000), ask(peer))[0] for peer in peers]
    assert kinds(rig, *streams) == [None] * (AT_ONCE // 2) + [Busy] * (AT_ONCE // 2)


def test_nor_does_one_host_have_all_tries_of_a_second() -> None:
    rig = Rig()
    for peer in crowd(rig, "10.9.9.9", RESTING_MAX):
        stream, _ = call(rig, peer.address, ask(peer))
        if kinds(rig, stream) == [None]:
            rig.do(partial(rig.node.stream_closed, stream, "eof"))
    assert rig.node.counters["dial_backs"] == RESTING_MAX // 2
    call(rig, ("10.8.8.8", 9_000), ask(crowd(rig, "10.8.8.8", 1)[0]))
    assert rig.node.counters["dial_backs"] == RESTING_MAX // 2 + 1


def test_agents_on_loopback_are_not_one_host() -> None:
    rig = Rig()
    streams = [call(rig, peer.address, ask(peer))[0] for peer in crowd(rig, "127.0.0.1", AT_ONCE)]
    assert kinds(rig, *streams) == [None] * AT_ONCE


def test_a_caller_that_goes_ends_its_trial() -> None:
    rig = Rig()
    peer = rig.peer()
    peer.acks = False
    stream, effects = call(rig, peer.address, ask(peer))
    rig.do(lambda now: rig.node.stream_closed(stream, "eof", now))
    heard = len(peer.heard)
    rig.run(3)
    assert len(peer.heard) == heard
    assert is_closed(rig, dialled(effects, peer.address))
    assert not rig.node._examiner.is_trying
    assert not rig.node._pings._expected
    assert len(rig.node._sessions) == 0
    assert answers(rig, stream) == []


def test_an_ack_proves_nothing_to_a_trial_that_is_over() -> None:
    rig = Rig()
    (peer,) = rig.members(1)
    peer.acks = False
    examine(rig, peer)
    ping = peer.got(Ping)[-1]
    rig.run(PATIENCE)
    before = found(rig)
    rig.feed(peer.ack(ping), peer)
    assert isinstance(peer.ack(ping), Ack)
    assert found(rig) == before
    assert found(rig).small is Reach.SILENT
