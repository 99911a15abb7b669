"""`gossip-sim siege`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sim.cli.program import main
from sim.cli.siege import percent
from sim.siege import trial
from sim.siege.trial import Besieged, Siege


def test_results_are_kept_and_gone_on_with(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Besieged] = []
    interrupted = True

    def work(task: Besieged) -> Siege:
        ran.append(task)
        if interrupted and len(ran) == 3:
            raise KeyboardInterrupt
        return Siege(task.seed, int(task.seed == 0 and interrupted), 2, "", {"forge": 5}, "n1 by n2")

    monkeypatch.setattr(trial, "work", work)
    command = ["siege", "--seeds", "0..3", "--jobs", "1", "--json", "--out", str(tmp_path)]
    assert main(command) == 130
    told = capsys.readouterr()
    assert told.err == (
        f"gossip-sim: interrupted after 2 of 4 seeds; {tmp_path} has them, and the same command goes on"
        " from there\n"
    )
    assert json.loads(told.out) == {
        "seeds": 2,
        "wanted": 4,
        "failed": [{"seed": 0, "deaths": 1, "what": "n1 by n2"}],
        "moves": {"forge": 10},
        "deaths_without_it": 4,
        "interrupted": True,
    }
    interrupted = False
    assert main(command) == 0
    assert [task.seed for task in ran] == [0, 1, 2, 0, 2, 3], "what failed is run again"
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "siege.json").read_text())
    ran.clear()
    for changed in (["--loss", "2"], ["--nodes", "5"], ["--seconds", "2"], ["--admission", "open"]):
        assert main([*command, *changed]) == 0
    assert len(ran) == 16, "what is run otherwise is another result"


def test_an_interrupt_tells_what_was_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(task: Besieged) -> Siege:
        if task.seed == 2:
            raise KeyboardInterrupt
        return Siege(task.seed, 0, 0, "", {"forge": 5})

    monkeypatch.setattr(trial, "work", work)
    assert main(["siege", "--seeds", "0..3", "--jobs", "1"]) == 130
    told = capsys.readouterr()
    assert told.err == "gossip-sim: interrupted after 2 of 4 seeds\n"
    assert told.out == "10 forge\n2 of 2 seeds passed: 10 moves, 0 false deaths without the rogue\n"


def test_a_rogue_alone_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["siege", "--seeds", "0", "--nodes", "1"])
    assert ended.value.code == 2
    assert "beside the rogue there must be a node that is honest" in capsys.readouterr().err
    command = ["siege", "--seeds", "0", "--nodes", "2", "--seconds", "1", "--jobs", "1"]
    assert main(command) == 0


@pytest.mark.parametrize("loss", ["200", "-1", "nan", "much"])
def test_a_loss_is_a_share_of_a_hundred(loss: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["siege", "--seeds", "0", f"--loss={loss}"])
    assert ended.value.code == 2
    assert f"'{loss}' is no share of a hundred" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("loss", "is_"),
    [
        ("0", 0),
        ("2", 2),
        ("2%", 2),
        ("0.02", 2),
        ("0.2%", 0.2),
        ("1", 1),
        ("1.5", 1.5),
        ("100%", 100),
        ("0.07", 7),
    ],
)
def test_a_loss_is_written_as_for_a_run_too(loss: str, is_: float) -> None:
    assert percent(loss) == is_
