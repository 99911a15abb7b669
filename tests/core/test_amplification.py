"""No answer to an address that is not proven is longer than what asked for it."""

from __future__ import annotations

import pytest

from gossip.core.effects import Dial, Effect, Send
from gossip.core.messages import Ack, Gossip, Hello, NotMe, Packet, Ping, PingRequest, Report
from gossip.core.types import Address
from gossip.wire import codec
from tests.core.rig import HOME, Peer, Rig

VICTIM: Address = ("203.0.113.9", 53)
VIEW = bytes(8)


def sent_to(effects: list[Effect], address: Address) -> list[Packet]:
    return [each.message for each in effects if isinstance(each, Send) and each.address == address]


def size(message: Packet) -> int:
    return len(codec.encode(message))


def talkative() -> tuple[Rig, Peer]:
    """A node with a queue full of news, and a member of its, which has answered where it lives."""
    rig = Rig()
    peer, *_ = rig.members(4)
    rig.prove(peer)
    for number in range(20):
        rig.hear(peer, peer.say_service(f"service-with-a-long-name-{number}", 80))
    return rig, peer


def asking(rig: Rig, peer: Peer, sender: bytes) -> dict[str, Packet]:
    """Whatever a node may be asked by a datagram, as short as it can be."""
    me, other = rig.id, peer.id
    return {
        "ping": Ping(1, sender, me, HOME, VIEW, b"", ()),
        "ping of a former life": Ping(1, sender, me, HOME, VIEW, b"", (), 99),
        "ping for another": Ping(1, sender, bytes(16), HOME, VIEW, b"", ()),
        "long ping for another": Ping(2**60, sender, bytes(16), HOME, VIEW, bytes(44), ()),
        "request": PingRequest(1, sender, other, peer.address, 500),
        "request for nobody": PingRequest(1, sender, bytes(16), HOME, 1),
        "gossip": Gossip(sender, ()),
        "ack": Ack(1, sender, HOME, VIEW, b"", ()),
        "report": Report(1, sender, 0),
    }


@pytest.mark.parametrize("what", list(asking(*talkative(), bytes(16))))
@pytest.mark.parametrize("is_member", [True, False])
def test_no_answer_to_a_foreign_address_is_longer_than_its_question(what: str, is_member: bool) -> None:
    """Whoever writes another's address below a datagram (or repeats one) makes us send no more there."""
    rig, peer = talkative()
    question = asking(rig, peer, peer.id if is_member else b"nobody knows me!")[what]
    effects = rig.feed(question, VICTIM)
    for _ in range(40):
        rig.now += 0.1
        effects += rig.do(rig.node.tick)
    answers = sent_to(effects, VICTIM)
    assert sum(map(size, answers)) <= size(question)


def test_an_ack_where_a_member_is_at_home_carries_news() -> None:
    rig, peer = talkative()
    other = rig.peer()
    rig.introduce(other)
    rig.prove(other)
    (ack,) = sent_to(rig.feed(Ping(1, other.id, rig.id, HOME, VIEW, b"", ()), other), other.address)
    assert isinstance(ack, Ack)
    assert ack.news
    assert peer.id != other.id


@pytest.mark.parametrize("what", list(asking(*talkative(), bytes(16))))
@pytest.mark.parametrize("is_new", [True, False])
def test_nor_where_a_member_only_says_that_it_is(what: str, is_new: bool) -> None:
    """A record names any address: it is proven once a ping has been acked there, not after a change."""
    rig, peer = talkative()
    liar = rig.peer(address=VICTIM if is_new else None)
    rig.introduce(liar)
    if not is_new:
        rig.prove(liar)
        rig.hear(liar, liar.again(host=VICTIM[0], port=VICTIM[1]))
    assert rig.member(liar).address == VICTIM
    rig.run(0)
    question = asking(rig, peer, liar.id)[what]
    answers = sent_to(rig.feed(question, VICTIM), VICTIM)
    assert sum(map(size, answers)) <= size(question)


@pytest.mark.parametrize("is_let_in", [True, False])
def test_a_hello_aims_one_short_datagram_and_one_connection_and_none_of_who_is_not_let_in(
    is_let_in: bool,
) -> None:
    """A joiner has to be tried where it says that it is; whose word counts for nothing has nobody tried."""
    rig = Rig(invited_only=not is_let_in)
    liar = rig.peer(address=VICTIM)
    liar.acks = False
    stream = rig.node.stream_accepted(("198.51.100.1", 4_000), rig.now)
    assert stream is not None
    hello = Hello(liar.id, liar.current.raw, True, rig.view, bytes(2_048))
    effects = rig.frame(stream, hello) + rig.run(10)
    sent = sent_to(effects, VICTIM)
    assert len(sent) == is_let_in
    assert sum(map(size, sent)) < len(codec.encode(hello)) / 10
    assert [each.address for each in effects if isinstance(each, Dial)] == [VICTIM] * is_let_in


def test_who_lives_here_now_is_proven_to_a_stranger_once_it_has_answered() -> None:
    rig, _ = talkative()
    question = Ping(2**60, b"nobody knows me!", bytes(16), HOME, VIEW, bytes(44), ())
    (ping,) = sent_to(rig.feed(question, VICTIM), VICTIM)
    assert isinstance(ping, Ping)
    assert ping.target == b"nobody knows me!"
    answer = Ack(ping.seq, ping.target, VICTIM, VIEW, b"", ())
    (proof,) = sent_to(rig.feed(answer, VICTIM), VICTIM)
    assert isinstance(proof, NotMe)
    assert (proof.seq, proof.address) == (2**60, HOME)
