"""An HTTP server on loopback over routes of the test, and a client that speaks by hand."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import h11
import trio

from gossip.api.http.routes import Routes
from gossip.api.http.server import HttpServer, listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["PATIENCE", "Answer", "Client", "Serving", "serving", "until"]

PATIENCE = 20.0


class Answer(NamedTuple):
    """A whole response."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """A connection. Every wait has a deadline, of the clock that the machine has, not the test's."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self._http = h11.Connection(h11.CLIENT)

    async def send(self, data: bytes) -> None:
        with trio.fail_after(PATIENCE):
            await self.stream.send_all(data)

    async def read(self) -> bytes:
        with trio.fail_after(PATIENCE):
            return bytes(await self.stream.receive_some(65_536))

    async def rest(self) -> bytes:
        """All until the server closes."""
        found = b""
        while data := await self.read():
            found += data
        return found

    async def ask(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        await self.send(self.encode(method, target, body, **headers))
        return await self.answer()

    def encode(self, method: str, target: str, body: bytes = b"", **headers: str) -> bytes:
        """A whole request, noted by h11 as sent."""
        fields = {"host": "localhost", "content-length": str(len(body)), **headers}
        named = [(name.replace("_", "-"), value) for name, value in fields.items()]
        data = self._http.send(h11.Request(method=method, target=target, headers=named)) or b""
        if body:
            data += self._http.send(h11.Data(data=body)) or b""
        return data + (self._http.send(h11.EndOfMessage()) or b"")

    async def answer(self) -> Answer:
        status, headers, body = 0, {}, b""
        while not isinstance(event := await self.event(), h11.EndOfMessage):
            if isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                assert isinstance(event, h11.InformationalResponse), event
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return Answer(status, headers, body)

    async def event(self) -> Any:
        """The next thing that h11 finds in what the server sends."""
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self.read())
        return event


class Serving:
    """A server, what it counted, and how often it let gossip go first."""

    def __init__(self, server: HttpServer) -> None:
        self.server = server
        self.faults: list[str] = []
        self.before: list[None] = []
        self._streams: list[trio.SocketStream] = []

    async def connect(self, source: str | None = None) -> Client:
        stream = await trio.open_tcp_stream(*self.server.address[:2], local_address=source)
        self._streams.append(stream)
        return Client(stream)

    async def close(self) -> None:
        for stream in self._streams:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds, which other tasks bring about."""
    with trio.fail_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await trio.sleep(0.001)


@asynccontextmanager
async def serving(routes: Routes, **options: Any) -> AsyncIterator[Serving]:
    """A server that answers until the block ends."""
    faults: list[str] = []
    before: list[None] = []
    server = HttpServer(
        routes,
        listen(("127.0.0.1", 0)),
        count=faults.append,
        gossip_first=lambda: before.append(None),
        **options,
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.serve)
        here = Serving(server)
        here.faults, here.before = faults, before
        try:
            yield here
        finally:
            await here.close()
            nursery.cancel_scope.cancel()
