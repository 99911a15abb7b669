"""The formulas give the numbers that the papers print, or that were computed from them elsewhere."""

from __future__ import annotations

import math

import pytest

from sim.theory import convergence, lifeguard, ring, swim


def test_lock_step_detection_is_geometric() -> None:
    means = [round(swim.first_detection(n), 4) for n in (16, 55, 128, 1_000)]
    assert means == [1.551, 1.5734, 1.5783, 1.5815]
    assert swim.timely_detection() == pytest.approx(math.e / (math.e - 1), abs=1e-12)
    assert swim.timely_detection(0.5) > swim.timely_detection(1.0)


@pytest.mark.parametrize(
    ("q", "k", "failure", "published"),
    [
        (0.99, 1, 7.84e-4, 1.24e-3),
        (0.99, 3, 1.22e-6, 1.93e-6),
        (0.95, 1, 1.81e-2, 2.86e-2),
        (0.95, 3, 6.22e-4, 9.84e-4),
        (0.9, 1, 6.53e-2, 1.03e-1),
        (0.9, 3, 7.73e-3, 1.22e-2),
        (0.8, 1, 2.13e-1, 3.36e-1),
        (0.8, 3, 7.41e-2, 1.17e-1),
    ],
)
def test_mistakes_under_loss(q: float, k: int, failure: float, published: float) -> None:
    assert swim.probe_failure(q, k) == pytest.approx(failure, rel=0.005)
    assert swim.mistakes_published(q, k) == pytest.approx(published, rel=0.005)


def test_load_under_loss() -> None:
    assert swim.sent_per_period(1.0, 3) == 2.0
    assert swim.sent_per_period(0.9, 1) == pytest.approx(2.553, abs=5e-4)
    assert swim.sent_per_period(0.9, 3) == pytest.approx(3.860, abs=5e-4)
    assert swim.sent_per_period(0.95, 3) == pytest.approx(3.035, abs=5e-4)
    assert swim.least_load(1, 1e-6, 0.05) == pytest.approx(4.61, abs=5e-3)


def test_the_suspicion_of_figure_3c_steps_at_natural_logarithms() -> None:
    assert [swim.suspicion_periods(n) for n in (18, 19, 20, 52, 53, 56)] == [9, 9, 12, 12, 12, 15]


def test_infection_by_the_logistic_law_and_by_harmonic_numbers() -> None:
    halves = [round(swim.infection_half(n), 2) for n in (13, 20, 28, 56)]
    assert halves == [1.29, 1.51, 1.68, 2.02]
    assert swim.infected(1_000, swim.infection_half(1_000)) == pytest.approx(500.0)
    assert swim.infected(1_000, 0.0) == pytest.approx(1.0)
    means = [round(swim.infection_everyone(n), 2) for n in (16, 55, 128, 1_000)]
    assert means == [3.11, 4.49, 5.38, 7.48]


def test_capacity() -> None:
    assert swim.capacity(1_000) == pytest.approx(0.57, abs=5e-3)
    assert swim.capacity(128) == pytest.approx(0.8, abs=5e-3)


def test_serf_converges_as_its_simulator_says() -> None:
    times = {
        n: [round(convergence.serf_time(n, share), 2) for share in (0.5, 0.99, 0.9999)] for n in (30, 1_000)
    }
    assert times == {30: [0.46, 1.07, 1.69], 1_000: [0.92, 1.53, 2.15]}
    assert convergence.serf_convergence(1_000, convergence.serf_time(1_000, 0.99) / 0.2) == pytest.approx(
        0.99
    )
    assert convergence.serf_time(1_000, loss=0.1) == pytest.approx(convergence.serf_time(1_000) / 0.9)
    assert convergence.serf_bandwidth() == pytest.approx(328.1, abs=0.05)


def test_scalecube_bounds() -> None:
    assert convergence.scalecube_spread(1_000) == 30
    assert convergence.scalecube_sweep(1_000) == 62
    assert convergence.scalecube_messages(1_000) == 90
    assert convergence.scalecube_suspicion(1_000) == 50
    n, exponent = 10, 3 * 3 - 2
    assert convergence.scalecube_convergence(n) == pytest.approx((n - n**-exponent) / n)


def test_lifeguards_threshold_experiment_in_closed_form() -> None:
    """A Monte Carlo of the same model gave 12.36, 16.29, 18.88 s; the paper measured 12.44, 16.96, 19.40."""
    assert lifeguard.first_report(0.5) == pytest.approx(12.36, abs=0.005)
    assert lifeguard.first_report(0.99) == pytest.approx(16.30, abs=0.005)
    assert lifeguard.first_report(0.999) == pytest.approx(18.935, abs=0.005)
    shares = [lifeguard.first_report(0.5, alpha=alpha) / lifeguard.first_report(0.5) for alpha in (2.0, 4.0)]
    assert shares == [pytest.approx(0.489, abs=0.005), pytest.approx(0.83, abs=0.005)]


def test_silences_shorter_than_the_suspicion_are_never_reported() -> None:
    assert lifeguard.detected(20.0, [8.192], n=128, alpha=5.0) == (0.0, 0.0)


def test_suspicion_falls_with_each_confirmation() -> None:
    least = lifeguard.suspicion_least(128, 5.0)
    assert least == pytest.approx(10.536, abs=5e-4)
    left = [lifeguard.suspicion_left(least, 6 * least, confirmed) for confirmed in range(5)]
    assert left[0] == 6 * least
    assert left[3:] == pytest.approx([least, least])
    assert left == sorted(left, reverse=True)


def test_waits_on_a_shuffled_ring() -> None:
    assert ring.not_pinged(0.0, 10) == 1.0
    assert ring.not_pinged(19.0, 10) == 0.0
    assert ring.not_pinged(18.5, 10) > 0.0
    assert ring.not_pinged(10.0 - 1e-9, 10) == pytest.approx(ring.not_pinged(10.0, 10), abs=1e-6)
    assert ring.mean_first_ping(999, 999) == pytest.approx(1.0, abs=2e-3)
    assert ring.mean_first_ping(15, 15) == pytest.approx(0.941, abs=1e-3)
    # One observer with one other member pings it each period.
    assert ring.mean_first_ping(1, 1) == pytest.approx(0.5, abs=1e-6)
