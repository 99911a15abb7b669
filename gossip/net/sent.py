"""Which datagrams left in the last two seconds, so that an ICMP error can be held against them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gossip.core.types import Address

__all__ = ["PROOF_SECONDS", "SentLog"]

PROOF_SECONDS: Final = 2.0
"""An error that comes later proves nothing."""

GENERATION_MAX: Final = 4_096
"""Entries of one generation; two are kept of either kind, about 200 bytes an entry. Above it the older is
forgotten early, and a refusal that can no longer be proven counts as silence."""


class SentLog:
    """Marks of sent datagrams: of pings by which this node judges, and of all others.

    Anybody can have an ack or a ping back sent, as often as he likes: what is meant to judge by has places of
    its own, so that no crowd makes a true refusal pass for silence.
    """

    def __init__(self) -> None:
        self._asking = _Marks()
        self._others = _Marks()

    def note(self, mark: bytes, address: Address, now: float, *, asks: bool) -> None:
        """Remember that the datagram of this mark left for `address`; `asks` as of `effects.Send`."""
        (self._asking if asks else self._others).note(mark, address, now)

    def take(self, mark: bytes, now: float) -> Address | None:
        """Where the datagram of this mark went, if that was in time; each proves one refusal."""
        found = self._asking.take(mark) or self._others.take(mark)
        if found is None or now - found[1] > PROOF_SECONDS:
            return None
        return found[0]


class _Marks:
    """In two generations: forgetting costs nothing per entry."""

    __slots__ = ("_born", "_old", "_young")

    def __init__(self) -> None:
        self._young: dict[bytes, tuple[Address, float]] = {}
        self._old: dict[bytes, tuple[Address, float]] = {}
        self._born = 0.0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def note(self, mark: bytes, address: Address, now: float) -> None:
        if now - self._born > PROOF_SECONDS or len(self._young) >= GENERATION_MAX:
            self._old, self._young, self._born = self._young, {}, now
        self._young[mark] = (address, now)

    def take(self, mark: bytes) -> tuple[Address, float] | None:
        return self._young.pop(mark, None) or self._old.pop(mark, None)
