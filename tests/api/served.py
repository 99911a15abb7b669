"""The local socket over a `FakeAgent`, and a client that speaks it by hand."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from gossip.api.socket import LocalSocket, listen
from gossip.config.access import ANYBODY, Allowed
from tests.api.world import FakeAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

__all__ = ["Client", "served"]

PATIENCE = 20.0


class Client:
    """Lines out, lines in. Every wait has a deadline."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self._held = b""
        self._number = 0

    async def send(self, data: bytes) -> None:
        with trio.fail_after(PATIENCE):
            await self.stream.send_all(data)

    async def line(self) -> Any:
        """The next message; None if the agent closed."""
        with trio.fail_after(PATIENCE):
            while b"\n" not in self._held:
                data = await self.stream.receive_some(65_536)
                if not data:
                    assert not self._held, "an answer was cut short"
                    return None
                self._held += data
        line, self._held = self._held.split(b"\n", 1)
        return json.loads(line)

    async def ask(self, method: str, **params: object) -> Any:
        """The whole answer to one request."""
        self._number += 1
        await self.send(request(self._number, method, **params))
        answer = await self.line()
        assert answer["id"] == self._number
        return answer

    async def line_or_none(self) -> Any:
        """The next message; None however the agent ended the connection."""
        try:
            return await self.line()
        except (trio.BrokenResourceError, AssertionError):
            return None

    async def ask_or_none(self, method: str) -> Any:
        """The same for a request's answer, which may be an error with no id."""
        try:
            await self.send(request(1, method))
        except trio.BrokenResourceError:
            return {}
        return await self.line_or_none() or {}

    async def call(self, method: str, **params: object) -> Any:
        """The result of one request, which must work."""
        answer = await self.ask(method, **params)
        assert "result" in answer, answer
        return answer["result"]


def request(number: object, method: str, **params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"


class Served:
    def __init__(self, agent: FakeAgent, local: LocalSocket, path: Path, counted: Counter[str]) -> None:
        self.agent = agent
        self.local = local
        self.path = path
        self.counted = counted
        self._sockets: list[trio.socket.SocketType] = []

    async def connect(self) -> Client:
        sock = trio.socket.socket(trio.socket.AF_UNIX, trio.socket.SOCK_STREAM)
        self._sockets.append(sock)
        await sock.connect(str(self.path))
        return Client(trio.SocketStream(sock))

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


@asynccontextmanager
async def served(
    tmp_path: Path,
    allowed: Allowed = ANYBODY,
    mode: int = 0o660,
    gossip_first: Callable[[], None] = lambda: None,
) -> AsyncIterator[Served]:
    """A socket that answers until the block ends."""
    agent = FakeAgent()
    path = tmp_path / "s.sock"
    counted: Counter[str] = Counter()
    local = LocalSocket(
        agent, listen(path, mode), path, gossip_first, allowed, lambda name: counted.update((name,))
    )
    agent.told = local.happened
    async with trio.open_nursery() as nursery:
        nursery.start_soon(local.serve)
        here = Served(agent, local, path, counted)
        try:
            yield here
        finally:
            here.close()
            nursery.cancel_scope.cancel()
