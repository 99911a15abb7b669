"""Datagrams: non-blocking sockets, read in bounded batches, sending that never raises."""

from __future__ import annotations

import errno
import socket
import struct
import time
from typing import TYPE_CHECKING, Final

from gossip.net import errqueue
from gossip.net.addresses import family_of, is_loopback, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gossip.core.types import Address

__all__ = ["BATCH_MAX", "BATCH_SECONDS", "UdpPort", "choose_port"]

BATCH_MAX: Final = 256
BATCH_SECONDS: Final = 0.020
"""Datagrams read at one wake-up, and the time it may take, before other tasks get their turn."""

RECEIVE_BYTES: Final = 2_048
"""Above the largest packet, so that what fills it was longer and is nobody's packet."""

RECEIVE_BUFFER_BYTES: Final = 4 << 20
"""Asked for as SO_RCVBUF; the system's maximum may cut it. A burst waits here, not at the sender."""

_PROBLEMS: Final = {
    errno.ENOBUFS: "send_blocked",
    # By a rule of this host, as a firewall's: it is about datagrams, or about whom they are for.
    errno.EPERM: "send_forbidden",
    errno.EACCES: "send_forbidden",
}

_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("=9I")
"""<linux/sock_diag.h>: SK_MEMINFO_VARS numbers, the last of them how many datagrams were dropped."""


class UdpPort:
    """One bound socket of one family. `dry` tells whether the last batch read all there was."""

    def __init__(self, sock: socket.socket) -> None:
        """Takes the socket over: `sock` is bound, and is closed by `close`."""
        self.sock = sock
        self.family = sock.family
        self.address: Address = plain(sock.getsockname())
        self.dry = True
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        errqueue.enable(sock)
        self._drops = self._read_drops()
        self.received = self.received_bytes = self.sent = self.sent_bytes = 0
        """Datagrams and their bytes, without the headers of UDP and IP."""

    def close(self) -> None:
        self.sock.close()

    def overflowed(self) -> bool:
        """Whether the receive buffer has dropped datagrams since the last call."""
        drops = self._read_drops()
        before, self._drops = self._drops, drops
        return drops != before

    def _read_drops(self) -> int:
        # One cheap call per wake-up tells of drops before anything is read. SO_RXQ_OVFL would tell
        # with the next datagram that still fits, and cost an ancillary message on each.
        try:
            data = self.sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:
            return 0
        return int(_MEMINFO.unpack(data)[8]) if len(data) == _MEMINFO.size else 0

    def batch(self) -> Iterator[tuple[bytes, Address]]:
        """What waits, as (datagram, source), at most `BATCH_MAX` or for `BATCH_SECONDS`."""
        self.dry = False
        until = time.monotonic() + BATCH_SECONDS
        receive = self.sock.recvfrom
        for _ in range(BATCH_MAX):
            try:
                datagram, source = receive(RECEIVE_BYTES)
            except BlockingIOError:
                self.dry = True
                return
            except OSError:
                continue  # a pending ICMP error, told once; its quote is in the error queue
            self.received += 1
            self.received_bytes += len(datagram)
            yield datagram, plain(source)
            if time.monotonic() > until:
                return

    def quotes(self) -> list[errqueue.Quote]:
        """ICMP errors that wait. To be taken at every wake-up: they keep the socket readable."""
        return errqueue.read_queue(self.sock)

    def send(self, datagram: bytes, address: Address) -> str:
        """Send now or not at all.

        Returns:
            Empty if the datagram left, else the name of the counter for why it did not.
        """
        try:
            self._send(datagram, address)
        except BlockingIOError:
            return "send_blocked"
        except OSError as exc:
            return _PROBLEMS.get(exc.errno or 0, "send_failed")
        self.sent += 1
        self.sent_bytes += len(datagram)
        return ""

    def _send(self, datagram: bytes, address: Address) -> None:
        try:
            self.sock.sendto(datagram, address)
        except BlockingIOError:
            raise
        except OSError as exc:
            if exc.errno == errno.EPERM:
                raise  # no ICMP error, and the rule that refuses may leave one behind for the next call
            # Perhaps not about this datagram: a pending ICMP error is raised by the next call on
            # the socket, whomever it is for, and only once.
            self.sock.sendto(datagram, address)


def choose_port(ports: Sequence[UdpPort], host: str) -> UdpPort | None:
    """The socket to send from to that host: of its family, and bound to loopback if the host is.

    None when no socket can: no IP literal that may be sent to, or a family that is not bound.
    """
    family = family_of(host)
    fitting = [port for port in ports if port.family == family]
    inward = is_loopback(host)
    for port in fitting:
        if is_loopback(port.address[0]) == inward:
            return port
    return fitting[0] if fitting else None
