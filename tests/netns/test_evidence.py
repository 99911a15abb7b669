"""A killed agent is told by its host's refusals, over either kind of address."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.netns.hosts import PORT, until

if TYPE_CHECKING:
    from tests.netns.conftest import Build

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_a_killed_agent_is_dead_by_refusals_and_back_when_it_starts(network: Build, six: bool) -> None:
    net = network(4, six=six)
    *others, killed = net.hosts
    net.start(*net.hosts)
    net.wait_for_agreement(*net.hosts)
    killed.agent.signal(signal.SIGKILL)
    until("all hold it dead", lambda: all(host.sees()[killed.name] == "dead" for host in others))
    refused = [host.metric('gossip_probes_failed_total{reason="refused"}') for host in others]
    assert sum(refused) >= 2, "two speak for themselves"
    assert {line["name"] for host in others for line in host.told("member_failed")} == {killed.name}
    killed.start(join=[others[0]])
    killed.agent.ready()
    net.wait_for_agreement(*net.hosts)


def test_an_agent_that_is_killed_and_started_again_at_once_is_never_buried(network: Build) -> None:
    """Its port refuses for a moment, again and again; what is said of one life is no word about the next."""
    net = network(4)
    *others, unlucky = net.hosts
    net.start(*net.hosts)
    net.wait_for_agreement(*net.hosts)
    unlucky.register("web")
    until("all know it", lambda: all(host.lookup("web") == {unlucky.name} for host in others))
    for _ in range(5):
        unlucky.agent.kill()
        unlucky.start(join=[others[0]])
        unlucky.agent.ready()
        net.wait_for_agreement(*net.hosts)
        assert all(host.lookup("web") == {unlucky.name} for host in net.hosts)
    assert [line for host in others for line in host.told("member_failed")] == []


def test_whom_one_host_alone_is_refused_by_is_not_dead_to_anybody(network: Build) -> None:
    """A firewall at its door, or a NAT in between: the others reach it, and say so."""
    net = network(4)
    shut_out, *others, target = net.hosts
    net.start(*net.hosts)
    net.wait_for_agreement(*net.hosts)
    target.firewall(
        inbound=f"ip saddr {shut_out.address} udp dport {PORT} reject\n"
        f"ip saddr {shut_out.address} tcp dport {PORT} reject with tcp reset"
    )
    until("it met refusals", lambda: shut_out.call("agent.info")["counters"].get("refusals", 0) >= 20)
    assert shut_out.metric('gossip_probes_failed_total{reason="refused"}') == 0
    assert all(host.sees()[target.name] == "alive" for host in (shut_out, *others))
    assert [line for host in net.hosts for line in host.told("member_failed")] == []
