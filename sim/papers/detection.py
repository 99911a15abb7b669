"""Lifeguard's whole design with ours beside: how fast, how often wrong, at what load, under two anomalies.

128 agents, C of them slow for D at a time with I in between: all C, D and I of the paper, once a block. SWIM
(alpha 5), Lifeguard (5, 6) and the shipped core with the `lan` profile go through the same runs, with stopped
processes, and with the paper's blocked sends and receives. What is asked is of the stopped processes, as that
is what a loaded or stopped machine does to an agent; the other model is reported beside it.

Cells are those of `lifeguard-interval` and `lifeguard-threshold`: what one has computed, the other takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gossip.core.params import LAN
from sim.papers.lifeguard import ANOMALOUS, Cell, Interval, Model, Threshold, percentile, play_interval
from sim.papers.lifeguard import play_threshold as play_once
from sim.papers.lifeguard_interval import FREE_MS, MESSAGES_M, PUBLISHED_RUNS, TABLE_IV
from sim.papers.lifeguard_threshold import TABLE_V
from sim.papers.paper import HOUR, Budget, Curve, Figure, Outcome, Paper, Row, compared, holds, told
from sim.papers.settled import named

__all__ = ["BLOCKED_MS", "PAPER", "Side", "decisive", "design", "ratio", "work"]

OURS = "ours"
CONFIGS = {"SWIM": "SWIM", "Lifeguard": "Lifeguard", OURS: named(LAN)}
BLOCKED_MS = (128, 512, 2_048, 8_192, 16_384, 32_768)
LONG_MS = 16_384
"""Whoever is away for so long or longer can be found by all of them: SWIM takes 11.5 s."""
SCREENED = ((4, 16, 32), (2_048, 8_192, 16_384), (1, 64, 256))
"""(C, D, I) that are run first: most of what goes wrong goes wrong there."""
MODELS: dict[Model, str] = {"stopped": "stopped process", "gate": "blocked sends and receives"}
FIRST_MAX, LOAD_MAX, WRONG_MAX = 0.40, 1.10, 0.10
"""Of SWIM's median, of SWIM's messages, of Lifeguard's false positives."""


def tasks(budget: Budget) -> list[Cell]:
    """The decisive ones first, and of each run all configurations one after the other."""
    cells: list[Cell] = []
    for model in MODELS:
        for seed in budget.seeds:
            for anomalous, blocked, free in _small() if budget.quick else design():
                agents = 16 if budget.quick else 128
                cells += [
                    Cell(config, anomalous, blocked, free, seed, model, agents) for config in CONFIGS.values()
                ]
    return cells


def _small() -> list[tuple[int, int, int]]:
    return [(2, 16_384, 0), (3, 16_384, 64)]


def design() -> list[tuple[int, int, int]]:
    """All (C, D, I) of the paper; I of 0 is the Threshold experiment."""
    sizes = ANOMALOUS[::-1]
    once = [(size, blocked, 0) for blocked in BLOCKED_MS[::-1] for size in sizes]
    often = [(size, blocked, free) for free in FREE_MS for blocked in BLOCKED_MS[::-1] for size in sizes]
    return [*once, *sorted(often, key=lambda cell: not decisive(*cell))]


def decisive(anomalous: int, blocked_ms: int, free_ms: int) -> bool:
    """Whether a cell is one of those that are screened."""
    sizes, blocked, free = SCREENED
    return anomalous in sizes and blocked_ms in blocked and free_ms in free


def work(cell: Cell) -> Threshold | Interval:
    """Either experiment."""
    return play_interval(cell) if cell.free_ms else play_once(cell)


class Side:
    """The results of one configuration under one model."""

    def __init__(self) -> None:
        self.first: list[float] = []
        """Seconds, of agents that were away for long."""
        self.full: list[float] = []
        self.away = 0
        """How many agents were away for long."""
        self._often: list[tuple[Cell, Mapping[str, Any]]] = []

    def add(self, cell: Cell, result: Mapping[str, Any]) -> None:
        """Take in one run."""
        if cell.free_ms:
            self._often.append((cell, result))
        elif cell.blocked_ms >= LONG_MS:
            self.first += result["first"]
            self.full += result["full"]
            self.away += result["anomalous"]

    def total(self, field: str, keep: Callable[[Cell], bool] = lambda _: True) -> int | None:
        """The sum over the Interval runs to keep; None if there are none."""
        values = [result[field] for cell, result in self._often if keep(cell)]
        return sum(values) if values else None

    def mean(self, field: str, keep: Callable[[Cell], bool] = lambda _: True) -> float | None:
        """Its mean over them."""
        values = [result[field] for cell, result in self._often if keep(cell)]
        return sum(values) / len(values) if values else None


Sides = Mapping[tuple[str, Model], Side]


def judge(budget: Budget, results: Mapping[str, Any]) -> Outcome:
    """What is asked, then both models' numbers."""
    sides = {(name, model): Side() for model in MODELS for name in CONFIGS}
    names = {config: name for name, config in CONFIGS.items()}
    for cell in compared(tasks(budget), results, lambda cell: cell.key.removeprefix(cell.config)):
        sides[names[cell.config], cell.model].add(cell, results[cell.key])
    rows = [*_asked(sides)]
    for model in MODELS:
        rows += _told(sides, model, budget.blocks)
    return Outcome(rows, _figures(sides), NOTES)


def _asked(sides: Sides) -> Iterator[Row]:
    swim, lifeguard, ours = (sides[name, "stopped"] for name in CONFIGS)
    first = ratio(percentile(ours.first, 0.5), percentile(swim.first, 0.5))
    wrong, theirs = ours.total("false_positives"), lifeguard.total("false_positives")
    load = ratio(ours.mean("messages"), swim.mean("messages"))
    fast = first is not None and first <= FIRST_MAX
    right = wrong is not None and theirs is not None and wrong <= WRONG_MAX * theirs
    light = load is not None and load <= LOAD_MAX
    yield holds("ours: median first detection, of SWIM's", first, 1.0, f"at most {FIRST_MAX:.2f}", fast)
    yield holds(
        "ours: false positives, beside Lifeguard's",
        None if theirs is None else wrong,
        theirs,
        "at most a tenth, or none",
        right,
    )
    yield holds("ours: messages, of SWIM's", load, 1.0, f"at most {LOAD_MAX:.2f}", light)
    known = None not in (first, wrong, theirs, load)
    yield holds(
        "ours: all three at once",
        float(fast and right and light) if known else None,
        None,
        "yes",
        fast and right and light,
    )


def ratio(a: float | None, b: float | None) -> float | None:
    """None if either is unknown, or b is nothing."""
    return a / b if a is not None and b else None


def _told(sides: Sides, model: Model, blocks: int) -> Iterator[Row]:
    where = MODELS[model]
    for name in CONFIGS:
        side = sides[name, model]
        published = TABLE_V[name][0] if model == "gate" and name in TABLE_V else (None, None, None)
        for share, word, theirs in zip((0.5, 0.99), ("median", "p99"), published, strict=False):
            yield told(f"{where}, {name}: first detection, {word}, s", percentile(side.first, share), theirs)
        yield told(f"{where}, {name}: all have found it, median, s", percentile(side.full, 0.5))
        yield told(
            f"{where}, {name}: found, of {side.away} that were away for 16 or 32 s", float(len(side.first))
        )
        for field, word, place in (("false_positives", "FP", 0), ("at_healthy", "FP-", 1)):
            theirs = None
            if model == "gate" and name in TABLE_IV:
                theirs = TABLE_IV[name][place] * blocks / 10
            yield told(f"{where}, {name}: {word}", side.total(field), theirs)
        theirs = 1e6 * MESSAGES_M[name] / PUBLISHED_RUNS if model == "gate" and name in MESSAGES_M else None
        yield told(f"{where}, {name}: messages a run", side.mean("messages"), theirs)
        yield told(f"{where}, {name}: KiB a run", ratio(side.mean("bytes"), 1_024.0))


def _figures(sides: Sides) -> list[Figure]:
    figures = []
    for model, where in MODELS.items():
        curves = []
        for name in CONFIGS:
            points = [at / 200 for at in range(201)]
            values = [percentile(sides[name, model].first, at) for at in points]
            shown = [value for value in values if value is not None]
            curves.append(Curve(name, shown, points[: len(shown)]))
        figures.append(Figure(f"First detection, {where}", "seconds", "share of detections", curves))
    for model, where in MODELS.items():
        curves = [_by_size(name, sides[name, model], "false_positives") for name in CONFIGS]
        figures.append(
            Figure(f"False positives, {where}", "slow agents (C)", "failure events in 48 runs", curves)
        )
    curves = []
    for name in CONFIGS:
        means = [sides[name, "stopped"].mean("messages", _lasting(blocked)) for blocked in BLOCKED_MS]
        known = [(at, mean) for at, mean in zip(BLOCKED_MS, means, strict=True) if mean is not None]
        curves.append(Curve(name, [float(at) for at, _ in known], [mean for _, mean in known]))
    figures.append(
        Figure("Messages, stopped process", "ms stopped (D)", "datagrams a run", curves, log_x=True)
    )
    return figures


def _by_size(name: str, side: Side, field: str) -> Curve:
    totals = [side.total(field, _of_size(size)) for size in ANOMALOUS]
    known = [(size, total) for size, total in zip(ANOMALOUS, totals, strict=True) if total is not None]
    return Curve(name, [float(size) for size, _ in known], [float(total) for _, total in known])


def _of_size(size: int) -> Callable[[Cell], bool]:
    return lambda cell: cell.anomalous == size


def _lasting(blocked_ms: int) -> Callable[[Cell], bool]:
    return lambda cell: cell.blocked_ms == blocked_ms


NOTES = [
    "Detection is of agents that were away once for 16 or 32 s, which SWIM's 10.5 s of suspicion can see.",
    "False positives and load are of the Interval runs: all C, D and I. FP- are those at healthy agents.",
    "Messages are datagrams, gossip and acks included, the quiet 15 s at the start too.",
    "A stopped process reads what waits in its socket before its timers fire; so do SWIM and Lifeguard here.",
    "Timers of the real memberlist run beside its reader, so that stopping does it more harm than here.",
    "Blocked sends and receives: ours keeps its timers, what it sends waits, and nothing tells it so.",
]

PAPER = Paper(
    name="detection",
    number=16,
    title="Detection beside SWIM and Lifeguard",
    source="the whole design of Dadgar et al., arXiv 1707.00788v2, section V; ours beside",
    cost_s=7 * HOUR,
    tasks=tasks,
    work=work,
    judge=judge,
    engine="the shipped core; SWIM and Lifeguard made of its parts",
    shares=("lifeguard-interval", "lifeguard-threshold", "frontier"),
)
