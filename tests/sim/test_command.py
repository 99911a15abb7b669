"""`gossip-sim run` and `gossip-sim scenarios`, as typed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import sim.cli.progress as progress_module
from sim.cli import main
from sim.errors import MissingExtraError
from sim.results.recorder import Recorder
from sim.results.result import Result
from sim.scenario.director import Director
from sim.scenario.scenario import Scenario
from sim.scenario.shipped import shipped_names, shipped_text


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take a second; one test looks at them."""
    monkeypatch.setattr("sim.draw.draw_all", lambda *_: [])


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def run(*arguments: str) -> int:
    return main(["run", *arguments])


def test_a_run_ends_with_one_object_of_the_promised_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--nodes", "5", "--crash", "1@10s", "--duration", "40s", "--seed", "3", "--json") == 0
    output = capsys.readouterr()
    assert output.err == "", "no progress beside JSON"
    summary = json.loads(output.out)
    assert (summary["seed"], summary["nodes"], summary["virtual_s"]) == (3, 5, 40)
    assert summary["converged"] is True
    assert 0 < summary["detection"]["first_s"] <= summary["detection"]["full_s"] < 30
    assert summary["false_deaths"] == 0
    assert summary["messages_per_node_s"] >= 2
    assert summary["bytes_per_node_s"] > 100
    assert summary["wall_s"] > 0
    assert summary["node_seconds_per_s"] > 0
    assert len(summary["log_hash"]) == 32
    assert summary["interrupted"] is False


def test_a_run_for_people_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("--nodes", "3", "--loss", "5%", "--latency", "1ms..5ms", "--crash", "1@2s", "--duration", "20")
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    labels = {line.split("  ")[0] for line in lines}
    assert labels >= {"scenario", "nodes", "converged", "one view", "failures", "deaths", "load", "log hash"}
    assert len({len(line) - len(line[line.index("  ") :].lstrip()) for line in lines}) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "--nodes"),
        (("--nodes", "0"), "at least one node"),
        (("--nodes", "some"), "write a number"),
        (("--nodes", "3", "--loss", "1.5"), "not from 0 to 1"),
        (("--nodes", "3", "--loss", "much"), "no share"),
        (("--nodes", "3", "--latency", "5ms..1ms"), "network, latency"),
        (("--nodes", "3", "--latency", "soon"), "network, latency"),
        (("--nodes", "3", "--duration", "0s"), "more than nothing"),
        (("--nodes", "3", "--crash", "3@1s"), "must be left"),
        (("--nodes", "3", "--crash", "2@1s", "--crash", "1@2s"), "must be left"),
        (("--nodes", "3", "--crash", "9@1s"), "--crash 9@1s: run: of 3 nodes at least one must be left"),
        (("--nodes", "3", "--crash", "0@1s"), "at least one node"),
        (("--nodes", "3", "--crash", "1@60s"), "60 s is the end of the run"),
        (("--nodes", "3", "--crash", "one"), "no crash"),
        (("--nodes", "3", "--set", "loss"), "--set: 'loss' is no change"),
        (("--nodes", "3", "--set", "settings.peroid=1.0"), "do you mean 'period'"),
        (("nothing",), "no scenario is called 'nothing'"),
        (("nowhere.toml",), "nowhere.toml: No such file"),
        (("steady", "--set", "network.losss=1"), "there is no key `losss`; do you mean `loss`?"),
        (
            ("steady", "--nodes", "9", "--set", "network.mtu=10"),
            "--set network.mtu=10: steady: [network]: an MTU",
        ),
        (
            ("--nodes", "3", "--set", "settings.period=nan"),
            "--set settings.period=nan: run: [settings]: period",
        ),
        (
            ("--nodes", "3", "--seed", "x"),
            "argument --seed: invalid int value: 'x' (see `gossip-sim run --help`)",
        ),
    ],
)
def test_impossible_settings_are_refused_in_words(
    arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        assert run(*arguments) == 2
    except SystemExit as ended:
        assert ended.code == 2  # noqa: PT017 - argparse ends the program by itself
    error = capsys.readouterr().err
    assert complaint in error
    assert error.startswith("gossip-sim: ")
    assert error.count("\n") == 1


@pytest.mark.usefixtures("undrawn")
def test_flags_and_changes_override_the_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'nodes = 9\nduration = "9s"\n[network]\nloss = "9%"\n[[action]]\ndo = "mute"\nfor = "1s"\n'
    )
    out = tmp_path / "out"
    arguments = (str(file), "--nodes", "4", "--duration", "5s", "--crash", "1@3s", "--set", "network.loss=1%")
    assert run(*arguments, "--set", "settings.period=0.5", "--no-codec", "--out", str(out), "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["scenario"], summary["nodes"], summary["virtual_s"]) == ("mine", 4, 5.0)
    assert (summary["codec"], summary["detection"]["failed"]) == (False, 1)
    kept = tomllib.loads((out / "scenario.toml").read_text())
    assert kept["network"]["loss"] == "1%"
    assert kept["settings"] == {"period": 0.5}
    assert [action["do"] for action in kept["action"]] == ["mute", "crash"]
    assert Result.load(out).summary == summary


def test_without_the_libraries_results_are_kept_without_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any) -> None:
        raise MissingExtraError("this needs matplotlib, which is not installed")

    monkeypatch.setattr("sim.draw.draw_all", missing)
    assert run("--nodes", "2", "--duration", "2s", "--json", "--out", str(tmp_path / "out")) == 0
    assert "no pictures: this needs matplotlib" in capsys.readouterr().err
    assert Result.load(tmp_path / "out").summary["nodes"] == 2


def test_what_is_kept_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--nodes", "2", "--duration", "2s", "--quiet", "--out", str(tmp_path / "out")) == 0
    output = capsys.readouterr().out
    names = {file.name for file in (tmp_path / "out").iterdir()}
    assert all(name in output for name in names)
    assert {"summary.json", "scenario.toml", "events.jsonl", "replay.html"} <= names
    assert {
        f"{name}.{kind}" for name in ("convergence", "load", "beliefs") for kind in ("png", "svg")
    } <= names
    assert Scenario.load(tmp_path / "out" / "scenario.toml").nodes == 2


def test_a_directory_that_cannot_be_used_is_refused_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sim.runner.run", lambda *_args, **_options: pytest.fail("it ran"))
    (tmp_path / "file").write_text("")
    assert run("--nodes", "2", "--out", str(tmp_path)) == 2
    assert "is not empty" in capsys.readouterr().err
    assert run("--nodes", "2", "--out", str(tmp_path / "file")) == 2
    assert "--out" in capsys.readouterr().err
    assert run("--nodes", "2", "--out", str(tmp_path / "file" / "below")) == 2
    assert "Not a directory; choose another" in capsys.readouterr().err

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    assert run("--nodes", "2", "--out", str(tmp_path / "new")) == 2
    assert "No space left on device; choose another" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_a_directory_is_one_run_s_until_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other comes while nothing is written yet, as two that are started at once do."""
    command = ("--nodes", "2", "--duration", "1s", "--json", "--out", str(tmp_path / "out"))
    others: list[int] = []

    def second(_recorder: Recorder) -> None:
        monkeypatch.setattr(Recorder, "second", lambda _: None)
        others.append(run(*command))

    monkeypatch.setattr(Recorder, "second", second)
    assert run(*command, "--seed", "7") == 0
    output = capsys.readouterr()
    assert others == [2]
    assert f"--out {tmp_path / 'out'} is in use by another run: wait for it" in output.err
    assert json.loads(output.out)["seed"] == Result.load(tmp_path / "out").summary["seed"] == 7
    assert run(*command) == 2
    assert "is not empty" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_a_disk_that_fills_up_costs_no_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _table: Any) -> None:
        raise OSError(28, "No space left on device", str(path))

    events = tmp_path / "out" / "events.jsonl"
    monkeypatch.setattr("sim.results.result.save_events", full)
    assert run("--nodes", "2", "--duration", "2s", "--json", "--out", str(tmp_path / "out")) == 1
    output = capsys.readouterr()
    assert json.loads(output.out)["nodes"] == 2
    assert f"{events}: No space left on device; what else was written is whole" in output.err
    assert Result.load(tmp_path / "out").summary == json.loads(output.out)


@pytest.mark.usefixtures("undrawn")
def test_an_interrupted_run_tells_and_keeps_what_came_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def second(recorder: Recorder) -> None:
        if recorder.now_us == 2_000_000:
            raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "second", second)
    assert run("--nodes", "3", "--json", "--out", str(tmp_path / "out")) == 130
    output = capsys.readouterr()
    summary = json.loads(output.out)
    assert (summary["interrupted"], summary["virtual_s"]) == (True, 2.0)
    assert "interrupted" in output.err
    assert Result.load(tmp_path / "out").summary["interrupted"] is True


@pytest.mark.usefixtures("undrawn")
def test_what_no_node_accepts_ends_the_run_and_keeps_what_came_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """How many services churn makes by chance is known when it makes them."""
    churn = '[{at = "2s", do = "churn", rate = 50, services = 9}]'
    limits = ("--set", "settings.services_max=2", "--set", f"action={churn}")
    assert run("--nodes", "2", "--duration", "9s", "--json", *limits, "--out", str(tmp_path / "out")) == 1
    output = capsys.readouterr()
    summary = json.loads(output.out)
    assert summary["interrupted"] is True
    assert 2 < summary["virtual_s"] < 9
    assert "gossip-sim: action 1 (churn) at 2 s: this node has 2 services; the limit is 2" in output.err
    kept = Result.load(tmp_path / "out")
    assert kept.summary == summary
    assert len(kept.table("nodes")) == 2
    assert "service_registered" in {event.kind for event in kept.events}


def test_ctrl_c_while_it_warms_up_keeps_the_nodes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Director, "_is_at_rest", interrupt)
    changes = ("--set", "start=converged", "--out", str(tmp_path / "out"))
    assert run("--nodes", "4", "--json", *changes) == 130
    output = capsys.readouterr()
    assert json.loads(output.out)["virtual_s"] == 0
    assert "interrupted; this is what came of it until then" in output.err
    assert "no pictures" in output.err
    assert Result.load(tmp_path / "out").tables()["nodes"]["name"] == ["n0", "n1", "n2", "n3"]


def test_ctrl_c_while_pictures_are_drawn_says_what_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("sim.draw.plots.agreement", interrupt)
    assert run("--nodes", "2", "--duration", "1s", "--quiet", "--out", str(tmp_path / "out")) == 130
    output = capsys.readouterr()
    assert output.out.startswith("scenario ")
    assert "interrupted; not drawn: convergence, load, beliefs, detection, dissemination\n" in output.err
    assert Result.load(tmp_path / "out").summary["interrupted"] is False
    assert (tmp_path / "out" / "replay.html").exists()


def test_ctrl_c_in_a_terminal_ends_with_the_summary(tmp_path: Path) -> None:
    """The real signal, to the real program, in the middle of a run."""
    command = [sys.executable, "-m", "sim", "run", "--nodes", "40", "--duration", "1h", "--json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    code = "import os,signal,sys; os.kill(int(sys.argv[1]), signal.SIGINT)"
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(3)
    subprocess.run([sys.executable, "-c", code, str(child.pid)], check=True)
    out, error = child.communicate(timeout=60)
    assert child.returncode == 130
    assert json.loads(out)["interrupted"] is True
    assert "interrupted" in error


def test_progress_is_shown_in_plain_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "PLAIN_EVERY_S", 0.0)
    assert run("--nodes", "3", "--duration", "1s") == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("run: 1.0 of 1 s, 3 nodes, ")
    assert "100% converged" in lines[-1]
    assert run("--nodes", "3", "--duration", "1s", "--quiet") == 0
    assert capsys.readouterr().err == ""


def test_progress_tells_how_far_it_has_warmed_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "PLAIN_EVERY_S", 0.0)
    assert run("--nodes", "3", "--duration", "1s", "--set", "start=converged") == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "warming up" in line]
    assert told[0].startswith("run: warming up, 0.00 s so far, 3 nodes, ")
    assert told[0].endswith(" 0% of all pairs know each other")
    assert told[-1].endswith(" 100% of all pairs know each other")


def test_progress_is_live_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rich")
    monkeypatch.setattr(progress_module, "LIVE_EVERY_S", 0.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    assert run("--nodes", "3", "--duration", "1s") == 0
    output = capsys.readouterr()
    assert "converged" in output.err
    assert output.out.startswith("scenario ")


def test_what_ships_is_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenarios"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == shipped_names()
    assert main(["scenarios", "--json"]) == 0
    assert [entry["name"] for entry in json.loads(capsys.readouterr().out)] == shipped_names()
    assert main(["scenarios", "steady"]) == 0
    assert capsys.readouterr().out == shipped_text("steady")
    assert main(["scenarios", "nothing"]) == 2
    assert "there are asymmetric-partition," in capsys.readouterr().err


def test_help_and_lists_load_nothing_heavy() -> None:
    code = (
        "import sys; from sim.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('numpy', 'polars', 'rich', 'matplotlib', 'distributed', 'trio')"
        " if name in sys.modules])"
    )
    for arguments in (["--help"], ["run", "--help"], ["scenarios"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": "."},
        )
        assert done.stdout.splitlines()[-1] == "[]"


def test_names_of_the_package_are_loaded_when_used() -> None:
    code = (
        "import sys, sim; print(len([m for m in sys.modules if m.startswith('sim.')])); sim.run; sim.Scenario"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "0"
    import sim

    for name in sim.__all__:
        assert getattr(sim, name) is not None
        assert name in dir(sim)
    with pytest.raises(AttributeError, match="nothing"):
        sim.nothing  # noqa: B018 - the access is what is tested
