"""An agent that finds nobody says so in its log, ever more seldom, and stops when it has found somebody."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from gossip.seeking import FIRST_SECONDS, LONGEST_SECONDS, warn_while_alone


class Lonely:
    """A node with two seeds, of which one may be well."""

    def __init__(
        self, until: float = float("inf"), problem: str = "no agent listens at 10.0.0.9:7946"
    ) -> None:
        self._until = until
        self._problem = problem

    @property
    def is_waiting(self) -> bool:
        return trio.current_time() < self._until

    def seed_problems(self) -> dict[str, str]:
        return {"10.0.0.9": self._problem, "itself": ""}


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[Any]]:
    caplog.set_level(logging.INFO, "gossip")

    def records() -> list[Any]:
        return [each for each in caplog.records if each.message == "join_failing"]

    return records


async def test_it_is_said_after_5_s_and_then_ever_more_seldom(
    autojump_clock: MockClock, told: Callable[[], list[Any]]
) -> None:
    del autojump_clock
    with trio.move_on_after(FIRST_SECONDS - 0.1):
        await warn_while_alone(Lonely())
    assert told() == []
    with trio.move_on_after(86_400.0):
        await warn_while_alone(Lonely())
    assert 86_400 / LONGEST_SECONDS <= len(told()) <= 86_400 / LONGEST_SECONDS + 10
    assert told()[0].levelno == logging.WARNING
    assert told()[0].fields["detail"] == ("10.0.0.9: no agent listens at 10.0.0.9:7946; see 'gossip doctor'")


async def test_it_ends_when_somebody_was_found(
    autojump_clock: MockClock, told: Callable[[], list[Any]]
) -> None:
    del autojump_clock
    await warn_while_alone(Lonely(until=trio.current_time() + 16.0))
    assert len(told()) == 2


async def test_a_seed_of_which_nothing_is_known_is_no_trouble(
    autojump_clock: MockClock, told: Callable[[], list[Any]]
) -> None:
    del autojump_clock
    with trio.move_on_after(3_600.0):
        await warn_while_alone(Lonely(problem=""))
    assert told() == []
