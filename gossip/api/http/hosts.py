"""Which Host a request may name.

A web page that somebody visits can make its own name point to 127.0.0.1, and its scripts then read from
whatever listens there, with the browser's blessing: the name is the page's own. What such a request cannot
hide is that name, in its Host header. A server on loopback is therefore asked for as `localhost`, as an IP
address, or by the name that it was given; anything else is refused.
"""

from __future__ import annotations

from ipaddress import ip_address

__all__ = ["is_welcome"]


def is_welcome(header: str, configured: str = "") -> bool:
    """Whether a Host header names this server: `localhost`, an IP literal, or `configured`; in any case."""
    host = _host(header.strip()).rstrip(".").lower()
    if host == "localhost" or (configured and host == configured.lower()):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _host(header: str) -> str:
    """Without the port, and without the brackets of an IPv6 literal."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    host, colon, port = header.rpartition(":")
    return host if colon and port.isdigit() else header
