"""How calls are spread, in virtual time and drawn: by weight, around a slow and around a failing instance."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gossip.calling.balancer import Balancer
from sim.draw import style
from sim.extras import need

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gossip.calling.records import Record

__all__ = ["Spread", "draw", "spread"]

PICKS = 100_000
RATE = 200.0
"""Calls a second."""
TOOK = 0.02
TEN = 10


@dataclass(frozen=True)
class One:
    """An instance."""

    id: str
    weight: int = 1
    node_id: str = "n"
    address: str = "10.0.0.1"
    port: int = 80
    tags: tuple[str, ...] = ()
    status: str = "passing"
    zone: str = ""


@dataclass
class Spread:
    """Calls of each second: how many went to the first instance, to all, and how many failed."""

    first: Counter[int]
    all: Counter[int]
    failed: Counter[int]
    ejections: int


def spread(seconds: float, takes: Callable[[bool, float, random.Random], tuple[float, bool]]) -> Spread:
    """Calls ten instances of equal weight.

    `takes` says of a call of the first one, or of another, how many seconds it takes and if it goes well.
    """
    rng = random.Random(7)
    instances = tuple(One(str(number), node_id=str(number)) for number in range(TEN))
    balancer: Balancer[One] = Balancer(rng.random)
    result = Spread(Counter(), Counter(), Counter(), 0)
    under_way: list[tuple[float, int, Record, float, bool]] = []
    now, number = 0.0, 0
    while now < seconds:
        now += rng.expovariate(RATE)
        while under_way and under_way[0][0] <= now:
            at, _, record, took, ok = heapq.heappop(under_way)
            balancer.end(record, at, ok, took)
        chosen = balancer.pick(instances, now)
        if chosen is None:
            break
        is_first = chosen is instances[0]
        took, ok = takes(is_first, now, rng)
        number += 1
        heapq.heappush(under_way, (now + took, number, balancer.begin(chosen), took, ok))
        second = int(now)
        result.all[second] += 1
        result.first[second] += is_first
        result.failed[second] += not ok
    result.ejections = balancer.ejections
    return result


def _slow(is_first: bool, now: float, rng: random.Random) -> tuple[float, bool]:
    return rng.expovariate(1 / (TOOK * (10 if is_first and 60 <= now < 120 else 1))), True


def _failing(is_first: bool, now: float, rng: random.Random) -> tuple[float, bool]:
    return rng.expovariate(1 / TOOK), not (is_first and 60 <= now < 180 and rng.random() < 0.5)


def draw(directory: Path) -> None:
    """`balance.png` in the directory."""
    with style.styled():
        figure = need("matplotlib.figure").Figure(figsize=(style.WIDTH, 7.4), layout="constrained")
        top, middle, bottom = figure.subplots(3, 1)
        _draw_weights(top)
        _draw_over_time(middle, spread(240, _slow), (60, 120), "One of ten is ten times slower for a minute")
        found = spread(360, _failing)
        title = "One of ten fails half of its calls for two minutes: left out"
        _draw_over_time(bottom, found, (60, 180), f"{title} {found.ejections} times")
        figure.savefig(directory / "balance.png", dpi=style.DPI, metadata={"Software": None})


def _draw_weights(axes: Any) -> None:
    rng = random.Random(7)
    instances = tuple(One(str(weight), weight) for weight in range(1, TEN + 1))
    balancer: Balancer[One] = Balancer(rng.random)
    picks: Counter[str] = Counter()
    for _ in range(PICKS):
        chosen = balancer.pick(instances, 0.0)
        picks[chosen.id if chosen else ""] += 1
    total = sum(each.weight for each in instances)
    off = []
    for each in instances:
        share = each.weight / total
        off.append((picks[each.id] - PICKS * share) / (PICKS * share * (1 - share)) ** 0.5)
    axes.axhspan(-3, 3, color=style.GRID, zorder=0)
    axes.plot([each.weight for each in instances], off, "o", color=style.CURVES[0])
    axes.axhline(0, color=style.SOFT, linewidth=0.8)
    axes.set(
        title=f"{PICKS:,} picks by weight: how far each share is off",
        xlabel="weight of the instance",
        ylabel="standard deviations (grey: 3)",
        ylim=(-4, 4),
        xticks=range(1, TEN + 1),
    )


def _draw_over_time(axes: Any, found: Spread, trouble: tuple[int, int], title: str) -> None:
    width = 5
    times = range(0, max(found.all), width)

    def share(counts: Counter[int], start: int) -> float:
        window = range(start, start + width)
        return 100 * sum(counts[each] for each in window) / max(sum(found.all[each] for each in window), 1)

    axes.axvspan(*trouble, color=style.GRID, zorder=0)
    middles = [start + width / 2 for start in times]
    axes.plot(
        middles,
        [share(found.first, each) for each in times],
        label="its share of the calls",
        **style.LOOKS[0],
    )
    if any(found.failed.values()):
        axes.plot(
            middles, [share(found.failed, each) for each in times], label="calls that fail", **style.LOOKS[1]
        )
    axes.axhline(100 / TEN, color=style.SOFT, linewidth=0.8)
    axes.set(title=title, xlabel="s", ylabel="%", ylim=(0, None), xlim=(0, max(found.all)))
    axes.legend(loc="lower right")
