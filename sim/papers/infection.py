"""Experiment 4: how long until one update is known to all.

Riding on pings and acks, by a SWIM made of core's parts; by gossip to three others each 200 ms, as Serf
does, by a memberlist made of them; and by the shipped core. Updates are new incarnations of random members at
random instants of worlds that run on. Several are under way at once: messages have room for all of
them, so they do not touch each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Literal, TypeAlias

from msgspec import Struct, structs

from gossip.core.events import Event, EventKind
from gossip.core.types import NodeId
from sim.chance import derive
from sim.clock import SECOND
from sim.host import Host
from sim.latency import Uniform
from sim.papers.paper import MINUTE, Budget, Curve, Figure, Outcome, Paper, Row, holds, share, told
from sim.papers.peer import Peer, crowd, maker, peer_of
from sim.papers.variant import Variant, memberlist, swim
from sim.theory import convergence, infection
from sim.theory import swim as theory
from sim.world import World

__all__ = ["PAPER"]

Way: TypeAlias = Literal["poisson", "periodic", "piggyback", "helped", "serf", "shipped"]
"""The first two are theory: clocks without a protocol. `helped`: with one helper for each lost ping."""
CLOCKS: dict[Way, infection.Clocks] = {"poisson": "poisson", "periodic": "periodic"}

TRIALS = {16: 2_000, 55: 1_000, 128: 1_000, 1_000: 200}
PERIODIC = {16: 2.66, 55: 3.86, 128: 4.54, 1_000: 6.21}
LOSSY = {55: 4.9, 128: 5.7, 1_000: 8.2}
"""With 10 % loss. Both from an independent Monte Carlo of periodic clocks."""
SHIPPED = (16, 55, 128)
JUDGED = 200
AT_ONCE = 25
"""One update for so many members at once; at most 5, at least 1."""
LOSS = 0.1
LATENCY = Uniform(150, 350)
FORM_S = 60.0
SETTLE_S = 10.0
LIMIT_S = 60.0
"""Who has not heard after so long never will: every queue is empty."""
STEP_S = 0.05


class Task(Struct, frozen=True):
    """So many trials among n members."""

    way: Way
    n: int
    loss: float
    trials: int
    seed: int

    @property
    def key(self) -> str:
        return f"{self.way} n={self.n} loss={self.loss} trials={self.trials} seed={self.seed}"


def tasks(budget: Budget) -> Sequence[Task]:
    """The largest worlds first."""
    result = []
    for n, usual in sorted(TRIALS.items(), reverse=True):
        if budget.quick and n > 55:
            continue
        trials = 10 if budget.quick else usual
        for seed in budget.seeds:
            for loss in (0.0, LOSS):
                result += [Task(way, n, loss, trials, seed) for way in ("piggyback", "periodic")]
            result += [Task(way, n, 0.0, trials, seed) for way in ("poisson", "serf")]
            result.append(Task("helped", n, LOSS, trials, seed))
            if n in SHIPPED:
                result.append(Task("shipped", n, 0.0, min(trials, 200), seed))
    return result


def work(task: Task) -> dict[str, Any]:
    """Means of the seconds, which are periods, until `half` and `all` know; trials that `missed` anybody.

    `early` are those among the first 200 trials, of which none is allowed.
    """
    rng = derive(task.seed, "infection", task.way, task.n, str(task.loss))
    clocks = CLOCKS.get(task.way)
    if clocks is not None:
        spans = [infection.everyone(task.n, clocks, task.loss, rng) for _ in range(task.trials)]
        return {"half": fmean(half for half, _ in spans), "all": fmean(last for _, last in spans)}
    scene = Scene(task, rng.getrandbits(63))
    while len(scene.spans_us) < task.trials:
        scene.round()
    reached = [span for span in scene.spans_us if span is not None]
    return {
        "half": fmean(half for half, _ in reached) / SECOND,
        "all": fmean(last for _, last in reached) / SECOND,
        "missed": scene.spans_us.count(None),
        "early": scene.spans_us[:JUDGED].count(None),
    }


class Scene:
    """One world, and the updates in it."""

    def __init__(self, task: Task, seed: int) -> None:
        self.spans_us: list[tuple[int, int] | None] = []
        """Of each trial, until half and until all knew; None if somebody never did."""
        self._shipped = task.way == "shipped"
        self._n = task.n
        self._heard: dict[NodeId, list[int]] = {}
        """Of each update under way: when it was made, and when each other member heard."""
        self._tags = 0
        if self._shipped:
            world = World(seed, codec=False, keep_events=False)
            world.grow(task.n)
            world.run_until(world.converged, FORM_S, 0.25)
            world.run(SETTLE_S)
            world.listeners.append(self._listen)
        else:
            world = World(
                seed,
                codec=False,
                keep_events=False,
                latency=LATENCY,
                loss=task.loss,
                maker=maker(_variant(task.way)),
            )
            crowd(world, task.n, watch=self._watch)
            world.run(2.0)
        self._world = world

    def round(self) -> None:
        """Some members have news, each at an instant of its own within a period, until all know all of it."""
        world = self._world
        authors = world.rng.sample(world.hosts, min(5, max(1, self._n // AT_ONCE)))
        self._heard = {}
        for host in authors:
            world.clock.after(world.rng.randrange(SECOND), self._tell, host)
        world.run(1.0)
        end = world.now + LIMIT_S
        while world.now < end and any(len(heard) < self._n for heard in self._heard.values()):
            world.run(STEP_S)
        for heard in self._heard.values():
            span = None
            if len(heard) == self._n:
                span = heard[(self._n + 1) // 2 - 1] - heard[0], heard[-1] - heard[0]
            self.spans_us.append(span)

    def _tell(self, host: Host) -> None:
        """A new incarnation of the host's member."""
        self._heard[host.id] = [self._world.clock.now_us]
        if self._shipped:
            self._tags += 1
            host.do(lambda node, now: node.set_tags({"update": str(self._tags)}, now))
            return
        peer = peer_of(host)
        host.agent.call(peer.beliefs.restate)

    def _listen(self, host: Host, _now: float, event: Event) -> None:
        if event.kind is EventKind.MEMBER_UPDATED and event.id != host.id:
            self._note(event.id)

    def _watch(self, _peer: Peer, what: str, subject: NodeId, _now: float) -> None:
        if what == "alive":
            self._note(subject)

    def _note(self, subject: NodeId) -> None:
        heard = self._heard.get(subject)
        if heard is not None:
            heard.append(self._world.clock.now_us)


def _variant(way: Way) -> Variant:
    """Without verdicts, views by stream and health, so that the updates are all that travels."""
    if way == "serf":
        plain = structs.replace(memberlist(), push_pull=None, health_max=0, piggyback=False)
    else:
        plain = swim(suspicion=False, period=1.0, helpers=int(way == "helped"))
    return structs.replace(plain, immortal=True, patience=None, packet_items=255, packet_bytes=65_000)


def judge(budget: Budget, results: Mapping[str, Any]) -> Outcome:
    """Means of all blocks."""
    found: dict[tuple[Way, int, float], list[Mapping[str, Any]]] = {}
    asked = tasks(budget)
    for task in asked:
        cell = found.setdefault((task.way, task.n, task.loss), [])
        if task.key in results:
            cell.append(results[task.key])
    means = {cell: fmean(one["all"] for one in blocks) for cell, blocks in found.items() if blocks}
    halves = {cell: fmean(one["half"] for one in blocks) for cell, blocks in found.items() if blocks}
    sizes = sorted({task.n for task in asked})
    rows: list[Row] = []
    for n in sizes:
        rows += _rows(n, means, halves)
    reached = [
        one for (way, _, _), blocks in found.items() if way in {"piggyback", "helped"} for one in blocks
    ]
    rows += _missed(reached)
    rows += [_growth("poisson", means), _growth("periodic", means), _growth("piggyback", means)]
    return Outcome(rows, [_draw(sizes, means)], list(NOTES))


def _rows(
    n: int, means: Mapping[tuple[Way, int, float], float], halves: Mapping[tuple[Way, int, float], float]
) -> list[Row]:
    """What is asked for one number of members."""
    rows = [
        share(
            f"Poisson clocks, theory, N={n}",
            means.get(("poisson", n, 0.0)),
            theory.infection_everyone(n),
            0.05,
        ),
        share(f"periodic clocks, theory, N={n}", means.get(("periodic", n, 0.0)), PERIODIC[n], 0.05),
        share(f"SWIM, N={n}", means.get(("piggyback", n, 0.0)), PERIODIC[n], 0.05),
        told(
            f"SWIM, half of the members, N={n}",
            halves.get(("piggyback", n, 0.0)),
            theory.infection_half(n),
            "theirs: the logistic law",
        ),
    ]
    if n in LOSSY:
        rows.append(
            share(
                f"periodic clocks, theory, loss 10 %, N={n}", means.get(("periodic", n, LOSS)), LOSSY[n], 0.05
            )
        )
        rows.append(share(f"SWIM, loss 10 %, N={n}", means.get(("piggyback", n, LOSS)), LOSSY[n], 0.05))
    else:
        rows.append(told(f"SWIM, loss 10 %, N={n}", means.get(("piggyback", n, LOSS))))
    helped = means.get(("helped", n, LOSS))
    rows.append(told(f"SWIM with one helper, loss 10 %, N={n}", helped, None, "a lost ping is made up for"))
    serf, bound = means.get(("serf", n, 0.0)), convergence.serf_time(n)
    within = serf is not None and serf <= bound
    rows.append(holds(f"gossip to 3 each 200 ms, N={n}, seconds", serf, bound, "at most theirs", within))
    if n in SHIPPED:
        name = f"shipped core, N={n}, seconds"
        rows.append(told(name, means.get(("shipped", n, 0.0)), None, "eager: news leaves at once"))
    return rows


def _missed(reached: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Whether rumours die out before all know."""
    early = sum(one["early"] for one in reached) if reached else None
    missed = sum(one["missed"] for one in reached) if reached else None
    name = "trials in which somebody never heard"
    why = "the last one is told by too few: likeliest among 16 with loss, with 9 sends each"
    return [
        holds(f"{name}, first 200 of each setting", early, 0, "none", early == 0),
        told(f"{name}, of all", missed, None, why if missed else ""),
    ]


def _growth(way: Way, means: Mapping[tuple[Way, int, float], float]) -> Row:
    """Per tenfold number of members, from the smallest to the largest."""
    low, high = min(TRIALS), max(TRIALS)
    first, last = means.get((way, low, 0.0)), means.get((way, high, 0.0))
    ours = None
    if first is not None and last is not None:
        ours = (last - first) / math.log10(high / low)
    tenfold = math.log(10.0)
    within = ours is not None and 0.75 * tenfold <= ours <= 1.05 * tenfold
    if way == "poisson":
        low_law, high_law = theory.infection_everyone(low), theory.infection_everyone(high)
        law = (high_law - low_law) / math.log10(high / low)
        return told("more periods for ten times the members, Poisson clocks, theory", ours, law, "exact")
    names = {"periodic": "periodic clocks, theory", "piggyback": "SWIM"}
    quantity = f"more periods for ten times the members, {names[way]}"
    return holds(quantity, ours, tenfold, "0.75 to 1.05 of it", within)


def _draw(sizes: Sequence[int], means: Mapping[tuple[Way, int, float], float]) -> Figure:
    curves = []
    labels: Mapping[tuple[Way, float], str] = {
        ("piggyback", 0.0): "SWIM on pings and acks",
        ("piggyback", LOSS): "the same, loss 10 %",
        ("helped", LOSS): "with one helper, loss 10 %",
        ("serf", 0.0): "gossip to 3 each 200 ms",
        ("shipped", 0.0): "shipped core",
    }
    for (way, loss), label in labels.items():
        at = [n for n in sizes if (way, n, loss) in means]
        curves.append(Curve(label, [float(n) for n in at], [means[way, n, loss] for n in at]))
    for label, values in (
        ("SWIM on pings and acks", PERIODIC),
        ("the same, loss 10 %", LOSSY),
        ("gossip to 3 each 200 ms", {n: convergence.serf_time(n) for n in sizes}),
    ):
        curves.append(Curve(label, [float(n) for n in values], list(values.values()), theirs=True))
    title = "Time until an update is known to all"
    return Figure(title, "members", "seconds (periods of 1 s)", curves, log_x=True, log_y=True)


NOTES = (
    (
        "SWIM here: period 1 s with random phases, updates on pings and acks only, each sent"
        " 3 ceil(ln(n + 1)) times by each member; no helpers, as in the Monte Carlo that it is held against."
        " Members whose probe fails stay members."
    ),
    (
        "Theirs for Poisson clocks is the closed form ((n - 1) / n) H_(n-1); for periodic clocks and for loss"
        " an independent Monte Carlo. Serf's is the formula of its web simulator, for 99.99 %."
    ),
    "The shipped core tells news to ceil(ln n) + 4 others at once instead of waiting for a ping or a tick.",
)

PAPER = Paper(
    name="infection",
    number=4,
    title="Infection latency",
    source="SWIM (Das, Gupta, Motivala 2002), section 4.1 and figure 3b; Serf's convergence simulator",
    cost_s=5 * MINUTE,
    tasks=tasks,
    work=work,
    judge=judge,
    engine="a variant of core's parts, theory, and the shipped core",
)
