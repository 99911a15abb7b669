"""Experiment 1: how long until a member that fell silent is first probed, by the shipped core.

Machines are stopped at random instants of worlds that run on, and go on in the instant in which the
first ping leaves for them. The ping is answered, so nobody accuses and nothing of the trial stays
behind but the order of one ring; the next trial is of another random machine at another random
instant. Several worlds, because the phases of a world's periods never change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean, quantiles
from typing import Any

from msgspec import Struct

from gossip.core.effects import Effect, Send
from gossip.core.messages import Ping
from gossip.core.node import Node
from gossip.core.types import NodeId
from sim.chance import derive
from sim.clock import SECOND
from sim.host import Host
from sim.life import shipped
from sim.papers.paper import MINUTE, Budget, Curve, Figure, Outcome, Paper, Row, holds, near, told
from sim.theory import ring, swim
from sim.world import World

__all__ = ["PAPER"]

TRIALS = 2_000
WORLDS = {16: 20, 55: 8, 128: 4, 1_000: 1}
"""How many worlds share the trials, by the number of members."""
AT_ONCE = 100
"""One machine of so many is stopped at once: an observer pings one member a period, so trials hardly meet."""
PAIRS_N = 128
"""Up to so many members the worlds run long enough to see each observer come round to each member again."""
FORM_S = 60.0
SETTLE_S = 10.0
"""After all know all: repairs and introductions are over."""
STEP_S = 0.05
SLOPE = 0.03
"""At most, of the mean over the natural logarithm of N."""
POINTS = 120


class Task(Struct, frozen=True):
    """So many trials in one world."""

    n: int
    trials: int
    world: int
    seed: int

    @property
    def key(self) -> str:
        return f"n={self.n} trials={self.trials} world={self.world} seed={self.seed}"


def tasks(budget: Budget) -> Sequence[Task]:
    """One for each world, the largest first."""
    result = []
    for n, worlds in sorted(WORLDS.items(), reverse=True):
        if budget.quick and n > min(WORLDS):
            continue
        trials = 50 if budget.quick else TRIALS // worlds
        count = 4 if budget.quick else worlds
        result += [Task(n, trials, world, seed) for seed in budget.seeds for world in range(count)]
    return result


def work(task: Task) -> dict[str, Any]:
    """`waits_us` of each trial; the most `rounds` that an observer took to come round to one member again."""
    scene = Scene(task)
    while len(scene.waits_us) < task.trials:
        scene.round()
    return {"waits_us": scene.waits_us[: task.trials], "rounds": scene.longest}


class Observed(Node):
    """The shipped core, whose pings are seen as they leave."""

    pinged: Callable[[Node, NodeId], None] | None = None

    def drain(self) -> list[Effect]:
        effects = super().drain()
        if self.pinged is not None:
            for effect in effects:
                if type(effect) is Send and type(effect.message) is Ping:
                    self.pinged(self, effect.message.target)
        return effects


class Scene:
    """One world, and its trials."""

    def __init__(self, task: Task) -> None:
        labels = ("first-detection", task.n, task.world)
        self._rng = derive(task.seed, *labels)
        world = World(
            self._rng.getrandbits(63),
            codec=False,
            keep_events=False,
            maker=partial(shipped, kind=Observed),
        )
        self._world = world
        self._n = task.n
        self.waits_us: list[int] = []
        self.longest = 0
        self._silent: dict[NodeId, tuple[Host, int]] = {}
        """Who is stopped, and since when."""
        self._sent: dict[NodeId, int] = {}
        """Pings by observer: the rounds of its ring."""
        self._last: dict[tuple[NodeId, NodeId], int] = {}
        """In which round an observer pinged a member last."""
        world.grow(task.n)
        world.run_until(world.converged, FORM_S, 0.25)
        world.run(SETTLE_S)
        for host in world.hosts:
            node = host.node
            if isinstance(node, Observed):
                node.pinged = self._pinged

    def round(self) -> None:
        """Some machines stop, each at an instant of its own within a period, until somebody pings them."""
        world, rng = self._world, self._rng
        period_us = round(world.params.period * SECOND)
        victims = rng.sample(world.hosts, max(1, self._n // AT_ONCE))
        expected = len(self.waits_us) + len(victims)
        for host in victims:
            world.clock.after(rng.randrange(period_us), self._stop, host)
        bound = (swim.first_detection_bound(self._n) + 2) * world.params.period
        world.run_until(lambda: len(self.waits_us) == expected, bound, STEP_S)

    def _stop(self, host: Host) -> None:
        self._world.pause(host)
        self._silent[host.id] = (host, self._world.clock.now_us)

    def _pinged(self, observer: Node, target: NodeId) -> None:
        clock = self._world.clock
        trial = self._silent.pop(target, None)
        if trial is not None:
            host, since_us = trial
            self.waits_us.append(clock.now_us - since_us)
            clock.after(0, self._world.resume, host)
        if self._n <= PAIRS_N:
            number = self._sent[observer.id] = self._sent.get(observer.id, 0) + 1
            pair = (observer.id, target)
            self.longest = max(self.longest, number - self._last.get(pair, number))
            self._last[pair] = number


def judge(budget: Budget, results: Mapping[str, Any]) -> Outcome:
    """Waits of all worlds and blocks together, in periods of one second."""
    rows: list[Row] = []
    curves: list[Curve] = []
    means: dict[int, float] = {}
    for n in sorted(WORLDS):
        of_n = [task for task in tasks(budget) if task.n == n]
        found = [results[task.key] for task in of_n if task.key in results]
        waits = sorted(wait / SECOND for result in found for wait in result["waits_us"])
        if not of_n:
            continue
        if waits:
            means[n] = fmean(waits)
            step = max(1, len(waits) // POINTS)
            share = [(number + 0.5) / len(waits) for number in range(0, len(waits), step)]
            curves.append(Curve(f"N = {n}", waits[::step], share))
        rows += _rows(n, waits, max((result["rounds"] for result in found), default=None))
    slope = _slope(means) if len(means) == len(WORLDS) else None
    flat = slope is not None and abs(slope) < SLOPE
    rows.append(holds("slope of the mean over ln N", slope, 0.0, f"below {SLOPE} in size", flat))
    law = [0.05 * number for number in range(POINTS + 1)]
    curves.append(Curve("1 - e^-t", law, [-math.expm1(-t) for t in law], theirs=True))
    figure = Figure(
        "Wait until the first ping of a member that fell silent",
        "protocol periods",
        "share of trials",
        curves,
    )
    return Outcome(rows, [figure], list(NOTES))


def _rows(n: int, waits: Sequence[float], rounds: int | None) -> list[Row]:
    """What is asked for one number of members; `waits` in order."""
    bound = swim.first_detection_bound(n)
    mean = fmean(waits) if waits else None
    hundredths = quantiles(waits, n=100) if waits else None
    longest = waits[-1] if waits else None
    law = f"{len(waits)} trials; exact for rings of {n - 1}: {ring.mean_first_ping(n - 1, n - 1):.3f}"
    lock_step = f"in lock step, random targets: {swim.first_detection(n):.4f} (SWIM: 1.582)"
    rows = [
        near(f"mean wait for the first ping, N={n}", mean, 1.0, 0.07, law),
        told(f"median, N={n}", hundredths[49] if hundredths else None, 0.69, lock_step),
        told(f"99 %, N={n}", hundredths[98] if hundredths else None, 4.6),
        holds(
            f"longest wait, N={n}",
            longest,
            bound,
            "at most 2 N - 1",
            longest is not None and longest <= bound,
        ),
    ]
    if n <= PAIRS_N:
        held = rounds is not None and rounds <= bound
        quantity = f"most rounds between two pings of one pair, N={n}"
        rows.append(holds(quantity, rounds, bound, "at most 2 N - 1", held))
    return rows


def _slope(means: Mapping[int, float]) -> float:
    """Least squares, over the natural logarithm."""
    x = [math.log(n) for n in means]
    y = list(means.values())
    x_mean, y_mean = fmean(x), fmean(y)
    above = math.fsum((a - x_mean) * (b - y_mean) for a, b in zip(x, y, strict=True))
    return above / math.fsum((a - x_mean) ** 2 for a in x)


NOTES = (
    (
        "Periods have phases of their own, as in every real cluster, so pings of one member arrive like a"
        " Poisson process: mean 1, median ln 2, 99 % after ln 100 periods. SWIM's e/(e - 1) counts lock-step"
        " rounds of randomly chosen targets, the one in which the member is found included."
    ),
    "With few members the round robin is felt: N = 16 has the mean 0.94 by the exact law.",
    "This is the first ping; the accusation follows when that probe has failed, at most one period later.",
)

PAPER = Paper(
    name="first-detection",
    number=1,
    title="First detection",
    source="SWIM (Das, Gupta, Motivala 2002), sections 3.1 and 4.3",
    cost_s=6 * MINUTE,
    tasks=tasks,
    work=work,
    judge=judge,
)
