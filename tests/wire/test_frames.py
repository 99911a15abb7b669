"""Streams: frames in order, of this stream and no other, and never more memory than one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.errors import LimitError, RemoteProtocolError
from gossip.wire.frames import FIRST_MAX, FrameReader
from gossip.wire.seal import FRAME_MAX, FRAME_OVERHEAD_BYTES, LENGTH_BYTES, ClearSealer, StreamSealer
from tests.wire.samples import mutate, refusal

if TYPE_CHECKING:
    import random

ONE = ClearSealer("test", bytes(range(16)))
OTHER = ClearSealer("test", bytes(range(16, 32)))


def pair() -> tuple[StreamSealer, StreamSealer]:
    """The two ends of a new stream."""
    return ONE.stream(), OTHER.stream()


def content(frame: bytes) -> bytes:
    """A frame without its length."""
    assert int.from_bytes(frame[:LENGTH_BYTES], "big") == len(frame) - LENGTH_BYTES
    return frame[LENGTH_BYTES:]


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.data())
def test_bodies_arrive_however_the_bytes_are_cut(bodies: list[bytes], data: st.DataObject) -> None:
    writer, end = pair()
    reader = FrameReader(end)
    stream = b"".join(map(writer.seal, bodies))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert [body for piece in pieces for body in reader.feed(piece)] == bodies
    reader.ended()


def test_bodies_arrive_a_byte_at_a_time() -> None:
    writer, end = pair()
    reader = FrameReader(end)
    stream = writer.seal(b"one") + writer.seal(b"two")
    assert [body for byte in stream for body in reader.feed(bytes((byte,)))] == [b"one", b"two"]
    reader.ended()


def test_golden_bytes_of_a_frame() -> None:
    end = ClearSealer("test", bytes(range(16))).stream()
    assert end.seal(b"body").hex() == (
        "0000003e0100"
        "798c6dfa7a0e470c947222bebe33370c"
        "0000000000000000"
        "00000000000000000000000000000000"
        "626f6479"
        "0970df243adb8d2ff01342c0dcb767a8"
    )


def test_both_ends_talk() -> None:
    one, other = pair()
    for number in range(5):
        body = b"%d" % number
        assert other.open(content(one.seal(body))) == body
        assert one.open(content(other.seal(body))) == body


def test_both_ends_may_talk_before_they_hear() -> None:
    one, other = pair()
    early = [one.seal(b"a"), one.seal(b"b")], [other.seal(b"x"), other.seal(b"y")]
    assert [other.open(content(frame)) for frame in early[0]] == [b"a", b"b"]
    assert [one.open(content(frame)) for frame in early[1]] == [b"x", b"y"]
    assert other.open(content(one.seal(b"c"))) == b"c"


def test_a_frame_out_of_its_turn_is_refused() -> None:
    one, other = pair()
    first, second = one.seal(b"1"), one.seal(b"2")
    assert refusal(other.open, content(second)) == "order"
    assert other.open(content(first)) == b"1"
    assert refusal(other.open, content(first)) == "order"


def test_frames_of_another_stream_of_the_same_node_are_refused() -> None:
    one, other = pair()
    stray = ONE.stream()
    other.open(content(one.seal(b"1")))
    stray.seal(b"1")
    assert refusal(other.open, content(stray.seal(b"2"))) == "stream"


def test_a_conversation_cannot_be_replayed_to_an_end_that_answers() -> None:
    client, server = pair()
    recorded = [client.seal(b"hello")]
    server.open(content(recorded[0]))
    client.open(content(server.seal(b"welcome")))
    recorded.append(client.seal(b"more"))

    victim = OTHER.stream()
    assert victim.open(content(recorded[0])) == b"hello"
    victim.seal(b"welcome")
    assert refusal(victim.open, content(recorded[1])) == "stream"


def test_whoever_has_heard_cannot_unhear() -> None:
    session = bytes(range(32, 48))
    one, deaf = ClearSealer("test", session).stream(), ClearSealer("test", session).stream()
    other = OTHER.stream()
    other.open(content(one.seal(b"0")))
    one.open(content(other.seal(b"welcome")))
    other.open(content(one.seal(b"1")))
    frames = [content(deaf.seal(b"%d" % number)) for number in range(3)]
    assert refusal(other.open, frames[2]) == "stream"


def test_a_frame_without_a_body_is_malformed() -> None:
    one, other = pair()
    frame = content(one.seal(b""))
    for size in range(len(frame) + 1):
        assert refusal(other.open, frame[:size]) == "malformed"


def test_an_echo_is_refused() -> None:
    one, _ = pair()
    assert refusal(one.open, content(one.seal(b"hello"))) == "own"


def test_another_cluster_is_refused() -> None:
    stranger = ClearSealer("production", bytes(range(32, 48))).stream()
    assert refusal(pair()[0].open, content(stranger.seal(b"hello"))) == "cluster"


def test_a_datagram_is_no_frame_and_a_frame_no_datagram() -> None:
    one, other = pair()
    body = bytes(100)
    assert refusal(other.open, ONE.seal(body)) == "cluster"
    assert refusal(OTHER.open, content(one.seal(body))) == "cluster"


def test_a_flipped_bit_anywhere_is_refused() -> None:
    one, other = pair()
    frame = content(one.seal(b"body"))
    for at in range(len(frame) * 8):
        damaged = bytearray(frame)
        damaged[at // 8] ^= 1 << at % 8
        reason = {0: "version", 1: "sealed"}.get(at // 8, "cluster")
        assert refusal(other.open, bytes(damaged)) == reason


def test_mutated_streams_are_refused_and_nothing_else_happens(rng: random.Random) -> None:
    one, _ = pair()
    stream = one.seal(b"one") + one.seal(bytes(100)) + one.seal(b"three")
    for _ in range(2_000):
        reader = FrameReader(OTHER.stream())
        damaged = mutate(stream, rng)
        refusal(reader.feed, damaged)
        assert len(reader._buffer) <= len(damaged)


@pytest.mark.parametrize(
    ("length", "reason"),
    [
        (FRAME_MAX + 1, "oversized"),
        (2**32 - 1, "oversized"),
        (0, "malformed"),
        (FRAME_OVERHEAD_BYTES, "malformed"),
    ],
)
def test_a_length_out_of_its_bounds_is_refused_at_once(length: int, reason: str) -> None:
    reader = FrameReader(pair()[1])
    assert refusal(reader.feed, length.to_bytes(LENGTH_BYTES, "big")) == reason


def test_the_largest_frame_passes_and_one_byte_more_is_refused() -> None:
    one, other = pair()
    body = bytes(FRAME_MAX - FRAME_OVERHEAD_BYTES)
    frame = one.seal(body)
    reader = FrameReader(other)
    assert reader.feed(frame[:-1]) == []
    assert reader.feed(frame[-1:]) == [body]
    with pytest.raises(LimitError, match=f"{FRAME_MAX + 1} bytes; the limit is {FRAME_MAX}"):
        one.seal(body + b"\0")
    assert other.open(content(one.seal(b"next"))) == b"next"


def test_no_more_is_held_than_one_frame_and_one_read() -> None:
    one, other = pair()
    reader = FrameReader(other)
    read = b"".join(one.seal(bytes(1_000)) for _ in range(61))
    for start in range(0, len(read), 4_096):
        reader.feed(read[start : start + 4_096])
        assert len(reader._buffer) < LENGTH_BYTES + FRAME_OVERHEAD_BYTES + 1_000
    reader.ended()


def test_a_stream_that_ends_inside_a_frame_is_an_error() -> None:
    one, _ = pair()
    frame = one.seal(b"body")
    for size in range(1, len(frame)):
        reader = FrameReader(OTHER.stream())
        assert reader.feed(frame[:size]) == []
        with pytest.raises(RemoteProtocolError) as caught:
            reader.ended()
        assert caught.value.reason == "truncated"


def test_after_a_refusal_nothing_more_is_read() -> None:
    one, other = pair()
    reader = FrameReader(other)
    first, second = one.seal(b"1"), one.seal(b"2")
    assert refusal(reader.feed, second) == "order"
    assert refusal(reader.feed, first) == "order"
    with pytest.raises(RemoteProtocolError, match="order"):
        reader.ended()


def test_a_strangers_first_frame_is_small() -> None:
    """Until one frame was opened anybody may have sent it, and a length is all that is known of it."""
    one, other = pair()
    reader = FrameReader(other, FIRST_MAX)
    assert refusal(reader.feed, (FIRST_MAX + 1).to_bytes(LENGTH_BYTES, "big")) == "oversized"
    one, other = pair()
    reader = FrameReader(other, FIRST_MAX)
    first, second = one.seal(b"hello"), one.seal(bytes(2 * FIRST_MAX))
    assert reader.feed(first + second) == [b"hello", bytes(2 * FIRST_MAX)]
