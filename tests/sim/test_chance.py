"""Where randomness comes from, and how long a packet takes."""

from __future__ import annotations

import pytest

from sim.chance import CERTAIN, derive, derive_bytes, threshold
from sim.latency import Constant, Uniform, parse_duration, parse_latency


def test_a_generator_depends_on_seed_and_label_alone() -> None:
    assert derive(7, "network").getrandbits(64) == derive(7, "network").getrandbits(64)
    assert derive(7, "network").getrandbits(64) != derive(7, "node", 1).getrandbits(64)
    assert derive(7, "node", 1).getrandbits(64) != derive(8, "node", 1).getrandbits(64)


def test_labels_do_not_run_together() -> None:
    assert derive_bytes(1, "node", 1, 23) != derive_bytes(1, "node", 12, 3)


def test_a_seed_gives_the_same_on_every_machine() -> None:
    """The number was made once; another would change every hash that a run is known by."""
    assert derive(7, "network").getrandbits(32) == 945666871


def test_thresholds() -> None:
    assert threshold(0.0) == 0
    assert threshold(1.0) == CERTAIN
    assert threshold(0.25) == 1 << 30
    for chance in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError):
            threshold(chance)


def test_latencies_use_all_of_their_range_and_no_more() -> None:
    assert Constant(500).draw(CERTAIN - 1) == 500
    assert [Uniform(10, 13).draw(quarter << 30) for quarter in range(4)] == [10, 11, 12, 13]
    assert Uniform(10, 13).draw(CERTAIN - 1) == 13
    assert Uniform(10, 10).draw(CERTAIN - 1) == 10


def test_latencies_are_read_as_people_write_them() -> None:
    assert parse_latency("0.5ms") == Constant(500)
    assert parse_latency("1ms..5ms") == Uniform(1_000, 5_000)
    assert parse_duration("2") == 2_000_000
    assert parse_duration("1.5m") == 90_000_000
    for text in ("", "5 parsecs", "0.5us", "-1ms", "5ms..1ms", "1ms..", "1e3"):
        with pytest.raises(ValueError):
            parse_latency(text)
