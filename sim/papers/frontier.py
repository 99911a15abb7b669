"""Where our defaults come from: detection time against false positives, over a grid of settings.

Every setting goes through `stress` (five kinds of trouble), a part of Lifeguard's design with stopped
processes, and a smaller one with blocked sends and receives. Those that no other beats in both are the
frontier; they, and the shipped profiles, are drawn on the same axes with SWIM and Lifeguard. Those in
`CHOSEN` go through the whole design, beside `lan` and SWIM.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec.structs import replace

from gossip.core.params import LAN, PROFILES
from sim.papers.detection import Side, design, ratio
from sim.papers.detection import work as play
from sim.papers.lifeguard import Cell, Interval, Model, Threshold, percentile
from sim.papers.paper import HOUR, Budget, Curve, Figure, Outcome, Paper, Row, compared, told
from sim.papers.settled import named
from sim.papers.stress import TROUBLES, Stress, Trouble, stress

__all__ = ["CHOSEN", "GRID", "PAPER", "Mark"]

Task: TypeAlias = Cell | Stress

PEERS = ("SWIM", "2,2", "2,6", "4,6", "5,6")
SHIPPED = {name: named(params, name) for name, params in PROFILES.items()}
ALPHAS, BETAS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0), (2.0, 3.0, 6.0)
"""Tried with the k and the period of `lan`."""
ASIDE = ((1, 1.0), (2, 1.0), (3, 1.0), (1, 0.5), (1, 2.0))
"""(k, period) that are tried with alpha 1 and beta 3."""
GRID = tuple(
    dict.fromkeys(
        [named(replace(LAN, suspicion_alpha=a, suspicion_beta=b)) for a in ALPHAS for b in BETAS]
        + [
            named(replace(LAN, suspicion_alpha=1.0, suspicion_beta=3.0, suspicion_k=k, period=period))
            for k, period in ASIDE
        ]
    )
)
CHOSEN: tuple[str, ...] = ()
"""Settings besides `lan` that go through the whole design: the frontier's points near it."""
SCREENED = ((4, 16, 32), (2_048, 8_192, 16_384), (1, 64, 256))
"""(C, D, I)."""
LOOK = ((4, 2_048, 64), (16, 8_192, 64), (32, 16_384, 64))
"""What of it is run for all settings before the rest."""
MODELS: tuple[Model, ...] = ("stopped", "gate")
QUICK_TROUBLES: tuple[Trouble, ...] = ("calm", "pauses")


def tasks(budget: Budget) -> list[Task]:
    """What all settings go through, then the whole design of the chosen ones."""
    found = {task.key: task for task in [*_screened(budget), *_whole(budget)]}
    return list(found.values())


def _screened(budget: Budget) -> list[Task]:
    """What tells most comes first: stress, then the few cells of `LOOK`, then the others."""
    if budget.quick:
        few = ("SWIM", named(LAN))
        return [
            *(Stress(config, trouble, 0, 16) for config in few for trouble in QUICK_TROUBLES),
            *(Cell(config, 2, 16_384, free, 0, "stopped", 16) for config in few for free in (0, 64)),
        ]
    configs = list(dict.fromkeys([*PEERS, *SHIPPED.values(), *GRID]))
    found: list[Task] = []
    for seed in budget.seeds:
        found += [Stress(config, trouble, seed) for config in configs for trouble in TROUBLES]
        found += [Cell(config, *cell, seed, model) for model in MODELS for config in configs for cell in LOOK]
        found += [Cell(config, *cell, seed, "stopped") for config in configs for cell in _screen()]
    return list({task.key: task for task in found}.values())


def _whole(budget: Budget) -> list[Cell]:
    """SWIM and `lan` are those of `detection`."""
    configs = ("SWIM", named(LAN), *CHOSEN) if CHOSEN and not budget.quick else ()
    return [
        Cell(config, *cell, seed, "stopped")
        for seed in budget.seeds
        for cell in design()
        for config in configs
    ]


def _run(task: Task) -> str:
    return task.key.removeprefix(task.config)


def _screen() -> Iterator[tuple[int, int, int]]:
    sizes, blocked, free = SCREENED
    for size in sizes:
        yield (size, 16_384, 0)
        yield from ((size, time, between) for time in blocked for between in free)


def work(task: Task) -> Threshold | Interval | dict[str, Any]:
    """Any of them."""
    return stress(task) if isinstance(task, Stress) else play(task)


class Mark:
    """One setting: where it stands."""

    def __init__(self, config: str) -> None:
        self.config = config
        self.first: list[float] = []
        """Seconds until a lost machine was found, under any trouble."""
        self.lost = 0
        self.wrong: dict[str, int] = {}
        """False positives by trouble, and by the model of the anomaly."""
        self.away: list[float] = []
        """Seconds until an agent that is stopped for 16 s is found."""
        self.messages: dict[str, float] = {}
        """By Interval run."""

    def add(self, task: Task, result: Mapping[str, Any]) -> None:
        """Take in one result."""
        if isinstance(task, Stress):
            self.first += result["first"]
            self.lost += result["lost"]
            self._wrong(task.trouble, result["wrong"])
        elif task.free_ms:
            self._wrong(task.model, result["false_positives"])
            self.messages[_run(task)] = result["messages"]
        elif task.model == "stopped":
            self.away += result["first"]

    def _wrong(self, where: str, count: int) -> None:
        self.wrong[where] = self.wrong.get(where, 0) + count

    @property
    def seconds(self) -> float | None:
        """The median until a lost machine was found; None unless all were."""
        return percentile(self.first, 0.5) if self.first and len(self.first) == self.lost else None

    @property
    def mistakes(self) -> int:
        """All false positives."""
        return sum(self.wrong.values())

    def load(self, other: Mark) -> float | None:
        """Messages of those of another, over the runs that both have."""
        both = self.messages.keys() & other.messages.keys()
        theirs = sum(other.messages[key] for key in both)
        return sum(self.messages[key] for key in both) / theirs if theirs else None


def judge(budget: Budget, results: Mapping[str, Any]) -> Outcome:
    """A few rows for each setting; nothing is asked."""
    marks: dict[str, Mark] = {}
    for task in compared(_screened(budget), results, _run):
        marks.setdefault(task.config, Mark(task.config)).add(task, results[task.key])
    best = _frontier(list(marks.values()))
    rows = [row for mark in marks.values() for row in _rows(mark, marks.get("SWIM"), best)]
    sides: dict[str, Side] = {}
    for cell in compared(_whole(budget), results, _run):
        sides.setdefault(cell.config, Side()).add(cell, results[cell.key])
    rows += [row for config, side in sides.items() for row in _rows_whole(config, side, sides["SWIM"])]
    return Outcome(rows, [_draw(marks, best)], NOTES)


def _frontier(marks: Sequence[Mark]) -> list[str]:
    """The configs of our settings that none of ours beats: as fast and as seldom wrong, and better in one."""
    ours = [(mark.seconds, mark.mistakes, mark.config) for mark in marks if mark.config not in PEERS]
    known = [(seconds, wrong, config) for seconds, wrong, config in ours if seconds is not None]
    return [
        config
        for seconds, wrong, config in known
        if not any(a <= seconds and b <= wrong and (a, b) != (seconds, wrong) for a, b, _ in known)
    ]


def _rows(mark: Mark, swim: Mark | None, best: Sequence[str]) -> Iterator[Row]:
    name = title(mark.config)
    note = "on the frontier" if mark.config in best else ""
    yield told(f"{name}: a lost machine is found, median, s", mark.seconds, None, note)
    if mark.away:
        yield told(f"{name}: stopped for 16 s, first found, median, s", percentile(mark.away, 0.5))
    parts = ", ".join(f"{where} {count}" for where, count in mark.wrong.items() if count)
    yield told(f"{name}: false positives", float(mark.mistakes), None, parts)
    if swim is not None:
        yield told(f"{name}: messages, of SWIM's", mark.load(swim))


def _rows_whole(config: str, side: Side, swim: Side) -> Iterator[Row]:
    name = f"{title(config)}, whole design"
    yield told(f"{name}: first detection, median, s", percentile(side.first, 0.5))
    yield told(f"{name}: false positives", side.total("false_positives"))
    yield told(f"{name}: messages, of SWIM's", ratio(side.mean("messages"), swim.mean("messages")))


def title(config: str) -> str:
    """What a person reads."""
    names = [f"`{profile}`" for profile, shipped in SHIPPED.items() if shipped == config]
    if names:
        return f"{names[0]} ({config.split(' ', 1)[1]})"
    return f"Lifeguard {config}" if config in PEERS and config != "SWIM" else config


def _draw(marks: Mapping[str, Mark], best: Sequence[str]) -> Figure:
    """Zero cannot be drawn on a logarithm, so that all stand one higher."""
    groups: dict[str, list[Mark]] = {"ours, settings tried": [], "ours, the frontier": [], "Lifeguard": []}
    for config, mark in marks.items():
        if config == "SWIM":
            groups["SWIM"] = [mark]
        elif config in PEERS:
            groups["Lifeguard"].append(mark)
        elif config in best:
            groups["ours, the frontier"].append(mark)
        else:
            groups["ours, settings tried"].append(mark)
    for profile, config in SHIPPED.items():
        if config in marks:
            groups[profile] = [marks[config]]
    curves = []
    for label, members in groups.items():
        points = sorted((mark.seconds, mark.mistakes + 1.0) for mark in members if mark.seconds is not None)
        if points:
            curves.append(Curve(label, [x for x, _ in points], [y for _, y in points]))
    return Figure(
        "Detection time against false positives",
        "median seconds until a lost machine is found by the first",
        "false positives in all screened runs, + 1",
        curves,
        kind="points",
        log_x=True,
        log_y=True,
    )


NOTES = [
    "Settings are alpha, beta, k and the period T in seconds; everything else is the profile's.",
    "A lost machine is found: over five troubles, four machines each. False positives: of all screened runs.",
    "Screened: C 4, 16, 32; D 2, 8, 16 s; I 1, 64, 256 ms with stopped processes; five troubles.",
    "Of blocked sends and receives, three: (C, D, I) of (4, 2048, 64), (16, 8192, 64), (32, 16384, 64).",
]

PAPER = Paper(
    name="frontier",
    number=18,
    title="Detection time against false positives",
    source="a grid of our settings, with SWIM's and Lifeguard's",
    cost_s=6 * HOUR,
    tasks=tasks,
    work=work,
    judge=judge,
    engine="the shipped core; SWIM and Lifeguard made of its parts",
    shares=("detection", "lifeguard-interval"),
)
