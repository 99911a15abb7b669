"""Of the conversations that a node serves at a time, no host keeps others out."""

from __future__ import annotations

import pytest

from gossip.core.effects import Close
from gossip.core.guests import SHARE
from gossip.core.messages import Ack, Busy, Frame, Gossip, Hello, Listing, Ping, Turned, Verdict
from gossip.core.repair import OPENERS_MAX
from gossip.core.types import StreamId
from tests.core.rig import HOME, Peer, Rig


def call(rig: Rig, peer: Peer, host: str, *, joining: bool = False) -> StreamId:
    """A stream from that host on which the peer's record is shown."""
    stream = rig.node.stream_accepted((host, 50_000), rig.now)
    assert stream is not None
    rig.frame(stream, Hello(peer.id, peer.current.raw, joining, rig.view, bytes(2_048)))
    return stream


def kinds(rig: Rig, stream: StreamId) -> list[type[Frame]]:
    return [type(frame) for frame in rig.frames(stream)]


def is_over(rig: Rig, stream: StreamId) -> bool:
    return Close(stream) in rig.effects


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_one_host_that_has_all_places_makes_room_for_others(rig: Rig) -> None:
    """It told all others to come again, for as long as it liked."""
    shown, member = rig.members(2)
    joiner = rig.peer()
    held = [call(rig, shown, "10.9.9.9") for _ in range(OPENERS_MAX)]
    assert {tuple(kinds(rig, stream)) for stream in held} == {(Listing,)}
    assert kinds(rig, call(rig, shown, "10.9.9.9")) == [Busy]
    assert kinds(rig, call(rig, member, member.address[0])) == [Listing]
    stream = call(rig, joiner, joiner.address[0], joining=True)
    rig.run(1)
    assert kinds(rig, stream) == [Verdict, Listing]
    assert [kinds(rig, stream) for stream in held[-3:]] == [[Listing], [Listing, Busy], [Listing, Busy]]
    assert [is_over(rig, stream) for stream in held] == [False] * (OPENERS_MAX - 2) + [True] * 2
    assert rig.node._repair.served == OPENERS_MAX


def test_so_does_one_whose_callers_are_being_introduced(rig: Rig) -> None:
    (member,) = rig.members(1)
    nobody = rig.peer()
    nobody.acks = False
    held = [call(rig, nobody, "10.9.9.9", joining=True) for _ in range(OPENERS_MAX)]
    assert kinds(rig, call(rig, member, member.address[0])) == [Listing]
    assert kinds(rig, held[-1]) == [Busy]
    assert is_over(rig, held[-1])
    assert len(rig.node._admission._introductions) == OPENERS_MAX - 1
    rig.run(5)
    assert [kinds(rig, stream) for stream in held[-2:]] == [[Verdict], [Busy]]


def test_so_does_a_network_of_ipv6(rig: Rig) -> None:
    shown, member = rig.members(2)
    for number in range(OPENERS_MAX):
        call(rig, shown, f"2001:db8:0:9::{number + 1:x}")
    assert kinds(rig, call(rig, shown, "2001:db8:0:9::ffff")) == [Busy]
    assert kinds(rig, call(rig, member, member.address[0])) == [Listing]


def test_within_a_network_hosts_are_told_apart(rig: Rig) -> None:
    shown, member = rig.members(2)
    for _ in range(OPENERS_MAX):
        call(rig, shown, "2001:db8::9")
    assert kinds(rig, call(rig, member, "2001:db8::1")) == [Listing]


@pytest.mark.parametrize("each", [1, 2, SHARE])
def test_where_no_host_has_many_nobody_gives_way(rig: Rig, each: int) -> None:
    (shown,) = rig.members(1)
    held = [call(rig, shown, f"10.9.9.{number // each}") for number in range(OPENERS_MAX)]
    assert kinds(rig, call(rig, shown, "10.8.8.8")) == [Busy]
    assert not any(is_over(rig, stream) for stream in held)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.9.9.9"])
def test_nor_where_all_are_on_one(rig: Rig, host: str) -> None:
    (shown,) = rig.members(1)
    held = [call(rig, shown, host) for _ in range(OPENERS_MAX)]
    assert kinds(rig, call(rig, shown, host)) == [Busy]
    assert not any(is_over(rig, stream) for stream in held)
    rig.do(lambda now: rig.node.stream_closed(held[0], "eof", now))
    assert kinds(rig, call(rig, shown, host)) == [Listing]


def test_a_host_that_calls_again_and_again_ends_nothing_that_was_there_before(rig: Rig) -> None:
    """Each call of its ended what another had had open longest, and so was nearly done with."""
    shown, *members = rig.members(40)
    idle = [call(rig, shown, "10.66.6.6") for _ in range(OPENERS_MAX // 2 - 1)]
    site = [call(rig, member, "192.0.2.7") for member in members[: OPENERS_MAX // 2 + 1]]
    for _ in range(100):
        idle.append(call(rig, shown, "10.66.6.6"))
        rig.do(lambda now: rig.node.stream_closed(idle.pop(0), "eof", now))
        call(rig, members[-1], "192.0.2.7")
    assert not any(is_over(rig, stream) for stream in site[: OPENERS_MAX // 2])


def test_nobody_gives_way_for_one_that_is_refused_anyway(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each such call ended a conversation."""
    (shown,) = rig.members(1)
    held = [call(rig, shown, "192.0.2.7") for _ in range(OPENERS_MAX)]
    nowhere = rig.peer(address=("127.0.0.1", 7_946))
    for _ in range(3):
        assert kinds(rig, call(rig, nowhere, "10.66.6.6", joining=True)) == [Verdict]
    lacking = rig.node.stream_accepted(("10.66.6.6", 50_000), rig.now)
    assert lacking is not None
    monkeypatch.setattr(rig.node._admission._handover._keys, "sending", lambda: b"a key")
    stranger = rig.peer()
    rig.frame(lacking, Hello(stranger.id, stranger.current.raw, True, rig.view, bytes(2_048), (b"other",)))
    assert kinds(rig, lacking) == [Turned]
    assert not any(is_over(rig, stream) for stream in held)
    assert rig.node._repair.served == OPENERS_MAX


@pytest.mark.parametrize("what", ["hello", "ping", "ack", "gossip"])
def test_what_is_not_due_ends_a_conversation(rig: Rig, what: str) -> None:
    """Such frames kept it open for a minute."""
    (member,) = rig.members(1)
    stream = call(rig, member, member.address[0])
    frames: dict[str, Frame] = {
        "hello": Hello(member.id, member.current.raw, False, rig.view, bytes(2_048)),
        "ping": Ping(1, member.id, rig.id, HOME, rig.view, b"", ()),
        "ack": Ack(1, member.id, HOME, rig.view, b"", ()),
        "gossip": Gossip(member.id, ()),
    }
    assert rig.frame(stream, frames[what]) == [Close(stream)]
    assert rig.node.counters["frame_unexpected"] == 1
    assert rig.node._repair.served == 0
