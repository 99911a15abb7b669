"""What makes a window that somebody with the key has raised begin anew, and that nobody without it can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.core.messages import Ack, Gossip, Ping
from gossip.errors import RemoteProtocolError
from gossip.wire import sealing
from gossip.wire.packer import Packer, RepeatedError
from gossip.wire.seal import ClearSealer
from gossip.wire.sealing import WINDOW, RingSealer
from tests.wire.samples import refusal
from tests.wire.test_sealing import KEY, ring

if TYPE_CHECKING:
    from gossip.core.messages import Packet

MINE, THEIRS = b"\x0a" * 16, b"\x0b" * 16
HERE, THERE = ("10.0.0.1", 7_946), ("10.0.0.2", 7_946)
LAST = 2**64 - 1


class Node:
    """One with the key; what it sends has its session, and numbers from there on."""

    def __init__(self, session: bytes, counter: int = 0) -> None:
        self.sealer = RingSealer(ring(KEY), "test", session, session)
        self.sealer._counter = counter
        packer = Packer(self.sealer)
        self.pack, self.unpack = packer.pack, packer.unpack


def forged(counter: int) -> bytes:
    """Of who has the key alone, under a member's session."""
    return Node(THEIRS, counter).pack(gossip())


def gossip(number: int = 0) -> Gossip:
    return Gossip(THEIRS, (number.to_bytes(65, "big"),))


def ping(number: int) -> Ping:
    return Ping(number, MINE, THEIRS, THERE, bytes(8), b"", ())


def ack(number: int) -> Ack:
    return Ack(number, THEIRS, THERE, bytes(8), b"", ())


def is_taken(node: Node, datagram: bytes) -> bool:
    try:
        node.unpack(datagram)
    except RepeatedError:
        return False
    return True


def test_what_one_packs_the_other_unpacks() -> None:
    for one, other in (
        (Packer(ClearSealer("test", MINE)), Packer(ClearSealer("test", THEIRS))),
        (Node(MINE), Node(THEIRS)),
    ):
        for packet in (gossip(), ping(1), ack(1)):
            assert other.unpack(one.pack(packet)) == packet
    assert refusal(Node(THEIRS).unpack, Node(MINE).sealer.seal(b"\xc1")) == "malformed"


def test_what_may_be_a_copy_is_told_apart_and_shown() -> None:
    node, member = Node(MINE), Node(THEIRS)
    datagram = member.pack(gossip())
    node.unpack(datagram)
    with pytest.raises(RepeatedError) as caught:
        node.unpack(datagram)
    assert caught.value.reason == "replayed"
    assert caught.value.packet == gossip()
    assert refusal(node.unpack, datagram[:-1] + bytes([datagram[-1] ^ 1])) == "cluster"


@pytest.mark.parametrize("is_first", [False, True])
def test_one_datagram_with_the_last_of_all_numbers_mutes_nobody_for_longer_than_a_ping_takes(
    is_first: bool,
) -> None:
    node, member = Node(MINE, 700), Node(THEIRS)
    early = [member.pack(gossip(number)) for number in range(50)]
    if not is_first:
        for datagram in early:
            node.unpack(datagram)
    node.unpack(forged(LAST))
    assert not any(is_taken(node, member.pack(gossip())) for _ in range(100))
    member.unpack(node.pack(ping(1)))
    answer = member.pack(ack(1))
    assert node.unpack(answer) == ack(1)
    assert all(is_taken(node, member.pack(gossip())) for _ in range(2 * WINDOW))
    for datagram in (*early, answer):
        assert not is_taken(node, datagram)


def test_nor_do_the_numbers_to_come_used_up_one_by_one() -> None:
    node, member = Node(MINE), Node(THEIRS)
    node.unpack(member.pack(gossip()))
    for counter in range(1, WINDOW + 500):
        node.unpack(forged(counter))
    assert not is_taken(node, member.pack(gossip()))
    node.pack(ping(1))
    # Also while it is under way; as long as the window does not rise.
    for counter in range(WINDOW // 2, WINDOW + 500):
        is_taken(node, forged(counter))
    assert node.unpack(member.pack(ack(1))) == ack(1)
    assert all(is_taken(node, member.pack(gossip())) for _ in range(100))


def test_an_ack_to_what_was_asked_before_the_window_rose_begins_nothing() -> None:
    """All that the window has met may have overtaken it; nor does what is no ack, or of an unknown ping."""
    node, member = Node(MINE), Node(THEIRS)
    node.pack(ping(1))
    late = member.pack(ack(1))
    node.unpack(Node(THEIRS, WINDOW).pack(gossip()))
    node.pack(ping(2))
    for datagram in (late, member.pack(ack(3)), member.pack(gossip(2)), member.pack(ping(2))):
        assert not is_taken(node, datagram)
    assert is_taken(node, member.pack(ack(2)))


def test_pings_that_are_remembered_are_bounded() -> None:
    packer = Packer(ClearSealer("test", MINE))
    for number in range(10_000):
        packer.pack(ping(number))
    assert len(packer._pinged) <= 2_048


@given(st.data())
def test_nobody_without_the_key_has_anything_taken_twice(data: st.DataObject) -> None:
    """Whatever is lost, late or repeated, in a window so small that most is old."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "WINDOW", 4)
        node, member = Node(MINE), Node(THEIRS)
        recorded: list[bytes] = []
        asked: list[int] = []
        taken: set[bytes] = set()
        for number, deed in enumerate(data.draw(st.lists(st.sampled_from("gpadddd"), max_size=80))):
            if deed == "p":
                node.pack(ping(number))
                asked.append(number)
            elif deed == "d":
                if recorded:
                    datagram = data.draw(st.sampled_from(recorded))
                    if is_taken(node, datagram):
                        assert datagram not in taken
                        taken.add(datagram)
            elif deed == "g" or not asked:
                recorded.append(member.pack(gossip(number)))
            else:
                recorded.append(member.pack(ack(data.draw(st.sampled_from(asked)))))
        packets: list[Packet] = []
        for datagram in taken:
            try:
                packets.append(node.unpack(datagram))
            except RemoteProtocolError:
                continue
        assert not packets
