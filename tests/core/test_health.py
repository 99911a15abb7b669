"""The score of a node's own health, and doubt."""

from __future__ import annotations

import random

import pytest

from gossip.core.health import DOUBT_MAX_PERIODS, REST_PERIODS, Health
from gossip.core.params import LAN

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


def scored(score: int) -> Health:
    health = Health(LAN)
    health.score = score
    return health


def test_an_ack_improves_the_score_by_one() -> None:
    """Scenarios 1 and 12."""
    health = scored(2)
    health.acked()
    assert health.score == 1
    health.acked()
    health.acked()
    assert health.score == 0


def test_the_score_stays_between_0_and_8_and_stretches_by_one_more() -> None:
    """Scenario 11: memberlist stops one short of its maximum."""
    health = Health(LAN)
    chance = random.Random(1)
    seen = set()
    for _ in range(2_000):
        health.failed(3) if chance.random() < 0.5 else health.acked()
        seen.add(health.score)
        assert health.factor == health.score + 1
    assert seen == set(range(9))


def test_a_failed_probe_costs_one() -> None:
    health = scored(3)
    health.failed(0)
    assert health.score == 4


@pytest.mark.parametrize(
    ("missing", "heard", "cost"), [(1, 0, 2), (3, 0, 2), (3, 1, 2), (3, 2, 1), (0, 0, 1)]
)
def test_missing_nacks_cost_at_most_one_more_and_only_if_few_were_heard(
    missing: int, heard: int, cost: int
) -> None:
    """Scenarios 9 and 10."""
    health = Health(LAN)
    for member in (A, B)[:heard]:
        health.heard(member)
    health.failed(missing)
    assert health.score == cost


def test_who_was_heard_counts_for_this_period_and_the_last() -> None:
    health = Health(LAN)
    health.heard(A)
    health.period_ended(5)
    health.heard(B)
    health.failed(1)
    assert health.score == 1
    health.period_ended(5)
    health.failed(1)
    assert health.score == 3, "only B was heard lately"


def test_refuting_costs_once_a_period_and_once_for_one_accuser_in_the_longest_patience() -> None:
    health = Health(LAN)
    health.refuted(A, 24.0, 100.0)
    health.refuted(B, 24.0, 100.5)
    assert health.score == 1, "once a period"
    health.refuted(B, 24.0, 101.5)
    assert health.score == 2
    health.refuted(A, 24.0, 123.0)
    assert health.score == 2, "A has been paid for"
    health.refuted(A, 24.0, 125.0)
    assert health.score == 3


@pytest.mark.parametrize(("n", "heard"), [(5, (A, B)), (2, (A,))])
def test_a_doubt_ends_after_two_good_periods(n: int, heard: tuple[bytes, ...]) -> None:
    health = Health(LAN)
    health.start_doubt()
    for ends in (False, True):
        for member in heard:
            health.heard(member)
        assert health.doubting
        assert health.period_ended(n) is ends
    assert not health.doubting


def test_a_bad_period_begins_the_count_anew() -> None:
    health = Health(LAN)
    health.start_doubt()
    for heard, doubts in (((A, B), True), ((A,), True), ((A, C), True), ((B, C), False)):
        for member in heard:
            health.heard(member)
        health.period_ended(5)
        assert health.doubting is doubts


def test_a_doubt_has_an_end_even_if_nobody_is_heard() -> None:
    health = Health(LAN)
    health.start_doubt()
    lasted = 0
    while health.doubting:
        health.period_ended(5)
        lasted += 1
    assert lasted == DOUBT_MAX_PERIODS == 10


def test_after_a_doubt_that_had_to_be_ended_there_is_a_time_of_none() -> None:
    health = Health(LAN)
    health.start_doubt()
    while health.doubting:
        assert not health.resting
        health.start_doubt()
        health.period_ended(5)
    lasted = 0
    while health.resting:
        health.period_ended(5)
        lasted += 1
    assert lasted == REST_PERIODS == 10


def test_after_one_that_ended_well_there_is_none() -> None:
    health = Health(LAN)
    health.start_doubt()
    while health.doubting:
        health.heard(A)
        health.heard(B)
        health.period_ended(5)
    assert not health.resting
