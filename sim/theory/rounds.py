"""Epidemics in lock step: how many rounds until all of n know, when each calls one other per round.

The three ways of Demers et al. (1987): who calls tells (push), asks (pull), or both. The laws: push
log2 n + ln n (Pittel 1987), pull log2 n + log2 ln n, both log3 n + log2 ln n, plus a constant each.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias

from sim.extras import need
from sim.theory.draws import Draws

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["WAYS", "Way", "expected_rounds", "pull_step", "push_step", "rounds"]

Way: TypeAlias = Literal["push", "pull", "push-pull"]
WAYS: tuple[Way, ...] = ("push", "pull", "push-pull")


def expected_rounds(way: Way, n: int) -> float:
    """The law, without its constant."""
    if way == "push":
        return math.log2(n) + math.log(n)
    base = 2.0 if way == "pull" else 3.0
    return math.log(n, base) + math.log2(math.log(n))


def push_step(ignorant: float, n: int) -> float:
    """The share that does not know after one more round of pushing: p (1 - 1/n)^(n (1 - p))."""
    return ignorant * float((1.0 - 1.0 / n) ** (n * (1.0 - ignorant)))


def pull_step(ignorant: float) -> float:
    """The same for pulling: p squared."""
    return ignorant**2


def rounds(way: Way, n: int, runs: int, draws: Draws) -> NDArray[np.int64]:
    """Rounds until all know, starting from one: int64 of shape (runs,).

    Whoever hears in a round tells from the next round on.
    """
    numpy = need("numpy")
    knows = numpy.zeros((runs, n), dtype=bool)
    knows[:, 0] = True
    running = numpy.arange(runs)
    taken = numpy.zeros(runs, dtype=numpy.int64)
    number = 0
    while running.size:
        number += 1
        called = draws.others(n, running.size)
        after = knows.copy()
        if way != "push":
            after |= numpy.take_along_axis(knows, called, axis=1)
        if way != "pull":
            tellers = numpy.nonzero(knows)
            after[tellers[0], called[tellers]] = True
        done = after.all(axis=1)
        taken[running[done]] = number
        running, knows = running[~done], after[~done]
    result: NDArray[np.int64] = taken
    return result
