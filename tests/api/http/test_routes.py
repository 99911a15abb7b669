"""The table of routes by itself."""

from __future__ import annotations

import pytest

from gossip.api.http.routes import Routes
from gossip.api.http.values import BadRequestError, Request, Response, request


async def handler(_asked: Request) -> Response:
    return Response()


def table(*patterns: str) -> Routes:
    routes = Routes()
    for pattern in patterns:
        routes.add("GET", pattern, handler)
    return routes


@pytest.mark.parametrize(
    ("path", "pattern", "params"),
    [
        ("/a", "/a", {}),
        ("/a/b", "/a/{x}", {"x": "b"}),
        ("/a/list", "/a/list", {}),
        ("/a/b%2Fc", "/a/{x}", {"x": "b/c"}),
        ("/a/%C3%A9", "/a/{x}", {"x": "é"}),
        ("/a/b/c", "/a/{x}/{y}", {"x": "b", "y": "c"}),
        ("/a/b/fixed", "/a/{x}/fixed", {"x": "b"}),
        ("/kv/b/c", "/kv/{key...}", {"key": "b/c"}),
        ("/kv/b/", "/kv/{key...}", {"key": "b/"}),
        ("/kv/", None, {}),
        ("/kv", None, {}),
        ("/a/", None, {}),
        ("/A", None, {}),
        ("", None, {}),
        ("/a/b/c/d", None, {}),
    ],
)
def test_a_path_finds_its_route(path: str, pattern: str | None, params: dict[str, str]) -> None:
    routes = table("/a", "/a/{x}", "/a/list", "/a/{x}/fixed", "/a/{x}/{y}", "/kv/{key...}")
    match = routes.find("GET", path)
    assert (match.route and match.route.pattern, match.params) == (pattern, params)


def test_another_method_is_told_from_another_path() -> None:
    routes = table("/a")
    routes.add("PUT", "/a", handler)
    assert routes.find("DELETE", "/a").allow == ("GET", "HEAD", "PUT")
    assert routes.find("DELETE", "/b").allow == ()
    found = routes.find("HEAD", "/a").route
    assert found is not None
    assert found.method == "GET"


def test_a_pattern_is_a_path_and_there_once() -> None:
    routes = table("/a", "/a/{x}")
    for pattern in ("/a", "/a/{x}"):
        with pytest.raises(ValueError, match="there already"):
            routes.add("GET", pattern, handler)
    with pytest.raises(ValueError, match="begins with /"):
        routes.add("GET", "a", handler)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a?b=1&c", "/a", {"b": ["1"], "c": [""]}),
        ("/a?", "/a", {}),
        ("/a#f?b=1", "/a", {}),
        ("http://localhost:8500/a?b=1", "/a", {"b": ["1"]}),
        ("HTTPS://localhost", "/", {}),
    ],
)
def test_a_target_is_taken_apart(target: str, path: str, query: dict[str, list[str]]) -> None:
    asked = request("GET", target, {})
    assert (asked.path, asked.query) == (path, query)


def test_switches_are_yes_or_no() -> None:
    asked = request("GET", "/?a&b=1&c=TRUE&d=no&e=0&f=maybe", {})
    assert [asked.switch(name) for name in "abcdez"] == [True, True, True, False, False, False]
    with pytest.raises(BadRequestError, match="f=maybe: write f=true or f=false"):
        asked.switch("f")
    with pytest.raises(BadRequestError, match="unknown query parameter 'a': this route takes none"):
        asked.only()
