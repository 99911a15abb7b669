"""The shapes that programs see."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.api import views
from gossip.core.types import Status
from tests.api.world import FakeAgent


@pytest.mark.parametrize(
    ("wall", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_795_305_526.25, "2026-11-21T23:58:46.250Z"),
        (1_795_305_526.9999, "2026-11-21T23:58:46.999Z"),
    ],
)
def test_moments(wall: float, text: str) -> None:
    assert views.rfc3339(wall) == text


@given(st.floats(0, 4e9))
def test_a_moment_is_read_back_to_the_millisecond(wall: float) -> None:
    assert abs(dt.datetime.fromisoformat(views.rfc3339(wall)).timestamp() - wall) <= 0.00101


def test_since_is_a_moment_of_the_calendar() -> None:
    agent = FakeAgent()
    member = agent.node.members.get(agent.node.add("n1"))
    assert member is not None
    # It took its status at 10 of the monotonic clock, which is 90 s ago.
    assert views.member(member, 100.0, 1_000_090.0).since == views.rfc3339(1_000_000.0)


def test_a_member() -> None:
    agent = FakeAgent()
    id = agent.node.add("n1", 7_001)
    agent.node.put(id, "w", "web", 80)
    agent.node.put(id, "x", "web", 81)
    agent.node.delete(id, "x")
    row = msgspec.to_builtins(agent.member(id))
    assert row | {"since": "", "incarnation": 0} == {
        "id": id.hex(),
        "name": "n1",
        "address": "127.0.0.1:7001",
        "status": "alive",
        "incarnation": 0,
        "tags": {"role": "db"},
        "since": "",
        "rtt_ms": None,
        "flags": (),
        "services": 1,
    }


def test_counts() -> None:
    agent = FakeAgent()
    for n, status in enumerate([Status.ALIVE, Status.SUSPECT, Status.DEAD, Status.DEAD, Status.LEFT]):
        agent.node.set_status(agent.node.add(f"n{n}", 7_001 + n), status)
    assert views.tally(agent.node) == {"alive": 2, "suspect": 1, "dead": 2, "left": 1}


def test_services_hide_what_a_lookup_hides() -> None:
    agent = FakeAgent()
    id = agent.node.add("n1")
    agent.node.put(id, "w", "web", 80, ["b", "a"])
    agent.node.put(agent.node.id, "w", "web", 80, ["a", "c"])
    agent.node.put(id, "d", "db", 81)
    listed = views.services(agent.node)
    assert [(each.name, each.instances, each.tags) for each in listed.services] == [
        ("db", 1, []),
        ("web", 2, ["a", "b", "c"]),
    ]
    assert views.reachable(agent.node) == 3
    agent.node.set_status(id, Status.DEAD)
    assert [(each.name, each.tags) for each in views.services(agent.node).services] == [("web", ["a", "c"])]


@pytest.mark.parametrize(("seconds", "ms"), [(None, None), (0.0, 0.0), (0.000_123_4, 0.123), (1.5, 1_500.0)])
def test_milliseconds(seconds: float | None, ms: float | None) -> None:
    assert views.milliseconds(seconds) == ms
