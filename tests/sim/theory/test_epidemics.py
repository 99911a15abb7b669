"""Epidemics on arrays follow the laws, and are the same wherever they are run."""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import fmean

import pytest

from sim.chance import derive
from sim.theory import swim
from sim.theory.draws import Draws
from sim.theory.infection import Clocks, everyone
from sim.theory.rounds import WAYS, Way, expected_rounds, pull_step, push_step, rounds
from sim.theory.rumours import RULES, residue_law, spread, traffic_law

np = pytest.importorskip("numpy")


def test_draws_are_the_same_everywhere() -> None:
    assert Draws(1, "a").below(1_000, 2, 3).tolist() == [[774, 832, 822], [488, 379, 748]]
    assert Draws(1, "b").below(1_000, 2, 3).tolist() != Draws(1, "a").below(1_000, 2, 3).tolist()


def test_draws_are_even_and_in_range() -> None:
    drawn = Draws(2, "even").below(7, 100, 1_001)
    counts = np.bincount(drawn.ravel())
    assert len(counts) == 7
    assert abs(counts / drawn.size - 1 / 7).max() < 0.005


def test_nobody_calls_itself() -> None:
    called = Draws(3, "others").others(5, 4_000)
    assert called.min() == 0
    assert called.max() == 4
    for member in range(5):
        others = np.bincount(called[:, member], minlength=5)
        assert others[member] == 0
        assert others.sum() == 4_000
        assert np.delete(others, member).min() > 900


@pytest.mark.parametrize(("way", "constant"), [("push", 1.2), ("pull", 1.0), ("push-pull", 0.0)])
def test_rounds_follow_the_laws(way: Way, constant: float) -> None:
    taken = rounds(way, 1_000, 200, Draws(4, way))
    assert taken.shape == (200,)
    assert taken.mean() == pytest.approx(expected_rounds(way, 1_000) + constant, abs=0.4)
    # Nothing doubles faster than by calling and being called.
    assert taken.min() >= math.log(1_000, 2 if way != "push-pull" else 4)


def test_two_members_need_one_round() -> None:
    for way in WAYS:
        assert rounds(way, 2, 50, Draws(5, way)).tolist() == [1] * 50


def test_the_recurrences() -> None:
    assert pull_step(0.5) == 0.25
    assert push_step(0.01, 1_000) == pytest.approx(0.01 * math.exp(-0.99), rel=1e-3)


def test_residue_and_traffic_by_law() -> None:
    assert residue_law(1) == pytest.approx(0.2, abs=0.005)
    assert residue_law(2) == pytest.approx(0.06, abs=0.001)
    assert traffic_law(3.3) == pytest.approx(0.037, abs=5e-4)


def test_every_rule_is_between_nobody_and_all() -> None:
    for rule in RULES:
        result = spread(rule, 2, 200, 50, Draws(6, rule))
        for part in (result.residue, result.traffic, result.average, result.last):
            assert part.shape == (50,)
        assert (result.residue >= 0).all()
        assert (result.residue < 1).all()
        assert (result.last >= result.average).all()


def test_more_patience_leaves_fewer_out() -> None:
    for rule in RULES:
        residues = [spread(rule, k, 500, 100, Draws(7, rule, k)).residue.mean() for k in (1, 2, 3)]
        assert all(earlier > later for earlier, later in pairwise(residues)), rule


def test_pushing_obeys_the_traffic_law() -> None:
    for rule in RULES[:2]:
        result = spread(rule, 3, 1_000, 100, Draws(8, rule))
        assert math.log(result.residue.mean()) + result.traffic.mean() == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize(("clocks", "mean"), [("poisson", swim.infection_everyone(55)), ("periodic", 3.86)])
def test_a_rumour_on_pings_and_acks(clocks: Clocks, mean: float) -> None:
    spans = [everyone(55, clocks, 0.0, derive(9, clocks, run)) for run in range(400)]
    assert fmean(last for _, last in spans) == pytest.approx(mean, rel=0.05)
    assert all(0.0 < half < last for half, last in spans)


def test_loss_slows_it_down() -> None:
    times = [
        fmean(everyone(55, "periodic", loss, derive(10, run))[1] for run in range(200)) for loss in (0.0, 0.3)
    ]
    assert times[1] > 1.2 * times[0]
