"""From a seed as the user wrote it to addresses, anew each time it is asked for."""

from __future__ import annotations

import socket
from typing import Final

import trio

from gossip.core.types import Address
from gossip.net.addresses import family_of, plain

__all__ = ["ADDRESSES_MAX", "DEFAULT_PORT", "RESOLVE_SECONDS", "literal", "resolve", "split_seed"]

DEFAULT_PORT: Final = 7946
ADDRESSES_MAX: Final = 8
"""Addresses of one name that are worth trying: enough for a round robin, no way to flood others."""
RESOLVE_SECONDS: Final = 5.0
"""How long a name may take; a lookup that takes longer is left to end by itself."""


def split_seed(seed: str, default_port: int = DEFAULT_PORT) -> tuple[str, int]:
    """(host, port) of `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 address.

    Raises:
        ValueError: if it is none of these; the message says what is wrong.
    """
    text = seed.strip()
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{seed!r}: write an IPv6 address with a port as [address]:port")
        port_text = rest[1:] if rest else str(default_port)
    elif text.count(":") > 1:
        host, port_text = text, str(default_port)
    else:
        host, colon, port_text = text.partition(":")
        port_text = port_text if colon else str(default_port)
    if not host:
        raise ValueError(f"{seed!r} names no host: write host:port")
    if not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text) <= 65_535):
        raise ValueError(f"{seed!r}: the port must be a number from 1 to 65535")
    return host, int(port_text)


def literal(seed: str, default_port: int = DEFAULT_PORT) -> Address | None:
    """The address of a seed that needs no lookup, else None (also for one that is malformed)."""
    try:
        host, port = split_seed(seed, default_port)
    except ValueError:
        return None
    return None if family_of(host) is None else (host, port)


async def resolve(seed: str, default_port: int = DEFAULT_PORT) -> tuple[list[Address], str]:
    """Look a seed up, within `RESOLVE_SECONDS`.

    Returns:
        Up to `ADDRESSES_MAX` addresses in the system's order and an empty string, or no address
        and one line that says why. Never raises for what a name can do.
    """
    try:
        host, port = split_seed(seed, default_port)
        with trio.fail_after(RESOLVE_SECONDS):
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except ValueError as exc:  # UnicodeError, for labels that are no host name, is one too
        return [], str(exc)
    except trio.TooSlowError:
        return [], f"{seed}: the name was not resolved within {RESOLVE_SECONDS:g} s"
    except OSError as exc:
        return [], f"{seed}: the name cannot be resolved: {exc.strerror or exc}"
    addresses = list(dict.fromkeys(plain(sockaddr) for *_, sockaddr in found))
    usable = [address for address in addresses if family_of(address[0]) is not None]
    if not usable:
        return [], f"{seed}: the name has no address that can be sent to"
    return usable[:ADDRESSES_MAX], ""
