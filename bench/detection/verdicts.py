"""The table: both systems side by side, what was asked of gossip, and whether it is so."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.detection.deaths import SHORT, Account, Death, Stop, account
from bench.detection.plan import KINDS, SYSTEMS
from bench.detection.results import Results
from bench.report import cell
from bench.stats import Summary, scaled, summarize

__all__ = ["HEADER", "Row", "rows"]

HEADER = ("", *SYSTEMS, "ratio", "asked", "verdict")
_SHARES = {"sigkill": 0.25, "silenced": 0.5}
_HEAL_LIMIT = 3.0
_UNTIL = {"first": "until one of the others shows it dead", "full": "until all others do"}
_STRUCK = {"sigkill": "SIGKILL", "silenced": "host silenced"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line."""

    what: str
    cells: tuple[str, str]
    """gossip's and serf's."""
    ratio: float = math.nan
    """gossip's by serf's, where this says something."""
    asked: str = "-"
    is_met: bool | None = None
    """None if nothing is asked, or it was not measured."""

    def texts(self) -> tuple[str, ...]:
        verdict = {True: "met", False: "**missed**", None: "-"}[self.is_met]
        if self.asked != "-" and self.is_met is None:
            verdict = "not measured"
        return self.what, *self.cells, scaled(self.ratio), self.asked, verdict


def rows(results: Results) -> list[Row]:
    """All lines for which there is anything, measurement by measurement and size by size."""
    told = {"stopped": _stopped, "split": _split, "busy": _busy}
    found: list[Row] = []
    for kind in KINDS:
        for size in results.sizes:
            if any(any(results.of(kind, size, system)) for system in SYSTEMS):
                found += told[kind](results, size) if kind in told else _struck(results, kind, size)
    return found


def _struck(results: Results, kind: str, size: int) -> Iterator[Row]:
    share = _SHARES[kind]
    for key, until in _UNTIL.items():
        ours, theirs = (_rounds(results, kind, size, system, key) for system in SYSTEMS)
        yield Row(
            f"{_STRUCK[kind]} {until}, {size} agents, s",
            (cell(ours), cell(theirs)),
            _ratio(ours.median, theirs.median),
            f"median ≤ {share:g} x serf's",
            _at_most(ours.median, theirs.median * share),
        )
    told = {"wrong": "deaths of others said meanwhile", "refusals": "ICMP refusals meanwhile, of all hosts"}
    for key, what in told.items():
        totals = [_total(results, kind, size, system, key) for system in SYSTEMS]
        yield Row(f"... {what}, {size} agents", (totals[0], totals[1]))


def _rounds(results: Results, kind: str, size: int, system: str, key: str) -> Summary:
    return summarize(one[key] for done in results.of(kind, size, system) for one in done["rounds"])


def _total(results: Results, kind: str, size: int, system: str, key: str) -> str:
    found = [one[key] for done in results.of(kind, size, system) for one in done.get("rounds", [done])]
    return f"{sum(found)}" if found else "-"


def _stopped(results: Results, size: int) -> Iterator[Row]:
    ours, theirs = (_account(results, size, system) for system in SYSTEMS)

    def both(tell: Callable[[Account], str]) -> tuple[str, str]:
        first, second = ("-" if one is None else tell(one) for one in (ours, theirs))
        return first, second

    yield Row(
        f"quarter stopped: deaths of well members, {size} agents",
        both(lambda one: f"{one.well}, of {one.well_members} members" if one.well else "0"),
        asked="none",
        is_met=None if ours is None else not ours.well,
    )
    yield Row(
        f"... said by observers lately stopped themselves, {size} agents",
        both(lambda one: f"{one.well_by_stopped}"),
    )
    rates = [
        math.nan if one is None or not one.short else one.short_dead / one.short for one in (ours, theirs)
    ]
    yield Row(
        f"... stops of {SHORT:g} s or less that led to a death, {size} agents",
        both(lambda one: f"{one.short_dead} of {one.short}"),
        _ratio(*rates),
        "no larger share than serf's",
        _at_most(*rates),
    )
    yield Row(f"... longer stops that did, {size} agents", both(lambda one: f"{one.long_dead} of {one.long}"))


def _account(results: Results, size: int, system: str) -> Account | None:
    for done in results.of("stopped", size, system):
        deaths = [Death(*death) for death in done["deaths"]]
        return account(deaths, [Stop(*stop) for stop in done["stops"]])
    return None


def _split(results: Results, size: int) -> Iterator[Row]:
    ours, theirs = (summarize(done["healed"] for done in results.of("split", size, s)) for s in SYSTEMS)
    yield Row(
        f"split of {results.settings.split:g} s: heal until all show all alive, {size} agents, s",
        (cell(ours), cell(theirs)),
        _ratio(ours.median, theirs.median),
        f"slowest ≤ {_HEAL_LIMIT:g} s",
        _at_most(ours.high, _HEAL_LIMIT),
    )
    for key, where in (("across", "across the split"), ("wrong", "within a half")):
        totals = [_total(results, "split", size, system, key) for system in SYSTEMS]
        yield Row(f"... deaths said {where} by then, {size} agents", (totals[0], totals[1]))


def _busy(results: Results, size: int) -> Iterator[Row]:
    counts = [[len(done["deaths"]) for done in results.of("busy", size, system)] for system in SYSTEMS]
    cells = [f"{sum(each)}" if each else "-" for each in counts]
    yield Row(
        f"busy machine: false deaths, {size} agents",
        (cells[0], cells[1]),
        asked="none",
        is_met=not sum(counts[0]) if counts[0] else None,
    )


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs and not math.isinf(theirs) else math.nan


def _at_most(measured: float, limit: float) -> bool | None:
    """None if either was not measured. What never came is not met, however long the limit."""
    if math.isnan(measured) or math.isnan(limit):
        return None
    return not math.isinf(measured) and measured <= limit
