"""Refusals in clusters: what a device on the way can make of them, and for how long."""

from __future__ import annotations

import pytest

from gossip.core.events import EventKind
from gossip.core.params import LAN
from gossip.core.types import Status
from tests.world import about, all_see, cluster

PATIENCE = 60.0


@pytest.mark.parametrize("count", [5, 16])
def test_refusals_that_had_a_living_member_buried_prove_nothing_the_next_time(count: int, seed: int) -> None:
    """A middlebox that refuses for one that is stopped costs one mistake: who returns was alive."""
    world = cluster(count, seed=seed)
    *others, victim = world.hosts
    world.run(5)

    def suffer() -> float:
        victim.refusals = "rejecting"
        world.pause(victim)
        took = world.run_until(lambda: all_see(world, victim, Status.DEAD), limit=PATIENCE)
        victim.refusals = "sent"
        world.resume(victim)
        world.run_until(world.converged, limit=PATIENCE)
        return took

    first = suffer()
    assert all(host.node.counters["refusal_lied"] == 1 for host in others)
    believed = [host.node.counters["probe_refused"] for host in others]
    assert sum(believed) >= 2
    refused = [host.node.counters["refusals"] for host in others]
    assert suffer() > first + LAN.grace
    assert all(host.node.counters["refusals"] > before for host, before in zip(others, refused, strict=True))
    assert [host.node.counters["probe_refused"] for host in others] == believed


@pytest.mark.parametrize("count", [2, 5, 16])
def test_refusals_of_what_arrives_are_no_evidence_at_all(count: int, seed: int) -> None:
    """As of a device that refuses and delivers: an ack says more."""
    world = cluster(count, seed=seed)
    *others, victim = world.hosts
    victim.refusals, world.network.lie = "lying", (1 << 32) - 1
    world.run(PATIENCE)
    assert sum(host.node.counters["refusals"] for host in others) > PATIENCE / 2
    for host in others:
        assert not {EventKind.MEMBER_SUSPECTED, EventKind.MEMBER_FAILED} & set(about(host, victim))
