"""Which blocking queries a change wakes: those whose answer has changed, and no other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.agent.processes import until
from tests.interop.api import Answer, get, put

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.worlds import World

WATCHED = {
    "instances": "health/service/alpha",
    "entries": "catalog/service/alpha",
    "names": "catalog/services",
    "nodes": "catalog/nodes",
    "states": "health/state/any",
    "checks": "health/checks/alpha",
    "node's checks": "health/node/one",
    "node": "catalog/node/one",
    "absent": "health/service/absent",
}
ALPHA = {
    "Name": "alpha",
    "Port": 1,
    "Tags": ["v1"],
    "Check": {"CheckID": "a", "TTL": "1h", "Status": "passing"},
}
BETA = {"Name": "beta", "Port": 2, "Check": {"CheckID": "b", "TTL": "1h", "Status": "passing"}}
OF_ALPHA = {"instances", "states", "checks", "node's checks"}
EVERYTHING = OF_ALPHA | {"entries", "names", "node"}


class Watches:
    """Asks all of them at one agent."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pool = ThreadPoolExecutor(len(WATCHED))

    def ask(self, name: str, index: int = 0, wait: str = "1ms") -> Answer:
        return get(self._world.http(0), f"/v1/{WATCHED[name]}?index={index}&wait={wait}")

    def wakes(self, act: Callable[[], object], expected: set[str]) -> None:
        """`act` ends the waits of `expected`, and of no others."""
        before = {name: self.ask(name) for name in WATCHED}
        # Each would wait for longer than the test does.
        waiting = {
            name: self._pool.submit(self.ask, name, before[name].index, "9m") for name in sorted(expected)
        }
        act()
        for name, query in waiting.items():
            answer = query.result()
            assert answer.index > before[name].index, name
            assert answer.body != before[name].body, name
        if self._world.name == "consul":
            return  # whose index moves with all of a kind, though it wakes only who is concerned
        for name in WATCHED.keys() - expected:
            answer = self.ask(name, before[name].index, "100ms")
            assert answer.index == before[name].index, f"{name} was woken"


def test_a_change_wakes_who_asked_for_it(world: World) -> None:
    watches, http = Watches(world), world.http(0)

    def register(service: dict[str, object], **changes: object) -> Callable[[], object]:
        return lambda: put(http, "/v1/agent/service/register", {**service, **changes})

    for service in (ALPHA, BETA):
        register(service)()
    until("the checks are known", lambda: len(get(http, "/v1/health/node/one").json) == 3)
    until("the services are known", lambda: {"alpha", "beta"} <= set(get(http, "/v1/catalog/services").json))

    watches.wakes(register({"Name": "gamma", "Port": 3}), {"names", "node"})
    watches.wakes(lambda: put(http, "/v1/agent/check/fail/b"), {"states", "node's checks"})
    watches.wakes(lambda: put(http, "/v1/agent/check/warn/a"), OF_ALPHA)
    watches.wakes(lambda: put(http, "/v1/agent/check/warn/a?note=only%20the%20output"), set())
    watches.wakes(register(ALPHA), set())
    watches.wakes(register(ALPHA, Tags=["v1", "v2"]), EVERYTHING)
    second = {"Name": "alpha", "ID": "alpha-2", "Port": 4, "Tags": ["v3"]}
    watches.wakes(register(second), {"instances", "entries", "names", "node"})
    watches.wakes(
        lambda: put(http, "/v1/agent/service/deregister/alpha-2"), {"instances", "entries", "names", "node"}
    )
    watches.wakes(lambda: put(http, "/v1/agent/service/deregister/gamma"), {"names", "node"})
    watches.wakes(lambda: put(http, "/v1/agent/service/deregister/alpha"), EVERYTHING)
    watches.wakes(
        lambda: put(http, "/v1/agent/service/deregister/beta"), {"names", "states", "node's checks", "node"}
    )


def test_who_waits_for_what_is_not_there_hears_of_its_coming(world: World) -> None:
    watches = Watches(world)
    register = {"Name": "absent", "Port": 1}
    watches.wakes(
        lambda: put(world.http(0), "/v1/agent/service/register", register), {"absent", "names", "node"}
    )
    put(world.http(0), "/v1/agent/service/deregister/absent")


def test_a_death_wakes_who_watches_that_node(world: World) -> None:
    before = get(world.http(0), "/v1/health/node/three")
    with ThreadPoolExecutor(1) as pool:
        query = pool.submit(get, world.http(0), f"/v1/health/node/three?index={before.index}&wait=9m")
        world.kill(2)
        answer = query.result()
    assert [each["Status"] for each in answer.json if each["CheckID"] == "serfHealth"] == ["critical"]


def test_events_wake_by_name(world: World) -> None:
    put(world.http(1), "/v1/event/fire/first")
    path = "/v1/event/list?name=second"
    before = get(world.http(0), path)
    assert before.index == 1, "of none there is"
    with ThreadPoolExecutor(1) as pool:
        query = pool.submit(get, world.http(0), f"{path}&index={before.index}&wait=9m")
        put(world.http(1), "/v1/event/fire/second")
        answer = query.result()
    ident = int(answer.json[-1]["ID"].replace("-", ""), 16)
    assert answer.index == (ident >> 64) ^ (ident & (2**64 - 1)), "the command line reckons it so"
