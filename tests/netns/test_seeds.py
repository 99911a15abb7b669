"""Seeds that are not there yet, and names that change what they mean, as real resolvers tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.netns.hosts import Network, until

if TYPE_CHECKING:
    from collections.abc import Callable

    Build = Callable[[int], Network]

pytestmark = pytest.mark.slow


def test_seeds_that_are_down_at_the_start(network: Build) -> None:
    """Scenario 80: one host is off, at one no agent runs; who waits joins whichever comes first."""
    net = network(4)
    a, b, c, d = net.hosts
    a.link(up=False)
    net.start(c, d, seeds=[a, b])
    assert c.sees() == d.sees() == {}
    net.start(b, seeds=[])
    net.wait_for_agreement(b, c, d)
    a.link(up=True)
    net.start(a, seeds=[b])
    net.wait_for_agreement(*net.hosts)


def test_a_seed_whose_name_gets_its_meaning_later_and_another_one_after_that(network: Build) -> None:
    """Scenario 80: it is resolved anew on each try, also once its first bearer has gone for good."""
    net = network(3)
    a, b, c = net.hosts
    c.start(join=["seed.example"])
    c.agent.ready()
    assert c.sees() == {}
    c.names({"seed.example": "10.77.0.99"})
    net.start(a, b, seeds=[])
    c.names({"seed.example": a.address})
    net.wait_for_agreement(a, c)
    a.call("agent.leave")
    until("it is alone", lambda: c.sees() == {"a": "left"})
    c.names({"seed.example": b.address})
    until("it is with the other", lambda: c.sees().get("b") == b.sees().get("c") == "alive")
