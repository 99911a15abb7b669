"""Who may ask for what over HTTP: tokens, and what web pages try in their visitors' names.

A token comes as `Authorization: Bearer`, as `X-Consul-Token`, or, since Consul's clients send it, as
`?token=`. Whichever it is, it is taken out of the request here, so that no handler, log or trace can show it.

A page that somebody visits can have his browser send requests to whatever he reaches. It cannot keep the
browser from saying so (`Origin`, `Sec-Fetch-Site`), and it does not know his tokens: so what changes
something and comes from a page needs one, even where others need none.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from gossip.api.http.routes import READING
from gossip.api.http.values import Request, Response, plain, problem
from gossip.config.access import Scope
from gossip.config.tokens import hash_of

if TYPE_CHECKING:
    from gossip.api.http.guesses import Guesses
    from gossip.api.http.routes import Route
    from gossip.config.tokens import Tokens

__all__ = ["OPEN", "Guard", "Pass"]

TOKEN_HEADERS: Final = ("x-consul-token", "authorization")
CONSUL: Final = "/v1/"
"""Below it clients expect the words of Consul."""
CHALLENGE: Final = ("www-authenticate", 'Bearer realm="gossip"')
PLAIN: Final = "text/plain; charset=utf-8"


class Pass(NamedTuple):
    """What was made of a request's token."""

    asked: Request
    """Without it."""
    grant: Scope
    bearer: str = ""
    """What the token is, in words; empty if none came or it is not known."""
    fault: str = ""
    """Why it is not taken."""
    late: float = 0.0
    """Seconds until a token from there is looked at again; this one was not."""


class Guard(NamedTuple):
    """What requests must bring.

    Args:
        tokens: None: none are asked for, and those that come mean nothing.
        anonymous: what a request without one may do.
        setting: what to name to somebody who may not do more without one.
        guesses: how many wrong tokens may come from where; None: as many as will.
    """

    tokens: Tokens | None = None
    anonymous: Scope = Scope.ADMIN
    setting: str = "http_anonymous"
    guesses: Guesses | None = None

    def admit(self, asked: Request, source: str = "") -> Pass:
        """Look at a request's token, and take it out.

        Args:
            asked: as it came.
            source: the address that it came from; empty: one that may try what it likes.
        """
        headers, query = asked.headers, asked.query
        if "token" not in query and "x-consul-token" not in headers and "authorization" not in headers:
            return Pass(asked, self.anonymous)
        secret = _secret(asked)
        clean = _without(asked)
        if not secret or self.tokens is None:
            return Pass(clean, self.anonymous)
        guesses, digest = self.guesses, b""
        if guesses is not None and source:
            digest = hash_of(secret)
            if late := guesses.wait(source, digest):
                return Pass(clean, Scope.NONE, late=late)
        token = self.tokens.find(secret)
        if guesses is not None and source:
            guesses.note(source, digest, is_good=token is not None)
        if token is None:
            return Pass(clean, Scope.NONE, fault="this token is not known here, or has expired")
        known = f"the token {token.name!r} has the scope {token.scope.label}"
        return Pass(clean, max(token.scope, self.anonymous), known)

    def objection(self, admitted: Pass, route: Route) -> Response | None:
        """Why a request is refused on this route; None if it is not."""
        asked, grant, bearer, fault, late = admitted
        if route.scope is Scope.NONE:
            return None
        if late:
            return _too_many(asked, late)
        if fault:
            return _unknown(asked, fault)
        if not bearer and _is_from_page(asked, route):
            return _denied(asked, "a web page changes nothing here without a token (http_tokens)")
        if grant >= route.scope:
            return None
        if bearer:
            return _denied(asked, f"{bearer}, and this needs {route.scope.label}")
        if self.tokens is None:
            return _denied(
                asked,
                f"this needs the scope {route.scope.label}, and without tokens a request over HTTP has"
                f" {self.anonymous.label} ({self.setting}): see 'gossip token --help'",
            )
        text = f"this needs a token of the scope {route.scope.label}: send 'Authorization: Bearer TOKEN'"
        return _consul(asked) or problem(401, "denied", text, [CHALLENGE])


OPEN: Final = Guard()
"""Asks for nothing."""


def _secret(asked: Request) -> str:
    """In the order that Consul looks in."""
    if found := asked.text("token"):
        return found
    if found := asked.headers.get("x-consul-token", "").strip():
        return found
    scheme, _, rest = asked.headers.get("authorization", "").strip().partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else ""


def _without(asked: Request) -> Request:
    headers = {name: value for name, value in asked.headers.items() if name not in TOKEN_HEADERS}
    query = {name: values for name, values in asked.query.items() if name != "token"}
    return replace(asked, headers=headers, query=query)


def _is_from_page(asked: Request, route: Route) -> bool:
    if asked.method in READING and route.scope <= Scope.READ:
        return False
    return "origin" in asked.headers or asked.headers.get("sec-fetch-site", "none").lower() != "none"


def _unknown(asked: Request, fault: str) -> Response:
    if asked.path.startswith(CONSUL):
        return Response(403, b"ACL not found", PLAIN)
    return problem(401, "denied", fault, [CHALLENGE])


def _too_many(asked: Request, late: float) -> Response:
    text = "too many wrong tokens from this address (http_token_rate): this one was not looked at"
    after = [("retry-after", str(math.ceil(late)))]
    if asked.path.startswith(CONSUL):
        return plain(429, text, after)
    return problem(429, "limit", text, after)


def _denied(asked: Request, text: str) -> Response:
    return _consul(asked) or problem(403, "denied", text)


def _consul(asked: Request) -> Response | None:
    return Response(403, b"Permission denied", PLAIN) if asked.path.startswith(CONSUL) else None
