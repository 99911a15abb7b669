"""That METHODS.md has every method of the local socket, with its scope and parameters, and none besides."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gossip.api import connection, jsonrpc, views
from gossip.api import socket as local
from gossip.api.access import SCOPES
from gossip.api.calls import MAX_BATCH_ANSWER_BYTES
from gossip.api.methods import CHANGES, READS, WATCHES, Method
from gossip.api.watch import MAX_WATCHES
from tests.support import ROOT

TEXT = (ROOT / "gossip" / "api" / "METHODS.md").read_text()
METHODS: dict[str, Method[Any, Any, Any]] = {**READS, **WATCHES, **CHANGES}


def rows() -> dict[str, list[str]]:
    """Scope, parameters and what follows, by method; one that is there twice is none of them."""
    found: dict[str, list[str]] = {}
    for line in TEXT.splitlines():
        cells = line[2:-2].split(" | ")
        name = cells[0].strip("`")
        if line.startswith("| `") and (name in METHODS or "." in name):
            assert name not in found, name
            found[name] = cells[1:]
    return found


def parameters(method: Method[Any, Any, Any]) -> list[str]:
    fields = msgspec.structs.fields(method._decoder.type)
    return [f"`{each.name}`" if each.required else f"`{each.name}?`" for each in fields]


def test_every_method_is_there_with_its_scope() -> None:
    assert {name: row[0] for name, row in rows().items()} == {
        name: SCOPES[name].label for name in METHODS
    }  # one without a scope of its own is a KeyError


@pytest.mark.parametrize("name", METHODS)
def test_its_parameters_are_those_of_the_code(name: str) -> None:
    said = rows()[name][1]
    assert ([] if said == "-" else said.split(", ")) == sorted(
        parameters(METHODS[name]), key=lambda each: each.endswith("?`")
    )


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("members.list", views.MemberView),
        ("members.places", views.Places),
        ("services.list", views.ServiceView),
        ("services.lookup", views.InstanceView),
        ("keys.list", views.KeyList),
    ],
)
def test_what_an_answer_has_is_named(name: str, shape: type[msgspec.Struct]) -> None:
    answer = rows()[name][2]
    assert [each.name for each in msgspec.structs.fields(shape) if f"`{each.name}`" not in answer] == []


def test_the_limits_are_those_of_the_code() -> None:
    assert jsonrpc.MAX_LINE_BYTES == 1 << 20
    assert connection.LINE_SECONDS == 30
    assert connection.STALL_SECONDS == 120
    assert connection.MAX_PENDING == 64
    assert local.SHARE == 2
    assert jsonrpc.MAX_BATCH == local.MAX_CONNECTIONS == MAX_WATCHES == 1_024
    assert MAX_BATCH_ANSWER_BYTES == 8 << 20
    for code in ("PARSE_ERROR", "INVALID_REQUEST", "NO_METHOD", "BAD_PARAMS", "FAILED"):
        assert f"| {getattr(jsonrpc, code)} |" in TEXT
