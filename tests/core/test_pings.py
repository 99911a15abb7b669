"""What answers a ping, and what does not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gossip.core.coordinates import pack, unpack
from gossip.core.effects import Send
from gossip.core.messages import Ack, NotMe, Ping
from gossip.core.params import LAN
from gossip.core.pings import not_me_bytes
from gossip.core.types import Address, Kind
from tests.core.rig import HOME, RTT, Peer, Rig

ELSEWHERE: Address = ("10.9.9.9", 7_947)


class Asker:
    """Writes down what becomes of a ping."""

    def __init__(self) -> None:
        self.answers: list[object] = []

    def acked(self, _seq: int, _now: float) -> None:
        self.answers.append("ack")

    def evidence(self, kind: Kind, _now: float) -> None:
        self.answers.append(kind)


class Pinged:
    """A ping to one of two members, with nobody who answers by habit."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.a, self.b = self.rig.members(2)
        self.a.acks = self.b.acks = False
        self.asker = Asker()
        self.pings = self.rig.node._pings
        effects = self.rig.do(lambda now: self.pings.send(self.a.id, self.a.address, self.asker, now))
        (self.ping,) = self.rig.sent(Ping, self.a, effects)

    def not_me(self, peer: Peer, **changes: Any) -> NotMe:
        ping = self.ping
        signature = peer.notary.sign(not_me_bytes(ping.seq, ping.target, ping.address))
        fields: dict[str, Any] = {"seq": ping.seq, "address": ping.address, "record": peer.current.raw}
        return NotMe(**{**fields, "signature": signature, **changes})


def test_an_ack_answers_once_and_nothing_is_kept() -> None:
    """Scenario 6."""
    pinged = Pinged()
    pinged.rig.feed(pinged.a.ack(pinged.ping), pinged.a)
    pinged.rig.feed(pinged.a.ack(pinged.ping), pinged.a)
    assert pinged.asker.answers == ["ack"]
    assert pinged.rig.node.counters["ack_unexpected"] == 1
    assert not pinged.pings._expected


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({"seq": 5}, "ack_unexpected"),
        ({"sender": b"q" * 16}, "ack_unbound"),
        ({"address": ELSEWHERE}, "ack_unbound"),
        ({"address": HOME}, "ack_unbound"),
    ],
)
def test_an_ack_is_bound_to_sequence_member_and_address(changes: dict[str, Any], counted: str) -> None:
    """Scenario 6. A wrong one spoils nothing for the right one."""
    pinged = Pinged()
    pinged.rig.feed(pinged.a.ack(pinged.ping, **changes), pinged.a)
    assert pinged.asker.answers == []
    assert pinged.rig.node.counters[counted] == 1
    pinged.rig.feed(pinged.a.ack(pinged.ping), pinged.a)
    assert pinged.asker.answers == ["ack"]


def test_what_is_forgotten_is_not_answered() -> None:
    """Scenario 7."""
    pinged = Pinged()
    pinged.pings.forget(pinged.ping.seq)
    pinged.rig.feed(pinged.a.ack(pinged.ping), pinged.a)
    assert pinged.asker.answers == []


def test_sequences_are_random() -> None:
    pinged = Pinged()
    sequences = set()
    for _ in range(100):
        effects = pinged.rig.do(lambda now: pinged.pings.send(pinged.a.id, HOME, pinged.asker, now))
        sequences |= {ping.seq for ping in pinged.rig.sent(Ping, among=effects)}
    assert len(sequences) == 100
    assert max(sequences) > 2**62, "63 bits"
    assert min(abs(one - other) for one in sequences for other in sequences if one != other) > 1_000


def test_pings_under_way_are_bounded() -> None:
    pinged = Pinged()
    for _ in range(5_000):
        pinged.pings.send(pinged.b.id, pinged.b.address, pinged.asker, pinged.rig.now)
    assert len(pinged.pings._expected) == 4_096


def test_a_refusal_is_evidence_to_whoever_waits_for_that_address() -> None:
    pinged = Pinged()
    pinged.rig.do(lambda now: pinged.rig.node.refused(pinged.b.address, now))
    assert pinged.asker.answers == []
    pinged.rig.do(lambda now: pinged.rig.node.refused(pinged.a.address, now))
    assert pinged.asker.answers == [Kind.REFUSED]


def test_an_acked_address_refuses_nothing_any_more() -> None:
    pinged = Pinged()
    pinged.rig.feed(pinged.a.ack(pinged.ping), pinged.a)
    pinged.rig.do(lambda now: pinged.rig.node.refused(pinged.a.address, now))
    assert pinged.asker.answers == ["ack"]


def test_a_stranger_is_evidence_if_it_proves_to_be_at_home_there() -> None:
    pinged = Pinged()
    stranger = pinged.rig.peer("stranger", pinged.a.address)
    pinged.rig.feed(pinged.not_me(stranger), stranger)
    assert pinged.asker.answers == [Kind.NOT_ME]


def test_a_stranger_that_proves_nothing_is_no_evidence() -> None:
    pinged = Pinged()
    rig = pinged.rig
    stranger = rig.peer("stranger", pinged.a.address)
    liar = rig.peer("liar", ELSEWHERE)
    elsewhere = rig.peer("elsewhere", ELSEWHERE)
    old_signature = pinged.a.notary.sign(not_me_bytes(7, pinged.ping.target, pinged.ping.address))
    false = {
        "its record is of another address": pinged.not_me(elsewhere),
        "signed by another": pinged.not_me(stranger, signature=pinged.not_me(liar).signature),
        "a record that it did not sign": pinged.not_me(
            stranger, record=liar.notary.sign(b"?") + stranger.current.raw[64:]
        ),
        "signed for another ping": pinged.not_me(stranger, signature=old_signature),
        "the record is no member's": pinged.not_me(stranger, record=stranger.service("web", 7).raw),
        "the member itself": pinged.not_me(pinged.a),
        "another sequence": pinged.not_me(stranger, seq=7),
        "another address": pinged.not_me(elsewhere, address=ELSEWHERE),
        "nonsense": pinged.not_me(stranger, record=b"x" * 100),
    }
    for why, message in false.items():
        rig.feed(message, stranger)
        assert pinged.asker.answers == [], why
    counters = rig.node.counters
    assert counters["not_me_unproven"] == 6
    assert counters["not_me_unexpected"] == 2
    assert sum(counters.values()) == 9, "and the nonsense under its own reason"


def test_a_ping_for_another_is_not_acked() -> None:
    """Scenario 5: it is answered with the proof of who is here instead."""
    pinged = Pinged()
    rig, a = pinged.rig, pinged.a
    rig.prove(a)
    ping = a.ping(b"z" * 16, seq=77)
    effects = rig.feed(ping, a)
    assert rig.sent(Ack, among=effects) == []
    (answer,) = rig.sent(NotMe, a, effects)
    assert answer.seq == 77
    signed = not_me_bytes(77, ping.target, HOME)
    assert rig.notary.check(rig.notary.public_key, answer.signature, signed)
    fact = rig.notary.parse(answer.record)
    assert fact.body.owner == rig.id
    assert rig.notary.verify(fact, rig.notary.public_key)


def test_a_ping_for_another_at_another_address_is_not_answered_at_all() -> None:
    """Scenario 5: it was forwarded here, and this node can prove nothing about that address."""
    pinged = Pinged()
    effects = pinged.rig.feed(pinged.a.ping(b"z" * 16, address=ELSEWHERE), pinged.a)
    assert effects == []
    assert pinged.rig.node.counters["ping_for_another"] == 1


def test_an_acked_ping_gives_a_sample_of_the_round_trip() -> None:
    pinged = Pinged()
    rig = pinged.rig
    rig.now += 0.040
    rig.feed(pinged.a.ack(pinged.ping), pinged.a)
    assert rig.member(pinged.a).rtt == pytest.approx(0.040)


def coordinate(x: float, error: float) -> bytes:
    """At `x` seconds from the origin along one axis, sure of it by `error`."""
    return pack((x, *[0.0] * 7, 1e-5, error, 0.0))


@pytest.mark.parametrize(
    ("own", "theirs", "is_known"), [(0.1, 0.1, True), (0.9, 0.1, False), (0.1, 0.9, False)]
)
def test_who_was_never_pinged_is_waited_for_by_its_coordinate(
    own: float, theirs: float, is_known: bool
) -> None:
    """It comes with the pings that it sends; one that is sure of its place, to one who is."""
    rig = Rig()
    (x,) = rig.members(1)
    where = unpack(coordinate(0.0, own))
    assert where is not None
    rig.node._coordinates.own = where
    ping = msgspec.structs.replace(x.ping(), position=coordinate(0.020, theirs))
    assert rig.node._pings.expected(rig.member(x)) is None
    rig.feed(ping, x)
    assert rig.member(x).rtt is None
    wait = rig.node._prober.direct_wait(rig.member(x))
    assert wait == pytest.approx(6 * 0.020_02 if is_known else LAN.direct_max, rel=1e-3)


def test_what_was_measured_is_worth_more_than_a_coordinate() -> None:
    rig = Rig()
    (x,) = rig.members(1)
    rig.run(3)
    before = rig.node._pings.expected(rig.member(x))
    rig.feed(msgspec.structs.replace(x.ping(), position=coordinate(0.3, 0.1)), x)
    assert rig.node._pings.expected(rig.member(x)) == before == pytest.approx((RTT, RTT / 2), rel=0.5)


@pytest.mark.parametrize("position", [b"", b"x", coordinate(float("nan"), 0.1)])
def test_a_coordinate_that_is_none_is_not_kept(position: bytes) -> None:
    rig = Rig()
    (x,) = rig.members(1)
    rig.feed(msgspec.structs.replace(x.ping(), position=position), x)
    assert rig.node._pings.expected(rig.member(x)) is None


def test_only_what_this_node_judges_by_asks() -> None:
    """A ping back to a stranger, or an ack, is sent as often as others like."""
    rig = Rig()
    peer, other = rig.members(2)
    asker = Asker()
    pings = rig.node._pings
    rig.do(lambda now: pings.send(peer.id, peer.address, asker, now))
    rig.do(lambda now: pings.send_full(peer.id, peer.address, asker, now))
    assert [sent.asks for sent in rig.effects if isinstance(sent, Send)][-2:] == [True, True]
    begun = len(rig.effects)
    rig.feed(peer.ping(), peer)
    rig.feed(rig.peer().ping(other.id, seq=2**62), ELSEWHERE)
    sent = [effect for effect in rig.effects[begun:] if isinstance(effect, Send)]
    assert [type(each.message) for each in sent] == [Ack, Ping]
    assert not any(each.asks for each in sent)
