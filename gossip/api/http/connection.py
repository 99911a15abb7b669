"""One HTTP connection: requests in, answers out, each step with its time.

h11 keeps the protocol's rules; this reads and writes the socket for it. One cancel scope covers the whole
connection, and its deadline says what is waited for: a handshake (`HANDSHAKE_SECONDS`), a further request
(`IDLE_SECONDS`), the rest of a header (`HEADER_SECONDS`, counted once, so that a byte now and then buys
nothing), the rest of a body (`BODY_SECONDS`), or that the client reads (`line.STALL_SECONDS`). A handler has
no deadline; one that may wait is ended when the client goes.

A request is answered before the next one is looked at, and between two requests that came together other
tasks run: so each connection has one request a round of trio's, however much it sends. A header is taken
apart in one go, so little more is read than the longest that is taken; gossip may go first at each part
of a body, in both directions.
"""

from __future__ import annotations

import contextlib
import logging
import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import h11
import trio

from gossip.api.http.objections import (
    MAX_BODY_BYTES,
    RETRY_SECONDS,
    as_wanted,
    objection,
    too_many,
    without_bytes,
)
from gossip.api.http.packing import is_worth_packing, packed, wants_gzip
from gossip.api.http.shortcuts import Shortcuts, fields_of
from gossip.api.http.values import (
    BadRequestError,
    Later,
    Request,
    Response,
    Streamed,
    answer_error,
    merged,
    no_path,
    problem,
    request,
    too_large,
)
from gossip.errors import GossipError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gossip.api.http.guard import Guard
    from gossip.api.http.line import Line
    from gossip.api.http.routes import Route, Routes

__all__ = ["Conversation", "Server"]

IDLE_SECONDS: Final = 60.0
HANDSHAKE_SECONDS: Final = 10.0
HEADER_SECONDS: Final = 10.0
BODY_SECONDS: Final = 30.0
LINGER_SECONDS: Final = 1.0
HEAD_BYTES: Final = 4_096
"""Read at once where a header is to come: 20 KiB of short lines already cost 20 ms."""
READ_BYTES: Final = 16_384
MAX_HEADER_BYTES: Final = 16_384
BODILESS: Final = (204, 304)
MEANINGLESS: Final = ("GET", "HEAD")
"""Whose requests' bodies say nothing."""
OTHER: Final = "other"
"""The route of what no route takes, in metrics."""

T = TypeVar("T")

_log = logging.getLogger("gossip.api")


class Server(Protocol):
    """What the connections of one server share."""

    routes: Routes
    is_draining: bool
    checks_host: bool
    host: str
    guard: Guard
    gossip_first: Callable[[], None]
    count: Callable[[str], None]
    shortcuts: Shortcuts

    def answered(self, route: str, status: int) -> None:
        """Counts a request."""

    def has_room(self, source: str) -> bool:
        """Whether one more request is taken from there."""

    def admits(self, source: str) -> bool:
        """Takes one from there, if there is room."""


class _Gone(Exception):  # noqa: N818 - nothing is wrong: the client has what it wanted, or has given up
    """The connection is over."""


class Conversation:
    """Serves one client until it goes.

    Args:
        source: the address that it comes from; empty: it may ask as often as it likes.
    """

    def __init__(self, line: Line, server: Server, source: str = "") -> None:
        self._line = line
        self._source = source
        self._server = server
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEADER_BYTES)
        self._scope = trio.CancelScope()
        self._idle = True
        """No byte of a request has come since the last one was answered."""
        self._is_head = False
        self._takes_gzip = False
        self._came = b""
        """The bytes of the request, if they came in one piece and alone."""
        self._streaming: trio.CancelScope | None = None
        self._is_cut = False
        """A part of what was to be sent has not left."""
        self._is_over = False
        """Its source has asked more than one may."""

    # ------------------------------------------------------------------------------ from beginning to end

    async def run(self) -> None:
        """Returns when the client has gone, or was dropped; closes the line."""
        self._wait(HANDSHAKE_SECONDS)
        try:
            with self._scope, contextlib.suppress(OSError, _Gone):
                await self._line.begin()
                self._wait(HEADER_SECONDS)
                while await self._exchange():
                    self._wait(IDLE_SECONDS)
                await self._end()
            if self._scope.cancelled_caught and not self._idle:
                self._too_slow()
        finally:
            self._line.close()

    def drain(self) -> None:
        """The server stops: a connection without a request ends now, one that streams ends its body."""
        if self._idle:
            self._scope.cancel()
        elif self._streaming is not None:
            self._streaming.cancel()

    async def _exchange(self) -> bool:
        """One request and its answer; whether another may follow."""
        http = self._http
        try:
            if not await self._shortcut():
                return False
            event = await self._next(is_head=True)
            if not isinstance(event, h11.Request):
                return False
            self._idle = False
            self._is_head = event.method == b"HEAD"
            self._server.gossip_first()
            await self._serve(event)
        except h11.RemoteProtocolError as error:
            await self._refuse(error)
            return False
        if self._server.is_draining or http.our_state is not h11.DONE or http.their_state is not h11.DONE:
            return False
        http.start_next_cycle()
        self._idle, self._is_head, self._takes_gzip = True, False, False
        if self._is_over:
            # Who does not wait by himself is not heard meanwhile: to refuse him costs little then.
            self._is_over = False
            await trio.sleep(RETRY_SECONDS)
        elif http.trailing_data[0]:
            await trio.lowlevel.checkpoint()
        return True

    async def _shortcut(self) -> bool:
        """Answers what is remembered; gives the first bytes of anything else to h11. False: it is over."""
        self._came = b""
        if self._http.trailing_data[0]:
            return True
        while True:
            data = await self._line.receive(HEAD_BYTES)
            source, server = self._source, self._server
            if source and not server.has_room(source):
                break
            answer = server.shortcuts.answer(data)
            if answer is None or server.is_draining:
                break
            if source:
                server.admits(source)
            self._server.gossip_first()
            self._idle = False
            await self._send(answer)
            self._idle = True
            if not 0.0 < self._scope.deadline - trio.current_time() - IDLE_SECONDS + 1.0 <= 1.0:
                # Moving a deadline costs as much as the answer.
                self._wait(IDLE_SECONDS)
        if data:
            self._idle = False
            self._wait(HEADER_SECONDS)
            self._came = data
        self._http.receive_data(data)
        return True

    async def _refuse(self, error: h11.RemoteProtocolError) -> None:
        """What came is no HTTP, or too long a header: say so if there is still a way to."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        status = error.error_status_hint
        text = f"no HTTP request: {without_bytes(str(error))[:200]}"
        if status == 431:
            text = f"the request's header is over {MAX_HEADER_BYTES} bytes"
        kind = "limit" if status == 431 else "bad_request"
        self._server.answered(OTHER, status)
        await self._answer(problem(status, kind, text))

    def _too_slow(self) -> None:
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            late = problem(408, "timeout", "the request did not come in time")
            self._server.answered(OTHER, 408)
            self._line.last_word(self._head(late, len(late.body)) + late.body)

    async def _end(self) -> None:
        """Half close, and read away what still comes for a moment: a reset would take the answer back."""
        self._wait(LINGER_SECONDS)
        self._idle = True
        await self._line.hang_up()

    # ---------------------------------------------------------------------------------------- one request

    async def _serve(self, event: h11.Request) -> None:
        method = event.method.decode("ascii")
        headers = merged(event.headers)
        if "transfer-encoding" in headers and "content-length" in headers:
            # Whoever stands in between may go by the other: what follows could be somebody else's request.
            text = "a request has a content-length or a transfer-encoding, not both"
            await self._finish(OTHER, problem(400, "bad_request", text))
            return
        body: bytes | None = None
        if "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
            body = await self._body(method)
        if self._source and not self._server.admits(self._source):
            self._is_over = True
            path = event.target.decode("ascii").partition("?")[0]
            await self._finish(OTHER, too_many(self._server.routes.find(method, path)))
            return
        try:
            asked = request(method, event.target.decode("ascii"), headers)
        except BadRequestError as error:
            path = event.target.decode("ascii").partition("?")[0]
            match = self._server.routes.find(method, path)
            await self._finish(OTHER, as_wanted(answer_error(error), match))
            return
        admitted = self._server.guard.admit(asked, self._source)
        match = self._server.routes.find(method, asked.path)
        route = match.route
        name = match.name or OTHER if route is None else route.pattern
        self._takes_gzip = wants_gzip(headers.get("accept-encoding", ""))
        refusal = objection(self._server, admitted, match)
        if refusal is None and body is None:
            body = await self._body(method)
        if refusal is not None or route is None:
            await self._finish(name, refusal or no_path(asked.path))
        elif body is None:
            await self._finish(name, as_wanted(too_large(MAX_BODY_BYTES), match))
        else:
            clean = admitted.asked
            asked = Request(
                method, clean.path, clean.query, clean.headers, body, match.params, admitted.grant
            )
            self._wait(None)
            answer = await self._call(route, asked)
            if not admitted.bearer:
                # A token may expire or be withdrawn, and is not to be kept.
                self._remember(route, asked, answer)
            await self._finish(name, answer)

    def _remember(self, route: Route, asked: Request, answer: Response | Streamed) -> None:
        """If these very bytes may be answered so whenever they come."""
        http = self._http
        if (
            isinstance(answer, Response)
            and answer.again is not None
            and self._came
            and route.method == asked.method == "GET"
            and not asked.body
            and http.their_http_version == b"1.1"
            and http.their_state is h11.DONE
            and not http.trailing_data[0]
        ):
            self._server.shortcuts.remember(self._came, route.pattern, answer, gzip=self._takes_gzip)

    async def _body(self, method: str) -> bytes | None:
        """The request's body; None if it is too long. One that means nothing is read, and not kept."""
        http = self._http
        if http.they_are_waiting_for_100_continue:
            await self._send(http.send(h11.InformationalResponse(status_code=100, headers=[])))
        self._wait(BODY_SECONDS)
        body = bytearray()
        size = 0
        while not isinstance(event := await self._next(), h11.EndOfMessage):
            # A part may be a single byte, and costs some 10 us nevertheless.
            self._server.gossip_first()
            if not isinstance(event, h11.Data):
                raise _Gone
            size += len(event.data)
            if size > MAX_BODY_BYTES:
                return None
            if method not in MEANINGLESS:
                body += event.data
        return bytes(body)

    async def _call(self, route: Route, asked: Request) -> Response | Streamed:
        error: Exception | None
        answer: Response | Streamed | Later | None
        if route.waits:
            answer, error = await self._while_there(route.handler(asked))
        else:
            answer, error = await _outcome(route.handler(asked))
        if isinstance(answer, Later):
            answer, error = await self._while_there(answer.work())
            # A thousand that waited for the same are answered in one round.
            self._server.gossip_first()
        if isinstance(error, GossipError):
            return answer_error(error)
        if error is not None:
            self._failed(route.pattern, error)
            return problem(500, "internal_error", "this request could not be handled: see the agent's log")
        assert not isinstance(answer, Later)  # noqa: S101 - what was waited for is no promise again
        return answer or problem(503, "stopping", "the agent is stopping")

    def _failed(self, route: str, error: Exception) -> None:
        self._server.count("internal_error")
        _log.error("http_failed", exc_info=error, extra={"fields": {"route": route}})

    async def _while_there(self, work: Awaitable[T]) -> tuple[T | None, Exception | None]:
        """What comes of `work`, which is ended when the client goes (`_Gone`) or the server stops (None)."""
        gone = False

        async def watch() -> None:
            nonlocal gone
            # The next request may come early: h11 keeps it until its turn.
            gone = await _goes(self._line, self._http.receive_data)
            if gone:
                scope.cancel()

        result: tuple[T | None, Exception | None] = (None, None)
        async with trio.open_nursery() as nursery:
            scope = self._streaming = nursery.cancel_scope
            nursery.start_soon(watch)
            if self._server.is_draining:
                # It began to end before this did: what takes no time is still answered.
                scope.cancel()
            result = await _outcome(work)
            scope.cancel()
        self._streaming = None
        if gone:
            raise _Gone
        return result

    # ------------------------------------------------------------------------------------------- answering

    async def _finish(self, route: str, answer: Response | Streamed) -> None:
        """Count it and send it."""
        self._server.answered(route, answer.status)
        if isinstance(answer, Response):
            await self._answer(answer)
        else:
            await self._stream(route, answer)

    async def _answer(self, answer: Response) -> None:
        http = self._http
        body, gzip = answer.body, self._takes_gzip and is_worth_packing(answer)
        if gzip:
            body = await packed(answer)
        data = self._head(answer, len(body), gzip=gzip)
        if body and not self._is_head and answer.status not in BODILESS:
            data += http.send(h11.Data(data=body)) or b""
        data += http.send(h11.EndOfMessage()) or b""
        await self._send(data)

    async def _stream(self, route: str, answer: Streamed) -> None:
        http = self._http
        await self._send(self._head(answer, None))
        if not self._is_head:

            async def send(data: bytes) -> None:
                # An empty part would be the end of the body.
                if data:
                    self._server.gossip_first()
                    try:
                        await self._send(http.send(h11.Data(data=data)))
                    except OSError:
                        # The client's end of it broke: no fault of whoever makes the body.
                        raise _Gone from None

            _, error = await self._while_there(answer.produce(send))
            if error is not None:
                if not isinstance(error, _Gone):
                    self._failed(route, error)
                raise _Gone
            if self._is_cut:
                # The end of the body, in the midst of a part, would be read as its text.
                raise _Gone
        await self._send(http.send(h11.EndOfMessage()))

    def _head(self, answer: Response | Streamed, size: int | None, *, gzip: bool = False) -> bytes:
        if isinstance(answer, Response):
            headers = [*fields_of(answer, None if answer.status in BODILESS else size, gzip=gzip)]
        else:
            headers = [("Content-Type", answer.content_type), *answer.headers]
        if self._server.is_draining or self._http.their_state is not h11.DONE:
            headers.append(("Connection", "close"))
        response = h11.Response(
            status_code=answer.status, headers=headers, reason=HTTPStatus(answer.status).phrase
        )
        return self._http.send(response) or b""

    # ------------------------------------------------------------------------------------------ the socket

    def _wait(self, seconds: float | None) -> None:
        self._scope.deadline = math.inf if seconds is None else trio.current_time() + seconds

    async def _next(self, *, is_head: bool = False) -> object:
        """The next event; a header must come whole within `HEADER_SECONDS`, idleness before it aside."""
        http = self._http
        begun = not (is_head and self._idle)
        while (event := http.next_event()) is h11.NEED_DATA:
            data = await self._line.receive(HEAD_BYTES if is_head else READ_BYTES)
            if data and not begun:
                begun = True
                self._idle = False
                self._wait(HEADER_SECONDS)
            http.receive_data(data)
        return event

    async def _send(self, data: bytes | None) -> None:
        if data:
            self._is_cut = True
            await self._line.send(data, self._wait)
            self._is_cut = False


async def _outcome(work: Awaitable[T]) -> tuple[T | None, Exception | None]:
    """A fault is handed over as a value: whoever asked for the work goes on."""
    try:
        return await work, None
    except Exception as error:  # noqa: BLE001 - whatever a handler does wrong is counted by its caller
        return None, error


async def _goes(line: Line, keep: Callable[[bytes], None]) -> bool:
    """Returns when the client has gone (True), or has sent too much to go on listening."""
    held = 0
    while held < READ_BYTES:
        try:
            data = await line.receive(HEAD_BYTES)
        except OSError:
            return True
        if not data:
            return True
        keep(data)
        held += len(data)
    return False
