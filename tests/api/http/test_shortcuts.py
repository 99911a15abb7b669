"""Requests that came before are answered as they were, and nothing else is; bodies in gzip."""

from __future__ import annotations

import contextlib
import gzip
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gossip.api.http import shortcuts
from gossip.api.http.packing import wants_gzip
from gossip.api.http.routes import Routes
from gossip.api.http.values import JSON, Kept, Request, Response
from tests.api.http.served import serving

if TYPE_CHECKING:
    from tests.api.http.served import Client

GET = b"GET /v?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Value:
    """A value that a handler promises to be all that its answer is made of."""

    def __init__(self, text: str) -> None:
        self.kept = Kept(text.encode())
        self.asked = 0
        self.lives = True

    def routes(self) -> Routes:
        table = Routes()
        table.add("GET", "/v", self.handle)
        table.add("POST", "/v", self.handle)
        return table

    def set(self, text: str) -> None:
        self.kept = Kept(text.encode())

    async def handle(self, _asked: Request) -> Response:
        self.asked += 1
        return self.answer()

    def answer(self) -> Response:
        return Response(200, self.kept.body, JSON, [("X-Index", "7")], self.kept, self.again)

    def again(self) -> Response | None:
        return self.answer() if self.lives else None


async def whole(client: Client, request: bytes, end: bytes) -> bytes:
    await client.send(request)
    seen = b""
    while not seen.endswith(end):
        more = await client.read()
        assert more, seen
        seen += more
    return seen


async def test_the_same_bytes_are_answered_the_same_without_being_read_again() -> None:
    value = Value("one")
    async with serving(value.routes()) as here:
        client = await here.connect()
        first = await whole(client, GET, b"one")
        assert first.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Index: 7\r\n")
        before = len(here.before)
        assert await whole(client, GET, b"one") == first
        assert (value.asked, len(here.before) - before) == (1, 1), "gossip goes first all the same"
        value.set("two")
        assert await whole(client, GET, b"two") == first.replace(b"one", b"two")
        assert await whole(await here.connect(), GET, b"two") == first.replace(b"one", b"two")
        assert value.asked == 1
        assert here.server.requests["/v", 200] == 4
        value.lives = False
        await whole(client, GET, b"two")
        assert value.asked == 2, "what cannot be told again is asked for"
        value.lives = True
        here.server.shortcuts.forget()
        await whole(client, GET, b"two")
        assert value.asked == 3


@pytest.mark.parametrize(
    "request_",
    [
        b"HEAD /v HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /v HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        b"GET /v HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /v HTTP/1.0\r\nHost: localhost\r\n\r\n",
        b"GET /v HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\nab",
        b"GET /v HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /v HTTP/1.1\r\n\r\n",
        b"GET /v HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n",
        GET + GET,
        b"GET /v HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 2_048 + b"\r\n\r\n",
    ],
)
async def test_nothing_else_is_remembered(request_: bytes) -> None:
    value = Value("one")
    async with serving(value.routes()) as here:
        for _ in range(2):
            client = await here.connect()
            await client.send(request_)
            await client.read()
        assert len(here.server.shortcuts) == 0


HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)


def announcing(fields: bytes, method: bytes = b"GET", path: bytes = b"/v") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % (method, path, fields)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"Content-Length: %d\r\n" % len(HIDDEN), HIDDEN),
        (b"Transfer-Encoding: chunked\r\n", CHUNKED),
        (b"Content-Length: %d\r\nExpect: 100-continue\r\n" % len(HIDDEN), HIDDEN),
    ],
)
async def test_a_head_is_not_answered_before_the_body_that_it_announces(fields: bytes, body: bytes) -> None:
    async with serving(Value("one").routes()) as here:
        for earlier in range(2):
            client = await here.connect()
            before = len(here.before)
            await client.send(announcing(fields))
            while len(here.before) == before:  # noqa: ASYNC110 - the server has no event for what it has read
                await trio.sleep(0.001)
            await wait_all_tasks_blocked()
            assert here.server.requests.total() == 2 * earlier
            await whole(client, body, b"one")
            await whole(client, GET, b"one")
        assert here.server.requests == {("/v", 200): 4}, "what the body holds is no request"


@pytest.mark.parametrize("fields", [b"Expect: x\r\n", b"Upgrade: h2c\r\nConnection: upgrade\r\n"])
async def test_what_may_go_on_after_its_head_is_not_remembered(fields: bytes) -> None:
    async with serving(Value("one").routes()) as here:
        await whole(await here.connect(), announcing(fields), b"one")
        assert len(here.server.shortcuts) == 0
        await whole(await here.connect(), announcing(b"Content-Length: 0\r\n"), b"one")
        assert len(here.server.shortcuts) == 1


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("method", "path"), [(b"GET", b"/v"), (b"HEAD", b"/v"), (b"GET", b"/no"), (b"GET", b"v")]
)
@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"Content-Length: %d\r\n" % len(HIDDEN), HIDDEN),
        (b"Transfer-Encoding: chunked\r\n", CHUNKED),
    ],
)
async def test_a_body_that_means_nothing_is_no_request(
    fields: bytes, body: bytes, method: bytes, path: bytes, *, together: bool
) -> None:
    value = Value("one")
    async with serving(value.routes()) as here:
        for _ in range(2):
            client = await here.connect()
            head = announcing(fields, method, path)
            if together:
                await client.send(head + body + GET)
            else:
                await client.send(head)
                await wait_all_tasks_blocked(0.002)
                await client.send(body)
                await wait_all_tasks_blocked(0.002)
                await client.send(GET)
            await client.stream.send_eof()
            with contextlib.suppress(trio.BrokenResourceError):
                # It is read, or ends the connection.
                answers = (await client.rest()).count(b"HTTP/1.1 ")
                assert answers == (1 if path in (b"/no", b"v") else 2)
        assert here.server.requests["other", 404] == (2 if path == b"/no" else 0)


async def test_what_comes_in_pieces_or_rows_is_read_as_ever() -> None:
    value = Value("one")
    async with serving(value.routes()) as here:
        client = await here.connect()
        one = await whole(client, GET, b"one")
        assert len(here.server.shortcuts) == 1
        await client.send(GET[:20])
        assert await whole(client, GET[20:], b"one") == one
        seen = await whole(client, GET * 3, b"one")
        while len(seen) < 3 * len(one):
            seen += await client.read()
        assert seen == one * 3
        assert await whole(client, GET, b"one") == one


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortcuts, "MAX_REMEMBERED", 3)
    value = Value("one")
    async with serving(value.routes()) as here:
        client = await here.connect()
        for number in range(10):
            await whole(client, GET.replace(b"1 HTTP", b"%d HTTP" % number), b"one")
        assert len(here.server.shortcuts) == 3


async def test_long_answers_are_not_kept_twice() -> None:
    value = Value("x" * (shortcuts.MAX_ANSWER_BYTES + 1))
    async with serving(value.routes()) as here:
        client = await here.connect()
        for _ in range(3):
            await whole(client, GET, b"x" * 65_537)
        assert value.asked == 3
        value.set("one")
        await whole(client, GET, b"one")
        assert value.asked == 3


async def test_a_draining_server_says_that_it_closes() -> None:
    value = Value("one")
    async with serving(value.routes()) as here:
        client = await here.connect()
        await whole(client, GET, b"one")
        here.server.is_draining = True
        assert b"Connection: close" in await whole(client, GET, b"one")


async def test_long_bodies_are_sent_in_gzip_to_who_takes_it() -> None:
    value = Value("x" * 60_000)
    async with serving(value.routes()) as here:
        client = await here.connect()
        plain = await client.ask("GET", "/v")
        assert plain.headers["vary"] == "Accept-Encoding"
        assert plain.body == value.kept.body
        for _ in range(3):
            # The second is a shortcut.
            packed = await client.ask("GET", "/v", accept_encoding="gzip")
            assert packed.headers["content-encoding"] == "gzip"
            assert len(packed.body) < 2_000
            assert gzip.decompress(packed.body) == value.kept.body
        value.set("y" * 1_024)
        again = await client.ask("GET", "/v", accept_encoding="gzip")
        assert gzip.decompress(again.body) == b"y" * 1_024
        value.set("short")
        assert "content-encoding" not in (await client.ask("GET", "/v", accept_encoding="gzip")).headers
        head = await client.ask("GET", "/v", accept_encoding="gzip;q=0")
        assert "content-encoding" not in head.headers


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", False),
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip; q=0", False),
        ("*", True),
        ("identity", False),
        ("x-gzip-not", False),
    ],
)
def test_who_takes_gzip(header: str, wanted: bool) -> None:
    assert wants_gzip(header) is wanted
