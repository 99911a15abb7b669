"""Waiting for the next request: asleep, or for a moment awake.

A client that asks one thing at a time, and the next at once, is served three times as fast if the
agent does not go to sleep in between: sleeping and being woken costs more than answering. So after
some requests in close order (a *streak*) the socket is asked again and again, for `SPIN_SECONDS` at
most, giving the processor up each time to whoever wants it. Three rules keep this harmless: only one
connection is waited for in this way, and only if no other was served since its streak began; every
`TURN_SECONDS` all other tasks run; and a wait in vain makes the next attempt need a longer streak.
"""

from __future__ import annotations

import os
from time import perf_counter
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

__all__ = ["Streak"]

CLOSE_SECONDS = 0.000_200
"""A request this soon after the last answer counts towards a streak."""
SPIN_SECONDS = 0.000_050
TURN_SECONDS = 0.001
SHORTEST, LONGEST = 2, 256
"""Requests in close order that it takes: at first, and after many waits in vain."""


class Streak:
    """Which connection is being asked in close order, and for how long it has been."""

    def __init__(self) -> None:
        self._holder: object = None
        self._length = 0
        self._needed = SHORTEST
        self._answered = 0.0
        self._turn_ends = 0.0

    def follow(
        self, connection: object, sock: socket.socket, size: int, answer: Callable[[bytes], bool]
    ) -> bytes | None:
        """Answer a streak's requests for as long as each follows the answer before it closely.

        `answer` is given one whole line, and says whether the next may be read.

        Returns:
            What was read and is not one line (empty: the client has closed), or None: `receive` it.

        Raises:
            OSError: the connection is broken.
        """
        if self._holder is not connection or self._length < self._needed:
            return None
        receive, give_way, clock = sock.recv, os.sched_yield, perf_counter
        now = self._answered
        while now < self._turn_ends:
            until = now + SPIN_SECONDS
            while True:
                # First, because the client has only just been answered and may need this processor.
                give_way()
                try:
                    data = receive(size)
                except BlockingIOError:
                    if clock() > until:
                        self._length = 0
                        self._needed = min(LONGEST, self._needed * 2)
                        return None
                else:
                    break
            self._needed = SHORTEST
            if not data or data.find(b"\n") != len(data) - 1:
                return data
            may_go_on = answer(data)
            now = self._answered = clock()
            if not may_go_on:
                break
        return None

    async def receive(self, connection: object, sock: socket.socket, size: int) -> bytes:
        """What the client sends next; empty if it has closed.

        Raises:
            OSError: the connection is broken.
        """
        while True:
            await trio.lowlevel.wait_readable(sock)
            try:
                data = sock.recv(size)
            except (BlockingIOError, InterruptedError):
                continue
            self._arrived(connection)
            return data

    def answered(self, connection: object) -> None:
        """The connection has been answered: its next request may follow closely."""
        if self._holder is connection:
            self._answered = perf_counter()

    def forget(self, connection: object) -> None:
        """The connection is gone."""
        if self._holder is connection:
            self._holder = None

    def _arrived(self, connection: object) -> None:
        now = perf_counter()
        if self._holder is not connection:
            self._holder = connection
            self._length = 0
            self._needed = SHORTEST
        elif now - self._answered < CLOSE_SECONDS:
            self._length += 1
        else:
            self._length = 0
        self._turn_ends = now + TURN_SECONDS
