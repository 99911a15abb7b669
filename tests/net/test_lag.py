"""The worst of the last minute, and how it is forgotten."""

from __future__ import annotations

from gossip.net.lag import Lag


def test_the_worst_is_remembered_for_a_minute() -> None:
    lag = Lag()
    assert lag.worst(1_000.0) == 0.0
    lag.observe(0.5, 1_000.0)
    lag.observe(0.1, 1_001.0)
    lag.observe(0.2, 1_030.0)
    assert lag.worst(1_049.0) == 0.5
    assert lag.worst(1_061.0) == 0.2
    assert lag.worst(1_091.0) == 0.0
    assert sum(lag.histogram.counts) == 3


def test_a_long_silence_forgets_everything() -> None:
    lag = Lag()
    lag.observe(0.5, 10.0)
    assert lag.worst(1e6) == 0.0
    lag.observe(0.3, 1e6)
    assert lag.worst(1e6 + 1) == 0.3
