"""The heap of virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.clock import Clock, microseconds


@given(st.lists(st.integers(0, 20)))
def test_what_is_due_at_one_instant_keeps_the_order_it_was_asked_in(instants: list[int]) -> None:
    clock = Clock()
    heard: list[tuple[int, int]] = []
    for number, instant in enumerate(instants):
        clock.at(instant, lambda number: heard.append((clock.now_us, number)), number)
    clock.run(20)
    assert heard == sorted((instant, number) for number, instant in enumerate(instants))
    assert clock.now_us == 20


def test_nothing_beyond_the_end_of_a_run_is_handled() -> None:
    clock = Clock()
    heard: list[int] = []
    clock.at(10, heard.append, 1)
    clock.at(11, heard.append, 2)
    clock.run(10)
    assert heard == [1]
    assert len(clock) == 1
    clock.run(11)
    assert heard == [1, 2]
    assert clock.processed == 2


def test_a_handler_may_ask_for_more_at_the_same_instant() -> None:
    clock = Clock()
    heard: list[str] = []
    clock.at(5, lambda _: clock.after(0, heard.append, "again"), None)
    clock.at(5, heard.append, "first")
    clock.run(5)
    assert heard == ["first", "again"]


def test_the_past_cannot_be_asked_for() -> None:
    clock = Clock()
    clock.run(10)
    with pytest.raises(ValueError, match="past"):
        clock.at(9, print, None)


def test_what_a_handler_raises_ends_the_run_and_leaves_the_rest() -> None:
    clock = Clock()
    heard: list[int] = []
    clock.at(1, [].remove, 0)
    clock.at(2, heard.append, 2)
    with pytest.raises(ValueError):
        clock.run(10)
    clock.run(10)
    assert heard == [2]


def test_seconds_become_the_nearest_microsecond() -> None:
    assert microseconds(0.1) == 100_000
    assert microseconds(1e-7) == 0
