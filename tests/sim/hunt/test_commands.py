"""`gossip-sim fuzz` and `gossip-sim replay`, as typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gossip.core.own import Own
from sim.cli import main
from sim.hunt import batch
from sim.hunt.plan import Plan, load_plan, save_plan
from sim.hunt.trial import Outcome, Task

ROOT = Path(__file__).parents[3]
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Own services are not read from the disk."""
    monkeypatch.setattr(Own, "load", lambda *_: None)


def test_fuzz_tells_what_was_met_and_how_fast(capsys: Capture) -> None:
    assert main(["fuzz", "--seeds", "1..2", "--steps", "40", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "suspicions" in out
    assert "2 of 2 seeds passed, 80 steps in " in out
    assert "node-seconds a second" in out


def test_fuzz_ends_with_one_object(capsys: Capture) -> None:
    assert main(["fuzz", "--seeds", "3", "--steps", "40", "--jobs", "1", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["seeds"], summary["passed"], summary["failed"]) == (1, 1, [])
    assert summary["steps"] == 40
    assert not summary["interrupted"]


@pytest.mark.usefixtures("broken")
def test_a_failing_seed_is_told_with_its_replay(capsys: Capture, tmp_path: Path) -> None:
    assert main(["fuzz", "--seeds", "0..5", "--steps", "600", "--jobs", "1", "--json"]) == 1
    failed = json.loads(capsys.readouterr().out)["failed"]
    assert failed
    command = failed[0]["replay"].split()
    assert command[:2] == ["gossip-sim", "replay"]

    assert main([*command[1:], "--lines", "20"]) == 1
    out = capsys.readouterr().out
    assert f"BROKEN on {failed[0]['host']} at {failed[0]['at_s']:.6f} s: what was registered here" in out

    path = tmp_path / "short.json"
    assert main([*command[1:], "--shrink", "--budget", "40", "--out", str(path)]) == 1
    told = capsys.readouterr()
    assert " became " in told.err
    assert f"gossip-sim replay {path}" in told.out
    assert len(load_plan(path).acts) < 20

    assert main(["replay", str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["rule"] == failed[0]["rule"]


@pytest.mark.usefixtures("broken")
def test_fuzz_says_at_once_what_fails(capsys: Capture) -> None:
    assert main(["fuzz", "--seeds", "0..5", "--steps", "600", "--jobs", "1"]) == 1
    out = capsys.readouterr().out
    assert "  gossip-sim replay " in out.split("what the seeds have met")[0]
    assert "FAILED seed " in out


def test_results_are_kept_and_gone_on_with(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []

    def work(task: Task) -> Outcome:
        ran.append(task.seed)
        if task.seed == 2 and len(ran) == 3:
            raise KeyboardInterrupt
        return Outcome(task.seed, 3, task.steps)

    monkeypatch.setattr(batch, "work", work)
    command = ["fuzz", "--seeds", "0..3", "--steps", "40", "--jobs", "1", "--out", str(tmp_path)]
    assert main(command) == 130
    told = capsys.readouterr()
    assert f"interrupted after 2 of 4 seeds; {tmp_path} has them" in told.err
    assert "2 of 2 seeds passed" in told.out
    assert main(command) == 0
    assert ran == [0, 1, 2, 2, 3]
    assert json.loads((tmp_path / "fuzz.json").read_text())["passed"] == 4


@pytest.mark.slow
def test_ctrl_c_ends_workers_and_keeps_what_is_done(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sim", "fuzz", "--seeds", "0..99999", "--steps", "50", "--jobs", "2"]
    run = subprocess.Popen(
        [*command, "--out", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    ledger = tmp_path / "fuzz.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and (not ledger.exists() or ledger.read_bytes().count(b"\n") < 4):
        assert run.poll() is None, run.communicate()
    # As a terminal does it: to every process of the group.
    os.killpg(run.pid, signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130, err
    assert "gossip-sim: interrupted after " in err
    assert "Traceback" not in err
    done = json.loads((tmp_path / "fuzz.json").read_text())
    assert done["interrupted"]
    assert done["seeds"] >= 3
    assert f"{done['seeds']} of {done['seeds']} seeds passed" in out


def test_nothing_to_make_short(capsys: Capture) -> None:
    assert main(["replay", "1", "--steps", "20", "--shrink", "--json"]) == 0
    assert "nothing to make short" in capsys.readouterr().err


def test_a_plan_of_ones_own(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    save_plan(Plan(4, 3, 20), path)
    assert main(["replay", str(path)]) == 0
    assert "seed 4: 3 nodes, 0 acts" in capsys.readouterr().out


def test_a_plan_that_cannot_be_written_is_told_all_the_same(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "missing" / "plan.json"
    replay = ["replay", "1", "--steps", "20"]
    assert main([*replay, "--out", str(nowhere)]) == 1
    told = capsys.readouterr()
    assert "every rule held" in told.out
    assert told.err == f"gossip-sim: {nowhere}: No such file or directory; choose another file\n"

    monkeypatch.setattr("sim.cli.replay.make_short", lambda plan, _budget: plan)
    assert main([*replay, "--shrink", "--json", "--out", "/dev/full"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["seed"] == 1
    plan, _, problem = told.err.partition("gossip-sim: ")
    assert problem.startswith("/dev/full: No space left on device; choose another file; the short plan")
    (tmp_path / "rescued.json").write_text(plan)
    assert load_plan(tmp_path / "rescued.json").steps == 20


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fuzz", "--seeds", "5..1"], "ends before it begins"),
        (["fuzz", "--seeds", "all"], "write 0..255"),
        (["fuzz", "--seeds", "0..99999999999"], "more than 100,000 seeds"),
        (["siege", "--seeds", "1..100001"], "more than 100,000 seeds"),
        (["fuzz", "--seeds", f"{1 << 63}"], "at most 2^63 - 1"),
        (["fuzz", "--steps", "0"], "a whole number of 1 or more"),
        (["fuzz", "--jobs", "-1"], "a whole number of 1 or more"),
    ],
)
def test_bad_arguments(arguments: list[str], words: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.startswith("gossip-sim: argument ")
    assert told.count("\n") == 1


def test_what_is_neither_seed_nor_file(capsys: Capture, tmp_path: Path) -> None:
    assert main(["replay", "nowhere.json"]) == 2
    assert "neither a seed, which is a whole number, nor a file" in capsys.readouterr().err
    path = tmp_path / "bad.json"
    path.write_text("{}")
    assert main(["replay", str(path)]) == 2
    assert str(path) in capsys.readouterr().err
