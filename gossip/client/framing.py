"""The language of the local socket: JSON-RPC 2.0, one message a line. No socket is touched here.

The command line and the Python face both speak through this module, so it imports nothing that
would make a one-shot command slow.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from gossip import errors
from gossip.errors import GossipError, LimitError, LocalProtocolError, UnreachableError

__all__ = [
    "MAX_ANSWER",
    "MAX_REQUEST",
    "TIMEOUT",
    "LineReader",
    "Message",
    "WatchFold",
    "closed",
    "encode_request",
    "error_from",
    "late",
    "lost",
    "parameters",
    "result_of",
    "show_endpoint",
    "strange",
    "why_not",
]

Message: TypeAlias = dict[str, Any]
"""One decoded JSON-RPC message, or the value of one."""

TIMEOUT = 10.0
"""Seconds that an agent has for an answer, unless the call says otherwise: it answers from memory."""

BAD_PARAMS = -32_602
"""The code of JSON-RPC's "invalid params"."""

MAX_REQUEST = 1 << 20
"""Bytes of one request line: what an agent reads. A longer one is refused here, before it is sent."""

MAX_ANSWER = 64 << 20
"""Bytes of one line from the agent. Far above a request's, because the list of a large cluster's
members is one line; there at all so that a program listening at the wrong socket cannot fill memory."""


def encode_request(number: int, method: str, params: Message) -> bytes:
    """The line that asks for `method`, newline included.

    Raises:
        LimitError: the line would be longer than an agent reads.
        LocalProtocolError: a value is none that JSON has.
    """
    message = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    try:
        text = json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        line = text.encode() + b"\n"
    except (TypeError, ValueError) as problem:
        raise LocalProtocolError(
            f"{method} cannot be asked with these values ({problem}): give finite numbers and text of Unicode"
        ) from problem
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
    """The exception that a JSON-RPC error stands for.

    `data.kind` names the class; wrong parameters are this program's fault (`LocalProtocolError`), and what is
    neither is the root.
    """
    if not isinstance(error, dict):
        return GossipError("the agent answered with an error that says nothing")
    message = str(error.get("message", "the agent refused and did not say why"))
    data = error.get("data")
    kind = data.get("kind") if isinstance(data, dict) else None
    for name in errors.__all__:
        candidate: type[GossipError] = getattr(errors, name)
        if candidate.kind == kind:
            return candidate(message)
    return LocalProtocolError(message) if error.get("code") == BAD_PARAMS else GossipError(message)


def parameters(message: Message) -> Message:
    """What a notification says."""
    params = message.get("params")
    if not isinstance(params, dict):
        raise strange("a notification has no parameters")
    return params


class WatchFold:
    """What the reader of one watch is to see of the messages that came for it.

    A value is marked `"resync": true` when others may have been missed before it: the reader was slow, or
    the watch began again after the agent had been away.
    """

    def __init__(self) -> None:
        self._watch: object = None
        self._resync = False

    def begin(self, answer: Message) -> Message:
        """The first value, of the answer to the request."""
        self._watch = answer.pop("watch", None)
        return self._marked(answer)

    def broken(self) -> None:
        """The connection is lost; what comes next is another watch's answer."""
        self._resync = True

    def take(self, params: Message) -> Message | None:
        """A notification's value; None if it is another watch's, or only says that something was lost."""
        if params.pop("watch", None) != self._watch:
            return None
        if params.pop("resync", False):
            self._resync = True
        return self._marked(params) if params else None

    def _marked(self, value: Message) -> Message:
        if self._resync and value:
            value["resync"] = True
            self._resync = False
        return value


def strange(what: str) -> LocalProtocolError:
    """The error for an answer that no agent gives."""
    return LocalProtocolError(f"{what}: is another program at this socket?")


def show_endpoint(host: str, port: int) -> str:
    """`host:port`, with the brackets that an IPv6 literal needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def why_not(path: str, problem: OSError) -> UnreachableError:
    """The error for a socket that could not be connected to."""
    if isinstance(problem, PermissionError):
        text = f"you may not speak to the agent at {path}: use its user, its group or root"
    elif isinstance(problem, TimeoutError | BlockingIOError):
        text = f"the agent at {path} does not accept: is it stopped or overloaded?"
    elif isinstance(problem, FileNotFoundError | ConnectionRefusedError):
        hint = "start one with 'gossip agent', or name its socket with --socket or GOSSIP_SOCKET"
        text = f"no agent answers at {path}: {hint}"
    else:
        reason = problem.strerror or problem
        text = f"{path} is no agent's socket ({reason}): name one with --socket or GOSSIP_SOCKET"
    return UnreachableError(text)


def lost(path: str, *, may_have_acted: bool = False) -> UnreachableError:
    """The error for a connection that ended."""
    text = f"the agent at {path} closed the connection: see its log, and start it again if it has stopped"
    return UnreachableError(text, may_have_acted=may_have_acted)


def closed(path: str) -> UnreachableError:
    """The error for a client that its own program has closed."""
    return UnreachableError(f"this client of the agent at {path} is closed: open another")


def late(path: str, *, may_have_acted: bool = False) -> UnreachableError:
    """The error for an answer that did not come in time."""
    text = f"the agent at {path} took too long to answer: is it stopped or overloaded?"
    return UnreachableError(text, may_have_acted=may_have_acted)
