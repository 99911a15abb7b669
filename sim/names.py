"""What a seed as a user wrote it stands for: the name service of a world."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from gossip.core.types import Address

__all__ = ["DEFAULT_PORT", "Names"]

DEFAULT_PORT = 7_946


class Names:
    """Host names and their addresses; a scenario may change them at any time."""

    __slots__ = ("delay_us", "table")

    def __init__(self) -> None:
        self.table: dict[str, Sequence[str]] = {}
        """IP literals by host name."""
        self.delay_us = 1_000
        """How long an answer takes."""

    def look_up(self, seed: str) -> tuple[list[Address], str]:
        """The addresses of a host name or IP literal, with a port or without; else none, and the problem."""
        host, colon, port = seed.rpartition(":")
        if not colon or seed.endswith("]") or _is_literal(seed):
            host, port = seed, str(DEFAULT_PORT)
        if not port.isdecimal():
            return [], f"{port!r} is no port"
        host = host.removeprefix("[").removesuffix("]")
        if _is_literal(host):
            return [(host, int(port))], ""
        found = self.table.get(host, ())
        return [(address, int(port)) for address in found], "" if found else f"{host} has no address"


def _is_literal(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
