"""The length of a suspicion, as a table."""

from __future__ import annotations

import msgspec
import pytest

from gossip.core.params import LAN, LOCAL, WAN, Params
from gossip.core.suspicion import Suspicion, confirmations_wanted, suspicion_timeout

PATIENT = msgspec.structs.replace(LAN, suspicion_alpha=4.0, suspicion_beta=6.0, suspicion_k=3)
"""memberlist's alpha and k, and a beta that keeps the steps of the clock apart."""

# Seconds with these, for 0 to 4 accusers beyond the first; worked out by hand from
# min = 4 max(1, log10 n), max = 6 min, max - (max - min) ln(c + 1) / ln(k + 1), k = min(3, n - 2).
TABLE = {
    2: (24.0, 24.0, 24.0, 24.0, 24.0),
    3: (24.0, 4.0, 4.0, 4.0, 4.0),
    4: (24.0, 11.381405, 4.0, 4.0, 4.0),
    5: (24.0, 14.0, 8.150375, 4.0, 4.0),
    6: (24.0, 14.0, 8.150375, 4.0, 4.0),
    100: (48.0, 28.0, 16.300750, 8.0, 8.0),
    1_000: (72.0, 42.0, 24.451125, 12.0, 12.0),
}


@pytest.mark.parametrize("n", TABLE)
def test_new_accusers_shorten_the_clock_by_the_exact_table(n: int) -> None:
    """Scenario 34."""
    lengths = [suspicion_timeout(PATIENT, n, confirmations) for confirmations in range(5)]
    assert lengths == pytest.approx(TABLE[n], abs=1e-6)


def test_with_nobody_to_confirm_the_clock_is_at_its_longest() -> None:
    """Scenario 35: memberlist takes the shortest there."""
    assert confirmations_wanted(PATIENT, 2) < 1
    assert suspicion_timeout(PATIENT, 2, 0) == PATIENT.suspicion_max(2) == 24.0
    assert suspicion_timeout(PATIENT, 1, 0) == PATIENT.suspicion_max(1)


@pytest.mark.parametrize(("n", "wanted"), [(3, 1), (4, 2), (5, 3), (6, 3), (1_000, 3)])
def test_a_small_cluster_wants_no_more_accusers_than_it_has(n: int, wanted: int) -> None:
    assert confirmations_wanted(PATIENT, n) == wanted
    assert suspicion_timeout(PATIENT, n, wanted) == pytest.approx(PATIENT.suspicion_min(n))
    assert suspicion_timeout(PATIENT, n, wanted - 1) > PATIENT.suspicion_min(n) * 1.5


@pytest.mark.parametrize(("n", "shortest"), [(1, 4.0), (9, 4.0), (10, 4.0), (100, 8.0), (10_000, 16.0)])
def test_the_shortest_grows_with_the_logarithm_from_ten_on(n: int, shortest: float) -> None:
    assert PATIENT.suspicion_min(n) == pytest.approx(shortest)
    assert PATIENT.suspicion_max(n) == pytest.approx(6 * shortest)


@pytest.mark.parametrize("params", [LAN, WAN, LOCAL])
def test_the_shipped_profiles_scale(params: Params) -> None:
    shortest = params.suspicion_alpha * params.period
    assert suspicion_timeout(params, 5, 0) == pytest.approx(params.suspicion_beta * shortest)
    assert suspicion_timeout(params, 5, params.suspicion_k) == pytest.approx(shortest)


def test_who_keeps_coming_back_is_given_more_patience_but_not_against_evidence() -> None:
    clock = Suspicion(1_000.0, 5, patience=8)
    assert clock.deadline(PATIENT, 4, 0, isolated=False) == pytest.approx(1_032.0)
    assert clock.deadline(PATIENT, 2, 2, isolated=False) == 1_000.0


def test_a_deadline_counts_from_the_start_and_from_the_size_of_then() -> None:
    clock = Suspicion(1_000.0, 5)
    assert clock.deadline(PATIENT, 1, 0, isolated=False) == pytest.approx(1_024.0)
    assert clock.deadline(PATIENT, 4, 0, isolated=False) == pytest.approx(1_004.0)


def test_two_who_saw_a_refusal_end_it_at_once() -> None:
    """Each of them has waited for the grace before it spoke."""
    clock = Suspicion(1_000.0, 5)
    assert clock.deadline(PATIENT, 2, 1, isolated=False) == pytest.approx(1_014.0)
    assert clock.deadline(PATIENT, 2, 2, isolated=False) == 1_000.0


def test_the_isolated_wait_twice_as_long_and_nobody_pays_for_a_stop() -> None:
    clock = Suspicion(1_000.0, 5)
    clock.extended = 7.0
    assert clock.deadline(PATIENT, 1, 0, isolated=False) == pytest.approx(1_031.0)
    assert clock.deadline(PATIENT, 1, 0, isolated=True) == pytest.approx(1_055.0)
