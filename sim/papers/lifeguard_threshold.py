"""Lifeguard's Threshold experiment: how fast agents that block once are found (tables V and VII)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sim.papers.lifeguard import ANOMALOUS, CONFIGS, Cell, Threshold, percentile, play_threshold
from sim.papers.paper import MINUTE, Budget, Curve, Figure, Outcome, Paper, Row, holds, share, told

__all__ = ["PAPER"]

REPETITIONS = 10
TUNED_REPETITIONS = 2
BLOCKED_MS = (16_384, 32_768)
TUNED_MS = (8_192, 16_384, 32_768)
TUNED = [f"{alpha},{beta}" for alpha in (2, 4, 5) for beta in (2, 4, 6)]
SHARES = (0.5, 0.99, 0.999)
SHARE_NAMES = ("median", "p99", "p99.9")

TABLE_V: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "SWIM": ((12.44, 16.96, 19.40), (12.90, 16.93, 20.17)),
    "LHA-Probe": ((12.42, 17.75, 20.10), (12.90, 17.98, 20.56)),
    "LHA-Suspicion": ((12.42, 17.47, 25.41), (12.89, 17.33, 23.80)),
    "Buddy System": ((12.45, 17.12, 19.16), (12.92, 17.18, 19.81)),
    "Lifeguard": ((12.45, 17.90, 21.20), (12.91, 18.05, 21.68)),
}
"""Seconds: (median, p99, p99.9) of first detection and of full dissemination."""
TABLE_VII_FIRST = dict(
    zip(TUNED, (53.14, 54.10, 54.34, 82.96, 83.04, 83.12, 99.76, 99.52, 100.08), strict=True)
)
"""Median first detection, percent of SWIM's."""
TABLE_VII_P99 = dict(
    zip(TUNED, (69.81, 72.88, 75.53, 94.28, 96.17, 96.82, 104.95, 102.71, 105.54), strict=True)
)
TUNED_RANGE = {"2": (49.0, 56.0), "4": (81.0, 86.0), "5": (98.0, 102.0)}
"""By alpha: what the median may be, percent of SWIM's."""


def tasks(budget: Budget) -> list[Cell]:
    if budget.quick:
        return [
            Cell(config, 2, 16_384, 0, seed, agents=16) for seed in budget.seeds for config in ("SWIM", "2,6")
        ]
    return [*_main(budget), *_tuning(budget)]


def _main(budget: Budget) -> Iterator[Cell]:
    """Table V. A repetition at a time, so that an interrupted run has looked at the whole grid."""
    for seed in budget.seeds:
        for repetition in range(REPETITIONS):
            yield from _grid(CONFIGS, BLOCKED_MS, _seed(seed, repetition))


def _tuning(budget: Budget) -> Iterator[Cell]:
    """The tuning grid. SWIM detects nothing within 8 s, so what it is compared with is in `_main`."""
    for seed in budget.seeds:
        for repetition in range(TUNED_REPETITIONS):
            yield from _grid(TUNED, TUNED_MS, _seed(seed, repetition))


def _grid(configs: Sequence[str], blocked_ms: Sequence[int], seed: int) -> Iterator[Cell]:
    for anomalous in reversed(ANOMALOUS):
        for blocked in reversed(blocked_ms):
            for config in configs:
                yield Cell(config, anomalous, blocked, 0, seed)


def _seed(block: int, repetition: int) -> int:
    return block * 1_000 + repetition


def work(cell: Cell) -> Threshold:
    return play_threshold(cell)


class Pool:
    """The detections of one configuration, all runs together."""

    def __init__(self) -> None:
        self.first: list[float] = []
        self.full: list[float] = []

    def add(self, result: Mapping[str, Any]) -> None:
        self.first += result["first"]
        self.full += result["full"]


def judge(budget: Budget, results: Mapping[str, Any]) -> Outcome:
    """Tables V and VII beside ours, by the tolerances that were fixed beforehand."""
    pools: dict[str, Pool] = {}
    for cell in tasks(budget):
        result = results.get(cell.key)
        if result is not None:
            pools.setdefault(cell.config, Pool()).add(result)
    rows = [row for config in CONFIGS for row in _table_v(config, pools.get(config, Pool()))]
    rows.append(_five_alike(pools))
    rows += _table_vii(pools)
    return Outcome(rows, [_cdf(pools)], NOTES)


def _table_v(config: str, pool: Pool) -> Iterator[Row]:
    for what, values, place in (("first detection", pool.first, 0), ("full dissemination", pool.full, 1)):
        for number, name in enumerate(SHARE_NAMES):
            ours = percentile(values, SHARES[number])
            theirs = TABLE_V["SWIM"][place][number]
            own = TABLE_V[config][place][number]
            within = (0.02, 0.10 if config == "Lifeguard" else 0.07, 0.12)[number]
            quantity = f"{config}: {what}, {name}, s"
            if config == "LHA-Suspicion" and number == 2:
                yield told(quantity, ours, own)
            else:
                note = "" if config == "SWIM" else f"against SWIM's row; its own is {own}"
                yield share(quantity, ours, theirs, within, note)


def _five_alike(pools: Mapping[str, Pool]) -> Row:
    medians = [percentile(pools[config].first, 0.5) for config in CONFIGS if config in pools]
    known = [median for median in medians if median is not None]
    spread = 100 * (max(known) / min(known) - 1) if known else None
    theirs = 100 * (12.45 / 12.42 - 1)
    return holds(
        "largest of the five median first detections above the smallest, %",
        spread,
        theirs,
        "at most 1",
        spread is not None and spread <= 1,
    )


def _table_vii(pools: Mapping[str, Pool]) -> list[Row]:
    swim = pools.get("SWIM", Pool()).first
    rows = []
    p99: dict[str, float | None] = {}
    for config in TUNED:
        tuned = pools.get(config, Pool()).first
        median = _percent(tuned, swim, 0.5)
        p99[config] = _percent(tuned, swim, 0.99)
        low, high = TUNED_RANGE[config.split(",")[0]]
        rows.append(
            holds(
                f"Lifeguard({config}): median first detection, % of SWIM",
                median,
                TABLE_VII_FIRST[config],
                f"{low:g} to {high:g}",
                median is not None and low <= median <= high,
            )
        )
        rows.append(
            told(f"Lifeguard({config}): p99 first detection, % of SWIM", p99[config], TABLE_VII_P99[config])
        )
    trend = [p99["2,2"], p99["2,4"], p99["2,6"]]
    known = [value for value in trend if value is not None]
    rise = known[2] - known[0] if len(known) == 3 else None
    rows.append(
        holds(
            "alpha = 2: p99 from beta = 2 to 6, percentage points",
            rise,
            75.53 - 69.81,
            "rises at each step",
            len(known) == 3 and known[0] < known[1] < known[2],
        )
    )
    return rows


def _percent(values: list[float], base: list[float], at: float) -> float | None:
    ours, theirs = percentile(values, at), percentile(base, at)
    return None if ours is None or theirs is None else 100 * ours / theirs


def _cdf(pools: Mapping[str, Pool]) -> Figure:
    curves = []
    for config in CONFIGS:
        values = pools.get(config, Pool()).first
        points = [at / 1_000 for at in range(0, 1_001, 5)]
        x = [percentile(values, at) or 0.0 for at in points] if values else []
        curves.append(Curve(config, x, points if values else []))
        theirs = TABLE_V[config][0]
        curves.append(Curve(f"{config}, published", list(theirs), list(SHARES), theirs=True))
    return Figure("First detection of agents that block once", "seconds", "share of detections", curves)


NOTES = [
    "Agents share no processor here; the paper's ran 8 to a core. That shortens the tails, not the medians.",
    "Medians follow from the wait for the first probe (1 s), one period (1 s), and 5 log10(128) = 10.5 s.",
    "Detections are pooled over C and D, one for each anomalous agent that was detected.",
    "Exchanged views confirm no suspicion here. In memberlist they do: runs with C >= 20 then hid beta.",
    f"The tuning grid has {TUNED_REPETITIONS} repetitions a block; the paper had 10.",
]

PAPER = Paper(
    name="lifeguard-threshold",
    number=7,
    title="Lifeguard: latency of detection",
    source="Dadgar et al., arXiv 1707.00788v2, tables V and VII (latency)",
    cost_s=30 * MINUTE,
    tasks=tasks,
    work=work,
    judge=judge,
    engine="memberlist of 2017, made of core's parts",
    shares=("detection",),
)
