"""Histograms: each value in its place, bounds included."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossip.core.histogram import Histogram


def test_a_bound_belongs_to_its_own_place() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.0, 1.0, 1.5, 2.0, 2.1, 1e9):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 2]
    assert histogram.cumulative() == [2, 4, 6]
    assert histogram.total == sum((0.0, 1.0, 1.5, 2.0, 2.1, 1e9))


@given(st.lists(st.floats(0, 10)))
def test_cumulative_counts_are_those_of_a_plain_count(values: list[float]) -> None:
    bounds = (0.5, 1.0, 5.0)
    histogram = Histogram(bounds)
    for value in values:
        histogram.observe(value)
    expected = [sum(value <= bound for value in values) for bound in bounds]
    assert histogram.cumulative() == [*expected, len(values)]
