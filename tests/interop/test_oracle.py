"""A real Consul still answers what is recorded of it, which our own answers are compared with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.interop.oracle.record import ANSWERS, alone, asked, requests

if TYPE_CHECKING:
    from pathlib import Path

CHANCE = {"ID", "NodeID", "id", "CreateIndex", "ModifyIndex", "X-Consul-Index", "X-Consul-Contenthash"}
"""Keys whose values are of that run only. Service ids among them: they are also keys, or in a check's id."""
PLACES = ("status/", "agent/self", "agent/members", "agent/metrics", "operator/raft", "agent/join")
"""Paths whose answers have ports in them, or times."""


def settled(value: Any) -> Any:
    """Without what chance decides: numbers of that run, and the order of tags and checks."""
    if isinstance(value, dict):
        ports = {"Port"} if value.get("Service") == "consul" else set()
        return {key: settled(each) for key, each in value.items() if key not in CHANCE | ports}
    if isinstance(value, list):
        return sorted((settled(each) for each in value), key=json.dumps)
    return value


@pytest.mark.slow
def test_the_record_is_what_a_real_consul_answers(tmp_path: Path) -> None:
    recorded = [json.loads(line) for line in ANSWERS.read_text().splitlines()]
    assert [(each["method"], each["path"], each["body"]) for each in recorded] == [
        tuple(request) for request in requests()
    ]
    with alone(tmp_path) as world:
        differing = [
            f"{then['method']} {then['path']} {then['body'] or ''}: {then} and now {now}"
            for then, now in zip(recorded, asked(world.http(0)), strict=True)
            if not then["path"].startswith(tuple(f"/v1/{place}" for place in PLACES))
            and settled(then) != settled(now)
        ]
    assert differing == []
