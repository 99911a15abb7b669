"""What happened in a world: a running hash of all of it, and the story in words for who wants to read it.

The hash covers every delivered message (when, to whom, what) and every event of every node. Two runs
of one scenario and seed must end with the same hash, on any machine.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable

from gossip.core.events import Event
from gossip.core.types import Address, show_address

__all__ = ["Journal", "Teller"]

Teller = Callable[[str], None]
STAMP = struct.Struct("<qII").pack
"""Microseconds, host number, length of what follows."""


class Journal:
    """The log of one world, kept as a hash; `tell` is given each line of the story, if there is one."""

    __slots__ = ("_hash", "tell")

    def __init__(self, tell: Teller | None) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.tell = tell

    def delivered(self, now_us: int, host: int, data: bytes) -> None:
        """`data` reached the program on that host: the datagram, the frame, or the kind alone (codec off)."""
        self._hash.update(STAMP(now_us, host, len(data)) + data)

    def happened(self, now_us: int, host: int, name: str, event: Event) -> None:
        """A node told its watchers."""
        text = (
            f"{event.kind} {event.id.hex()} {event.name} {event.key} {event.node} {event.ok} {event.detail}"
        )
        data = text.encode() + event.payload
        self._hash.update(STAMP(now_us, host, len(data)) + data)
        if self.tell is not None:
            detail = " ".join(part for part in (event.name, event.key, event.detail) if part)
            self.say(now_us, f"{name} notes {event.kind}: {detail or event.id.hex()[:8]}")

    def say(self, now_us: int, line: str) -> None:
        """One line of the story, which is no part of the hash."""
        if self.tell is not None:
            self.tell(f"{now_us / 1e6:12.6f}  {line}")

    def sent(self, now_us: int, name: str, kind: str, address: Address) -> None:
        self.say(now_us, f"{name} sends {kind} to {show_address(address)}")

    def digest(self) -> str:
        """The hash of all that was delivered and happened so far, in hex."""
        return self._hash.hexdigest()
