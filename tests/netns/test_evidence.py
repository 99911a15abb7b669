"""A killed agent is told by its host's refusals, over either kind of address."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.netns.hosts import until

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
