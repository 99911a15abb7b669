"""Every answer decodes into the types of Consul's client in Go, field by field; headers as it reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.processes import until
from tests.interop.api import Answer, get, put
from tests.interop.go import DURATION, INT, TYPES, UINT8, mismatches

if TYPE_CHECKING:
    from tests.interop.worlds import World

BLOCKING = ("catalog/", "health/", "event/", "coordinate/node", "session/", "query")
"""Paths whose answers carry an index. Not `catalog/datacenters`, whatever it says."""


@pytest.fixture
def furnished(world: World) -> World:
    """With checks of several kinds, so that no list is empty."""
    put(
        world.http(0),
        "/v1/agent/service/register",
        {
            "ID": "shop-1",
            "Name": "shop",
            "Address": "127.0.0.9",
            "Port": 80,
            "Tags": ["a"],
            "Meta": {"k": "v"},
            "TaggedAddresses": {"wan": {"Address": "198.51.100.1", "Port": 80}},
            "Weights": {"Passing": 10, "Warning": 1},
            "Connect": {"Native": True},
            "Checks": [
                {"HTTP": "http://127.0.0.1:9/", "Interval": "1h", "Header": {"A": ["b"]}},
                {"TCP": "127.0.0.1:9", "Interval": "90m", "Timeout": "2s"},
                {"GRPC": "127.0.0.1:9", "Interval": "1h"},
                {"TTL": "1h", "DeregisterCriticalServiceAfter": "48h"},
            ],
        },
    )
    put(world.http(0), "/v1/agent/service/register", {"Name": "bare"})
    put(world.http(0), "/v1/event/fire/deploy", "version 7")
    until("it is in the catalog", lambda: len(get(world.http(0), "/v1/health/checks/shop").json) == 4)
    until("the event has come", lambda: get(world.http(0), "/v1/event/list").json)
    return world


def test_answers_decode(furnished: World) -> None:
    wrong: dict[str, Any] = {}
    for path, kind in TYPES.items():
        answer = get(furnished.http(0), f"/v1/{path}")
        if answer.headers.get("content-type") != "application/json":
            wrong[path] = (answer.status, answer.text)
            continue
        found = mismatches(answer.json, kind, path)
        found += headers(path, answer)
        if found:
            wrong[path] = found
    assert wrong == {}


def headers(path: str, answer: Answer) -> list[str]:
    """What Go's client reads of them."""
    if not path.startswith(BLOCKING) or path == "catalog/datacenters" or "gateway" in path:
        return []
    found = answer.headers
    wrong = []
    if not found.get("x-consul-index", "").isdecimal() or found["x-consul-index"] == "0":
        wrong.append(f"index {found.get('x-consul-index')!r}")
    if "X-Consul-Index" not in answer.spelt:
        wrong.append("X-Consul-Index is spelt otherwise")
    if path.startswith("event/"):
        return wrong
    if not found.get("x-consul-lastcontact", "").isdecimal():
        wrong.append(f"last contact {found.get('x-consul-lastcontact')!r}")
    if found.get("x-consul-knownleader") != "true":
        wrong.append(f"known leader {found.get('x-consul-knownleader')!r}")
    return wrong


def test_lists_are_lists_also_when_nothing_is_in_them(furnished: World) -> None:
    http = furnished.http(0)
    (entry,) = get(http, "/v1/health/service/bare").json
    assert entry["Service"]["Tags"] == []
    assert get(http, "/v1/catalog/service/bare").json[0]["ServiceTags"] == []
    node = next(each for each in get(http, "/v1/health/node/one").json if each["CheckID"] == "serfHealth")
    assert node["ServiceTags"] == []
    for path in (
        "catalog/service/absent",
        "health/service/absent",
        "health/checks/absent",
        "health/node/absent",
        "catalog/connect/absent",
        "health/ingress/absent",
    ):
        assert get(http, f"/v1/{path}").text.strip() == "[]"
    assert get(http, "/v1/catalog/node/absent").text.strip() == "null"
    assert all(each["Tags"] is not None for each in get(http, "/v1/agent/members").json)
    for section in get(http, "/v1/agent/self").json.values():
        assert section is None or isinstance(section, dict)


def test_what_go_refuses_is_seen() -> None:
    assert mismatches({"port": 80}, {"Port": INT}) == []
    assert mismatches({"Port": None, "Other": 5}, {"Port": INT}) == []
    for value, kind in (
        (json.loads("80.0"), INT),
        (256, UINT8),
        (True, INT),
        ("80", INT),
        (80, str),
        ({}, [str]),
        ([1], [str]),
        ({"k": 1}, {"*": str}),
        ("10", DURATION),
    ):
        assert mismatches(value, kind)
