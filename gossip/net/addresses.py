"""From what the system calls a socket address to core's `Address`, and which hosts may be sent to."""

from __future__ import annotations

import functools
import ipaddress
import socket
from typing import TYPE_CHECKING, Any

from gossip.core.types import site

if TYPE_CHECKING:
    from gossip.core.types import Address

__all__ = ["family_of", "is_loopback", "is_same", "plain", "site"]


@functools.lru_cache(maxsize=8_192)
def family_of(host: str) -> socket.AddressFamily | None:
    """The family of an IP literal that a datagram or stream may go to; None for everything else.

    Hosts come out of other nodes' records, so a name must never reach the socket module: it would
    be looked up, blocking. Addresses that stand for many hosts or for none (multicast, broadcast,
    unspecified) are nobody's, IPv4 mapped into IPv6 has a socket of its own family, and a scope
    means something on one host only.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.is_multicast or address.is_unspecified or host == "255.255.255.255":
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return socket.AF_INET
    if address.ipv4_mapped is not None or address.scope_id is not None:
        return None
    return socket.AF_INET6


@functools.lru_cache(maxsize=8_192)
def is_loopback(host: str) -> bool:
    """Whether an IP literal is this host's own loopback; False for what is no literal."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def plain(sockaddr: Any) -> Address:
    """(host, port) of a socket address, without the IPv6 scope and flow."""
    host: str = sockaddr[0]
    port: int = sockaddr[1]
    return (host.partition("%")[0] if "%" in host else host, port)


def is_same(one: Address, other: Address) -> bool:
    """Whether two addresses are the same, however their hosts are written (IPv6 has many ways)."""
    if one[1] != other[1]:
        return False
    if one[0] == other[0]:
        return True
    try:
        return ipaddress.ip_address(one[0]) == ipaddress.ip_address(other[0])
    except ValueError:
        return False
