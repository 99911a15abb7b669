"""Two settings under the same seeds: what differs, and whether chance would do as much.

The seeds are pairs: whatever chance does to one run of a pair it does, as far as it goes, to the other. For
each field the exact sign test asks how probable it is that so many pairs or more lean to one side if neither
side had an advantage (Conover, "Practical Nonparametric Statistics", 3.4; ties are left out). As a field is
tested beside others, its p is adjusted by Holm's step-down method (Holm 1979). The interval around the mean
difference is a percentile bootstrap over the pairs (Efron and Tibshirani 1993, chapter 13) whose draws are
fixed: the same pairs give the same interval.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from sim.sweep.numbers import Digest, digest, is_measured

__all__ = ["LEVEL", "Difference", "compare"]

LEVEL = 0.05
"""A difference counts as one below this adjusted p."""
DRAWS = 2_000


class Difference(Struct, frozen=True):
    """One field in A and in B. A run in which it never happened counts as more than any other."""

    field: str
    a: Digest
    b: Digest
    mean: float | None
    """Of B - A over the pairs that have both values; None if there is none."""
    low: float | None
    """The interval of 95 % around `mean`."""
    high: float | None
    less: int
    """Pairs in which B has less."""
    more: int
    p: float
    """Of the sign test, adjusted."""
    differs: bool


def compare(
    fields: Sequence[str], pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]
) -> list[Difference]:
    """Judge each field over the pairs of runs that both had something to measure of it.

    A field that none of those has a value of is left out.
    """
    found = []
    for field in fields:
        values = [
            (a.get(field), b.get(field)) for a, b in pairs if is_measured(field, a) and is_measured(field, b)
        ]
        if any(value is not None for pair in values for value in pair):
            found.append((field, values))
    signs = [_signs(values) for _, values in found]
    adjusted = _holm([_sign_test(less, more) if less or more else None for less, more in signs])
    return [
        _difference(field, values, less, more, p)
        for (field, values), (less, more), p in zip(found, signs, adjusted, strict=True)
    ]


def _difference(field: str, values: Sequence[tuple[Any, Any]], less: int, more: int, p: float) -> Difference:
    steps = [float(b) - float(a) for a, b in values if a is not None and b is not None]
    low, high = _interval(steps)
    return Difference(
        field=field,
        a=digest([a for a, _ in values]),
        b=digest([b for _, b in values]),
        mean=math.fsum(steps) / len(steps) if steps else None,
        low=low,
        high=high,
        less=less,
        more=more,
        p=p,
        differs=p < LEVEL,
    )


def _signs(values: Sequence[tuple[Any, Any]]) -> tuple[int, int]:
    """How many pairs have less, and more, in B."""
    less = more = 0
    for a, b in values:
        first, second = (math.inf if value is None else float(value) for value in (a, b))
        less += second < first
        more += second > first
    return less, more


def _sign_test(less: int, more: int) -> float:
    """Two-sided, exact."""
    count, fewer = less + more, min(less, more)
    tail = sum(math.comb(count, number) for number in range(fewer + 1))
    return min(1.0, 2 * tail / (1 << count))


def _holm(chances: Sequence[float | None]) -> list[float]:
    """None: nothing was there to be tested."""
    adjusted = [1.0] * len(chances)
    tested = sorted((chance, index) for index, chance in enumerate(chances) if chance is not None)
    worst = 0.0
    for rank, (chance, index) in enumerate(tested):
        worst = max(worst, min(1.0, (len(tested) - rank) * chance))
        adjusted[index] = worst
    return adjusted


def _interval(steps: Sequence[float]) -> tuple[float | None, float | None]:
    size = len(steps)
    if not size:
        return None, None
    rng = random.Random(size)
    means = sorted(math.fsum(rng.choices(steps, k=size)) / size for _ in range(DRAWS))
    return means[DRAWS // 40], means[-DRAWS // 40 - 1]
