"""Who cannot send knows that the fault is its own; whom nobody can send to is no fault of others."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.netns.hosts import Network, ip, until

if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[[int], Network]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("count", [2, 3])
def test_a_host_without_its_interface_accuses_nobody(network: Build, count: int) -> None:
    """Scenario 75: it doubts itself, says that it is isolated, keeps its view, and is back with the link."""
    net = network(count)
    *others, lost = net.hosts
    net.start(*net.hosts)
    net.wait_for_agreement(*net.hosts)
    others[0].register("web")
    until("it knows of it", lambda: lost.lookup("web") == {"a"})

    lost.link(up=False)
    until("it doubts itself", lambda: "doubting" in lost.flags(lost))
    until("others suspect it", lambda: any(host.told("member_suspected", lost) for host in others))
    lost.link(up=True)
    net.wait_for_agreement(*net.hosts)

    lost.link(up=False)
    until("others hold it dead", lambda: all(host.sees()[lost.name] == "dead" for host in others))
    until("it hears nobody", lambda: "isolated" in lost.flags(lost))
    assert lost.lookup("web") == {"a"}, "its view is kept"
    assert set(lost.sees().values()) == {"alive"}
    lost.link(up=True)
    net.wait_for_agreement(*net.hosts)
    assert lost.told("member_failed") == lost.told("member_suspected") == []
    assert {line["name"] for host in others for line in host.told("member_failed")} == {lost.name}


def test_who_was_stopped_accuses_nobody(network: Build) -> None:
    """Whatever it was waiting for when it was stopped, and for however long: the others hold it dead."""
    net = network(4)
    *others, stopped = net.hosts
    net.start(*net.hosts)
    net.wait_for_agreement(*net.hosts)
    for _ in range(3):
        stopped.agent.signal(signal.SIGSTOP)
        until("it is dead", lambda: all(host.sees()[stopped.name] == "dead" for host in others))
        stopped.agent.signal(signal.SIGCONT)
        until("it doubted itself", lambda: stopped.call("agent.info")["counters"].get("doubts"))
        net.wait_for_agreement(*net.hosts)
    assert stopped.told("member_suspected") == stopped.told("member_failed") == []
    assert {line["name"] for host in others for line in host.told("member_failed")} == {stopped.name}


def test_a_host_whose_route_went_with_it_is_dead_to_who_cannot_send_to_it(network: Build) -> None:
    """As with routes that are announced by the hosts they lead to: no fault of who finds none."""
    net = network(4)
    *others, gone = net.hosts
    net.start(*net.hosts)
    net.wait_for_agreement(*net.hosts)

    gone.link(up=False)
    for host in others:
        ip("-n", host.namespace, "route", "add", "unreachable", f"{gone.address}/32")
    until("others hold it dead", lambda: all(host.sees()[gone.name] == "dead" for host in others))
    # A busy machine makes one doubt itself for a moment; for want of a route it would be until that is back.
    until("nobody doubts itself", lambda: not any("doubting" in host.flags(host) for host in others))
    assert {line["name"] for host in others for line in host.told("member_failed")} == {gone.name}
