"""Requests that have come before, byte for byte, answered without being read again.

Most clients send the same few requests for ever. To take one apart costs several times what its answer
costs, once that is kept. So a request that the rules of HTTP, the routes and their handler have let
through is remembered with what answers it: the same bytes would be let through again, so nothing is
less strict for it. Only a GET whose head announces no body and that leaves the connection open is remembered
(to answer a head before its body has come would make a request of the body), and only where the handler has
promised that the answer depends on nothing else.

Whoever changes what is let through (tokens, hosts) calls `forget`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from gossip.api.http.packing import is_worth_packing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gossip.api.http.values import Kept, Response

__all__ = ["MAX_REMEMBERED", "Shortcuts", "head_of"]

MAX_REMEMBERED: Final = 1_024
MAX_HEAD_BYTES: Final = 2_048
MAX_ANSWER_BYTES: Final = 65_536
"""Each shortcut keeps its answer ready; beside a longer one, reading the request costs nothing."""


class _Shortcut:
    __slots__ = ("_again", "_gzip", "_kept", "_raw", "route")

    def __init__(self, route: str, again: Callable[[], Response | None], *, gzip: bool) -> None:
        self.route = route
        self._again = again
        self._gzip = gzip
        self._kept: Kept | None = None
        self._raw = b""

    def answer(self) -> bytes | None:
        answer = self._again()
        if answer is None or answer.kept is None or answer.status != HTTPStatus.OK:
            return None
        if len(answer.body) > MAX_ANSWER_BYTES:
            self._kept, self._raw = None, b""
            return None
        if answer.kept is not self._kept:
            gzip = self._gzip and is_worth_packing(answer)
            body = answer.kept.zipped if gzip else answer.body
            if body is None:
                # It has changed, and is packed by whoever reads the request.
                return None
            self._raw = head_of(answer, len(body), gzip=gzip) + body
            self._kept = answer.kept
        return self._raw


class Shortcuts:
    """What is remembered, by the bytes of the request."""

    def __init__(self, answered: Callable[[str, int], None]) -> None:
        self._answered = answered
        self._known: dict[bytes, _Shortcut] = {}

    def __len__(self) -> int:
        return len(self._known)

    def answer(self, data: bytes) -> bytes | None:
        """The whole answer to bytes that are one request that is remembered; None: read them."""
        shortcut = self._known.get(data)
        if shortcut is None:
            return None
        raw = shortcut.answer()
        if raw is not None:
            self._answered(shortcut.route, 200)
        return raw

    def remember(self, data: bytes, route: str, answer: Response, *, gzip: bool) -> None:
        """These bytes, the whole of a request, were answered so."""
        if answer.again is None or len(data) > MAX_HEAD_BYTES or not data.endswith(b"\r\n\r\n"):
            return
        if data not in self._known and len(self._known) >= MAX_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[data] = _Shortcut(route, answer.again, gzip=gzip)

    def forget(self) -> None:
        """Read every request again."""
        self._known.clear()


def head_of(answer: Response, size: int, *, gzip: bool) -> bytes:
    """The head of a response that leaves the connection open, as h11 would write it."""
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields_of(answer, size, gzip=gzip)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def fields_of(answer: Response, size: int | None, *, gzip: bool) -> Sequence[tuple[str, str]]:
    """Its headers; spelt as servers do, since not every client knows that case does not matter."""
    fields = [("Content-Type", answer.content_type)] if answer.content_type else []
    fields += answer.headers
    if gzip:
        fields.append(("Content-Encoding", "gzip"))
    if is_worth_packing(answer):
        fields.append(("Vary", "Accept-Encoding"))
    if size is not None:
        fields.append(("Content-Length", str(size)))
    return fields
