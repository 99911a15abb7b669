"""The forwarders of an agent: from its own catalog, reloadable, in its metrics."""

from __future__ import annotations

import dataclasses
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
import trio
from trio.testing import MockClock

from gossip import proxying
from gossip.agent import Agent
from gossip.api import views
from gossip.api.methods import Registration
from gossip.config import Config, ProxyDefinition
from gossip.core.events import Event, EventKind
from gossip.errors import TransportError
from tests.api.http.test_metrics import scrape
from tests.proxy.instances import instance, said

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gossip.proxy.forwarder import Forwarder


def config(folder: Path, *proxies: ProxyDefinition, **more: object) -> Config:
    base = Config("n1", folder / "s", bind=(("127.0.0.1", 0),), profile="local", proxies=proxies)
    return dataclasses.replace(base, **more)  # type: ignore[arg-type]


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in the agent
            await trio.sleep(0.005)


def forwarders(agent: Agent) -> list[Forwarder]:
    assert agent._serving.proxying is not None
    return agent._serving.proxying.forwarders()


@pytest.fixture(autouse=True)
def quiet() -> None:
    logging.getLogger("gossip").setLevel(logging.ERROR)


async def test_a_proxy_follows_the_catalog(tmp_path: Path) -> None:
    web = ProxyDefinition(("127.0.0.1", 0), "web")
    async with Agent(config(tmp_path, web, http=("127.0.0.1", 0))) as agent, instance("a") as a:
        (proxy,) = forwarders(agent)
        assert await said(proxy) == b""
        assert proxy.figures.no_instance == 1
        await agent.register(Registration("web", a.port, address="127.0.0.1"))
        await until(lambda: proxy.counted()["callable"])
        assert await said(proxy) == b"hello"
        await agent.set_maintenance("web", "new disks")
        await until(lambda: proxy.counted()["hidden"])
        assert await said(proxy) == b""
        await agent.set_maintenance("web", None)
        await until(lambda: proxy.counted()["callable"])
        found = await scrape(agent)
        labels = f"listen=127.0.0.1:{proxy.address[1]},service=web"
        assert found[f"gossip_proxy_accepted_total{{{labels}}}"] == 3
        assert found[f"gossip_proxy_bytes_total{{direction=down,{labels}}}"] == 5
        await agent.deregister("web")
        await until(lambda: not proxy.counted()["callable"])


async def test_reload_adds_changes_and_removes_proxies(tmp_path: Path) -> None:
    bare = config(tmp_path)
    async with Agent(bare) as agent, instance("a") as a, instance("b") as b:
        await agent.register(Registration("web", a.port, address="127.0.0.1"))
        await agent.register(Registration("db", b.port, address="127.0.0.1"))
        await agent.reload(bare)
        assert agent._serving.proxying is None, "what nobody asked for is not loaded"
        port = await free_port()
        definition = ProxyDefinition(("127.0.0.1", port), "web", drain=0.0)
        await agent.reload(config(tmp_path, definition))
        (proxy,) = forwarders(agent)
        assert proxy.address == ("127.0.0.1", port)
        assert await said(proxy) == b"hello"
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(b"x")
        assert await stream.receive_some() == b"x"

        await agent.reload(config(tmp_path, dataclasses.replace(definition, service="db")))
        assert forwarders(agent) == [proxy], "the same port, and what is open stays"
        assert proxy.service == "db"
        assert [each.port for each in proxy._offered] == [b.port], "nobody gets to the former one any more"
        assert await said(proxy) == b"hello"

        other = ProxyDefinition(("127.0.0.1", 0), "web")
        taken = ProxyDefinition(agent._address, "web")
        wanted = dataclasses.replace(config(tmp_path, other, taken), name="another")
        done = await agent.reload(wanted)
        later, busy = done.problems
        assert later == "name: takes effect when the agent is restarted"
        assert busy.startswith(
            f"proxy: cannot listen at 127.0.0.1:{agent._address[1]}: Address already in use"
        )
        (left,) = forwarders(agent)
        assert left.service == "web"
        assert await said(left) == b"hello"
        with pytest.raises(OSError, match="all attempts"):
            await trio.open_tcp_stream("127.0.0.1", port)
        await stream.send_all(b"still")
        assert await stream.receive_some() == b"still"
        await stream.aclose()
        await proxy.finished.wait()


async def test_reload_leaves_the_ports_that_the_system_chose(tmp_path: Path) -> None:
    web, db = (ProxyDefinition(("127.0.0.1", 0), name) for name in ("web", "db"))
    async with Agent(config(tmp_path, web, web, db)) as agent:
        first = forwarders(agent)
        assert len({each.address for each in first}) == 3
        await agent.reload(config(tmp_path, web, web, db))
        assert forwarders(agent) == first
        await agent.reload(config(tmp_path, db, dataclasses.replace(web, attempts=1), web, db))
        (*same, new) = forwarders(agent)
        assert same == first
        assert [each.definition.attempts for each in same] == [1, 3, 3]
        assert new.service == "db"
        await agent.reload(config(tmp_path, db))
        assert forwarders(agent) == [first[2]], "whatever stood before it"


async def free_port() -> int:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port: int = listener.socket.getsockname()[1]
    await listener.aclose()
    return port


async def test_a_port_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        address = listener.socket.getsockname()
        free = ProxyDefinition(("127.0.0.1", 0), "web")
        with pytest.raises(TransportError, match=f"{address[1]}: Address already in use"):
            async with Agent(config(tmp_path, free, ProxyDefinition(address, "web"))):
                raise AssertionError


def test_places_are_looked_at_now_and_then_and_soon_after_members_came(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    zones = {"a": 1}
    node = SimpleNamespace(catalog=SimpleNamespace(lookup=lambda *_, **__: ()))
    monkeypatch.setattr(views, "places", lambda _: views.Places("a", dict(zones), {}))
    made = proxying.Proxying(cast("views.Reads", node), lambda: None, 10)
    made.bind([ProxyDefinition(("127.0.0.1", 0), "web")])

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(made.run)
            (forwarder,) = made.forwarders()
            assert forwarder.places.members == {"a": 1}
            zones["b"] = 1
            await trio.sleep(proxying.PLACES_SECONDS + 0.1)
            assert forwarder.places.members == {"a": 1, "b": 1}, "nothing has happened meanwhile"
            zones["c"] = 1
            made.happened(Event(EventKind.MEMBER_JOINED))
            await trio.sleep(proxying.SOON_SECONDS + 0.1)
            assert forwarder.places.members == zones
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))
