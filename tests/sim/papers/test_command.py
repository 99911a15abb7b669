"""`gossip-sim paper`, as typed."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.cli import main
from sim.papers import PAPERS

QUICK = ("false-suspicions", "--quick", "--jobs", "1")


def paper(*arguments: str) -> int:
    return main(["paper", *arguments])


def test_a_quick_run_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert paper(*QUICK) == 0
    output = capsys.readouterr().out
    assert output.startswith("3. False suspicions under loss (SWIM")
    assert "nothing judged" in output
    assert "failed probes, q=0.9, k=1" in output


def test_json_rows(capsys: pytest.CaptureFixture[str]) -> None:
    assert paper(*QUICK, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"quantity", "ours", "theirs", "tolerance", "pass"} <= rows[0].keys()
    assert rows[0]["pass"] is None
    assert rows[0]["theirs"] == pytest.approx(0.2125, abs=1e-3)


def test_what_was_computed_is_not_computed_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert paper(*QUICK, "--out", str(tmp_path)) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"false-suspicions.{ending}" for ending in ("json", "jsonl", "md", "png", "svg")}
    ledger = tmp_path / "false-suspicions.jsonl"
    lines = ledger.read_text().splitlines()
    changed = [line.replace('"failed":', '"failed":1') for line in lines]
    ledger.write_text("\n".join(changed) + "\n")
    capsys.readouterr()
    assert paper(*QUICK, "--out", str(tmp_path), "--json") == 0
    ours = json.loads(capsys.readouterr().out)[0]["ours"]
    assert ours > 0.5, "the ledger was believed"
    assert paper(*QUICK, "--out", str(tmp_path), "--json", "--fresh") == 0
    assert json.loads(capsys.readouterr().out)[0]["ours"] == pytest.approx(0.21, abs=0.03)


def test_the_table_is_made_from_stored_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert paper(*QUICK, "--out", str(tmp_path)) == 0
    capsys.readouterr()
    assert paper("--table", str(tmp_path)) == 0
    page = capsys.readouterr().out
    assert "| 3 | [False suspicions under loss](#false-suspicions) |" in page
    assert "| failed probes, q=0.9, k=1 |" in page


def test_a_full_disk_costs_no_rows_and_leaves_no_half_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The results of the tasks are short; the report is what does not fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500, hard))
    try:
        assert paper(*QUICK, "--out", str(tmp_path)) == 1
        told = capsys.readouterr()
        assert "failed probes, q=0.9, k=1" in told.out
        assert "written to" not in told.out
        assert paper(*QUICK, "--out", str(tmp_path), "--json") == 1
        assert json.loads(capsys.readouterr().out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    report = tmp_path / "false-suspicions.json"
    assert told.err == f"gossip-sim: {report}: File too large; what else was written is whole\n"
    assert [path.name for path in tmp_path.iterdir()] == ["false-suspicions.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nonsense",), "no experiment 'nonsense'"),
        ((), "which experiment"),
        (("epidemics", "--blocks", "0"), "--blocks 0"),
        (("epidemics", "--jobs", "0"), "--jobs 0"),
        (("--table", "/nonexistent"), "no report in /nonexistent"),
    ],
)
def test_bad_usage(arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert paper(*arguments) == 2
    assert message in capsys.readouterr().err


def test_the_list_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert paper("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert sorted(line.split()[0] for line in lines) == sorted(PAPERS)


def test_an_interrupted_run_keeps_what_it_has(tmp_path: Path) -> None:
    """Ctrl-C after the first task: 130, a table of what there is, nothing judged; the next run goes on."""
    pytest.importorskip("matplotlib")
    command = [sys.executable, "-m", "sim", "paper", "swim-fig4", "--jobs", "1", "--blocks", "1"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    ledger = tmp_path / "swim-fig4.jsonl"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if ledger.exists() and len(ledger.read_bytes().splitlines()) >= 2:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "nothing judged" in output
    assert "interrupted" in errors
    stored = json.loads((tmp_path / "swim-fig4.json").read_text())
    assert 1 <= stored["done"] < stored["total"]
    assert {row["passed"] for row in stored["outcome"]["rows"]} == {None}
