"""One service's balance: which instance is next, and what is remembered of each.

Two instances are drawn by weight and the one that would cost less is taken. Costs that are near each other
count as equal, and the first draw stands: so an idle service is used exactly by its weights, and load and
latency decide as soon as they differ (Mitzenmacher 2001: the second choice is what matters). A cost is
calls under way for each unit of weight, times the latency that was measured of late.

Who is left out: instances that failed (`health`), and those whose node is suspect. If less than half of the
weight remains, the fault is more likely to be elsewhere, or the rest would not carry the load: then nobody
is left out, and it says so (panic). Weights of one question are put into a table, which is good until
something changes.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from gossip.calling.health import Policy
from gossip.calling.records import FRESH_SECONDS, Record, Records
from gossip.calling.rendezvous import ranked
from gossip.calling.target import Key, Target, key_of
from gossip.calling.zones import shares

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

__all__ = ["Balancer", "Places", "Question"]

T = TypeVar("T", bound=Target)

MAX_TABLES = 64
"""Questions whose tables are kept."""
ALIKE = 1.5
"""Costs within this ratio count as equal."""
NEAR_FACTOR, NEAR_MS = 1.5, 1.0
"""Who is no further than this, beside the nearest, is as near."""


class Places(NamedTuple):
    """Where everybody is, as this caller's agent knows it."""

    zone: str = ""
    """The caller's; empty: it has none, and zones do not matter."""
    members: Mapping[str, int] = {}
    """How many members each zone has."""
    rtt_ms: Mapping[str, float] = {}
    """Milliseconds to nodes, by their id."""


class Question(NamedTuple):
    """What is asked of a service, apart from its name."""

    tags: frozenset[str] = frozenset()
    near: bool = False
    """Only the nearest, and what is as near."""
    zone: bool = True
    """Prefer the caller's zone."""
    subset: int = 0
    """Only so many, the same ones as long as they are there; 0: all."""
    no_suspect: bool = False


class _Table(Generic[T]):
    """The weights of one question, ready to be drawn from."""

    __slots__ = (
        "cumulative",
        "is_panic",
        "places",
        "records",
        "revision",
        "source",
        "targets",
        "until",
        "weights",
    )

    def __init__(
        self, source: Sequence[T], revision: int, places: Places, until: float, is_panic: bool
    ) -> None:
        self.source = source
        self.revision = revision
        self.places = places
        self.until = until
        self.is_panic = is_panic

    def fill(self, rows: Sequence[tuple[T, Record, float, float]]) -> None:
        """Rows of (instance, its record, its own weight, its share of the draws)."""
        self.targets = [row[0] for row in rows]
        self.records = [row[1] for row in rows]
        self.weights = [row[2] for row in rows]
        self.cumulative = list(accumulate(row[3] for row in rows))


class Balancer(Generic[T]):
    """See the module.

    Args:
        chance: gives numbers from 0 to below 1.
        name: what makes this caller's subsets differ from others'.
    """

    def __init__(self, chance: Callable[[], float], policy: Policy | None = None, name: str = "") -> None:
        self._chance = chance
        self._policy = policy or Policy()
        self._name = name
        self._records = Records(self._policy)
        self._tables: dict[Question, _Table[T]] = {}
        self._revision = 0
        self.ejections = 0
        self.panics = 0
        """Picks made while nobody was left out."""

    # -- choosing -----------------------------------------------------------------------------------------

    def pick(
        self,
        offered: Sequence[T],
        now: float,
        question: Question = Question(),  # noqa: B008 - a constant
        places: Places = Places(),  # noqa: B008 - a constant
        avoid: Collection[Key] = (),
        key: str | None = None,
    ) -> T | None:
        """The instance to call; None if there is none.

        Args:
            offered: the instances; the same object as long as nothing about them has changed.
            now: seconds.
            question: which of them are wanted.
            places: where they are.
            avoid: those that have been tried, and are not to be tried again.
            key: the same key gets the same instance, whatever the zone.
        """
        table = self._tables.get(question)
        if (
            table is None
            or table.source is not offered
            or table.revision != self._revision
            or table.places is not places
            or now >= table.until
        ):
            table = self._build(offered, now, question, places)
            if len(self._tables) >= MAX_TABLES:
                self._tables.clear()
            self._tables[question] = table
        self.panics += table.is_panic
        if avoid or key is not None:
            return self._pick_among(table, now, question, avoid, key)
        return self._draw(table, now) if table.targets else None

    def _draw(self, table: _Table[T], now: float) -> T:
        cumulative = table.cumulative
        total, last = cumulative[-1], len(cumulative) - 1
        first = min(bisect_right(cumulative, self._chance() * total), last)
        if last:
            second = min(bisect_right(cumulative, self._chance() * total), last)
            if first != second and self._costs_more(table, first, second, now):
                first = second
        return table.targets[first]

    def _costs_more(self, table: _Table[T], one: int, other: int, now: float) -> bool:
        a, b = table.records[one], table.records[other]
        if not (a.under_way or b.under_way or a.latency or b.latency):
            return False
        weight, other_weight = table.weights[one], table.weights[other]
        base = 1.0 / max(weight, other_weight)
        cost, other_cost = a.under_way / weight + base, b.under_way / other_weight + base
        oldest = now - FRESH_SECONDS
        if a.measured_at >= oldest and b.measured_at >= oldest:
            cost *= a.latency
            other_cost *= b.latency
        return cost > ALIKE * other_cost

    def _pick_among(
        self, table: _Table[T], now: float, question: Question, avoid: Collection[Key], key: str | None
    ) -> T | None:
        rows = [
            (target, record, weight, share)
            for target, record, weight, share in zip(
                table.targets, table.records, table.weights, _steps(table.cumulative), strict=True
            )
            if share > 0 and key_of(target) not in avoid
        ]
        if not rows or key is not None:
            # Of all that may be called, in whatever zone; when they are used up, of all that are offered.
            tagged = self._tagged(table.source, question)
            well = () if table.is_panic else self._well(tagged, now)
            rows = [row for row in well if key_of(row[0]) not in avoid and row[3] > 0]
            rows = rows or [row for row in _at_face_value(tagged) if key_of(row[0]) not in avoid]
        if not rows:
            return None
        if key is not None:
            found = ranked(key, [(target, share) for target, _, _, share in rows])
            return found[0] if found else rows[0][0]
        rest: _Table[T] = _Table(table.source, self._revision, table.places, now, table.is_panic)
        rest.fill(rows)
        return self._draw(rest, now)

    # -- tables -------------------------------------------------------------------------------------------

    def _build(self, offered: Sequence[T], now: float, question: Question, places: Places) -> _Table[T]:
        self._records.note(map(key_of, offered), now)
        rows = self._tagged(offered, question)
        well = [row for row in self._well(rows, now) if row[3] > 0]
        until = min((row[1].health.changes_at(now) for row in rows), default=float("inf"))
        whole, left = sum(row[2] for row in rows), sum(row[3] for row in well)
        is_panic = bool(rows) and left < self._policy.panic_below * whole
        own_zone = places.zone if question.zone and not question.near else ""
        if is_panic and own_zone and not self._is_half_well(own_zone, rows, well):
            # Nobody is left out, and the own zone is the one that is sick.
            own_zone = ""
        everybody = _at_face_value(rows) if is_panic or not well else well
        chosen = self._subset(everybody, question.subset) if question.subset else everybody
        if question.near:
            chosen = _nearest(chosen, places)
        elif own_zone:
            chosen = _zoned(chosen, places)
        _tell_apart(everybody, [row for row in chosen if not own_zone or row[0].zone == own_zone])
        table: _Table[T] = _Table(offered, self._revision, places, until, is_panic)
        table.fill(chosen)
        return table

    def _is_half_well(
        self,
        zone: str,
        rows: list[tuple[T, Record, float, float]],
        well: list[tuple[T, Record, float, float]],
    ) -> bool:
        whole = sum(row[2] for row in rows if row[0].zone == zone)
        return sum(row[3] for row in well if row[0].zone == zone) >= self._policy.panic_below * whole

    def _tagged(self, offered: Sequence[T], question: Question) -> list[tuple[T, Record, float, float]]:
        found = [
            target
            for target in offered
            if question.tags.issubset(target.tags)
            and not (question.no_suspect and target.status == "suspect")
        ]
        # A weight of 0 says that it is to be called only if there is nobody else.
        weighty = any(target.weight > 0 for target in found)
        return [
            (target, self.record(target), float(target.weight), float(target.weight))
            if weighty
            else (target, self.record(target), 1.0, 1.0)
            for target in found
            if target.weight > 0 or not weighty
        ]

    @staticmethod
    def _well(rows: list[tuple[T, Record, float, float]], now: float) -> list[tuple[T, Record, float, float]]:
        return [
            (
                target,
                record,
                weight,
                0.0 if target.status == "suspect" else weight * record.health.share(now),
            )
            for target, record, weight, _ in rows
        ]

    def _subset(
        self, rows: list[tuple[T, Record, float, float]], size: int
    ) -> list[tuple[T, Record, float, float]]:
        best = {key_of(target) for target in ranked(self._name, [(row[0], row[2]) for row in rows])[:size]}
        return [row for row in rows if key_of(row[0]) in best]

    # -- remembering --------------------------------------------------------------------------------------

    def record(self, target: T) -> Record:
        """What is remembered of an instance; made if there is nothing yet."""
        return self._records.of(key_of(target))

    def begin(self, target: T) -> Record:
        """A call of this instance has begun."""
        record = self.record(target)
        record.under_way += 1
        record.calls += 1
        return record

    def end(self, record: Record, now: float, ok: bool | None, seconds: float | None = None) -> bool:
        """A call has ended; whether its instance is left out by it.

        Args:
            record: from `begin`.
            now: seconds.
            ok: None: it says nothing about the instance, as when the caller gave up.
            seconds: how long it took.
        """
        record.under_way -= 1
        return ok is not None and self.told(record, now, ok, seconds)

    def told(self, record: Record, now: float, ok: bool, seconds: float | None = None) -> bool:
        """As `end`, for a call whose beginning nobody told."""
        if ok:
            record.health.succeeded(now)
            if seconds is not None:
                record.measure(now, seconds)
            return False
        if not record.health.failed(now, self._records.others(record, now)):
            return False
        self.ejections += 1
        self._revision += 1
        return True


def _steps(cumulative: Sequence[float]) -> list[float]:
    return [value - before for value, before in zip(cumulative, [0.0, *cumulative], strict=False)]


def _at_face_value(rows: list[tuple[T, Record, float, float]]) -> list[tuple[T, Record, float, float]]:
    return [(target, record, weight, weight) for target, record, weight, _ in rows]


def _tell_apart(
    rows: list[tuple[T, Record, float, float]], preferred: list[tuple[T, Record, float, float]]
) -> None:
    """Notes who would be called if it were not for the preferred ones."""
    inside = {id(row[1]) for row in preferred}
    elsewhere = [row[1] for row in rows if id(row[1]) not in inside]
    for row in rows:
        row[1].elsewhere = elsewhere if id(row[1]) in inside else ()


def _nearest(
    rows: list[tuple[T, Record, float, float]], places: Places
) -> list[tuple[T, Record, float, float]]:
    """The own zone if it has any, and of that the nearest."""
    rows = [row for row in rows if places.zone and row[0].zone == places.zone] or rows
    away = [places.rtt_ms.get(row[0].node_id) for row in rows]
    known = [rtt for rtt in away if rtt is not None]
    if not known:
        return rows
    reach = min(known) * NEAR_FACTOR + NEAR_MS
    return [row for row, rtt in zip(rows, away, strict=True) if rtt is not None and rtt <= reach]


def _zoned(
    rows: list[tuple[T, Record, float, float]], places: Places
) -> list[tuple[T, Record, float, float]]:
    weights: dict[str, float] = {}
    for target, _, _, share in rows:
        weights[target.zone] = weights.get(target.zone, 0.0) + share
    if weights.get(places.zone, 0.0) <= 0.0 or len(weights) == 1:
        return rows
    parts = shares(places.zone, places.members, weights)
    return [
        (target, record, weight, share * parts.get(target.zone, 0.0) / weights[target.zone])
        for target, record, weight, share in rows
        if parts.get(target.zone, 0.0) > 0 and share > 0
    ]
