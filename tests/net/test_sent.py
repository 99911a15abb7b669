"""Which datagrams an ICMP error can be held against."""

from __future__ import annotations

import pytest

from gossip.net.sent import GENERATION_MAX, PROOF_SECONDS, SentLog

A = ("192.0.2.1", 7946)
B = ("192.0.2.2", 7946)


BOTH = pytest.mark.parametrize("asks", [True, False])


def mark(number: int) -> bytes:
    return number.to_bytes(24, "big")


@BOTH
def test_a_datagram_of_just_now_is_found_once(asks: bool) -> None:
    log = SentLog()
    log.note(mark(1), A, 10.0, asks=asks)
    log.note(mark(2), B, 10.1, asks=asks)
    assert log.take(mark(1), 10.2) == A
    assert log.take(mark(1), 10.2) is None, "a second error for one datagram proves nothing more"
    assert log.take(mark(2), 10.2) == B
    assert log.take(mark(3), 10.2) is None


@BOTH
def test_what_is_older_than_the_proof_allows_is_no_proof(asks: bool) -> None:
    log = SentLog()
    log.note(mark(1), A, 10.0, asks=asks)
    assert log.take(mark(1), 10.0 + PROOF_SECONDS + 0.001) is None
    log.note(mark(2), A, 20.0, asks=asks)
    assert log.take(mark(2), 20.0 + PROOF_SECONDS) == A


@BOTH
def test_a_mark_survives_one_change_of_generation(asks: bool) -> None:
    log = SentLog()
    log.note(mark(1), A, 10.0, asks=asks)
    log.note(mark(2), A, 11.9, asks=asks)
    log.note(mark(3), A, 12.1, asks=asks)
    assert log.take(mark(2), 12.2) == A


@BOTH
def test_memory_is_bounded(asks: bool) -> None:
    log = SentLog()
    for number in range(5 * GENERATION_MAX):
        log.note(mark(number), A, 10.0, asks=asks)
    assert len(log._asking) + len(log._others) <= 2 * GENERATION_MAX
    assert log.take(mark(0), 10.0) is None
    assert log.take(mark(5 * GENERATION_MAX - 1), 10.0) == A


def test_whatever_others_have_sent_makes_no_refusal_of_a_ping_pass_for_silence() -> None:
    log = SentLog()
    log.note(mark(0), A, 10.0, asks=True)
    for number in range(1, 5 * GENERATION_MAX):
        log.note(mark(number), B, 10.0, asks=False)
    assert log.take(mark(0), 10.0 + PROOF_SECONDS) == A
    assert len(log._asking) + len(log._others) <= 2 * GENERATION_MAX
