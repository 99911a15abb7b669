"""The socket's queue of ICMP errors, each quoting the datagram that it is about (Linux, ip(7)).

With IP_RECVERR set, a "port unreachable" for a datagram of an unconnected socket is kept in that
queue: the quoted bytes as the message, the address it was sent to as the peer, and a
`struct sock_extended_err` beside it. Some hosts quote no more than eight bytes of UDP header; the
quote is then empty. What is read here is a claim of whoever sent the ICMP: only the mark of our
own session in the quoted bytes makes it evidence, and that is for the driver to check.
"""

from __future__ import annotations

import socket
import struct
from typing import Final, NamedTuple

from gossip.core.types import Address
from gossip.net.addresses import plain

__all__ = ["QUEUE_MAX", "Quote", "enable", "read_queue"]

# Not among the constants of Python's socket module: <linux/in.h>, <linux/in6.h>.
_IP_RECVERR: Final = 11
_IPV6_RECVERR: Final = 25

_EXTENDED: Final = struct.Struct("=IBBBxII")
"""errno, origin, type, code, (padding), info, data; the address of the offender follows."""

_PORT_UNREACHABLE: Final = {
    # (level, kind of ancillary data): (origin, ICMP type, ICMP code)
    (socket.IPPROTO_IP, _IP_RECVERR): (2, 3, 3),
    (socket.IPPROTO_IPV6, _IPV6_RECVERR): (3, 1, 4),
}

_QUOTE_BYTES: Final = 128
"""A packet's header is all that is needed of a quote; more is cut off by the kernel."""

QUEUE_MAX: Final = 256
"""Errors read at one wake-up."""


class Quote(NamedTuple):
    """A datagram of ours, as an ICMP error quotes it."""

    datagram: bytes
    address: Address
    """Where it was sent, by the quoted headers."""
    refused: bool
    """Port unreachable; anything else says nothing of a process (no route, filtered, too big)."""


def enable(sock: socket.socket) -> None:
    """Ask for the error queue; where the system has none, refusals stay unseen and count as silence."""
    option = (
        (socket.IPPROTO_IP, _IP_RECVERR)
        if sock.family == socket.AF_INET
        else (socket.IPPROTO_IPV6, _IPV6_RECVERR)
    )
    try:
        sock.setsockopt(*option, 1)
    except OSError:
        return


def read_queue(sock: socket.socket) -> list[Quote]:
    """Take out what waits, at most `QUEUE_MAX`; never blocks."""
    quotes: list[Quote] = []
    for _ in range(QUEUE_MAX):
        try:
            datagram, ancillary, _flags, peer = sock.recvmsg(_QUOTE_BYTES, 256, socket.MSG_ERRQUEUE)
        except OSError:
            break
        quotes.append(Quote(datagram, plain(peer) if peer else ("", 0), _is_refusal(ancillary)))
    return quotes


def _is_refusal(ancillary: list[tuple[int, int, bytes]]) -> bool:
    for level, kind, data in ancillary:
        wanted = _PORT_UNREACHABLE.get((level, kind))
        if wanted is not None and len(data) >= _EXTENDED.size:
            _errno, origin, icmp_type, icmp_code, _info, _data = _EXTENDED.unpack_from(data)
            return (origin, icmp_type, icmp_code) == wanted
    return False
