"""HTTP over one line, as a conversation goes through it: h11 keeps the rules, a cancel scope keeps the time.

The scope covers the whole connection, and its deadline says what is waited for: a handshake
(`HANDSHAKE_SECONDS`), a further request (`IDLE_SECONDS`), the rest of a header (`HEADER_SECONDS`, counted
once, so that a byte now and then buys nothing), the rest of a body (`BODY_SECONDS`), or that the client
reads (`line.STALL_SECONDS`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import h11
import trio

if TYPE_CHECKING:
    from gossip.api.http.line import Line

__all__ = ["Gone", "Talk"]

IDLE_SECONDS: Final = 60.0
HANDSHAKE_SECONDS: Final = 10.0
HEADER_SECONDS: Final = 10.0
BODY_SECONDS: Final = 30.0
LINGER_SECONDS: Final = 1.0
HEAD_BYTES: Final = 4_096
"""Read at once where a header is to come: 20 KiB of short lines already cost 20 ms."""
READ_BYTES: Final = 16_384
MAX_HEADER_BYTES: Final = 16_384


class Gone(Exception):  # noqa: N818 - nothing is wrong: the client has what it wanted, or has given up
    """The connection is over."""


class Talk:
    """What is read and written on one connection, and how long that may take."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
        self.scope = trio.CancelScope()
        self.idle = True
        """No byte of a request has come since the last one was answered."""
        self.is_head = False
        """The request under way wants no body."""
        self.takes_gzip = False
        """Whoever asks takes a packed body."""
        self.is_cut = False
        """A part of what was to be sent has not left."""

    def wait(self, seconds: float | None) -> None:
        """What comes next may take so long; None: any time."""
        self.scope.deadline = math.inf if seconds is None else trio.current_time() + seconds

    def wait_for_request(self) -> None:
        """Idleness begins. To move a deadline costs as much as an answer, so a second is nothing."""
        if not 0.0 < self.scope.deadline - trio.current_time() - IDLE_SECONDS + 1.0 <= 1.0:
            self.wait(IDLE_SECONDS)

    async def next(self, *, is_head: bool = False) -> object:
        """The next event; a header must come whole within `HEADER_SECONDS`, idleness before it aside."""
        http = self.http
        begun = not (is_head and self.idle)
        while (event := http.next_event()) is h11.NEED_DATA:
            data = await self.line.receive(HEAD_BYTES if is_head else READ_BYTES)
            if data and not begun:
                begun = True
                self.idle = False
                self.wait(HEADER_SECONDS)
            http.receive_data(data)
        return event

    async def send(self, data: bytes | None) -> None:
        """Returns when it has left. Raises OSError."""
        if data:
            self.is_cut = True
            await self.line.send(data, self.wait)
            self.is_cut = False

    async def goes(self) -> bool:
        """Returns when the client has gone (True), or has sent too much to go on listening.

        The next request may come early: h11 keeps it until its turn.
        """
        held = 0
        while held < READ_BYTES:
            try:
                data = await self.line.receive(HEAD_BYTES)
            except OSError:
                return True
            if not data:
                return True
            self.http.receive_data(data)
            held += len(data)
        return False

    async def end(self) -> None:
        """Half close, and read away what still comes for a moment: a reset would take the answer back."""
        self.wait(LINGER_SECONDS)
        self.idle = True
        await self.line.hang_up()
