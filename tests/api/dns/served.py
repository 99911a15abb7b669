"""The DNS face at real sockets of loopback, and clients that speak by hand."""

from __future__ import annotations

import random
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import dns.message
import trio

from gossip.api.dns.face import DnsFace, Options, bind_or_move
from gossip.api.dns.zone import Settings
from tests.api.world import FakeNode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from dns.message import Message

    from gossip.core.types import Address

__all__ = ["PATIENCE", "Served", "served"]

PATIENCE = 20.0


class Stream:
    """Queries and answers over TCP."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._held = b""

    async def send(self, *queries: bytes) -> None:
        with trio.fail_after(PATIENCE):
            await self.stream.send_all(b"".join(struct.pack("!H", len(each)) + each for each in queries))

    async def receive(self) -> bytes | None:
        """The next answer; None if the server closed."""
        with trio.fail_after(PATIENCE):
            while len(self._held) < 2 or len(self._held) < 2 + int.from_bytes(self._held[:2]):
                try:
                    data = await self.stream.receive_some(65_536)
                except trio.BrokenResourceError:
                    return None
                if not data:
                    assert not self._held
                    return None
                self._held += data
        size = 2 + int.from_bytes(self._held[:2])
        answer, self._held = self._held[2:size], self._held[size:]
        return answer


class Served:
    """The face, its node, and ways to ask it."""

    def __init__(self, face: DnsFace, node: FakeNode) -> None:
        self.face = face
        self.node = node
        self.counted: list[str] = []
        self.turns = 0
        self._opened: list[trio.SocketStream] = []

    async def datagram(
        self,
        data: bytes,
        patience: float = PATIENCE,
        host: str | None = None,
        source: str | None = None,
    ) -> bytes | None:
        """What comes back; None if nothing does in that time."""
        family = trio.socket.AF_INET6 if ":" in (host or self.face.address[0]) else trio.socket.AF_INET
        with trio.socket.socket(family, trio.socket.SOCK_DGRAM) as sock, trio.move_on_after(patience):
            if source is not None:
                await sock.bind((source, 0))
            await sock.connect((host or self.face.address[0], self.face.address[1]))
            await sock.send(data)
            return await sock.recv(65_535)
        return None

    async def ask(self, data: bytes) -> Message:
        answer = await self.datagram(data)
        assert answer is not None
        return dns.message.from_wire(answer)

    async def connect(self) -> Stream:
        stream = await trio.open_tcp_stream(*self.face.address)
        self._opened.append(stream)
        return Stream(stream)

    async def aclose(self) -> None:
        for stream in self._opened:
            await trio.aclose_forcefully(stream)


@asynccontextmanager
async def served(
    *,
    host: str = "127.0.0.1",
    udp_size: int = 1_232,
    recursors: Sequence[Address] = (),
    rate: int = 0,
    **settings: Any,
) -> AsyncIterator[Served]:
    """It answers until the block ends."""
    node = FakeNode()
    here: Served

    def turn() -> None:
        here.turns += 1

    def count(reason: str) -> None:
        here.counted.append(reason)

    face = DnsFace(
        bind_or_move((host, 0), may_move=False),
        node,
        Options(Settings(("consul", "gossip"), "east", **settings), udp_size, recursors, rate),
        random.Random(1),
        gossip_first=turn,
        count=count,
    )
    here = Served(face, node)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(face.serve)
        try:
            yield here
        finally:
            await here.aclose()
            nursery.cancel_scope.cancel()
