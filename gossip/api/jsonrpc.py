"""JSON-RPC 2.0 as bytes: one request, or a batch of them, is a line. No sockets here.

The envelope is decoded with its types, `params` is left as the bytes that came, so that the
answer to a question asked before can be found without reading them again.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from gossip.errors import GossipError

__all__ = [
    "BAD_PARAMS",
    "FAILED",
    "INVALID_REQUEST",
    "MAX_BATCH",
    "MAX_LINE_BYTES",
    "NO_METHOD",
    "PARSE_ERROR",
    "Id",
    "Request",
    "RpcError",
    "answer",
    "error_of",
    "failure",
    "notification",
    "read_batch",
    "read_params",
    "read_request",
]

MAX_LINE_BYTES = 1_048_576
"""A longer line cannot be a request: its end would have to be waited for without a bound."""
MAX_BATCH = 1_024
"""Requests in one batch."""

PARSE_ERROR = -32_700
INVALID_REQUEST = -32_600
NO_METHOD = -32_601
BAD_PARAMS = -32_602
FAILED = -32_000
"""A `GossipError`: `data.kind` says which."""

Id: TypeAlias = int | float | str | UnsetType | None
"""What ties an answer to its request; `UNSET` for a notification, which gets no answer."""


class Request(Struct, frozen=True, gc=False):
    """One request; `params` are undecoded, and empty bytes if there are none."""

    jsonrpc: Literal["2.0"]
    method: str
    params: Raw = Raw(b"")
    id: Id = UNSET


class RpcError(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, code: int, message: str, kind: str, id: Id = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.kind = kind
        self.id = id


class _Data(Struct, frozen=True):
    kind: str


class _Error(Struct, frozen=True):
    code: int
    message: str
    data: _Data


class _Failure(Struct, frozen=True):
    id: Id
    error: _Error
    jsonrpc: Literal["2.0"] = "2.0"


class _Notification(Struct, frozen=True):
    method: str
    params: object
    jsonrpc: Literal["2.0"] = "2.0"


T = TypeVar("T")

_encode = msgspec.json.Encoder().encode
_decode_request = msgspec.json.Decoder(Request).decode
_decode_batch = msgspec.json.Decoder(list[Raw]).decode
_decode_any = msgspec.json.Decoder().decode


def read_request(text: bytes | Raw) -> Request:
    """One request.

    Raises:
        RpcError: parse error, or an invalid request with the id that could be read from it.
    """
    try:
        return _decode_request(text)
    except (ValueError, RecursionError) as problem:
        raise _explain(text, problem) from None


def _explain(text: bytes | Raw, problem: Exception) -> RpcError:
    """The typed decoder stops at the first fault it meets: see whether the rest is JSON at all."""
    try:
        value = _decode_any(text)
    except (ValueError, RecursionError) as fault:
        return RpcError(PARSE_ERROR, f"not JSON: {fault}", "parse")
    id = value.get("id") if isinstance(value, dict) else None
    if isinstance(id, bool) or not isinstance(id, int | float | str):
        id = None
    return RpcError(INVALID_REQUEST, f"not a JSON-RPC 2.0 request: {problem}", "invalid_request", id)


def read_batch(line: bytes) -> list[Raw]:
    """The requests of a line that starts with `[`, each still undecoded.

    Raises:
        RpcError: parse error, an empty batch, or more than `MAX_BATCH` requests.
    """
    try:
        items = _decode_batch(line)
    except (ValueError, RecursionError) as problem:
        raise RpcError(PARSE_ERROR, f"not JSON: {problem}", "parse") from None
    if not items:
        raise RpcError(INVALID_REQUEST, "an empty batch", "invalid_request")
    if len(items) > MAX_BATCH:
        raise RpcError(INVALID_REQUEST, f"a batch of {len(items)}: at most {MAX_BATCH} requests", "limit")
    return items


def read_params(decoder: msgspec.json.Decoder[T], params: Raw) -> T:
    """What a method asks for, by name.

    Raises:
        RpcError: the fault, naming the parameter.
    """
    text = bytes(params) or b"{}"
    if text[:1] != b"{":
        raise RpcError(BAD_PARAMS, "params are named: send an object", "bad_params")
    try:
        return decoder.decode(text)
    except (ValueError, RecursionError) as problem:
        message = str(problem).replace("Object contains unknown field", "unknown parameter")
        message = message.replace("Object missing required field", "missing parameter")
        raise RpcError(BAD_PARAMS, message, "bad_params") from None


def error_of(problem: Exception) -> RpcError:
    """What the one who asked is told of an exception of ours."""
    if isinstance(problem, RpcError):
        return problem
    if isinstance(problem, GossipError):
        return RpcError(FAILED, str(problem) or problem.kind, problem.kind)
    raise problem


def answer(id: Id, result: bytes) -> bytes:
    """One line, around a result that is encoded already."""
    if type(id) is int:
        return b'{"jsonrpc":"2.0","id":%d,"result":%b}\n' % (id, result)
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}\n' % (_encode(id), result)


def failure(id: Id, problem: RpcError) -> bytes:
    """One line. A request whose id could not be read is answered with null."""
    known = None if id is UNSET else id
    return _encode(_Failure(known, _Error(problem.code, problem.message, _Data(problem.kind)))) + b"\n"


def notification(method: str, params: object) -> bytes:
    """One line that nobody asked for."""
    return _encode(_Notification(method, params)) + b"\n"
