"""Answers that are kept: their index, who is woken by what, and what waiting costs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from gossip.api.consul import answers as answers_module
from gossip.api.consul.answers import MAX_KEPT, Answers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WALL = 1_800_000_000.0


class World:
    """Values that change, each in a topic of its own name."""

    def __init__(self, now: Callable[[], float] = trio.current_time) -> None:
        self.turns = 0
        self.answers = Answers(now, WALL, self.gossip)
        self.values: dict[str, str] = {}
        self.made = 0
        self.woken: list[tuple[str, float]] = []

    def gossip(self) -> None:
        self.turns += 1

    def read(self, name: str) -> bytes:
        self.made += 1
        return self.values.get(name, "").encode()

    def get(self, name: str) -> int:
        return self.answers.get(name, (name, "all"), lambda: self.read(name)).index

    def set(self, name: str, value: str) -> None:
        self.values[name] = value
        self.answers.touch((name,))

    async def wait(self, name: str, seconds: float = 300.0) -> None:
        answer = self.answers.get(name, (name, "all"), lambda: self.read(name))
        await self.answers.wait(answer, answer.index, seconds)
        self.woken.append((name, trio.current_time()))


@asynccontextmanager
async def running(world: World) -> AsyncIterator[trio.Nursery]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.answers.run)
        yield nursery
        nursery.cancel_scope.cancel()


async def test_the_index_is_of_the_question_and_begins_with_the_clock() -> None:
    world = World()
    first = world.get("a")
    assert first == int(WALL) << 20 < 2**53
    world.set("b", "new")
    assert world.get("a") == first, "another's change is none of its own"
    world.answers.touch(("a",))
    assert world.get("a") == first, "nothing that it shows has changed"
    world.set("a", "new")
    assert world.get("a") > first
    assert world.get("b") > first


async def test_an_answer_that_was_forgotten_never_has_an_index_that_somebody_holds_for_another() -> None:
    world = World()
    held = world.get("a")
    for number in range(MAX_KEPT + 1):
        world.get(f"other {number}")
    world.set("a", "changed while nobody looked")
    assert world.get("a") > held


async def test_only_who_waits_for_what_changed_is_woken_and_at_once(autojump_clock: MockClock) -> None:
    world = World()
    async with running(world) as nursery:
        for name in ("a", "b"):
            nursery.start_soon(world.wait, name)
        await wait_all_tasks_blocked()
        world.set("c", "x")
        world.answers.touch(("a", "b"))
        await trio.sleep(1.0)
        assert world.woken == []
        world.set("a", "x")
        await trio.sleep(0.001)
        assert [name for name, _ in world.woken] == ["a"]


async def test_a_wait_ends_with_its_time(autojump_clock: MockClock) -> None:
    world = World()
    async with running(world):
        await world.wait("a", 10.0)
        assert trio.current_time() >= 10.0
    assert world.answers.waiting == 0


async def test_a_thousand_that_wait_cost_nothing_and_are_told_once(autojump_clock: MockClock) -> None:
    world = World()
    async with running(world) as nursery:
        for _ in range(1_000):
            nursery.start_soon(world.wait, "a")
        await wait_all_tasks_blocked()
        made = world.made
        await trio.sleep(200.0)
        assert world.made == made, "nothing is made while nothing happens"
        world.set("a", "x")
        await trio.sleep(0.01)
        assert (len(world.woken), world.made) == (1_000, made + 1), "once for all"


async def test_gossip_goes_before_each_of_a_thousand_answers(autojump_clock: MockClock) -> None:
    world = World()
    async with running(world) as nursery:
        for number in range(1_000):
            nursery.start_soon(world.wait, str(number))
        await wait_all_tasks_blocked()
        for number in range(1_000):
            world.set(str(number), "x")
        await trio.sleep(0.1)
        assert len(world.woken) == 1_000
        assert world.turns >= 1_000


async def test_what_may_have_changed_unseen_is_looked_at_when_somebody_asks(
    autojump_clock: MockClock,
) -> None:
    world = World()
    async with running(world) as nursery:
        first = world.get("a")
        nursery.start_soon(world.wait, "a", 5.0)
        await wait_all_tasks_blocked()
        world.values["a"] = "x"
        world.answers.doubt_all()
        await trio.sleep(1.0)
        assert world.woken == []
        assert world.get("a") > first
        await trio.sleep(0.1)
        assert len(world.woken) == 1


async def test_what_changes_in_a_row_is_told_with_a_pause(autojump_clock: MockClock) -> None:
    world = World()
    states: list[str] = []

    async def follow() -> None:
        while True:
            await world.wait("a")
            states.append(world.values["a"])

    async with running(world) as nursery:
        nursery.start_soon(follow)
        await wait_all_tasks_blocked()
        for number in range(101):
            world.set("a", str(number))
            await trio.sleep(0.001)
        await trio.sleep(1.0)
    assert states[0] == "0", "the first at once"
    assert states[-1] == "100", "the last always"
    assert len(states) <= 8


async def test_who_waits_costs_no_more_than_all_may_keep_and_is_woken_as_ever(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers_module, "MAX_KEPT_BYTES", 10_000)
    world = World()
    names = [str(number) for number in range(100)]
    world.values = {name: name * 1_000 for name in names}
    async with running(world) as nursery:
        for name in names:
            nursery.start_soon(world.wait, name)
        await wait_all_tasks_blocked()
        held = sum(len(each.kept.body) for each in world.answers._kept.values())
        assert held == world.answers._bytes <= 10_000
        assert world.answers.waiting == 100
        # What may have changed and has not wakes nobody, and is still not kept.
        before = {name: world.answers._kept[name].index for name in names}
        world.answers.touch(("all",))
        await trio.sleep(1.0)
        assert world.woken == []
        assert world.answers._bytes <= 10_000
        for name in ("3", "99"):
            world.set(name, "new")
        await trio.sleep(0.1)
        assert sorted(name for name, _ in world.woken) == ["3", "99"]
        for name in names:
            answer = world.answers.get(name, (name, "all"), lambda name=name: world.read(name))  # type: ignore[misc]
            assert answer.kept.body == world.values[name].encode()
            assert (answer.index > before[name]) == (name in ("3", "99"))
            assert world.answers._bytes <= 10_000
        assert world.answers.waiting == 98
        assert world.answers.fresh(world.answers._kept["5"])
        assert world.answers._kept["5"].kept.body == b"5" * 1_000
        # All at once.
        world.values = dict.fromkeys(names, "y" * 3_000)
        world.answers.touch(("all",))
        await trio.sleep(0.1)
        assert sorted(name for name, _ in world.woken) == sorted(names)
        assert world.answers._bytes <= 10_000


async def test_an_answer_that_grows_makes_others_be_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers_module, "MAX_KEPT_BYTES", 10_000)
    world = World()
    for number in range(100):
        world.get(str(number))
    for number in range(100):
        world.set(str(number), "x" * 1_000)
        world.get(str(number))
        assert world.answers._bytes <= 10_000


async def test_a_question_that_fails_when_it_is_made_anew_ends_its_waits(autojump_clock: MockClock) -> None:
    world = World()
    broken = False

    def make() -> bytes:
        if broken:
            raise ValueError("a pattern that takes too long")
        return b""

    async with running(world) as nursery:
        answer = world.answers.get("x", ("a",), make)
        done = trio.Event()

        async def wait() -> None:
            await world.answers.wait(answer, answer.index, 300.0)
            done.set()

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        broken = True
        world.answers.touch(("a",))
        with trio.fail_after(1.0):
            await done.wait()


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")) | st.sampled_from("abc"), max_size=40)
)
def test_an_index_changes_with_the_value_and_never_falls(steps: list[tuple[str, str] | str]) -> None:
    world = World(now=lambda: 0.0)
    seen: dict[str, tuple[int, str]] = {}
    for step in steps:
        if isinstance(step, tuple):
            world.set(*step)
            continue
        index, value = world.get(step), world.values.get(step, "")
        old, was = seen.get(step, (0, value))
        assert index >= old
        if value != was:
            assert index > old
        seen[step] = (index, value)
