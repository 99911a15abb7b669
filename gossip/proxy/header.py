"""The PROXY protocol, by which the instance learns who really connects.

Versions 1 and 2, sections 2.1 and 2.2 of https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt.
"""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gossip.config import Address

__all__ = ["VERSIONS", "header"]

VERSIONS = ("v1", "v2")
_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_PROXY = 0x21
"""Version 2, on behalf of somebody."""
_TCP4, _TCP6 = 0x11, 0x21


def header(version: str, source: Address, target: Address) -> bytes:
    """What goes before the first byte of a connection from `source` to `target`, IP addresses and ports."""
    there, here = ip_address(source[0].partition("%")[0]), ip_address(target[0].partition("%")[0])
    if version == "v1":
        family = f"TCP{there.version}"
        return f"PROXY {family} {there} {here} {source[1]} {target[1]}\r\n".encode()
    addresses = there.packed + here.packed + struct.pack("!HH", source[1], target[1])
    kind = _TCP4 if there.version == 4 else _TCP6
    return _SIGNATURE + struct.pack("!BBH", _PROXY, kind, len(addresses)) + addresses
