"""Rapid's cut detection: a change of the view is proposed when all that is said points one way.

Every member is observed by K others, one on each of K rings. An observer that finds its subject failed
says so to all, once. A subject of whom fewer than L say so is noise; one of whom H or more do is out. A
member proposes those that are out at a moment when nobody is between L and H (Suresh et al. 2018,
section 4.2). What the papers' members hold of each other is kept by number, from 0.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

__all__ = ["CutDetector", "Rings", "conflict_rate"]


class CutDetector:
    """What one member has heard of failed edges.

    Args:
        high: how many reports make a subject failed (H).
        low: how many make it more than noise (L).
        observers: of a subject, who observes it on each ring; None where no edge is implied by another.
    """

    __slots__ = ("_high", "_low", "_observers", "_reports", "_stable", "_unsettled")

    def __init__(self, high: int, low: int, observers: Callable[[int], Sequence[int]] | None = None) -> None:
        self._high = high
        self._low = low
        self._observers = observers
        self._reports: dict[int, set[int]] = {}
        self._unsettled: dict[int, None] = {}
        self._stable: dict[int, None] = {}

    def report(self, subject: int, ring: int) -> list[int] | None:
        """Somebody finds `subject` failed, as its observer on `ring`: the cut to propose now, or None."""
        if subject in self._stable:
            return None
        reports = self._reports.setdefault(subject, set())
        reports.add(ring)
        self._settle(subject)
        if self._unsettled and self._observers is not None:
            self._imply(self._observers)
        return sorted(self._stable) if self._stable and not self._unsettled else None

    def _settle(self, subject: int) -> None:
        count = len(self._reports[subject])
        if count >= self._high:
            self._stable[subject] = None
            self._unsettled.pop(subject, None)
        elif count >= self._low:
            self._unsettled[subject] = None

    def _imply(self, observers: Callable[[int], Sequence[int]]) -> None:
        """An observer that is itself more than noise will report nothing: its edges count as reported."""
        for subject in list(self._unsettled):
            for ring, observer in enumerate(observers(subject)):
                if observer in self._stable or observer in self._unsettled:
                    self._reports[subject].add(ring)
            self._settle(subject)


class Rings:
    """K orders of the members 0 to n - 1; on each, everybody observes whoever comes next."""

    __slots__ = ("_orders", "_places")

    def __init__(self, n: int, k: int, rng: random.Random) -> None:
        self._orders: list[list[int]] = []
        self._places: list[list[int]] = []
        for _ in range(k):
            order = list(range(n))
            rng.shuffle(order)
            places = [0] * n
            for place, member in enumerate(order):
                places[member] = place
            self._orders.append(order)
            self._places.append(places)

    def subjects(self, member: int) -> list[int]:
        """Whom it observes, by ring."""
        return [self._beside(ring, member, 1) for ring in range(len(self._orders))]

    def observers(self, member: int) -> list[int]:
        """Who observes it, by ring."""
        return [self._beside(ring, member, -1) for ring in range(len(self._orders))]

    def _beside(self, ring: int, member: int, by: int) -> int:
        order = self._orders[ring]
        return order[(self._places[ring][member] + by) % len(order)]


def conflict_rate(high: int, low: int, failed: int, processes: int, rng: random.Random, k: int = 10) -> float:
    """The share of processes that propose less than all `failed` members (Rapid, figure 11).

    Each hears all k reports about each failed member, in an order of its own, evenly drawn.
    """
    reports = [(subject, ring) for subject in range(failed) for ring in range(k)]
    conflicts = 0
    for _ in range(processes):
        rng.shuffle(reports)
        detector = CutDetector(high, low)
        first = next(filter(None, (detector.report(*report) for report in reports)), [])
        conflicts += len(first) < failed
    return conflicts / processes
