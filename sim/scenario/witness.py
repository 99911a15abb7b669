"""What whoever watches a run is told by the one who directs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sim.host import Host

__all__ = ["Unwatched", "Witness"]


class Witness(Protocol):
    """Told right after each thing was done, at the world's present time."""

    def acted(self, what: str, hosts: Sequence[Host], detail: str = "") -> None:
        """An action was done (or ended: `what` then begins with `end of`) to these hosts."""

    def added(self, host: Host, group: str) -> None:
        """A machine was put up."""

    def starting(self, host: Host) -> None:
        """An agent is about to start: its first words are yet to come."""

    def started(self, host: Host) -> None:
        """An agent has started; its id is known."""

    def ended(self, host: Host, *, failed: bool) -> None:
        """An agent is gone; `failed`: without a word to the others."""

    def mended(self, hosts: Sequence[Host], *, network: bool) -> None:
        """These hosts can be reached again (`network`), or run again."""

    def published(self, host: Host, kind: str) -> None:
        """The host has just signed a new member record: `left`, `handed over` or `tags`."""

    def sent_event(self, host: Host, payload: bytes) -> None:
        """The host has sent a user event."""


class Unwatched:
    """A witness that looks away."""

    def acted(self, what: str, hosts: Sequence[Host], detail: str = "") -> None: ...
    def added(self, host: Host, group: str) -> None: ...
    def starting(self, host: Host) -> None: ...
    def started(self, host: Host) -> None: ...
    def ended(self, host: Host, *, failed: bool) -> None: ...
    def mended(self, hosts: Sequence[Host], *, network: bool) -> None: ...
    def published(self, host: Host, kind: str) -> None: ...
    def sent_event(self, host: Host, payload: bytes) -> None: ...
