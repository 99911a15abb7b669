"""Medians, ranges, signs and intervals, against values worked out by hand."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from sim import Scenario, run
from sim.errors import ScenarioError
from sim.sweep.numbers import CASES, USUAL, digest, flat, known_fields, measured, usual_fields
from sim.sweep.paired import compare
from sim.sweep.text import aligned, folded, number, ranged, said, shown

CRASHES: tuple[tuple[int, float | None], ...] = (0, None), (1, None), (1, 3.0)
"""How many are judged, and after how long all had noticed."""


def test_numbers_of_a_summary_have_dotted_names() -> None:
    summary = {"a": 1, "b": {"c": None, "d": {"e": True}}, "name": "x", "list": [1]}
    assert flat(summary) == {"a": 1, "b.c": None, "b.d.e": True}


def test_a_digest_takes_what_never_happened_for_more_than_anything() -> None:
    whole = digest([5, 1, 4, 2, 3])
    assert (whole.mean, whole.median, whole.p5, whole.p95, whole.least, whole.most) == (3, 3, 1, 5, 1, 5)
    some = digest([1, 2, 3, None])
    assert (some.never, some.mean, some.median, some.p95, some.most) == (1, None, 2.5, None, None)
    assert (some.p5, some.least) == (1, 1)
    assert digest([1, None, None]).median is None
    assert digest([]).median is None


def test_usual_fields_are_those_with_a_value() -> None:
    runs: list[dict[str, Any]] = [
        {"converged": True, "one_view_s": None},
        {"converged": False, "one_view_s": None, "false_deaths": 0},
    ]
    assert usual_fields(runs) == ["converged", "false_deaths"]
    assert known_fields(["one_view_s"], runs) == ["one_view_s"]
    with pytest.raises(ScenarioError, match="no 'views'; it has converged"):
        known_fields(["views"], runs)


def test_what_there_was_nothing_to_measure_of_has_not_failed_to_happen() -> None:
    """A quiet run, one in which all that could happen did not, and a summary that is one."""
    quiet: dict[str, Any] = {
        "one_view_s": 0.0,
        "last_change_s": None,
        "detection.judged": 0,
        "facts.heard": 0,
        "facts.unheard": 0,
        "facts.judged": 0,
        "facts.joins": 0,
        "facts.events": 0,
        "messages_per_node_s": None,
    }
    failed = dict.fromkeys(quiet, 1) | {"one_view_s": None}
    of_what_happens = [
        "one_view_again_s",
        "detection.full_s",
        "dissemination_s.p99",
        "facts.everywhere_median_s",
        "joins_s.max",
        "events_s.p50",
    ]
    for field in of_what_happens:
        assert measured(field, [quiet, failed, {field: 3.0}]) == [None, 3.0], field
    assert measured("one_view_s", [failed]) == [None]
    assert measured("messages_per_node_s", [quiet]) == []
    assert shown(measured("detection.full_s", [quiet, quiet])) == "-"


def test_the_counts_by_which_that_is_told_are_in_every_summary() -> None:
    still = 'nodes = 2\nduration = "2s"\nstart = "converged"\n'
    run_ = flat(run(Scenario.parse(still), 1, codec=False).summary)
    assert run_["last_change_s"] is None
    assert {case for cases in CASES.values() for case in cases} <= run_.keys()
    assert [field for field in USUAL if measured(field, [run_]) == [None]] == []
    assert measured("one_view_s", [run_]) == [0.0]


def test_numbers_are_shown_with_the_digits_that_count() -> None:
    shown_as = [number(value) for value in (None, 0.0, 0.000123456, 1.0, 12.345, 999.9, 1234.5, -2.0)]
    assert shown_as == ["-", "0", "0.000123", "1", "12.3", "1000", "1,234", "-2"]
    assert [ranged(digest(values)) for values in ([], [None], [2, 2], [1, 2, 3], [1, None, None])] == [
        "-",
        "never",
        "2",
        "2 (1..3)",
        "never (1..never)",
    ]
    assert shown([True, False, True]) == "2 of 3"
    assert [said(value) for value in (True, 0.5, "x", [1])] == ["true", "0.5", "x", "[1]"]


def test_a_table_that_is_too_wide_is_folded_and_repeats_its_words() -> None:
    rows = [["k", "aaaa", "bbbb"], ["x", "1", "2"]]
    assert aligned(rows) == "k  aaaa  bbbb\nx     1     2"
    assert folded(rows, 1, 80) == aligned(rows)
    assert folded(rows, 1, 9) == "k  aaaa\nx     1\n\nk  bbbb\nx     2"


def _pairs(*differences: float | None) -> list[tuple[dict[str, float | None], dict[str, float | None]]]:
    return [({"x": 1.0}, {"x": None if by is None else 1.0 + by}) for by in differences]


def test_the_sign_test_is_exact() -> None:
    """P of k or fewer of n fair coins, twice; ties are left out."""
    (nine_of_ten,) = compare(["x"], _pairs(*[0.5] * 9, -0.5, 0.0))
    assert (nine_of_ten.less, nine_of_ten.more) == (1, 9)
    assert nine_of_ten.p == pytest.approx(2 * (1 + 10) / 2**10)
    assert nine_of_ten.differs
    (five,) = compare(["x"], _pairs(*[0.5] * 5))
    assert five.p == pytest.approx(2 / 2**5)
    assert not five.differs
    (even,) = compare(["x"], _pairs(1, -1))
    assert even.p == 1.0


def test_chances_are_those_of_fair_coins() -> None:
    """All 2^6 outcomes of six pairs: at most 5 % of them may be told as a difference."""
    told = sum(compare(["x"], _pairs(*signs))[0].differs for signs in itertools.product((-1, 1), repeat=6))
    assert 0 < told / 2**6 <= 0.05


def test_several_fields_are_adjusted_by_holm_and_constant_ones_do_not_count() -> None:
    pairs = [({"x": 0, "y": 0, "z": 7}, {"x": 1, "y": (-1) ** n, "z": 7}) for n in range(10)]
    x, y, z = compare(["x", "y", "z", "absent"], pairs)
    assert x.p == pytest.approx(2 * 2 / 2**10)
    assert (y.p, z.p) == (1.0, 1.0)
    assert (x.differs, y.differs, z.differs) == (True, False, False)


def test_what_never_happened_in_one_of_a_pair_counts_as_more() -> None:
    (only,) = compare(["x"], _pairs(None, 2.0))
    assert (only.less, only.more, only.mean) == (0, 2, 2.0)
    assert (only.b.never, only.b.median) == (1, None)
    (never,) = compare(["x"], _pairs(None))
    assert (never.mean, never.low, never.high) == (None, None, None)


def test_pairs_of_which_one_had_nothing_to_measure_count_for_nothing() -> None:
    none, never, soon = ({"detection.judged": count, "detection.full_s": at} for count, at in CRASHES)
    (only,) = compare(["detection.full_s"], [(none, soon), (never, soon), (soon, soon), (none, none)])
    assert (only.less, only.more, only.mean) == (1, 0, 0.0)
    assert (only.a.runs, only.a.never, only.b.runs) == (2, 1, 2)
    assert compare(["detection.full_s"], [(none, soon), (none, none)]) == []


def test_the_interval_is_around_the_mean_and_the_same_each_time() -> None:
    rng = random.Random(3)
    pairs = _pairs(*(rng.gauss(1.0, 1.0) for _ in range(40)))
    first, second = compare(["x"], pairs), compare(["x"], pairs)
    assert first == second
    (only,) = first
    assert only.low is not None
    assert only.high is not None
    assert only.mean is not None
    assert only.low < only.mean < only.high
    # The standard error is 0.16: the interval is about four of them wide.
    assert 0.45 < only.high - only.low < 0.8
