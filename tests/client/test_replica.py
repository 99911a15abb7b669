"""The copy of the catalog in a program: what it holds, how old it is, and when it says that it changed."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import gossip
from gossip.client import picking
from gossip.client.mirror import Mirror
from tests.client.scripted import Reply, ScriptedAgent, an_instance

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gossip.client.framing import Message

WHOLE: list[Message] = [
    {"watch": 1, "service": "web", "instances": [an_instance("a", tags=["v2"])], "index": 1, "more": True},
    {"watch": 1, "service": "web", "instances": [an_instance("b", status="suspect")], "index": 1},
    {"watch": 1, "service": "db", "instances": [an_instance("d")], "index": 2},
    {"watch": 1, "ready": True},
]
FIRST: Message = {"watch": 1, "services": 2, "index": 2}


class Watched(Mirror):
    """A mirror with a clock of the test's, which remembers what it was told of."""

    def __init__(self, *names: str) -> None:
        self.now = 5.0
        self.changes: list[set[str]] = []
        super().__init__(names, lambda: self.now)

    def _changed(self, names: Sequence[str]) -> None:
        self.changes.append(set(names))


def test_the_whole_appears_at_once_and_then_service_by_service() -> None:
    mirror = Watched()
    assert mirror.requests() == [("catalog.watch", {})]
    assert (mirror.lookup("web"), mirror.connected, mirror.staleness) == ((), False, math.inf)
    mirror.begin([FIRST])
    for params in WHOLE[:-1]:
        mirror.take(dict(params))
        assert mirror.lookup("web") == ()
    mirror.take(dict(WHOLE[-1]))
    assert [each.id for each in mirror.lookup("web")] == ["a", "b"]
    assert [each.id for each in mirror.lookup("web", tags=["v2"])] == ["a"]
    assert [each.id for each in mirror.lookup("web", no_suspect=True)] == ["a"]
    assert mirror.lookup("nothing") == ()
    assert [(each.name, each.instances, each.tags) for each in mirror.services()] == [
        ("db", 1, ()),
        ("web", 2, ("v2",)),
    ]
    assert (mirror.connected, mirror.staleness) == (True, 0.0)
    mirror.take({"watch": 1, "service": "db", "instances": [], "index": 3})
    mirror.take({"watch": 1, "service": "db", "instances": [], "index": 4})
    mirror.take({"watch": 9, "service": "web", "instances": [], "index": 4})
    assert [each.name for each in mirror.services()] == ["web"]
    assert mirror.changes == [{"web", "db"}, {"db"}]


def test_without_its_agent_it_answers_and_says_how_old_the_answer_is() -> None:
    mirror = Watched()
    mirror.begin([FIRST])
    for params in WHOLE:
        mirror.take(dict(params))
    before = mirror.lookup("web")
    mirror.lost()
    mirror.now += 3
    mirror.lost()
    assert (mirror.connected, mirror.staleness) == (False, 3.0)
    assert mirror.lookup("web") is before
    mirror.begin([FIRST])
    mirror.take({"watch": 1, "service": "new", "instances": [an_instance()], "index": 1})
    for params in WHOLE[:2]:
        mirror.take(dict(params))
    assert mirror.staleness == 3.0
    mirror.take(dict(WHOLE[-1]))
    assert mirror.lookup("web") is before, "the same, so nobody is woken"
    assert [each.name for each in mirror.services()] == ["new", "web"]
    assert mirror.changes[1:] == [{"db", "new"}]


def test_a_resync_keeps_the_old_copy_until_the_new_is_complete() -> None:
    mirror = Watched()
    mirror.begin([FIRST])
    for params in [*WHOLE, {"watch": 1, "resync": True}]:
        mirror.take(dict(params))
    assert len(mirror.lookup("web")) == 2
    mirror.take(dict(WHOLE[2]))
    assert not mirror.connected
    mirror.take(dict(WHOLE[3]))
    assert (mirror.connected, mirror.lookup("web")) == (True, ())


def test_a_few_services_are_followed_by_name() -> None:
    mirror = Watched("web", "db", "web")
    assert mirror.requests() == [
        ("services.watch", {"service": "web"}),
        ("services.watch", {"service": "db"}),
    ]
    mirror.begin([
        {"watch": 1, "instances": [an_instance()], "index": 1}, {"watch": 2, "instances": [], "index": 0},
    ])  # fmt: skip
    assert mirror.connected
    mirror.take({"watch": 2, "resync": True})
    mirror.take({"watch": 2, "instances": [an_instance("d")], "index": 3})
    assert [each.id for each in mirror.lookup("db")] == ["d"]
    with pytest.raises(ValueError, match="less than 0"):
        mirror.pick("web", subset=-1)
    with pytest.raises(gossip.NotFoundError, match="does not follow"):
        mirror.lookup("cache")


def test_an_answer_of_another_shape_is_one_clear_error() -> None:
    mirror = Mirror(["web"])
    with pytest.raises(gossip.LocalProtocolError):
        mirror.begin([{"watch": 1}])
    mirror = Mirror()
    mirror.begin([FIRST])
    with pytest.raises(gossip.LocalProtocolError):
        mirror.take({"watch": 1, "service": "web", "instances": 7})


def test_blocking(agent: ScriptedAgent) -> None:
    agent.script["catalog.watch"] = Reply(FIRST, then=list(WHOLE))
    with gossip.connect(agent.path, chance=lambda: 0.0) as g, g.replica() as catalog:
        catalog.ready(30)
        assert len(catalog.lookup("web")) == 2
        changes = catalog.changed("web")
        assert changes.next(0.02) is None
        agent.go_away()
        while catalog.connected:
            threading.Event().wait(0.01)
        assert len(catalog.lookup("web")) == 2
        assert 0 <= catalog.staleness < 60
        with pytest.raises(gossip.UnreachableError, match="not in step"):
            catalog.ready(0.05)
        agent.script["catalog.watch"] = Reply(FIRST, then=list(WHOLE[2:]))
        agent.come_back()
        assert next(changes) == ()
        catalog.ready(30)
        assert catalog.staleness == 0
        catalog.close()
        assert list(changes) == []


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_async(agent: ScriptedAgent, backend: str) -> None:
    agent.script["services.watch"] = Reply({"watch": 1, "instances": [an_instance()], "index": 1})
    agent.script["catalog.watch"] = Reply(FIRST, then=list(WHOLE))

    async def main() -> None:
        with anyio.fail_after(30):
            async with gossip.aconnect(agent.path, chance=lambda: 0.0) as g:
                async with g.replica("web") as few:
                    await few.ready()
                    assert len(few.lookup("web")) == 1
                async with g.replica() as catalog:
                    await catalog.ready()
                    changes = catalog.changed("web")
                    agent.script["catalog.watch"] = Reply(FIRST, then=list(WHOLE[2:]))
                    agent.hang_up()
                    assert await anext(changes) == ()
                    await catalog.ready()
                    assert (catalog.connected, catalog.staleness) == (True, 0.0)
                    agent.go_away()
                    while catalog.connected:  # noqa: ASYNC110 - it tells of changes only
                        await anyio.sleep(0.01)
                    with pytest.raises(gossip.UnreachableError, match="not in step"):
                        await catalog.ready(0.05)
                    assert len(catalog.lookup("db")) == 1
                    assert catalog.staleness > 0

    run: Callable[..., Any] = anyio.run
    run(main, backend=backend)
    agent.come_back()


# ------------------------------------------------------------------------------------------ picking


def a_filled_mirror(**options: Any) -> Mirror:
    mirror = Mirror(**options)
    mirror.begin([FIRST])
    for params in WHOLE:
        mirror.take(dict(params))
    return mirror


def test_picks_are_lookups_of_one() -> None:
    mirror = a_filled_mirror(chance=lambda: 0.5)
    assert mirror.pick("web").id == "a", "b's node is suspect"
    assert mirror.pick("web", avoid=[mirror.pick("web")]).id == "b"
    assert mirror.pick("web", key="k", tags=["v2"], subset=1).id == "a"
    for wrong in ({"tags": ["v9"]}, {"avoid": mirror.lookup("web")}):
        with pytest.raises(gossip.NotFoundError, match="no instance of 'web'"):
            mirror.pick("web", **wrong)
    with pytest.raises(gossip.NotFoundError, match="no instance of 'nothing'"):
        mirror.pick("nothing")
    with pytest.raises(ValueError, match="less than 0"):
        mirror.pick("web", subset=-1)
    with pytest.raises(gossip.NotFoundError, match="does not follow"):
        Mirror(["db"]).pick("web")


def test_names_of_nothing_push_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picking, "MAX_SERVICES", 2)
    mirror = a_filled_mirror(chance=lambda: 0.5)
    for instance in mirror.lookup("web"):
        mirror.report(instance, ok=True, seconds=0.1)
    for number in range(3):
        with pytest.raises(gossip.NotFoundError):
            mirror.pick(f"nothing-{number}")
    assert mirror.balance("web").standings[0].latency_ms == 100.0


def test_calls_are_counted_and_their_failures_held_against_the_instance() -> None:
    now = 5.0
    mirror = Mirror(["db"], clock=lambda: now)
    mirror.begin([{"watch": 1, "instances": [an_instance("d", service="db")], "index": 1}])
    with mirror.call("db") as instance:
        now += 0.25
        assert [each.under_way for each in mirror.balance("db").standings] == [1]
    (standing,) = mirror.balance("db").standings
    assert (standing.instance, standing.under_way, standing.calls) == (instance, 0, 1)
    assert (standing.latency_ms, standing.share, standing.ejections) == (250.0, 1.0, 0)
    with pytest.raises(KeyboardInterrupt), mirror.call("db"):
        raise KeyboardInterrupt
    assert mirror.balance("db").standings[0].share == 1.0
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), mirror.call("db"):
            raise ZeroDivisionError
    mirror.report(instance, ok=False)
    balance = mirror.balance("db")
    assert [each.share for each in balance.standings] == [0.0]
    assert mirror.pick("db") == instance, "there is no other"
    assert (mirror.balance("db").panics, balance.ejections) == (1, 1)
    now += 30
    mirror.report(instance, ok=True, seconds=0.01)
    assert mirror.balance("db").standings[0].share == 1.0


def test_an_agent_that_is_back_and_knows_nobody_yet_is_not_believed_at_once() -> None:
    now = 5.0
    mirror = a_filled_mirror(clock=lambda: now)
    mirror.lost()
    mirror.begin([{"watch": 1, "services": 0, "index": 0}])
    mirror.take({"watch": 1, "ready": True})
    assert mirror.lookup("db") == ()
    assert mirror.pick("db").id == "d"
    now += 3.0
    mirror.lost()
    mirror.begin([{"watch": 1, "services": 0, "index": 0}])
    mirror.take({"watch": 1, "ready": True})
    assert mirror.pick("db").id == "d", "nor if it is back twice"
    now += 4.9
    mirror.take({"watch": 1, "service": "web", "instances": [an_instance("new")], "index": 1})
    assert (mirror.pick("db").id, mirror.pick("web").id) == ("d", "new")
    mirror.take({"watch": 1, "service": "web", "instances": [], "index": 2})
    with pytest.raises(gossip.NotFoundError):
        mirror.pick("web")
    now += 0.2
    with pytest.raises(gossip.NotFoundError):
        mirror.pick("db")


def test_places_decide_who_is_near() -> None:
    mirror = Mirror(["web"], chance=lambda: 0.3)
    near, far = an_instance("near", zone="z"), an_instance("far", node_id="b" * 32)
    mirror.begin([{"watch": 1, "instances": [far, near], "index": 1}])
    assert mirror.pick("web").id == "far"
    mirror.placed({"zone": "z", "zones": {"z": 3, "": 3}, "rtt_ms": {"b" * 32: 40.0}})
    assert mirror.pick("web").id == "near"
    assert mirror.pick("web", zone=False).id == "far"
    mirror.placed({"zone": "", "zones": {}, "rtt_ms": {"a" * 32: 40.0, "b" * 32: 2}})
    assert mirror.pick("web", near=True).id == "far"
    mirror.placed({})
    with pytest.raises(gossip.LocalProtocolError):
        mirror.placed({"zones": 7})


def test_both_replicas_ask_where_everybody_is(agent: ScriptedAgent) -> None:
    agent.script["catalog.watch"] = Reply(FIRST, then=list(WHOLE))
    agent.script["members.places"] = Reply({"zone": "z", "zones": {"z": 1}, "rtt_ms": {}})
    with gossip.connect(agent.path) as g, g.replica() as catalog:
        catalog.ready(30)
        assert catalog.pick("db").id == "d"
        while catalog._places.zone != "z":
            threading.Event().wait(0.01)

    async def main() -> None:
        with anyio.fail_after(30):
            async with gossip.aconnect(agent.path) as g, g.replica() as catalog:
                await catalog.ready()
                assert catalog.pick("db").id == "d"
                while catalog._places.zone != "z":  # noqa: ASYNC110 - nothing tells of it
                    await anyio.sleep(0.01)

    anyio.run(main)
