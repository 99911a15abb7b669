"""Who holds what of whom, over time, against what the nodes themselves hold at the end."""

from __future__ import annotations

import numpy as np

from sim.draw.beliefs import STATUSES, beliefs_of, raster
from tests.sim.draw.runs import belief, event, made, real

END_US = 10_000_000


def test_who_runs_from_the_beginning_holds_the_others_alive() -> None:
    beliefs = beliefs_of(made(3).tables(), END_US, steps=10)
    assert beliefs.changes == [[(0, (2, 0, 0, 0))]] * 3
    assert beliefs.running == [(0, 3)], "to the end"


def test_changes_are_counted_by_subject_at_their_steps() -> None:
    rows = [belief(1.5, 0, 2, "suspect"), belief(1.7, 1, 2, "suspect"), belief(4.0, 0, 2, "dead")]
    beliefs = beliefs_of(made(3, beliefs=rows).tables(), END_US, steps=10)
    assert beliefs.changes[2] == [(0, (2, 0, 0, 0)), (1, (0, 2, 0, 0)), (4, (0, 1, 1, 0))]
    assert beliefs.changes[0] == [(0, (2, 0, 0, 0))]


def test_what_is_held_of_a_former_identity_says_nothing_of_the_node() -> None:
    rows = [belief(2, 0, 1, "dead", former=True)]
    beliefs = beliefs_of(made(2, beliefs=rows).tables(), END_US, steps=10)
    assert beliefs.changes[1] == [(0, (1, 0, 0, 0))]


def test_an_observer_that_ends_holds_nothing_and_begins_with_nothing() -> None:
    result = made(
        nodes=[{"number": 0, "lives": 2}, {"number": 1, "lives": 1}, {"number": 2, "lives": 1}],
        events=[event(2, 0, "ended"), event(5, 0, "started")],
        beliefs=[belief(1, 0, 1, "suspect"), belief(5, 0, 2, "alive")],
    )
    beliefs = beliefs_of(result.tables(), END_US, steps=10)
    assert beliefs.changes[1] == [(0, (2, 0, 0, 0)), (1, (1, 1, 0, 0)), (2, (1, 0, 0, 0))]
    assert beliefs.changes[2] == [(0, (2, 0, 0, 0)), (2, (1, 0, 0, 0)), (5, (2, 0, 0, 0))]
    assert beliefs.running == [(0, 3), (2_000_000, 2), (5_000_000, 3)]


def test_a_coarser_grid_keeps_what_held_at_the_end_of_each_step() -> None:
    rows = [belief(2.5, 0, 1, "suspect"), belief(3.5, 0, 1, "dead")]
    beliefs = beliefs_of(made(2, beliefs=rows).tables(), END_US, steps=10)
    coarser = beliefs.coarser()
    assert (coarser.steps, coarser.step_us) == (5, 2_000_000)
    assert coarser.changes[1] == [(0, (1, 0, 0, 0)), (1, (0, 0, 1, 0))]
    assert coarser.size() < beliefs.size()


def test_the_raster_has_a_row_a_node_and_counts_the_others_that_run() -> None:
    result = made(
        nodes=[{"number": 0, "lives": 1}, {"number": 1, "lives": 1}, {"number": 2, "lives": 1}],
        events=[event(5, 2, "ended")],
        beliefs=[belief(7, 0, 2, "dead")],
    )
    counts, others = raster(beliefs_of(result.tables(), END_US, steps=10), np)
    assert counts.shape == (3, 10, len(STATUSES))
    assert counts[2, :, 0].tolist() == [2] * 7 + [1] * 3
    assert counts[2, :, 2].tolist() == [0] * 7 + [1] * 3
    assert others[0].tolist() == [2] * 5 + [1] * 5
    assert others[2].tolist() == [2] * 10


def test_at_the_end_of_a_real_run_the_counts_are_what_the_nodes_hold() -> None:
    """Two of eight crashed and came back as others: every node holds the seven others alive."""
    tables = real().tables()
    assert tables["nodes"]["alive"] == [7] * 8
    beliefs = beliefs_of(tables, 30_000_000)
    counts, others = raster(beliefs, np)
    assert counts[:, -1, 0].tolist() == others[:, -1].tolist() == [7] * 8
    crashed = [number for number, lives in enumerate(beliefs.lives) if len(lives) == 2]
    assert len(crashed) == 2
    at_19_s = 19_000_000 // beliefs.step_us
    assert counts[crashed, at_19_s, 2].tolist() == [6, 6]
    assert counts[..., :].min() == 0
