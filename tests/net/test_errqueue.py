"""What counts as "port unreachable" in the socket's queue of ICMP errors. Real ones are in test_udp.py."""

from __future__ import annotations

import socket
import struct
from typing import Any, cast

import pytest

from gossip.net.errqueue import QUEUE_MAX, Quote, read_queue

V4 = (socket.IPPROTO_IP, 11)
V6 = (socket.IPPROTO_IPV6, 25)
OFFENDER = bytes(16)


def extended(origin: int, icmp_type: int, icmp_code: int) -> bytes:
    return struct.pack("=IBBBBII", 111, origin, icmp_type, icmp_code, 0, 0, 0) + OFFENDER


class Queue:
    """A socket with a scripted error queue."""

    def __init__(self, *entries: Any) -> None:
        self.entries = list(entries)

    def recvmsg(self, _size: int, _ancillary_size: int, flags: int) -> Any:
        assert flags == socket.MSG_ERRQUEUE
        if not self.entries:
            raise BlockingIOError
        return self.entries.pop(0)


def read(*entries: Any) -> list[Quote]:
    return read_queue(cast("socket.socket", Queue(*entries)))


@pytest.mark.parametrize(
    ("level_and_kind", "data", "refused"),
    [
        pytest.param(V4, extended(2, 3, 3), True, id="port unreachable"),
        pytest.param(V4, extended(2, 3, 1), False, id="host unreachable"),
        pytest.param(V4, extended(2, 3, 13), False, id="filtered"),
        pytest.param(V4, extended(2, 3, 4), False, id="too big"),
        pytest.param(V4, extended(2, 11, 0), False, id="time exceeded"),
        pytest.param(V4, extended(1, 3, 3), False, id="of local origin"),
        pytest.param(V4, extended(3, 1, 4), False, id="v6 numbers from a v4 socket"),
        pytest.param(V4, extended(2, 3, 3)[:10], False, id="cut"),
        pytest.param(V6, extended(3, 1, 4), True, id="v6: port unreachable"),
        pytest.param(V6, extended(3, 1, 0), False, id="v6: no route"),
        pytest.param(V6, extended(3, 1, 1), False, id="v6: filtered"),
        pytest.param(V6, extended(2, 3, 3), False, id="v4 numbers from a v6 socket"),
        pytest.param((socket.SOL_SOCKET, 29), extended(2, 3, 3), False, id="another kind of data"),
    ],
)
def test_only_port_unreachable_is_a_refusal(
    level_and_kind: tuple[int, int], data: bytes, refused: bool
) -> None:
    entry = (b"quoted", [(*level_and_kind, data)], 0, ("192.0.2.1", 7946))
    assert read(entry) == [Quote(b"quoted", ("192.0.2.1", 7946), refused)]


def test_an_entry_without_ancillary_data_or_peer_is_no_refusal() -> None:
    assert read((b"quoted", [], 0, None)) == [Quote(b"quoted", ("", 0), False)]


def test_one_wake_up_reads_a_bounded_number() -> None:
    entries = [(b"", [(*V4, extended(2, 3, 3))], 0, ("192.0.2.1", 7946))] * (QUEUE_MAX + 5)
    assert len(read(*entries)) == QUEUE_MAX
