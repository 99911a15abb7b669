"""PyPI's client `py-consul`, unmodified: the life of a service, and all else that an agent is asked."""

from __future__ import annotations

import base64
import contextlib
import threading
from typing import TYPE_CHECKING, Any

import consul
import pytest

from tests.agent.processes import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.interop.worlds import World


def client(world: World, place: int) -> consul.Consul:
    host, _, port = world.http(place).partition(":")
    return consul.Consul(host=host, port=int(port))


class Follower:
    """Blocking queries, one after another. Each may wait longer than a test does: what it misses shows."""

    def __init__(self, query: Callable[..., tuple[str, Any]]) -> None:
        self.value: Any = None
        self.rounds = 0
        self._query = query
        self._index: str | None = None
        threading.Thread(target=self._run, daemon=True).start()
        until("the first answer", lambda: self.rounds)

    def _run(self) -> None:
        with contextlib.suppress(consul.ConsulException, OSError):  # the agents end before the query does
            while True:
                self._index, self.value = self._query(index=self._index, wait="60s")
                assert int(self._index) > 0
                self.rounds += 1

    def ids(self) -> set[str]:
        """Of the instances in an answer of health/service."""
        return {each["Service"]["ID"] for each in self.value}


def test_the_life_of_a_service(world: World) -> None:
    one, two, three = (client(world, place) for place in range(3))
    everything = Follower(lambda **more: one.health.service("pages", **more))
    well = Follower(lambda **more: one.health.service("pages", passing=True, **more))
    names = Follower(one.catalog.services)
    quiet = Follower(lambda **more: one.health.service("quiet", **more))
    assert "pages" not in names.value
    rounds = quiet.rounds

    for agent, ident in ((two, "pages-2"), (three, "pages-3")):
        assert agent.agent.service.register(
            "pages",
            service_id=ident,
            address="127.0.0.7",
            port=8_000,
            tags=["v1", "north"],
            meta={"owner": "web"},
            check=consul.Check.ttl("10m"),
        )
    until("both are listed", lambda: everything.ids() == {"pages-2", "pages-3"})
    until("the name is listed", lambda: set(names.value.get("pages", ())) == {"v1", "north"})
    assert well.ids() == set(), "a check is critical until its first report"
    two.agent.check.ttl_pass("service:pages-2", "ready")
    three.agent.check.ttl_pass("service:pages-3")
    until("both are well", lambda: well.ids() == {"pages-2", "pages-3"})

    found = next(each for each in everything.value if each["Service"]["ID"] == "pages-2")
    assert found["Service"]["Address"] == "127.0.0.7"
    assert found["Service"]["Port"] == 8_000
    assert found["Service"]["Tags"] == ["v1", "north"]
    assert found["Service"]["Meta"] == {"owner": "web"}
    assert found["Node"]["Node"] == "two"
    assert {check["CheckID"] for check in found["Checks"]} == {"serfHealth", "service:pages-2"}

    two.agent.check.ttl_fail("service:pages-2", "queue is full")
    until("a failing check", lambda: well.ids() == {"pages-3"})
    # Its words, where it runs: among ours only the status travels.
    checks = two.health.checks("pages")[1]
    assert ("critical", "queue is full") in [(each["Status"], each["Output"]) for each in checks]
    two.agent.check.ttl_pass("service:pages-2")
    until("it has recovered", lambda: well.ids() == {"pages-2", "pages-3"})

    world.kill(2)
    until("a failing node", lambda: well.ids() == {"pages-2"})
    until("it is listed", lambda: critical_nodes(everything) == {"three"})
    assert [each["CheckID"] for each in one.health.node("three")[1] if each["Status"] == "critical"] == [
        "serfHealth"
    ]
    world.revive()
    until("it is back with its services", lambda: "pages-3" in everything.ids())

    assert two.agent.service.deregister("pages-2")
    until("a deregistration", lambda: everything.ids() == {"pages-3"})
    assert client(world, 2).agent.service.deregister("pages-3")
    until("the other", lambda: everything.ids() == set() and well.ids() == set())
    until("the name is gone", lambda: "pages" not in names.value)
    assert one.catalog.service("pages")[1] == []
    if world.name != "consul":  # which wakes who asks for one that is not there when any has gone
        assert quiet.rounds == rounds, "a query was woken by what it had not asked for"


def critical_nodes(follower: Follower) -> set[str]:
    return {
        entry["Node"]["Node"]
        for entry in follower.value
        for check in entry["Checks"]
        if check["CheckID"] == "serfHealth" and check["Status"] == "critical"
    }


def test_what_it_asks_of_an_agent(world: World) -> None:
    one = client(world, 0)
    told = one.agent.self()
    assert {"Config", "Coord", "DebugConfig", "Member", "Meta", "Stats"} <= set(told)
    assert told["Config"]["NodeName"] == told["Member"]["Name"] == "one"
    assert told["Member"] in one.agent.members()
    assert {each["Name"] for each in one.agent.members()} == set(world.names)
    assert one.status.leader() in one.status.peers()
    assert one.status.leader() == told["Stats"]["consul"].get("leader_addr", one.status.leader())
    assert one.agent.reload()
    with pytest.raises(consul.ConsulException, match="Failed to join"):
        one.agent.join("127.0.0.1:9")
    with pytest.raises(consul.ConsulException, match="No node found with name 'nobody'"):
        one.agent.force_leave("nobody")


def test_what_it_asks_of_the_catalog(world: World) -> None:
    one = client(world, 0)
    centre = one.agent.self()["Config"]["Datacenter"]
    assert one.catalog.datacenters() == [centre]
    nodes = one.catalog.nodes()[1]
    assert [each["Node"] for each in nodes] == sorted(world.names)
    assert {each["Datacenter"] for each in nodes} == {centre}
    assert one.catalog.nodes(dc=centre)[1] == nodes
    with pytest.raises(consul.ConsulException, match="No path to datacenter"):
        one.catalog.nodes(dc="elsewhere")
    assert len(one.catalog.nodes(near="_agent")[1]) == 3
    assert one.catalog.nodes(filter_expr='Node == "two"')[1] == [nodes[2]]
    with pytest.raises(consul.ConsulException, match="Failed to create boolean expression evaluator"):
        one.catalog.nodes(filter_expr="Nonsense == 1")
    assert one.catalog.node("nobody")[1] is None
    assert one.catalog.node("two")[1]["Node"]["Node"] == "two"
    for consistency in ("stale", "consistent", "default"):
        assert one.catalog.services(consistency=consistency)[1] is not None


def test_registrations_of_all_kinds(world: World) -> None:
    two = client(world, 1)
    register, deregister = two.agent.service.register, two.agent.service.deregister
    assert register("kinds", check=consul.Check.http("http://127.0.0.1:9/health", 10, deregister="90m"))
    assert register("kinds", check=consul.Check.tcp("127.0.0.1", 9, "10s", timeout="1s"))
    # Which a Consul of that age does not know.
    tls = {} if world.name == "consul" else {"use_tls": False, "tls_skip_verify": True}
    assert register("kinds", check=consul.Check.grpc("127.0.0.1:9/x", "10s", **tls))
    assert register("kinds", weights={"Passing": 10, "Warning": 1}, enable_tag_override=True)
    assert register(
        "kinds",
        service_id="app#127.0.0.1#3000",
        check=consul.Check.ttl("10m"),
        extra_checks=[consul.Check.ttl("20m")],
        replace_existing_checks=True,
    )
    held = two.agent.checks()
    assert {f"service:app#127.0.0.1#3000:{number}" for number in (1, 2)} <= set(held)
    assert two.agent.service.maintenance("kinds", True, reason="new disks")
    assert two.agent.checks()["_service_maintenance:kinds"]["Notes"] == "new disks"
    assert two.agent.service.maintenance("kinds", False)
    assert two.agent.maintenance(True, "new disks")
    assert two.agent.checks()["_node_maintenance"]["Status"] == "critical"
    assert two.agent.maintenance(False)
    assert "_node_maintenance" not in two.agent.checks()
    assert two.agent.check.register("own", check=consul.Check.ttl("10m"), check_id="own", notes="by hand")
    assert two.agent.check.ttl_warn("own", "slow")
    assert two.agent.checks()["own"]["Status"] == "warning"
    assert two.agent.check.deregister("own")
    with pytest.raises(consul.exceptions.BadRequest):
        register("kinds", weights={"Passing": -1})
    with pytest.raises(consul.exceptions.BadRequest):
        register("kinds", check=consul.Check.ttl("soon"))
    assert deregister("kinds")
    assert deregister("app#127.0.0.1#3000")
    assert two.agent.services() == {}


def test_events(world: World) -> None:
    one = client(world, 0)
    fired = one.event.fire("deploy", "version 7")
    assert fired["Name"] == "deploy"
    assert base64.b64decode(fired["Payload"]) == b"version 7"
    for place in range(3):
        other = client(world, place)
        until("it is there", lambda other=other: payloads(other) == [b"version 7"])
    follower = Follower(lambda **more: one.event.list(name="deploy", **more))
    client(world, 1).event.fire("deploy", "version 8")
    until("the next wakes", lambda: [each["Payload"] for each in follower.value][-1] == b"version 8")


def payloads(one: consul.Consul) -> list[bytes]:
    return [each["Payload"] for each in one.event.list(name="deploy")[1]]


def test_a_node_that_runs_no_agent(world: World) -> None:
    one = client(world, 0)
    service = {"Service": "printer", "ID": "printer-1", "Port": 9_100, "Tags": ["a4"]}
    check = {"CheckID": "service:printer-1", "Name": "paper", "Status": "passing", "ServiceID": "printer-1"}
    assert one.catalog.register("office", "127.0.0.9", service=service, check=check)
    for place in range(3):
        other = client(world, place)
        until("it is known", lambda other=other: other.health.service("printer", passing=True)[1])
    assert one.catalog.deregister("office", service_id="printer-1")
    until("it is gone", lambda: not client(world, 1).health.service("printer")[1])
    assert one.catalog.deregister("office")


def test_what_needs_consensus_is_refused(world: World) -> None:
    if world.name == "consul":
        pytest.skip("Consul has it")
    one = client(world, 0)
    assert one.kv.get("absent")[1] is None
    for refused in (
        lambda: one.kv.put("a", "b"),
        lambda: one.kv.delete("a"),
        one.session.create,
        lambda: one.txn.put([]),
        lambda: one.query.create("web"),
        one.snapshot.save,
        one.acl.token.list,
    ):
        with pytest.raises(consul.ConsulException, match=r".{20}"):
            refused()
    assert one.session.list()[1] == []
