"""HTTP and HTTPS: whether a URL answers as it should.

Passing: the status is one of those expected and the body has the text that is asked for. Warning: 429,
unless it is expected, as a server says it that is there and has too much to do. All else is critical,
redirects too, which are not followed: a check of one server must not pass because another answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import h11
import trio

from gossip.checks.dial import open_stream
from gossip.checks.exchange import Reply, ask
from gossip.checks.finding import Finding, critical, reason_of
from gossip.core.types import Verdict

if TYPE_CHECKING:
    from gossip.config.checks import CheckDefinition

__all__ = ["look"]

TOO_MANY: Final = 429
SHOWN_BYTES: Final = 1_024
"""Of the body, in the output."""


async def look(check: CheckDefinition) -> Finding:
    """Asks once."""
    parts = urlsplit(check.target)
    assert parts.hostname is not None  # noqa: S101 - the definition was checked
    is_secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Host": parts.netloc, "User-Agent": "gossip-check", "Accept": "*/*"}
    given = {name.lower() for name in check.headers}
    headers = {name: value for name, value in headers.items() if name.lower() not in given} | check.headers
    # A query may be a secret, and whoever may read sees this.
    said = f"HTTP {check.method} {parts.scheme}://{parts.netloc}{parts.path}{'?...' if parts.query else ''}"
    try:
        async with open_stream(
            parts.hostname,
            parts.port or (443 if is_secure else 80),
            tls=is_secure,
            verify=not check.tls_skip_verify,
        ) as stream:
            reply = await ask(stream, check.method, path, headers, check.body.encode())
    except h11.RemoteProtocolError as error:
        return critical(f"{said}: no HTTP: {error}")
    except (OSError, trio.BrokenResourceError) as error:
        return critical(f"{said}: {reason_of(error)}")
    return _judge(check, reply, said)


def _judge(check: CheckDefinition, reply: Reply, said: str) -> Finding:
    text = reply.body[:SHOWN_BYTES].decode(errors="replace")
    said = f"{said}: {reply.line}"
    if not any(low <= reply.status <= high for low, high in check.expect_status):
        verdict = Verdict.WARNING if reply.status == TOO_MANY else Verdict.CRITICAL
    elif check.expect_body and check.expect_body.encode() not in reply.body:
        verdict, said = Verdict.CRITICAL, f"{said}, without {check.expect_body!r} in its body"
    else:
        verdict = Verdict.PASSING
    return Finding(verdict, f"{said}\n{text}" if text else said)
