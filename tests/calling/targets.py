"""Instances to choose from, and how evenly they were chosen."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["T", "assert_shares", "targets"]


@dataclass(frozen=True)
class T:
    """One instance."""

    id: str
    weight: int = 1
    status: str = "passing"
    zone: str = ""
    tags: tuple[str, ...] = ()
    node_id: str = ""
    address: str = "10.0.0.1"
    port: int = 80


def targets(*weights: int, zone: str = "") -> tuple[T, ...]:
    """Instances `a`, `b`, ... of these weights, each on a node of its own."""
    return tuple(
        T("abcdefghij"[place], weight, zone=zone, node_id=f"n{zone}{place}")
        for place, weight in enumerate(weights)
    )


def assert_shares(counts: Counter[str], wanted: Mapping[str, float], sigmas: float = 3.0) -> None:
    """Each count is as a fair draw of this share would have it, within so many standard deviations."""
    total = counts.total()
    whole = sum(wanted.values())
    for key, weight in wanted.items():
        share = weight / whole
        deviation = math.sqrt(total * share * (1 - share))
        assert abs(counts[key] - total * share) <= sigmas * deviation + 1e-9, (key, counts, wanted)
