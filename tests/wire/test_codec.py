"""Messages: round trips, an independent reader, and everything that a peer may get wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.core.messages import (
    Busy,
    DialBack,
    DialledBack,
    Frame,
    FullPing,
    Gossip,
    Hello,
    Packet,
    Ping,
    PingRequest,
    Report,
    Turned,
    Verdict,
)
from gossip.errors import RemoteProtocolError
from gossip.wire import codec
from tests.wire.samples import ALICE, BOB, FACTS, HOSTILE, frames, mutate, packets, refusal

if TYPE_CHECKING:
    import random

PING = Ping(
    seq=2**62,
    sender=ALICE.id,
    target=BOB.id,
    address=("10.0.0.2", 7946),
    view=bytes(range(8)),
    position=bytes(range(12)),
    news=tuple(fact.raw for fact in FACTS),
)
GOSSIP = Gossip(ALICE.id, ())


def fields(value: Any) -> list[Any]:
    """An array of the kind and the fields, as the independent reader gives them."""
    array = [value.__struct_config__.tag, *msgspec.structs.astuple(value)]
    plain: list[Any] = msgpack.unpackb(msgpack.packb(array))
    return plain


def packed(*items: object) -> bytes:
    data: bytes = msgpack.packb(list(items))
    return data


@given(packets)
def test_packets_come_back_as_they_were(message: Packet) -> None:
    assert codec.decode_packet(codec.encode(message)) == message


@given(frames)
def test_frames_come_back_as_they_were(message: Frame) -> None:
    assert codec.decode_frame(codec.encode(message)) == message


@given(packets | frames)
def test_an_independent_reader_finds_the_same_fields(message: Packet | Frame) -> None:
    assert msgpack.unpackb(codec.encode(message)) == fields(message)


@given(packets)
def test_what_an_independent_writer_writes_is_read_the_same(message: Packet) -> None:
    assert codec.decode_packet(msgpack.packb(fields(message))) == message


def test_golden_bytes_of_a_packet() -> None:
    message = PingRequest(
        seq=2**62, sender=bytes(range(16)), target=bytes(16), address=("10.0.0.2", 7946), patience_ms=350
    )
    assert codec.encode(message).hex() == (
        "9703cf4000000000000000c410000102030405060708090a0b0c0d0e0fc41000000000000000000000000000000000"
        "92a831302e302e302e32cd1f0acd015e00"
    )


def test_every_kind_has_a_number_of_its_own() -> None:
    kinds = {*get_args(Packet), *get_args(Frame)}
    assert len({kind.__struct_config__.tag for kind in kinds}) == len(kinds)


@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: data[:12].hex())
def test_hostile_bodies_are_refused_and_nothing_else_happens(data: bytes) -> None:
    assert refusal(codec.decode_packet, data) in {"malformed", "unknown_kind"}
    assert refusal(codec.decode_frame, data) in {"malformed", "unknown_kind"}


@pytest.mark.parametrize("depth", [1, 100, 1_000])
def test_a_deep_field_beyond_the_known_ones_is_skipped_or_refused(depth: int) -> None:
    """How deep the skipping goes is the interpreter's limit, which 3.13 counts otherwise than 3.11."""
    body = b"\x95\x06\xc4\x10" + bytes(16) + b"\x90\x00" + b"\x91" * depth + b"\xc0"
    assert refusal(codec.decode_packet, body) in ({""} if depth <= 100 else {"", "malformed"})


@given(st.binary(max_size=200))
def test_random_bytes_are_a_message_or_refused(data: bytes) -> None:
    refusal(codec.decode_packet, data)
    refusal(codec.decode_frame, data)


@given(packets, st.data())
def test_no_beginning_of_a_packet_is_a_packet(message: Packet, data: st.DataObject) -> None:
    body = codec.encode(message)
    cut = data.draw(st.integers(0, len(body) - 1))
    assert refusal(codec.decode_packet, body[:cut]) == "malformed"


def test_mutated_packets_are_a_message_or_refused(rng: random.Random) -> None:
    body = codec.encode(PING)
    outcomes = {refusal(codec.decode_packet, mutate(body, rng)) for _ in range(4_000)}
    assert outcomes >= {"", "malformed", "unknown_kind"}


def test_mutated_frames_are_a_message_or_refused(rng: random.Random) -> None:
    bodies = [
        codec.encode(Hello(ALICE.id, FACTS[0].raw, joining=True, view=bytes(8), buckets=bytes(2_048))),
        codec.encode(Busy(10, (("10.0.0.2", 1), ("::1", 2)))),
        codec.encode(Turned("no")),
    ]
    outcomes = {refusal(codec.decode_frame, mutate(rng.choice(bodies), rng)) for _ in range(3_000)}
    assert outcomes >= {"", "malformed"}


@pytest.mark.parametrize(
    "items",
    [
        (6, ALICE.id),
        (6, ALICE.id[:15], ()),
        (6, ALICE.id + b"\0", ()),
        (6, ALICE.id, (bytes(64),)),
        (6, ALICE.id, (bytes(1_101),)),
        (6, ALICE.id, (b"",) * 65),
        (6, ALICE.id, "text"),
        (6, ALICE.id.hex(), ()),
        (4, True, ALICE.id, 0),
        (4, 1.0, ALICE.id, 0),
        (4, float("nan"), ALICE.id, 0),
        (4, -1, ALICE.id, 0),
        (4, 2**63, ALICE.id, 0),
        (4, 1, ALICE.id, 4),
        (4, 1, ALICE.id, None),
        (3, 1, ALICE.id, BOB.id, ("10.0.0.2", 1), 0),
        (3, 1, ALICE.id, BOB.id, ("10.0.0.2", 65_536), 100),
        (3, 1, ALICE.id, BOB.id, ("10.0.0.2", 0), 100),
        (3, 1, ALICE.id, BOB.id, ("example.org", 1), 100),
        (3, 1, ALICE.id, BOB.id, ("", 1), 100),
        (3, 1, ALICE.id, BOB.id, ("0.0.0.0", 1), 100),
        (3, 1, ALICE.id, BOB.id, ("224.0.0.1", 1), 100),
        (3, 1, ALICE.id, BOB.id, ("fe80::1%eth0", 1), 100),
        (3, 1, ALICE.id, BOB.id, ("10.0.0.2",), 100),
        (3, 1, ALICE.id, BOB.id, ("1" * 46, 1), 100),
        (-1, 1),
        ("6", ALICE.id, ()),
        (True, 1),
    ],
    ids=lambda items: repr(items)[:60],
)
def test_a_field_out_of_its_bounds_is_malformed(items: tuple[object, ...]) -> None:
    assert refusal(codec.decode_packet, packed(*items)) == "malformed"


def test_trailing_bytes_are_malformed() -> None:
    assert refusal(codec.decode_packet, codec.encode(GOSSIP) + b"\xc0") == "malformed"


def test_bad_text_in_an_address_is_malformed() -> None:
    body = codec.encode(PING)
    assert refusal(codec.decode_packet, body.replace(b"10.0.0.2", b"10.0.0.\xff")) == "malformed"


def test_fields_of_a_later_version_are_ignored() -> None:
    body = packed(6, ALICE.id, [], 0, {"a": [1, None]}, 5)
    assert codec.decode_packet(body) == GOSSIP


@pytest.mark.parametrize("kind", [0, 7, 28, 1_000, 2**40])
def test_a_kind_of_a_later_version_is_told_apart(kind: int) -> None:
    body = packed(kind, {"whatever": [1.5, None]})
    assert refusal(codec.decode_packet, body) == "unknown_kind"
    assert refusal(codec.decode_frame, body) == "unknown_kind"
    assert refusal(codec.decode_frame, body + b"\x00") == "malformed"


def test_a_message_in_the_wrong_place_is_malformed() -> None:
    assert refusal(codec.decode_packet, codec.encode(Turned("no"))) == "malformed"
    assert refusal(codec.decode_frame, codec.encode(Report(1, ALICE.id, 0))) == "malformed"


def test_the_addresses_in_frames_are_checked() -> None:
    good, bad = ("10.0.0.2", 1), ("localhost", 1)
    for message in (
        Busy(1, (good, bad)),
        Verdict(reached=True, degraded=False, address=bad, seen=good),
        Verdict(reached=True, degraded=False, address=good, seen=bad),
        DialledBack(bad, good, 0, 0, 0, heard=True),
        DialledBack(good, bad, 0, 0, 0, heard=True),
    ):
        assert refusal(codec.decode_frame, codec.encode(message)) == "malformed"


@pytest.mark.parametrize(
    "frame",
    [
        DialBack(ALICE.id, FACTS[0].raw, 0),
        DialBack(ALICE.id, FACTS[0].raw, 10_001),
        DialBack(ALICE.id, b"", 1),
        DialledBack(("10.0.0.2", 1), ("10.0.0.2", 1), 9, 0, 0, heard=True),
    ],
)
def test_a_dial_back_out_of_its_bounds_is_malformed(frame: Frame) -> None:
    assert refusal(codec.decode_frame, codec.encode(frame)) == "malformed"


def test_a_ping_of_full_size_is_read_as_a_ping_by_every_release() -> None:
    padded = FullPing(**msgspec.structs.asdict(PING), padding=bytes(900))
    assert codec.decode_packet(codec.encode(padded)) == PING


def test_a_reason_cannot_move_the_cursor() -> None:
    for text in ("no\x1b[2J", "no\nyes", "nø\u202e"):
        assert refusal(codec.decode_frame, codec.encode(Turned(text))) == "malformed"


def test_a_body_over_its_limit_is_oversized_before_it_is_read() -> None:
    assert refusal(codec.decode_packet, bytes(codec.MAX_PACKET_BODY + 1)) == "oversized"
    assert refusal(codec.decode_frame, bytes(codec.MAX_FRAME_BODY + 1)) == "oversized"


def test_the_refusal_says_what_was_wrong() -> None:
    with pytest.raises(RemoteProtocolError, match=r"malformed: .*length"):
        codec.decode_packet(packed(6, b"short", []))
