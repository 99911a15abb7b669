"""Streams that outlive their agent: `watch --exec` and `monitor`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gossip.cli import following, watching
from gossip.client.channel import Channel
from gossip.errors import RefusedError, UnreachableError
from tests.client.scripted import Reply, ScriptedAgent, an_instance

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]

ENOUGH = Reply(error=RefusedError("enough"))
"""Ends a command that would go on for ever."""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.001)
    monkeypatch.setattr(watching, "SETTLE_SECONDS", 0.05)


def state(*ids: str, index: int = 1, **options: Any) -> Reply:
    value = {"watch": 1, "instances": [an_instance(id) for id in ids], "index": index}
    return Reply(value, **options)


def seen(file: Path) -> list[list[str]]:
    """The ids of each state that the command was given."""
    return [[each["id"] for each in json.loads(line)["instances"]] for line in file.read_text().splitlines()]


# -- watch --exec ------------------------------------------------------------------------------------


def test_the_command_gets_the_json_and_the_environment(
    agent: ScriptedAgent, gossip: Run, tmp_path: Path
) -> None:
    agent.script["services.watch"] = state("a", index=42, close=True, later=ENOUGH)
    ran = gossip(
        *("watch", "web", "--tag", "v2"),
        *("--exec", f"cat > {tmp_path}/seen; echo $GOSSIP_SERVICE $GOSSIP_INDEX > {tmp_path}/env"),
    )
    value = json.loads((tmp_path / "seen").read_text())
    assert value == {"service": "web", "instances": [an_instance("a")], "index": 42}
    assert (tmp_path / "env").read_text() == "web 42\n"
    assert agent.asked[0] == ("services.watch", {"service": "web", "tags": ["v2"]})
    assert (ran.status, ran.out) == (1, "")
    went, refused = ran.err.splitlines()
    assert "closed the connection" in went
    assert "waiting for it to come back" in went
    assert refused == "gossip: enough"


def test_the_command_runs_for_the_last_state_however_fast_they_come(
    agent: ScriptedAgent, gossip: Run, tmp_path: Path
) -> None:
    """One at a time: a state that came while the command ran waits, and only the last of several counts."""
    changes = [
        {"watch": 1, "instances": [an_instance(str(number))], "index": number} for number in range(2, 60)
    ]
    agent.script["services.watch"] = state("first", then=changes, close=True, later=ENOUGH)
    lock = tmp_path / "lock"
    command = f"mkdir {lock} || echo twice >> {tmp_path}/twice; cat >> {tmp_path}/seen; rmdir {lock}"
    gossip("watch", "web", "--exec", command)
    states = seen(tmp_path / "seen")
    assert states[-1] == ["59"]
    assert states == sorted(states, key=lambda ids: int(ids[0]) if ids != ["first"] else 0)
    assert not (tmp_path / "twice").exists()


def test_a_failing_command_is_told_and_the_watch_goes_on(
    agent: ScriptedAgent, gossip: Run, tmp_path: Path
) -> None:
    agent.script["services.watch"] = state("a", close=True, later=state("b", close=True, later=ENOUGH))
    ran = gossip("watch", "web", "--exec", f"cat >> {tmp_path}/seen; kill -9 $$")
    assert seen(tmp_path / "seen") == [["a"], ["b"]]
    assert ran.err.count("was ended by signal 9; going on") == 2


def test_a_state_that_is_the_same_after_a_return_runs_nothing_unless_it_failed(
    agent: ScriptedAgent, gossip: Run, tmp_path: Path
) -> None:
    agent.script["services.watch"] = state("a", close=True, later=state("a", close=True, later=ENOUGH))
    gossip("watch", "web", "--exec", f"cat >> {tmp_path}/good")
    assert seen(tmp_path / "good") == [["a"]]
    agent.script["services.watch"] = state("a", close=True, later=state("a", close=True, later=ENOUGH))
    ran = gossip("watch", "web", "--exec", f"cat >> {tmp_path}/bad; exit 7")
    assert seen(tmp_path / "bad") == [["a"], ["a"]]
    assert ran.err.count("ended with status 7; going on") == 2


def test_nobody_is_believed_only_later_when_the_agent_has_just_come_back(
    agent: ScriptedAgent, gossip: Run, tmp_path: Path
) -> None:
    change = {"watch": 1, "instances": [an_instance("a")], "index": 2}
    early = state(then=[change], close=True, later=ENOUGH)
    agent.script["services.watch"] = state("a", close=True, later=early)
    gossip("watch", "web", "--exec", f"cat >> {tmp_path}/seen")
    assert seen(tmp_path / "seen") == [["a"]]


class EnoughError(Exception):
    """Ends the watch where the scripted agent has no more to say."""


def test_nobody_is_believed_in_the_end(
    agent: ScriptedAgent, gossip: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[int] = []

    def run(command: str, name: str, value: dict[str, Any]) -> bool:
        states.append(len(value["instances"]))
        if not value["instances"]:
            raise EnoughError
        return True

    monkeypatch.setattr(watching, "_run", run)
    agent.script["services.watch"] = state("a", close=True, later=state())
    with pytest.raises(EnoughError):
        gossip("watch", "web", "--exec", "true")
    assert states == [1, 0]


def test_a_command_that_reads_nothing_is_no_error(agent: ScriptedAgent, gossip: Run) -> None:
    many = [str(number) for number in range(2_000)]
    agent.script["services.watch"] = state(*many, close=True, later=ENOUGH)
    ran = gossip("watch", "web", "--exec", "true")
    assert "true" not in ran.err


def test_no_agent_at_the_start_is_status_3(gossip: Run, tmp_path: Path) -> None:
    ran = gossip("watch", "web", "--exec", f"touch {tmp_path}/ran", "--socket", f"{tmp_path}/none")
    assert (ran.status, list(tmp_path.iterdir())) == (3, [])


# -- Following ----------------------------------------------------------------------------------------


def test_it_waits_for_an_agent_that_is_away(agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.script["services.watch"] = state("a", close=True, later=state("b"))
    attempts: list[int] = []

    def connect(path: str | None) -> Any:
        attempts.append(1)
        if 1 < len(attempts) < 5:
            raise UnreachableError("none")
        return Channel(path)

    monkeypatch.setattr(following, "Channel", connect)
    with following.Following(agent.path, "services.watch", {"service": "web"}) as follow:
        assert follow.next()["instances"][0]["id"] == "a"
        assert follow.next()["instances"][0]["id"] == "b"
        assert (len(attempts), follow.returns) == (5, 1)


# -- monitor -----------------------------------------------------------------------------------------


def a_record(event: str, level: str = "info", **fields: Any) -> dict[str, Any]:
    return {
        "watch": 1,
        "record": {"time": "2026-11-21T12:03:20.125Z", "level": level, "event": event} | fields,
    }


def log_stream() -> Reply:
    return Reply(
        {"watch": 1},
        then=[
            a_record("member_joined", name="n2", id="ab"),
            {"watch": 1, "resync": True, "missed": 17},
            a_record("odd", "error", text='a "b"\x1b[2J', count=3, ok=True, trace="Traceback:\n  boom"),
        ],
        close=True,
        later=Reply({"watch": 1}, then=[a_record("agent_started")], close=True, later=ENOUGH),
    )


def test_monitor_shows_records_and_what_was_missed_and_returns(
    agent: ScriptedAgent, gossip: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gossip.cli.monitor._local", lambda clock: clock[11:23])
    agent.script["logs.watch"] = log_stream()
    ran = gossip("monitor", "--level", "debug")
    assert ran.out == (
        "12:03:20.125  info     member_joined  name=n2  id=ab\n"
        '12:03:20.125  error    odd  text="a \\"b\\"\\u001b[2J"  count=3  ok=true\n'
        "    Traceback:\n"
        "      boom\n"
        "12:03:20.125  info     agent_started\n"
    )
    assert "17 records were missed" in ran.err
    assert ran.err.count("waiting for it to come back") == 2
    assert "the agent is back" in ran.err
    assert agent.asked[0] == ("logs.watch", {"level": "debug"})


def test_monitor_for_programs_is_one_record_a_line(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["logs.watch"] = log_stream()
    values = [json.loads(line) for line in gossip("monitor", "--json").out.splitlines()]
    assert [value.get("event", value) for value in values] == [
        "member_joined",
        {"missed": 17},
        "odd",
        "agent_started",
    ]


def test_the_time_is_of_the_day_here() -> None:
    from gossip.cli.monitor import _local

    assert _local("2026-11-21T12:03:20.125Z").endswith(":20.125")
