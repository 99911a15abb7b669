"""What is read and waited for: of two agents, of one that dies, of machines without an agent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gossip.core.events import EventKind
from gossip.core.types import Status
from tests.api.consul.worlds import Consul, cluster, until

if TYPE_CHECKING:
    from tests.api.consul.worlds import Said


async def test_every_agent_tells_the_same_of_a_service(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as (one, two):
        await one.register(
            id="web-1",
            Port=80,
            Meta={"k": "v"},
            Weights={"Passing": 3, "Warning": 2},
            Checks=[
                {"TTL": "1h", "Status": "passing"},
                {"TTL": "1h", "Status": "warning", "CheckID": "mine", "Name": "named", "Notes": "n"},
            ],
        )
        await until(lambda: _is_told(two))
        for path in ("health/service/web", "catalog/service/web", "catalog/node/n1", "catalog/nodes"):
            here, there = (await one.get(path)).json, (await two.get(path)).json
            assert _without_notes(here) == _without_notes(there), path


KEPT = ("Notes", "Output", "Type")


def _is_told(consul: Consul) -> Any:
    async def read() -> bool:
        rows = (await consul.get("health/service/web")).json
        found = [check["Status"] for row in rows for check in row["Checks"]]
        return len(found) == 3 and "critical" not in found

    return read()


def _without_notes(value: Any) -> Any:
    """Notes, output and (of one with a name) the type of a check are its own agent's to tell."""
    if isinstance(value, dict):
        return {key: _without_notes(each) for key, each in value.items() if key not in KEPT}
    return [_without_notes(each) for each in value] if isinstance(value, list) else value


async def test_a_dead_member_stays_and_is_critical(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as (one, two):
        await two.register()
        await until(lambda: _count(one, "health/service/web?passing", 1))
        index = (await one.get("health/service/web?passing")).index
        two.agent.stop_at_once()
        result: list[Said] = []

        async def watch() -> None:
            result.append(await one.get(f"health/service/web?passing&index={index}&wait=60s"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await until(lambda: _blocked(one) == 1)
            bury(one, "n2")
        assert result[0].json == [], "who waits for it is told"
        (found,) = (await one.get("health/service/web")).json
        assert found["Checks"][0]["Status"] == "critical"
        assert found["Checks"][0]["Output"] == "Agent not live or unreachable"
        members = {each["Name"]: each["Status"] for each in (await one.get("agent/members")).json}
        assert members == {"n1": 1, "n2": 4}
        assert (await one.put("agent/force-leave/n2")).status == 200
        assert [each["Node"] for each in (await one.get("catalog/nodes")).json] == ["n1"]
        assert (await one.get("catalog/services")).json == {}


def bury(consul: Consul, name: str) -> None:
    """What the detector does at its end; how soon is not the matter here."""
    node = consul.agent.node
    member = node.find(name)
    node._roster.set_status(member, Status.DEAD, EventKind.MEMBER_FAILED, trio.current_time())
    consul.agent._driver.flush()


def _count(consul: Consul, path: str, count: int) -> Any:
    async def read() -> bool:
        return len((await consul.get(path)).json) == count

    return read()


WATCHES = (
    *("health/service/a", "catalog/service/a", "catalog/services", "catalog/nodes", "health/state/any"),
    *("health/checks/a", "health/node/n1", "health/service/absent", "catalog/node/n1"),
)


@pytest.mark.parametrize(
    ("change", "woken"),
    [
        (("agent/service/register", {"Name": "c"}), {"catalog/services", "catalog/node/n1"}),
        (("agent/check/fail/service:b", None), {"health/state/any", "health/node/n1"}),
        (
            ("agent/check/warn/service:a", None),
            {"health/service/a", "health/state/any", "health/checks/a", "health/node/n1"},
        ),
        (("agent/check/pass/service:a?note=other", None), set()),
        (("agent/service/register", {"Name": "a", "Check": {"TTL": "1h", "Status": "passing"}}), set()),
        (
            ("agent/service/deregister/a", None),
            {each for each in WATCHES if each not in ("catalog/nodes", "health/service/absent")},
        ),
    ],
)
async def test_who_waits_is_woken_by_what_he_waits_for(
    tmp_path: Path, change: tuple[str, Any], woken: set[str]
) -> None:
    """The table of wake-ups that was measured on Consul, without its spurious ones."""
    async with cluster(tmp_path) as (consul,):
        for name in ("a", "b"):
            await consul.register(name, Check={"TTL": "1h", "Status": "passing"})
        found: set[str] = set()

        async def watch(path: str, index: int) -> None:
            said = await consul.get(f"{path}?index={index}&wait=60s")
            assert said.index > index
            found.add(path)

        async with trio.open_nursery() as nursery:
            for path in WATCHES:
                nursery.start_soon(watch, path, (await consul.get(path)).index)
            await until(lambda: _blocked(consul) == len(WATCHES))
            assert (await consul.put(*change)).status == 200
            await until(lambda: found == woken)
            await wait_all_tasks_blocked(0.05)
            assert found == woken
            nursery.cancel_scope.cancel()


def _blocked(consul: Consul) -> int:
    face = consul.agent._serving.http
    assert face is not None
    return face._consul._answers.waiting


async def test_a_client_that_goes_frees_its_query(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        index = (await consul.get("catalog/nodes")).index
        with trio.move_on_after(10.0) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(consul.get, f"catalog/nodes?index={index}")
                await until(lambda: _blocked(consul) == 1)
                scope.cancel()
        await until(lambda: _blocked(consul) == 0)


@pytest.mark.parametrize(
    "path",
    ["health/service/web", "kv/none", "session/list", "query", "coordinate/nodes", "health/connect/web"],
)
async def test_a_wait_ends_with_its_time_and_the_same_index(tmp_path: Path, path: str) -> None:
    async with cluster(tmp_path) as (consul,):
        first = await consul.get(path)
        again = await consul.get(f"{path}?index={first.index}&wait=20ms")
        assert (again.status, again.text, again.index) == (first.status, first.text, first.index)
        # An index of another agent, or of another life, is answered at once.
        assert (await consul.get(f"{path}?index={first.index + 1}&wait=60s")).index == first.index
        assert (await consul.get(f"{path}?index=1&wait=60s")).index == first.index


async def test_a_service_is_waited_for_by_hash(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        await consul.register()
        held = (await consul.get("agent/service/web")).json["ContentHash"]
        same = await consul.get(f"agent/service/web?hash={held}&wait=20ms")
        assert same.headers["x-consul-contenthash"] == held
        result: list[Said] = []

        async def watch() -> None:
            result.append(await consul.get(f"agent/service/web?hash={held}"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await until(lambda: _blocked(consul) == 1)
            await consul.register(Port=81)
        assert result[0].json["Port"] == 81
        assert (await consul.get("agent/service/nope")).status == 404


async def test_events_are_for_whom_they_are_meant(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as (one, two):
        await two.register(Tags=["blue"])
        await until(lambda: _count(one, "health/service/web", 1))
        sent = (await one.put("event/fire/deploy?service=^web$&tag=bl", b"payload")).json
        assert (sent["Payload"], sent["ServiceFilter"], sent["LTime"]) == ("cGF5bG9hZA==", "^web$", 0)
        await until(lambda: _count(two, "event/list", 1))
        (heard,) = (await two.get("event/list?name=deploy")).json
        assert (heard["ID"], heard["Payload"]) == (sent["ID"], "cGF5bG9hZA==")
        assert (await one.get("event/list")).json == [], "n1 has no such service"
        index = (await two.get("event/list")).index
        whole = int(sent["ID"].replace("-", ""), 16)
        assert index == (whole >> 64) ^ (whole & (2**64 - 1)), "clients work it out themselves"
        await one.put("event/fire/plain")
        said = await two.get(f"event/list?index={index}&wait=20s")
        assert [each["Payload"] for each in said.json] == ["cGF5bG9hZA==", None]
        assert (await one.put("event/fire/x", b"x" * 513)).status == 400


async def test_a_machine_without_an_agent_is_listed_by_all(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2) as (one, two):
        given = {
            "Node": "ext1",
            "Address": "127.0.0.9",
            "NodeMeta": {"m": "1"},
            "Service": {"Service": "ext", "Port": 5, "Tags": ["t"]},
            "Checks": [
                {"Name": "up", "Status": "passing"},
                {"CheckID": "c", "Name": "c", "ServiceID": "ext"},
            ],
        }
        assert (await one.put("catalog/register", given)).json is True
        await until(lambda: _count(two, "health/service/ext", 1))
        await until(lambda: _statuses_of_external(two))
        for consul in (one, two):
            (row,) = (await consul.get("health/service/ext")).json
            assert (row["Node"]["Node"], row["Node"]["Address"], row["Node"]["Meta"]) == (
                "ext1",
                "127.0.0.9",
                {"m": "1"},
            )
            assert (row["Service"]["ID"], row["Service"]["Address"], row["Service"]["Meta"]) == (
                "ext",
                "",
                {},
            )
            assert [(c["CheckID"], c["ServiceID"], c["Status"]) for c in row["Checks"]] == [
                ("up", "", "passing"),
                ("c", "ext", "critical"),
            ]
            assert [n["Node"] for n in (await consul.get("catalog/nodes")).json] == ["ext1", "n1", "n2"]
            assert list((await consul.get("catalog/node/ext1")).json["Services"]) == ["ext"]
        # It is no service of the agent's own, though its agent holds it.
        assert (await one.get("agent/services")).json == {}
        assert (await one.put("agent/service/deregister/ext1%2Fext")).status == 404
        later = {**given, "Checks": [{"CheckID": "c", "Name": "c", "ServiceID": "ext", "Status": "passing"}]}
        assert (await one.put("catalog/register", later)).json is True
        assert len((await one.get("health/service/ext?passing")).json) == 1
        refused = await two.put("catalog/deregister", {"Node": "ext1"})
        assert (refused.status, "registered at 'n1'" in refused.text) == (400, True)
        assert (await one.put("catalog/deregister", {"Node": "ext1", "CheckID": "up"})).json is True
        assert (await one.put("catalog/deregister", {"Node": "ext1"})).json is True
        assert (await one.get("catalog/node/ext1")).text == "null"
        assert (await one.put("catalog/deregister", {"Node": "ext1"})).json is True
        own = await one.put(
            "catalog/register", {"Node": "n2", "Address": "127.0.0.1", "Service": {"Service": "x"}}
        )
        assert (own.status, "runs an agent" in own.text) == (400, True)


async def test_a_machine_may_be_registered_without_a_service(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        bare = {"Node": "bare", "Address": "127.0.0.8", "NodeMeta": {"rack": "7"}}
        assert (await consul.put("catalog/register", bare)).json is True
        (row,) = (await consul.get("catalog/nodes?node-meta=rack:7")).json
        assert (row["Node"], row["Address"]) == ("bare", "127.0.0.8")
        assert (await consul.get("catalog/services")).json == {}
        later = {"Node": "bare", "SkipNodeUpdate": True, "Service": {"Service": "x"}}
        assert (await consul.put("catalog/register", later)).json is True
        assert (await consul.get("health/service/x")).json[0]["Node"]["Meta"] == {"rack": "7"}
        moved = {"Node": "bare", "Address": "127.0.0.7"}
        assert (await consul.put("catalog/register", moved)).json is True
        assert (await consul.get("catalog/service/x")).json[0]["Address"] == "127.0.0.7"
        gone = {"Node": "bare", "ServiceID": "x"}
        assert (await consul.put("catalog/deregister", gone)).json is True
        assert (await consul.get("catalog/node/bare")).json["Services"] == {}
        assert (await consul.put("catalog/deregister", {"Node": "bare"})).json is True
        assert (await consul.get("catalog/node/bare")).text == "null"
        unknown = await consul.put("catalog/register", {"Node": "u", "SkipNodeUpdate": True})
        assert (unknown.status, unknown.text) == (400, "Must provide address if SkipNodeUpdate is not set")


def _statuses_of_external(consul: Consul) -> Any:
    async def read() -> bool:
        (row,) = (await consul.get("health/service/ext")).json
        return [check["Status"] for check in row["Checks"]] == ["passing", "critical"]

    return read()


async def test_prometheus_is_given_targets(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        await consul.register(Port=80, Tags=["a", "b"], Meta={"team-name": "x"}, Check={"TTL": "1h"})
        await consul.register("v6", Address="2001:db8::1", Port=81)
        labels = {
            "__meta_gossip_meta_team_name": "x",
            "__meta_gossip_service": "web",
            "__meta_gossip_service_id": "web",
            "__meta_gossip_node": "n1",
            "__meta_gossip_tags": ",a,b,",
            "__meta_gossip_health": "critical",
            "__meta_gossip_cluster": "dc1",
        }
        said = await consul.get("sd/prometheus?service=web&tag=A")
        assert said.headers["content-type"] == "application/json"
        assert said.json == [{"targets": ["127.0.0.1:80"], "labels": labels}]
        assert (await consul.get("sd/prometheus?service=web&passing=1")).json == []
        await consul.put("agent/check/pass/service:web")
        everything = (await consul.get("sd/prometheus?passing")).json
        assert [group["targets"] for group in everything] == [["[2001:db8::1]:81"], ["127.0.0.1:80"]]
        for mistake in ("tags=a", "filter=Port==80", "node-meta=a:b"):
            said = await consul.get(f"sd/prometheus?{mistake}")
            assert (said.status, said.text[:23]) == (400, "unknown query parameter"), mistake


async def test_agents_are_listed_as_a_service_where_that_is_wanted(tmp_path: Path) -> None:
    async with cluster(tmp_path, 2, http_list_self_as="consul") as (one, _two):
        assert (await one.get("catalog/services")).json == {"consul": []}
        rows = (await one.get("health/service/consul?passing")).json
        assert [(row["Node"]["Node"], row["Service"]["ID"]) for row in rows] == [
            ("n1", "consul"),
            ("n2", "consul"),
        ]
        assert list((await one.get("catalog/node/n2")).json["Services"]) == ["consul"]


async def test_questions_have_the_words_of_consul(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        await consul.register(Tags=["a", "b"])
        for path, expected in (
            ("health/service/web?tag=A&tag=b", 1),
            ("health/service/web?tag=a&tag=c", 0),
            ("health/service/web?node-meta=consul-network-segment:", 1),
            ("health/service/web?node-meta=rack:7", 0),
            ("health/service/web?near=_agent", 1),
            ("health/service/web?dc=DC1&stale", 1),
            ("health/service/web?cached&consistent", 1),
            ("health/service/web?peer=other", 0),
            ("catalog/service/web?filter=ServiceName==web", 1),
        ):
            assert len((await consul.get(path)).json) == expected, path
        pretty = await consul.get("catalog/datacenters?pretty")
        assert pretty.text == '[\n    "dc1"\n]\n'
        cached = await consul.get("catalog/nodes?cached")
        assert (cached.headers["x-cache"], cached.headers["age"]) == ("HIT", "0")
        elsewhere = await consul.get("catalog/nodes?dc=dc9")
        assert (elsewhere.status, elsewhere.text) == (500, "No path to datacenter")
        for name in (
            "agent/self",
            "agent/host",
            "agent/version",
            "agent/metrics",
            "status/peers",
            "coordinate/nodes",
        ):
            assert (await consul.get(name)).status == 200, name
        assert "gossip_members" in (await consul.get("agent/metrics?format=prometheus")).text
        assert json.loads((await consul.get("status/leader")).text) == consul.agent.info().addresses.gossip
        assert (await consul.get("operator/keyring")).status == 500


async def test_the_log_is_followed_until_the_client_goes(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        assert (await consul.get("agent/monitor?loglevel=bad")).status == 400
        host, _, port = str(consul.agent.info().addresses.http).rpartition(":")
        stream = await trio.open_tcp_stream(host, int(port))
        await stream.send_all(b"GET /v1/agent/monitor?loglevel=debug HTTP/1.1\r\nHost: localhost\r\n\r\n")
        seen = b""
        with trio.fail_after(20.0):
            while b"\r\n\r\n" not in seen:
                seen += await stream.receive_some()
            await consul.register()
            while b"service_registered" not in seen:
                seen += await stream.receive_some()
        await stream.aclose()
