"""The catalog of real agents: what no number of servers guards here. Scenarios 94, 97, 98 and 99."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.agent.processes import Ask, Process, until

SERVICES = 1_000


@pytest.fixture
def three(tmp_path: Path) -> Iterator[tuple[Process, Process, Process]]:
    """Three agents that see each other."""
    with ExitStack() as stack:
        agents: list[Process] = []
        for name in ("a", "b", "c"):
            (tmp_path / name).mkdir()
            seed = ["--join", address_of(agents[0])] if agents else []
            agents.append(
                stack.enter_context(Process(tmp_path / name, "--profile", "local", *seed, name=name))
            )
        until("all see all", lambda: all(len(alive(each)) == len(agents) for each in agents))
        a, b, c = agents
        yield a, b, c


def address_of(process: Process) -> str:
    with process.ask() as ask:
        return str(ask.call("agent.info")["addresses"]["gossip"])


def alive(process: Process) -> list[str]:
    with process.ask() as ask:
        return [row["name"] for row in ask.call("members.list")["members"] if row["status"] == "alive"]


def found(process: Process, service: str, **options: object) -> list[dict[str, Any]]:
    with process.ask() as ask:
        instances: list[dict[str, Any]] = ask.call("services.lookup", service=service, **options)["instances"]
        return instances


def test_what_is_deregistered_while_one_cannot_hear_does_not_come_back(
    three: tuple[Process, Process, Process],
) -> None:
    """Scenario 94."""
    a, b, c = three
    with a.ask() as ask:
        ask.call("services.register", name="web", port=80)
        ask.call("services.register", name="db", port=81)
        until("all have both", lambda: all(found(each, "web") and found(each, "db") for each in three))
        c.signal(signal.SIGSTOP)
        ask.call("services.deregister", id="web")
    until("it is gone", lambda: not found(b, "web"))
    until("c is given up", lambda: "c" not in alive(a) and "c" not in alive(b))
    c.signal(signal.SIGCONT)
    until("all see all", lambda: all(len(alive(each)) == 3 for each in three))
    until("c has heard", lambda: not found(c, "web", any=True))
    until("one view", lambda: len({view_of(each) for each in three}) == 1)
    for each in three:
        assert found(each, "web", any=True) == []
        assert [row["node"] for row in found(each, "db")] == ["a"]


def view_of(process: Process) -> str:
    with process.ask() as ask:
        return str(ask.call("agent.info")["view"]["fingerprint"])


def test_two_nodes_may_use_one_service_id(three: tuple[Process, Process, Process]) -> None:
    """Scenario 97: a record belongs to its owner, so both are kept, and one's end is not the other's."""
    a, b, c = three
    for process, port in ((a, 80), (b, 81)):
        with process.ask() as ask:
            ask.call("services.register", name="web", id="the-web", port=port)
    until("both are known", lambda: len(found(c, "web")) == 2)
    assert {(row["node"], row["port"]) for row in found(c, "web")} == {("a", 80), ("b", 81)}
    with a.ask() as ask:
        ask.call("services.deregister", id="the-web")
    until("one is left", lambda: len(found(c, "web")) == 1)
    assert [row["node"] for row in found(c, "web")] == ["b"]


def test_a_watcher_sees_each_state_in_order_and_the_last(three: tuple[Process, Process, Process]) -> None:
    """Scenario 98, over two agents: weights only rise, indices too, and the last one is always seen."""
    a, b, _ = three
    with a.ask() as owner, b.ask() as watcher:
        first = watcher.call("services.watch", service="web")
        assert first["instances"] == []
        for weight in range(1, 101):
            owner.call("services.register", name="web", port=80, weight=weight)
        seen, indices = [0], [first["index"]]
        while seen[-1] != 100:
            value = watcher.line()["params"]
            assert "resync" not in value
            seen.append(value["instances"][0]["weight"])
            indices.append(value["index"])
        assert seen == sorted(set(seen))
        assert indices == sorted(set(indices))


def test_a_thousand_services_of_one_node_reach_all_and_cost_nobody_his_place(
    three: tuple[Process, Process, Process],
) -> None:
    """Scenario 99."""
    a, b, c = three
    with a.ask() as ask:
        register_all(ask)
    for each in (b, c):
        until("all services are there", lambda each=each: services_of(each) == SERVICES)
    until("one view", lambda: len({view_of(each) for each in three}) == 1)
    for each in three:
        assert len(alive(each)) == 3
        assert not [event for event in each.events() if event["event"] == "member_failed"]


def register_all(ask: Ask) -> None:
    """Pipelined, 50 at a time: more may not be under way on one connection."""
    for first in range(0, SERVICES, 50):
        for number in range(first, first + 50):
            ask.send("services.register", name=f"s{number}", port=1 + number)
        for _ in range(50):
            answer = ask.line()
            assert "result" in answer, json.dumps(answer)


def services_of(process: Process) -> int:
    with process.ask() as ask:
        return len(ask.call("services.list")["services"])
