"""Which address others reach this machine at, as far as the machine itself can tell."""

from __future__ import annotations

import re
import socket
from ipaddress import IPv6Address, ip_address
from pathlib import Path

__all__ = ["default_route_address", "local_addresses"]

# Documentation networks: reached through the default route or not at all.
_FAR = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
_LOCAL_V4 = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")
_GLOBAL_SCOPE = "00"


def default_route_address(*, ipv6: bool = False) -> str | None:
    """The address that packets to far away would leave from, or None without a default route.

    Connecting a datagram socket makes the system choose; nothing is sent.
    """
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_FAR[family], 9))
            host = str(probe.getsockname()[0])
    except OSError:
        return None
    address = ip_address(host)
    return None if address.is_loopback or address.is_unspecified or address.is_link_local else host


def local_addresses(*, ipv6: bool = False) -> list[str]:
    """This machine's addresses besides loopback and link-local ones; empty where /proc has none."""
    try:
        if ipv6:
            return _parse_if_inet6(Path("/proc/net/if_inet6").read_text(encoding="ascii"))
        return _parse_fib_trie(Path("/proc/net/fib_trie").read_text(encoding="ascii"))
    except OSError:
        return []


def _parse_fib_trie(text: str) -> list[str]:
    """The kernel's table of IPv4 routes: local addresses are host routes marked so."""
    found = {ip_address(host) for host in _LOCAL_V4.findall(text)}
    return [str(address) for address in sorted(found, key=int) if not address.is_loopback]


def _parse_if_inet6(text: str) -> list[str]:
    """One address a line: 32 hex digits, interface number, prefix length, scope, flags, name."""
    found = set()
    for line in text.splitlines():
        digits, _, _, scope = line.split()[:4]
        if scope == _GLOBAL_SCOPE:
            found.add(IPv6Address(int(digits, 16)))
    return [str(address) for address in sorted(found)]
