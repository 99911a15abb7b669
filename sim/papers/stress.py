"""One setting under one kind of trouble: how fast crashes are found in it, and who is held for dead besides.

128 settled agents. Trouble begins, and while it lasts four machines are lost one after the other, silently.
The kinds: none; 20 % of all packets lost, each by itself; bursts, in which a pair of hosts loses all for some
twenty packets; eight agents that are stopped again and again for up to 8 s; eight whose processors are 4,000
times slower.
"""

from __future__ import annotations

import random
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from gossip.core.types import NodeId
from sim.chance import derive
from sim.host import Host
from sim.links import Burst, link
from sim.papers.crews import LATENCY, Crew, gather
from sim.world import World

__all__ = ["TROUBLES", "Stress", "Trouble", "stress"]

Trouble: TypeAlias = Literal["calm", "loss", "bursts", "pauses", "starved"]
TROUBLES: tuple[Trouble, ...] = ("calm", "loss", "bursts", "pauses", "starved")
SETTLE_S = 15.0
CRASHES_S = (60, 90, 120, 150)
"""When machines are lost, from the beginning of the trouble."""
LENGTH_S = 240
"""Long enough for the `wan` profile to find the last of them."""
LOSS = 0.20
BURST = Burst(0.005, 0.05)
"""A pair in eleven is in a bad phase, which lasts twenty packets in the mean."""
AFFLICTED = 8
STOPPED_S = (0.2, 8.0)
RUNNING_S = (1.0, 20.0)
SLOWER = 4_000
"""A datagram then takes 32 ms to be read, a signature half a second to be checked."""


class Stress(Struct, frozen=True):
    """A task: what the result depends on, all of it."""

    config: str
    trouble: Trouble
    seed: int
    agents: int = 128

    @property
    def key(self) -> str:
        return f"{self.config} {self.trouble} N={self.agents} seed={self.seed}"


class _Run:
    """One under way."""

    def __init__(self, task: Stress) -> None:
        self.deaths: list[tuple[float, NodeId, NodeId]] = []
        self.crew: Crew = gather(
            task.config,
            task.agents,
            task.seed,
            lambda at, who, whom: self.deaths.append((at, who, whom)),
            gated=False,
        )
        self.world: World = self.crew.world
        self.rng = derive(task.seed, "stress", task.trouble)
        hosts = self.rng.sample(self.crew.hosts, len(CRASHES_S) + AFFLICTED)
        self.lost, self.slow = hosts[: len(CRASHES_S)], hosts[len(CRASHES_S) :]
        self.lost_at: dict[NodeId, float] = {}


def stress(task: Stress) -> dict[str, Any]:
    """Play it.

    Returns:
        `first`, `full`: seconds until the first, and until all but the afflicted, held a lost one for dead;
        `lost`: how many were; `wrong`: failure events about others, without the afflicted; `slow`: of those;
        `messages`: an agent and second.
    """
    run = _Run(task)
    world = run.world
    world.run(SETTLE_S)
    before = sum(host.sent.messages for host in run.crew.hosts)
    begun = world.now
    moments = [(begun + at, _crash(run, host)) for at, host in zip(CRASHES_S, run.lost, strict=True)]
    moments += _trouble(run, task.trouble, begun)
    for at, act in sorted(moments, key=lambda moment: moment[0]):
        world.run(max(0.0, at - world.now))
        act()
    world.run(begun + LENGTH_S - world.now)
    sent = sum(host.sent.messages for host in run.crew.hosts) - before
    return {**_found(run), "messages": sent / LENGTH_S / task.agents}


def _crash(run: _Run, host: Host) -> Any:
    def act() -> None:
        run.lost_at[host.id] = run.world.now
        run.world.crash(host, machine=True)

    return act


def _trouble(run: _Run, trouble: Trouble, begun: float) -> list[tuple[float, Any]]:
    """Begin it; what is to be done when, for it to go on."""
    world = run.world
    if trouble == "loss":
        world.network.default = link(LATENCY, loss=LOSS)
    elif trouble == "bursts":
        world.network.default = link(LATENCY, burst=BURST)
    elif trouble == "starved":
        for host in run.slow:
            world.starve(host, SLOWER)
    elif trouble == "pauses":
        return [moment for host in run.slow for moment in _pauses(world, host, run.rng, begun)]
    return []


def _pauses(world: World, host: Host, rng: random.Random, begun: float) -> list[tuple[float, Any]]:
    moments: list[tuple[float, Any]] = []
    at = begun
    while True:
        at += rng.uniform(*RUNNING_S)
        until = at + rng.uniform(*STOPPED_S)
        if until > begun + LENGTH_S:
            return moments
        moments.append((at, lambda: world.pause(host)))
        moments.append((until, lambda: world.resume(host)))
        at = until


def _found(run: _Run) -> dict[str, Any]:
    slow = {host.id for host in run.slow}
    first: dict[NodeId, float] = {}
    seen: dict[NodeId, dict[NodeId, float]] = {}
    wrong = about_slow = 0
    for at, who, whom in run.deaths:
        lost_at = run.lost_at.get(whom)
        if lost_at is not None and at >= lost_at:
            if who not in slow:
                first.setdefault(whom, at - lost_at)
                seen.setdefault(whom, {}).setdefault(who, at - lost_at)
        elif whom in slow:
            about_slow += 1
        else:
            wrong += 1
    judges = len(run.crew.hosts) - len(slow) - len(run.lost)
    full = [max(times.values()) for times in seen.values() if len(times) >= judges]
    return {
        "first": [round(value, 6) for value in first.values()],
        "full": [round(value, 6) for value in full],
        "lost": len(run.lost_at),
        "wrong": wrong,
        "slow": about_slow,
    }
