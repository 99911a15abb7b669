"""The agents that a module's stories happen to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.interop.worlds import ConsulWorld, GossipWorld, World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three agents for a whole module; TESTS_INTEROP=consul takes a real Consul's instead."""
    kind = ConsulWorld if os.environ.get("TESTS_INTEROP") == "consul" else GossipWorld
    with kind(tmp_path_factory.mktemp("agents")) as world:
        yield world


@pytest.fixture
def world(agents: World) -> World:
    """The module's agents, all of them alive, whatever the test before this one has done to them."""
    agents.revive()
    return agents
