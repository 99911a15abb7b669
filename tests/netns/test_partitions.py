"""Faults of the network around real agents: cut off, parted, restarted, moved. Nobody helps them out."""

from __future__ import annotations

import itertools
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from tests.netns.hosts import PORT, Host, Network, drop, until

if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[[int], Network]

pytestmark = pytest.mark.slow

WAYS = ("inbound", "outbound", "both")
FORGETFUL = ("--retention", "1s", "--probe-period", "100ms")


def alive_at(host: Host) -> set[str]:
    """Where it knows of agents that live, its own among them."""
    return {row["address"] for row in host.call("members.list")["members"] if row["status"] == "alive"}


def cut_off(host: Host, way: str) -> list[str]:
    """Rules for the switch: nothing reaches this host, or nothing comes from it, or neither."""
    inbound, outbound = [drop(target=host)], [drop(source=host)]
    return {"inbound": inbound, "outbound": outbound, "both": inbound + outbound}[way]


@pytest.mark.parametrize("way", WAYS)
def test_a_node_that_is_cut_off_comes_back_by_itself(network: Build, way: str) -> None:
    """Scenario 75: recovery before its removal, and after it; what was registered is found as before."""
    net = network(4)
    a, b, c, d = net.hosts
    others = (a, b, c)
    net.start(*net.hosts)
    net.wait_for_agreement(*net.hosts)
    d.register("web")
    until("all know it", lambda: all(host.lookup("web") == {"d"} for host in others))

    net.wall(*cut_off(d, way))
    until("it is suspected", lambda: any(host.sees()["d"] == "suspect" for host in others))
    net.wall()
    net.wait_for_agreement(*net.hosts)
    assert not [line for host in others for line in host.told("member_failed")], "it was back before"

    net.wall(*cut_off(d, way))
    until("it is dead", lambda: all(host.sees()["d"] == "dead" for host in others))
    assert all(host.lookup("web") == set() for host in others)
    assert all(host.sees()[other.name] == "alive" for host in others for other in others if other is not host)
    if way != "outbound":
        # With what it sends reaching nobody, it hears their probes: so it is not alone, and knows it.
        until("it says so", lambda: "isolated" in d.flags(d))
        assert d.call("services.lookup", service="web")["isolated"] is True
        assert "isolated" in d.gossip("info")["flags"]
        assert d.metric("gossip_isolated") == 1
        assert d.told("isolated")
    assert set(d.sees()) == {"a", "b", "c"}, "its view is kept"
    net.wall()
    net.wait_for_agreement(*net.hosts)
    until("all find it", lambda: all(host.lookup("web") == {"d"} for host in net.hosts))
    assert "isolated" not in d.flags(d)
    # Cut off, it may have buried others; of each other the others thought well all the time.
    failed = {line["name"] for host in others for line in host.told("member_failed")}
    assert failed == {"d"}


def test_halves_that_forgot_each_other_are_one_cluster_again(network: Build) -> None:
    """Scenarios 76 and 77: cut for longer than anything is remembered, and that again."""
    net = network(4)
    a, b, c, d = net.hosts
    left, right = (a, b), (c, d)
    net.start(*net.hosts, options=FORGETFUL)
    net.wait_for_agreement(*net.hosts)
    a.register("web")
    for _ in range(2):
        until("all know it", lambda: all(host.lookup("web") == {"a"} for host in net.hosts))
        net.wall(*net.part(left, right))
        until(
            "each half knows itself only",
            lambda: net.agree(*left) and net.agree(*right),
            90,
        )
        assert d.lookup("web") == set()
        net.wall()
        net.wait_for_agreement(*net.hosts)
    until("all know it again", lambda: all(host.lookup("web") == {"a"} for host in net.hosts))


def test_many_restart_at_their_addresses(network: Build) -> None:
    """Scenario 78: killed at once and started again; before it is noticed, and all of them after."""
    net = network(4)
    first, *others = net.hosts
    net.start(*net.hosts)
    net.wait_for_agreement(*net.hosts)
    for host in net.hosts:
        host.register("web")
    names = {host.name for host in net.hosts}
    until("all find all", lambda: all(host.lookup("web") == names for host in net.hosts))
    for host in others:
        host.agent.kill()
    net.start(*others, seeds=[first])
    until("all find all", lambda: net.agree(*net.hosts) and all(x.lookup("web") == names for x in net.hosts))
    # Nobody is left who remembers, and no seed is given: the disks suffice.
    for host in net.hosts:
        host.agent.signal(signal.SIGTERM)
    for host in net.hosts:
        assert host.agent.wait() == 0
    net.start(*net.hosts, seeds=())
    until("all find all", lambda: net.agree(*net.hosts) and all(x.lookup("web") == names for x in net.hosts))


@pytest.mark.parametrize("anew", [False, True], ids=["same identities", "new identities"])
def test_many_restart_at_new_addresses_with_the_same_names(network: Build, anew: bool) -> None:
    """Scenario 79: they are found at once where they are now, and no service is where it was."""
    net = network(5)
    *moved, stays, seed = net.hosts
    net.start(seed, stays, *moved)
    net.wait_for_agreement(*net.hosts)
    for host in net.hosts:
        host.register("web")
    for host in moved:
        host.agent.kill()
    for number, host in enumerate(moved, 101):
        host.move(number)
        if anew:
            shutil.rmtree(host.folder / "data")
    net.start(*moved, seeds=[seed])
    if anew:
        # Those that had these names are dead, and are listed for as long as dead ones are.
        here = {f"{host.address}:{PORT}" for host in net.hosts}
        until("all are found", lambda: all(alive_at(host) == here for host in net.hosts))
        for host in moved:
            host.register("web")
    else:
        net.wait_for_agreement(*net.hosts)
    where = {f"{host.address}:80" for host in net.hosts}

    def found(host: Host) -> set[str]:
        instances = host.call("services.lookup", service="web")["instances"]
        return {f"{each['address']}:{each['port']}" for each in instances}

    until("services have moved with them", lambda: all(found(host) == where for host in net.hosts))
    if not anew:
        for observer, host in itertools.permutations(net.hosts, 2):
            assert observer.flags(host) == []
