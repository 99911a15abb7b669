"""One UDP socket: batches, errors, refusals, overflow."""

from __future__ import annotations

import errno
import select
import socket
from typing import TYPE_CHECKING, Any

import pytest

from gossip.net.udp import BATCH_MAX, UdpPort, choose_port
from tests.net.recorder import PATIENCE, closed_port

if TYPE_CHECKING:
    from collections.abc import Iterator


def bound(host: str) -> UdpPort:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    return UdpPort(sock)


@pytest.fixture(params=["127.0.0.1", "::1"])
def port(request: pytest.FixtureRequest) -> Iterator[UdpPort]:
    port = bound(request.param)
    yield port
    port.close()


def wait_readable(port: UdpPort) -> None:
    readable, _, _ = select.select([port.sock], [], [], PATIENCE)
    assert readable


class BrokenSocket:
    """A socket whose sends fail as they are told, then work."""

    def __init__(self, sock: socket.socket, *failures: int) -> None:
        self._sock = sock
        self.failures = list(failures)

    def sendto(self, datagram: bytes, address: Any) -> int:
        if self.failures:
            number = self.failures.pop(0)
            raise OSError(number, "scripted")  # the subclass (BlockingIOError, ...) follows the number
        return self._sock.sendto(datagram, address)

    def close(self) -> None:
        self._sock.close()


def test_a_batch_gives_what_waits_with_its_source(port: UdpPort) -> None:
    assert port.send(b"one", port.address) == ""
    assert port.send(b"two", port.address) == ""
    wait_readable(port)
    assert list(port.batch()) == [(b"one", port.address), (b"two", port.address)]
    assert port.dry
    assert list(port.batch()) == []


def test_a_batch_is_bounded(port: UdpPort) -> None:
    for _ in range(BATCH_MAX + 1):
        port.send(b"x", port.address)
    wait_readable(port)
    assert 0 < len(list(port.batch())) <= BATCH_MAX
    assert not port.dry


def test_an_overflow_is_told_once(port: UdpPort) -> None:
    port.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
    assert not port.overflowed()
    for _ in range(50):
        port.send(b"x" * 1_000, port.address)
    assert port.overflowed()
    assert not port.overflowed()


def test_the_receive_buffer_is_raised(port: UdpPort) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as untouched:
        default = untouched.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    assert port.sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > default


def test_a_refusal_quotes_the_datagram_and_where_it_went(port: UdpPort) -> None:
    with closed_port(port.address[0]) as nobody:
        assert port.send(b"are you there?", nobody) == ""
        wait_readable(port)
        (quote,) = port.quotes()
    assert quote.refused
    assert quote.address == nobody
    assert quote.datagram == b"are you there?"


def test_a_pending_error_costs_neither_a_datagram_that_waits_nor_one_that_leaves(port: UdpPort) -> None:
    with closed_port(port.address[0]) as nobody:
        port.send(b"?", nobody)
        wait_readable(port)
        assert port.send(b"for me", port.address) == ""
        port.send(b"?", nobody)
        assert [datagram for datagram, _ in port.batch()] == [b"for me"]
        assert [quote.datagram for quote in port.quotes()] == [b"?", b"?"]
    readable, _, _ = select.select([port.sock], [], [], 0)
    assert not readable, "nothing is left to wake up for"


def test_sending_never_raises(port: UdpPort) -> None:
    for number, reason in {
        errno.EAGAIN: "send_blocked",
        errno.ENOBUFS: "send_blocked",
        errno.EPERM: "send_forbidden",
        errno.EACCES: "send_forbidden",
        errno.ENETUNREACH: "send_failed",
        errno.EMSGSIZE: "send_failed",
    }.items():
        port.sock = BrokenSocket(port.sock, number, number)  # type: ignore[assignment]
        assert port.send(b"x", port.address) == reason


def test_a_datagram_over_64_kib_is_counted_not_raised(port: UdpPort) -> None:
    assert port.send(bytes(70_000), port.address) == "send_failed"


def test_another_ones_error_is_survived_by_sending_again(port: UdpPort) -> None:
    port.sock = BrokenSocket(port.sock, errno.ECONNREFUSED)  # type: ignore[assignment]
    assert port.send(b"x", port.address) == ""


def test_what_a_firewall_of_this_host_refuses_is_not_tried_again(port: UdpPort) -> None:
    """It may have left an ICMP error behind, which would be taken for the reason."""
    broken = BrokenSocket(port.sock, errno.EPERM, errno.ECONNREFUSED)
    port.sock = broken  # type: ignore[assignment]
    assert port.send(b"x", port.address) == "send_forbidden"
    assert broken.failures == [errno.ECONNREFUSED]


def test_a_full_socket_is_not_tried_again(port: UdpPort) -> None:
    broken = BrokenSocket(port.sock, errno.EAGAIN, errno.EPERM)
    port.sock = broken  # type: ignore[assignment]
    assert port.send(b"x", port.address) == "send_blocked"
    assert broken.failures == [errno.EPERM]


def test_the_port_to_send_from_has_the_hosts_family_and_reach() -> None:
    everywhere, inward, six = bound("0.0.0.0"), bound("127.0.0.1"), bound("::1")
    try:
        ports = [everywhere, inward, six]
        assert choose_port(ports, "192.0.2.1") is everywhere
        assert choose_port(ports, "127.0.0.9") is inward
        assert choose_port(ports, "::1") is six
        assert choose_port(ports, "2001:db8::1") is six
        assert choose_port([everywhere], "127.0.0.1") is everywhere
        assert choose_port([everywhere], "::1") is None
        assert choose_port(ports, "example.org") is None
        assert choose_port(ports, "::ffff:127.0.0.1") is None
    finally:
        for port in (everywhere, inward, six):
            port.close()
