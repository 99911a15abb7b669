"""The measurements on clusters. Each makes a fresh cluster and returns samples by quantity.

A sample is in seconds (or the unit its quantity names), or None if it did not come before its deadline.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bench import proc
from bench.agents import Agent
from bench.cluster import Cluster

__all__ = ["Plan", "Samples", "life", "start", "told"]

Samples = dict[str, list[float | None]]

_JOIN_DEADLINE = 150.0
_CHANGE_DEADLINE = 90.0
_DETECTION_DEADLINE = 90.0
_LEAVE_DEADLINE = 60.0
_CLI_NODES = 3


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    only: frozenset[str]
    """join, start, kill, change, leave, idle, lookups, or some of them."""
    settle_s: float = 10.0
    """Rest between joining and what is measured after it."""
    idle_s: float = 30.0
    """Length of the idle window."""
    changes: int = 3
    """Changes and events for each cluster."""
    starts: int = 20
    """How often start and command line are timed."""
    lookup_s: float = 2.0
    """How long each lookup client runs."""
    lookup_rounds: int = 5
    """How often lookups and their echo are measured."""

    def wants(self, *steps: str) -> bool:
        return not self.only.isdisjoint(steps)


def _since(began: float, ended: float | None) -> float | None:
    return None if ended is None else ended - began


def life(system: str, size: int, plan: Plan, directory: Path) -> Samples:
    """Agents started with seeds: joining, idling, changes, one killed."""
    samples: Samples = defaultdict(list)
    with Cluster(system, size, directory) as cluster:
        answered = cluster.start(seeded=True)
        seen = cluster.loop.wait(cluster.all_see_all, _JOIN_DEADLINE)
        samples["join_seeds"].append(_since(answered, seen))
        samples["launch_to_joined"].append(_since(cluster.agents[0].launched_at, seen))
        if seen is not None:
            cluster.loop.rest(plan.settle_s)
            if plan.wants("idle"):
                _idle(cluster, plan, samples)
            if plan.wants("change"):
                _changes(cluster, plan, samples)
            samples["false_deaths"].append(cluster.false_deaths())
            if plan.wants("kill"):
                _kill(cluster, samples)
        _note_failures(cluster, samples)
    return samples


def told(system: str, size: int, plan: Plan, directory: Path) -> Samples:
    """Lone agents told to join, then one told to leave."""
    samples: Samples = defaultdict(list)
    with Cluster(system, size, directory) as cluster:
        cluster.start(seeded=False)
        # Until each has told its own member, its view is not complete.
        cluster.loop.wait(lambda: all(agent.present == 1 for agent in cluster.agents), _JOIN_DEADLINE)
        began = time.monotonic()
        for agent in cluster.agents[1:]:
            agent.join(cluster.agents[0].address)
        seen = cluster.loop.wait(cluster.all_see_all, _JOIN_DEADLINE)
        samples["join_told"].append(_since(began, seen))
        if seen is not None and plan.wants("leave"):
            cluster.loop.rest(plan.settle_s)
            _leave(cluster, samples)
        _note_failures(cluster, samples)
    return samples


def _note_failures(cluster: Cluster, samples: Samples) -> None:
    failures = cluster.failures()
    samples["failures"].append(len(failures))
    for line in failures[:3]:
        os.write(2, f"    {line}\n".encode())


def _idle(cluster: Cluster, plan: Plan, samples: Samples) -> None:
    """CPU, wake-ups, memory and traffic while nothing happens; each agent gives one sample."""
    before = [proc.read_usage(agent.pid) for agent in cluster.agents]
    sent = proc.read_traffic()
    began = time.monotonic()
    cluster.loop.rest(plan.idle_s)
    after = [proc.read_usage(agent.pid) for agent in cluster.agents]
    sent_after = proc.read_traffic()
    window = time.monotonic() - began
    for old, new in zip(before, after, strict=True):
        cpu, wakeups = new.cpu_s - old.cpu_s, new.wakeups - old.wakeups
        samples["idle_cpu"].append(cpu * 60 / window)
        samples["wakeups"].append(wakeups / window)
        if wakeups:
            samples["cpu_per_wakeup"].append(cpu / wakeups)
    node_seconds = window * cluster.size
    samples["datagrams"].append((sent_after.datagrams - sent.datagrams) / node_seconds)
    samples["segments"].append((sent_after.segments - sent.segments) / node_seconds)
    samples["octets"].append((sent_after.octets - sent.octets) / node_seconds)
    for agent in cluster.agents:
        rss, pss = proc.read_memory(agent.pid)
        samples["rss"].append(rss)
        samples["pss"].append(pss)


def _changes(cluster: Cluster, plan: Plan, samples: Samples) -> None:
    """Changes of what an agent tells about itself, then events, each from another agent."""
    for number in range(plan.changes):
        agent = cluster.agents[number % cluster.size]
        # Not in step with any agent's own ticks.
        cluster.loop.rest(0.5 + 0.07 * number)
        token = agent.change_token(number)
        _spread(cluster, agent, agent.change, token, "change", samples)
        cluster.loop.rest(0.5 + 0.07 * number)
        _spread(cluster, agent, agent.send_event, f"event-{number}", "event", samples)


def _spread(
    cluster: Cluster,
    origin: Agent,
    tell: Callable[[str], None],
    token: str,
    quantity: str,
    samples: Samples,
) -> None:
    """Tell `origin`, and wait until all agents, itself included, have `token`."""
    for agent in cluster.agents:
        agent.heard.discard(token)
    origin.acknowledged.pop(token, None)
    began = time.monotonic()
    tell(token)
    everywhere = cluster.loop.wait(
        lambda: all(token in agent.heard for agent in cluster.agents), _CHANGE_DEADLINE
    )
    samples[quantity].append(_since(began, everywhere))
    # serf answers `tags` only after its broadcasts are sent, maybe after all have it.
    cluster.loop.wait(lambda: token in origin.acknowledged, _CHANGE_DEADLINE)
    answered = origin.acknowledged.get(token)
    if answered is not None and everywhere is not None:
        samples[f"{quantity}_after_answer"].append(max(0.0, everywhere - answered))


def _showing(agents: Iterable[Agent], name: str, status: str) -> int:
    return sum(1 for agent in agents if agent.view.get(name) == status)


def _kill(cluster: Cluster, samples: Samples) -> None:
    """SIGKILL for one agent, and when the first and the last of the others show it as dead."""
    victim = cluster.agents[cluster.size // 2]
    others = [agent for agent in cluster.agents if agent is not victim]
    began = time.monotonic()
    victim.kill()
    first = cluster.loop.wait(lambda: _showing(others, victim.name, "dead") > 0, _DETECTION_DEADLINE)
    last = cluster.loop.wait(
        lambda: _showing(others, victim.name, "dead") == len(others), _DETECTION_DEADLINE
    )
    samples["kill_first"].append(_since(began, first))
    samples["kill_full"].append(_since(began, last))


def _leave(cluster: Cluster, samples: Samples) -> None:
    """One agent told to leave, until all others show it as left."""
    leaver = cluster.agents[1]
    others = [agent for agent in cluster.agents if agent is not leaver]
    began = time.monotonic()
    leaver.leave()
    gone = cluster.loop.wait(lambda: _showing(others, leaver.name, "left") == len(others), _LEAVE_DEADLINE)
    samples["leave"].append(_since(began, gone))


def start(system: str, _size: int, plan: Plan, directory: Path) -> Samples:
    """Process start until the first answer, and the whole time of the command that lists members."""
    samples: Samples = defaultdict(list)
    for number in range(plan.starts):
        with Cluster(system, 1, directory / f"start{number}") as lone:
            answered = lone.start(seeded=False)
            samples["start"].append(answered - lone.agents[0].launched_at)
    with Cluster(system, _CLI_NODES, directory / "cli") as cluster:
        command = cluster.agents[0].cli()
        if command is None:
            return samples
        cluster.start(seeded=True)
        cluster.loop.wait(cluster.all_see_all, _JOIN_DEADLINE)
        for _ in range(plan.starts):
            cluster.loop.rest(0.05)
            began = time.monotonic()
            subprocess.run(
                command[0], env={**os.environ, **command[1]}, stdout=subprocess.DEVNULL, check=True
            )
            samples["command"].append(time.monotonic() - began)
    return samples
