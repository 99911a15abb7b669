"""Experiment 2: what failure detection costs in messages, and that gossip with no news costs none.

Without loss the shipped core is counted. With loss a SWIM of 2002 is, made of core's parts: the
shipped core repeats pings and asks over a stream besides, so it is beside the formula by intent; its
own count is told. Nobody is removed, so that the number of members stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Literal

from msgspec import Struct, structs

from sim.chance import derive
from sim.latency import Uniform
from sim.meters import total
from sim.papers.paper import MINUTE, Budget, Curve, Figure, Outcome, Paper, Row, holds, share, told
from sim.papers.peer import crowd, maker
from sim.papers.variant import memberlist, swim
from sim.theory import swim as theory
from sim.world import World

__all__ = ["PAPER"]

SENT = {5: 2.08, 13: 2.12, 21: 2.10, 28: 2.00, 36: 2.02, 44: 1.98, 51: 2.13, 55: 1.98}
"""SWIM's figure 2, digitised: messages sent per member and period."""
SIZES = (*SENT, 1_000)
LOSSES = ((0.05, 1), (0.05, 3), (0.1, 1), (0.1, 3))
"""(loss, helpers)."""
LOSSY_N = 64
PERIODS = 40
LOSSY_PERIODS = 3_000
FORM_S = 60.0
SETTLE_S = 10.0
LATENCY = Uniform(150, 350)
SPREAD = 0.05


class Task(Struct, frozen=True):
    """One world: which core, how many members, what loss, and for how many periods."""

    core: Literal["shipped", "swim", "memberlist"]
    n: int
    periods: int
    seed: int
    loss: float = 0.0
    helpers: int = 3

    @property
    def key(self) -> str:
        trouble = f"loss={self.loss} k={self.helpers}"
        return f"{self.core} n={self.n} {trouble} periods={self.periods} seed={self.seed}"


def tasks(budget: Budget) -> Sequence[Task]:
    """The largest world first."""
    result = []
    lossy = 60 if budget.quick else LOSSY_PERIODS
    for seed in budget.seeds:
        sizes = [n for n in sorted(SIZES, reverse=True) if n < 30 or not budget.quick]
        result += [Task("shipped", n, PERIODS, seed) for n in sizes]
        for loss, helpers in LOSSES:
            result.append(Task("swim", LOSSY_N, lossy, seed, loss, helpers))
        result += [Task("shipped", LOSSY_N, lossy // 10, seed, loss) for loss in (0.05, 0.1)]
        result.append(Task("memberlist", LOSSY_N, PERIODS, seed))
    return result


def work(task: Task) -> dict[str, float]:
    """Messages per member and period: `sent`, `received` by programs, and `gossip` among the sent."""
    world = _world(task)
    before = _count(world)
    world.run(task.periods * (_variant(task).period if task.core == "swim" else world.params.period))
    after = _count(world)
    spent = task.n * task.periods
    return {name: (after[name] - before[name]) / spent for name in after}


def _variant(task: Task) -> Any:
    if task.core == "memberlist":
        # Push-pull is a stream once in a while, and no part of what is asked here.
        return structs.replace(memberlist(), push_pull=None)
    return structs.replace(swim(suspicion=False, helpers=task.helpers), immortal=True)


def _world(task: Task) -> World:
    """All members know all, and nothing is under way."""
    seed = derive(task.seed, "message-load", task.core, task.n, task.helpers).getrandbits(63)
    if task.core == "shipped":
        world = World(seed, codec=False, keep_events=False)
        world.grow(task.n)
        world.run_until(world.converged, FORM_S, 0.25)
    else:
        world = World(seed, codec=False, keep_events=False, latency=LATENCY, maker=maker(_variant(task)))
        crowd(world, task.n)
    world.run(SETTLE_S)
    if task.loss:
        line = structs.replace(world.network.default, loss=round(task.loss * (1 << 32)))
        world.network.default = line
    return world


def _count(world: World) -> dict[str, int]:
    sent, received = total(host.sent for host in world.hosts), total(host.received for host in world.hosts)
    return {"sent": sent.messages, "received": received.messages, "gossip": sent.count("Gossip")}


def judge(budget: Budget, results: Mapping[str, Any]) -> Outcome:
    """Means of all blocks."""
    groups: dict[Task, list[Mapping[str, float]]] = {}
    for task in tasks(budget):
        cell = structs.replace(task, seed=0)
        groups.setdefault(cell, [])
        if task.key in results:
            groups[cell].append(results[task.key])
    rows: list[Row] = []
    quiet: dict[int, float] = {}
    for task, found in sorted(groups.items(), key=lambda group: group[0].n):
        sent = fmean(one["sent"] for one in found) if found else None
        received = fmean(one["received"] for one in found) if found else None
        if task.core == "memberlist":
            idle = fmean(one["gossip"] for one in found) if found else None
            rows.append(holds("gossip messages of idle memberlist", idle, 0.0, "none", idle == 0.0))
            rows.append(share("sent by memberlist with gossip each 200 ms, idle", sent, 2.0, 0.01))
        elif task.core == "swim":
            name = f"loss {task.loss:.0%}, k={task.helpers}"
            rows.append(
                share(f"sent, {name}", sent, theory.sent_per_period(1 - task.loss, task.helpers), 0.01)
            )
        elif task.loss:
            note = "with repeated pings and the question over a stream"
            rows.append(told(f"sent by the shipped core, loss {task.loss:.0%}, k=3", sent, None, note))
        else:
            published = f"measured {SENT[task.n]}" if task.n in SENT else ""
            rows.append(share(f"sent, N={task.n}", sent, 2.0, 0.01, published))
            rows.append(share(f"received, N={task.n}", received, 2.0, 0.01))
            if sent is not None:
                quiet[task.n] = sent
    span = max(quiet.values()) - min(quiet.values()) if quiet else None
    rows.append(
        holds("sent, largest less smallest over N", span, 0.0, f"below {SPREAD}", (span or 0.0) < SPREAD)
    )
    return Outcome(rows, [_draw(quiet)], list(NOTES))


def _draw(quiet: Mapping[int, float]) -> Figure:
    curves = [
        Curve("shipped core", [float(n) for n in quiet], list(quiet.values())),
        Curve("SWIM, figure 2", [float(n) for n in SENT], list(SENT.values()), theirs=True),
    ]
    return Figure(
        "Messages sent without loss", "members", "per member and protocol period", curves, log_x=True
    )


NOTES = (
    "Counted are all messages of programs, datagrams and frames of streams, after the cluster has formed.",
    (
        "With loss the closed form 1 + q + (1 - q^2) k (1 + q + q^2 + q^3) is held against a SWIM of 2002"
        " made of core's parts, with 64 members who stay members whatever is said of them."
    ),
)

PAPER = Paper(
    name="message-load",
    number=2,
    title="Message load",
    source="SWIM (Das, Gupta, Motivala 2002), section 5 and figure 2",
    cost_s=4 * MINUTE,
    tasks=tasks,
    work=work,
    judge=judge,
    engine="the shipped core; with loss a variant of core's parts",
)
