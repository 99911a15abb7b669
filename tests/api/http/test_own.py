"""Our own routes and watches, over the same made-up agent as the local socket's tests."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gossip.api.http import sse
from gossip.api.http.own import Own
from gossip.api.http.routes import Routes
from gossip.api.http.sse import EventStreams
from gossip.api.lookups import Lookups
from gossip.api.watch import Watches
from gossip.core.types import Status
from tests.api.http.served import PATIENCE, Client, Serving, serving
from tests.api.world import FakeAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class World(Serving):
    agent: FakeAgent
    streams: EventStreams


@asynccontextmanager
async def world(limit: int = sse.MAX_STREAMS) -> AsyncIterator[World]:
    agent = FakeAgent()
    watches = Watches(agent)
    agent.told = watches.happened
    streams = EventStreams(watches, limit)
    routes = Routes()
    Own(agent, Lookups(agent), streams).add_to(routes)
    async with serving(routes) as here:
        whole = World(here.server)
        whole.agent, whole.streams, whole._streams = agent, streams, here._streams
        yield whole


async def get(here: Serving, target: str) -> tuple[int, Any]:
    answer = await (await here.connect()).ask("GET", target)
    return answer.status, json.loads(answer.body)


def put(agent: FakeAgent, key: str, port: int, tags: tuple[str, ...] = ()) -> None:
    agent.node.put(agent.node.id, key, "web", port, tags)
    agent.flush()


async def test_the_answers_are_those_of_the_local_socket() -> None:
    async with world() as here:
        agent = here.agent
        agent.node.add("n1")
        put(agent, "a", 80, ("v1",))
        put(agent, "b", 81)
        status, info = await get(here, "/gossip/v1/info")
        assert (status, info["name"], info["services"]) == (200, "n0", 2)
        _, members = await get(here, "/gossip/v1/members")
        assert [each["name"] for each in members["members"]] == ["n0", "n1"]
        _, services = await get(here, "/gossip/v1/services")
        assert [(each["name"], each["instances"]) for each in services["services"]] == [("web", 2)]
        for query, found in [("", ["a", "b"]), ("?tag=v1", ["a"]), ("?tag=v1&tag=v2", []), ("?near", ["a", "b"])]:
            status, answer = await get(here, f"/gossip/v1/services/web{query}")
            assert (status, [each["id"] for each in answer["instances"]]) == (200, found)
        assert (await get(here, "/gossip/v1/services/none"))[1]["instances"] == []


async def test_any_and_no_suspect_choose_by_status() -> None:
    async with world() as here:
        agent = here.agent
        other = agent.node.add("n1")
        agent.node.put(other, "x", "web", 80)
        for status, plain, any_, trusted in [
            (Status.SUSPECT, 1, 1, 0),
            (Status.DEAD, 0, 1, 0),
        ]:
            agent.node.set_status(other, status)
            agent.flush()
            for query, count in [("", plain), ("?any=true", any_), ("?no_suspect=1", trusted)]:
                found = (await get(here, f"/gossip/v1/services/web{query}"))[1]["instances"]
                assert len(found) == count, (status, query)


@pytest.mark.parametrize(
    "target",
    [
        "/gossip/v1/services/web?tags=a",
        "/gossip/v1/services/web?any=perhaps",
        "/gossip/v1/watch/services/web?wait=5s",
        "/gossip/v1/watch/services?tag=a",
        "/gossip/v1/watch/members?name=a",
        "/gossip/v1/info?pretty",
    ],
)
async def test_a_query_that_is_not_understood_is_refused(target: str) -> None:
    async with world() as here:
        status, answer = await get(here, target)
        assert (status, answer["kind"]) == (400, "bad_request")


async def test_health_is_for_orchestrators() -> None:
    async with world() as here:
        assert await get(here, "/gossip/v1/healthy") == (200, {"healthy": True, "reasons": []})
        here.agent.node.flags = ("ephemeral", "isolated")
        assert await get(here, "/gossip/v1/healthy") == (503, {"healthy": False, "reasons": ["isolated"]})


# -- watches


class Events:
    """What comes by a stream, taken apart."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._held = ""

    async def next(self) -> dict[str, str]:
        """The next event or comment, by its fields."""
        while "\n\n" not in self._held:
            event = await self._client.event()
            self._held += bytes(getattr(event, "data", b"")).decode()
        text, _, self._held = self._held.partition("\n\n")
        return dict(line.split(": ", 1) for line in text.splitlines())

    async def value(self) -> tuple[str, str, Any]:
        """Kind, id and data."""
        event = await self.next()
        return event["event"], event.get("id", ""), json.loads(event["data"])


async def watch(here: Serving, target: str) -> Events:
    client = await here.connect()
    await client.send(client.encode("GET", f"/gossip/v1/watch/{target}"))
    head = await client.event()
    assert head.status_code == 200
    assert (b"content-type", b"text/event-stream") in head.headers
    return Events(client)


async def test_a_watch_of_a_service_begins_with_the_whole_and_tells_each_change() -> None:
    async with world() as here:
        put(here.agent, "a", 80, ("v1",))
        events = await watch(here, "services/web?tag=v1")
        kind, number, data = await events.value()
        assert (kind, [each["id"] for each in data["instances"]]) == ("instances", ["a"])
        assert int(number) == data["index"]
        put(here.agent, "other", 82)
        put(here.agent, "b", 81, ("v1",))
        kind, later, data = await events.value()
        assert [each["id"] for each in data["instances"]] == ["a", "b"]
        assert int(later) > int(number)


async def test_watches_of_the_list_of_members_and_of_events() -> None:
    async with world() as here:
        agent = here.agent
        services, members = await watch(here, "services"), await watch(here, "members")
        events, deploys = await watch(here, "events"), await watch(here, "events?name=deploy")
        assert (await services.value())[2]["services"] == []
        assert [each["name"] for each in (await members.value())[2]["members"]] == ["n0"]
        for stream in (events, deploys):
            assert await stream.next() == {"": "watching"}
        agent.node.add("n1")
        agent.flush()
        kind, _, data = await members.value()
        assert (kind, data["event"], data["member"]["name"]) == ("members", "member_joined", "n1")
        put(agent, "a", 80)
        assert [each["name"] for each in (await services.value())[2]["services"]] == ["web"]
        agent.send_event("other", b"1")
        version = agent.send_event("deploy", b"2")
        assert (await events.value())[2]["name"] == "other"
        kind, number, data = await deploys.value()
        assert (kind, number, data["payload"]) == ("event", str(version), "2")


async def test_a_reader_that_falls_behind_is_sent_a_resync_and_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sse, "HELD_BYTES", 2_000)
    async with world() as here:
        put(here.agent, "a", 80)
        events = await watch(here, "services/web")
        assert (await events.value())[0] == "instances"
        # All at once: nothing of it can be sent before this task waits.
        for port in range(100, 200):
            put(here.agent, "a", port)
        kinds, data = [], {}
        while data.get("instances", [{}])[0].get("port") != 199:
            kind, _, data = await events.value()
            kinds.append(kind)
        assert kinds.count("resync") == 1
        assert len(kinds) < 50, "what waits is bounded"
        assert kinds[-1] == "instances"


async def test_a_quiet_watch_is_given_a_comment_now_and_then(mock_clock: MockClock) -> None:
    async with world() as here:
        stream = await trio.open_tcp_stream(*here.server.address)
        await stream.send_all(b"GET /gossip/v1/watch/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        seen = b""
        while b": watching" not in seen:
            seen += await stream.receive_some(9_999)
        for _ in range(20):
            # Longer than an idle connection may be: a watch is not one.
            await wait_all_tasks_blocked(0.01)
            mock_clock.jump(sse.HEARTBEAT_SECONDS)
            assert b": still here\n\n" in await stream.receive_some(9_999)
        await stream.aclose()


async def test_watchers_are_few_enough_and_forgotten_when_they_go() -> None:
    async with world(limit=1) as here:
        first = await watch(here, "services")
        await first.value()
        status, answer = await get(here, "/gossip/v1/watch/members")
        assert (status, answer["kind"]) == (503, "limit")
        await first._client.stream.aclose()
        with trio.fail_after(PATIENCE):
            while here.streams.open:
                await trio.sleep(0.001)
        assert (await (await watch(here, "services")).value())[0] == "services"
