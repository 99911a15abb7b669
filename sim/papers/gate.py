"""Lifeguard's anomaly: an agent that "blocks immediately before sending or after receiving" (section V-D).

While the gate is closed, what arrives waits in the kernel's buffer, as far as it reaches; each loop of the
agent stands still where it would send; its timers run on, suspicion among them. When it opens, the loops
go on at once, and what waited is handled in order, each message after `pace` seconds of processor time.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from gossip.core.messages import Ack, Gossip, Ping

__all__ = ["BUFFER_BYTES", "Gate"]

BUFFER_BYTES = 2 * 212_992
"""What Linux gives who asks for 2 MiB, as memberlist does, where nobody raised `rmem_max`."""
SMALL_BYTES, MIDDLE_BYTES = 128, 640
SMALL_COST, MIDDLE_COST, LARGE_COST = 768, 1_280, 2_304
"""What a datagram of up to so many bytes, or a larger one, takes up there: its block of memory and header."""
HEADER_BYTES = 48
"""A ping or an ack without rumours, about."""
SHORT_BYTES = 128
"""Shorter facts are accusations."""


class Gate:
    """Whether one agent runs, and what waits for it."""

    __slots__ = ("_buffered", "_costs", "closed", "inbox", "overflowed", "pace")

    def __init__(self, cost_alive: int, cost_accusation: int) -> None:
        self.closed = False
        self.pace = 0.0
        """Seconds that a message takes to be handled after the gate opened, while others wait."""
        self.inbox: deque[tuple[Any, Any, int]] = deque()
        """(message, source, what it costs in the buffer); streams cost nothing there."""
        self.overflowed = 0
        """Datagrams that found the buffer full."""
        self._buffered = 0
        self._costs = (cost_alive, cost_accusation)

    @property
    def waits(self) -> bool:
        """What arrives must wait: for the gate, or for its turn."""
        return self.closed or bool(self.inbox)

    def keep(self, message: Any, source: Any) -> None:
        """Have it wait, if there is room."""
        cost = self._cost(message)
        if self._buffered + cost > BUFFER_BYTES:
            self.overflowed += 1
            return
        self._buffered += cost
        self.inbox.append((message, source, cost))

    def keep_frame(self, stream: int, frame: Any) -> None:
        """The same for a stream, whose sender waits when buffers are full."""
        self.inbox.append((frame, stream, 0))

    def next(self) -> tuple[Any, Any]:
        """What has waited longest."""
        message, source, cost = self.inbox.popleft()
        self._buffered -= cost
        return message, source

    def _cost(self, message: Any) -> int:
        size = HEADER_BYTES
        if isinstance(message, Ping | Ack | Gossip):
            alive, accusation = self._costs
            for raw in message.news:
                size += accusation if len(raw) < SHORT_BYTES else alive
        return SMALL_COST if size <= SMALL_BYTES else MIDDLE_COST if size <= MIDDLE_BYTES else LARGE_COST
