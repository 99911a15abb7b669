"""The commands about keys: what they ask, print and refuse."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gossip.config.keyfile import parse_key, show_key
from gossip.errors import RefusedError
from tests.client.scripted import ID_A, ID_B, Reply, ScriptedAgent

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]

OLD, NEW = "a1" * 16, "b2" * 16
KEY = bytes(range(32))


def listed(**changes: Any) -> Reply:
    value = {
        "keys": [
            {"name": "first", "mark": OLD, "state": "receiving", "target": False},
            {"name": "next", "mark": NEW, "state": "sending", "target": True},
        ],
        "members": [
            {"name": "n1", "id": ID_A, "status": "alive", "keys": {OLD: "receiving", NEW: "sending"}},
            {"name": "n2", "id": ID_B, "status": "alive", "keys": {OLD: "sending"}},
            {"name": "n3", "id": "c" * 32, "status": "dead", "keys": None},
        ],
        "change": {"target": NEW, "stage": "switching", "waiting": ["n2"], "away": ["n3"], "insists": False},
        "sealing": "sealed with next",
        "clear_accepted": 0,
    }
    return Reply({**value, **changes})


def test_keys_for_people(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["keys.list"] = listed()
    ran = gossip("keys", "list")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == (
        "sealing    sealed with next\n"
        "change     to next: switching\n"
        "waits for  n2\n"
        "away       n3: older keys are kept until they are back, are forgotten,\n"
        "           or you insist (gossip keys rotate --insist)\n"
        "\n"
        "KEY    MARK      STATE      HELD BY\n"
        "first  a1a1a1a1  receiving  2 of 2\n"
        "next   b2b2b2b2  sending    1 of 2\n"
        "\n"
        "MEMBER  STATUS  KEYS\n"
        "n1      alive   first (receiving), next (sending)\n"
        "n2      alive   first (sending)\n"
        "n3      dead    says nothing: in clear, or of an older version\n"
    )


def test_an_agent_in_clear_has_nothing_to_list(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["keys.list"] = listed(keys=[], members=[], change=None, sealing="clear", clear_accepted=7)
    ran = gossip("keys", "list")
    assert ran.out == "sealing  clear\n"
    assert "7 datagrams and streams were accepted in clear" in ran.err
    assert json.loads(gossip("keys", "list", "--json").out) == agent.script["keys.list"].result


def test_keys_are_changed(agent: ScriptedAgent, gossip: Run, tmp_path: Path) -> None:
    file = tmp_path / "k"
    file.write_text(f"# mine\n{show_key(KEY)}\n")
    answer = Reply({"name": "next", "mark": NEW})
    agent.script = {f"keys.{what}": answer for what in ("add", "use", "remove", "rotate")}
    assert gossip("keys", "add", "next", "--key-file", str(file)).out.startswith("added next (b2b2b2b2)")
    assert gossip("keys", "use", "next").out == "this agent seals with next (b2b2b2b2)\n"
    assert gossip("keys", "remove", "next").out == "removed next (b2b2b2b2)\n"
    assert gossip("keys", "rotate").out.startswith("the cluster changes its key to next (b2b2b2b2)")
    assert (
        gossip("keys", "rotate", "--insist", "--json").out
        == json.dumps(answer.result, separators=(",", ":")) + "\n"
    )
    gossip("keys", "rotate", "--key-file", str(file))
    assert agent.asked == [
        ("keys.add", {"name": "next", "key": show_key(KEY)}),
        ("keys.use", {"name": "next"}),
        ("keys.remove", {"name": "next"}),
        ("keys.rotate", {"insist": False}),
        ("keys.rotate", {"insist": True}),
        ("keys.rotate", {"key": show_key(KEY), "insist": False}),
    ]


def test_a_key_is_read_from_standard_input(
    agent: ScriptedAgent, gossip: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.script["keys.add"] = Reply({"name": "next", "mark": NEW})
    monkeypatch.setattr("sys.stdin", io.StringIO(show_key(KEY) + "\n"))
    assert gossip("keys", "add", "--key-file", "-").status == 0
    monkeypatch.setattr("sys.stdin", io.StringIO("secret words\n"))
    ran = gossip("keys", "add", "--key-file", "-")
    assert ran.status == 1
    assert "no key" in ran.err
    assert "secret" not in ran.err


def test_rotate_waits_and_names_whom_it_waits_for(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["keys.rotate"] = Reply({"name": "next", "mark": NEW})
    agent.script["keys.list"] = listed()
    ran = gossip("keys", "rotate", "--wait", "0s")
    assert ran.status == 1
    assert "it waits for n2" in ran.err
    done = {"target": NEW, "stage": "switching", "waiting": [], "away": [], "insists": False}
    agent.script["keys.list"] = listed(change=done)
    ran = gossip("keys", "rotate", "--wait", "5s")
    assert ran.status == 0
    assert ran.out.endswith("all live members seal with it; older keys are retired once nobody is away\n")
    assert gossip("keys", "rotate", "--wait", "5s", "--json").out.count("\n") == 1


def test_what_the_agent_refuses_is_said(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["keys.rotate"] = Reply(error=RefusedError("a change to key k is under way"))
    ran = gossip("keys", "rotate")
    assert (ran.status, ran.err) == (1, "gossip: a change to key k is under way\n")


def test_keygen_prints_or_writes_a_key(gossip: Run, tmp_path: Path) -> None:
    ran = gossip("keygen")
    assert len(parse_key(ran.out)) == 32
    file = tmp_path / "k"
    assert gossip("keygen", "--out", str(file)).out == ""
    assert file.stat().st_mode & 0o777 == 0o600
    written = file.read_text()
    assert parse_key(written) != parse_key(ran.out)
    again = gossip("keygen", "--out", str(file))
    assert again.status == 1
    assert "exists and is not overwritten: give another name" in again.err
    assert file.read_text() == written
    assert gossip("keygen", "--out", str(tmp_path / "no" / "k")).status == 1
