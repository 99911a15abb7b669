"""`gossip-sim sweep` and `compare` as they are typed: tables, files, resuming, and troubles in words."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sim.cli.program import main
from sim.errors import ScenarioError
from sim.farm.ledger import Ledger
from sim.sweep.contest import Contest, read_side

ROOT = Path(__file__).parents[3]
SCENARIO = """
name = "small"
nodes = 4
duration = "14s"
start = "converged"
[[action]]
do = "crash"
at = "1s"
"""
GRID = """
scenario = "small.toml"
seeds = "0..1"
[grid]
network.loss = [0.0, 0.2]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory to work in, with a scenario and a grid."""
    (tmp_path / "small.toml").write_text(SCENARIO)
    (tmp_path / "grid.toml").write_text(GRID)
    (tmp_path / "fields.toml").write_text(
        'fields = ["detection.full_s", "dropped.loss", "detection.ful_s"]\n' + GRID
    )
    (tmp_path / "twice.toml").write_text('scenario = ["small.toml", "small.toml"]')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _out(capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_a_sweep_prints_a_table_and_keeps_its_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "grid.toml", "--jobs", "1"]) == 0
    out, err = _out(capsys)
    lines = out.splitlines()
    assert re.match(r"network\.loss +runs +converged +one_view_s", lines[0])
    assert re.match(r"0 +2 +2 of 2 ", lines[1])
    assert re.match(r"0\.2 +2 ", lines[2])
    assert err == ""
    with Ledger(place / "grid.results.jsonl") as ledger:
        assert len(ledger.done) == 4
    assert main(["sweep", "grid.toml", "--jobs", "1"]) == 0
    again, err = _out(capsys)
    assert again == out
    assert "4 of 4 runs are in grid.results.jsonl already" in err


def test_a_changed_grid_does_not_take_the_numbers_of_the_one_before(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "grid.toml", "--jobs", "1", "--out", "kept.jsonl"]) == 0
    (place / "grid.toml").write_text(GRID.replace("[0.0, 0.2]", "[0.0, 0.1]"))
    assert main(["sweep", "grid.toml", "--jobs", "1", "--out", "kept.jsonl"]) == 0
    _, err = _out(capsys)
    assert "2 runs in kept.jsonl are of other settings or another version: they are kept, and not used" in err
    assert "2 of 4 runs are in kept.jsonl already" in err


def test_a_sweep_as_json_and_for_other_tools(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import polars as pl

    assert main(["sweep", "grid.toml", "--jobs", "2", "--json", "--export", "rows.csv"]) == 0
    said = json.loads(_out(capsys)[0])
    assert [(cell["settings"], cell["runs"]) for cell in said["cells"]] == [
        ({"network.loss": 0.0}, 2),
        ({"network.loss": 0.2}, 2),
    ]
    detection = said["cells"][0]["fields"]["detection.full_s"]
    assert 1 < detection["p5"] <= detection["median"] <= detection["p95"] < 13
    assert (said["runs"], said["failed"], said["interrupted"]) == (4, [], False)
    with (place / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["scenario"], row["network.loss"], row["seed"]) for row in rows] == [
        ("small", loss, seed) for loss in ("0.0", "0.2") for seed in ("0", "1")
    ]
    assert main(["sweep", "grid.toml", "--json", "--export", "rows.parquet"]) == 0
    frame = pl.read_parquet(place / "rows.parquet")
    assert frame.height == 4
    assert frame["detection.full_s"].to_list() == [float(row["detection.full_s"]) for row in rows]


def test_runs_that_cannot_be_run_are_told_and_the_others_are_there(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "grid.toml").write_text(GRID.replace("0.2", "1.0"))
    assert main(["sweep", "grid.toml", "--jobs", "1"]) == 1
    out, _ = _out(capsys)
    assert "2 runs could not be run to their end:" in out
    assert "scenario=small, network.loss=1, seed=0: small: the nodes do not come to one view" in out


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["sweep", "none.toml"], r"none\.toml: No such file"),
        (["sweep", "small.toml"], r"small\.toml: there is no key 'name'"),
        (["sweep", "twice.toml"], "small {} is in the grid twice"),
        (["sweep", "grid.toml", "--jobs", "0"], "--jobs 0"),
        (["sweep", "grid.toml", "--export", "x.xls"], r"must end with \.csv or \.parquet"),
        (["sweep", "grid.toml", "--export", "nodir/x.csv"], r"nodir/x\.csv: no file can be written there"),
        (["sweep", "fields.toml"], r"fields\.toml: fields: a summary has no 'detection\.ful_s'; it has "),
        (["sweep", "grid.toml", "--scheduler", ""], "--scheduler: write the address"),
        (["compare", "small.toml", "none"], "no scenario is called 'none'"),
        (["compare", "small.toml", "small.toml"], "are the same: change one"),
        (["compare", "small.toml", "small.toml?nodes"], "no change: write it like"),
        (["compare", "small.toml", "small.toml?nodes=0"], "node"),
        (["compare", "small.toml", "small.toml?nodes=5", "--seeds", "x"], "seeds 'x'"),
        (["compare", "small.toml", "small.toml?network.loss=1.0", "--jobs", "1"], "seed 0: .*one view"),
    ],
)
def test_bad_input_is_told_in_words(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    assert main(arguments) == 2
    out, err = _out(capsys)
    assert out == ""
    assert re.fullmatch(rf"gossip-sim: .*{problem}.*\n", err)
    assert all(file.read_bytes().count(b"\n") == 1 for file in place.glob("*.results.jsonl")), "it ran"


def test_a_results_file_that_is_something_else_is_left_alone(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "grid.toml", "--out", "small.toml"]) == 1
    assert "not a file of results" in _out(capsys)[1]
    assert (place / "small.toml").read_text() == SCENARIO


def test_a_full_disk_is_told_and_what_was_run_is_kept(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_500, hard))
    try:
        assert main(["sweep", "grid.toml", "--jobs", "1"]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    _, err = _out(capsys)
    assert re.search(r"grid\.results\.jsonl: File too large; the [12] results before are kept", err)
    with Ledger(place / "grid.results.jsonl") as ledger:
        assert 1 <= len(ledger.done) <= 2
    assert main(["sweep", "grid.toml", "--jobs", "1"]) == 0


def test_where_an_export_does_not_fit_the_one_before_is_kept(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "grid.toml", "--jobs", "1"]) == 0
    (place / "rows.csv").write_text("of yesterday\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        assert main(["sweep", "grid.toml", "--jobs", "1", "--export", "rows.csv"]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "rows.csv: File too large" in _out(capsys)[1]
    assert (place / "rows.csv").read_text() == "of yesterday\n"
    assert not list(place.glob(".rows*"))


def test_an_interrupt_keeps_what_was_run_and_tells_how_to_go_on(place: Path) -> None:
    """As Ctrl-C in a terminal, which reaches the whole group, after the first run is in the file."""
    (place / "grid.toml").write_text(GRID.replace("0..1", "0..9999"))
    process = subprocess.Popen(
        [sys.executable, "-m", "sim", "sweep", "grid.toml", "--jobs", "2"],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    results = place / "grid.results.jsonl"
    while process.poll() is None and (not results.exists() or results.read_bytes().count(b"\n") < 2):
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    found = re.fullmatch(
        r"gossip-sim: interrupted; (\d+) of 20000 runs are kept in grid\.results\.jsonl:"
        r" the same command goes on from there\n",
        err,
    )
    assert found is not None, err
    assert "Median of the runs" in out
    with Ledger(results) as ledger:
        assert len(ledger.done) == int(found[1])


def test_a_comparison_tells_what_differs(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    other = "small.toml?settings.suspicion_alpha=2.0,network.loss=0.0"
    arguments = ["compare", "small.toml", other, "--seeds", "0..9", "--no-codec", "--jobs", "1", "--json"]
    assert main(arguments) == 0
    said = json.loads(_out(capsys)[0])
    assert (said["a"], said["b"], said["pairs"], said["same_runs"]) == ("small.toml", other, 10, 0)
    fields = {each["field"]: each for each in said["fields"]}
    detection = fields["detection.full_s"]
    assert (detection["less"], detection["more"], detection["differs"]) == (0, 10, True)
    assert 0 < detection["low"] <= detection["mean"] <= detection["high"]
    assert not fields["false_deaths"]["differs"]


def test_a_value_of_a_side_may_have_commas_and_equals_signs(place: Path) -> None:
    said = "small.toml?network.burst={enter=0.1,leave=0.5},name='a,b=c',seeds=2, network.loss=1%,group=[]"
    document = read_side(said).scenario.document
    assert document["network"] == {"burst": {"enter": 0.1, "leave": 0.5}, "loss": "1%"}
    assert (document["name"], document["seeds"], document["group"]) == ("a,b=c", 2, [])
    said = "small.toml?description=it's 5, or [so,nodes=6"
    assert read_side(said).scenario.nodes == 6, "a quote and a bracket in a word are letters"


@pytest.mark.parametrize("change", ["network.mtu=10", "settings.period=nan"])
def test_a_side_that_cannot_be_is_told_in_a_line(
    change: str, capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    assert main(["compare", "small.toml", f"small.toml?{change}"]) == 2
    _, err = _out(capsys)
    assert err.startswith(f"gossip-sim: small.toml?{change}: ")
    assert err.count("\n") == 1


def test_a_comparison_that_changes_nothing_says_so(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    """Tombstones live for hours: in 14 s it is all the same for how long."""
    other = "small.toml?name=other"
    assert main(["compare", "small.toml", other, "--seeds", "0..2", "--no-codec", "--jobs", "1"]) == 0
    out, _ = _out(capsys)
    assert "Each pair is the same run, message for message" in out
    assert "3 pairs of runs" in out


def test_sides_that_differ_in_their_measured_delays_are_not_the_same(place: Path) -> None:
    text = SCENARIO.replace("[[action]]", '[network]\nlatency = "file delays.txt"\n[[action]]')
    for number in (1, 2):
        (place / f"{number}").mkdir()
        (place / f"{number}" / "small.toml").write_text(text)
        (place / f"{number}" / "delays.txt").write_text(f"{number}ms\n")
    first = read_side("1/small.toml")
    assert len(Contest(first, read_side("2/small.toml"), [0]).trials) == 2
    (place / "2" / "delays.txt").write_text("1ms\n")
    with pytest.raises(ScenarioError, match="are the same"):
        Contest(first, read_side("2/small.toml"), [0])


def test_a_comparison_is_kept_with_plots_and_goes_on(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    arguments = ["compare", "small.toml", "small.toml?nodes=6", "--jobs", "1", "--no-codec", "--out", "kept"]
    assert main([*arguments, "--seeds", "0..1"]) == 0
    out, _ = _out(capsys)
    assert "So few pairs cannot show a difference: give more --seeds." in out
    kept = {path.name for path in (place / "kept").iterdir()}
    assert kept >= {"runs.jsonl", "compare.json", "compare-convergence.png", "compare-detection.svg"}
    before = (place / "kept" / "runs.jsonl").read_bytes()
    assert main([*arguments, "--seeds", "0..2", "--json"]) == 0
    said = json.loads(_out(capsys)[0])
    assert said["pairs"] == 3
    assert json.loads((place / "kept" / "compare.json").read_text()) == said
    after = (place / "kept" / "runs.jsonl").read_bytes()
    assert after.startswith(before)
    assert after.count(b"\n") == before.count(b"\n") + 2


def test_an_interrupted_comparison_tells_of_the_pairs_that_are_done(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from sim.sweep import trial as module

    perform = module.perform
    ran: list[str] = []

    def three(trial: Any) -> Any:
        if len(ran) == 3:
            raise KeyboardInterrupt
        ran.append(trial.key)
        return perform(trial)

    monkeypatch.setattr(module, "perform", three)
    arguments = ["compare", "small.toml", "small.toml?nodes=6", "--jobs", "1", "--no-codec"]
    assert main(arguments) == 130
    out, err = _out(capsys)
    assert err == "gossip-sim: interrupted after 1 of 10 pairs\n"
    assert "1 pair of runs" in out
