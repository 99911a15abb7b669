"""The sockets of the DNS face: UDP and TCP at one port, and answers that leave by the way the query came."""

from __future__ import annotations

import errno
import socket
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gossip.core.types import show_address
from gossip.errors import TransportError

if TYPE_CHECKING:
    from gossip.core.types import Address

__all__ = ["Sockets", "bind", "receive_there", "send_from"]

BACKLOG: Final = 128
BUFFER_BYTES: Final = 1_048_576
PORT_TRIES: Final = 16
MAX_QUERY_BYTES: Final = 4_096
"""Of a query: a name, a few options, padding."""

_PKTINFO: Final[dict[int, tuple[int, int]]] = {
    # The option that asks for it, and what it is called in messages; IPv4's is not in the module `socket`.
    socket.AF_INET: (socket.IPPROTO_IP, 8),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO),
}
_ADVICE: Final = {
    errno.EADDRINUSE: "in use by another program",
    errno.EACCES: "ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)",
    errno.EADDRNOTAVAIL: "this host has no such address",
}


class Sockets(NamedTuple):
    """Where DNS is served."""

    udp: socket.socket
    tcp: socket.socket

    @property
    def address(self) -> Address:
        """Where they really are."""
        host, port = self.tcp.getsockname()[:2]
        return host, port

    def close(self) -> None:
        """May be called twice."""
        self.udp.close()
        self.tcp.close()


def bind(address: Address) -> Sockets:
    """Both sockets at an IP address and port (0: any that is free for both).

    Raises:
        TransportError: naming the address, and what to do. Nothing stays bound.
    """
    for tries_left in range(PORT_TRIES - 1, -1, -1):
        listener = _bound(socket.SOCK_STREAM, address)
        try:
            listener.listen(BACKLOG)
            udp = _bound(socket.SOCK_DGRAM, (address[0], listener.getsockname()[1]))
        except TransportError:
            listener.close()
            # A number that the system chose for TCP may be taken for UDP.
            if address[1] or not tries_left:
                raise
            continue
        if ip_address(address[0]).is_unspecified:
            _ask_for_destination(udp)
        return Sockets(udp, listener)
    raise AssertionError  # the last try returns or raises


def _bound(kind: socket.SocketKind, address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_DGRAM:
            # Queries wait while other faces have their turn; the system gives as much of it as it allows.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        sock.bind(address)
    except OSError as error:
        sock.close()
        what = "TCP" if kind == socket.SOCK_STREAM else "UDP"
        reason = _ADVICE.get(error.errno or 0, error.strerror or str(error))
        raise TransportError(f"{show_address(address)} ({what}): {reason}: give another --dns") from error
    return sock


def _ask_for_destination(sock: socket.socket) -> None:
    level, option = _PKTINFO[sock.family]
    sock.setsockopt(level, socket.IPV6_RECVPKTINFO if sock.family == socket.AF_INET6 else option, 1)


def receive_there(sock: socket.socket) -> tuple[bytes, Any, Any]:
    """A datagram, whence, and to which of this host's addresses: a client takes answers from there only.

    Raises:
        OSError: as `recvfrom`.
    """
    data, ancillary, _, source = sock.recvmsg(MAX_QUERY_BYTES + 1, 128)
    level, option = _PKTINFO[sock.family]
    for found_level, found, content in ancillary:
        if (found_level, found) == (level, option):
            return data, source, [(level, option, _from(sock.family, content))]
    return data, source, []


def _from(family: int, content: bytes) -> bytes:
    """From what was said of a datagram's way, what is to be said of its answer's."""
    if family == socket.AF_INET6:
        return content[:20]
    # struct in_pktinfo: the interface, the local address, the destination in the header.
    return struct.pack("@I4s4s", 0, content[4:8], bytes(4))


def send_from(sock: socket.socket, data: bytes, source: Any, way: Any) -> None:
    """Send `data` to `source`, from the address that `receive_there` gave.

    Raises:
        OSError: as `sendto`.
    """
    sock.sendmsg([data], way, 0, source)
