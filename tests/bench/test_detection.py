"""`scripts/bench detection`: the plan, what a death counts as, verdicts, the file and the report."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import detection, report
from bench import hosts as machines
from bench.agents import BenchError
from bench.cluster import SYSTEMS as AGENTS
from bench.detection import command, plan, results
from bench.detection.deaths import SHORT, WINDOW, Death, Stop, account
from bench.detection.deaths import detection as detected
from bench.detection.plan import KINDS, SYSTEMS, Settings, Task
from bench.detection.results import Results
from bench.detection.verdicts import rows
from bench.loop import Loop
from bench.peer_gossip import GossipAgent
from bench.peer_serf import SerfAgent
from tests.support import ROOT, requires_program, requires_root, run_python

SETTINGS = Settings(seed=1, rounds=12, seconds=120.0, split=50.0, splits=3, settle=10.0)

# ------------------------------------------------------------------------------------------------ plan


def test_systems_take_turns_and_who_begins_changes() -> None:
    planned = [(task.system, task.lap) for task in plan.tasks(["sigkill"], [16], SETTINGS)]
    assert planned == [("gossip", 0), ("serf", 0), ("serf", 1), ("gossip", 1), ("gossip", 2), ("serf", 2)]


def test_each_measurement_is_made_for_both_systems_at_every_size() -> None:
    planned = Counter((task.kind, task.size, task.system) for task in plan.tasks(KINDS, [16, 48], SETTINGS))
    laps = {"sigkill": 3, "silenced": 3, "stopped": 1, "split": 3, "busy": 1}
    assert planned == {
        (kind, size, system): laps[kind] for kind in KINDS for size in (16, 48) for system in SYSTEMS
    }


@given(st.integers(0, 1000), st.integers(3, 20))
def test_nobody_is_struck_twice_before_everybody_was(seed: int, size: int) -> None:
    settings = Settings(seed, 12, 120.0, 50.0, 3, 10.0)
    hits = [hit for lap in range(3) for hit in plan.hits(settings, "sigkill", size, lap)]
    assert len(hits) == settings.rounds
    counts = Counter(hit.victim for hit in hits)
    assert max(counts.values()) <= math.ceil(settings.rounds / size)
    assert all(0 <= hit.rest < 1 for hit in hits)


@given(st.integers(0, 1000), st.integers(3, 50))
def test_a_quarter_is_stopped_at_once_and_nobody_twice_within_the_window(seed: int, size: int) -> None:
    stops = plan.stops(Settings(seed, 1, 60.0, 50.0, 1, 10.0), size)
    begins = Counter(begin for _, begin, _ in stops)
    assert begins == dict.fromkeys((0.0, 10.0, 20.0, 30.0, 40.0, 50.0), max(1, size // 4))
    assert all(0.5 <= end - begin <= 8.0 for _, begin, end in stops)
    last: dict[int, float] = {}
    for member, begin, end in stops:
        assert begin - last.get(member, -math.inf) > WINDOW
        last[member] = end


@pytest.mark.parametrize("size", [3, 16, 49])
def test_halves_are_halves_and_differ_from_split_to_split(size: int) -> None:
    sides = [plan.halves(SETTINGS, size, lap) for lap in range(6)]
    for left, right in sides:
        assert len(right) - len(left) == size % 2
        assert sorted(left + right) == list(range(size))
    assert len({tuple(left) for left, _ in sides}) > 1


def test_the_plan_is_a_function_of_the_seed() -> None:
    other = Settings(seed=2, rounds=12, seconds=120.0, split=50.0, splits=3, settle=10.0)
    assert plan.stops(SETTINGS, 16) == plan.stops(SETTINGS, 16) != plan.stops(other, 16)
    assert plan.hits(SETTINGS, "sigkill", 16, 1) == plan.hits(SETTINGS, "sigkill", 16, 1)
    assert plan.hits(SETTINGS, "sigkill", 16, 1) != plan.hits(SETTINGS, "silenced", 16, 1)


# ---------------------------------------------------------------------------------------------- deaths


def test_a_detection_is_counted_from_the_fault_by_those_who_observe() -> None:
    deaths = [
        Death(9.0, "b", "v"),  # of a former life
        Death(12.0, "v", "b"),  # the victim's own view
        Death(12.5, "c", "x"),
        Death(13.0, "b", "v"),
        Death(14.0, "c", "v"),
        Death(19.0, "b", "v"),
    ]
    assert detected(deaths, "v", {"b", "c"}, 10.0) == (3.0, 4.0)
    assert detected(deaths, "v", {"b", "c", "d"}, 10.0) == (3.0, None)
    assert detected(deaths, "v", {"b", "c"}, 20.0) == (None, None)


STOPS = [
    Stop("a", 10.0, 12.0, SHORT),
    Stop("b", 10.0, 18.0, 8.0),
    Stop("a", 40.0, 42.1, SHORT + 0.1),
]


@pytest.mark.parametrize(
    ("death", "counts"),
    [
        (Death(9.9, "x", "a"), {"well": 1}),
        (Death(10.0, "x", "a"), {"short": 1}),
        (Death(12.0 + WINDOW, "x", "a"), {"short": 1}),
        (Death(12.1 + WINDOW, "x", "a"), {"well": 1}),
        (Death(15.0, "x", "b"), {"long": 1}),
        (Death(41.0, "x", "a"), {"long": 1}),
        (Death(15.0, "x", "c"), {"well": 1}),
        (Death(15.0, "b", "c"), {"well": 1, "by_stopped": 1}),
        (Death(60.0, "b", "c"), {"well": 1}),
    ],
)
def test_a_death_is_put_down_to_a_stop_or_is_of_the_well(death: Death, counts: dict[str, int]) -> None:
    found = account([death], STOPS)
    assert (found.short, found.long) == (1, 2)
    told = {
        "well": found.well,
        "by_stopped": found.well_by_stopped,
        "short": found.short_dead,
        "long": found.long_dead,
    }
    assert {name: count for name, count in told.items() if count} == counts


def test_a_stop_that_many_took_for_a_death_led_to_one() -> None:
    deaths = [Death(11.0, "x", "a"), Death(11.5, "y", "a"), Death(15.0, "x", "c"), Death(16.0, "y", "c")]
    found = account(deaths, STOPS)
    assert (found.short_dead, found.long_dead) == (1, 0)
    assert (found.well, found.well_members) == (2, 1)


# -------------------------------------------------------------------------------------------- verdicts


def _results(**brought: dict[str, list[dict[str, Any]]]) -> Results:
    """Results of 16 agents, by measurement and system; each dict is what one task has brought."""
    made = Results(SETTINGS, {"gossip": "gossip 9", "serf": "serf 9"}, {"processor": "P"})
    for kind, by_system in brought.items():
        for system, tasks in by_system.items():
            for lap, one in enumerate(tasks):
                made.keep(Task(kind, system, 16, lap), one, 1.0)
    return made


def _struck(*times: tuple[float | None, float | None], wrong: int = 0) -> dict[str, Any]:
    return {"rounds": [{"first": a, "full": b, "wrong": wrong, "refusals": 0} for a, b in times]}


def _verdicts(made: Results) -> dict[str, bool | None]:
    return {row.what: row.is_met for row in rows(made) if row.asked != "-"}


def test_detection_is_judged_by_medians_of_all_laps() -> None:
    made = _results(
        sigkill={
            "gossip": [_struck((1.0, 1.3), (1.1, 9.0)), _struck((0.9, 1.2))],
            "serf": [_struck((4.0, 5.0), (4.0, 5.0))],
        },
        silenced={"gossip": [_struck((2.1, 2.2))], "serf": [_struck((4.0, 5.0))]},
    )
    assert _verdicts(made) == {
        "SIGKILL until one of the others shows it dead, 16 agents, s": True,
        "SIGKILL until all others do, 16 agents, s": False,
        "host silenced until one of the others shows it dead, 16 agents, s": False,
        "host silenced until all others do, 16 agents, s": True,
    }
    first = rows(made)[0].texts()
    assert first[1:] == ("1.00 (0.900 - 1.10)", "4.00", "0.250", "median ≤ 0.25 x serf's", "met")


def test_what_never_came_is_not_met_even_where_serf_never_came_either() -> None:
    never = [_struck((1.0, None))]
    made = _results(sigkill={"gossip": never, "serf": never})
    assert list(_verdicts(made).values()) == [False, False]
    assert rows(made)[1].texts()[1:4] == ("never, 1 of 1 never", "never, 1 of 1 never", "-")


def test_without_the_peer_a_share_of_it_is_not_called_met() -> None:
    made = _results(sigkill={"gossip": [_struck((1.0, 1.0))]})
    assert list(_verdicts(made).values()) == [None, None]
    assert rows(made)[0].texts()[-1] == "not measured"


def test_stops_are_judged_by_their_share_and_the_well_by_their_number() -> None:
    stops = [Stop("a", 10.0, 11.2, 1.0), Stop("b", 10.0, 18.0, 8.0)]
    stopped = {
        "gossip": [{"stops": stops, "deaths": [Death(17.0, "x", "b")]}],
        "serf": [{"stops": stops, "deaths": [Death(12.0, "x", "a"), Death(13.0, "x", "c")]}],
    }
    found = {row.what: row.texts()[1:] for row in rows(_results(stopped=stopped))}
    assert found == {
        "quarter stopped: deaths of well members, 16 agents": ("0", "1, of 1 members", "-", "none", "met"),
        "... said by observers lately stopped themselves, 16 agents": ("0", "0", "-", "-", "-"),
        "... stops of 2 s or less that led to a death, 16 agents": (
            "0 of 1",
            "1 of 1",
            "0",
            "no larger share than serf's",
            "met",
        ),
        "... longer stops that did, 16 agents": ("1 of 1", "0 of 1", "-", "-", "-"),
    }
    swapped = _results(stopped={"gossip": stopped["serf"], "serf": stopped["gossip"]})
    assert list(_verdicts(swapped).values()) == [False, False]


def test_a_split_is_judged_by_its_slowest_heal_and_a_busy_machine_by_any_death() -> None:
    def split(*healed: float | None) -> list[dict[str, Any]]:
        return [{"healed": one, "across": 128, "wrong": 0} for one in healed]

    made = _results(
        split={"gossip": split(0.5, 3.1), "serf": split(5.0, None)},
        busy={"gossip": [{"deaths": []}], "serf": [{"deaths": [Death(1.0, "x", "a")]}]},
    )
    assert list(_verdicts(made).values()) == [False, True]
    told = {row.what: row.texts()[1:3] for row in rows(made)}
    assert told["split of 50 s: heal until all show all alive, 16 agents, s"] == (
        "1.80 (0.500 - 3.10)",
        "never (5.00 - never), 1 of 2 never",
    )
    assert told["... deaths said across the split by then, 16 agents"] == ("256", "256")
    assert told["busy machine: false deaths, 16 agents"] == ("0", "1")


# ---------------------------------------------------------------------------------------------- agents


def test_each_death_is_kept_with_its_time(tmp_path: Path) -> None:
    agent = SerfAgent(0, tmp_path, Loop(), 17000)
    for status in ("alive", "dead", "dead", "alive", "dead"):
        agent.see("n01", status)
    assert [name for _, name in agent.deaths] == ["n01", "n01"]
    agent.forget()
    assert (agent.deaths, agent.view, agent.present) == ([], {}, 0)


def test_a_death_that_is_over_when_it_is_told_was_one(tmp_path: Path) -> None:
    agent = GossipAgent(0, tmp_path, Loop(), 17000)
    member = {"name": "n01", "status": "alive"}
    agent._notice("members.watch", {"event": "member_failed", "member": member})
    assert [name for _, name in agent.deaths] == ["n01"]
    assert agent.counts == {"dead": 0, "alive": 1}


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_agent_lives_on_its_host(system: str, tmp_path: Path) -> None:
    agent = AGENTS[system](2, tmp_path, Loop(), 17000)
    agent.live_on("10.77.0.3", 11)
    assert (agent.address, agent.namespace) == ("10.77.0.3:17002", 11)
    if isinstance(agent, SerfAgent):
        assert agent.rpc == ("10.77.0.3", 19002)
    if isinstance(agent, GossipAgent):
        assert agent.options == ["--insecure"]


def test_an_agent_that_is_not_heard_any_more_ends_the_measurement(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="n00 has closed its socket"):
        GossipAgent(0, tmp_path, Loop(), 17000).check_followed()


# ----------------------------------------------------------------------------------- the file, the report


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.json"
    made = _results(busy={"gossip": [{"deaths": [Death(1.0, "x", "a")]}]})
    results.save(path, made)
    back = results.load(path)
    assert repr(rows(back)) == repr(rows(made)), (
        "as text: what was not measured is no number, and equals nothing"
    )
    assert back.has(Task("busy", "gossip", 16, 0))
    assert not back.has(Task("busy", "serf", 16, 0))
    assert [file.name for file in path.parent.iterdir()] == ["out.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"settings": {}}'])
def test_a_file_of_something_else_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    path.write_text(text)
    with pytest.raises(BenchError, match="has no results of"):
        results.load(path)
    with pytest.raises(BenchError, match="cannot be read"):
        results.load(tmp_path / "none.json")


def _run(monkeypatch: pytest.MonkeyPatch, *line: str, version: str = "gossip 9") -> tuple[int, list[Task]]:
    """The command's exit status, and the tasks that it gave to a worker."""
    asked: list[Task] = []

    def ask(task: Task, _settings: Settings) -> dict[str, Any]:
        asked.append(task)
        if task.system == "serf" and task.kind == "busy":
            raise BenchError("serf has had enough")
        return {"deaths": []} if task.kind == "busy" else _struck((1.0, 1.0))

    monkeypatch.setattr(command, "ask", ask)
    monkeypatch.setattr(machines, "missing", lambda: None)
    monkeypatch.setattr(results, "versions", lambda: {"gossip": version, "serf": "serf 9"})
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    parser = argparse.ArgumentParser()
    detection.add_arguments(parser)
    return detection.main(parser.parse_args(line)), asked


def test_a_run_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out.json"), "--sizes", "16", "--rounds", "3"]
    _, asked = _run(monkeypatch, *out, "--only", "sigkill")
    assert [task.name for task in asked] == ["sigkill gossip 16 0", "sigkill serf 16 0"]
    status, asked = _run(monkeypatch, *out)
    assert (status, asked) == (1, [])
    assert "go on with it by --resume" in capsys.readouterr().err
    status, asked = _run(monkeypatch, *out, "--only", "sigkill,busy", "--resume")
    assert [task.name for task in asked] == ["busy gossip 16 0", "busy serf 16 0"]
    assert status == 1
    printed = capsys.readouterr().out
    assert "Failed: busy serf 16 0: serf has had enough." in printed
    assert "| busy machine: false deaths, 16 agents | 0 | - | - | none | met |" in printed
    _, asked = _run(monkeypatch, *out, "--only", "busy", "--resume")
    assert [task.name for task in asked] == ["busy serf 16 0"], "what failed is tried again"


@pytest.mark.parametrize(
    ("line", "version", "reason"),
    [
        (["--rounds", "4", "--resume"], "gossip 9", "was measured with"),
        (["--rounds", "3", "--resume"], "gossip 10", "measured were gossip 9, serf 9"),
        (["--sizes", "2"], "gossip 9", "3 agents at least"),
    ],
)
def test_what_cannot_be_told_together_is_not_measured(
    line: list[str],
    version: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = ["--out", str(tmp_path / "out.json"), "--only", "busy"]
    _run(monkeypatch, *out, "--rounds", "3", "--sizes", "16")
    status, asked = _run(monkeypatch, *out, *line, version=version)
    assert (status, asked) == (1, [])
    assert reason in capsys.readouterr().err


def test_a_user_who_is_not_root_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    parser = argparse.ArgumentParser()
    detection.add_arguments(parser)
    assert detection.main(parser.parse_args([])) == 1
    assert "need root" in capsys.readouterr().err


def test_wrong_options_are_refused() -> None:
    parser = argparse.ArgumentParser()
    detection.add_arguments(parser)
    given = parser.parse_args(["--sizes", "3,5", "--only", "busy,split"])
    assert (given.sizes, given.only) == ([3, 5], ["busy", "split"])
    with pytest.raises(SystemExit):
        parser.parse_args(["--only", "everything"])


def test_the_report_is_made_from_the_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_TABLES", tmp_path / "tables")
    monkeypatch.setattr(report, "REPORT", tmp_path / "REPORT.md")
    report.REPORT.write_text("# gossip beside its peers\n\n## Idle\n\n1\n\n## How it was measured\n\nWell.\n")
    _run(monkeypatch, "--out", str(tmp_path / "out.json"), "--only", "sigkill", "--sizes", "16")
    _, asked = _run(monkeypatch, "--out", str(tmp_path / "out.json"), "--report")
    assert asked == []
    written = report.REPORT.read_text()
    assert written.count("## Failure detection beside serf\n") == 1
    assert written.index("## Idle") < written.index("## Failure detection") < written.index("## How it was")
    assert "- *SIGKILL*: of the agent" in written
    assert "{" not in written
    assert [saved.title for saved in report.load_tables()] == ["Failure detection beside serf"]
    _run(monkeypatch, "--out", str(tmp_path / "out.json"), "--report")
    assert report.REPORT.read_text() == written


def test_a_section_takes_the_place_of_the_one_of_its_title() -> None:
    fresh = report.Table("B", ["x"], [["1"]], "Note.")
    text = "# R\n\n## A\n\n1\n\n## B\n\nold\n\n## C\n\n2\n"
    assert report.with_section(text, fresh) == (
        "# R\n\n## A\n\n1\n\n## B\n\nNote.\n\n| x |\n|---|\n| 1 |\n\n## C\n\n2\n"
    )
    assert report.with_section("# R\n", fresh).endswith("# R\n\n## B\n\nNote.\n\n| x |\n|---|\n| 1 |\n")


# ------------------------------------------------------------------------------------------- the real thing


@pytest.mark.slow
def test_both_systems_see_a_crash_on_real_hosts(tmp_path: Path) -> None:
    requires_root("network namespaces are made by root only")
    for program in ("serf", "ip", "nft"):
        requires_program(program)
    out = tmp_path / "out.json"
    line = ["detection", "--sizes", "3", "--rounds", "1", "--only", "sigkill", "--settle", "0.5"]
    # The `gossip` beside this Python may be that of another checkout.
    here = {"PYTHONPATH": str(ROOT)}
    ran = run_python("-m", "bench", *line, "--out", str(out), timeout=400, extra=here)
    assert "| SIGKILL until all others do, 3 agents, s |" in ran.stdout, ran.stderr
    content = json.loads(out.read_text())
    assert content["errors"] == {}
    for done in content["done"]:
        (one,) = done["brought"]["rounds"]
        assert 0 < one["first"] <= one["full"], done
        assert (one["wrong"], one["dropped"]) == (0, 0), done
