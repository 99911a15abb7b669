"""Why a request is not taken, as far as its head tells: host, path, method, scope, length."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final, Protocol

from gossip.api.http.hosts import is_welcome
from gossip.api.http.values import Response, no_path, plain, problem, too_large

if TYPE_CHECKING:
    from gossip.api.http.guard import Guard, Pass
    from gossip.api.http.routes import Match

__all__ = ["MAX_BODY_BYTES", "RETRY_SECONDS", "as_wanted", "objection", "too_many", "without_bytes"]

MAX_BODY_BYTES: Final = 1_048_576
RETRY_SECONDS: Final = 1
"""For who asks too often; as long his connection is not read."""


class Server(Protocol):
    """Whose rules count."""

    checks_host: bool
    host: str
    guard: Guard


def objection(server: Server, admitted: Pass, match: Match) -> Response | None:
    """What is answered instead; None if nothing speaks against it."""
    asked = admitted.asked
    host = asked.headers.get("host")
    if server.checks_host and host is not None and not is_welcome(host, server.host):
        text = f"the host {host[:100]!r} is not this agent: ask for localhost or an IP address"
        return as_wanted(problem(403, "refused", text), match)
    if match.refusal is not None:
        return match.refusal
    if match.route is None:
        if not match.allow:
            return no_path(asked.path)
        allow = ", ".join(match.allow)
        text = f"{asked.path[:100]} takes {allow}"
        return problem(405, "method_not_allowed", text, [("allow", allow)])
    if (denied := server.guard.objection(admitted, match.route)) is not None:
        return denied
    # h11 has seen to it that it is a number of at most twenty digits.
    if int(asked.headers.get("content-length", "0")) > MAX_BODY_BYTES:
        return as_wanted(too_large(MAX_BODY_BYTES), match)
    return None


_REPEATED = re.compile(r""":? (?:bytearray\(|b['"])""")


def without_bytes(reason: str) -> str:
    """A reason of h11's up to where it repeats what came, which may have been a token."""
    return _REPEATED.split(reason, 1)[0]


def too_many(match: Match) -> Response:
    """Its source has asked more than one may."""
    text = "too many requests from this address (http_rate): ask again later"
    return as_wanted(problem(429, "limit", text, [("retry-after", str(RETRY_SECONDS))]), match)


def as_wanted(answer: Response, match: Match) -> Response:
    """An error of the connection's, in the form that the path's other errors have."""
    if not match.is_plain:
        return answer
    return plain(answer.status, str(json.loads(answer.body)["error"]), answer.headers)
