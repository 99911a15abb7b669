"""Experiment 3: how often a probe of a healthy member fails, by loss and by number of helpers.

A SWIM of 2002 made of core's parts, whose verdicts are counted and neither obeyed nor told: members
are immortal, and no rumour travels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct, structs

from gossip.core.types import NodeId
from sim.chance import derive
from sim.latency import Uniform
from sim.papers.paper import MINUTE, Budget, Curve, Figure, Outcome, Paper, Row, holds, told
from sim.papers.peer import Peer, crowd, maker, peer_of
from sim.papers.variant import swim
from sim.theory import swim as theory
from sim.world import World

__all__ = ["PAPER"]

ARRIVING = (0.8, 0.9, 0.95, 0.99)
"""The chance q that a packet arrives."""
HELPERS = (1, 3)
N = 64
PROBES = 100_000
RARE = 5
"""So many times the probes where q is 0.99."""
LATENCY = Uniform(150, 350)
SIGMAS = 3.0
ENOUGH = 9
"""Failures to expect at least, for a ratio to be judged."""


class Task(Struct, frozen=True):
    """One cell."""

    q: float
    k: int
    probes: int
    seed: int

    @property
    def key(self) -> str:
        return f"q={self.q} k={self.k} probes={self.probes} seed={self.seed}"


def tasks(budget: Budget) -> Sequence[Task]:
    """One for each cell and block."""
    usual = 1_000 if budget.quick else PROBES
    return [
        Task(q, k, usual * (RARE if q == max(ARRIVING) else 1), seed)
        for seed in budget.seeds
        for q in reversed(ARRIVING)
        for k in HELPERS
    ]


def work(task: Task) -> dict[str, int]:
    """`failed` of how many `probes`."""
    failed = 0

    def watch(_peer: Peer, what: str, _subject: NodeId, _now: float) -> None:
        nonlocal failed
        failed += what == "dead"

    variant = structs.replace(swim(suspicion=False, helpers=task.k), immortal=True, piggyback=False)
    seed = derive(task.seed, "false-suspicions", str(task.q), task.k).getrandbits(63)
    world = World(
        seed, codec=False, keep_events=False, latency=LATENCY, loss=1.0 - task.q, maker=maker(variant)
    )
    hosts = crowd(world, N, watch=watch)
    # To the end of a period, so that each probe that was begun has had its verdict, except the last of each.
    world.run(variant.period * (1 + task.probes // N))
    return {"failed": failed, "probes": sum(peer_of(host).probing.probes for host in hosts) - N}


def judge(budget: Budget, results: Mapping[str, Any]) -> Outcome:
    """All blocks as one sample."""
    rows: list[Row] = []
    ours: dict[int, dict[float, float]] = {k: {} for k in HELPERS}
    counts: dict[tuple[float, int], tuple[int, int]] = {}
    for q in ARRIVING:
        for k in HELPERS:
            keys = [task.key for task in tasks(budget) if (task.q, task.k) == (q, k)]
            failed = sum(results[key]["failed"] for key in keys if key in results)
            probes = sum(results[key]["probes"] for key in keys if key in results)
            counts[q, k] = failed, probes
            rows.append(_cell(q, k, failed, probes))
            if probes:
                ours[k][q] = failed / probes
        rows.append(_ratio(q, counts[q, 1], counts[q, 3]))
    return Outcome(rows, [_draw(ours)], list(NOTES))


def _cell(q: float, k: int, failed: int, probes: int) -> Row:
    chance = theory.probe_failure(q, k)
    name = f"failed probes, q={q}, k={k}"
    if not probes:
        return holds(name, None, chance, "3 sigma", condition=False)
    within = SIGMAS * math.sqrt(chance * (1.0 - chance) / probes)
    share = failed / probes
    published = theory.mistakes_published(q, k)
    note = f"{failed} of {probes}; the paper's PM(T), e/(e - 1) times this: {published:.3g}"
    return holds(name, share, chance, f"3 sigma: ± {within:.2g}", abs(share - chance) <= within, note)


def _ratio(q: float, one: tuple[int, int], three: tuple[int, int]) -> Row:
    """What two more helpers are worth."""
    expected = (1.0 - q**4) ** 2
    name = f"k=3 over k=1, q={q}"
    if not one[0] or not three[1]:
        return told(name, None, expected)
    ratio = (three[0] / three[1]) / (one[0] / one[1])
    likely = theory.probe_failure(q, 3) * three[1]
    if likely < ENOUGH:
        return told(name, ratio, expected, f"{likely:.2g} failures to be expected: too rare to judge")
    within = SIGMAS * expected * math.sqrt(1.0 / likely + 1.0 / one[0])
    return holds(name, ratio, expected, f"3 sigma: ± {within:.2g}", abs(ratio - expected) <= within)


def _draw(ours: Mapping[int, Mapping[float, float]]) -> Figure:
    curves = []
    for k, shares in ours.items():
        seen = {q: share for q, share in shares.items() if share > 0.0}
        curves.append(Curve(f"k = {k}", [1.0 - q for q in seen], list(seen.values())))
        law = [0.01 + 0.005 * step for step in range(39)]
        curves.append(
            Curve(f"k = {k}", law, [theory.probe_failure(1.0 - loss, k) for loss in law], theirs=True)
        )
    return Figure(
        "Probes of healthy members that fail",
        "share of packets lost",
        "share of probes",
        curves,
        "points",
        log_x=True,
        log_y=True,
    )


NOTES = (
    (
        "Each member is probed once per period on average, so this is also the false suspicions per member"
        " and period; the paper multiplies by e/(e - 1), its detection time in periods."
    ),
)

PAPER = Paper(
    name="false-suspicions",
    number=3,
    title="False suspicions under loss",
    source="SWIM (Das, Gupta, Motivala 2002), section 3.1",
    cost_s=2 * MINUTE,
    tasks=tasks,
    work=work,
    judge=judge,
    engine="a variant of core's parts",
)
