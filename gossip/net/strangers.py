"""Whose datagrams and streams could not be read of late, and for what reason: for the user to be told.

Counters say how much was refused; this says from where. It is bounded, since anybody can send from
anywhere, and costs nothing while nothing is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from gossip.core.types import Address

__all__ = ["HOSTS_MAX", "Stranger", "Strangers"]

HOSTS_MAX: Final = 16
"""Hosts kept for one reason; reasons are a small fixed set of words."""


class Stranger(NamedTuple):
    """One host that has sent what was refused for one reason."""

    reason: str
    address: Address
    """Where the last came from."""
    is_stream: bool
    """The last came on a stream, whose port says nothing."""
    times: int
    at: float
    """When the last came, seconds."""


class Strangers:
    """The last hosts by reason."""

    def __init__(self) -> None:
        self._by_reason: dict[str, dict[str, Stranger]] = {}

    def note(self, reason: str, address: Address, now: float, *, stream: bool = False) -> None:
        """Something from `address` was refused."""
        hosts = self._by_reason.setdefault(reason, {})
        last = hosts.pop(address[0], None)
        hosts[address[0]] = Stranger(reason, address, stream, (last.times if last else 0) + 1, now)
        if len(hosts) > HOSTS_MAX:
            del hosts[next(iter(hosts))]

    def since(self, moment: float) -> list[Stranger]:
        """Those that sent something after `moment`, the last first."""
        found = [each for hosts in self._by_reason.values() for each in hosts.values() if each.at > moment]
        return sorted(found, key=lambda each: -each.at)
