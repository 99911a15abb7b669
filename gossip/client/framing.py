"""The language of the local socket: JSON-RPC 2.0, one message a line. No socket is touched here.

The command line and the Python face both speak through this module, so it imports nothing that
would make a one-shot command slow.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from gossip import errors
from gossip.errors import GossipError, LimitError, LocalProtocolError

__all__ = [
    "MAX_ANSWER",
    "MAX_REQUEST",
    "LineReader",
    "Message",
    "encode_request",
    "error_from",
    "result_of",
    "show_endpoint",
    "strange",
]

Message: TypeAlias = dict[str, Any]
"""One decoded JSON-RPC message, or the value of one."""

MAX_REQUEST = 1 << 20
"""Bytes of one request line: what an agent reads. A longer one is refused here, before it is sent."""

MAX_ANSWER = 64 << 20
"""Bytes of one line from the agent. Far above a request's, because the list of a large cluster's
members is one line; there at all so that a program listening at the wrong socket cannot fill memory."""


def encode_request(number: int, method: str, params: Message) -> bytes:
    """The line that asks for `method`, newline included.

    Raises:
        LimitError: the line would be longer than an agent reads.
    """
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    line = json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    if len(line) > MAX_REQUEST:
        raise LimitError(
            f"the request is {len(line)} bytes and the agent reads at most {MAX_REQUEST}: send less at once"
        )
    return line


class LineReader:
    """Cuts what arrives into messages; a part of a line waits for the rest of it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held = 0

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes, in order.

        Raises:
            LocalProtocolError: whoever is at the other end does not speak JSON-RPC.
        """
        # Joined once, when the newline is there: a line of many megabytes arrives in a thousand parts.
        *ended, rest = data.split(b"\n")
        lines: list[bytes] = []
        for end in ended:
            self._parts.append(end)
            lines.append(b"".join(self._parts))
            self._parts.clear()
            self._held = 0
        if rest:
            self._parts.append(rest)
            self._held += len(rest)
            if self._held > MAX_ANSWER:
                raise strange(f"the answer is over {MAX_ANSWER} bytes")
        return [_decode(line) for line in lines if line.strip()]


def _decode(line: bytes) -> Message:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as problem:
        raise strange("the answer is not JSON") from problem
    if not isinstance(message, dict):
        raise strange("the answer is not a JSON-RPC message")
    return message


def result_of(message: Message) -> Message:
    """The value that a response carries.

    Raises:
        GossipError: the agent answered with an error; the class is the one that the agent raised.
    """
    if "error" in message:
        raise error_from(message["error"])
    result = message.get("result")
    if not isinstance(result, dict):
        raise strange("the answer has no result")
    return result


def error_from(error: object) -> GossipError:
    """The exception that a JSON-RPC error stands for: `data.kind` names the class, else it is the root."""
    if not isinstance(error, dict):
        return GossipError("the agent answered with an error that says nothing")
    message = str(error.get("message", "the agent refused and did not say why"))
    data = error.get("data")
    kind = data.get("kind") if isinstance(data, dict) else None
    for name in errors.__all__:
        candidate: type[GossipError] = getattr(errors, name)
        if candidate.kind == kind:
            return candidate(message)
    return GossipError(message)


def strange(what: str) -> LocalProtocolError:
    """The error for an answer that no agent gives."""
    return LocalProtocolError(f"{what}: is another program at this socket?")


def show_endpoint(host: str, port: int) -> str:
    """`host:port`, with the brackets that an IPv6 literal needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
