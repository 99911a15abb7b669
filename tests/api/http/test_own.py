"""Our own routes and watches, over the same made-up agent as the local socket's tests."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gossip.api.http import sse
from gossip.api.http.own import Own
from gossip.api.http.routes import Routes
from gossip.api.http.sse import EventStreams
from gossip.api.http.values import Request, Streamed
from gossip.api.lookups import Lookups
from gossip.api.socket import LocalSocket, listen
from gossip.core.types import Status
from tests.api.http.served import Client, Serving, serving, until
from tests.api.world import FakeAgent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gossip.api.watch import Sink, Watcher


class World(Serving):
    """A server of our routes over a made-up agent."""

    agent: FakeAgent
    streams: EventStreams


@asynccontextmanager
async def world(tmp_path: Path, limit: int = sse.MAX_STREAMS) -> AsyncIterator[World]:
    """Both faces of one agent: HTTP shares the watches of the local socket."""
    agent = FakeAgent()
    local = LocalSocket(agent, listen(tmp_path / "s"), tmp_path / "s")
    agent.told = local.happened
    streams = EventStreams(local.watches, limit)
    routes = Routes()
    Own(agent, Lookups(agent), streams).add_to(routes)
    async with trio.open_nursery() as nursery, serving(routes) as here:
        nursery.start_soon(local.serve)
        whole = World(here.server)
        whole.agent, whole.streams, whole._streams = agent, streams, here._streams
        yield whole
        nursery.cancel_scope.cancel()


async def get(here: Serving, target: str) -> tuple[int, Any]:
    answer = await (await here.connect()).ask("GET", target)
    return answer.status, json.loads(answer.body)


def put(agent: FakeAgent, key: str, port: int, tags: tuple[str, ...] = ()) -> None:
    agent.node.put(agent.node.id, key, "web", port, tags)
    agent.flush()


async def test_the_answers_are_those_of_the_local_socket(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
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
        for query, found in [
            ("", ["a", "b"]),
            ("?tag=v1", ["a"]),
            ("?tag=v1&tag=v2", []),
            ("?near", ["a", "b"]),
        ]:
            status, answer = await get(here, f"/gossip/v1/services/web{query}")
            assert (status, [each["id"] for each in answer["instances"]]) == (200, found)
        assert (await get(here, "/gossip/v1/services/none"))[1]["instances"] == []


async def test_any_and_no_suspect_choose_by_status(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
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
        "/gossip/v1/services/" + "x" * 65,
        "/gossip/v1/watch/services/" + "x" * 65,
        "/gossip/v1/services/web?tag=" + "x" * 256,
    ],
)
async def test_a_query_that_is_not_understood_is_refused(tmp_path: Path, target: str) -> None:
    async with world(tmp_path) as here:
        status, answer = await get(here, target)
        assert (status, answer["kind"]) == (400, "bad_request")


async def test_health_is_for_orchestrators(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
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


async def watch(here: Serving, target: str, source: str | None = None) -> Events:
    client = await here.connect(source)
    await client.send(client.encode("GET", f"/gossip/v1/watch/{target}"))
    head = await client.event()
    assert head.status_code == 200
    assert (b"content-type", b"text/event-stream") in head.headers
    return Events(client)


async def test_a_watch_of_a_service_begins_with_the_whole_and_tells_each_change(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
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


async def test_watches_of_the_list_of_members_and_of_events(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
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


class Followed:
    """A watcher of a value that the test sets."""

    def __init__(self) -> None:
        self.behind = False
        self.value = 0

    def line(self, fields: str) -> bytes:
        return b'{"jsonrpc":"2.0","method":"m","params":{"watch":1,%b}}\n' % fields.encode()

    def tell(self, sink: Sink) -> None:
        self.value += 1
        if not self.behind and not sink.offer(self.line(f'"value":{self.value},"index":{self.value}')):
            self.behind = True

    def resync(self) -> list[bytes]:
        self.behind = False
        return [self.line('"resync":true'), self.line(f'"value":{self.value},"index":{self.value}')]


async def test_a_reader_that_falls_behind_is_sent_a_resync_and_the_whole(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(sse, "HELD_BYTES", 200)
    followed, reads = Followed(), trio.Event()
    reader = sse._Reader("value")
    reader.watcher = cast("Watcher", followed)
    sent: list[bytes] = []

    async def send(data: bytes) -> None:
        sent.append(data)
        # The client stops reading with the first part.
        await reads.wait()

    async with trio.open_nursery() as nursery:
        followed.tell(reader)
        nursery.start_soon(reader.produce, send)
        await wait_all_tasks_blocked()
        for _ in range(1_000):
            followed.tell(reader)
        assert followed.behind
        assert reader._size < 400, "what waits is bounded"
        reads.set()
        await trio.sleep(1)
        text = b"".join(sent).decode()
        assert text.count("event: resync\n") == 1
        assert text.endswith('id: 1001\nevent: value\ndata: {"value":1001,"index":1001}\n\n')
        followed.tell(reader)
        await trio.sleep(1)
        assert sent[-1] == b'id: 1002\nevent: value\ndata: {"value":1002,"index":1002}\n\n'
        nursery.cancel_scope.cancel()


async def test_a_quiet_watch_is_given_a_comment_now_and_then(tmp_path: Path, mock_clock: MockClock) -> None:
    async with world(tmp_path) as here:
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


async def test_watchers_are_few_enough_and_forgotten_when_they_go(tmp_path: Path) -> None:
    async with world(tmp_path, limit=1) as here:
        first = await watch(here, "services")
        await first.value()
        status, answer = await get(here, "/gossip/v1/watch/members")
        assert (status, answer["kind"]) == (503, "limit")
        await first._client.stream.aclose()
        await until(lambda: not here.streams.open)
        assert (await (await watch(here, "services")).value())[0] == "services"


async def test_one_address_cannot_take_all_places_of_watchers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gossip.api.http.server.is_loopback", lambda _host: False)
    async with world(tmp_path, limit=5) as here:
        # As if it were reached from elsewhere: this host is many programs.
        here.server.checks_host = False
        first, _ = [await watch(here, "services"), await watch(here, "events")]
        third = await here.connect()
        await third.send(third.encode("GET", "/gossip/v1/watch/members"))
        head = await third.event()
        assert (head.status_code, dict(head.headers).get(b"retry-after")) == (503, b"5")
        assert b"2 clients of this address" in (await third.event()).data
        others = [await watch(here, "services", "127.0.0.2") for _ in range(2)]
        assert [(await each.value())[0] for each in others] == ["services"] * 2
        await first._client.stream.aclose()
        await until(lambda: here.streams.open == 3)
        assert (await (await watch(here, "services")).value())[0] == "services"


async def test_watchers_that_begin_at_the_same_moment_are_no_more(tmp_path: Path) -> None:
    async with world(tmp_path) as here:
        streams = EventStreams(here.streams._watches, 4)
        asked = Request("GET", "/", {}, {}, source="2001:db8::1")
        twin = Request("GET", "/", {}, {}, source="2001:db8::2")
        answers = [
            streams.answer(each, "services", lambda watches, sink: watches.services(sink, 1, None))
            for each in (asked, twin, asked, twin)
        ]

        async def send(_data: bytes) -> None:
            await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            for answer in answers:
                assert isinstance(answer, Streamed)
                nursery.start_soon(answer.produce, send)
            await wait_all_tasks_blocked()
            assert (streams.open, len(nursery.child_tasks)) == (2, 2)
            nursery.cancel_scope.cancel()
        assert streams.open == 0
