"""The measurements: what is done to a settled cluster, and what its agents say of each other meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

from bench import proc
from bench.agents import Agent, BenchError
from bench.cluster import Cluster
from bench.detection import plan
from bench.detection.deaths import WINDOW, Death, Stop, detection
from bench.detection.plan import Settings, Task
from bench.hosts import Hosts

__all__ = ["BUSY_PER_CORE", "measure"]

_JOIN_DEADLINE = 150.0
_DETECTION_DEADLINE = 90.0
_HEAL_DEADLINE = 120.0
BUSY_PER_CORE = 4


class _Scene:
    """A cluster on its hosts, and what was said there."""

    def __init__(self, cluster: Cluster, hosts: Hosts, settings: Settings, task: Task) -> None:
        self.cluster = cluster
        self.agents = cluster.agents
        self.hosts = hosts
        self.settings = settings
        self.task = task

    def settle(self) -> None:
        """Wait until all show all as alive, and a while longer; what was said before is forgotten.

        Raises BenchError if they do not.
        """
        if self.cluster.loop.wait(self.cluster.all_see_all_alive, _JOIN_DEADLINE) is None:
            raise BenchError(f"the {self.cluster.size} agents did not find one another")
        for agent in self.agents:
            agent.deaths.clear()
        self.cluster.loop.rest(self.settings.settle)

    def deaths(self, since: float = 0.0) -> list[Death]:
        """All that were said, in their order, in seconds from `since`."""
        return sorted(
            Death(at - since, agent.name, subject) for agent in self.agents for at, subject in agent.deaths
        )

    def check_heard(self, without: Agent | None = None) -> None:
        """Raise BenchError if an agent's silence means nothing, since it or its connection has ended."""
        for agent in self.agents:
            if agent is not without:
                agent.check_followed()

    def say(self, text: str) -> None:
        print(f"    {self.task.system}, {self.task.size} agents: {text}", file=sys.stderr, flush=True)


def measure(task: Task, settings: Settings, directory: Path) -> dict[str, Any]:
    """Do the task in a new cluster; its raw results. Raises BenchError if it could not be done."""
    with (
        Hosts(task.size) as hosts,
        Cluster(task.system, task.size, directory, hosts) as cluster,
    ):
        cluster.start(seeded=True)
        scene = _Scene(cluster, hosts, settings, task)
        scene.settle()
        return _FAULTS[task.kind](scene)


# ------------------------------------------------------------------------------------ one that is gone


def _sigkill(scene: _Scene) -> dict[str, Any]:
    return {"rounds": _rounds(scene, lambda victim: victim.kill())}


def _silenced(scene: _Scene) -> dict[str, Any]:
    return {"rounds": _rounds(scene, lambda victim: scene.hosts.silence(scene.hosts[victim.index]))}


def _rounds(scene: _Scene, strike: Callable[[Agent], None]) -> list[dict[str, Any]]:
    task = scene.task
    rounds: list[dict[str, Any]] = []
    for hit in plan.hits(scene.settings, task.kind, task.size, task.lap):
        if rounds:
            _restore(scene, scene.agents[rounds[-1]["victim"]])
        scene.cluster.loop.rest(hit.rest)
        rounds.append(_round(scene, scene.agents[hit.victim], strike))
    return rounds


def _restore(scene: _Scene, victim: Agent) -> None:
    """Have it again as it was; a host that was silent comes back with a new agent on it."""
    victim.kill()
    scene.hosts.heal()
    scene.cluster.revive(victim)
    scene.settle()


def _round(scene: _Scene, victim: Agent, strike: Callable[[Agent], None]) -> dict[str, Any]:
    """Strike, and wait until all others show the victim as dead."""
    others = {agent.name for agent in scene.agents if agent is not victim}

    def detected() -> tuple[float | None, float | None]:
        return detection(scene.deaths(), victim.name, others, began)

    dropped, refusals = scene.hosts.dropped(), scene.hosts.refusals()
    began = time.monotonic()
    strike(victim)
    scene.cluster.loop.wait(lambda: detected()[1] is not None, _DETECTION_DEADLINE)
    first, full = detected()
    scene.check_heard(without=victim)
    scene.say(f"{victim.name}, {scene.task.kind}: first {_seconds(first)}, all {_seconds(full)}")
    return {
        "victim": victim.index,
        "first": first,
        "full": full,
        "wrong": sum(death.observer in others and death.subject != victim.name for death in scene.deaths()),
        # A host that is silent has something dropped, and is not known by a refusal.
        "dropped": scene.hosts.dropped() - dropped,
        "refusals": scene.hosts.refusals() - refusals,
    }


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"


# ------------------------------------------------------------------------------------- all that are well


def _stopped(scene: _Scene) -> dict[str, Any]:
    planned = plan.stops(scene.settings, scene.task.size)
    turns: list[tuple[float, int, float | None]] = [(begin, index, None) for index, begin, _ in planned]
    turns += [(end, index, end - begin) for index, begin, end in planned]
    began = time.monotonic()
    stopped: dict[int, float] = {}
    stops: list[Stop] = []
    for at, index, meant in sorted(turns, key=itemgetter(0)):
        scene.cluster.loop.rest(began + at - time.monotonic())
        agent = scene.agents[index]
        agent.running.send_signal(signal.SIGSTOP if meant is None else signal.SIGCONT)
        now = time.monotonic() - began
        if meant is None:
            stopped[index] = now
        else:
            stops.append(Stop(agent.name, stopped.pop(index), now, meant))
    scene.cluster.loop.rest(began + scene.settings.seconds + WINDOW - time.monotonic())
    scene.check_heard()
    deaths = scene.deaths(began)
    scene.say(f"{len(stops)} stops, {len(deaths)} deaths said")
    return {"stops": stops, "deaths": deaths}


def _busy(scene: _Scene) -> dict[str, Any]:
    count = BUSY_PER_CORE * len(os.sched_getaffinity(0))
    began = time.monotonic()
    others = [proc.spawn([sys.executable, "-c", "while True: pass"], None) for _ in range(count)]
    try:
        scene.cluster.loop.rest(scene.settings.seconds)
    finally:
        for other in others:
            other.kill()
            other.wait()
    # What was begun under load may end a little after it.
    scene.cluster.loop.rest(WINDOW)
    scene.check_heard()
    deaths = scene.deaths(began)
    scene.say(f"{count} busy processes, {len(deaths)} deaths said")
    return {"processes": count, "deaths": deaths}


# ------------------------------------------------------------------------------------------- two halves


def _split(scene: _Scene) -> dict[str, Any]:
    hosts, loop = scene.hosts, scene.cluster.loop
    left, right = plan.halves(scene.settings, scene.task.size, scene.task.lap)
    hosts.part([hosts[i] for i in left], [hosts[i] for i in right])
    loop.rest(scene.settings.split)
    side = {scene.agents[i].name for i in left}
    across = [(death.observer in side) != (death.subject in side) for death in scene.deaths()]
    began = time.monotonic()
    hosts.heal()
    healed = loop.wait(scene.cluster.all_see_all_alive, _HEAL_DEADLINE)
    scene.check_heard()
    took = None if healed is None else healed - began
    scene.say(f"{sum(across)} deaths across the split, healed after {_seconds(took)}")
    return {"healed": took, "across": sum(across), "wrong": len(across) - sum(across)}


_FAULTS: dict[str, Callable[[_Scene], dict[str, Any]]] = {
    "sigkill": _sigkill,
    "silenced": _silenced,
    "stopped": _stopped,
    "split": _split,
    "busy": _busy,
}
