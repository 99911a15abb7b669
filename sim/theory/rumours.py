"""Rumour mongering in lock step: those who know tell until they lose interest, and some never hear.

Demers et al. (1987), section 1.4, Tables 1 to 3: what share never hears (residue), how many updates
are sent per member (traffic), and when members hear, in cycles.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from msgspec import Struct

from sim.chance import threshold
from sim.extras import need
from sim.theory.draws import Draws

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["RULES", "Rule", "Spread", "residue_law", "spread", "traffic_law"]

Rule: TypeAlias = Literal["push-counter", "push-coin", "pull-counter"]
RULES: tuple[Rule, ...] = ("push-counter", "push-coin", "pull-counter")
"""Tables 1, 2 and 3: push with feedback and counter; push, blind, with a coin; pull, feedback and counter."""
STEPS = 200


class Spread(Struct, frozen=True):
    """Of each run, float64 of shape (runs,)."""

    residue: NDArray[np.float64]
    """The share that never hears."""
    traffic: NDArray[np.float64]
    """Updates sent, per member."""
    average: NDArray[np.float64]
    """The mean cycle in which members hear, those that hear; the first of all not counted."""
    last: NDArray[np.float64]
    """The cycle in which the last one hears."""


def residue_law(k: int) -> float:
    """The residue that solves s = e^(-(k + 1)(1 - s)): 0.2 for k = 1, 0.06 for k = 2.

    By repeated substitution from 0, which climbs to the solution below 1.
    """
    s = 0.0
    for _ in range(STEPS):
        s = math.exp(-(k + 1) * (1.0 - s))
    return s


def traffic_law(traffic: float) -> float:
    """The residue of every way of pushing: s = e^-m, m updates sent per member."""
    return math.exp(-traffic)


def spread(rule: Rule, k: int, n: int, runs: int, draws: Draws) -> Spread:
    """Run the rumour until nobody spreads it any more.

    What a teller learns in a cycle (whether the other knew) is judged by how things were when the
    cycle began. `k`: unnecessary contacts in a row until interest is lost, or one over the coin's chance.
    """
    numpy = need("numpy")
    spreading = numpy.zeros((runs, n), dtype=bool)
    spreading[:, 0] = True
    ledger = _Cycles(numpy, rule, k, n, draws, spreading)
    heard = numpy.zeros((runs, n), dtype=numpy.int64)
    sent = numpy.zeros(runs, dtype=numpy.int64)
    running = numpy.arange(runs)
    cycle = 0
    while running.size:
        cycle += 1
        newly, cost = ledger.step()
        sent[running] += cost
        heard[running] += newly * cycle
        alive = ledger.alive()
        running = running[alive]
        ledger.keep(alive)
    listeners = numpy.maximum(1, (heard > 0).sum(axis=1))
    return Spread(
        1.0 - ((heard > 0).sum(axis=1) + 1) / n,
        sent / n,
        heard.sum(axis=1) / listeners,
        heard.max(axis=1).astype(numpy.float64),
    )


class _Cycles:
    """The runs that still spread: who knows, who spreads, and how often each spoke in vain."""

    __slots__ = ("_chance", "_draws", "_k", "_knows", "_n", "_numpy", "_rule", "_vain", "spreading")

    def __init__(
        self, numpy: Any, rule: Rule, k: int, n: int, draws: Draws, spreading: NDArray[np.bool_]
    ) -> None:
        self._numpy = numpy
        self._rule = rule
        self._k = k
        self._n = n
        self._draws = draws
        self._chance = threshold(1.0 / k)
        self._knows = spreading.copy()
        self._vain = numpy.zeros(spreading.shape, dtype=numpy.int64)
        self.spreading = spreading

    def step(self) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """One cycle: who hears, bool of shape (runs, n), and updates sent, int64 of shape (runs,)."""
        called = self._draws.others(self._n, len(self.spreading))
        hears, cost = self._pull(called) if self._rule == "pull-counter" else self._push(called)
        newly = hears & ~self._knows
        self._numpy.copyto(self._knows, True, where=newly)
        self._numpy.copyto(self.spreading, True, where=newly)
        return newly, cost

    def alive(self) -> NDArray[np.bool_]:
        """Which runs go on, bool of shape (runs,)."""
        going: NDArray[np.bool_] = self._numpy.any(self.spreading, axis=1)
        return going

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Forget the other runs."""
        self.spreading, self._knows, self._vain = self.spreading[rows], self._knows[rows], self._vain[rows]

    def _push(self, called: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        numpy, telling = self._numpy, self.spreading
        hears: NDArray[np.bool_] = numpy.zeros_like(telling)
        row, teller = numpy.nonzero(telling)
        target = called[row, teller]
        hears[row, target] = True
        cost: NDArray[np.int64] = telling.sum(axis=1)
        if self._rule == "push-coin":
            tired = self._draws.happens(self._chance, *telling.shape)
        else:
            # Counted in a row: a contact that was of use begins anew, as Table 3 says of its counter. Only so
            # do the rows of Table 1 beyond k = 1 come out.
            self._vain[row, teller] = numpy.where(self._knows[row, target], self._vain[row, teller] + 1, 0)
            tired = self._vain >= self._k
        self.spreading[tired] = False
        return hears, cost

    def _pull(self, called: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """A teller that somebody needed counts anew; one that was asked, and by nobody in need, one more."""
        numpy, telling = self._numpy, self.spreading
        hears: NDArray[np.bool_] = numpy.take_along_axis(telling, called, axis=1)
        cost: NDArray[np.int64] = hears.sum(axis=1)
        asked, needed = numpy.zeros_like(telling), numpy.zeros_like(telling)
        row, asker = numpy.nonzero(hears)
        asked[row, called[row, asker]] = True
        row, asker = numpy.nonzero(hears & ~self._knows)
        needed[row, called[row, asker]] = True
        self._vain = numpy.where(needed, 0, self._vain + asked)
        self.spreading[self._vain >= self._k] = False
        return hears, cost
