"""Each fact's signature is checked once by each node, however often and by whichever way it comes."""

from __future__ import annotations

from collections import Counter

import pytest

from gossip.core.records import Fact
from gossip.core.types import NodeId
from sim.notary import StandIn
from tests.world import cluster


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> dict[NodeId, Counter[bytes]]:
    """What each node has had checked, and how often."""
    found: dict[NodeId, Counter[bytes]] = {}
    verify = StandIn.verify

    def counted(notary: StandIn, fact: Fact, public_key: bytes) -> bool:
        found.setdefault(notary.id, Counter())[fact.raw] += 1
        return verify(notary, fact, public_key)

    monkeypatch.setattr(StandIn, "verify", counted)
    return found


@pytest.mark.parametrize("loss", [0.0, 0.05])
@pytest.mark.parametrize("invited_only", [False, True])
def test_each_fact_once(checked: dict[NodeId, Counter[bytes]], loss: float, invited_only: bool) -> None:
    """Joins, services, a death, a pause that is suspected and refuted, repairs."""
    world = cluster(12, seed=7, loss=loss, invited_only=invited_only)
    for number, host in enumerate(world.hosts):
        host.register("web", 80 + number)
    world.run(10)
    world.crash(world.hosts[3])
    world.run(20)
    world.pause(world.hosts[5])
    world.run(6)
    world.resume(world.hosts[5])
    world.run(10)
    assert sum(sum(each.values()) for each in checked.values()) > 12 * 25
    again = sum(times - 1 for each in checked.values() for times in each.values())
    # A joiner that calls again, since what it was told was lost, is still a stranger.
    assert again <= (2 if loss else 0)
