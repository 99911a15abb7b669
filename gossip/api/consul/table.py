"""Consul's paths: which handler, and what is said where there is none.

As in Consul, a path that ends with a slash takes everything behind it, raw slashes included, and the longest
that fits wins. A method that a path does not take is 405 in Consul's words, HEAD too; OPTIONS says what there
is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlencode

from gossip.api.consul.words import PLAIN
from gossip.api.http.routes import Match, Route, usual_scope
from gossip.api.http.values import Response
from gossip.config.access import Scope

if TYPE_CHECKING:
    from gossip.api.http.values import Handler, Request

__all__ = ["Table"]

METHODS: Final = ("GET", "POST", "PUT", "DELETE")
MAX_SEGMENTS: Final = 6
FOR_ADMINS: Final = (
    *("agent/join/", "agent/leave", "agent/force-leave/", "agent/reload", "agent/maintenance"),
    "operator/keyring",
)
"""What concerns the agent or the cluster, and no service."""

_SLASHES = re.compile("//+")


class Table:
    """The routes under `/v1/`."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Route]] = {}

    def add(self, method: str, path: str, handler: Handler) -> None:
        """A path without its `/v1/`; what follows a slash at its end is given as the parameter `rest`."""
        methods = self._rows.setdefault("/v1/" + path, {})
        if method in methods:
            raise ValueError(f"{method} {path} is there already")
        scope = Scope.ADMIN if path in FOR_ADMINS else usual_scope(method)
        methods[method] = Route(method, "/v1/" + path, handler, waits=False, scope=scope)

    def has(self, method: str, path: str) -> bool:
        """Whether something answers there already."""
        return method in self._rows.get("/v1/" + path, {})

    def find(self, method: str, raw_path: str) -> Match | None:
        """What answers; None if it is no path of Consul's."""
        if "//" in raw_path and method in ("GET", "HEAD"):
            clean = _SLASHES.sub("/", raw_path)
            if clean.startswith("/v1/"):
                moved = Route(method, "/v1/", _moved(clean), waits=False, scope=Scope.NONE)
                return Match(moved, {}, (), is_plain=True)
        if not raw_path.startswith("/v1/") and raw_path != "/v1":
            return None
        methods, params = self._find(raw_path)
        if not methods:
            return Match(None, {}, (), Response(404, b"", ""), is_plain=True)
        route = methods.get(method)
        if route is not None:
            return Match(route, params, (), is_plain=True)
        pattern = next(iter(methods.values())).pattern
        allow = ("Allow", ",".join(("OPTIONS", *sorted(methods, key=METHODS.index))))
        if method == "OPTIONS":
            refusal = Response(200, b"", "", [allow])
        else:
            text = f"method {method} not allowed"
            refusal = Response(405, text.encode(), PLAIN, [allow])
        return Match(None, params, (), refusal, pattern, is_plain=True)

    def _find(self, raw_path: str) -> tuple[dict[str, Route], dict[str, str]]:
        exact = self._rows.get(raw_path)
        if exact is not None:
            return exact, {"rest": ""} if raw_path.endswith("/") else {}
        parts = raw_path.split("/")
        for size in range(min(len(parts) - 1, MAX_SEGMENTS), 1, -1):
            prefix = "/".join(parts[:size]) + "/"
            methods = self._rows.get(prefix)
            if methods is not None:
                return methods, {"rest": unquote(raw_path[len(prefix) :])}
        return {}, {}


def _moved(path: str) -> Handler:
    """Clients that join an address and a path by one slash too many are led to the clean path."""

    async def handler(asked: Request) -> Response:
        query = urlencode(asked.query, doseq=True)
        return Response(301, b"", "", [("Location", f"{path}?{query}" if query else path)])

    return handler
