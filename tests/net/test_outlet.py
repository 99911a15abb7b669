"""When a node is told that nothing of what it sends leaves."""

from __future__ import annotations

from gossip.net.outlet import VOUCH_PERIODS, Outlet


def test_nothing_leaves_when_all_fails() -> None:
    outlet = Outlet(1.0)
    assert not outlet.is_mute(0.0), "nothing was tried"
    outlet.tried("send_failed")
    outlet.tried("send_blocked")
    assert outlet.is_mute(1.0)
    assert not outlet.is_mute(1.0), "it is told once"
    outlet.tried("send_failed")
    outlet.tried("")
    assert not outlet.is_mute(2.0)
    outlet.tried("send_no_socket")
    assert not outlet.is_mute(3.0), "that is about one address"


def test_a_frame_over_a_stream_vouches_for_a_while() -> None:
    """Scenario 13: only datagrams are kept in, so streams will do."""
    outlet = Outlet(2.0)
    outlet.streamed(10.0)
    for late, is_mute in ((0.0, False), (2.0 * VOUCH_PERIODS, False), (2.0 * VOUCH_PERIODS + 0.1, True)):
        outlet.tried("send_failed")
        assert outlet.is_mute(10.0 + late) is is_mute
