"""DNS over TCP (RFC 7766): many queries a connection, answered in order, each with its length before it."""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import struct
from collections import OrderedDict
from time import perf_counter
from typing import TYPE_CHECKING, Final

import trio

from gossip.api.dns.sockets import MAX_QUERY_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["MAX_CONNECTIONS", "TcpServer"]

MAX_CONNECTIONS: Final = 256
"""With those of the other faces they must leave descriptors for gossip and the disk."""
IDLE_SECONDS: Final = 20.0
"""Between two queries."""
QUERY_SECONDS: Final = 5.0
"""From the first byte of a query to its last."""
STALL_SECONDS: Final = 10.0
"""For a client that does not read its answers."""
READ_BYTES: Final = 8_192
MAX_UNSENT: Final = 65_536
"""Answers that are collected before they are sent."""
TURN_SECONDS: Final = 0.001
PAUSE_SECONDS: Final = 0.1
"""After an accept that failed for want of descriptors: they are not back at once."""

_log = logging.getLogger("gossip.api")


class _Connection:
    def __init__(self, sock: socket.socket, host: str) -> None:
        self.sock = sock
        self.host = host
        self.scope = trio.CancelScope()


class TcpServer:
    """Serves connections, so many at a time.

    When all places are taken, one makes room: the oldest of those that have asked nothing, else the one that
    has been silent for longest. So a flood of connections displaces itself.

    Args:
        sock: listening; closed by its owner.
        answer: of a query and the host that it came from; None: say nothing and close.
        turn: seconds until one more from that host is answered; None: too many, close.
    """

    def __init__(
        self,
        sock: socket.socket,
        answer: Callable[[bytes, str], Awaitable[bytes | None]],
        turn: Callable[[str], float | None] = lambda _host: 0.0,
        *,
        gossip_first: Callable[[], None],
        count: Callable[[str], None],
        limit: int = MAX_CONNECTIONS,
    ) -> None:
        self._sock = sock
        self._answer = answer
        self._turn = turn
        self._gossip_first = gossip_first
        self._count = count
        self._limit = limit
        self._fresh: OrderedDict[_Connection, None] = OrderedDict()
        """Those that have asked nothing yet, the newest last."""
        self._asked: OrderedDict[_Connection, None] = OrderedDict()
        """The others; the one that asked last stands last."""
        self.displaced = 0
        """Connections that made room for others."""

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._fresh) + len(self._asked)

    async def serve(self) -> None:
        """Answers until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.wait_readable(self._sock)
                try:
                    sock, source = self._sock.accept()
                except (BlockingIOError, ConnectionAbortedError):
                    continue
                except OSError as error:
                    _log.warning("dns", extra={"fields": {"detail": f"cannot accept: {error}"}})
                    await trio.sleep(PAUSE_SECONDS)
                    continue
                sock.setblocking(False)
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.connections >= self._limit:
                    one, _ = (self._fresh or self._asked).popitem(last=False)
                    one.scope.cancel()
                    self.displaced += 1
                connection = _Connection(sock, source[0])
                self._fresh[connection] = None
                nursery.start_soon(self._run, connection)

    async def _run(self, connection: _Connection) -> None:
        try:
            with connection.scope, contextlib.suppress(OSError):
                await self._converse(connection)
        except Exception:  # noqa: BLE001 - a fault of our own ends this connection only
            self._count("internal_error")
            _log.exception("dns_failed")
        finally:
            self._fresh.pop(connection, None)
            self._asked.pop(connection, None)
            trio.lowlevel.notify_closing(connection.sock)
            connection.sock.close()

    async def _converse(self, connection: _Connection) -> None:
        """Until the client closes, is silent for too long, or says what is no query."""
        held = bytearray()
        scope = connection.scope
        scope.deadline = trio.current_time() + IDLE_SECONDS
        while True:
            await trio.lowlevel.wait_readable(connection.sock)
            try:
                data = connection.sock.recv(READ_BYTES)
            except (BlockingIOError, InterruptedError):
                continue
            if not data:
                return
            if not held:
                scope.deadline = trio.current_time() + QUERY_SECONDS
            held += data
            before = len(held)
            if not await self._answer_all(connection, held):
                return
            if len(held) < before:
                scope.deadline = trio.current_time() + (QUERY_SECONDS if held else IDLE_SECONDS)
                await trio.lowlevel.checkpoint()

    async def _answer_all(self, connection: _Connection, held: bytearray) -> bool:
        """Answer every whole query in `held`, and take it away; False: what stands there is none."""
        answers = bytearray()
        end = perf_counter() + TURN_SECONDS
        good = True
        while good and len(held) >= 2:
            size = held[0] << 8 | held[1]
            if size > MAX_QUERY_BYTES:
                good = False
                break
            if len(held) < 2 + size:
                break
            query = bytes(held[2 : 2 + size])
            del held[: 2 + size]
            self._gossip_first()
            self._fresh.pop(connection, None)
            self._asked[connection] = None
            self._asked.move_to_end(connection)
            # Asking others takes its own time, which is bounded elsewhere.
            connection.scope.deadline = math.inf
            if late := self._turn(connection.host):
                # What is answered already has not to wait for that.
                await self._send(connection, answers)
                answers = bytearray()
                connection.scope.deadline = math.inf
                await trio.sleep(late)
                end = perf_counter() + TURN_SECONDS
            answer = None if late is None else await self._answer(query, connection.host)
            if answer is None:
                good = False
                break
            answers += struct.pack("!H", len(answer)) + answer
            if len(answers) > MAX_UNSENT or perf_counter() > end:
                await self._send(connection, answers)
                answers = bytearray()
                await trio.lowlevel.checkpoint()
                end = perf_counter() + TURN_SECONDS
        await self._send(connection, answers)
        return good

    async def _send(self, connection: _Connection, data: bytearray) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[connection.sock.send(rest) :]
            except (BlockingIOError, InterruptedError):
                connection.scope.deadline = trio.current_time() + STALL_SECONDS
                await trio.lowlevel.wait_writable(connection.sock)
