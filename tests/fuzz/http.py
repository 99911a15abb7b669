"""HTTP as bytes: how connections are made up and bent, and one served without a socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import h11
import trio

from gossip.api.http.connection import Conversation
from gossip.api.http.shortcuts import Shortcuts
from tests.fuzz import bend

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from gossip.api.http.guard import Guard
    from gossip.api.http.routes import Routes

__all__ = ["Speech", "serve"]

TARGETS: Final = (
    *("/gossip/v1/info", "/gossip/v1/members", "/gossip/v1/services/web?tag=a&near", "/gossip/v1/healthy"),
    *("/gossip/v1/watch/services/web", "/gossip/v1/watch/events?name=a", "/v1/echo/a/b", "/%ff", "*", "a:b"),
    *(
        "http://h/gossip/v1/info",
        "/gossip/v1/services/%2e%2e?token=a&token=b&%zz",
        "/?" + "a&" * 70,
        "//",
        "?",
    ),
)
HEADERS: Final = (
    *("Host: localhost", "Host: evil.example", "Host: [::1]:8500", "Content-Length: 3", "Content-Length: -1"),
    *("Transfer-Encoding: chunked", "Expect: 100-continue", "Connection: close", "Connection: upgrade"),
    *("Authorization: Bearer x", "X-Consul-Token: x", "Origin: null", "Sec-Fetch-Site: cross-site"),
    *(
        "Content-Length: 99999999999999999999",
        "X: " + "y" * 9_000,
        "A:b",
        "Transfer-Encoding: gzip",
        " folded",
    ),
)
WORDS: Final = tuple(
    text.encode("latin-1")
    for text in (
        *HEADERS,
        *TARGETS,
        "\r",
        "\r\n\r\n",
        "GET",
        "PUT",
        "HTTP/1.0",
        "HTTP/9.9",
        "0\r\n",
        "3\r\nabc\r\n",
        "ff",
    )
)


class Speech:
    """Requests, one after the other."""

    def fresh(self, rng: random.Random) -> bytes:
        parts = []
        for _ in range(rng.randint(1, 3)):
            method = rng.choice(("GET", "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "get", "X" * 30))
            version = rng.choice(("1.1", "1.1", "1.0"))
            headers = ["Host: localhost", *rng.sample(HEADERS, rng.randint(0, 3))]
            head = "\r\n".join([f"{method} {rng.choice(TARGETS)} HTTP/{version}", *headers, "", ""])
            body = rng.choice((b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"0\r\n\r\n"))
            parts.append(head.encode("latin-1") + body)
        return b"".join(parts)

    def bent(self, data: bytes, rng: random.Random) -> bytes:
        return bend.words(data, rng, WORDS)


GONE_SECONDS: Final = 100.0
"""When a client is found to be gone whose end was not read: there is more before it than is read ahead."""


class _Line:
    """A connection of which all that is said is known, and then that it ends."""

    def __init__(self, data: bytes) -> None:
        self._until = trio.current_time() + GONE_SECONDS
        self._left = data
        self.sent = bytearray()

    async def begin(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive(self, size: int) -> bytes:
        await trio.lowlevel.checkpoint()
        part, self._left = self._left[:size], self._left[size:]
        return part

    async def send(self, data: bytes, _wait: Callable[[float | None], None]) -> None:
        await trio.lowlevel.checkpoint()
        if trio.current_time() > self._until:
            raise BrokenPipeError
        self.sent += data

    def last_word(self, data: bytes) -> None:
        self.sent += data

    async def hang_up(self) -> None:
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Nothing is open."""


class _Server:
    is_draining = False
    checks_host = True
    host = ""

    def __init__(self, routes: Routes, guard: Guard) -> None:
        self.routes = routes
        self.guard = guard
        self.answers = 0
        self.gossip_first: Callable[[], None] = lambda: None
        self.count: Callable[[str], None] = _fail
        self.shortcuts = Shortcuts(self.answered)

    def answered(self, route: str, status: int) -> None:  # noqa: ARG002 - as `Server` has it
        self.answers += 1

    def has_room(self, source: str) -> bool:
        return self.admits(source)

    def admits(self, source: str) -> bool:
        raise AssertionError(f"{source!r}: who comes from here is not asked how often")


def _fail(reason: str) -> None:
    raise AssertionError(reason)


async def serve(routes: Routes, guard: Guard, data: bytes) -> None:
    """A whole connection; raises AssertionError if what was answered is no HTTP."""
    line, server = _Line(data), _Server(routes, guard)
    # Of virtual time: whoever waits for nothing is found at once.
    with trio.fail_after(10 * GONE_SECONDS):
        await Conversation(line, server).run()
    sent = bytes(line.sent)
    if sent and not sent.startswith(b"HTTP/1.1 "):
        raise AssertionError(f"no HTTP: {sent[:100]!r}")
    if server.answers == 1:
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method="GET", target="/", headers=[("host", "localhost")]))
        reader.receive_data(sent)
        reader.next_event()
