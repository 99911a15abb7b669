"""What one kernel sends to another within a connection: in order, once, however often it has to try.

A segment that is lost, or meets a cut, is sent again after 200 ms, then 400 and so on; what was written
after it waits behind it. Nobody is told: the program that wrote has its own deadline.
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


class Pipe:
    """One direction of one connection. `deliver(item)` is called on the far side."""

    __slots__ = (
        "_arrives_us",
        "_clock",
        "_closed",
        "_deliver",
        "_items",
        "_lost",
        "_network",
        "_source",
        "_target",
        "_tries",
    )

    def __init__(
        self, clock: Clock, network: Network, source: Host, target: Host, deliver: Callable[[Any], None]
    ) -> None:
        self._clock = clock
        self._network = network
        self._source = source
        self._target = target
        self._deliver = deliver
        self._items: deque[tuple[Any, int]] = deque()
        self._lost = 0
        self._tries = 0
        self._arrives_us = 0
        self._closed = False

    def put(self, item: Any, size: int = 0, *, last: bool = False) -> None:
        """Send `item`, of `size` bytes, after all before it. Nothing is taken after the `last` one."""
        if self._closed:
            return
        self._closed = last
        self._items.append((item, 1 + size // SEGMENT))
        if not self._lost:
            self._pump()

    def drop(self) -> None:
        """Send nothing more."""
        self._closed = True
        self._items.clear()

    def _pump(self) -> None:
        clock = self._clock
        while self._items:
            item, segments = self._items[0]
            lost, delay = self._network.try_once(self._source, self._target, self._lost or segments)
            if lost:
                self._lost = lost
                clock.after(min(RETRY_US << self._tries, RETRY_MAX_US), self._retry, None)
                return
            self._lost = self._tries = 0
            self._items.popleft()
            # Equal instants keep their order on the clock.
            self._arrives_us = max(self._arrives_us, clock.now_us + delay)
            clock.at(self._arrives_us, self._deliver, item)

    def _retry(self, _: None) -> None:
        self._tries += 1
        if self._tries >= TRIES_MAX:
            self.drop()
        self._pump()
