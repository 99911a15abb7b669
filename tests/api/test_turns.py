"""Many watchers are told in turns: in order, gossip before each step, and nobody waits for the end of it."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import trio

from gossip.api import topics as topics_module
from gossip.api import views
from gossip.api.turns import RENEWED_SECONDS, TURN_SECONDS, Turns
from gossip.api.views import Lookup
from gossip.api.watch import Watches
from gossip.core.types import Status
from tests.api.served import request, served
from tests.api.test_watch import Clock, Inbox, looked_up, random_change
from tests.api.world import FakeAgent

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 20.0


class Ticking:
    """A timer by which each look takes a third of a turn."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += TURN_SECONDS / 3
        return self.now


def drained(watches: Watches, clock: Clock) -> int:
    """Ends every window, and tells all; how many turns it took."""
    turns = 0
    while turns == 0 or watches._turns or watches._windows.deadline <= clock.now:
        clock.past_the_window(watches)
        turns += 1
    return turns


def test_jobs_are_done_in_order_and_what_a_step_brings_comes_after() -> None:
    clock, done = Clock(), list[str]()
    turns = Turns(clock, Ticking(), lambda: again() if len(done) == 1 else None)

    def job(name: str) -> Iterator[None]:
        for number in range(3):
            done.append(f"{name}{number}")
            yield

    def again() -> None:
        if done == ["a0"]:
            turns.add(job("c"))
            assert turns.at_once()
            assert turns.turn()

    turns.add(job("a"))
    turns.add(job("b"))
    assert turns.at_once()
    assert len(done) < 9
    before = len(done)
    assert turns.at_once()
    assert len(done) == before, "what may be done at once has been"
    clock.now += RENEWED_SECONDS * 1.01
    assert turns.at_once()
    assert len(done) > before
    while turns.turn():
        pass
    assert done == [f"{name}{number}" for name in "abc" for number in range(3)]


async def test_many_watches_do_not_hold_up_who_made_the_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each watch asks for something of its own, so each costs a lookup."""
    count, looked, rounds = 300, 0, 0
    original = views.instances

    def slowly(*args: Any) -> Any:
        nonlocal looked
        looked += 1
        until = time.perf_counter() + 0.000_1
        while time.perf_counter() < until:
            pass
        return original(*args)

    async def others() -> None:
        nonlocal rounds
        while True:
            rounds += 1
            await trio.lowlevel.checkpoint()

    names = [str(number) for number in range(30)]
    questions = [*itertools.combinations(names, 2)][:count]
    asked: list[None] = []
    async with served(tmp_path, gossip_first=lambda: asked.append(None)) as here:
        client = await here.connect()
        await client.send(
            b"".join(
                request(number, "services.watch", service="web", tags=tags, any=True)
                for number, tags in enumerate(questions)
            )
        )
        for _ in range(count):
            await client.line()
        monkeypatch.setattr(views, "instances", slowly)
        node = here.agent.node
        asked.clear()
        node.put(node.id, "w", "web", 80, names)
        here.agent.flush()
        assert looked <= 20, "a millisecond of it is done at once"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            told = [(await client.line())["params"]["watch"] for _ in range(count)]
            nursery.cancel_scope.cancel()
        assert told == [*range(1, count + 1)]
        assert rounds >= 20, "others had their turns"
        assert len(asked) >= 2 * count


async def test_many_who_watch_the_same_do_not_hold_up_others(tmp_path: Path) -> None:
    asked: list[None] = []
    async with served(tmp_path, gossip_first=lambda: asked.append(None)) as here:
        client = await here.connect()
        for method in ("members.watch", "events.watch", "services.watch", "catalog.watch"):
            await client.send(b"".join(request(number, method) for number in range(50)))
        with trio.fail_after(PATIENCE):
            while here.local.watchers < 200:  # noqa: ASYNC110 - the socket tells nobody
                await trio.sleep(0.001)
        await trio.testing.wait_all_tasks_blocked(0.01)
        for happens in (
            lambda: here.agent.node.add("n1"),
            lambda: here.agent.node.shout("e", b""),
            lambda: here.agent.node.put(here.agent.node.id, "w", "web", 80),
        ):
            asked.clear()
            happens()
            here.agent.flush()
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert len(asked) >= 50


def test_98_in_turns_each_watcher_is_told_in_order_and_ends_with_the_last_state(rng: random.Random) -> None:
    """Scenario 98, where telling takes longer than what happens."""
    for _ in range(10):
        agent, clock = FakeAgent(), Clock()
        owners = [agent.node.id, *(agent.node.add(f"n{i}") for i in range(3))]
        agent.flush()
        watches = Watches(agent, clock, Ticking())
        agent.told = watches.happened
        services: list[tuple[Inbox, Lookup, list[Any]]] = []
        members: list[tuple[Inbox, int]] = []
        for _ in range(80):
            clock.now += rng.choice([0.0, 0.001, 0.01, 0.05])
            if rng.random() < 0.5:
                watches.tell_due()
            if rng.random() < 0.2:
                inbox, question = Inbox(), rng.choice([Lookup("web"), Lookup("db"), Lookup("web", ("a",))])
                watcher = watches.services(inbox, 1, question)
                value = json.loads(b"{" + (watcher.topic.value() or b""))
                services.append((inbox, question, [value["instances"]]))
                inbox.lines.append(value)
                inbox = Inbox()
                watches.members(inbox, 1)
                members.append((inbox, agent.node.members.index))
            random_change(agent, rng, owners)
            for _, question, states in services:
                states.append(looked_up(agent, question))
        drained(watches, clock)
        for inbox, _, states in services:
            indices = [line["index"] for line in inbox.lines]
            assert indices == sorted(indices)
            assert inbox.lines[-1]["instances"] == states[-1]
            place = 0
            for line in inbox.lines:
                place = states.index(line["instances"], place)  # raises if one came out of its order
        first = [line["index"] for line in members[0][0].lines]
        for inbox, began in members:
            indices = [line["index"] for line in inbox.lines]
            assert indices == [index for index in first if index > began], "all since then, and each once"


def test_events_in_turns_are_told_to_who_was_there_each_once() -> None:
    agent, clock = FakeAgent(), Clock()
    watches = Watches(agent, clock, Ticking())
    agent.told = watches.happened
    inboxes: list[Inbox] = []
    for number in range(20):
        inboxes.append(Inbox())
        watches.events(inboxes[-1], 1, None if number % 2 else "e")
        agent.send_event("e", b"%d" % number)
    assert drained(watches, clock) > 20
    for number, inbox in enumerate(inboxes):
        assert [line["payload"] for line in inbox.lines] == [str(each) for each in range(number, 20)]


def test_if_events_come_faster_than_they_can_be_told_all_are_owed_the_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topics_module, "MAX_UNTOLD", 5)
    agent, clock = FakeAgent(), Clock()
    id = agent.node.add("n1")
    agent.flush()
    watches = Watches(agent, clock, Ticking())
    agent.told = watches.happened
    inboxes = [Inbox() for _ in range(20)]
    watchers = [watches.members(inbox, 1) for inbox in inboxes]
    for number in range(100):
        agent.node.set_status(id, (Status.SUSPECT, Status.ALIVE)[number % 2])
        agent.flush()
        assert len(watches._members.untold) <= 5
    drained(watches, clock)
    for inbox, watcher in zip(inboxes, watchers, strict=True):
        assert watcher.behind
        assert inbox.owed == 1
        assert len(inbox.lines) < 10
        mark, value = (json.loads(line)["params"] for line in watcher.resync())
        assert mark["resync"]
        assert value["index"] == agent.node.members.index
    # They are watchers like any other again.
    agent.node.set_status(id, Status.DEAD)
    agent.flush()
    drained(watches, clock)
    assert {inbox.lines[-1]["event"] for inbox in inboxes} == {"member_failed"}


def test_who_goes_before_his_turn_is_told_nothing() -> None:
    agent, clock = FakeAgent(), Clock()
    watches = Watches(agent, clock, Ticking())
    agent.told = watches.happened
    inboxes = [Inbox() for _ in range(20)]
    watchers = [watches.services(inbox, 1, Lookup("web")) for inbox in inboxes]
    agent.node.put(agent.node.id, "w", "web", 80)
    agent.flush()
    watches.forget(watchers[-1])
    drained(watches, clock)
    assert [len(inbox.lines) for inbox in inboxes] == [1] * 19 + [0]
