"""The bytes of one connection, in clear or over TLS, as a conversation reads and writes them.

Either way a call that is cancelled loses no byte that was read. What was to be written may then have left in
part; whoever cancels ends the connection.
"""

from __future__ import annotations

import contextlib
import select
import socket
from typing import TYPE_CHECKING, Final, Protocol

import trio

from gossip.api.http.pace import CrowdedError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from gossip.api.http.pace import Pace

__all__ = ["Clear", "Line", "Sealed"]

STALL_SECONDS: Final = 60.0
"""How long a client may read nothing while something waits for it."""
PART_BYTES: Final = 16_384
"""Over TLS: what must leave within `STALL_SECONDS`. The most that one of its records holds."""


class Line(Protocol):
    """One connection."""

    async def begin(self) -> None:
        """What comes before the first request. Raises OSError if nothing comes of it."""

    async def receive(self, size: int) -> bytes:
        """What the client sends next; empty if it has ended. Raises OSError."""

    async def send(self, data: bytes, wait: Callable[[float | None], None]) -> None:
        """Returns when the kernel has taken all; tells `wait` how long its steps may take. Raises OSError."""

    def last_word(self, data: bytes) -> None:
        """Say it if that takes no time, when the connection is given up."""

    async def hang_up(self) -> None:
        """Half close, and read away what still comes: a reset would take the answer back. Raises OSError."""

    def close(self) -> None:
        """At once."""


class Clear:
    """The socket itself: what can be sent at once is."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def begin(self) -> None:
        """Nothing to do."""

    async def receive(self, size: int) -> bytes:
        """See `Line`."""
        while True:
            await trio.lowlevel.wait_readable(self._sock)
            with contextlib.suppress(BlockingIOError, InterruptedError):
                return self._sock.recv(size)

    async def send(self, data: bytes, wait: Callable[[float | None], None]) -> None:
        """See `Line`."""
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        rest = memoryview(data)[sent:]
        while rest:
            wait(STALL_SECONDS)
            await trio.lowlevel.wait_writable(self._sock)
            with contextlib.suppress(BlockingIOError, InterruptedError):
                rest = rest[self._sock.send(rest) :]
            wait(None)

    def last_word(self, data: bytes) -> None:
        """See `Line`."""
        with contextlib.suppress(OSError):
            self._sock.send(data)

    async def hang_up(self) -> None:
        """See `Line`."""
        self._sock.shutdown(socket.SHUT_WR)
        while await self.receive(PART_BYTES):
            pass

    def close(self) -> None:
        """See `Line`."""
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()


class Sealed(Clear):
    """The same over TLS.

    Args:
        whose: for whom it takes its turn of the pace.
        count: is told `tls_failed` of handshakes that were none, and `tls_refused` of those for which too
            many waited.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        pace: Pace,
        count: Callable[[str], None],
        whose: str = "",
    ) -> None:
        super().__init__(sock)
        self._pace = pace
        self._count = count
        self._whose = whose
        below = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        # Every body says where it ends, so TLS need not: clients of HTTP seldom wait for its goodbye.
        self._stream = trio.SSLStream(below, context, server_side=True, https_compatible=True)

    async def begin(self) -> None:
        """The handshake."""
        # A client that says nothing keeps nobody from his turn.
        await trio.lowlevel.wait_readable(self._sock)
        try:
            await self._pace.turn(self._whose)
            if _is_over(self._sock):
                self._pace.give_back()
                raise ConnectionAbortedError("gone before its handshake")
            with _as_errors_of_the_system():
                await self._stream.do_handshake()
        except CrowdedError:
            self._count("tls_refused")
            raise
        except OSError:
            self._count("tls_failed")
            raise

    async def receive(self, size: int) -> bytes:
        """See `Line`."""
        with _as_errors_of_the_system():
            return bytes(await self._stream.receive_some(size))

    async def send(self, data: bytes, wait: Callable[[float | None], None]) -> None:
        """See `Line`."""
        rest = memoryview(data)
        while rest:
            wait(STALL_SECONDS)
            with _as_errors_of_the_system():
                await self._stream.send_all(rest[:PART_BYTES])
            rest = rest[PART_BYTES:]
            wait(None)

    def last_word(self, data: bytes) -> None:
        """To be sealed takes its time: a client that was too slow is told nothing."""

    async def hang_up(self) -> None:
        """Below TLS: what still comes is nobody's."""
        self._sock.shutdown(socket.SHUT_WR)
        while await Clear.receive(self, PART_BYTES):
            pass


def _is_over(sock: socket.socket) -> bool:
    """Whether the client has ended its side: what it said before that is worth no signature."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


@contextlib.contextmanager
def _as_errors_of_the_system() -> Iterator[None]:
    try:
        yield
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise ConnectionResetError(str(error)) from error
