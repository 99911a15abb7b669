"""When a node is told that nothing of what it sends leaves."""

from __future__ import annotations

import pytest

from gossip.net.outlet import VOUCH_PERIODS, Outlet


@pytest.mark.parametrize("problem", ["send_failed", "send_forbidden"])
def test_nothing_leaves_when_all_fails(problem: str) -> None:
    outlet = Outlet(1.0)
    assert not outlet.is_mute(0.0), "nothing was tried"
    outlet.tried(problem)
    outlet.tried("send_blocked")
    assert outlet.is_mute(1.0)
    assert not outlet.is_mute(1.0), "it is told once"
    outlet.tried(problem)
    outlet.tried("")
    assert not outlet.is_mute(2.0)
    outlet.tried("send_no_socket")
    assert not outlet.is_mute(3.0), "that is about one address"


def test_where_datagrams_are_forbidden_a_stream_shows_for_a_while_that_this_node_is_not_cut_off() -> None:
    """Scenario 13."""
    outlet = Outlet(2.0)
    outlet.streamed(10.0)
    for late, is_mute in ((0.0, False), (2.0 * VOUCH_PERIODS, False), (2.0 * VOUCH_PERIODS + 0.1, True)):
        outlet.tried("send_forbidden")
        assert outlet.is_mute(10.0 + late) is is_mute


def test_where_there_is_no_route_a_stream_that_was_shows_nothing() -> None:
    outlet = Outlet(2.0)
    outlet.streamed(10.0)
    outlet.tried("send_forbidden")
    outlet.tried("send_failed")
    assert outlet.is_mute(10.0)
