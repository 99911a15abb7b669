"""Two settings in the same axes."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.draw.overlay import mean, overlay, pooled
from sim.draw.story import Series, Spread, curves_of
from tests.sim.draw.runs import made, real


def test_a_mean_holds_each_value_until_the_next() -> None:
    curve = mean([Series([0.0, 5.0], [0.0, 2.0]), Series([0.0, 7.5], [4.0, 0.0])], end_s=10.0)
    at = dict(zip(curve.x, curve.y, strict=True))
    assert (at[0.0], at[5.0], at[7.5], at[10.0]) == (2.0, 3.0, 1.0, 1.0)


def test_pooled_runs_weigh_as_many_cases_as_they_have() -> None:
    """The second was thinned: its one value stands for eight cases; of the first, two of four never ended."""
    pool = pooled([Spread([1.0, 3.0], 0.5, 4), Spread([2.0], 1.0, 8)])
    assert pool.cases == 12
    assert pool.share == pytest.approx(10 / 12)
    assert pool.delays == [2.0, 2.0, 3.0]
    equal = pooled([Spread([1.0, 3.0], 1.0, 2), Spread([2.0, 4.0], 1.0, 2)])
    assert equal.delays == [1.0, 2.0, 3.0, 4.0]
    assert pooled([Spread([], 0.0, 3)]).share == 0.0


def test_what_both_have_is_drawn_and_what_none_has_is_not(tmp_path: Path) -> None:
    quiet = curves_of(made(3, samples=[{"at_us": 0, "running": 3, "views": 1}]))
    names = {path.name for path in overlay({"A": [quiet], "B" * 100: [quiet, quiet]}, tmp_path / "quiet")}
    assert names == {f"compare-{what}.{kind}" for what in ("convergence", "load") for kind in ("png", "svg")}
    busy = curves_of(real())
    names = {path.stem for path in overlay({"A": [quiet], "B": [busy]}, tmp_path / "busy")}
    assert names == {
        "compare-convergence",
        "compare-load",
        "compare-detection",
        "compare-dissemination-joins",
        "compare-dissemination-services",
    }
