"""An hour of loss and no fault: nobody may be held for dead.

128 nodes as agents run them, 5 % and 20 % of all packets lost, each by itself. SWIM as Lifeguard's paper has
it (alpha 5) and Lifeguard (5, 6) go through the same, and are not judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from gossip.core.params import LAN
from gossip.core.types import NodeId
from sim.links import link
from sim.papers.crews import LATENCY, gather
from sim.papers.paper import HOUR, Budget, Curve, Figure, Outcome, Paper, Row, holds, told
from sim.papers.settled import named

__all__ = ["PAPER"]

AGENTS = 128
SETTLE_S = 15.0
HOUR_S = 3_600
STEP_S = 60
LOSSES = (5, 20)
"""Percent, of each packet by itself."""
CONFIGS = {"ours": named(LAN), "SWIM": "SWIM", "Lifeguard": "Lifeguard"}


class Task(Struct, frozen=True):
    """One configuration under one loss."""

    config: str
    loss: int
    seconds: int
    seed: int
    agents: int = AGENTS

    @property
    def key(self) -> str:
        return f"{self.config} loss={self.loss} seconds={self.seconds} N={self.agents} seed={self.seed}"


def tasks(budget: Budget) -> Sequence[Task]:
    seconds, agents = (120, 16) if budget.quick else (HOUR_S, AGENTS)
    return [
        Task(config, loss, seconds, seed, agents)
        for config in CONFIGS.values()
        for seed in budget.seeds
        for loss in LOSSES[::-1]
    ]


def work(task: Task) -> dict[str, Any]:
    """`deaths` (one agent held another for dead), minute by minute, and `messages` an agent and second."""
    dead: list[tuple[float, NodeId, NodeId]] = []
    crew = gather(
        task.config, task.agents, task.seed, lambda at, who, whom: dead.append((at, who, whom)), gated=False
    )
    world = crew.world
    world.run(SETTLE_S)
    world.network.default = link(LATENCY, loss=task.loss / 100)
    before = sum(host.sent.messages for host in crew.hosts)
    deaths = []
    for _ in range(task.seconds // STEP_S):
        world.run(STEP_S)
        deaths.append(len(dead))
    sent = sum(host.sent.messages for host in crew.hosts) - before
    return {"deaths": deaths, "messages": sent / task.seconds / task.agents}


def judge(budget: Budget, results: Mapping[str, Any]) -> Outcome:
    """None over all blocks."""
    rows: list[Row] = []
    curves = []
    for name, config in CONFIGS.items():
        for loss in LOSSES:
            found = [
                results[task.key]
                for task in tasks(budget)
                if task.config == config and task.loss == loss and task.key in results
            ]
            deaths = float(sum(one["deaths"][-1] for one in found)) if found else None
            quantity = f"{name}, {loss} % loss: false deaths in an hour"
            rows.append(
                holds(quantity, deaths, 0.0, "none", deaths == 0)
                if name == "ours"
                else told(quantity, deaths)
            )
            load = sum(one["messages"] for one in found) / len(found) if found else None
            rows.append(told(f"{name}, {loss} % loss: messages an agent and second", load))
            if found:
                minutes = [float(minute) for minute in range(1, len(found[0]["deaths"]) + 1)]
                curves.append(Curve(f"{name}, {loss} %", minutes, [*map(float, found[0]["deaths"])]))
    return Outcome(rows, [Figure("Loss and no fault", "minutes", "false deaths so far", curves)], NOTES)


NOTES = ["A false death is counted at each agent that holds a living one for dead."]

PAPER = Paper(
    name="detection-loss",
    number=17,
    title="An hour of loss",
    source="asked of ours; SWIM and Lifeguard beside",
    cost_s=HOUR,
    tasks=tasks,
    work=work,
    judge=judge,
    engine="the shipped core; SWIM and Lifeguard made of its parts",
)
