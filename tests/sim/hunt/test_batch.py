"""Batches: resumed from a ledger, added up, and failed by what they never met."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.farm.ledger import Ledger
from sim.hunt import batch
from sim.hunt.batch import Tally, replay_line, run_batch
from sim.hunt.coverage import COVERED, ENOUGH_SEEDS, ENOUGH_STEPS, covered, is_enough, missing
from sim.hunt.trial import Outcome, Task


def outcome(seed: int, rule: str = "", met: dict[str, int] | None = None) -> Outcome:
    return Outcome(
        seed, 4, 5_000, rule=rule, at_s=12.5, detail="why\nwhere", virtual_s=500.0, cpu_s=0.5, met=met or {}
    )


def full() -> dict[str, int]:
    """Everything met once."""
    return {key: 1 for keys in COVERED.values() for key in keys}


def test_a_ledger_spares_what_passed_and_tries_again_what_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    bad = {2}

    def work(task: Task) -> Outcome:
        ran.append(task.seed)
        return outcome(task.seed, "broken" if task.seed in bad else "")

    monkeypatch.setattr(batch, "work", work)
    with Ledger(tmp_path / "fuzz.jsonl") as ledger:
        first = list(run_batch(range(3), 5_000, 1, ledger))
    assert [found.passed for found in first] == [True, True, False]
    bad.clear()
    ran.clear()
    with Ledger(tmp_path / "fuzz.jsonl") as ledger:
        again = list(run_batch(range(4), 5_000, 1, ledger))
    assert ran == [2, 3]
    assert sorted(found.seed for found in again) == [0, 1, 2, 3]
    assert all(found.passed for found in again)
    ran.clear()
    with Ledger(tmp_path / "fuzz.jsonl") as ledger:
        list(run_batch(range(4), 6_000, 1, ledger))
    assert ran == [0, 1, 2, 3], "other steps are other plans"


def test_a_tally_adds_up() -> None:
    tally = Tally(3, 5_000)
    tally.add(outcome(1, met={"x": 3}))
    tally.add(outcome(0, "incarnations rise"))
    tally.end()
    summary = tally.summary()
    assert (summary["seeds"], summary["wanted"], summary["passed"]) == (2, 3, 1)
    assert summary["failed"] == [
        {
            "seed": 0,
            "rule": "incarnations rise",
            "host": "",
            "at_s": 12.5,
            "detail": "why\nwhere",
            "replay": "gossip-sim replay 0 --steps 5000",
        }
    ]
    assert summary["steps"] == 10_000
    assert summary["steps_per_s"] == 10_000
    assert summary["node_seconds_per_s"] == 4_000
    assert not tally.good
    assert replay_line(outcome(7)) == "gossip-sim replay 7 --steps 5000"


@pytest.mark.parametrize("kind", COVERED)
def test_a_batch_that_never_met_something_fails(kind: str) -> None:
    met = full()
    for key in COVERED[kind]:
        del met[key]
    tally = Tally(ENOUGH_SEEDS, 5_000)
    for seed in range(ENOUGH_SEEDS):
        tally.add(outcome(seed, met=met))
    assert kind in tally.unmet
    assert not tally.good
    tally.interrupted = True
    assert tally.unmet == [], "who stops in between is told nothing of the rest"


def test_a_full_or_a_small_batch_passes() -> None:
    tally = Tally(ENOUGH_SEEDS, 5_000)
    for seed in range(ENOUGH_SEEDS):
        assert tally.good
        tally.add(outcome(seed, met=full()))
    assert tally.good
    assert is_enough(ENOUGH_SEEDS, ENOUGH_STEPS)
    assert not is_enough(ENOUGH_SEEDS - 1, ENOUGH_STEPS)
    assert not is_enough(ENOUGH_SEEDS, ENOUGH_STEPS - 1)
    assert missing({}) == list(COVERED)
    assert covered({"alive to suspect": 2, "new, suspect": 3})["suspicions"] == 5
