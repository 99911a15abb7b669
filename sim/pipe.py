"""What one kernel sends to another within a connection: in order, once, however often it has to try.

A segment that is lost, or meets a cut, is sent again after 200 ms, then 400 and so on, as long as
nothing gets through; what was written after it waits behind it. What a line with little bandwidth does
not take yet waits until it does. The program that wrote is told nothing, and has its own deadline, unless
the kernel gives up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sim.clock import SECOND, Clock
from sim.network import Network

if TYPE_CHECKING:
    from sim.host import Host

__all__ = ["SEGMENT", "Pipe"]

RETRY_US = 200_000
RETRY_MAX_US = 120 * SECOND
TRIES_MAX = 15
"""As Linux's tcp_retries2: after a quarter of an hour the kernel gives up."""
SEGMENT = 1_448
"""Bytes of a stream in one packet."""
HEADERS = 52
"""Bytes around them: IPv4, TCP with timestamps."""


class Pipe:
    """One direction of one connection. `deliver(item)` is called on the far side."""

    __slots__ = (
        "_arrives_us",
        "_broken",
        "_clock",
        "_closed",
        "_deliver",
        "_items",
        "_lost",
        "_network",
        "_source",
        "_target",
        "_tries",
        "_unsent",
    )

    def __init__(
        self,
        clock: Clock,
        network: Network,
        source: Host,
        target: Host,
        deliver: Callable[[Any], None],
        broken: Callable[[], None],
    ) -> None:
        """`broken` is called if the kernel gives up."""
        self._clock = clock
        self._network = network
        self._source = source
        self._target = target
        self._deliver = deliver
        self._broken = broken
        self._items: deque[tuple[Any, int, int]] = deque()
        """What is sent, in how many segments, of how many bytes each."""
        self._unsent = 0
        """Segments of the first item that are not on their way, and were not lost."""
        self._lost = 0
        """Segments of it that are to be sent again."""
        self._tries = 0
        self._arrives_us = 0
        self._closed = False

    def put(self, item: Any, size: int = 0, *, last: bool = False) -> None:
        """Send `item`, of `size` bytes, after all before it. Nothing is taken after the `last` one."""
        if self._closed:
            return
        self._closed = last
        segments = 1 + size // SEGMENT
        self._items.append((item, segments, size // segments + HEADERS))
        if len(self._items) == 1:
            self._unsent = segments
            self._pump(None)

    def drop(self) -> None:
        """Send nothing more."""
        self._closed = True
        self._items.clear()

    def _pump(self, _: None) -> None:
        """Send what can be sent. While an item waits, one call of this or of `_retry` is on the clock."""
        clock = self._clock
        served = 0
        while self._items:
            item, _segments, each = self._items[0]
            taken, lost, delay_us = self._network.push(
                self._source, self._target, self._unsent or self._lost, each
            )
            if not taken:
                # Who was served asks after those who were not, so that all streams of a line take turns.
                clock.after(delay_us + served, self._pump, None)
                return
            served = 1
            if self._unsent:
                self._unsent -= taken
                self._lost += lost
            else:
                self._lost -= taken - lost
            if lost < taken:
                # The other kernel has something new to acknowledge, and the doubling begins anew.
                self._tries = 0
                # Equal instants keep their order on the clock.
                self._arrives_us = max(self._arrives_us, clock.now_us + delay_us)
            if self._unsent:
                continue
            if self._lost:
                clock.after(min(RETRY_US << self._tries, RETRY_MAX_US), self._retry, None)
                return
            self._items.popleft()
            clock.at(self._arrives_us, self._deliver, item)
            if self._items:
                self._unsent = self._items[0][1]

    def _retry(self, _: None) -> None:
        self._tries += 1
        if self._tries > TRIES_MAX and self._items:
            self.drop()
            self._broken()
        self._pump(None)
