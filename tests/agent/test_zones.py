"""Zones of real agents: what lookups show, what is near, and who is picked."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
import trio

import gossip
from gossip.agent import Agent
from gossip.api import views
from gossip.api.methods import Registration
from gossip.config import Config
from gossip.core.types import show_address

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def config(folder: Path, name: str, zone: str, *join: str) -> Config:
    tags = {"zone": zone} if zone else {}
    return Config(name, folder / name, bind=(("127.0.0.1", 0),), profile="local", tags=tags, join=join)


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(30):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in the agents
            await trio.sleep(0.005)


@pytest.fixture
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossip.log.log_event", lambda _event: None)


async def test_the_own_zone_comes_first(tmp_path: Path, no_log: None) -> None:
    async with Agent(config(tmp_path, "north", "n")) as north:
        seed = show_address(north._address)
        async with (
            Agent(config(tmp_path, "south", "s", seed)) as south,
            Agent(config(tmp_path, "plain", "", seed)) as plain,
        ):
            for agent in (north, south, plain):
                await agent.register(Registration("web", 80, meta={"zone": "x"} if agent is plain else {}))
            await until(lambda: len(south.node.catalog.lookup("web")) == 3)
            await until(lambda: len(views.places(south.node).rtt_ms) == 3)
            assert {each.node: each.zone for each in south.node.catalog.lookup("web")} == {
                "north": "n",
                "south": "s",
                "plain": "x",
            }
            places = views.places(south.node)
            assert (places.zone, places.zones) == ("s", {"n": 1, "s": 1, "": 1})
            assert places.rtt_ms[south.node.id.hex()] == 0.0
            assert views.instances(south.node, views.Lookup("web", near=True)).instances[0].node == "south"
            await picked(tmp_path / "south")
            # A tag that changes is news of all that the node offers.
            north.node.set_tags({"zone": "s"}, north._driver.now())
            north._flush()
            await until(lambda: views.places(south.node).zones == {"s": 2, "": 1})
            await until(lambda: {each.zone for each in south.node.catalog.lookup("web")} == {"s", "x"})


async def picked(socket: Path) -> None:
    async with gossip.aconnect(socket) as g, g.replica() as catalog:
        await catalog.ready()
        await until(lambda: catalog._places.zone == "s")
        assert {catalog.pick("web").node for _ in range(50)} == {"south"}, (
            "a third of the members, and of the weight"
        )
        spread = Counter(catalog.pick("web", zone=False).node for _ in range(300))
        assert set(spread) == {"north", "south", "plain"}
