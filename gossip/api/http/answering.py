"""How an answer leaves: whole, or part by part as it is made, and counted.

A handler has no deadline; one that may wait is ended when the client goes.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import h11
import trio

from gossip.api.http.packing import is_worth_packing, packed
from gossip.api.http.shortcuts import fields_of
from gossip.api.http.talk import Gone
from gossip.api.http.values import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gossip.api.http.talk import Talk
    from gossip.api.http.values import Streamed

__all__ = ["Answering", "outcome"]

BODILESS: Final = (204, 304)

T = TypeVar("T")

_log = logging.getLogger("gossip.api")


class Server(Protocol):
    """What is needed of the server."""

    is_draining: bool
    gossip_first: Callable[[], None]
    count: Callable[[str], None]

    def answered(self, route: str, status: int) -> None:
        """Counts a request."""


class Answering:
    """The answers of one connection."""

    def __init__(self, talk: Talk, server: Server) -> None:
        self._talk = talk
        self._server = server
        self._streaming: trio.CancelScope | None = None

    async def finish(self, route: str, answer: Response | Streamed) -> None:
        """Count it and send it."""
        self._server.answered(route, answer.status)
        if isinstance(answer, Response):
            await self.answer(answer)
        else:
            await self._stream(route, answer)

    async def answer(self, answer: Response) -> None:
        """Send it."""
        http = self._talk.http
        body, gzip = answer.body, self._talk.takes_gzip and is_worth_packing(answer)
        if gzip:
            body = await packed(answer)
        data = self.head(answer, len(body), gzip=gzip)
        if body and not self._talk.is_head and answer.status not in BODILESS:
            data += http.send(h11.Data(data=body)) or b""
        data += http.send(h11.EndOfMessage()) or b""
        await self._talk.send(data)

    async def _stream(self, route: str, answer: Streamed) -> None:
        http = self._talk.http
        await self._talk.send(self.head(answer, None))
        if not self._talk.is_head:

            async def send(data: bytes) -> None:
                # An empty part would be the end of the body.
                if data:
                    self._server.gossip_first()
                    try:
                        await self._talk.send(http.send(h11.Data(data=data)))
                    except OSError:
                        # The client's end of it broke: no fault of whoever makes the body.
                        raise Gone from None

            _, error = await self.while_there(answer.produce(send))
            if error is not None:
                if not isinstance(error, Gone):
                    self.failed(route, error)
                raise Gone
            if self._talk.is_cut:
                # The end of the body, in the midst of a part, would be read as its text.
                raise Gone
        await self._talk.send(http.send(h11.EndOfMessage()))

    def head(self, answer: Response | Streamed, size: int | None, *, gzip: bool = False) -> bytes:
        """The bytes before its body, which is `size` long; None: the length is not known yet."""
        if isinstance(answer, Response):
            headers = [*fields_of(answer, None if answer.status in BODILESS else size, gzip=gzip)]
        else:
            headers = [("Content-Type", answer.content_type), *answer.headers]
        if self._server.is_draining or self._talk.http.their_state is not h11.DONE:
            headers.append(("Connection", "close"))
        response = h11.Response(
            status_code=answer.status, headers=headers, reason=HTTPStatus(answer.status).phrase
        )
        return self._talk.http.send(response) or b""

    async def while_there(self, work: Awaitable[T]) -> tuple[T | None, Exception | None]:
        """What comes of `work`, which is ended when the client goes (`Gone`) or the server stops (None)."""
        gone = False

        async def watch() -> None:
            nonlocal gone
            gone = await self._talk.goes()
            if gone:
                scope.cancel()

        result: tuple[T | None, Exception | None] = (None, None)
        async with trio.open_nursery() as nursery:
            scope = self._streaming = nursery.cancel_scope
            nursery.start_soon(watch)
            if self._server.is_draining:
                # It began to end before this did: what takes no time is still answered.
                scope.cancel()
            result = await outcome(work)
            scope.cancel()
        self._streaming = None
        if gone:
            raise Gone
        return result

    def failed(self, route: str, error: Exception) -> None:
        """A handler did something wrong."""
        self._server.count("internal_error")
        _log.error("http_failed", exc_info=error, extra={"fields": {"route": route}})

    def end_stream(self) -> None:
        """The server stops: a body that is made part by part ends."""
        if self._streaming is not None:
            self._streaming.cancel()


async def outcome(work: Awaitable[T]) -> tuple[T | None, Exception | None]:
    """A fault is handed over as a value: whoever asked for the work goes on."""
    try:
        return await work, None
    except Exception as error:  # noqa: BLE001 - whatever a handler does wrong is counted by its caller
        return None, error
