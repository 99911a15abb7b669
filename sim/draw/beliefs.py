"""Who believes what of whom, over time: for each node, how many others hold it alive, suspect, dead, left.

Kept as changes on a grid of steps: what an image has as a column, and a replay as a moment.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from operator import itemgetter
from typing import Any

from msgspec import Struct

from sim.draw.story import Tables, begun_before, lives_of, rows

__all__ = ["STATUSES", "Beliefs", "Counts", "beliefs_of", "raster"]

STATUSES = ("alive", "suspect", "dead", "left")
"""In the order of counts; who holds a node for none of these does not know it."""
STEP_MIN_US = 10_000
"""As often as a run looks at its nodes."""

Counts = tuple[int, int, int, int]


class Beliefs(Struct):
    """What the running nodes hold, on a grid of `steps` steps of `step_us`: in each, what held at its end."""

    step_us: int
    steps: int
    changes: list[list[tuple[int, Counts]]]
    """By subject, in order: from this step on, so many others hold it in each status."""
    running: list[tuple[int, int]]
    """In order: from this time on (microseconds), so many agents run; the last holds to the end."""
    lives: list[list[tuple[int, int]]]
    """By node: from when to when (microseconds) an agent ran."""

    def size(self) -> int:
        """How many changes there are."""
        return sum(map(len, self.changes))

    def coarser(self) -> Beliefs:
        """The same on a grid of half as many steps."""
        merged = [
            list({step // 2: (step // 2, counts) for step, counts in each}.values()) for each in self.changes
        ]
        return Beliefs(self.step_us * 2, -(-self.steps // 2), merged, self.running, self.lives)


def beliefs_of(tables: Tables, end_us: int, steps: int = 1_200) -> Beliefs:
    """Read them from the tables of a run that lasted `end_us`, on a grid of at most so many steps."""
    lives = lives_of(tables, end_us)
    step_us = max(STEP_MIN_US, -(-end_us // steps))
    account = _Account(list(lives), begun_before(tables))
    for at_us, observer, subject, status in _told(tables, lives, end_us):
        account.pass_to(min(at_us, end_us - 1) // step_us)
        if status is None:
            account.end(observer)
        else:
            account.hold(observer, subject, status)
    account.pass_to(-1)
    return Beliefs(
        step_us, -(-end_us // step_us), account.changes, _running(lives, end_us), list(lives.values())
    )


class _Account:
    """Who holds what now, and how many hold it."""

    def __init__(self, numbers: list[int], begun_before: set[int]) -> None:
        self._places = {number: place for place, number in enumerate(numbers)}
        self._held: list[dict[int, int]] = [{} for _ in numbers]
        self._counts = [[0, 0, 0, 0] for _ in numbers]
        self._changed: dict[int, None] = {}
        self._step = 0
        self.changes: list[list[tuple[int, Counts]]] = [[] for _ in numbers]
        first = [place for number, place in self._places.items() if number in begun_before]
        self._first = dict.fromkeys(first)
        """Who ran when the measured time began: they hold each other alive, of which no change tells."""
        self._fresh = set(first)
        """Those that have run since: what they hold of each other is alive, unless told otherwise."""
        for place in first:
            self._counts[place][0] = len(first) - 1
            self._changed[place] = None

    def pass_to(self, step: int) -> None:
        """Nothing more will be told of the steps before."""
        if step != self._step:
            for place in self._changed:
                alive, suspect, dead, left = self._counts[place]
                self.changes[place].append((self._step, (alive, suspect, dead, left)))
            self._changed.clear()
            self._step = step

    def hold(self, observer: int, subject: int, status: int) -> None:
        """The observer holds the subject so from now on."""
        holder, place = self._places[observer], self._places[subject]
        mine = self._held[holder]
        before = mine.get(place, 0 if holder in self._fresh and place in self._first else None)
        if before is not None:
            self._counts[place][before] -= 1
        mine[place] = status
        self._counts[place][status] += 1
        self._changed[place] = None

    def end(self, observer: int) -> None:
        """The observer holds nothing any more."""
        holder = self._places[observer]
        mine = self._held[holder]
        if holder in self._fresh:
            self._fresh.discard(holder)
            mine = {**dict.fromkeys((place for place in self._first if place != holder), 0), **mine}
        for place, status in mine.items():
            self._counts[place][status] -= 1
            self._changed[place] = None
        self._held[holder] = {}


def raster(beliefs: Beliefs, numpy: Any) -> tuple[Any, Any]:
    """Counts `(nodes, steps, 4)` int32, and how many others there are for each, `(nodes, steps)` int32."""
    nodes, steps, step_us = len(beliefs.changes), beliefs.steps, beliefs.step_us
    counts = numpy.zeros((nodes, steps, len(STATUSES)), numpy.int32)
    others = numpy.zeros((nodes, steps), numpy.int32)
    for at_us, count in beliefs.running:
        others[:, at_us // step_us :] = count
    for node, each in enumerate(beliefs.changes):
        for step, held in each:
            counts[node, step:] = held
        for begun_us, ended_us in beliefs.lives[node]:
            others[node, begun_us // step_us : -(-ended_us // step_us)] -= 1
    return counts, numpy.maximum(others, counts.sum(axis=2))


def _told(
    tables: Tables, lives: dict[int, list[tuple[int, int]]], end_us: int
) -> Iterator[tuple[int, int, int, int | None]]:
    """Time, observer, subject, status; status None: that life of the observer ended. By time."""
    columns = rows(tables["beliefs"], "at_us", "observer", "subject", "status", "former")
    held = (
        (at_us, observer, subject, STATUSES.index(status))
        for at_us, observer, subject, status, former in columns
        if not former
    )
    ends = sorted(
        (ended_us, number, -1, None)
        for number, each in lives.items()
        for _, ended_us in each
        if ended_us < end_us
    )
    # Of one moment the ends come first: who starts again in it holds what it then learns.
    return merge(ends, held, key=itemgetter(0))


def _running(lives: dict[int, list[tuple[int, int]]], end_us: int) -> list[tuple[int, int]]:
    steps: dict[int, int] = {0: 0}
    for each in lives.values():
        for begun_us, ended_us in each:
            steps[begun_us] = steps.get(begun_us, 0) + 1
            # Who runs to the end does not end with it.
            if ended_us < end_us:
                steps[ended_us] = steps.get(ended_us, 0) - 1
    running, result = 0, []
    for at_us in sorted(steps):
        running += steps[at_us]
        result.append((at_us, running))
    return result
