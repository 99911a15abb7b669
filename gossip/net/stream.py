"""One stream: what is queued and written, what is read, and how it ended.

Its one cancel scope has a deadline that moves on with each whole frame read or written, never
beyond the stream's longest life. So a peer that connects and says nothing, one that sends a byte
now and then, and one that does not read what it is sent all end in the same way: too late.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import TYPE_CHECKING, Final

import trio

from gossip.errors import RemoteProtocolError
from gossip.wire.frames import FIRST_MAX, FRAME_MAX, FrameReader

if TYPE_CHECKING:
    from collections.abc import Callable

    from gossip.core.types import StreamId
    from gossip.wire.seal import StreamSealer

__all__ = ["BACKLOG_BYTES_MAX", "LIFE_FACTOR", "LINGER_SECONDS", "Stream", "Volume", "end_politely"]

LIFE_FACTOR: Final = 6
"""A stream lives no longer than this many idle timeouts, however busy it is."""

LINGER_SECONDS: Final = 2.0
"""How long a stream that this side has ended waits for the other side to end it."""

BACKLOG_BYTES_MAX: Final = 16 << 20
"""What may wait to be written on one stream: some 50,000 records. A peer for which more has
gathered is not reading."""

READ_BYTES: Final = 65_536

BURST_SECONDS: Final = 0.002
"""How long frames that came at once are handled before others of this thread have their turn: several
hundred fit in one read, and a peer may know which ones are dear. As long as gossip waits for others."""


async def end_politely(transport: trio.SocketStream) -> None:
    """Half close, and read away what still comes until the peer ends too, or `LINGER_SECONDS` are over.

    A plain close makes the kernel answer unread and late bytes with a reset. That throws away
    what the peer has not read yet, and the peer would take it for the sign of a process that is gone.
    """
    with trio.move_on_after(LINGER_SECONDS):
        try:
            await transport.send_eof()
            while await transport.receive_some(READ_BYTES):
                pass
        except trio.BrokenResourceError:
            return


class Volume:
    """Bytes that streams have carried, all streams of one agent together."""

    __slots__ = ("read", "written")

    def __init__(self) -> None:
        self.read = self.written = 0


class Stream:
    """A dialled or accepted stream, from before it is connected until it is over.

    Args:
        idle: seconds without a whole frame in either direction after which it is cut.
        volume: where its bytes are counted.
    """

    def __init__(
        self,
        number: StreamId,
        sealer: StreamSealer,
        scope: trio.CancelScope,
        idle: float,
        volume: Volume,
        *,
        connected: bool,
    ) -> None:
        self.number = number
        self.scope = scope
        self.ending = False
        """This side wants it over: nothing is reported any more."""
        self.connected = connected
        self.failure = ""
        """Why the connection broke, if it did: `refused` or `reset`."""
        self._sealer = sealer
        self._idle = idle
        self._volume = volume
        self._last_moment = trio.current_time() + LIFE_FACTOR * idle
        self._queue: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._wake = trio.Event()
        self._heard = False

    def put(self, body: bytes) -> bool:
        """Seal and queue a frame. False: too much is waiting, and this frame is not sent.

        Raises:
            LimitError: if the frame is too long.
        """
        frame = self._sealer.seal(body)
        if self._waiting_bytes + len(frame) > BACKLOG_BYTES_MAX:
            return False
        self._queue.append(frame)
        self._waiting_bytes += len(frame)
        self._wake.set()
        return True

    def end(self) -> None:
        """Send what is queued, then end."""
        self.ending = True
        self._wake.set()
        if self.connected:
            self._move()
        elif not self._queue:
            self.scope.cancel()

    async def converse(
        self, transport: trio.SocketStream, deliver: Callable[[bytes], None], *, dialled: bool
    ) -> None:
        """Write what is queued and deliver what comes, until either side ends the stream.

        Raises:
            RemoteProtocolError: a bad frame, `truncated`, or what `deliver` makes of a body.
        """
        self.connected = True
        self._move()
        error: RemoteProtocolError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, transport, dialled)
            try:
                await self._read(transport, deliver, FRAME_MAX if dialled else FIRST_MAX)
            except trio.BrokenResourceError as exc:
                self._broke(exc, dialled=dialled)
            except RemoteProtocolError as exc:
                error = exc  # out of the nursery, which would wrap it in a group
            if not self.ending or error or self.failure:
                nursery.cancel_scope.cancel()
        if error is not None:
            raise error

    async def _read(
        self, transport: trio.SocketStream, deliver: Callable[[bytes], None], first_max: int
    ) -> None:
        reader = FrameReader(self._sealer, first_max)
        while data := await transport.receive_some(READ_BYTES):
            self._heard = True
            self._volume.read += len(data)
            if self.ending:
                continue
            began = perf_counter()
            for body in reader.feed(data):
                if perf_counter() - began > BURST_SECONDS:
                    await trio.lowlevel.checkpoint()
                    began = perf_counter()
                if self.ending:
                    break
                self._move()
                deliver(body)
        if not self.ending:
            reader.ended()

    async def _write(self, transport: trio.SocketStream, dialled: bool) -> None:
        try:
            while True:
                while self._queue:
                    frame = self._queue.popleft()
                    await transport.send_all(frame)
                    self._waiting_bytes -= len(frame)
                    self._volume.written += len(frame)
                    self._move()
                if self.ending:
                    break
                self._wake = trio.Event()
                await self._wake.wait()
            await transport.send_eof()
            # What is read from here on is thrown away: see `end_politely`.
            self.scope.deadline = min(self.scope.deadline, trio.current_time() + LINGER_SECONDS)
        except trio.BrokenResourceError as exc:
            # The reader goes on: what the peer had sent before can still be read.
            self._broke(exc, dialled=dialled)

    def _broke(self, exc: trio.BrokenResourceError, *, dialled: bool) -> None:
        """A reset before any byte came from a process that is gone; anything else is just a broken stream."""
        gone = dialled and not self._heard and isinstance(exc.__cause__, ConnectionResetError)
        self.failure = self.failure or ("refused" if gone else "reset")

    def _move(self) -> None:
        """A whole frame has passed; the next has `idle` seconds."""
        self.scope.deadline = min(self._last_moment, trio.current_time() + self._idle)
