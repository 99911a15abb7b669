"""Asking others what is not ours to know: one after the other, over the transport that the query came by."""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
from typing import TYPE_CHECKING, Final

import trio

from gossip.api.dns.message import (
    HEADER_BYTES,
    IN,
    MAX_BYTES,
    Flag,
    Query,
    Record,
    Type,
    opt,
    parse,
)
from gossip.api.dns.reading import read_answers
from gossip.api.dns.zone import Answer, Item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gossip.core.types import Address

__all__ = ["Recursion"]

PATIENCE_SECONDS: Final = 2.0
"""For each recursor, as Consul has it."""
MAX_UNDER_WAY: Final = 256
RATE: Final = 1_000.0
"""Questions a second that are asked of others, in the long run; each costs some 200 us."""
BURST: Final = 256.0
ASKED_SIZE: Final = 4_096
"""Bytes over UDP that are asked for when an alias is resolved."""
OUTCOMES: Final = ("answered", "failed", "refused")


class Recursion:
    """Asks others, so many at a time and so often.

    Args:
        servers: where, in the order in which they are tried.
    """

    def __init__(self, servers: Sequence[Address]) -> None:
        self._servers = servers
        self._credit = BURST
        self._credited = trio.current_time()
        self._under_way = 0
        self.outcomes = dict.fromkeys(OUTCOMES, 0)

    async def forward(self, data: bytes, query: Query, *, tcp: bool) -> bytes | None:
        """What the first that answers says, under the query's own number; None: nobody does."""
        if not self._may_ask():
            return None
        self._under_way += 1
        try:
            for server in self._servers:
                answer = await self._ask(server, data[2:], query.question, tcp=tcp)
                if answer is not None:
                    self.outcomes["answered"] += 1
                    flags = answer[2] << 8 | answer[3] | Flag.RA
                    return data[:2] + struct.pack("!H", flags) + answer[4:]
        finally:
            self._under_way -= 1
        self.outcomes["failed"] += 1
        return None

    async def chase(self, query: Query, answer: Answer, *, tcp: bool) -> Answer:
        """The answer, with the addresses of the name behind its alias if anybody knows them."""
        target = answer.items[0].record.data
        question = target + struct.pack("!2H", Type.A if query.type == Type.ANY else query.type, IN)
        asked = struct.pack("!6H", 0, Flag.RD, 1, 0, 0, 1) + question + opt(ASKED_SIZE)
        parsed = parse(asked)
        assert isinstance(parsed, Query)  # noqa: S101 - it was made right here
        found = await self.forward(asked, parsed, tcp=tcp)
        records: list[Record] = [] if found is None else read_answers(found)
        return answer._replace(items=(*answer.items, *map(Item, records)))

    def _may_ask(self) -> bool:
        now = trio.current_time()
        self._credit = min(BURST, self._credit + (now - self._credited) * RATE)
        self._credited = now
        if self._credit < 1 or self._under_way >= MAX_UNDER_WAY:
            self.outcomes["refused"] += 1
            return False
        self._credit -= 1
        return True

    async def _ask(self, server: Address, rest: bytes, question: bytes, *, tcp: bool) -> bytes | None:
        """One recursor's answer to what stands behind the number; None: none that can be believed."""
        number = secrets.token_bytes(2)
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        with (
            trio.move_on_after(PATIENCE_SECONDS),
            contextlib.suppress(OSError, EOFError),
            trio.socket.socket(family, kind) as sock,
        ):
            # Connected, so that the kernel takes datagrams from there only, at a port of its choice.
            await sock.connect(server)
            if tcp:
                return await _over_tcp(sock, number + rest, question)
            await sock.send(number + rest)
            while True:
                answer = await sock.recv(MAX_BYTES)
                if _is_answer(answer, number, question):
                    return answer
        return None


async def _over_tcp(sock: trio.socket.SocketType, query: bytes, question: bytes) -> bytes | None:
    stream = trio.SocketStream(sock)
    await stream.send_all(struct.pack("!H", len(query)) + query)
    (size,) = struct.unpack("!H", await _exactly(stream, 2))
    answer = await _exactly(stream, size)
    return answer if _is_answer(answer, query[:2], question) else None


async def _exactly(stream: trio.SocketStream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = await stream.receive_some(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def _is_answer(data: bytes, number: bytes, question: bytes) -> bool:
    """Whether this is what was asked for."""
    if len(data) < HEADER_BYTES or data[:2] != number or not data[2] & 0x80:
        return False
    repeated = data[HEADER_BYTES : HEADER_BYTES + len(question)]
    return repeated.lower() == question.lower()
