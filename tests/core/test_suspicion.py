"""The length of a suspicion, as a table."""

from __future__ import annotations

import pytest

from gossip.core.params import LAN, LOCAL, WAN, Params
from gossip.core.suspicion import Suspicion, confirmations_wanted, suspicion_timeout

# Seconds at the shipped settings, for 0 to 4 accusers beyond the first; worked out by hand from
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
    lengths = [suspicion_timeout(LAN, n, confirmations) for confirmations in range(5)]
    assert lengths == pytest.approx(TABLE[n], abs=1e-6)


def test_with_nobody_to_confirm_the_clock_is_at_its_longest() -> None:
    """Scenario 35: memberlist takes the shortest there."""
    assert confirmations_wanted(LAN, 2) < 1
    assert suspicion_timeout(LAN, 2, 0) == LAN.suspicion_max(2) == 24.0
    assert suspicion_timeout(LAN, 1, 0) == LAN.suspicion_max(1)


@pytest.mark.parametrize(("n", "wanted"), [(3, 1), (4, 2), (5, 3), (6, 3), (1_000, 3)])
def test_a_small_cluster_wants_no_more_accusers_than_it_has(n: int, wanted: int) -> None:
    assert confirmations_wanted(LAN, n) == wanted
    assert suspicion_timeout(LAN, n, wanted) == pytest.approx(LAN.suspicion_min(n))
    assert suspicion_timeout(LAN, n, wanted - 1) > LAN.suspicion_min(n) * 1.5


@pytest.mark.parametrize(("n", "shortest"), [(1, 4.0), (9, 4.0), (10, 4.0), (100, 8.0), (10_000, 16.0)])
def test_the_shortest_grows_with_the_logarithm_from_ten_on(n: int, shortest: float) -> None:
    assert LAN.suspicion_min(n) == pytest.approx(shortest)
    assert LAN.suspicion_max(n) == pytest.approx(6 * shortest)


@pytest.mark.parametrize(("params", "shortest", "longest"), [(WAN, 30.0, 180.0), (LOCAL, 3.0, 18.0)])
def test_other_profiles_scale(params: Params, shortest: float, longest: float) -> None:
    assert suspicion_timeout(params, 5, 0) == pytest.approx(longest)
    assert suspicion_timeout(params, 5, 3) == pytest.approx(shortest)


def test_a_deadline_counts_from_the_start_and_from_the_size_of_then() -> None:
    clock = Suspicion(1_000.0, 5)
    assert clock.deadline(LAN, 1, 0, isolated=False) == pytest.approx(1_024.0)
    assert clock.deadline(LAN, 4, 0, isolated=False) == pytest.approx(1_004.0)


def test_two_who_saw_a_refusal_shorten_it_to_the_grace() -> None:
    clock = Suspicion(1_000.0, 5)
    assert clock.deadline(LAN, 2, 1, isolated=False) == pytest.approx(1_014.0)
    assert clock.deadline(LAN, 2, 2, isolated=False) == pytest.approx(1_000.8)


def test_the_isolated_wait_twice_as_long_and_nobody_pays_for_a_stop() -> None:
    clock = Suspicion(1_000.0, 5)
    clock.extended = 7.0
    assert clock.deadline(LAN, 1, 0, isolated=False) == pytest.approx(1_031.0)
    assert clock.deadline(LAN, 1, 0, isolated=True) == pytest.approx(1_055.0)
