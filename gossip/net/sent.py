"""Which datagrams left in the last two seconds, so that an ICMP error can be held against them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gossip.core.types import Address

__all__ = ["PROOF_SECONDS", "SentLog"]

PROOF_SECONDS: Final = 2.0
"""An error that comes later proves nothing."""

GENERATION_MAX: Final = 4_096
"""Entries of one generation; two are kept, about 200 bytes an entry. Above it the older is
forgotten early, and a refusal that can no longer be proven counts as silence."""


class SentLog:
    """Marks of sent datagrams, in two generations: forgetting costs nothing per entry."""

    def __init__(self) -> None:
        self._young: dict[bytes, tuple[Address, float]] = {}
        self._old: dict[bytes, tuple[Address, float]] = {}
        self._born = 0.0

    def note(self, mark: bytes, address: Address, now: float) -> None:
        """Remember that the datagram of this mark left for `address`."""
        if now - self._born > PROOF_SECONDS or len(self._young) >= GENERATION_MAX:
            self._old, self._young, self._born = self._young, {}, now
        self._young[mark] = (address, now)

    def take(self, mark: bytes, now: float) -> Address | None:
        """Where the datagram of this mark went, if that was in time; each proves one refusal."""
        found = self._young.pop(mark, None) or self._old.pop(mark, None)
        if found is None or now - found[1] > PROOF_SECONDS:
            return None
        return found[0]
