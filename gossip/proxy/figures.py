"""What a forwarder has done."""

from __future__ import annotations

from dataclasses import asdict, dataclass

__all__ = ["Figures"]


@dataclass(slots=True)
class Figures:
    """Counted since its start, but for `active`."""

    accepted: int = 0
    """Connections of clients."""
    connected: int = 0
    """Of these, those that got an instance."""
    attempts_failed: int = 0
    """Connections to an instance that did not come about."""
    retried: int = 0
    """Clients that got another instance than the first one tried."""
    unreachable: int = 0
    """Clients that were turned away, as none of the instances that were tried answered."""
    no_instance: int = 0
    """Clients that were turned away, as there was none to try."""
    broken: int = 0
    """Connections that an instance reset, or closed without a word."""
    cut: int = 0
    """Connections that were cut since the node of their instance was found dead."""
    overstayed: int = 0
    """Connections that were cut as they outlasted the drain of their instance, or of this forwarder."""
    up_bytes: int = 0
    """From clients to instances."""
    down_bytes: int = 0
    active: int = 0
    ejections: int = 0
    """Times that an instance was left out for failing."""
    panics: int = 0
    """Choices made while nobody was left out, since most would have been."""

    def as_dict(self) -> dict[str, int]:
        """By name."""
        return asdict(self)

    def __str__(self) -> str:
        failed = self.unreachable + self.no_instance
        return (
            f"{self.accepted} connections, {self.retried} of them with another instance than the first,"
            f" {failed} failed ({self.no_instance} with no instance to call), {self.broken} broken,"
            f" {self.cut} cut, {self.overstayed} overstayed; {self.up_bytes} bytes up, {self.down_bytes} down"
        )
