"""What hunts have found, each by the seeds that showed it: as a small case, and the seed itself again.

A change of the drawing of plans changes what a seed means; the small cases stay.
"""

from __future__ import annotations

import pytest

from gossip.core.attempts import ATTEMPTS_MAX, ATTEMPTS_PER_SEED
from gossip.core.events import EventKind
from gossip.core.params import LAN
from gossip.core.repair import OPENERS_MAX
from gossip.core.types import Phase, Status
from sim.host import Host
from sim.hunt.draws import draw
from sim.hunt.trial import attempt
from sim.latency import Constant
from sim.world import World
from tests.core.rig import INCARNATION, Rig


@pytest.mark.slow
@pytest.mark.parametrize("seed", [97, 204, 264, 505, 902, 950, 964, 1214, 1369, 1450, 1894, 2049])
def test_seeds_that_once_broke_a_rule_break_none(seed: int) -> None:
    outcome = attempt(draw(seed, 5_000))
    assert outcome.rule == "", outcome.detail


def test_seeds_902_964_1450_what_was_said_of_an_evicted_member_ends_with_its_own_newer_word() -> None:
    rig = Rig()
    a, b, c = rig.members(3)
    c.acks = False
    rig.hear(a, a.accuse(c))
    rig.hear(b, b.accuse(c))
    rig.run_until(lambda: rig.status(c) is Status.DEAD)
    rig.do(lambda now: rig.node.evict(c.id, now))
    assert rig.member(c).accusations
    rig.hear(a, c.again(phase=int(Phase.LEAVING)))
    assert rig.status(c) is Status.LEFT
    assert rig.incarnation(c) > INCARNATION
    assert not rig.member(c).accusations


def test_seed_1369_an_event_is_not_told_again_when_its_member_was_forgotten_and_is_back() -> None:
    rig = Rig()
    a, b = rig.members(2)
    event = a.event(INCARNATION + 7)
    rig.hear(a, event)
    record = a.again()
    rig.node._roster.forget(rig.member(a))
    rig.node._intake.forget_recent()
    rig.hear(b, record)
    rig.run(LAN.event_life + 2)
    rig.hear(b, event)
    told = [event for _, event in rig.events if event.kind is EventKind.EVENT_RECEIVED]
    assert [(event.node, event.index) for event in told] == [(a.name, INCARNATION + 7)]


def test_seeds_950_1894_no_more_are_served_than_the_bound_however_many_knock_at_once() -> None:
    world = World(1, codec=False, latency=Constant(40_000))
    seed = world.add()
    most = 0

    def look(host: Host) -> None:
        nonlocal most
        if host is seed:
            most = max(most, host.node._repair.served)

    world.watchers.append(look)
    world.grow(OPENERS_MAX + 30)
    world.run_until(world.converged, 60)
    assert OPENERS_MAX - 10 <= most <= OPENERS_MAX


def test_seed_505_no_more_joins_are_under_way_than_the_bound_however_long_all_seeds_are_silent() -> None:
    world = World(1, codec=False, latency=Constant(1_000))
    seeds = [world.add() for _ in range(3)]
    world.run_until(world.converged, 30)
    lonely = world.add(start=False)
    lonely.seeds = tuple(seed.spot for seed in seeds)
    world.partition([[lonely]])
    world.restart(lonely)
    most = 0
    for _ in range(300):
        world.run(1.0)
        most = max(most, len(lonely.node._joining._attempts))
    assert 3 <= most <= 3 * ATTEMPTS_PER_SEED
    many = [f"10.9.{number // 200}.{number % 200 + 1}:7946" for number in range(3 * ATTEMPTS_MAX)]
    for seed in many:
        lonely.do(lambda node, now, seed=seed: node.join([seed], now))  # type: ignore[misc]
    assert len(lonely.node._joining._attempts) <= ATTEMPTS_MAX
    world.heal()
    world.run_until(world.converged, 120)
