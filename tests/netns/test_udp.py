"""Firewalls that let streams through and datagrams not, and the reverse."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.netns.hosts import Host, Network, drop, until

if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[[int], Network]

pytestmark = pytest.mark.slow

WAYS = ("both", "inbound", "outbound")


def udp_blocked(host: Host, way: str = "both") -> list[str]:
    """Rules for the switch: no datagram to this host, or none from it, or neither."""
    inbound, outbound = [drop("udp", target=host)], [drop("udp", source=host)]
    return {"inbound": inbound, "outbound": outbound, "both": inbound + outbound}[way]


@pytest.mark.parametrize("way", WAYS)
def test_behind_a_wall_for_datagrams_gossip_goes_on_over_streams(network: Build, way: str) -> None:
    """Scenario 13: degraded and told so, never buried, and what is registered arrives on both sides."""
    net = network(3)
    a, b, c = net.hosts
    net.start(a, b, c)
    net.wait_for_agreement(a, b, c)
    net.wall(*udp_blocked(c, way))
    until("a and b flag it", lambda: "degraded" in a.flags(c) and "degraded" in b.flags(c))
    until("it flags them", lambda: "degraded" in c.flags(a) and "degraded" in c.flags(b))
    rows = a.gossip("members")
    assert [row["flags"] for row in rows if row["name"] == "c"] == [["degraded"]]
    assert [line["level"] for line in a.told("member_flagged", c)][:1] == ["warning"]
    assert a.metric("gossip_members_degraded") == 1
    assert c.metric("gossip_members_degraded") == 2

    c.register("behind")
    a.register("before")
    until("news comes out", lambda: a.lookup("behind") == b.lookup("behind") == {"c"})
    until("news comes in", lambda: c.lookup("before") == {"a"})
    c.call("events.send", name="hello")
    until("an event comes out", lambda: a.told("event_received") and b.told("event_received"))

    net.wall()
    until("the flags go", lambda: not any(x.flags(y) for x in net.hosts for y in net.hosts))
    for host in net.hosts:
        assert host.told("member_failed") == []
    assert a.metric("gossip_members_degraded") == 0


@pytest.mark.parametrize("firewall", ["drop", "reject"])
def test_a_host_whose_own_firewall_lets_no_datagram_pass(network: Build, firewall: str) -> None:
    """Scenario 13: its sends fail where it stands, or others' datagrams are refused as if nobody listened."""
    net = network(3)
    a, b, c = net.hosts
    net.start(a, b, c)
    net.wait_for_agreement(a, b, c)
    rule = f"meta l4proto udp {firewall}"
    c.firewall(inbound=rule, outbound=rule)
    until(
        "all flag each other",
        lambda: all("degraded" in x.flags(y) for x, y in ((a, c), (b, c), (c, a), (c, b))),
    )
    c.register("behind")
    a.register("before")
    until("news comes out", lambda: a.lookup("behind") == b.lookup("behind") == {"c"})
    until("news comes in", lambda: c.lookup("before") == {"a"})
    c.firewall()
    until("the flags go", lambda: not any(x.flags(y) for x in net.hosts for y in net.hosts))
    for host in net.hosts:
        assert host.told("member_failed") == []


def test_a_cluster_that_has_streams_only(network: Build) -> None:
    """Scenario 13, from the first moment and everywhere: joined, told, left and found dead over streams."""
    net = network(4)
    a, b, c, d = net.hosts
    net.wall(drop("udp"))
    net.start(*net.hosts)
    net.wait_for_agreement(*net.hosts)
    until(
        "all flag all",
        lambda: all("degraded" in x.flags(y) for x in net.hosts for y in net.hosts if x is not y),
    )
    for host in net.hosts:
        host.register("web")
    until("all find all", lambda: all(host.lookup("web") == {"a", "b", "c", "d"} for host in net.hosts))
    d.agent.signal(signal.SIGINT)
    assert d.agent.wait() == 0
    until("its leaving is known", lambda: all(host.sees()["d"] == "left" for host in (a, b, c)))
    c.agent.kill()
    until("its death is known", lambda: a.sees()["c"] == b.sees()["c"] == "dead")
    assert a.sees()["b"] == b.sees()["a"] == "alive"
    assert not [line for host in (a, b) for line in host.told("member_failed") if line["name"] != "c"]


def test_streams_blocked_and_datagrams_not(network: Build) -> None:
    """Scenario 14: nobody notices, since nobody needs a stream; with datagrams blocked as well it is dead."""
    net = network(3)
    a, b, c = net.hosts
    net.start(a, b, c)
    net.wait_for_agreement(a, b, c)
    streams = [drop("tcp", source=c), drop("tcp", target=c)]
    net.wall(*streams)
    c.register("behind")
    until("news comes out", lambda: a.lookup("behind") == b.lookup("behind") == {"c"})
    # Each has probed each several times by then.
    probes = {host: host.metric("gossip_probes_total") for host in net.hosts}
    until(
        "many probes",
        lambda: all(host.metric("gossip_probes_total") > probes[host] + 10 for host in net.hosts),
    )
    for host in net.hosts:
        assert host.told("member_flagged") == host.told("member_failed") == []
    net.wall(*streams, *udp_blocked(c))
    until("it is dead", lambda: a.sees()["c"] == b.sees()["c"] == "dead")
    assert a.lookup("behind") == set()
    assert a.sees()["b"] == "alive"


def test_a_node_that_asks_over_no_stream(network: Build) -> None:
    """Scenario 14: `stream_probe = false` at one node. Others find its way for it, and nobody is buried."""
    net = network(4)
    a, b, c, d = net.hosts
    net.start(a)
    net.start(b, options=["--stream-probe", "off"], seeds=[a])
    net.start(c, d, seeds=[a])
    net.wait_for_agreement(*net.hosts)
    net.wall(*udp_blocked(d))
    until("the others flag it", lambda: "degraded" in a.flags(d) and "degraded" in c.flags(d))
    # It may have accused it before they found the way around; then that is refuted.
    until("it holds it alive", lambda: b.sees()["d"] == "alive")

    def asked() -> int:
        count: int = b.call("agent.info")["counters"].get("probe_indirect", 0)
        return count

    begun = asked()
    until("it has asked for help again and again", lambda: asked() >= begun + 10)
    assert b.sees()["d"] == "alive"
    assert "degraded" not in b.flags(d)
    assert not any(host.told("member_failed") for host in net.hosts)
