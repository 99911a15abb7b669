"""Introducing a joiner takes two streams, its own and the one to its address: each is taken as what it is."""

from __future__ import annotations

import pytest

from gossip.core.effects import Close
from gossip.core.messages import Ack, Hello, Listing, Ping, Verdict
from gossip.core.repair import OPENERS_MAX
from gossip.core.types import Status, StreamId
from tests.core.rig import Peer, Rig


def knock(rig: Rig, peer: Peer) -> StreamId:
    """The peer opens a stream, and says who it is and that it joins."""
    stream = rig.node.stream_accepted((peer.address[0], 50_000), rig.now)
    assert stream is not None
    rig.frame(stream, Hello(peer.id, peer.current.raw, True, rig.view, bytes(2_048)))
    return stream


def tried(rig: Rig, peer: Peer) -> StreamId:
    """The stream to its address, once no datagram was answered."""
    rig.run(rig.node.params.direct_max)
    return rig.dialled(peer.address)


@pytest.mark.parametrize("how", ["while it is pinged", "while it is called"])
def test_a_joiner_that_hangs_up_meanwhile_leaves_nothing_behind(how: str) -> None:
    """It was served on the stream that was gone, which took one place of 64 for good."""
    rig = Rig()
    rig.members(3)
    joiner, honest = rig.peer(), rig.peer()
    joiner.acks, joiner.stream = False, True
    for _ in range(OPENERS_MAX):
        stream = knock(rig, joiner)
        if how == "while it is called":
            joiner.stream = False
            there = tried(rig, joiner)
            joiner.stream = True
        rig.do(lambda now, gone=stream: rig.node.stream_closed(gone, "eof", now))  # type: ignore[misc]
        if how == "while it is called":
            assert rig.effects[-1] == Close(there)
        rig.run(2)
        assert rig.frames(stream) == []
    assert (rig.node._repair.served, len(rig.node._sessions)) == (0, 0)
    assert not rig.node._admission._introductions
    assert rig.status(joiner) is None
    stream = knock(rig, honest)
    rig.run(2)
    verdict, listing = rig.frames(stream)
    assert isinstance(verdict, Verdict)
    assert verdict.reached
    assert isinstance(listing, Listing)
    assert rig.status(honest) is Status.ALIVE


def test_what_a_joiner_says_on_its_own_stream_is_no_answer_of_its_address() -> None:
    rig = Rig()
    rig.members(3)
    joiner = rig.peer()
    joiner.acks = False
    stream = knock(rig, joiner)
    there = tried(rig, joiner)
    (ping,) = rig.frames(there)
    assert isinstance(ping, Ping)
    answer = Ack(ping.seq, joiner.id, ping.address, rig.view, b"", ())
    rig.frame(stream, answer)
    assert rig.frames(stream) == []
    rig.frame(there, answer)
    assert isinstance(rig.frames(stream)[0], Verdict)
    assert rig.status(joiner) is Status.ALIVE
