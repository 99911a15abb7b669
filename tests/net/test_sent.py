"""Which datagrams an ICMP error can be held against."""

from __future__ import annotations

from gossip.net.sent import GENERATION_MAX, PROOF_SECONDS, SentLog

A = ("192.0.2.1", 7946)
B = ("192.0.2.2", 7946)


def mark(number: int) -> bytes:
    return number.to_bytes(24, "big")


def test_a_datagram_of_just_now_is_found_once() -> None:
    log = SentLog()
    log.note(mark(1), A, 10.0)
    log.note(mark(2), B, 10.1)
    assert log.take(mark(1), 10.2) == A
    assert log.take(mark(1), 10.2) is None, "a second error for one datagram proves nothing more"
    assert log.take(mark(2), 10.2) == B
    assert log.take(mark(3), 10.2) is None


def test_what_is_older_than_the_proof_allows_is_no_proof() -> None:
    log = SentLog()
    log.note(mark(1), A, 10.0)
    assert log.take(mark(1), 10.0 + PROOF_SECONDS + 0.001) is None
    log.note(mark(2), A, 20.0)
    assert log.take(mark(2), 20.0 + PROOF_SECONDS) == A


def test_a_mark_survives_one_change_of_generation() -> None:
    log = SentLog()
    log.note(mark(1), A, 10.0)
    log.note(mark(2), A, 11.9)
    log.note(mark(3), A, 12.1)
    assert log.take(mark(2), 12.2) == A


def test_memory_is_bounded() -> None:
    log = SentLog()
    for number in range(5 * GENERATION_MAX):
        log.note(mark(number), A, 10.0)
    assert len(log._young) + len(log._old) <= 2 * GENERATION_MAX
    assert log.take(mark(0), 10.0) is None
    assert log.take(mark(5 * GENERATION_MAX - 1), 10.0) == A
