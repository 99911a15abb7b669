"""Coordinates: they find the distances that there are, and no peer can spoil them."""

from __future__ import annotations

import math
import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.core.coordinates import HEIGHT_MIN, Coordinates, distance, pack, unpack
from gossip.core.messages import Ping
from tests.core.rig import Rig

A, B = b"a" * 16, b"b" * 16
NAN, INFINITY = math.nan, math.inf
SIZE = 11


def values(**changes: float) -> tuple[float, ...]:
    """A sound coordinate, but for these changes: `x0` to `x7`, `height`, `error`, `adjustment`."""
    names = [*(f"x{number}" for number in range(8)), "height", "error", "adjustment"]
    return tuple(changes.get(name, {"height": 0.001, "error": 0.5}.get(name, 0.01)) for name in names)


def raw(coordinate: tuple[float, ...]) -> bytes:
    return struct.pack(f"!{len(coordinate)}f", *coordinate)


def settle(places: list[tuple[float, float]], rng: random.Random, rounds: int = 200) -> list[Coordinates]:
    """Nodes at these places of a plane (in ms) that ping each other; 1 ms comes on top."""
    nodes = [Coordinates(random.Random(number)) for number in range(len(places))]
    names = [number.to_bytes(16, "big") for number in range(len(places))]
    for _ in range(rounds):
        for here, node in enumerate(nodes):
            there = rng.randrange(len(nodes))
            if there != here:
                rtt = 0.001 * (math.dist(places[here], places[there]) + 1.0)
                assert node.observe(names[there], nodes[there].own, rtt)
    return nodes


def test_distances_are_found_between_nodes_that_never_met(rng: random.Random) -> None:
    places = [(rng.uniform(0, 100), rng.uniform(0, 100)) for _ in range(20)]
    nodes = settle(places, rng)
    errors = []
    for here, node in enumerate(nodes):
        for there in range(here):
            truth = 0.001 * (math.dist(places[here], places[there]) + 1.0)
            errors.append(abs(distance(node.own, nodes[there].own) - truth) / truth)
    assert sorted(errors)[len(errors) // 2] < 0.15


@pytest.mark.parametrize(
    "data",
    [
        b"",
        raw(values())[:-1],
        raw((*values(), 0.0)),
        *(
            raw(values(**{name: bad}))
            for name in ("x0", "x7", "height", "error")
            for bad in (NAN, INFINITY, -INFINITY)
        ),
        raw(values(adjustment=NAN)),
        raw(values(height=-0.001)),
        raw(values(error=-0.1)),
        raw(values(x3=1e6)),
        raw(values(height=100.0)),
        raw(values(adjustment=-50.0)),
    ],
)
def test_a_rogue_coordinate_is_rejected(data: bytes) -> None:
    """Scenario 92: of another dimension, no number, or out of all reason."""
    assert unpack(data) is None


@given(st.binary(max_size=64))
def test_whatever_is_accepted_is_finite_and_moves_to_something_finite(data: bytes) -> None:
    """Scenario 92."""
    coordinate = unpack(data.ljust(4 * SIZE, b"\x01")[: 4 * SIZE])
    if coordinate is None:
        return
    node = Coordinates(random.Random(0))
    for _ in range(30):
        node.observe(A, coordinate, 0.01)
    assert all(map(math.isfinite, node.own))
    assert unpack(node.packed) is not None
    assert node.resets == 0


@pytest.mark.parametrize("rtt", [-0.001, 10.001, NAN, INFINITY])
def test_a_round_trip_that_cannot_be_is_refused_and_changes_nothing(rtt: float) -> None:
    """Scenario 92."""
    node = Coordinates(random.Random(0))
    node.observe(A, values(), 0.01)
    before = node.own
    assert not node.observe(A, values(), rtt)
    assert node.own == before
    assert node.observe(A, values(), 10.0)


def test_a_coordinate_that_became_no_number_starts_anew() -> None:
    """Scenario 92: NaN resets, and does not stay."""
    node = Coordinates(random.Random(0))
    fresh = node.own
    node.observe(A, values(), 0.02)
    node.observe(A, values(x0=NAN), 0.02)
    assert node.own == fresh
    assert node.resets == 1
    assert node.observe(A, values(), 0.02)
    assert node.own != fresh
    assert all(map(math.isfinite, node.own))
    assert node.resets == 1


def test_one_slow_sample_in_three_moves_nothing() -> None:
    """Scenario 92: the median of three."""
    calm, disturbed = (Coordinates(random.Random(0)) for _ in range(2))
    for number in range(40):
        calm.observe(A, values(), 0.02)
        disturbed.observe(A, values(), 5.0 if number % 3 == 2 and number > 2 else 0.02)
    assert disturbed.own == calm.own


def test_who_lies_about_its_place_does_no_lasting_harm(rng: random.Random) -> None:
    """Scenario 92: after it has gone the estimates are good again."""
    places = [(rng.uniform(0, 100), rng.uniform(0, 100)) for _ in range(10)]
    nodes = settle(places, rng)
    liar = unpack(raw(values(x0=20.0, x1=-20.0, error=0.0)))
    assert liar is not None
    for node in nodes:
        for _ in range(20):
            node.observe(B, liar, 0.001)
    for _ in range(400):
        for here, node in enumerate(nodes):
            there = (here + rng.randrange(1, len(nodes))) % len(nodes)
            rtt = 0.001 * (math.dist(places[here], places[there]) + 1.0)
            node.observe(there.to_bytes(16, "big"), nodes[there].own, rtt)
    for here, node in enumerate(nodes):
        for there in range(here):
            truth = 0.001 * (math.dist(places[here], places[there]) + 1.0)
            assert distance(node.own, nodes[there].own) < 3 * truth + 0.01


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=8, max_size=8),
    st.floats(0, 1, width=32),
    st.floats(-1, 1, width=32),
)
def test_a_distance_is_symmetric_and_never_negative(
    point: list[float], height: float, adjustment: float
) -> None:
    one, other = (*point, height, 0.5, adjustment), values()
    assert distance(one, other) == pytest.approx(distance(other, one))
    assert distance(one, other) >= 0.0
    assert unpack(pack(one)) == one


def test_two_on_one_spot_part() -> None:
    first, second = Coordinates(random.Random(1)), Coordinates(random.Random(2))
    for _ in range(50):
        first.observe(B, second.own, 0.05)
        second.observe(A, first.own, 0.05)
    assert distance(first.own, second.own) == pytest.approx(0.05, rel=0.1)
    assert first.own[8] >= HEIGHT_MIN


def test_a_rogue_ack_is_counted_and_the_member_answered_all_the_same() -> None:
    """Scenario 92: its coordinate is refused, its life is not doubted."""
    rig = Rig()
    (a,) = rig.members(1)
    a.acks = False
    rig.run_until(lambda: a.got(Ping))
    rig.feed(a.ack(a.got(Ping)[-1], position=raw(values(x0=NAN))), a)
    assert rig.node.counters["coordinate_refused"] == 1
    assert rig.node.rtt(None, a.id) is None
    a.acks = True
    rig.run(3)
    assert rig.node.counters["probe_failed"] == 0


def test_the_estimate_between_members_is_of_their_own_coordinates() -> None:
    rig = Rig()
    a, b = rig.members(2)
    a.acks = b.acks = False
    places = {a: values(x0=0.0), b: values(x0=0.1)}
    for peer, place in places.items():
        peer.heard.clear()
        rig.run_until(lambda peer=peer: peer.got(Ping))  # type: ignore[misc]
        rig.feed(peer.ack(peer.got(Ping)[-1], position=raw(place)), peer)
    # The points are 0.1 s apart; two heights of 1 ms and two adjustments of 10 ms come on top.
    assert rig.node.rtt(a.id, b.id) == pytest.approx(0.122, rel=0.001)
    assert rig.node.rtt(a.id, a.id) == rig.node.rtt(None, rig.id) == 0.0
    assert rig.node.rtt(None, b"?" * 16) is None
