"""One HTTP connection: requests in, answers out.

A request is answered before the next one is looked at, and between two requests that came together other
tasks run: so each connection has one request a round of trio's, however much it sends. A header is taken
apart in one go, so little more is read than the longest that is taken; gossip may go first at each part
of a body, in both directions.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, Protocol

import h11
import trio

from gossip.api.http.answering import Answering, outcome
from gossip.api.http.objections import (
    MAX_BODY_BYTES,
    RETRY_SECONDS,
    as_wanted,
    objection,
    too_many,
    without_bytes,
)
from gossip.api.http.packing import wants_gzip
from gossip.api.http.talk import (
    BODY_SECONDS,
    HANDSHAKE_SECONDS,
    HEAD_BYTES,
    HEADER_SECONDS,
    IDLE_SECONDS,
    MAX_HEADER_BYTES,
    Gone,
    Talk,
)
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
    from collections.abc import Callable, Mapping

    from gossip.api.http.guard import Guard
    from gossip.api.http.line import Line
    from gossip.api.http.routes import Route, Routes
    from gossip.api.http.shortcuts import Shortcuts

__all__ = ["Conversation", "Server"]

MEANINGLESS: Final = ("GET", "HEAD")
"""Whose requests' bodies say nothing."""
MORE: Final = ("transfer-encoding", "expect", "upgrade")
"""Headers after which more may follow than the head."""
OTHER: Final = "other"
"""The route of what no route takes, in metrics."""


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


class Conversation:
    """Serves one client until it goes.

    Args:
        source: the address that it comes from; empty: it may ask as often as it likes.
    """

    def __init__(self, line: Line, server: Server, source: str = "") -> None:
        self._talk = Talk(line)
        self._answering = Answering(self._talk, server)
        self._source = source
        self._server = server
        self._came = b""
        """The bytes of the request, if they came in one piece and alone."""
        self._is_over = False
        """Its source has asked more than one may."""

    # ------------------------------------------------------------------------------ from beginning to end

    async def run(self) -> None:
        """Returns when the client has gone, or was dropped; closes the line."""
        self._talk.wait(HANDSHAKE_SECONDS)
        try:
            with self._talk.scope, contextlib.suppress(OSError, Gone):
                await self._talk.line.begin()
                self._talk.wait(HEADER_SECONDS)
                while await self._exchange():
                    self._talk.wait(IDLE_SECONDS)
                await self._talk.end()
            if self._talk.scope.cancelled_caught and not self._talk.idle:
                self._too_slow()
        finally:
            self._talk.line.close()

    def drain(self) -> None:
        """The server stops: a connection without a request ends now, one that streams ends its body."""
        if self._talk.idle:
            self._talk.scope.cancel()
        else:
            self._answering.end_stream()

    async def _exchange(self) -> bool:
        """One request and its answer; whether another may follow."""
        http = self._talk.http
        try:
            if not await self._shortcut():
                return False
            event = await self._talk.next(is_head=True)
            if not isinstance(event, h11.Request):
                return False
            self._talk.idle = False
            self._talk.is_head = event.method == b"HEAD"
            self._server.gossip_first()
            await self._serve(event)
        except h11.RemoteProtocolError as error:
            await self._refuse(error)
            return False
        if self._server.is_draining or http.our_state is not h11.DONE or http.their_state is not h11.DONE:
            return False
        http.start_next_cycle()
        self._talk.idle, self._talk.is_head, self._talk.takes_gzip = True, False, False
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
        if self._talk.http.trailing_data[0]:
            return True
        while True:
            data = await self._talk.line.receive(HEAD_BYTES)
            source, server = self._source, self._server
            if source and not server.has_room(source):
                break
            answer = server.shortcuts.answer(data)
            if answer is None or server.is_draining:
                break
            if source:
                server.admits(source)
            self._server.gossip_first()
            self._talk.idle = False
            await self._talk.send(answer)
            self._talk.idle = True
            self._talk.wait_for_request()
        if data:
            self._talk.idle = False
            self._talk.wait(HEADER_SECONDS)
            self._came = data
        self._talk.http.receive_data(data)
        return True

    async def _refuse(self, error: h11.RemoteProtocolError) -> None:
        """What came is no HTTP, or too long a header: say so if there is still a way to."""
        if self._talk.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        status = error.error_status_hint
        text = f"no HTTP request: {without_bytes(str(error))[:200]}"
        if status == 431:
            text = f"the request's header is over {MAX_HEADER_BYTES} bytes"
        kind = "limit" if status == 431 else "bad_request"
        self._server.answered(OTHER, status)
        await self._answering.answer(problem(status, kind, text))

    def _too_slow(self) -> None:
        if self._talk.http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            late = problem(408, "timeout", "the request did not come in time")
            self._server.answered(OTHER, 408)
            self._talk.line.last_word(self._answering.head(late, len(late.body)) + late.body)

    # ---------------------------------------------------------------------------------------- one request

    async def _serve(self, event: h11.Request) -> None:
        method = event.method.decode("ascii")
        headers = merged(event.headers)
        if "transfer-encoding" in headers and "content-length" in headers:
            # Whoever stands in between may go by the other: what follows could be somebody else's request.
            text = "a request has a content-length or a transfer-encoding, not both"
            await self._answering.finish(OTHER, problem(400, "bad_request", text))
            return
        body: bytes | None = None
        if "transfer-encoding" not in headers and headers.get("content-length", "0") == "0":
            body = await self._body(method)
        if self._source and not self._server.admits(self._source):
            self._is_over = True
            path = event.target.decode("ascii").partition("?")[0]
            await self._answering.finish(OTHER, too_many(self._server.routes.find(method, path)))
            return
        try:
            asked = request(method, event.target.decode("ascii"), headers)
        except BadRequestError as error:
            path = event.target.decode("ascii").partition("?")[0]
            match = self._server.routes.find(method, path)
            await self._answering.finish(OTHER, as_wanted(answer_error(error), match))
            return
        admitted = self._server.guard.admit(asked, self._source)
        match = self._server.routes.find(method, asked.path)
        route = match.route
        name = match.name or OTHER if route is None else route.pattern
        self._talk.takes_gzip = wants_gzip(headers.get("accept-encoding", ""))
        refusal = objection(self._server, admitted, match)
        if refusal is None and body is None:
            body = await self._body(method)
        if refusal is not None or route is None:
            await self._answering.finish(name, refusal or no_path(asked.path))
        elif body is None:
            await self._answering.finish(name, as_wanted(too_large(MAX_BODY_BYTES), match))
        else:
            clean = admitted.asked
            asked = Request(
                method,
                clean.path,
                clean.query,
                clean.headers,
                body,
                match.params,
                admitted.grant,
                self._source,
            )
            self._talk.wait(None)
            answer = await self._call(route, asked)
            if not admitted.bearer:
                # A token may expire or be withdrawn, and is not to be kept.
                self._remember(route, asked, answer)
            await self._answering.finish(name, answer)

    def _remember(self, route: Route, asked: Request, answer: Response | Streamed) -> None:
        """If these very bytes may be answered so whenever they come."""
        http = self._talk.http
        if (
            isinstance(answer, Response)
            and answer.again is not None
            and self._came
            and route.method == asked.method == "GET"
            and _is_all_head(asked.headers)
            and http.their_http_version == b"1.1"
            and http.their_state is h11.DONE
            and not http.trailing_data[0]
        ):
            self._server.shortcuts.remember(self._came, route.pattern, answer, gzip=self._talk.takes_gzip)

    async def _body(self, method: str) -> bytes | None:
        """The request's body; None if it is too long. One that means nothing is read, and not kept."""
        http = self._talk.http
        if http.they_are_waiting_for_100_continue:
            await self._talk.send(http.send(h11.InformationalResponse(status_code=100, headers=[])))
        self._talk.wait(BODY_SECONDS)
        body = bytearray()
        size = 0
        while not isinstance(event := await self._talk.next(), h11.EndOfMessage):
            # A part may be a single byte, and costs some 10 us nevertheless.
            self._server.gossip_first()
            if not isinstance(event, h11.Data):
                raise Gone
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
            answer, error = await self._answering.while_there(route.handler(asked))
        else:
            answer, error = await outcome(route.handler(asked))
        if isinstance(answer, Later):
            answer, error = await self._answering.while_there(answer.work())
            # A thousand that waited for the same are answered in one round.
            self._server.gossip_first()
        if isinstance(error, GossipError):
            return answer_error(error)
        if error is not None:
            self._answering.failed(route.pattern, error)
            return problem(500, "internal_error", "this request could not be handled: see the agent's log")
        assert not isinstance(answer, Later)  # noqa: S101 - what was waited for is no promise again
        return answer or problem(503, "stopping", "the agent is stopping")


def _is_all_head(headers: Mapping[str, str]) -> bool:
    """Whether the end of such a head is the end of the request, whatever came with it or after it."""
    return headers.get("content-length", "0") == "0" and not any(name in headers for name in MORE)
