"""Which handler answers: a table of methods and paths.

A segment in braces matches any one segment and is given to the handler under its name; `{name...}` at the
end matches all that follows, at least one character of it. Segments are compared after decoding, so that
a name with a slash in it arrives whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, Protocol
from urllib.parse import unquote

from gossip.api.http.values import Handler, Response
from gossip.config.access import Scope

__all__ = ["READING", "Match", "Mounted", "Route", "Routes", "usual_scope"]

READING: Final = ("GET", "HEAD")
"""Methods that change nothing."""


def usual_scope(method: str) -> Scope:
    """What a method asks for unless its route says otherwise."""
    return Scope.READ if method in READING else Scope.WRITE


class Route(NamedTuple):
    """One line of the table."""

    method: str
    pattern: str
    """Names the route in metrics: there are as many as are written in the code."""
    handler: Handler
    waits: bool
    """Whether it may take its time: it is then ended if the client goes."""
    scope: Scope
    """What whoever asks must be allowed."""


class Match(NamedTuple):
    """What was found for a request: a route with its parameters, or the methods that there would be."""

    route: Route | None
    params: Mapping[str, str]
    allow: tuple[str, ...]
    refusal: Response | None = None
    """What is to be said instead of the usual words, where a path belongs to somebody else's API."""
    name: str = ""
    """The pattern of a path that is there, where its method is not."""
    is_plain: bool = False
    """Errors are bare sentences there."""


class Mounted(Protocol):
    """A table of its own kind for some paths."""

    def find(self, method: str, raw_path: str) -> Match | None:
        """What answers; None if the path is none of its own."""


class Routes:
    """The table. Routes are tried by number of segments, and exact ones before those with braces."""

    def __init__(self) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._patterns: dict[int, list[tuple[tuple[str, ...], dict[str, Route]]]] = {}
        self._open: list[tuple[tuple[str, ...], dict[str, Route]]] = []
        self._mounted: list[Mounted] = []

    def mount(self, table: Mounted) -> None:
        """Ask another table first."""
        self._mounted.append(table)

    def add(
        self,
        method: str,
        pattern: str,
        handler: Handler,
        *,
        waits: bool = False,
        scope: Scope | None = None,
    ) -> None:
        """Put a route into the table. Its scope is READ for GET and WRITE for the rest, unless given.

        Raises:
            ValueError: the pattern is no path, or is there already for that method.
        """
        if not pattern.startswith("/"):
            raise ValueError(f"{pattern!r}: a path begins with /")
        methods = self._methods(pattern)
        if method in methods:
            raise ValueError(f"{method} {pattern} is there already")
        if scope is None:
            scope = usual_scope(method)
        methods[method] = Route(method, pattern, handler, waits, scope)

    def __iter__(self) -> Iterator[Route]:
        tables = [self._exact.values(), *([row[1] for row in rows] for rows in self._patterns.values())]
        for methods in [each for table in tables for each in table] + [row[1] for row in self._open]:
            yield from methods.values()

    def _methods(self, pattern: str) -> dict[str, Route]:
        if "{" not in pattern:
            return self._exact.setdefault(pattern, {})
        segments = tuple(pattern.split("/"))
        rows = self._open if segments[-1].endswith("...}") else self._patterns.setdefault(len(segments), [])
        for known, methods in rows:
            if known == segments:
                return methods
        rows.append((segments, {}))
        return rows[-1][1]

    def find(self, method: str, raw_path: str) -> Match:
        """The route for a path as it came, still percent-encoded; HEAD is answered by what answers GET."""
        for table in self._mounted:
            match = table.find(method, raw_path)
            if match is not None:
                return match
        found, params = self._find(raw_path)
        route = found.get(method) or (found.get("GET") if method == "HEAD" else None)
        if route is not None:
            return Match(route, params, ())
        allow = sorted({*found, *(("HEAD",) if "GET" in found else ())})
        return Match(None, {}, tuple(allow))

    def _find(self, raw_path: str) -> tuple[dict[str, Route], dict[str, str]]:
        exact = self._exact.get(raw_path)
        if exact is not None:
            return exact, {}
        parts = raw_path.split("/")
        for segments, methods in self._patterns.get(len(parts), ()):
            params = _bind(segments, parts)
            if params is not None:
                return methods, params
        for segments, methods in self._open:
            fixed = len(segments) - 1
            params = _bind(segments[:-1], parts[:fixed]) if len(parts) > fixed else None
            rest = unquote("/".join(parts[fixed:]))
            if params is not None and rest:
                return methods, {**params, segments[-1][1:-4]: rest}
        return {}, {}


def _bind(segments: tuple[str, ...], parts: list[str]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    for segment, part in zip(segments, parts, strict=True):
        text = unquote(part)
        if segment.startswith("{"):
            if not text:
                return None
            params[segment[1:-1]] = text
        elif segment != text:
            return None
    return params
