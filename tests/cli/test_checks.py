"""Commands about health checks: what they ask for, and how the answers look."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gossip.errors import ConfigError, NotFoundError
from tests.client.scripted import Reply, ScriptedAgent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]


def a_check(id: str = "web:http", **changes: Any) -> dict[str, Any]:
    """One object of `checks.list`."""
    return {
        "id": id,
        "name": "http",
        "service": "web",
        "service_id": "web-1",
        "kind": "http",
        "status": "passing",
        "output": "200 OK",
        "since": "2026-11-21T12:00:00.500Z",
        "next_s": 7.5,
    } | changes


# -- register with checks ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "checks"),
    [
        (["--check-http", "http://127.0.0.1:80/h"], [{"http": "http://127.0.0.1:80/h"}]),
        (["--check-http", "https://[::1]/"], [{"http": "https://[::1]/"}]),
        (["--check-tcp", "[::1]:80", "--interval", "500ms"], [{"tcp": "[::1]:80", "interval": "500ms"}]),
        (["--check-grpc", "h:50051/web.v1"], [{"grpc": "h:50051/web.v1"}]),
        (["--check-cmd", "test -e /up && exit 1"], [{"command": "test -e /up && exit 1"}]),
        (["--check-ttl", "15s", "--deregister-after", "1h"], [{"ttl": "15s", "deregister_after": "1h"}]),
        (["--check-alias", "node:n2"], [{"alias": "node:n2"}]),
        (["--check-container", "web"], [{"container": "web"}]),
        (
            ["--check-ttl", "15s", "--check-tcp", "h:1", "--check-tcp", "h:2", "--timeout", "1s"],
            [{"ttl": "15s"}, {"tcp": "h:1", "timeout": "1s"}, {"tcp": "h:2", "timeout": "1s"}],
        ),
    ],
)
def test_check_options_become_definitions(
    agent: ScriptedAgent, gossip: Run, options: list[str], checks: list[dict[str, str]]
) -> None:
    agent.script["services.register"] = Reply({"id": "web", "version": 1})
    ran = gossip("register", "web", "--port", "80", *options)
    assert (ran.status, ran.out, ran.err) == (0, "web\n", "")
    assert agent.asked[0][1]["checks"] == checks


def test_without_check_options_nothing_is_said_of_checks(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.register"] = Reply({"id": "web", "version": 1})
    gossip("register", "web", "--port", "80")
    assert "checks" not in agent.asked[0][1]


# -- check -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "status"), [("pass", "passing"), ("warn", "warning"), ("fail", "critical")]
)
def test_check_reports_a_state(agent: ScriptedAgent, gossip: Run, verdict: str, status: str) -> None:
    agent.script["checks.update"] = Reply({"id": "web:ttl", "status": status})
    ran = gossip("check", verdict, "web", "--note", "queue is short")
    assert (ran.status, ran.out) == (0, f"web:ttl is {status}\n")
    assert agent.asked == [("checks.update", {"id": "web", "status": status, "note": "queue is short"})]
    assert json.loads(gossip("check", verdict, "web", "--json").out) == {"id": "web:ttl", "status": status}


def test_a_check_that_is_not_there_is_the_agents_word(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["checks.update"] = Reply(error=NotFoundError("no TTL check 'web'"))
    ran = gossip("check", "pass", "web")
    assert (ran.status, ran.out, ran.err) == (1, "", "gossip: no TTL check 'web'\n")


# -- checks ------------------------------------------------------------------------------------------


def test_checks_are_listed_with_what_they_said(agent: ScriptedAgent, gossip: Run) -> None:
    bad = a_check(
        "node:1", name="disk", service_id="", status="critical", output="full\n\x1b[2J", next_s=None
    )
    agent.script["checks.list"] = Reply({"checks": [a_check(), bad], "index": 3})
    ran = gossip("checks")
    assert ran.status == 0
    assert ran.out == (
        "CHECK     NAME  SERVICE  KIND  STATUS    FOR    NEXT  OUTPUT\n"
        "web:http  -     web-1    http  passing   3m19s  7s    200 OK\n"
        "node:1    disk  -        http  critical  3m19s  -     full \\x1b[2J\n"
    )
    assert json.loads(gossip("checks", "--json").out) == [a_check(), bad]


def test_a_page_as_output_is_one_line_of_text_and_whole_for_programs(
    agent: ScriptedAgent, gossip: Run
) -> None:
    page = "<html>" + "x" * 4_000
    agent.script["checks.list"] = Reply({"checks": [a_check(output=page)], "index": 3})
    line = gossip("checks").out.splitlines()[1]
    assert len(line) == 160
    assert line.endswith("x…")
    assert json.loads(gossip("checks", "--json").out)[0]["output"] == page


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("checks[0].interval: it is too short", "--interval: it is too short"),
        ("checks[1].deregister_after: no", "--deregister-after: no"),
        ("checks[0].http: no", "--check-http: no"),
        ("checks[0].command: no", "--check-cmd: no"),
        ("name: checks[0].x", "name: checks[0].x"),
    ],
)
def test_what_is_refused_of_a_check_is_named_by_its_option(
    agent: ScriptedAgent, gossip: Run, said: str, shown: str
) -> None:
    agent.script["services.register"] = Reply(error=ConfigError(said))
    ran = gossip("register", "web", "--port", "1", "--check-tcp", "h:1", "--interval", "0s")
    assert (ran.status, ran.err) == (2, f"gossip: {shown}\n")


def test_what_is_in_maintenance_is_listed_among_the_checks(agent: ScriptedAgent, gossip: Run) -> None:
    value = {"checks": [], "index": 3, "maintenance": {"": "new disks", "web-1": ""}}
    agent.script["checks.list"] = Reply(value)
    ran = gossip("checks")
    assert ran.status == 0
    lines = [line.split(None, 7) for line in ran.out.splitlines()[1:]]
    assert [(words[0], words[2], words[4], words[7]) for words in lines] == [
        ("_node_maintenance", "-", "maintenance", "new disks"),
        ("_service_maintenance:web-1", "web-1", "maintenance", "-"),
    ]
    assert [each["id"] for each in json.loads(gossip("checks", "--json").out)] == [line[0] for line in lines]


def test_a_node_without_checks_says_so(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["checks.list"] = Reply({"checks": [], "index": 0})
    ran = gossip("checks")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.startswith("gossip: no service of this node has a health check")
    assert gossip("checks", "--json").out == "[]\n"


# -- maintenance, reload -------------------------------------------------------------------------------


def test_maintenance_is_of_a_service_or_of_the_node(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["maintenance.set"] = Reply({"id": "web-1", "on": True}, later=Reply({"id": "", "on": False}))
    ran = gossip("maintenance", "on", "web-1", "--reason", "new disks")
    assert (ran.status, ran.out) == (0, "web-1 is in maintenance: lookups do not give it\n")
    assert gossip("maintenance", "off").out == "this node is out of maintenance\n"
    assert gossip("maintenance", "off", "--json").out == '{"id":"","on":false}\n'
    assert agent.asked[0] == ("maintenance.set", {"on": True, "id": "web-1", "reason": "new disks"})
    assert agent.asked[1] == ("maintenance.set", {"on": False, "id": "", "reason": ""})


def test_reload_tells_what_it_did(agent: ScriptedAgent, gossip: Run) -> None:
    value: dict[str, Any] = {"services": 3, "added": 2, "changed": 0, "removed": 1}
    agent.script["agent.reload"] = Reply(value)
    ran = gossip("reload")
    assert (ran.status, ran.out) == (0, "3 services in the files: 2 added, 0 changed, 1 removed\n")
    assert json.loads(gossip("reload", "--json").out) == value
    value["problems"] = ["name: takes effect when the agent is restarted", "127.0.0.1:80: in use"]
    ran = gossip("reload")
    assert (ran.status, ran.out) == (1, "3 services in the files: 2 added, 0 changed, 1 removed\n")
    assert ran.err == "".join(f"gossip: not taken over: {each}\n" for each in value["problems"])
    ran = gossip("reload", "--json")
    assert (ran.status, json.loads(ran.out)) == (1, value)


def test_a_faulty_file_is_the_agents_word(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["agent.reload"] = Reply(error=ConfigError("web.toml:3: no such setting"))
    ran = gossip("reload")
    assert (ran.status, ran.out, ran.err) == (1, "", "gossip: web.toml:3: no such setting\n")
