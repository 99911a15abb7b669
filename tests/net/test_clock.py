"""What the monotonic clock missed."""

from __future__ import annotations

import time

import pytest

from gossip.net.clock import GapClock, Reading, read_clocks


class Clocks:
    """Three clocks that a test moves."""

    def __init__(self) -> None:
        self.reading = Reading(100.0, 500.0, 1_700_000_000.0)

    def move(self, monotonic: float = 0.0, boottime: float = 0.0, wall: float = 0.0) -> None:
        now = self.reading
        self.reading = Reading(now.monotonic + monotonic, now.boottime + boottime, now.wall + wall)

    def read(self) -> Reading:
        return self.reading


@pytest.mark.parametrize(
    ("monotonic", "boottime", "wall", "gap"),
    [
        pytest.param(5.0, 5.0, 5.0, 0.0, id="all go on together"),
        pytest.param(1.0, 31.0, 31.0, 30.0, id="suspended"),
        pytest.param(1.0, 1.0, 601.0, 600.0, id="saved, restored, wall clock put right"),
        pytest.param(1.0, 1.0, -3_599.0, 0.0, id="wall clock set back"),
    ],
)
def test_gap_is_what_the_monotonic_clock_missed(
    monotonic: float, boottime: float, wall: float, gap: float
) -> None:
    clocks = Clocks()
    clock = GapClock(clocks.read)
    clocks.move(monotonic, boottime, wall)
    assert clock.gap() == pytest.approx(gap, abs=1e-6)


def test_each_gap_is_told_once() -> None:
    clocks = Clocks()
    clock = GapClock(clocks.read)
    clocks.move(1.0, 31.0, 31.0)
    assert clock.gap() == pytest.approx(30.0)
    assert clock.gap() == 0.0


def test_restart_forgets_what_was_before() -> None:
    clocks = Clocks()
    clock = GapClock(clocks.read)
    clocks.move(0.0, 60.0, 60.0)
    clock.restart()
    assert clock.gap() == 0.0


def test_the_real_clocks_agree_with_one_another() -> None:
    clock = GapClock()
    assert abs(read_clocks().wall - time.time()) < 5
    assert clock.gap() < 0.2
