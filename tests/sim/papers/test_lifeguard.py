"""Lifeguard's two experiments: the test bed, the judges, and small runs of both."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec
import pytest

from sim.papers import lifeguard_interval as interval
from sim.papers import lifeguard_threshold as threshold
from sim.papers.lifeguard import (
    ANOMALOUS,
    CONFIGS,
    Cell,
    Interval,
    Threshold,
    percentile,
    play_interval,
    play_threshold,
    spearman,
    variant_of,
)
from sim.papers.paper import Budget, Outcome, Paper

PAPERS = [threshold.PAPER, interval.PAPER]


def as_json(result: object) -> Any:
    """As a ledger gives it back."""
    return msgspec.json.decode(msgspec.json.encode(result))


# The test bed


def test_agents_that_block_once_are_found_after_one_probe_one_period_and_the_suspicion() -> None:
    result = play_threshold(Cell("SWIM", 3, 16_384, 0, seed=4, agents=24))
    assert result.anomalous == 3
    assert len(result.first) == 3
    suspicion = variant_of("SWIM").patience
    assert suspicion is not None
    for seconds in result.first:
        # The first probe comes within two rounds at worst; mostly within three seconds.
        assert suspicion(24, 0) + 0.9 < seconds < suspicion(24, 0) + 6.0
    assert all(first <= full for first, full in zip(sorted(result.first), sorted(result.full), strict=True))


def test_who_blocks_for_less_than_the_suspicion_is_not_found() -> None:
    result = play_threshold(Cell("SWIM", 3, 4_096, 0, seed=4, agents=24))
    assert (result.first, result.full) == ([], [])


def test_agents_that_block_again_and_again_hold_healthy_ones_for_dead() -> None:
    """Suspicions that they raise when they go on expire in the next block (SWIM), or wait (Lifeguard)."""
    swim = play_interval(Cell("SWIM", 3, 16_384, 64, seed=2, agents=24))
    lifeguard = play_interval(Cell("Lifeguard", 3, 16_384, 64, seed=2, agents=24))
    assert swim.false_positives >= 3 * 5
    assert swim.at_healthy <= swim.false_positives // 10
    assert lifeguard.false_positives < swim.false_positives / 5
    assert swim.seconds == pytest.approx(15 + 8 * 16.384 + 7 * 0.064)
    assert swim.messages > 24 * 100
    assert 40 < swim.bytes / swim.messages < 1_400


def test_stopped_processes_do_not() -> None:
    """Their timers wait too, so that refutations are handled first: the anomaly's model decides."""
    stopped = play_interval(Cell("SWIM", 3, 16_384, 64, seed=2, model="stopped", agents=24))
    assert stopped.false_positives <= 3


def test_configurations_are_compared_under_the_same_choice_of_agents() -> None:
    """With an anomaly too short to matter nothing tells SWIM from the Buddy System."""
    results = [
        play_interval(Cell(config, 2, 64, 64, seed=9, agents=8)) for config in ("SWIM", "Buddy System")
    ]
    assert results[0] == results[1]


def test_a_cell_is_a_function_of_what_its_key_says() -> None:
    cell = Cell("Lifeguard", 2, 8_192, 16, seed=6, agents=10)
    assert play_interval(cell) == play_interval(cell)
    assert play_interval(cell) != play_interval(msgspec.structs.replace(cell, seed=7))


# Numbers


def test_percentiles_lie_between_values() -> None:
    assert percentile([], 0.5) is None
    assert percentile([3.0], 0.99) == 3.0
    assert percentile([4.0, 1.0, 2.0, 3.0], 0.5) == 2.5
    assert percentile([float(value) for value in range(101)], 0.99) == pytest.approx(99.0)


def test_spearman_is_of_ranks() -> None:
    assert spearman([1, 2, 3, 4], [10, 100, 1_000, 1_001]) == pytest.approx(1.0)
    assert spearman([1, 2, 3, 4], [4, 3, 2, 1]) == pytest.approx(-1.0)
    assert spearman([1, 2, 3, 4], [1, 1, 2, 2]) == pytest.approx(0.8944, abs=1e-4)
    assert spearman([1, 2, 3], [5, 5, 5]) == 0.0


def test_the_published_figures_add_up_to_the_published_table() -> None:
    """They were digitised; the sums show how well."""
    for config, (false, at_healthy) in interval.TABLE_IV.items():
        assert sum(interval.FIGURE_2[config]) == pytest.approx(false, rel=1e-3)
        assert sum(interval.FIGURE_3[config]) == pytest.approx(at_healthy, abs=1)


# Tasks and judges


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
@pytest.mark.parametrize("quick", [True, False])
def test_keys_are_unique_and_tasks_pickle(paper: Paper, quick: bool) -> None:
    cells = paper.tasks(Budget(blocks=2, quick=quick))
    assert len({cell.key for cell in cells}) == len(cells)
    assert pickle.loads(pickle.dumps(cells[0])) == cells[0]  # noqa: S301 - our own bytes


def test_the_grids_are_whole() -> None:
    assert len(threshold.PAPER.tasks(Budget())) == 5 * 9 * 2 * 10 + 9 * 9 * 3 * 2
    assert len(interval.PAPER.tasks(Budget())) == 5 * 9 * (3 * 8 + 3) + 2 * 4


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_a_quick_run_is_judged(paper: Paper) -> None:
    budget = Budget(quick=True)
    results = {cell.key: as_json(paper.work(cell)) for cell in paper.tasks(budget)}
    outcome = paper.judge(budget, results)
    assert [row for row in outcome.rows if row.ours is not None]
    assert outcome.figures


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.name)
def test_nothing_is_judged_without_results(paper: Paper) -> None:
    outcome = paper.judge(Budget(), {})
    assert all(row.ours is None and row.passed is None for row in outcome.rows)


def verdicts(outcome: Outcome) -> dict[str, bool | None]:
    return {row.quantity: row.passed for row in outcome.rows}


def published_threshold(cell: Cell) -> Threshold:
    """A run in which all happens as the tables say."""
    if cell.config in threshold.TABLE_V:
        return Threshold([12.44], [12.90], 1)
    share = threshold.TABLE_VII_FIRST[cell.config] / 100
    tail = threshold.TABLE_VII_P99[cell.config] / 100
    return Threshold([12.44 * share] * 40 + [12.44 * tail], [12.9], 1)


def test_the_published_medians_pass_and_others_fail() -> None:
    paper = threshold.PAPER
    cells = paper.tasks(Budget())
    good = {cell.key: as_json(published_threshold(cell)) for cell in cells}
    passed = verdicts(paper.judge(Budget(), good))
    assert passed["SWIM: first detection, median, s"]
    assert passed["Lifeguard: full dissemination, median, s"]
    assert passed["SWIM: first detection, p99, s"] is False, "all at the median: no tail"
    assert passed["Lifeguard(2,4): median first detection, % of SWIM"]
    assert passed["alpha = 2: p99 from beta = 2 to 6, percentage points"]
    late = {
        key: result | {"first": [value * 1.05 for value in result["first"]]}
        if key.startswith("LHA-P")
        else result
        for key, result in good.items()
    }
    failed = verdicts(paper.judge(Budget(), late))
    assert failed["LHA-Probe: first detection, median, s"] is False
    assert failed["largest of the five median first detections above the smallest, %"] is False


def published_interval(cell: Cell) -> Interval:
    """A run whose counts are the published ones of its C, spread evenly over D and I."""
    place = ANOMALOUS.index(cell.anomalous)
    cells = len(interval.BLOCKED_MS) * len(interval.FREE_MS) * interval.PUBLISHED_REPETITIONS
    false = interval.FIGURE_2[cell.config][place] / cells
    at_healthy = interval.FIGURE_3[cell.config][place] / cells
    return Interval(round(false), round(at_healthy), 100_771, 368 * 100_771, 135.0, 0)


def test_the_published_counts_pass_and_others_fail() -> None:
    paper = interval.PAPER
    good = {cell.key: as_json(published_interval(cell)) for cell in paper.tasks(Budget())}
    passed = verdicts(paper.judge(Budget(), good))
    for quantity in (
        "SWIM: false positives (FP)",
        "SWIM: FP against C, Spearman",
        "SWIM: FP at C = 32 over C = 1",
        "Buddy System: FP, % of SWIM",
        "LHA-Probe: FP, % of SWIM",
        "LHA-Suspicion: FP, % of SWIM",
        "Lifeguard: FP, % of SWIM",
        "Lifeguard: FP without I = 1 ms, % of SWIM",
        "SWIM's FP over Lifeguard's, at the C where it is least",
        "SWIM: messages per run",
    ):
        assert passed[quantity], quantity
    worse = {
        key: result | {"false_positives": 3 * result["false_positives"]} if "Lifeguard" not in key else result
        for key, result in good.items()
    }
    assert verdicts(paper.judge(Budget(), worse))["SWIM: false positives (FP)"] is False
    as_swim = {
        key: good[key.replace("Lifeguard", "SWIM")] if key.startswith("Lifeguard") else result
        for key, result in good.items()
    }
    failed = verdicts(paper.judge(Budget(), as_swim))
    assert failed["Lifeguard: FP, % of SWIM"] is False
    assert failed["LHA-Suspicion: FP, % of SWIM"] is False
    assert failed["SWIM's FP over Lifeguard's, at the C where it is least"] is False


def test_every_configuration_has_a_row_of_each_table() -> None:
    assert set(threshold.TABLE_V) == set(interval.TABLE_IV) == set(interval.MESSAGES_M) == set(CONFIGS)
