"""Members that keep coming back: what counts, what it earns, and when it is forgotten."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gossip.core.events import EventKind
from gossip.core.params import LAN
from gossip.core.stability import FORGIVEN_AFTER, TOGETHER
from gossip.core.types import Kind, Status
from tests.core.rig import Peer, Rig

CALM = replace(LAN, period=1_000.0, suspicion_alpha=0.001, suspicion_beta=2.0)
"""The clocks of a period of one second, and no probes of the node's own in between."""
SHORTEST = 1.0
SOON = 3.0
"""The shortest clock in a cluster of thirteen, and a last look at somebody whose round trip is unknown."""
LONG = 60.0


def cluster(count: int = 12, **changes: object) -> tuple[Rig, list[Peer]]:
    rig = Rig(params=replace(CALM, **changes))
    peers = rig.members(count)
    rig.node._prober.start = lambda *_, **__: None  # type: ignore[method-assign]
    for peer in peers:
        peer.acks = False
    return rig, peers


def accuse(rig: Rig, x: Peer, *accusers: Peer) -> None:
    for accuser in accusers:
        rig.hear(accuser, accuser.accuse(x))


def bury(rig: Rig, x: Peer, *accusers: Peer) -> float:
    """Have `x` buried by these four accusers; how long that took."""
    accuse(rig, x, *accusers)
    return rig.run_until(lambda: rig.status(x) is Status.DEAD, LONG)


def back(rig: Rig, x: Peer, **changes: int) -> None:
    rig.hear(x, x.again(**changes))
    assert rig.status(x) is Status.ALIVE
    for member in rig.node.members:
        member.case.accused_at, member.case.accuse_at = {}, float("-inf")


def flags(rig: Rig) -> list[str]:
    return [event.detail for _, event in rig.events if event.kind is EventKind.MEMBER_FLAGGED]


def test_whoever_was_buried_and_comes_back_is_given_eight_times_the_patience() -> None:
    rig, (*others, x) = cluster()
    first = bury(rig, x, *others[:4])
    assert SHORTEST <= first < SOON
    back(rig, x)
    assert bury(rig, x, *others[:4]) >= 8 * SHORTEST
    assert rig.node.counters["relapses"] == 1


@pytest.mark.parametrize("periods", [3, 4])
def test_it_is_forgiven_after_a_while(periods: int) -> None:
    rig, (*others, x) = cluster()
    bury(rig, x, *others[:4])
    back(rig, x)
    rig.run(periods * FORGIVEN_AFTER)
    assert bury(rig, x, *others[:4]) < SOON


def test_a_new_life_starts_afresh() -> None:
    rig, (*others, x) = cluster()
    for _ in range(3):
        bury(rig, x, *others[:4])
        back(rig, x)
    assert rig.member(x).flags == ("unstable",)
    back(rig, x, boot=2)
    assert rig.member(x).flags == ()
    assert flags(rig) == ["+unstable", "-unstable"]
    assert bury(rig, x, *others[:4]) < SOON


def test_who_does_it_again_is_flagged_and_loses_the_flag_when_it_is_quiet() -> None:
    rig, (*others, x) = cluster(period=10.0, suspicion_alpha=0.1)
    bury(rig, x, *others[:4])
    back(rig, x)
    assert rig.member(x).flags == ()
    bury(rig, x, *others[:4])
    back(rig, x)
    assert rig.member(x).flags == ("unstable",)
    for peer in rig.peers:
        peer.acks = True
    took = rig.run_until(lambda: rig.member(x).flags == (), 1_000)
    assert 3 * FORGIVEN_AFTER < took < 4 * FORGIVEN_AFTER + 10
    assert flags(rig) == ["+unstable", "-unstable"]


def test_evidence_of_a_crash_needs_no_patience() -> None:
    rig, (*others, x) = cluster()
    bury(rig, x, *others[:4])
    back(rig, x)
    for accuser in others[:2]:
        rig.hear(accuser, accuser.accuse(x, Kind.REFUSED))
    assert rig.run_until(lambda: rig.status(x) is Status.DEAD) < 3 * LAN.direct_max + 0.1


def test_what_one_observer_says_makes_nobody_unstable() -> None:
    rig, (*others, x) = cluster()
    for _ in range(20):
        accuse(rig, x, others[0])
        back(rig, x)
    assert rig.node.counters["relapses"] == 0
    assert bury(rig, x, *others[:4]) < SOON


def test_suspicions_that_several_share_count_a_little() -> None:
    rig, (*others, x) = cluster()
    for _ in range(2):
        accuse(rig, x, *others[:2])
        back(rig, x)
    assert rig.node.counters["relapses"] == 2
    assert 4 * SHORTEST <= bury(rig, x, *others[:4]) < 8 * SHORTEST


def test_what_befalls_many_at_once_says_nothing_of_them() -> None:
    """A partition heals: nobody is called unstable for it."""
    rig, peers = cluster(12)
    lost, others = peers[:5], peers[5:]
    for place, x in enumerate(lost):
        accuse(rig, x, *[others[(place + turn) % len(others)] for turn in range(3)])
    rig.run_until(lambda: all(rig.status(x) is Status.DEAD for x in lost), LONG)
    for x in lost:
        back(rig, x)
    assert rig.node.counters["relapses"] == 0


def test_two_that_die_at_different_times_are_no_crowd() -> None:
    rig, (*others, x, y) = cluster()
    bury(rig, x, *others[:4])
    rig.run(TOGETHER + 1)
    bury(rig, y, *others[4:8])
    back(rig, x)
    back(rig, y)
    assert rig.node.counters["relapses"] == 2


def test_who_was_away_for_long_does_not_flap() -> None:
    rig, (*others, x) = cluster(period=10.0, suspicion_alpha=0.1)
    bury(rig, x, *others[:4])
    for peer in others:
        peer.acks = True
    rig.run(800)
    back(rig, x)
    assert rig.node.counters["relapses"] == 0


def test_patience_can_be_switched_off() -> None:
    rig, (*others, x) = cluster(patience_max=1)
    bury(rig, x, *others[:4])
    back(rig, x)
    assert bury(rig, x, *others[:4]) < SOON
    assert rig.member(x).flags == ()
