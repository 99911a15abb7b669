"""Medians and percentiles that do not hide what never happened."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from sim.clock import SECOND

__all__ = ["median", "percentile", "seconds", "spread"]


def median(values: Sequence[float], missing: int = 0) -> float | None:
    """The middle value, or the mean of the two in the middle, of these and `missing` ones above all of them.

    None if there is nothing, or if one that is missing is in the middle.
    """
    if not values and not missing:
        return None
    middle = statistics.median([*values, *[math.inf] * missing])
    return None if math.isinf(middle) else middle


def percentile(values: Sequence[int], share: float, missing: int = 0) -> int | None:
    """The value at that share by nearest rank, of sorted values and `missing` ones above all of them.

    None if there is nothing, or if the one of that rank is missing.
    """
    count = len(values) + missing
    if not count:
        return None
    rank = max(1, -int(-share * count // 1)) - 1
    return values[rank] if rank < len(values) else None


def seconds(value_us: float | None) -> float | None:
    """Microseconds as seconds."""
    return None if value_us is None else value_us / SECOND


def spread(values: Sequence[int], missing: int = 0) -> dict[str, float | None]:
    """`{p50, p99, max}` in seconds."""
    ordered = sorted(values)
    return {
        "p50": seconds(percentile(ordered, 0.5, missing)),
        "p99": seconds(percentile(ordered, 0.99, missing)),
        "max": seconds(percentile(ordered, 1.0, missing)),
    }
