"""When a change is told: at once, or at the end of the window that an earlier one opened."""

from __future__ import annotations

import math
import random

import pytest

from gossip.api.windows import Windows


def test_the_first_change_is_told_at_once_and_further_ones_at_the_windows_end() -> None:
    windows: Windows[str] = Windows(0.02)
    assert windows.deadline == math.inf
    assert windows.changed("web", 1.0)
    assert windows.deadline == math.inf, "nothing waits, so nothing has to wake up"
    assert not windows.changed("web", 1.001)
    assert not windows.changed("web", 1.019)
    assert windows.deadline == pytest.approx(1.02)
    assert windows.due(1.0199) == []
    assert windows.due(1.02) == ["web"]
    assert windows.due(1.02) == []
    # What was told then has opened a window of its own.
    assert not windows.changed("web", 1.03)
    assert windows.due(1.04) == ["web"]
    assert windows.changed("web", 1.06), "at the end of a window in which nothing happened"


def test_each_key_has_its_own_window_and_the_earliest_end_counts() -> None:
    windows: Windows[str] = Windows(0.02)
    assert windows.changed("a", 1.0)
    assert windows.changed("b", 1.01)
    assert not windows.changed("b", 1.011)
    assert windows.deadline == pytest.approx(1.03)
    assert not windows.changed("a", 1.015)
    assert windows.deadline == pytest.approx(1.02)
    assert windows.due(2.0) == ["a", "b"]


def test_what_is_forgotten_is_not_told() -> None:
    windows: Windows[str] = Windows(0.02)
    windows.changed("a", 1.0)
    windows.changed("a", 1.0)
    windows.forget("a")
    windows.forget("never seen")
    assert windows.deadline == math.inf
    assert windows.due(9.0) == []


def test_a_change_that_is_overdue_is_told_once() -> None:
    windows: Windows[str] = Windows(0.02)
    windows.changed("a", 1.0)
    assert not windows.changed("a", 1.01)
    assert not windows.changed("a", 1.5), "due has not been asked yet"
    assert windows.due(1.5) == ["a"]


def test_no_change_is_lost_none_is_late_and_nothing_is_kept(rng: random.Random) -> None:
    windows: Windows[int] = Windows(0.02)
    now, told, dirty = 0.0, dict.fromkeys(range(50), -1.0), dict[int, float]()
    for _ in range(5_000):
        now += rng.random() * 0.004
        for key in windows.due(now):
            assert now - told[key] >= 0.02
            told[key] = now
            del dirty[key]
        key = rng.randrange(50)
        if windows.changed(key, now):
            assert now - told[key] >= 0.02
            assert key not in dirty
            told[key] = now
        else:
            dirty.setdefault(key, now)
        assert all(now - since <= 0.02 + 0.004 for since in dirty.values())
    windows.due(now + 1)
    for key in range(100, 200):
        windows.changed(key, now + 2)
    assert len(windows._ends) <= 102
    assert windows.due(now + 3) == []
