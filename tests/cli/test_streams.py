"""Commands that go on: watches, events, waiting, holding a registration; and how they end."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.client.scripted import ID_B, Reply, ScriptedAgent, a_member, an_instance
from tests.support import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def start(agent: ScriptedAgent, *arguments: str, stdin: Any = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """`gossip` as a process of its own; ends with the test by its agent going away."""
    return subprocess.Popen(
        [sys.executable, "-m", "gossip", *arguments],
        cwd=ROOT,
        env=clean_environment({"GOSSIP_SOCKET": agent.path}),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


# -- members --watch -------------------------------------------------------------------------------


def member_changes() -> Reply:
    two = a_member("n2", id=ID_B, tags={"zone": "a"})
    return Reply(
        {"watch": 1, "members": [a_member("n1")], "index": 1},
        then=[
            {"watch": 1, "event": "member_joined", "member": two, "index": 2},
            {"watch": 1, "event": "member_failed", "member": two | {"status": "dead"}, "index": 3},
            {"watch": 1, "resync": True},
            {"watch": 1, "members": [a_member("n1"), two], "index": 9},
        ],
        close=True,
    )


def test_members_watch_shows_the_table_and_then_the_changes(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["members.watch"] = member_changes()
    ran = gossip("members", "--watch")
    assert ran.out == (
        "NAME  ADDRESS         STATUS  FOR    RTT     SERVICES  FLAGS  TAGS\n"
        "n1    127.0.0.1:7946  alive   3m19s  0.25ms  0         -      -\n"
        "12:03:20  joined     n2  127.0.0.1:7946\n"
        "12:03:20  failed     n2  127.0.0.1:7946\n"
        "NAME  ADDRESS         STATUS  FOR    RTT     SERVICES  FLAGS  TAGS\n"
        "n1    127.0.0.1:7946  alive   3m19s  0.25ms  0         -      -\n"
        "n2    127.0.0.1:7946  alive   3m19s  0.25ms  0         -      zone=a\n"
    )
    # The stream ended because the agent did.
    assert ran.status == 3
    assert "closed the connection" in ran.err


def test_members_watch_says_which_flag_came_and_that_it_is_gone(agent: ScriptedAgent, gossip: Run) -> None:
    two = a_member("n2")
    agent.script["members.watch"] = Reply(
        {"watch": 1, "members": [two], "index": 1},
        then=[
            {"watch": 1, "event": "member_flagged", "member": two | {"flags": ["degraded"]}, "index": 2},
            {"watch": 1, "event": "member_flagged", "member": two | {"flags": []}, "index": 3},
        ],
        close=True,
    )
    came, gone = gossip("members", "--watch").out.splitlines()[-2:]
    assert came.endswith("  degraded")
    assert gone.endswith("  no flag")


def test_members_watch_for_programs_is_one_value_a_line(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["members.watch"] = member_changes()
    first, joined, failed, whole = lines(gossip("members", "--watch", "--json").out)
    assert [m["name"] for m in first["members"]] == ["n1"]
    assert (joined["event"], joined["member"]["name"], joined["index"]) == ("member_joined", "n2", 2)
    assert failed["member"]["status"] == "dead"
    assert ([m["name"] for m in whole["members"]], whole["index"]) == (["n1", "n2"], 9)


def test_members_watch_can_be_of_a_kind(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["members.watch"] = member_changes()
    shown = lines(gossip("members", "--watch", "--json", "--status", "dead", "--tag", "zone=a").out)
    assert [value.get("event", "all") for value in shown] == ["all", "member_failed", "all"]
    assert shown[0]["members"] == []


# -- services: watch, lookup --wait, services --watch -------------------------------------------------


def service_changes(**options: Any) -> Reply:
    return Reply(
        {"watch": 1, "instances": [], "index": 1},
        then=[
            {"watch": 1, "instances": [an_instance("a")], "index": 2},
            {"watch": 1, "resync": True},
            {"watch": 1, "instances": [an_instance("a"), an_instance("b", status="suspect")], "index": 7},
        ],
        **options,
    )


def test_watch_shows_every_change(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.watch"] = service_changes(close=True)
    ran = gossip("watch", "web", "--tag", "v2")
    assert ran.status == 3
    assert ran.out == (
        "12:03:20  web: 0 instances\n"
        "12:03:20  web: 1 instance\n"
        "ADDRESS         STATUS   NODE  ID  TAGS\n"
        "127.0.0.1:8080  passing  n1    a   -\n"
        "12:03:20  web: 2 instances\n"
        "ADDRESS         STATUS   NODE  ID  TAGS\n"
        "127.0.0.1:8080  passing  n1    a   -\n"
        "127.0.0.1:8080  suspect  n1    b   -\n"
    )
    assert agent.asked == [("services.watch", {"service": "web", "tags": ["v2"]})]


def test_watch_for_programs_is_one_value_a_line(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.watch"] = service_changes(close=True)
    shown = lines(gossip("watch", "web", "--json").out)
    assert [(value["service"], len(value["instances"]), value["index"]) for value in shown] == [
        ("web", 0, 1),
        ("web", 1, 2),
        ("web", 2, 7),
    ]
    assert set(shown[2]) == {"service", "instances", "index"}


def test_lookup_waits_with_a_watch_until_there_is_one(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.watch"] = service_changes()
    ran = gossip("lookup", "web", "--wait", "30s", "--near", "--any")
    assert ran.status == 0
    assert {line.split()[0] for line in ran.out.splitlines()} == {"127.0.0.1:8080"}
    assert agent.asked == [("services.watch", {"service": "web", "any": True, "near": True})]


def test_lookup_can_leave_out_the_suspect(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.lookup"] = Reply({"instances": [an_instance()], "index": 1})
    agent.script["services.watch"] = service_changes()
    gossip("lookup", "web", "--no-suspect")
    gossip("lookup", "web", "--no-suspect", "--wait", "30s", "--one")
    question = {"service": "web", "no_suspect": True}
    assert agent.asked == [("services.lookup", question), ("services.watch", question)]


def test_a_wait_of_which_the_agent_goes_away_ends_with_status_3(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.watch"] = Reply({"watch": 1, "instances": [], "index": 1}, close=True)
    ran = gossip("lookup", "web", "--wait", "30s")
    assert (ran.status, ran.out) == (3, "")
    assert "closed the connection" in ran.err


def test_lookup_does_not_wait_for_what_is_there(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.watch"] = Reply({"watch": 1, "instances": [an_instance()], "index": 1})
    assert gossip("lookup", "web", "--wait", "1h").out == "127.0.0.1:8080\n"


def test_lookup_waits_no_longer_than_it_is_told(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.watch"] = Reply({"watch": 1, "instances": [], "index": 1})
    ran = gossip("lookup", "web", "--wait", "20ms")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        "gossip: no instance of 'web' after 0.02 s: see 'gossip services' for what there is,"
        " and '--any --json' for those that are not well\n"
    )


def test_services_watch_shows_the_list_again(agent: ScriptedAgent, gossip: Run) -> None:
    web = {"name": "web", "instances": 1, "tags": [], "failing": 0}
    reply = Reply(
        {"watch": 1, "services": [], "index": 1},
        then=[{"watch": 1, "services": [web], "index": 2}],
        close=True,
    )
    agent.script["services.watch"] = reply
    shown = lines(gossip("services", "--watch", "--json").out)
    assert shown[-1] == {"services": [web], "index": 2}
    ran = gossip("services", "--watch")
    assert ran.status == 3
    assert ran.out.endswith(
        "12:03:20  1 service\nSERVICE  INSTANCES  FAILING  TAGS\nweb      1          -        -\n"
    )
    assert agent.asked[0] == ("services.watch", {})


# -- events ----------------------------------------------------------------------------------------


def test_events_are_shown_as_they_arrive(agent: ScriptedAgent, gossip: Run) -> None:
    event = {"watch": 1, "name": "deploy", "payload": "v2\x1b[2J", "node": "n2", "node_id": ID_B, "id": 5}
    agent.script["events.watch"] = Reply(
        {"watch": 1}, then=[event, {"watch": 1, "resync": True}, event | {"payload": "", "id": 9}], close=True
    )
    ran = gossip("events", "--name", "deploy")
    assert ran.out == "12:03:20  deploy  n2  v2\\x1b[2J\n12:03:20  deploy  n2\n"
    assert ran.err.startswith("gossip: events were missed: this reader was too slow\n")
    assert ran.status == 3
    assert agent.asked == [("events.watch", {"name": "deploy"})]
    shown = lines(gossip("events", "--json").out)
    assert [value["id"] for value in shown] == [5, 9]
    assert set(shown[1]) == {"name", "payload", "node", "node_id", "id"}


# -- how they end ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["watch", "web", "--json"], ["register", "web", "--port", "1", "--while-connected"]]
)
def test_ctrl_c_is_quiet_and_130(agent: ScriptedAgent, arguments: list[str]) -> None:
    agent.script["services.watch"] = Reply({"watch": 1, "instances": [], "index": 1})
    agent.script["services.register"] = Reply({"id": "web", "version": 1})
    with start(agent, *arguments) as process:
        assert first_line(process)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")


def test_a_reader_that_has_had_enough_is_no_error(agent: ScriptedAgent) -> None:
    agent.script["services.watch"] = Reply(
        {"watch": 1, "instances": [], "index": 1},
        then=[{"watch": 1, "instances": [an_instance()], "index": n} for n in range(2, 2_000)],
    )
    with start(agent, "watch", "web", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert first_line(process)
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


def test_a_list_into_a_closed_pipe_is_no_error(agent: ScriptedAgent) -> None:
    agent.script["members.list"] = Reply({"members": [a_member(f"n{n}") for n in range(5_000)], "index": 1})
    with start(agent, "members") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


# -- register --while-connected ----------------------------------------------------------------------


def registering(agent: ScriptedAgent) -> list[str]:
    agent.script["services.register"] = Reply({"id": "web", "version": 1})
    return ["register", "web", "--port", "1", "--while-connected"]


def test_a_held_registration_ends_with_its_input(agent: ScriptedAgent) -> None:
    with start(agent, *registering(agent), stdin=subprocess.PIPE) as process:
        assert first_line(process) == "web\n"
        assert process.stdin is not None
        process.stdin.write("text is nothing\n")
        process.stdin.flush()
        process.stdin.close()
        assert process.wait(30) == 0
    assert agent.asked[0][1]["while_connected"] is True


def test_a_held_registration_ends_at_control_d(agent: ScriptedAgent) -> None:
    ours, theirs = pty.openpty()
    try:
        with start(agent, *registering(agent), stdin=theirs) as process:
            assert first_line(process) == "web\n"
            os.write(ours, b"\x04")
            assert process.wait(30) == 0
    finally:
        os.close(ours)
        os.close(theirs)


def test_without_an_input_a_held_registration_stays_until_the_agent_goes() -> None:
    """As under a service manager, where standard input is at its end from the start."""
    with ScriptedAgent() as agent:
        process = start(agent, *registering(agent))
        assert first_line(process) == "web\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
    with process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert "closed the connection" in err
