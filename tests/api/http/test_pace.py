"""Whose handshake is next: so many a second, a turn a round for each address, and none for who has gone."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gossip.api.http import pace, talk
from gossip.api.http.pace import CrowdedError, Pace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Queue:
    """Clients of a pace, each a task; who has had a turn and who was refused, in that order."""

    def __init__(self, kept: Pace, nursery: trio.Nursery) -> None:
        self.pace = kept
        self.turns: list[str] = []
        self.refused: list[str] = []
        self._nursery = nursery

    async def come(self, whose: str, count: int = 1, patience: float = talk.HANDSHAKE_SECONDS) -> None:
        """So many more wait, in a row of their own if they can."""
        for _ in range(count):
            self._nursery.start_soon(self._wait, whose, patience)
        await wait_all_tasks_blocked()

    async def _wait(self, whose: str, patience: float) -> None:
        with trio.move_on_after(patience):
            try:
                await self.pace.turn(whose)
            except CrowdedError:
                self.refused.append(whose)
            else:
                self.turns.append(whose)


@asynccontextmanager
async def queue(rate: float, burst: int) -> AsyncIterator[Queue]:
    async with trio.open_nursery() as nursery:
        kept = Pace(rate, burst)
        nursery.start_soon(kept.keep)
        yield Queue(kept, nursery)
        nursery.cancel_scope.cancel()


async def seconds(clock: MockClock, count: int) -> None:
    for _ in range(count):
        clock.jump(1.0)
        await wait_all_tasks_blocked()


async def test_turns_have_a_pace_and_some_may_come_at_once(autojump_clock: MockClock) -> None:
    async with queue(rate=10, burst=5) as here:
        turns = []
        for _ in range(25):
            await here.pace.turn("a")
            turns.append(trio.current_time())
        assert turns[5] - turns[0] < 0.2
        assert 1.8 < turns[-1] - turns[0] < 2.1
        await trio.sleep(10)
        await here.come("a", 25)
        assert len(here.turns) == 6, "a rest is worth no more than that"
        await trio.sleep(1)
        assert len(here.turns) == 16


async def test_a_flood_of_one_address_leaves_others_their_turns(autojump_clock: MockClock) -> None:
    async with queue(rate=100, burst=50) as here:
        # Twice what the pace gives, for some seconds, each as long as a handshake may take.
        for _ in range(60):
            await here.come("flood", 20)
            await trio.sleep(0.1)
        for number in range(5):
            before = trio.current_time()
            await here.pace.turn(f"other {number}")
            assert trio.current_time() - before < 0.05
            await here.come("flood", 20)
        assert here.turns.count("flood") >= 600, "the flood has what others leave"


async def test_who_waits_has_a_turn_for_each_of_the_others(mock_clock: MockClock) -> None:
    async with queue(rate=1, burst=1) as here:
        await here.come("a", 1)
        await here.come("a", 1)
        here.turns.clear()
        await here.come("a", 3)
        await here.come("b", 2)
        await here.come("c", 1)
        await seconds(mock_clock, 6)
        assert "".join(here.turns) == "abcaba"


async def test_who_gives_up_uses_no_turn(mock_clock: MockClock) -> None:
    async with queue(rate=10, burst=5) as here:
        await here.come("a", 6)
        here.turns.clear()
        await here.come("a", 500, patience=0.01)
        mock_clock.jump(0.01)
        await here.come("a", 1)
        assert here.turns == []
        mock_clock.jump(0.1)
        await wait_all_tasks_blocked()
        assert here.turns == ["a"]


async def test_a_turn_that_is_given_back_is_the_next_one_s(mock_clock: MockClock) -> None:
    async with queue(rate=10, burst=5) as here:
        for _ in range(100):
            await here.pace.turn("gone")
            here.pace.give_back()
        await here.come("a", 20)
        assert len(here.turns) == 6


async def test_who_could_not_have_a_turn_in_time_is_refused_at_once(
    mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pace.MOST_WAITING == pace.HANDSHAKES_PER_SECOND * talk.HANDSHAKE_SECONDS
    monkeypatch.setattr(pace, "MOST_WAITING", 6)
    async with queue(rate=1, burst=1) as here:
        await here.come("flood", 20)
        assert (here.turns, here.refused) == (["flood"] * 2, ["flood"] * 12)
        here.turns.clear()
        here.refused.clear()
        # The longest row makes room for others, until theirs are as long.
        await here.come("b", 4)
        assert sorted(here.refused) == ["b", "flood", "flood", "flood"]
        await here.come("c", 1)
        assert len(here.refused) == 5
        await seconds(mock_clock, 6)
        assert sorted(here.turns) == ["b", "b", "b", "c", "flood", "flood"]
