"""Retries are a part of the calls."""

from __future__ import annotations

import pytest

from gossip.calling.budget import RetryBudget


def test_a_service_that_fails_altogether_is_asked_a_fifth_more() -> None:
    budget, retries = RetryBudget(), 0
    for number in range(10_000):
        budget.called()
        retries += budget.take(number / 1000)
    assert retries == pytest.approx(10_000 * 0.2 + 10 * 2.0 + 20, abs=3)
    assert budget.refused == 10_000 - retries


def test_who_calls_rarely_may_always_retry() -> None:
    budget = RetryBudget()
    for second in range(100):
        budget.called()
        assert budget.take(float(second))


def test_none_at_all() -> None:
    budget = RetryBudget(0.0, 0.0, 0.0)
    budget.called()
    assert not budget.take(0.0)
    with pytest.raises(ValueError, match="negative"):
        RetryBudget(-1.0)
