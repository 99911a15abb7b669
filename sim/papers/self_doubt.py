"""What keeps those who were stopped from accusing the healthy: the order of their work, and self-doubt.

Lifeguard's Interval design where it is hardest for those who were stopped: they run for so short a time that
an ack is on its way when they are stopped again, for longer than a suspicion lasts. When they go on, its
deadline has passed, and the ack waits in the socket. The agent reads before its timers fire; it knows by its
clock that it did not run, and forgives what it was waiting for; and before it buries anybody it looks once
more. Each is taken away here, but the last: `timers first` is what a program does whose timers have threads
of their own, and `doubt=never` has no bound of lateness.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from gossip.core.params import LAN
from gossip.core.types import NodeId
from sim.chance import derive
from sim.latency import Uniform
from sim.papers.crews import gather
from sim.papers.lifeguard import AGENTS, QUIET_S, TEST_S
from sim.papers.paper import MINUTE, Budget, Curve, Figure, Outcome, Paper, Row, compared, holds, told
from sim.papers.settled import named

__all__ = ["PAPER"]

LATENCY = Uniform(2_000, 10_000)
"""One way, in microseconds: an answer is under way for longer than the shortest time between two stops."""
ANOMALOUS = 32
STOPPED_MS = (2_048, 8_192, 32_768)
RUNNING_MS = (1, 64, 256)
OURS, NO_DOUBT = named(LAN), named(replace(LAN, doubt_bound=math.inf))
CONFIGS = {
    "SWIM": "SWIM",
    "Lifeguard 5,6": "5,6",
    "Lifeguard 1,2": "1,2",
    "ours without doubt": NO_DOUBT,
    "ours": OURS,
}
Order: TypeAlias = Literal["reads first", "timers first"]
ORDERS: tuple[Order, ...] = ("timers first", "reads first")
Key: TypeAlias = tuple[str, Order]


class Task(Struct, frozen=True):
    """One configuration, stopped again and again."""

    config: str
    order: Order
    stopped_ms: int
    running_ms: int
    seed: int
    agents: int = AGENTS
    seconds: float = TEST_S

    @property
    def key(self) -> str:
        return (
            f"{self.config}, {self.order}, D={self.stopped_ms} I={self.running_ms} N={self.agents}"
            f" seconds={self.seconds:g} seed={self.seed}"
        )


def tasks(budget: Budget) -> Sequence[Task]:
    """All of one design before the next."""
    agents, seconds = (16, 30.0) if budget.quick else (AGENTS, TEST_S)
    return [
        Task(config, order, stopped, running, seed, agents, seconds)
        for seed in budget.seeds
        for stopped in (STOPPED_MS[1:2] if budget.quick else STOPPED_MS)
        for running in (RUNNING_MS[:1] if budget.quick else RUNNING_MS)
        for order in ORDERS
        for config in CONFIGS.values()
    ]


def work(task: Task) -> dict[str, int]:
    """Play it.

    Returns:
        Of agents that are never stopped, over all observers: `dead`, how often one was held for dead;
        `suspected`, how often one was suspected.
    """
    found: dict[str, list[NodeId]] = {"dead": [], "suspected": []}
    crew = gather(
        task.config,
        task.agents,
        task.seed,
        lambda _at, _who, whom: found["dead"].append(whom),
        gated=False,
        latency=LATENCY,
        suspected=lambda _at, _who, whom: found["suspected"].append(whom),
    )
    world = crew.world
    world.timers_first = task.order == "timers first"
    world.run(QUIET_S)
    rng = derive(task.seed, "stopped", task.stopped_ms, task.running_ms)
    stopped = rng.sample(crew.hosts, ANOMALOUS * task.agents // AGENTS)
    end = world.now + task.seconds
    while world.now < end:
        for host in stopped:
            world.pause(host)
        world.run(task.stopped_ms / 1_000)
        for host in stopped:
            world.resume(host)
        world.run(task.running_ms / 1_000)
    # What was begun meanwhile is still to be judged.
    world.run(QUIET_S)
    away = {host.id for host in stopped}
    return {name: sum(whom not in away for whom in subjects) for name, subjects in found.items()}


def judge(budget: Budget, results: Mapping[str, Any]) -> Outcome:
    """Sums over the runs that all have."""
    sums: dict[Key, dict[str, int]] = {}
    for task in compared(tasks(budget), results, _run):
        total = sums.setdefault((task.config, task.order), {"dead": 0, "suspected": 0})
        for name in total:
            total[name] += results[task.key][name]
    return Outcome([*_rows(sums)], [_draw(sums)], NOTES)


def _run(task: Task) -> tuple[int, int, int]:
    return task.stopped_ms, task.running_ms, task.seed


def _rows(sums: Mapping[Key, Mapping[str, int]]) -> Iterator[Row]:
    for order in ORDERS:
        for name, config in CONFIGS.items():
            found = sums.get((config, order))
            for what, word in (
                ("dead", "healthy ones held for dead"),
                ("suspected", "healthy ones suspected"),
            ):
                ours = None if found is None else float(found[what])
                quantity = f"{name}, {order}: {word}"
                if name == "ours":
                    yield holds(quantity, ours, None, "never", ours == 0)
                elif (name, order, what) in SHOWN:
                    yield holds(quantity, ours, None, "some", bool(ours), SHOWN[name, order, what])
                else:
                    yield told(quantity, ours)


SHOWN = {
    ("Lifeguard 1,2", "timers first", "dead"): "else these runs would show nothing",
    ("ours without doubt", "timers first", "suspected"): "else doubt would be for nothing here",
}
"""What must go wrong, for the rest to mean anything."""


def _draw(sums: Mapping[Key, Mapping[str, int]]) -> Figure:
    """Zero cannot be drawn on a logarithm, so that all stand one higher."""
    curves = []
    for order in ORDERS:
        for what in ("dead", "suspected"):
            places = [n for n, config in enumerate(CONFIGS.values(), 1) if (config, order) in sums]
            heights = [
                sums[config, order][what] + 1.0 for config in CONFIGS.values() if (config, order) in sums
            ]
            curves.append(Curve(f"{what}, {order}", [*map(float, places)], heights))
    return Figure(
        "Healthy agents, accused by those who were stopped",
        ", ".join(f"{n} {name}" for n, name in enumerate(CONFIGS, 1)),
        "events in all runs, + 1",
        curves,
        kind="points",
        log_y=True,
    )


NOTES = [
    "32 of 128 agents are stopped for 2, 8 or 33 s and run for 1, 64 or 256 ms, for two minutes.",
    "One way takes 2 to 10 ms: over a loopback (0.15 to 0.35 ms) an ack is seldom under way at a stop.",
    "Timers first: all that are due fire before anything is read; memberlist's have threads of their own.",
]

PAPER = Paper(
    name="self-doubt",
    number=19,
    title="Who was stopped accuses nobody",
    source="asked of ours; SWIM and Lifeguard beside",
    cost_s=30 * MINUTE,
    tasks=tasks,
    work=work,
    judge=judge,
    engine="the shipped core; SWIM and Lifeguard made of its parts",
)
