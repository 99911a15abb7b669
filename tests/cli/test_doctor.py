"""`gossip doctor`: what is printed, and the exit statuses."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gossip.errors import NotFoundError
from tests.client.scripted import Reply, ScriptedAgent

if TYPE_CHECKING:
    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]

PROBLEM = {
    "code": "udp_both", "severity": "problem", "member": "b", "member_id": "bb",
    "text": "b: no datagram passes.", "advice": "Let UDP through.",
}  # fmt: skip
NOTE = {"code": "lag", "severity": "note", "member": "", "member_id": "", "text": "It is late.", "advice": ""}


def said(*findings: dict[str, str], ok: bool = False, summary: str = "1 problem") -> Reply:
    return Reply({"ok": ok, "summary": summary, "findings": list(findings), "facts": {"me": {}}})


def test_all_well(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["agent.doctor"] = said(ok=True, summary="All is well: 3 members are alive.")
    ran = gossip("doctor")
    assert (ran.status, ran.out, ran.err) == (0, "All is well: 3 members are alive.\n", "")
    assert agent.asked == [("agent.doctor", {"timeout": 5.0})]


def test_each_finding_is_a_line_with_what_to_do(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["agent.doctor"] = said(PROBLEM, NOTE)
    ran = gossip("doctor", "b", "--timeout", "2s")
    assert ran.status == 1
    assert ran.out == ("problem  b: no datagram passes. Let UDP through.\nnote     It is late.\n1 problem\n")
    assert agent.asked == [("agent.doctor", {"timeout": 2.0, "member": "b"})]


def test_a_note_alone_fails_nothing(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["agent.doctor"] = said(NOTE, ok=True, summary="All is well.")
    assert gossip("doctor").status == 0


def test_json_is_the_answer_as_it_came(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["agent.doctor"] = said(PROBLEM)
    ran = gossip("doctor", "--json")
    assert ran.status == 1
    assert json.loads(ran.out) == agent.script["agent.doctor"].result
    assert ran.out.count("\n") == 1


def test_a_hostile_name_is_shown_not_obeyed(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["agent.doctor"] = said({**PROBLEM, "text": "\x1b[2J is dead.\n"})
    assert "\\x1b[2J is dead.\\n" in gossip("doctor").out


def test_an_unknown_member_is_an_error_of_one_line(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["agent.doctor"] = Reply(error=NotFoundError("no member is called 'x'"))
    ran = gossip("doctor", "x")
    assert (ran.status, ran.out, ran.err) == (1, "", "gossip: no member is called 'x'\n")


def test_help_has_examples(gossip: Run) -> None:
    ran = gossip("doctor", "--help")
    assert ran.status == 0
    assert "gossip doctor web-3 --json" in ran.out


def test_without_an_agent_it_says_how_to_start_one(tmp_path: Path, gossip: Run) -> None:
    path = str(tmp_path / "s")
    ran = gossip("doctor", "--socket", path)
    assert (ran.status, ran.out) == (3, "")
    assert ran.err.startswith(f"gossip: no agent answers at {path}: start one with 'gossip agent'")
    assert ran.err.count("\n") == 1
    ran = gossip("doctor", "--socket", path, "--json")
    assert ran.status == 3
    value = json.loads(ran.out)
    assert (value["ok"], value["facts"]) == (False, None)
    assert [each["code"] for each in value["findings"]] == ["no_agent"]


def test_a_socket_that_was_left_behind_tells_of_a_killed_agent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, gossip: Run
) -> None:
    monkeypatch.chdir(tmp_path)  # a unix socket's path has room for 107 bytes
    with socket.socket(socket.AF_UNIX) as left:
        left.bind("s")
    ran = gossip("doctor", "--socket", "s")
    assert ran.status == 3
    assert "its socket is still there, so the last one was killed" in ran.err
    os.unlink("s")  # noqa: PTH108 - the name is relative to here
    assert "killed" not in gossip("doctor", "--socket", "s").err


def test_what_is_no_socket_was_left_by_no_agent(tmp_path: Path, gossip: Run) -> None:
    (tmp_path / "s").touch()
    ran = gossip("doctor", "--socket", str(tmp_path / "s"))
    assert ran.status == 3
    assert "killed" not in ran.err
