"""The member table: the ring of probes, samples, addresses and names, and the fingerprint."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from gossip.core.members import Member, MemberTable
from gossip.core.params import LAN
from gossip.core.types import Phase, Status
from tests.core.rig import Peer, Rig


class Table:
    """A table by itself, and peers to put in."""

    def __init__(self, rng: random.Random) -> None:
        self.rig = Rig(start=False)
        self.table = MemberTable(rng)

    def add(self, count: int = 1) -> list[Member]:
        return [self.put(self.rig.peer()) for _ in range(count)]

    def put(self, peer: Peer, status: Status = Status.ALIVE) -> Member:
        member = Member(peer.current, status, 0.0)
        self.table.add(member)
        return member

    def probe(self, times: int) -> list[Member]:
        found = [self.table.next_in_ring() for _ in range(times)]
        return [member for member in found if member is not None]


@pytest.fixture
def world(rng: random.Random) -> Table:
    return Table(rng)


def rounds(probed: Sequence[Member], constant: Sequence[Member]) -> list[list[Member]]:
    """The probes of those who were there all the time, cut into rounds."""
    kept = [member for member in probed if member in constant]
    size = len(constant)
    return [kept[at : at + size] for at in range(0, len(kept) - size + 1, size)]


def test_each_member_is_probed_once_a_round_in_an_order_that_changes(world: Table) -> None:
    """Scenario 16."""
    members = world.add(20)
    found = rounds(world.probe(20 * 50), members)
    assert len(found) == 50
    assert all(Counter(each) == Counter(members) for each in found)
    assert len({tuple(member.id for member in each) for each in found}) == 50


def test_nobody_waits_longer_than_two_rounds(world: Table) -> None:
    """Scenario 16: what makes the time to a first probe bounded (SWIM, section 4.3)."""
    members = world.add(10)
    last = dict.fromkeys(members, 0)
    for at, member in enumerate(world.probe(1_000)):
        assert at - last[member] < 2 * len(members)
        last[member] = at


def test_comings_and_goings_disturb_no_round_of_the_others(world: Table, rng: random.Random) -> None:
    """Scenario 16, as a property: whoever stays is probed once in each round, the dead never."""
    constant = world.add(7)
    changing = world.add(3)
    probed: list[Member] = []
    for _ in range(3_000):
        match rng.randrange(4):
            case 0:
                member = rng.choice(changing)
                world.table.set_status(member, rng.choice(list(Status)), 0.0)
            case 1 if len(changing) < 12:
                changing += world.add()
            case _:
                (member,) = world.probe(1)
                assert member.is_live
                probed.append(member)
    found = rounds(probed, constant)
    assert len(found) > 50
    assert all(Counter(each) == Counter(constant) for each in found)


def test_a_newcomer_is_placed_at_random_in_the_rest_of_the_round() -> None:
    """Scenario 16."""
    places: Counter[int] = Counter()
    for seed in range(300):
        world = Table(random.Random(seed))
        world.add(10)
        done = world.probe(4)
        (newcomer,) = world.add()
        rest = world.probe(7)
        assert not set(done) & set(rest), "the round goes on where it was"
        places[rest.index(newcomer)] += 1
    assert set(places) == set(range(7))
    assert min(places.values()) > 20, "300 / 7 = 43 are expected at each place"


def test_who_comes_back_before_its_turn_has_one_turn(world: Table) -> None:
    members = world.add(20)
    for member in members:
        world.table.set_status(member, Status.DEAD, 1.0)
        world.table.set_status(member, Status.ALIVE, 2.0)
    assert Counter(world.probe(20)) == Counter(members)


@pytest.mark.parametrize("status", [Status.DEAD, Status.LEFT])
def test_the_gone_are_skipped_and_come_back_into_the_round(world: Table, status: Status) -> None:
    members = world.add(5)
    world.probe(5)
    world.table.set_status(members[0], status, 1.0)
    assert members[0] not in world.probe(12)
    world.table.set_status(members[0], Status.ALIVE, 2.0)
    assert members[0] in world.probe(10)


def test_whoever_restarts_or_leaves_is_not_probed(world: Table) -> None:
    (other,) = world.add()
    peer = world.rig.peer()
    peer.say(phase=Phase.RESTARTING)
    restarting = world.put(peer)
    assert restarting.is_live
    assert set(world.probe(10)) == {other}


def test_an_empty_ring_has_nobody(world: Table) -> None:
    """Scenario 17."""
    assert world.table.next_in_ring() is None
    (member,) = world.add()
    world.table.set_status(member, Status.DEAD, 1.0)
    assert world.table.next_in_ring() is None
    world.table.set_status(member, Status.ALIVE, 2.0)
    assert world.table.next_in_ring() is member


def test_a_sample_is_of_distinct_live_members_without_the_excluded(world: Table) -> None:
    members = world.add(6)
    gone = world.add(3)
    for member in gone:
        world.table.set_status(member, Status.DEAD, 0.0)
    met: Counter[Member] = Counter()
    for _ in range(500):
        drawn = world.table.sample(3, exclude=members[0].id)
        assert len(set(drawn)) == 3
        met.update(drawn)
    assert set(met) == set(members[1:])
    assert min(met.values()) > 200, "1500 / 5 = 300 are expected of each"
    assert len(world.table.sample(99)) == 6


def test_the_fingerprint_is_of_what_is_live_and_the_same_in_any_order(rng: random.Random) -> None:
    rig = Rig(start=False)
    peers = [rig.peer() for _ in range(8)]
    prints = set()
    for _ in range(20):
        table = MemberTable(rng)
        rng.shuffle(peers)
        for peer in peers:
            table.add(Member(peer.current, rng.choice([Status.ALIVE, Status.SUSPECT, Status.DEAD]), 0.0))
        for peer in peers:
            member = table.get(peer.id)
            assert member is not None
            alive = peer.name not in {"p1", "p2"}
            table.set_status(member, Status.ALIVE if alive else rng.choice([Status.DEAD, Status.LEFT]), 1.0)
        prints.add(table.fingerprint)
        expected = 0
        for peer in peers:
            expected ^= peer.current.hash if peer.name not in {"p1", "p2"} else 0
        assert table.fingerprint == expected
        assert table.n == 7
        assert table.counts[Status.ALIVE] == 6
    assert len(prints) == 1


def test_a_round_trip_is_smoothed(world: Table) -> None:
    (member,) = world.add()
    member.sample_rtt(0.100)
    assert (member.rtt, member.deviation) == (0.100, 0.050)
    for _ in range(100):
        member.sample_rtt(0.020)
    assert member.rtt == pytest.approx(0.020, abs=0.001)
    assert member.deviation < 0.001
    assert LAN.direct_min < 4 * 0.020 + 4 * member.deviation < LAN.direct_max
