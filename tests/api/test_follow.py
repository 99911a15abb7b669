"""Following the whole catalog over the socket: all of it, then what changes, however slow the reader."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from gossip.api import connection as connection_module
from gossip.api import follow, views
from gossip.api.jsonrpc import MAX_LINE_BYTES
from gossip.api.views import Lookup
from gossip.api.watch import Watches
from tests.api.served import Client, request, served
from tests.api.test_watch import Clock, random_change
from tests.api.world import FakeAgent


async def until_ready(client: Client) -> tuple[dict[str, list[Any]], list[int]]:
    held: dict[str, list[Any]] = {}
    indices = []
    while "ready" not in (params := (await client.line())["params"]):
        assert params["watch"] == 1
        held.setdefault(params["service"], []).extend(params["instances"])
        indices.append(params["index"])
    return held, indices


async def test_all_services_come_then_ready_then_each_that_changes(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        node = here.agent.node
        for n in range(30):
            node.put(node.id, f"k{n}", f"s{n % 10}", n + 1)
        here.agent.flush()
        client = await here.connect()
        first = await client.call("catalog.watch")
        assert first == {"watch": 1, "services": 10, "index": 30}
        held, _ = await until_ready(client)
        assert sorted(held) == sorted(f"s{n}" for n in range(10))
        assert all(len(instances) == 3 for instances in held.values())
        node.put(node.id, "k3", "s3", 999)
        here.agent.flush()
        params = (await client.line())["params"]
        assert (params["service"], params["index"]) == ("s3", 31)
        assert {each["port"] for each in params["instances"]} == {14, 24, 999}
        for n in (3, 13, 23):
            node.delete(node.id, f"k{n}")
        here.agent.flush()
        while params["instances"]:
            params = (await client.line())["params"]
        assert params["service"] == "s3"


async def test_an_empty_catalog_is_ready_at_once(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        assert (await client.call("catalog.watch"))["services"] == 0
        assert (await client.line())["params"] == {"watch": 1, "ready": True}


async def test_a_service_that_fills_more_than_a_line_comes_in_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "PAGE_BYTES", 1_000)
    async with served(tmp_path) as here:
        node = here.agent.node
        for n in range(40):
            node.put(node.id, f"k{n}", "web", n + 1)
        client = await here.connect()
        await client.call("catalog.watch")
        pages = []
        while "ready" not in (params := (await client.line())["params"]):
            pages.append(params)
        assert len(pages) > 5
        assert [page.get("more", False) for page in pages] == [True] * (len(pages) - 1) + [False]
        assert len({page["index"] for page in pages}) == 1
        assert len([each for page in pages for each in page["instances"]]) == 40


async def test_a_follower_in_a_streak_is_given_what_it_is_owed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A streak sends its answers by a way of its own; what is owed besides must not wait for other news."""
    async with served(tmp_path) as here:
        node = here.agent.node
        node.put(node.id, "k", "web", 1)
        client = await here.connect()
        await client.call("services.list")
        (connection,) = here.local._connections
        assert not connection._answer_one(request(1, "catalog.watch")), "it goes on when all is sent"
        assert (await client.line())["result"]["services"] == 1
        held, _ = await until_ready(client)
        assert [each["port"] for each in held["web"]] == [1]

        def update(*_: object) -> str:
            node.put(node.id, "k", "web", 2)
            here.agent.flush()
            return "k"

        monkeypatch.setattr(here.agent, "update_check", update)
        connection._answer_one(request(2, "checks.update", id="k", status="passing"))
        assert (await client.line())["id"] == 2
        assert (await client.line())["params"]["instances"][0]["port"] == 2


def test_a_line_is_never_longer_than_a_reader_takes() -> None:
    agent = FakeAgent()
    for n in range(2_000):
        agent.node.put(agent.node.id, f"k{n}", "web", n + 1, [f"{n:04}" * 60])
    topic = follow.CatalogTopic(agent)
    pages = topic.pages("web")
    assert len(pages) >= 2
    assert max(map(len, pages)) < MAX_LINE_BYTES


async def test_a_follower_that_stops_reading_costs_names_only_and_ends_with_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "WATCH_BYTES", 4_000)
    async with served(tmp_path) as here:
        node = here.agent.node
        for n in range(20):
            node.put(node.id, f"k{n}", f"s{n}", 1)
        client = await here.connect()
        await client.call("catalog.watch")
        await until_ready(client)
        connection = next(iter(here.local._connections))
        for port in range(2, 402):
            for n in range(20):
                node.put(node.id, f"k{n}", f"s{n}", port)
            here.agent.flush()
            here.local.watches._windows._ends.clear()  # as if each change came long after the last
            await trio.lowlevel.checkpoint()
        assert connection._size < 8_000
        assert len(follow_watcher(here)._owed) <= 20
        seen: dict[str, list[int]] = {f"s{n}": [1] for n in range(20)}
        lines = 0
        while any(ports[-1] != 401 for ports in seen.values()):
            params = (await client.line())["params"]
            assert "resync" not in params
            seen[params["service"]].append(params["instances"][0]["port"])
            lines += 1
        # A change whose turn comes after its service was sent owes that once more: never an older one.
        assert all(ports == sorted(ports) for ports in seen.values())
        assert lines < 20 * 400


def follow_watcher(here: Any) -> follow.CatalogWatcher:
    (watcher,) = here.local.watches._catalog.watchers
    assert isinstance(watcher, follow.CatalogWatcher)
    return watcher


class Reader:
    """Takes what it is owed when a test says so."""

    def offer(self, line: bytes) -> bool:
        raise AssertionError(f"a follower asks for its lines itself: {line!r}")

    def owes(self) -> None:
        pass


def test_98_a_follower_that_stalls_ends_with_every_services_last_state(rng: random.Random) -> None:
    """Scenario 98 for the whole catalog: per service in order, and the last."""
    for _ in range(20):
        agent, clock = FakeAgent(), Clock()
        owners = [agent.node.id, *(agent.node.add(f"n{i}") for i in range(3))]
        watches = Watches(agent, clock, clock)
        agent.told = watches.happened
        agent.flush()
        watcher, _ = watches.catalog(Reader(), 1)
        history: dict[str, list[Any]] = {"web": [looked_up(agent, "web")], "db": [looked_up(agent, "db")]}
        seen: dict[str, list[Any]] = {"web": [[]], "db": [[]]}
        indices: list[int] = []

        def read(most: int, watcher: Any = watcher, seen: Any = seen, indices: Any = indices) -> None:
            while watcher.behind and most:
                most -= 1
                for line in watcher.resync():
                    params = json.loads(line)["params"]
                    if "ready" not in params:
                        seen[params["service"]].append(params["instances"])
                        indices.append(params["index"])

        for _ in range(80):
            clock.now += rng.choice([0.0, 0.001, 0.01, 0.05])
            if rng.random() < 0.5:
                watches.tell_due()
            random_change(agent, rng, owners)
            for name, states in history.items():
                states.append(looked_up(agent, name))
            read(rng.choice([0, 0, 0, 1, 5]))
        clock.past_the_window(watches)
        read(1_000)
        for name, states in seen.items():
            assert states[-1] == history[name][-1]
            place = 0
            for state in states[1:]:
                place = history[name].index(state, place)


def looked_up(agent: FakeAgent, name: str) -> Any:
    return json.loads(msgspec.json.encode(views.instances(agent.node, Lookup(name))))["instances"]
