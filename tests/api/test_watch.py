"""Watches: every visible state in order, and the truth for those who are too slow."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock

from gossip.api import connection as connection_module
from gossip.api import views
from gossip.api import watch as watch_module
from gossip.api.views import Lookup
from gossip.api.watch import Watches
from gossip.api.windows import WINDOW_SECONDS
from gossip.core.types import Status
from tests.api.served import request, served
from tests.api.world import FakeAgent


class Inbox:
    """A watcher's end that takes as much as it is allowed to."""

    def __init__(self) -> None:
        self.room = 1_000_000
        self.owed = 0
        self.lines: list[dict[str, Any]] = []

    def offer(self, line: bytes) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        assert line.endswith(b"\n")
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        self.lines.append(message["params"])
        return True

    def owes(self) -> None:
        self.owed += 1


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def past_the_window(self, watches: Watches) -> None:
        self.now += WINDOW_SECONDS * 1.01
        watches.tell_due()


def random_change(agent: FakeAgent, rng: random.Random, owners: list[bytes]) -> None:
    """Something that may or may not be seen in a lookup."""
    node, owner = agent.node, rng.choice(owners)
    match rng.randrange(8):
        case 0 | 1 | 2:
            node.put(
                owner,
                f"k{rng.randrange(3)}",
                rng.choice(["web", "db"]),
                rng.randrange(1, 4),
                rng.choice([(), ("a",), ("a", "b")]),
            )
        case 3:
            node.delete(owner, f"k{rng.randrange(3)}")
        case 4:
            node.shout("noise", b"")
        case _:
            if owner != node.id:
                node.set_status(owner, rng.choice(list(Status)))
    agent.flush()


QUESTIONS = [
    Lookup("web"),
    Lookup("web", ("a",)),
    Lookup("db", any=True),
    Lookup("db", no_suspect=True),
    Lookup("web", ("b", "a"), any=True),
    Lookup("none"),
]


def test_98_a_watch_sees_every_visible_state_in_order_with_one_index(rng: random.Random) -> None:
    """Scenario 98, first half: what changes seldom is told state by state, as it would be looked up."""
    agent = FakeAgent()
    owners = [agent.node.id, *(agent.node.add(f"n{i}") for i in range(3))]
    clock = Clock()
    watches = Watches(agent, clock, clock)
    agent.told = watches.happened
    # With `any`, what changes of the hidden is seen with the next change that is no secret.
    questions = [question for question in QUESTIONS if not question.any]
    inboxes, expected = [Inbox() for _ in questions], []
    for inbox, question in zip(inboxes, questions, strict=True):
        watcher = watches.services(inbox, 1, question)
        first = json.loads(b"{" + (watcher.topic.value() or b""))
        expected.append([first["instances"]])
        inbox.lines.append(first)
    for _ in range(400):
        clock.past_the_window(watches)
        random_change(agent, rng, owners)
        for states, question in zip(expected, questions, strict=True):
            now = looked_up(agent, question)
            if now != states[-1]:
                states.append(now)
    for inbox, states in zip(inboxes, expected, strict=True):
        assert [line["instances"] for line in inbox.lines] == states
        indices = [line["index"] for line in inbox.lines]
        assert indices == sorted(indices)
    assert sum(len(states) for states in expected) > 200


def looked_up(agent: FakeAgent, question: Lookup) -> Any:
    return json.loads(msgspec.json.encode(views.instances(agent.node, question)))["instances"]


def test_a_watch_of_any_status_has_caught_up_at_each_visible_change(rng: random.Random) -> None:
    agent = FakeAgent()
    owners = [agent.node.id, *(agent.node.add(f"n{i}") for i in range(3))]
    clock = Clock()
    watches = Watches(agent, clock, clock)
    agent.told = watches.happened
    question, inbox = Lookup("db", any=True), Inbox()
    watches.services(inbox, 1, question)
    for port in range(1, 100):
        for _ in range(5):
            clock.past_the_window(watches)
            random_change(agent, rng, owners)
        clock.past_the_window(watches)
        agent.node.put(agent.node.id, "sure", "db", port)
        agent.flush()
        clock.past_the_window(watches)
        assert inbox.lines[-1]["instances"] == looked_up(agent, question)


def test_a_watcher_that_is_behind_gets_one_resync_and_the_whole_value(rng: random.Random) -> None:
    """Scenarios 66 and 98, second half."""
    agent = FakeAgent()
    owners = [agent.node.id, agent.node.add("n1")]
    clock = Clock()
    watches = Watches(agent, clock, clock)
    agent.told = watches.happened
    slow, quick = Inbox(), Inbox()
    watcher = watches.services(slow, 1, Lookup("web"))
    watches.services(quick, 1, Lookup("web"))
    slow.room = 3
    for _ in range(200):
        clock.past_the_window(watches)
        random_change(agent, rng, owners)
    assert watcher.behind
    assert len(slow.lines) == 3
    slow.room = 1_000
    for line in watcher.resync():
        assert slow.offer(line)
    assert slow.lines[3] == {"watch": 1, "resync": True}
    assert slow.lines[4] == quick.lines[-1]
    assert not watcher.behind
    before = len(quick.lines)
    for _ in range(50):
        clock.past_the_window(watches)
        random_change(agent, rng, owners)
    assert slow.lines[5:] == quick.lines[before:]


async def test_over_the_socket(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        node = here.agent.node
        client = await here.connect()
        first = await client.call("services.watch", service="web")
        assert first == {"watch": 1, "instances": [], "index": 0}
        node.put(node.id, "w", "web", 80)
        node.put(node.id, "d", "db", 81)
        here.agent.flush()
        note = await client.line()
        assert (note["method"], note["params"]["watch"]) == ("services.watch", 1)
        assert [each["port"] for each in note["params"]["instances"]] == [80]
        assert "id" not in note
        assert (await client.call("services.watch", service="db"))["watch"] == 2
        node.delete(node.id, "w")
        here.agent.flush()
        assert (await client.line())["params"]["instances"] == []


async def test_a_watch_and_a_change_in_one_read_come_in_order(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        await client.send(
            request(1, "events.watch")
            + request(2, "events.send", name="deploy", payload="v2")
            + request(3, "agent.info")
        )
        assert (await client.line())["result"] == {"watch": 1}
        note = await client.line()
        assert note["params"] | {"id": 0} == {
            "watch": 1,
            "name": "deploy",
            "payload": "v2",
            "node": "n0",
            "node_id": here.agent.node.id.hex(),
            "id": 0,
        }
        assert (await client.line())["result"] == {"id": note["params"]["id"]}
        assert (await client.line())["id"] == 3


async def test_events_by_name(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        all_, one = await here.connect(), await here.connect()
        await all_.call("events.watch")
        await one.call("events.watch", name="b")
        for name in "abc":
            here.agent.send_event(name, b"\xff")
        assert [(await all_.line())["params"]["name"] for _ in range(3)] == ["a", "b", "c"]
        note = await one.line()
        assert (note["params"]["name"], note["params"]["payload"]) == ("b", "�")
        assert (await one.call("agent.info"))["name"] == "n0"


async def test_members(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        first = await client.call("members.watch")
        assert [row["name"] for row in first["members"]] == ["n0"]
        id = here.agent.node.add("n1")
        here.agent.flush()
        here.agent.node.set_status(id, Status.SUSPECT)
        here.agent.flush()
        joined, suspected = (await client.line())["params"], (await client.line())["params"]
        assert (joined["event"], joined["member"]["name"], joined["member"]["status"]) == (
            "member_joined",
            "n1",
            "alive",
        )
        assert (suspected["event"], suspected["member"]["status"]) == ("member_suspected", "suspect")
        assert first["index"] < joined["index"] < suspected["index"]


async def test_a_reader_that_stops_costs_no_memory_and_is_told_what_it_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "WATCH_BYTES", 2_000)
    async with served(tmp_path) as here:
        node = here.agent.node
        client = await here.connect()
        await client.call("services.watch", service="web")
        await client.call("events.watch")
        connection = next(iter(here.local._connections))
        port = 0
        with trio.fail_after(20):
            # What the service's windows tell takes its room, too, until there is none.
            while port < 6_000 or not all(watcher.behind for watcher in connection._watchers):
                port += 1
                node.put(node.id, "w", "web", port)
                here.agent.flush()
                here.agent.send_event("e", b"x" * 100)
                if port >= 6_000:
                    await trio.sleep(0.005)
        assert connection._size < 4_000
        last: int | None = None
        resyncs: list[int] = []
        order: list[int] = []
        with trio.fail_after(20):
            while last != port or len(resyncs) < 2:
                params = (await client.line())["params"]
                if params.get("resync"):
                    resyncs.append(params["watch"])
                elif "instances" in params:
                    last = params["instances"][0]["port"]
                    order.append(last)
        assert sorted(resyncs) == [1, 2]
        assert order == sorted(set(order))
        assert len(order) < port
        # It is a watcher like any other again.
        node.put(node.id, "w", "web", 7)
        here.agent.flush()
        params = (await client.line())["params"]
        while "instances" not in params:
            # An event that came when there was room again.
            params = (await client.line())["params"]
        assert params["instances"][0]["port"] == 7


async def test_too_many_watches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "MAX_WATCHES", 2)
    async with served(tmp_path) as here:
        client = await here.connect()
        await client.call("services.watch", service="a")
        await client.call("members.watch")
        assert (await client.ask("events.watch"))["error"]["data"]["kind"] == "limit"


async def test_watches_end_with_their_connection(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        for method in ("members.watch", "events.watch"):
            await client.call(method)
        await client.call("services.watch", service="web")
        await client.stream.aclose()
        with trio.fail_after(10):
            while here.local._connections:  # noqa: ASYNC110 - the socket tells nobody
                await trio.sleep(0.001)
        watches = here.local.watches
        assert not watches._services
        assert not watches._events
        assert not watches._members.watchers


async def test_without_a_service_the_list_is_watched(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        node = here.agent.node
        client = await here.connect()
        node.put(node.id, "w", "web", 80, ["a"])
        first = await client.call("services.watch")
        assert first["services"] == [{"name": "web", "instances": 1, "tags": ["a"], "failing": 0}]
        assert first == {"watch": 1} | await client.call("services.list")
        # A change that the list does not show is nothing new to those who watch it.
        node.put(node.id, "w", "web", 81, ["a"])
        here.agent.flush()
        node.put(node.id, "d", "db", 82)
        here.agent.flush()
        note = await client.line()
        assert (note["method"], note["params"]["watch"]) == ("services.watch", 1)
        assert [each["name"] for each in note["params"]["services"]] == ["db", "web"]
        other = await here.connect()
        assert (await other.call("services.watch"))["index"] == note["params"]["index"]
        node.delete(node.id, "w")
        here.agent.flush()
        for each in (client, other):
            assert [row["name"] for row in (await each.line())["params"]["services"]] == ["db"]


def test_the_watch_of_the_list_tells_what_it_would_show_state_by_state(rng: random.Random) -> None:
    agent = FakeAgent()
    owners = [agent.node.id, *(agent.node.add(f"n{i}") for i in range(3))]
    clock = Clock()
    watches = Watches(agent, clock, clock)
    agent.told = watches.happened
    inbox = Inbox()
    watches.services(inbox, 1, None)
    expected = [json.loads(msgspec.json.encode(views.services(agent.node)))["services"]]
    for _ in range(200):
        clock.past_the_window(watches)
        random_change(agent, rng, owners)
        now = json.loads(msgspec.json.encode(views.services(agent.node)))["services"]
        if now != expected[-1]:
            expected.append(now)
    assert [line["services"] for line in inbox.lines] == expected[1:]
    assert len(expected) > 50


# -- bunching -------------------------------------------------------------------------------------------


def ports(lines: list[dict[str, Any]]) -> list[int]:
    return [line["instances"][0]["port"] for line in lines]


async def test_the_first_change_is_told_at_once_and_what_follows_in_one(autojump_clock: MockClock) -> None:
    agent, inbox = FakeAgent(), Inbox()
    watches = Watches(agent)
    agent.told = watches.happened
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watches.run)
        watches.services(inbox, 1, Lookup("web"))
        began = trio.current_time()
        for port in range(1, 8):
            agent.node.put(agent.node.id, "w", "web", port)
            agent.flush()
            await trio.sleep(0.002)
        assert ports(inbox.lines) == [1], "the first did not wait for anything"
        await trio.sleep_until(began + WINDOW_SECONDS * 0.99)
        assert ports(inbox.lines) == [1]
        await trio.sleep_until(began + WINDOW_SECONDS * 1.01)
        assert ports(inbox.lines) == [1, 7]
        # Nothing else happens, so nothing wakes up: the clock jumps to the end of this sleep.
        await trio.sleep(3_600)
        assert ports(inbox.lines) == [1, 7]
        nursery.cancel_scope.cancel()


async def test_a_window_that_ends_sooner_than_the_one_waited_for(autojump_clock: MockClock) -> None:
    agent, a, b = FakeAgent(), Inbox(), Inbox()
    watches = Watches(agent)
    agent.told = watches.happened
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watches.run)
        for inbox, name in ((a, "a"), (b, "b")):
            watches.services(inbox, 1, Lookup(name))
        began = trio.current_time()
        for name, port in (("a", 1), ("b", 1), ("b", 2), ("a", 2)):
            agent.node.put(agent.node.id, name, name, port)
            agent.flush()
            await trio.sleep(0.004)
        await trio.sleep_until(began + WINDOW_SECONDS * 1.01)
        assert (ports(a.lines), ports(b.lines)) == ([1, 2], [1])
        await trio.sleep_until(began + 0.004 + WINDOW_SECONDS * 1.01)
        assert ports(b.lines) == [1, 2]
        nursery.cancel_scope.cancel()


def test_who_begins_in_a_window_is_not_told_twice_and_keeps_nothing_from_others() -> None:
    agent, clock, first, second = FakeAgent(), Clock(), Inbox(), Inbox()
    watches = Watches(agent, clock, clock)
    agent.told = watches.happened
    watches.services(first, 1, Lookup("web"))
    for port in (1, 2):
        agent.node.put(agent.node.id, "w", "web", port)
        agent.flush()
    watcher = watches.services(second, 1, Lookup("web"))
    assert b'"port":2' in (watcher.topic.value() or b"")
    assert ports(first.lines) == [1]
    clock.past_the_window(watches)
    assert ports(first.lines) == [1, 2]
    assert second.lines == []
    # There and back again in one window, and nobody has seen the way.
    for port in (3, 2):
        agent.node.put(agent.node.id, "w", "web", port)
        agent.flush()
    clock.past_the_window(watches)
    assert (ports(first.lines), second.lines) == ([1, 2], [])


def test_an_event_about_a_service_computes_nothing_for_those_who_watch_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent, clock = FakeAgent(), Clock()
    watches = Watches(agent, clock, clock)
    agent.told = watches.happened
    id = agent.node.add("n1")
    for n in range(50):
        agent.node.put(id, f"k{n}", f"s{n}", 80)
    agent.flush()
    inboxes = [Inbox() for _ in range(1_000)]
    for n, inbox in enumerate(inboxes):
        watches.services(inbox, 1, Lookup(f"s{n % 50}"))
    asked: list[str] = []
    original = views.instances

    def count(node: Any, question: Lookup) -> Any:
        asked.append(question.service)
        return original(node, question)

    monkeypatch.setattr(views, "instances", count)
    clock.past_the_window(watches)
    agent.node.put(id, "k7", "s7", 81)
    agent.node.shout("noise", b"")
    agent.flush()
    assert asked == ["s7"], "twenty watchers, one computation"
    assert sum(len(inbox.lines) for inbox in inboxes) == 20
    clock.past_the_window(watches)
    asked.clear()
    member = agent.node.members.get(id)
    assert member is not None
    agent.node._roster.flag(member, "degraded", on=True)
    agent.flush()
    assert asked == [], "a member's flag is in no lookup"


@pytest.mark.parametrize("question", [Lookup("web"), Lookup("web", any=True), Lookup("web", ("a",)), None])
def test_98_a_watcher_that_stalls_ends_with_the_last_state(
    rng: random.Random, question: Lookup | None
) -> None:
    """Scenario 98, with bunching and stalls: order, the last state, and an index that rises."""
    for _ in range(20):
        agent, clock, inbox = FakeAgent(), Clock(), Inbox()
        owners = [agent.node.id, *(agent.node.add(f"n{i}") for i in range(3))]
        watches = Watches(agent, clock, clock)
        agent.told = watches.happened
        agent.flush()
        watcher = watches.services(inbox, 1, question)
        history = [whole(agent, question)]
        seen = [history[0]]
        for _ in range(60):
            clock.now += rng.choice([0.0, 0.001, 0.01, 0.05])
            if rng.random() < 0.5:
                watches.tell_due()
            random_change(agent, rng, owners)
            history.append(whole(agent, question))
            if rng.random() < 0.1:
                inbox.room = 0
            elif rng.random() < 0.3:
                inbox.room = 1_000
                if watcher.behind:
                    inbox.lines.extend(json.loads(line)["params"] for line in watcher.resync())
        # One more change that everybody can see, so that what is hidden shows too.
        agent.node.put(agent.node.id, "sure", "web", 9, ["a", "b"])
        agent.flush()
        history.append(whole(agent, question))
        clock.past_the_window(watches)
        if watcher.behind:
            inbox.lines.extend(json.loads(line)["params"] for line in watcher.resync())
        lines = [line for line in inbox.lines if "resync" not in line]
        seen += [line["services" if question is None else "instances"] for line in lines]
        assert seen[-1] == history[-1]
        indices = [line["index"] for line in lines]
        assert indices == sorted(indices)
        place = 0
        for state in seen:
            place = history.index(state, place)  # raises if one came out of its order


def whole(agent: FakeAgent, question: Lookup | None) -> Any:
    if question is None:
        return json.loads(msgspec.json.encode(views.services(agent.node)))["services"]
    return looked_up(agent, question)


def test_the_dead_are_followed_by_who_asked_for_any_status() -> None:
    agent, clock, inbox = FakeAgent(), Clock(), Inbox()
    id = agent.node.add("n1")
    agent.node.put(id, "k", "web", 80)
    watches = Watches(agent, clock, clock)
    agent.told = watches.happened
    agent.flush()
    watches.services(inbox, 1, Lookup("web", any=True))
    for status in (Status.DEAD, Status.LEFT):
        agent.node.set_status(id, status)
        agent.flush()
        clock.past_the_window(watches)
        assert inbox.lines[-1]["instances"][0]["status"] == status.label
