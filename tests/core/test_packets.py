"""What comes of a datagram that may be a copy of one that came before: next to nothing."""

from __future__ import annotations

from gossip.core.effects import Effect, Send
from gossip.core.messages import Ack, Packet, Ping, PingRequest, Report
from gossip.core.types import Address
from tests.core.rig import HOME, Peer, Rig

ELSEWHERE: Address = ("10.9.9.9", 4_000)


def repeat(rig: Rig, message: Packet, source: Peer | Address) -> list[Effect]:
    where = source.address if isinstance(source, Peer) else source
    return rig.do(lambda now: rig.node.repeated(message, where, now))


def test_its_ping_is_answered_where_its_member_is_and_by_no_more_than_that_this_node_lives() -> None:
    rig = Rig()
    peer, other = rig.members(2)
    rig.hear(other, peer.say_service("web", 1))
    ping = peer.ping(None, other.say_service("db", 1))
    (effect,) = repeat(rig, ping, peer)
    assert isinstance(effect, Send)
    assert isinstance(effect.message, Ack)
    assert effect.address == peer.address
    assert (effect.message.seq, effect.message.news) == (ping.seq, ())
    assert rig.node.catalog.lookup("db") == []
    assert repeat(rig, ping, ELSEWHERE) == []
    assert repeat(rig, peer.ping(other.id), peer) == []
    assert repeat(rig, rig.peer().ping(), ELSEWHERE) == []


def test_an_ack_counts_if_it_is_awaited_and_once() -> None:
    rig = Rig()
    peer, *others = rig.members(3)
    for each in (peer, *others):
        each.acks = False
    rig.run_until(lambda: peer.got(Ping))
    ping = peer.got(Ping)[-1]
    service = peer.say_service("web", 1)
    assert repeat(rig, peer.ack(ping, service, seq=ping.seq + 1), peer) == []
    assert rig.node.catalog.lookup("web") == []
    repeat(rig, peer.ack(ping, service), peer)
    assert [each.key for each in rig.node.catalog.lookup("web")] == ["web"]
    late = peer.say_service("late", 1)
    repeat(rig, peer.ack(ping, late), peer)
    assert rig.node.catalog.lookup("late") == []


def test_nothing_comes_of_anything_else_nor_of_what_the_banned_said() -> None:
    rig = Rig(invited_only=False)
    peer, other = rig.members(2)
    for message in (
        peer.gossip(peer.say_service("web", 1)),
        PingRequest(1, peer.id, other.id, other.address, 500),
        Report(1, peer.id, 0),
        Ack(1, peer.id, HOME, rig.view, b"", ()),
    ):
        assert repeat(rig, message, peer) == []
    assert rig.node.catalog.lookup("web") == []
    rig.hear(other, rig.authority.ban(peer.id, version=5))
    assert repeat(rig, peer.ping(), peer) == []
