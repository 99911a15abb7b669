"""Datagrams: what is let in, what is not and why, and what an ICMP error can prove."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.errors import LocalProtocolError
from gossip.wire.seal import OVERHEAD_BYTES, ClearSealer, Sealer
from tests.wire.samples import mutate, refusal

if TYPE_CHECKING:
    import random

SESSION = bytes(range(16))
OTHER = bytes(range(16, 32))


def pair() -> tuple[Sealer, Sealer]:
    return ClearSealer("test", SESSION), ClearSealer("test", OTHER)


@given(st.binary(min_size=1, max_size=1_400))
def test_what_one_seals_the_other_opens(body: bytes) -> None:
    one, other = pair()
    assert other.open(one.seal(body)) == body


def test_golden_bytes_of_a_datagram() -> None:
    one, _ = pair()
    one.seal(b"first")
    assert one.seal(b"body").hex() == (
        "0100000102030405060708090a0b0c0d0e0f0000000000000001626f647939a244a78f060cf0bf025de2fdd0670a"
    )


def test_no_two_datagrams_are_alike() -> None:
    one, _ = pair()
    sealed = [one.seal(b"same") for _ in range(100)]
    assert len(set(sealed)) == 100


def test_a_flipped_bit_anywhere_is_refused() -> None:
    one, other = pair()
    datagram = one.seal(b"body")
    for at in range(len(datagram) * 8):
        damaged = bytearray(datagram)
        damaged[at // 8] ^= 1 << at % 8
        reason = {0: "version", 1: "sealed"}.get(at // 8, "cluster")
        assert refusal(other.open, bytes(damaged)) == reason


def test_every_beginning_is_refused() -> None:
    one, other = pair()
    datagram = one.seal(b"body")
    for size in range(len(datagram)):
        expected = "malformed" if size <= OVERHEAD_BYTES else "cluster"
        assert refusal(other.open, datagram[:size]) == expected


def test_mutations_are_refused(rng: random.Random) -> None:
    one, other = pair()
    datagram = one.seal(bytes(range(64)))
    for _ in range(3_000):
        damaged = mutate(datagram, rng)
        assert damaged == datagram or refusal(other.open, damaged)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    assert refusal(pair()[0].open, data) in {"malformed", "version", "sealed", "cluster"}


def test_another_cluster_is_refused() -> None:
    stranger = ClearSealer("production", OTHER)
    assert refusal(pair()[0].open, stranger.seal(b"body")) == "cluster"


def test_a_datagram_without_a_body_is_malformed() -> None:
    one, other = pair()
    assert refusal(other.open, one.seal(b"")) == "malformed"


def test_own_datagrams_are_dropped_also_those_of_the_session_before() -> None:
    one, other = pair()
    before = one.seal(b"body")
    assert refusal(one.open, before) == "own"
    one.renew(b"n" * 16)
    assert refusal(one.open, before) == "own"
    assert refusal(one.open, one.seal(b"body")) == "own"
    assert other.open(one.seal(b"body")) == b"body"


def test_a_quote_names_the_datagram_that_was_refused() -> None:
    one, other = pair()
    first, second = one.seal(b"body"), one.seal(b"body")
    assert one.mark(second) == SESSION + (1).to_bytes(8, "big")
    assert one.mark(second[:26]) == one.mark(second) != one.mark(first)
    assert one.mark(second[:25]) is None
    assert one.mark(b"") is None
    assert other.mark(second) is None
    assert one.mark(b"\x02" + second[1:]) is None
    assert one.mark(second[:1] + b"\x05" + second[2:]) is None


def test_a_quote_of_the_session_before_is_still_known() -> None:
    one, _ = pair()
    before = one.seal(b"body")
    one.renew(b"n" * 16)
    assert one.mark(before) == before[2:26]
    assert one.mark(one.seal(b"body")) == b"n" * 16 + bytes(8)
    one.renew(b"m" * 16)
    assert one.mark(before) is None


@pytest.mark.parametrize("session", [b"", b"short", bytes(17), bytes(16)])
def test_a_session_that_is_none_is_refused(session: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        ClearSealer("test", session)
    sealer = ClearSealer("test", SESSION)
    with pytest.raises(LocalProtocolError):
        sealer.renew(session)
    assert sealer.seal(b"body")[2:18] == SESSION
