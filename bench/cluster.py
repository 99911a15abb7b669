"""A cluster of one system's agents: started, asked whether all see all, ended."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Self

from bench.agents import Agent, BenchError
from bench.hosts import Hosts
from bench.loop import Loop
from bench.peer_gossip import GossipAgent
from bench.peer_kinship import KinshipAgent
from bench.peer_serf import SerfAgent

__all__ = ["SYSTEMS", "Cluster"]

SYSTEMS: dict[str, type[Agent]] = {"gossip": GossipAgent, "serf": SerfAgent, "kinship": KinshipAgent}

_BASE_PORT = 17000
_KNOCK_INTERVAL = 0.002
_START_DEADLINE = 120.0


class Cluster:
    """`size` agents of `system`, with their files under `directory`. A context manager that ends them all.

    Each has one of `hosts` for itself; without, all are on the loopback of this process's network.
    """

    def __init__(self, system: str, size: int, directory: Path, hosts: Hosts | None = None) -> None:
        self.loop = Loop()
        directory.mkdir(parents=True, exist_ok=True)
        self.agents = [SYSTEMS[system](i, directory, self.loop, _BASE_PORT) for i in range(size)]
        for agent, host in zip(self.agents, hosts or (), strict=hosts is not None):
            agent.live_on(host.address, host.namespace)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for agent in self.agents:
            agent.kill()
        for agent in self.agents:
            agent.bury()

    @property
    def size(self) -> int:
        return len(self.agents)

    def start(self, seeded: bool) -> float:
        """Start all agents; the monotonic time at which the last one has answered.

        Seeded: the first one alone, then all others at once with the first as their seed. Otherwise all
        of them alone.
        """
        if seeded:
            self.agents[0].launch([])
            self._await_answers(self.agents[:1])
            for agent in self.agents[1:]:
                agent.launch([self.agents[0].address])
        else:
            for agent in self.agents:
                agent.launch([])
        return self._await_answers(self.agents)

    def _await_answers(self, agents: list[Agent]) -> float:
        deadline = time.monotonic() + _START_DEADLINE
        waiting = list(agents)
        while waiting:
            if time.monotonic() > deadline:
                raise BenchError(f"{len(waiting)} agents did not answer in time, {waiting[0].name} first")
            for agent in waiting:
                agent.check_running()
                agent.knock()
            self.loop.turn(_KNOCK_INTERVAL)
            waiting = [agent for agent in waiting if agent.answered_at is None]
        return max(agent.answered_at or 0.0 for agent in agents)

    def revive(self, victim: Agent) -> None:
        """Start a killed agent again, with the one before it as its seed, and wait until all see all.

        Raises BenchError if they do not.
        """
        victim.bury()
        victim.forget()
        victim.launch([self.agents[victim.index - 1].address])
        self._await_answers([victim])
        if self.loop.wait(self.all_see_all_alive, _START_DEADLINE) is None:
            raise BenchError(f"{victim.name} did not come back")

    def all_see_all(self) -> bool:
        return all(agent.present == self.size for agent in self.agents)

    def all_see_all_alive(self) -> bool:
        """And nobody is as much as suspected anywhere."""
        return all(agent.counts["alive"] == self.size for agent in self.agents)

    def failures(self) -> list[str]:
        """What agents refused or could not do when told to."""
        return [f"{agent.name}: {failure}" for agent in self.agents for failure in agent.failures]

    def false_deaths(self) -> int:
        """How many members are shown as dead somewhere."""
        return sum(agent.counts["dead"] for agent in self.agents)
