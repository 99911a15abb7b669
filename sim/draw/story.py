"""What pictures show of a run, read from its tables once: curves and lives. Small, and plain as JSON.

Everything here is thinned to what a picture can show: a curve of an hour is as long as one of a minute.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct, convert, field

__all__ = ["Curves", "Outcome", "Series", "Spread", "Tables", "begun_before", "curves_of", "lives_of", "rows"]

SECOND = 1_000_000
POINTS = 1_500
"""Points of a curve or values of a distribution, at most: more than a plot of 1,080 pixels can show."""
NEWS = {
    "registered": "services",
    "changed": "services",
    "deregistered": "services",
    "joined": "joins",
    "event": "user events",
}
"""By kind of fact, what its distribution is called; others are about a member."""
OF_A_MEMBER = "member records"
UNJUDGED = frozenset({"returned", "young"})
"""Outcomes of crashes that count for nothing."""

Tables = Mapping[str, Mapping[str, Sequence[Any]]]
"""As `Result.tables()` gives them: see COLUMNS.md."""


class Outcome(Protocol):
    """What pictures need of a `Result`."""

    @property
    def summary(self) -> dict[str, Any]: ...
    def tables(self) -> dict[str, dict[str, list[Any]]]: ...


class Series(Struct):
    """A curve: `x` in seconds, ascending."""

    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)


class Spread(Struct):
    """How long something took, in seconds, ascending; `share` of all cases ended at all."""

    delays: list[float]
    share: float
    cases: int


class Curves(Struct):
    """A run as curves."""

    end_s: float
    agreement: Series
    """Share of the running nodes that hold the one right view, 0 to 1."""
    views: Series
    """How many different views there are."""
    suspects: Series
    """Suspicions held, of all pairs."""
    messages: Series
    """Sent per running node and second."""
    bytes: Series
    """Sent per running node and second."""
    detection: Spread | None
    """From a failure until an observer holds the node dead; cases are pairs of failure and observer."""
    dissemination: dict[str, Spread]
    """From a fact's publication until an observer holds it, by what the facts are about."""

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Curves:
        """Of what `msgspec.to_builtins` made of one."""
        return convert(plain, cls)


def rows(table: Mapping[str, Sequence[Any]], *columns: str) -> Iterator[tuple[Any, ...]]:
    """The rows of these columns."""
    return zip(*(table[column] for column in columns), strict=True)


def curves_of(result: Outcome, tables: Tables | None = None, points: int = POINTS) -> Curves:
    """The curves of a run, of at most about `points` points; `tables` are its tables if they are at hand."""
    tables = result.tables() if tables is None else tables
    samples, load = tables["samples"], tables["load"]
    seconds = [at_us / SECOND for at_us in samples["at_us"]]
    second = [at_us / SECOND for at_us in load["at_us"]]
    running = [max(1, count) for count in load["running"]]
    return Curves(
        end_s=float(result.summary["virtual_s"]),
        agreement=thinned(seconds, samples["converged_share"], points),
        views=thinned(seconds, samples["views"], points),
        suspects=thinned(seconds, samples["suspects"], points),
        messages=thinned(second, [n / of for n, of in zip(load["messages"], running, strict=True)], points),
        bytes=thinned(second, [n / of for n, of in zip(load["bytes"], running, strict=True)], points),
        detection=_detection(tables, points),
        dissemination=_dissemination(tables, points),
    )


def thinned(x: Sequence[float], y: Sequence[float], points: int = POINTS) -> Series:
    """The curve with at most about so many points. No spike is lost: each stretch keeps its extremes."""
    size = len(x)
    if size <= points:
        return Series(list(x), [float(value) for value in y])
    kept: set[int] = {0, size - 1}
    stretches = points // 2
    for number in range(stretches):
        stretch = range(number * size // stretches, (number + 1) * size // stretches)
        kept.add(min(stretch, key=y.__getitem__))
        kept.add(max(stretch, key=y.__getitem__))
    order = sorted(kept)
    return Series([x[index] for index in order], [float(y[index]) for index in order])


def lives_of(tables: Tables, end_us: int) -> dict[int, list[tuple[int, int]]]:
    """By node's number, from when to when (microseconds) an agent ran there."""
    changes: dict[int, list[tuple[int, bool]]] = defaultdict(list)
    for at_us, host, kind in rows(tables["events"], "at_us", "host", "kind"):
        if kind in {"started", "ended"}:
            changes[host].append((at_us, kind == "started"))
    first = begun_before(tables)
    return {
        number: list(_intervals(changes[number], 0 if number in first else None, end_us))
        for number in tables["nodes"]["number"]
    }


def begun_before(tables: Tables) -> set[int]:
    """The nodes that ran already when the measured time began: they were not seen to start."""
    started = Counter(host for host, kind in rows(tables["events"], "host", "kind") if kind == "started")
    return {number for number, lives in rows(tables["nodes"], "number", "lives") if lives > started[number]}


def _intervals(story: list[tuple[int, bool]], began: int | None, end_us: int) -> Iterator[tuple[int, int]]:
    for at_us, starts in story:
        if began is not None:
            yield began, at_us
        began = at_us if starts else None
    if began is not None:
        yield began, end_us


def spread(delays_us: Iterable[int], cases: int, points: int = POINTS) -> Spread:
    """A distribution; of more than `points` values, those of evenly spaced ranks."""
    ordered = sorted(delays_us)
    size = len(ordered)
    cases = max(cases, size)
    if size > points:
        ordered = [ordered[rank * (size - 1) // (points - 1)] for rank in range(points)]
    return Spread([delay / SECOND for delay in ordered], size / cases if cases else 0.0, cases)


def _detection(tables: Tables, points: int) -> Spread | None:
    failures: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
    for row in rows(tables["detections"], "subject", "at_us", "observers", "outcome"):
        failures[row[0]].append(row[1:])
    for each in failures.values():
        each.sort()
    judged = [one for each in failures.values() for one in each if one[2] not in UNJUDGED]
    if not judged:
        return None
    delays = []
    for at_us, subject, kind, verdict in rows(tables["verdicts"], "at_us", "subject", "kind", "verdict"):
        if kind != "death" or verdict != "gone":
            continue
        last = bisect_right(failures.get(subject, ()), at_us, key=lambda one: one[0]) - 1
        if last >= 0 and failures[subject][last][2] not in UNJUDGED:
            delays.append(at_us - failures[subject][last][0])
    return spread(delays, sum(one[1] for one in judged), points)


def _dissemination(tables: Tables, points: int) -> dict[str, Spread]:
    births: dict[int, tuple[int, str]] = {}
    cases: dict[str, int] = defaultdict(int)
    for fact, kind, at_us, observers, young in rows(
        tables["facts"], "fact", "kind", "at_us", "observers", "young"
    ):
        if not young:
            label = NEWS.get(kind, OF_A_MEMBER)
            births[fact] = at_us, label
            cases[label] += observers
    delays: dict[str, list[int]] = defaultdict(list)
    for fact, at_us in rows(tables["rumours"], "fact", "at_us"):
        if fact in births:
            born_us, label = births[fact]
            delays[label].append(at_us - born_us)
    return {label: spread(delays[label], count, points) for label, count in sorted(cases.items()) if count}
