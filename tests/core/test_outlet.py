"""When a node is told that nothing of what it sends leaves."""

from __future__ import annotations

import pytest

from gossip.core.outlet import ENOUGH, UNREACHABLE_MAX, VOUCH_PERIODS, Outlet

PLACES = [(f"192.0.2.{number}", 7946) for number in range(1, 6)]


@pytest.mark.parametrize("problem", ["send_failed", "send_forbidden"])
def test_nothing_leaves_when_all_fails(problem: str) -> None:
    outlet = Outlet(1.0)
    assert outlet.unsent(0.0) == 0, "nothing was tried"
    for place in PLACES:
        outlet.failed(problem, place, 0.5)
    assert outlet.unsent(0.6) == ENOUGH
    assert outlet.unsent(0.7) == 0, "it is told once"
    outlet.failed(problem, PLACES[0], 0.8)
    assert outlet.unsent(0.8) == ENOUGH, "none has left since"
    outlet.failed(problem, PLACES[0], 0.9)
    outlet.left(PLACES[0])
    assert not outlet.failing
    assert outlet.unsent(0.9) == 0


def test_whom_alone_nothing_can_be_sent_to_says_nothing_of_this_node() -> None:
    outlet = Outlet(1.0)
    for turn in range(100):
        for place in PLACES[: ENOUGH - 1]:
            outlet.failed("send_failed", place, turn / 4)
        assert outlet.unsent(turn / 4) == (0 if turn else ENOUGH - 1)
        outlet.left(PLACES[-1])


def test_nor_do_many_once_another_was_sent_to_until_one_of_them_is() -> None:
    """A site whose route is gone, however many are there: three of them in a row are tried all the time."""
    outlet = Outlet(1.0)
    *away, here = PLACES
    for turn in range(3):
        for place in away[turn:]:
            outlet.failed("send_failed", place, 0.0)
        outlet.left(here)
    assert set(outlet.unreachable) == set(away)
    for place in away:
        outlet.failed("send_failed", place, 0.5)
    assert not outlet.failing
    assert outlet.unsent(0.5) == 0
    for place in away:
        outlet.left(place)
    assert not outlet.unreachable
    for place in away:
        outlet.failed("send_failed", place, 0.5)
    assert outlet.unsent(0.5) == ENOUGH


def test_who_has_lost_the_rest_of_its_ways_too_is_told() -> None:
    outlet = Outlet(1.0)
    *away, here = PLACES
    for place in away[:ENOUGH]:
        outlet.failed("send_failed", place, 0.0)
    outlet.left(here)
    for at in (1.0, 2.0):
        for place in (*away[:ENOUGH], here):
            outlet.failed("send_failed", place, at)
    assert outlet.unsent(2.0) == ENOUGH


def test_no_more_than_so_many_are_remembered() -> None:
    outlet = Outlet(1.0)
    for number in range(UNREACHABLE_MAX + 10):
        outlet.failed("send_failed", ("192.0.2.1", number), 0.0)
        outlet.left(PLACES[-1])
    assert len(outlet.unreachable) == UNREACHABLE_MAX
    assert ("192.0.2.1", 9) not in outlet.unreachable


def test_unless_nothing_left_from_one_probe_to_the_next() -> None:
    outlet = Outlet(1.0)
    outlet.failed("send_failed", PLACES[0], 10.0)
    assert outlet.unsent(10.0) == 1
    outlet.failed("send_failed", PLACES[0], 11.0)
    assert outlet.unsent(11.0) == ENOUGH


def test_where_datagrams_are_forbidden_a_stream_shows_for_a_while_that_this_node_is_not_cut_off() -> None:
    """Scenario 13."""
    outlet = Outlet(2.0)
    outlet.streamed(10.0)
    for late, is_mute in ((0.0, False), (2.0 * VOUCH_PERIODS, False), (2.0 * VOUCH_PERIODS + 0.1, True)):
        for place in PLACES:
            outlet.failed("send_forbidden", place, 10.0 + late)
        assert (outlet.unsent(10.0 + late) == ENOUGH) is is_mute


def test_where_there_is_no_route_a_stream_that_was_shows_nothing() -> None:
    outlet = Outlet(2.0)
    outlet.streamed(10.0)
    outlet.failed("send_failed", PLACES[0], 10.0)
    for place in PLACES[1:]:
        outlet.failed("send_forbidden", place, 10.0)
    assert outlet.unsent(10.0) == ENOUGH
