"""What a handler is given and what it gives: a request, a response, or a body that is made as it goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import parse_qs

import msgspec

from gossip.config.access import Scope
from gossip.errors import DeniedError, GossipError, LocalProtocolError, NotFoundError, RefusedError

__all__ = [
    "JSON",
    "BadRequestError",
    "Handler",
    "Kept",
    "Later",
    "Request",
    "Response",
    "Send",
    "Streamed",
    "answer_error",
    "json",
    "merged",
    "no_path",
    "plain",
    "problem",
    "request",
    "too_large",
]

JSON = "application/json"
MAX_QUERY_FIELDS = 64

_encode = msgspec.json.Encoder().encode


class BadRequestError(LocalProtocolError):
    """The request's path, query or body is not what this route takes."""

    kind = "bad_request"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its body read."""

    method: str
    path: str
    """As it came, without the query; what routes take out of it is decoded."""
    query: Mapping[str, Sequence[str]]
    """Every value of every name; an empty text for a name without a value."""
    headers: Mapping[str, str]
    """Names in lower case; of one that came twice, the values with a comma between them."""
    body: bytes = b""
    params: Mapping[str, str] = field(default_factory=dict)
    """What stands in the path where the route has a name in braces."""
    grant: Scope = Scope.ADMIN
    """What whoever asks may do; what the route asks for is seen to already."""
    source: str = ""
    """The address that it comes from; empty: this host, which is many programs."""

    def need(self, scope: Scope, what: str) -> None:
        """Refuse what needs more than the route does.

        Raises:
            DeniedError: whoever asks may not do `what`.
        """
        if self.grant < scope:
            raise DeniedError(
                f"{what} needs the scope {scope.label}: bring a token that has it (http_tokens)"
            )

    def only(self, *names: str) -> None:
        """Refuse a query that has other names than these.

        Raises:
            BadRequestError: naming what is not understood, and what is.
        """
        for name in self.query:
            if name not in names:
                known = f"this route takes {', '.join(names)}" if names else "this route takes none"
                raise BadRequestError(f"unknown query parameter {name[:64]!r}: {known}")

    def text(self, name: str, default: str = "") -> str:
        """The first value of that name."""
        values = self.query.get(name)
        return values[0] if values else default

    def switch(self, name: str) -> bool:
        """Whether `name` is there, and not said to be false.

        Raises:
            BadRequestError: if its value is no yes or no.
        """
        if name not in self.query:
            return False
        word = self.text(name).lower()
        if word in ("", "1", "true", "yes", "on"):
            return True
        if word in ("0", "false", "no", "off"):
            return False
        raise BadRequestError(f"{name}={word[:64]}: write {name}=true or {name}=false")


class Kept:
    """A body that is sent more than once: it is compressed once."""

    __slots__ = ("body", "zipped")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.zipped: bytes | None = None


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: Sequence[tuple[str, str]] = ()
    kept: Kept | None = None
    """What holds the body, if it is sent more than once."""
    again: Callable[[], Response | None] | None = None
    """Answers the very same request when it comes again; None: ask the handler. Whoever gives it promises
    that the answer depends on nothing but the request's bytes and what this gives."""


Send: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Sends a part of a body; returns when the kernel has taken it. Ends the connection if the client stalls."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer whose body is sent in parts; `produce` is cancelled when the client goes."""

    produce: Callable[[Send], Awaitable[None]]
    status: int = 200
    content_type: str = "application/octet-stream"
    headers: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Later:
    """There is no answer yet: `work` brings one; it ends when the client goes or the server stops."""

    work: Callable[[], Awaitable[Response | Streamed]]


Handler: TypeAlias = Callable[[Request], Awaitable[Response | Streamed | Later]]


def json(value: object, status: int = 200, headers: Sequence[tuple[str, str]] = ()) -> Response:
    """An answer in JSON, ended by a newline for those who read it in a terminal."""
    return Response(status, _encode(value) + b"\n", JSON, headers)


def problem(status: int, kind: str, message: str, headers: Sequence[tuple[str, str]] = ()) -> Response:
    """An error as every route of our own tells it."""
    return json({"error": message, "kind": kind}, status, headers)


def no_path(path: str) -> Response:
    """No route has this path."""
    return problem(404, "not_found", f"there is nothing at {path[:100]}")


def too_large(most: int) -> Response:
    """The body has more than `most` bytes."""
    return problem(413, "limit", f"a body is at most {most} bytes")


def answer_error(error: GossipError) -> Response:
    """What an error of the one tree means over HTTP."""
    if isinstance(error, NotFoundError):
        status = 404
    elif isinstance(error, RefusedError):
        status = 409
    elif isinstance(error, DeniedError):
        status = 403
    elif isinstance(error, LocalProtocolError):
        status = 400
    else:
        status = 503
    return problem(status, error.kind, str(error))


def plain(status: int, text: str, headers: Sequence[tuple[str, str]] = ()) -> Response:
    """A bare sentence."""
    return Response(status, text.encode(), "text/plain; charset=utf-8", headers)


def merged(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by name; of one that came twice, the values with a comma between them."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("ascii"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def request(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> Request:
    """A request from its target.

    Raises:
        BadRequestError: the target is no path.
    """
    if not target.startswith("/"):
        # Some clients and all proxies name the server once more.
        scheme, separator, rest = target.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            # What follows may have a token.
            shown = target.partition("?")[0][:64]
            raise BadRequestError(f"{shown!r} is no path: it begins with /")
        target = "/" + rest.partition("/")[2]
    path, _, text = target.partition("#")[0].partition("?")
    try:
        query = parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_QUERY_FIELDS)
        return Request(method, path, query, headers, body)
    except ValueError as error:
        raise BadRequestError(
            f"the query cannot be read ({error}): percent-encode UTF-8, at most {MAX_QUERY_FIELDS} parameters"
        ) from error
