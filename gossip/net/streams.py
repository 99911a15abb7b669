"""Streams: TCP connections that carry sealed frames, under the numbers that core gives them.

Each stream is one task. The number of connections is bounded: with all places taken none is
accepted any more, so that a peer of an overloaded node meets silence and not a refusal, which
would count as a sign that the process is gone. For the same reason a connection that core has no
place for is ended politely, which takes one of a few places more for a moment. One address has its share
of them at most, so that a peer which connects and says nothing keeps no other one out.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections import Counter
from typing import TYPE_CHECKING, Final, Protocol

import trio

from gossip.errors import LimitError, RemoteProtocolError
from gossip.net.addresses import family_of, is_loopback, plain, site
from gossip.net.stream import Stream, Volume, end_politely

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gossip.core.types import Address, StreamId
    from gossip.wire.seal import Sealer

__all__ = ["SPARE_PLACES", "StreamOwner", "Streams"]

SPARE_PLACES: Final = 32
"""Connections beyond the limit that are held while they are being ended politely."""

SHARE: Final = 2
"""One address of another host may have one in so many of the places; loopback is many agents."""

ACCEPT_PAUSE_SECONDS: Final = 0.1
"""After a failed accept: without file descriptors or memory, the next would fail at once too."""

logger = logging.getLogger("gossip.net")


class StreamOwner(Protocol):
    """Who is told what happens on streams. None of it blocks; only `stream_received` may raise."""

    def stream_accepted(self, source: Address) -> StreamId | None:
        """A peer has connected. None: there is no place for it. `flush` follows."""

    def flush(self) -> None:
        """Carry out what came of `stream_accepted`, now that the number can be written to."""

    def stream_opened(self, stream: StreamId) -> None:
        """A dialled stream is connected."""

    def stream_received(self, stream: StreamId, body: bytes) -> None:
        """A frame has come.

        Raises:
            RemoteProtocolError: if it is malformed; the stream is then ended.
        """

    def stream_closed(self, stream: StreamId, reason: str) -> None:
        """It is over, and not because of `Streams.close`."""

    def count(self, reason: str) -> None:
        """Add one to a counter."""

    def refused(self, reason: str, peer: Address) -> None:
        """What came from `peer` could not be read: count it under its reason."""


class Streams:
    """All streams of one agent.

    Args:
        idle: seconds without a whole frame after which a stream is cut.
        limit: how many connections are served at a time; core keeps the same bound.
    """

    def __init__(self, owner: StreamOwner, sealer: Sealer, *, idle: float, limit: int) -> None:
        self._owner = owner
        self._sealer = sealer
        self._idle = idle
        self._limit = limit
        self.volume = Volume()
        self._places = trio.Semaphore(limit + SPARE_PLACES)
        self._sources: Counter[str] = Counter()
        """Places taken, by the address of who connected."""
        self._streams: dict[StreamId, Stream] = {}
        self._nursery: trio.Nursery | None = None
        self._ends = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._streams)

    def start(self, nursery: trio.Nursery, listeners: Sequence[socket.socket]) -> None:
        """Accept on these listening sockets, and dial from now on, in tasks of that nursery."""
        self._nursery = nursery
        for listener in listeners:
            nursery.start_soon(self._accept_all, trio.socket.from_stdlib_socket(listener), nursery)

    def dial(self, number: StreamId, address: Address, timeout: float) -> None:
        """Connect within `timeout` seconds: ends in `stream_opened` or in `stream_closed`."""
        if self._nursery is None or len(self._streams) >= 2 * self._limit:
            self._owner.count("stream_limit")
            self._owner.stream_closed(number, "unreachable")
            return
        stream = self._add(number, trio.CancelScope(deadline=trio.current_time() + timeout))
        self._nursery.start_soon(self._dial, stream, address)

    def write(self, number: StreamId, body: bytes) -> None:
        """Send a frame, or queue it if the stream is not yet open; dropped if the stream is over."""
        stream = self._streams.get(number)
        if stream is None or stream.ending:
            return
        try:
            if stream.put(body):
                return
            self._owner.count("stream_backlog")
        except LimitError:
            self._owner.count("internal_error")
            logger.exception("a frame of this node's own is too long: the stream is given up")
        self._over(stream, "reset")
        stream.scope.cancel()

    def close(self, number: StreamId) -> None:
        """Send what is queued, then end the stream; nothing more is reported of it."""
        stream = self._streams.get(number)
        if stream is not None and not stream.ending:
            stream.end()

    async def settle(self) -> None:
        """Until every stream that this side has ended is over: the peer has then read what was written."""
        while any(stream.ending for stream in self._streams.values()):
            await self._ends.park()

    # -- the life of one stream

    def _add(self, number: StreamId, scope: trio.CancelScope, *, connected: bool = False) -> Stream:
        stream = Stream(number, self._sealer.stream(), scope, self._idle, self.volume, connected=connected)
        self._streams[number] = stream
        return stream

    def _over(self, stream: Stream, reason: str) -> None:
        """Forget a stream and report it, once."""
        if self._streams.pop(stream.number, None) is None:
            return
        self._ends.unpark_all()
        if not stream.ending:
            self._owner.stream_closed(stream.number, reason)

    async def _run(self, stream: Stream, work: Callable[[Stream], Awaitable[None]]) -> None:
        """Do the work of a stream's task within its scope. Whatever goes wrong ends this stream only."""
        try:
            with stream.scope:
                await work(stream)
            self._over(stream, stream.failure or ("timeout" if stream.scope.cancelled_caught else "eof"))
        except Exception:
            self._owner.count("internal_error")
            logger.exception("a stream failed for a reason of our own")
            self._over(stream, "reset")

    async def _converse(
        self, stream: Stream, transport: trio.SocketStream, peer: Address, *, dialled: bool
    ) -> None:
        def deliver(body: bytes) -> None:
            self._owner.stream_received(stream.number, body)

        try:
            await stream.converse(transport, deliver, dialled=dialled)
        except RemoteProtocolError as exc:
            self._owner.refused(exc.reason, peer)
            # One that was cut in the middle of a frame is the work of a crash, not of a stranger.
            self._over(stream, "reset" if exc.reason == "truncated" else "malformed")
            await end_politely(transport)

    async def _dial(self, stream: Stream, address: Address) -> None:
        async def work(stream: Stream) -> None:
            family = family_of(address[0])
            if family is None:
                stream.failure = "unreachable"
                return
            with trio.socket.socket(family, socket.SOCK_STREAM) as sock:
                try:
                    await sock.connect(address)
                except OSError as exc:
                    stream.failure = _why(exc)
                    return
                if not stream.ending:
                    self._owner.stream_opened(stream.number)
                await self._converse(stream, trio.SocketStream(sock), address, dialled=True)

        await self._run(stream, work)

    # -- accepting

    async def _accept_all(self, listener: trio.socket.SocketType, nursery: trio.Nursery) -> None:
        with listener:
            while True:
                await self._places.acquire()
                accepted = await self._accept(listener)
                if accepted is None:
                    self._places.release()
                else:
                    nursery.start_soon(self._serve, *accepted)

    async def _accept(
        self, listener: trio.socket.SocketType
    ) -> tuple[trio.socket.SocketType, Address] | None:
        try:
            sock, sockaddr = await listener.accept()
        except ConnectionAbortedError:
            return None  # gone again while it waited
        except OSError:
            self._owner.count("accept_failed")
            await trio.sleep(ACCEPT_PAUSE_SECONDS)
            return None
        return sock, plain(sockaddr)

    async def _serve(self, sock: trio.socket.SocketType, source: Address) -> None:
        host = site(source[0])
        if self._sources[host] >= self._limit // SHARE and not is_loopback(source[0]):
            # To end it politely would cost what there is too little of: whoever is here so often can wait.
            self._owner.count("stream_share")
            sock.close()
            self._places.release()
            return
        self._sources[host] += 1
        try:
            with sock:
                transport = trio.SocketStream(sock)
                number = self._owner.stream_accepted(source)
                stream = None if number is None else self._add(number, trio.CancelScope(), connected=True)
                self._owner.flush()
                if stream is None:
                    self._owner.count("stream_limit")
                    await end_politely(transport)
                    return

                async def work(stream: Stream) -> None:
                    await self._converse(stream, transport, source, dialled=False)

                await self._run(stream, work)
        except Exception:
            self._owner.count("internal_error")
            logger.exception("a connection could not be served")
        finally:
            self._sources[host] -= 1
            if not self._sources[host]:
                del self._sources[host]
            self._places.release()


def _why(exc: OSError) -> str:
    """What a failed connect says of the peer."""
    if isinstance(exc, ConnectionRefusedError | ConnectionResetError):
        return "refused"
    # EHOSTUNREACH, too, is how a silent host of one's own subnet looks: nobody answers for its address.
    is_silence = isinstance(exc, TimeoutError) or exc.errno == errno.EHOSTUNREACH
    return "timeout" if is_silence else "unreachable"
