"""Forgetting deletions: what lives is signed again above a new floor, and everything below is void."""

from __future__ import annotations

import io
import random
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest
import trio

from gossip import log
from gossip.agent import Agent
from gossip.api.methods import Registration
from gossip.core.events import Event, EventKind
from gossip.core.records import ServiceRecord
from gossip.core.types import show_address
from gossip.errors import StoreError
from gossip.registrar import newest, read_saved
from gossip.store import Store, StoredRecord
from gossip.wire.identity import Identity
from tests.agent.test_agent import config, names, until


@pytest.fixture(autouse=True)
def quiet() -> None:
    log.set_up("info", "text", io.StringIO())


async def come_and_go(agent: Agent, keys: Iterable[str]) -> None:
    """Each is registered and deregistered, all at once."""

    async def one(key: str) -> None:
        await agent.register(Registration("web", 1, key))
        await agent.deregister(key)

    async with trio.open_nursery() as nursery:
        for key in keys:
            nursery.start_soon(one, key)


def held(viewer: Agent, owner: Agent) -> int:
    """Services and deletions of the owner that the viewer remembers."""
    member = viewer.node.members.get(owner.node.id)
    assert member is not None
    return len(member.services)


async def test_records_stay_bounded_and_the_others_see_exactly_what_lives(tmp_path: Path) -> None:
    async with (
        Agent(config(tmp_path), max_deletions=16) as one,
        Agent(config(tmp_path, "n2")) as two,
    ):
        await one.join([show_address(two.node.address)])
        living = [f"lives{n}" for n in range(5)]
        for n, key in enumerate(living):
            await one.register(Registration("web", n + 1, key, tags=("a",), meta={"k": "v"}, weight=n))
        await until("the other sees them", lambda: sorted(names(two, "web")) == living)
        gone: list[str] = []

        def watch(event: Event) -> None:
            if event.kind is EventKind.SERVICE_DEREGISTERED and event.key.startswith("lives"):
                gone.append(event.key)

        two._driver.subscribe(watch)
        before = one.node.floor
        floors = set()
        for n in range(6):
            await come_and_go(one, [f"{n}.{m}" for m in range(20)])
            await until("the deletions are forgotten", lambda: one.node.deletions <= 16)
            floors.add(one.node.floor)
        assert before < min(floors)
        assert len(floors) >= 3
        await until("the other forgets", lambda: held(two, one) <= 5 + 16)
        await until("both hold the same", lambda: one.node.fingerprint == two.node.fingerprint)
        assert sorted(names(two, "web")) == sorted(names(one, "web")) == living
        seen = {
            each.key: (each.port, each.tags, each.meta, each.weight)
            for each in two.node.catalog.lookup("web")
        }
        assert seen == {key: (n + 1, ("a",), {"k": "v"}, n) for n, key in enumerate(living)}
        assert gone == [], "what lives was never missing"
        floor = one.node.floor
    async with Agent(config(tmp_path)) as one:
        assert one.node.floor == floor
        assert sorted(names(one, "web")) == living


async def test_changes_meanwhile_are_neither_lost_nor_undone(tmp_path: Path, rng: random.Random) -> None:
    async with Agent(config(tmp_path), max_deletions=3) as agent:
        append = agent._store.append

        def slow(entries: Sequence[StoredRecord]) -> None:
            time.sleep(0.002)  # so that changes meet signing that is under way
            append(entries)

        agent._store.append = slow  # type: ignore[method-assign]
        wanted: dict[str, int] = {}

        async def change(key: str) -> None:
            for port in range(1, 25):
                if key in wanted and rng.random() < 0.5:
                    await agent.deregister(key)
                    del wanted[key]
                else:
                    await agent.register(Registration("web", port, key))
                    wanted[key] = port

        before = agent.node.floor
        async with trio.open_nursery() as nursery:
            for n in range(12):
                nursery.start_soon(change, f"k{n}")
        await until("the floor is raised", lambda: agent.node.floor > before and agent.node.deletions <= 3)
        assert {each.key: each.port for each in agent.node.catalog.lookup("web")} == wanted
        assert all(fact.body.version >= agent.node.floor for fact in agent.node.saved())  # type: ignore[union-attr]
    async with Agent(config(tmp_path)) as agent:
        assert {each.key: each.port for each in agent.node.catalog.lookup("web")} == wanted


def living_on_disk(folder: Path) -> tuple[set[str], int, int]:
    """What a start from this directory finds alive, the counter and the floor."""
    (folder / "lock").unlink(missing_ok=True)
    store = Store.open(folder, "")
    try:
        assert not store.saved.lost
        found = newest(read_saved(Identity(store.seed, "gossip"), store.saved.records))
        living = {key for key, (_, fact) in found.items() if isinstance(fact.body, ServiceRecord)}
        return living, store.saved.counter, store.saved.floor
    finally:
        store.close()


async def test_a_crash_at_any_step_keeps_what_lives_and_revives_nothing(tmp_path: Path) -> None:
    data, copies = tmp_path / "n1", tmp_path / "copies"
    async with Agent(config(tmp_path), max_deletions=5) as agent:
        for key in "abc":
            await agent.register(Registration("web", 1, key))
        for key in "vwxyz":
            await agent.register(Registration("web", 1, key))
            await agent.deregister(key)
        steps: list[str] = []

        def watched(name: str) -> None:
            write: Callable[..., None] = getattr(agent._store, name)

            def step(*arguments: object) -> None:
                write(*arguments)
                steps.append(name)
                shutil.copytree(data, copies / f"{len(steps)}.{name}")

            setattr(agent._store, name, step)

        before = agent.node.floor
        await agent.register(Registration("web", 1, "last"))
        for name in ("append", "save_counter", "compact"):
            watched(name)
        await agent.deregister("last")
        await until("the deletions are forgotten", lambda: agent.node.floor > before)
        await until("the log is short", lambda: "compact" in steps)
        assert agent.node.deletions == 0
        assert steps.index("save_counter") > steps.index("append")
    floors = []
    for copy in sorted(copies.iterdir(), key=lambda path: int(path.name.split(".")[0])):
        living, counter, floor = living_on_disk(copy)
        assert living == set("abc"), copy.name
        assert floor <= counter
        floors.append(floor)
    assert floors == sorted(floors)
    assert floors[0] == before < floors[-1]


async def test_a_disk_that_fails_keeps_the_deletions_until_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = io.StringIO()
    log.set_up("info", "text", text)
    async with Agent(config(tmp_path), max_deletions=2) as agent:
        await agent.register(Registration("web", 1, "lives"))
        before = agent.node.floor
        with monkeypatch.context() as patch:

            def full(*_: object) -> None:
                raise StoreError("the disk is full")

            patch.setattr(agent._store, "save_counter", full)
            await come_and_go(agent, "abc")
            await until("it was tried", lambda: "deletions_kept" in text.getvalue())
            assert (agent.node.floor, agent.node.deletions) == (before, 3)
        await come_and_go(agent, "d")
        await until("the deletions are forgotten", lambda: agent.node.deletions == 0)
        assert agent.node.floor > before
        assert names(agent, "web") == ["lives"]
