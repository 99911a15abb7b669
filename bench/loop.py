"""One selector for all agents of a cluster: nothing here polls an agent that has nothing to say."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable

__all__ = ["Loop"]


class Loop:
    """Calls back what is readable, and waits for conditions with a deadline."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def add(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call `callback` whenever `descriptor` is readable."""
        self._selector.register(descriptor, selectors.EVENT_READ, callback)

    def remove(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)

    def turn(self, timeout: float) -> None:
        """Handle what is readable, after at most `timeout` seconds."""
        for key, _ in self._selector.select(timeout):
            key.data()

    def wait(self, condition: Callable[[], bool], timeout: float) -> float | None:
        """The monotonic time at which `condition` was first seen true; None after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.turn(left)
        return time.monotonic()

    def rest(self, duration: float) -> None:
        """Handle what comes for `duration` seconds."""
        self.wait(lambda: False, duration)
