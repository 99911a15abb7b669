"""Retries are a part of the calls."""

from __future__ import annotations

import random

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


def test_what_is_reserved_is_lent_and_counts_when_it_is_used() -> None:
    budget = RetryBudget(0.0, 0.0, 3.0)
    assert [budget.reserve(0.0) for _ in range(4)] == [True] * 3 + [False]
    assert budget.refused == 0, "nobody needed it"
    assert [budget.take(0.0) for _ in range(4)] == [True] * 3 + [False], "three are owed now"
    budget.settle(used=True)
    budget.settle(used=False)
    budget.settle(used=False)
    assert not budget.take(0.0), "four of three were used: one is still owed"
    assert not budget.reserve(0.0)


def test_those_that_are_handed_back_are_there_again() -> None:
    budget = RetryBudget(0.0, 0.0, 3.0)
    for _ in range(5):
        assert all(budget.reserve(0.0) for _ in range(3))
        for _ in range(3):
            budget.settle(used=False)
    assert [budget.take(0.0) for _ in range(4)] == [True] * 3 + [False]


def test_reserving_gives_nothing_away() -> None:
    """In the long run there are as many retries as without it."""
    rng, budget, retries, held = random.Random(4), RetryBudget(), 0, 0
    for number in range(20_000):
        now = number / 1000
        budget.called()
        held += budget.reserve(now)
        if held and rng.random() < 0.5:
            held -= 1
            used = rng.random() < 0.5
            budget.settle(used=used)
            retries += used
        retries += rng.random() < 0.9 and budget.take(now)
    assert retries <= 20_000 * 0.2 + 20 * 2.0 + 2 * 20
