"""A and B: two settings, each a scenario with changes, run with the same seeds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from sim.errors import ScenarioError
from sim.scenario.changes import parse_change
from sim.scenario.scenario import Scenario
from sim.sweep.numbers import USUAL, flat, measured
from sim.sweep.paired import LEVEL, Difference, compare
from sim.sweep.text import aligned, number, shown
from sim.sweep.trial import Trial, find_scenario, trial_of

__all__ = ["Contest", "Side", "read_side"]

HOW_TO_READ = (
    "Medians, and where 5 % and 95 % of the runs are; the mean difference and its bootstrap\n"
    f"interval; p of the sign test, adjusted for the number of rows (Holm); * below {LEVEL:g}."
)
NEXT_CHANGE = re.compile(r",(?=\s*[\w.-]+=)")
"""A comma after which a key follows; others belong to a value."""
ENDS = {"{": "}", "[": "]", '"': '"', "'": "'"}
QUOTES = ("'", '"')
OPENING = ("=", "{", "[", ",")
"""After what a bracket or quote begins a value; elsewhere it is a letter as others."""


class Side(Struct, frozen=True):
    """One of the two."""

    said: str
    scenario: Scenario


def read_side(said: str) -> Side:
    """`SCENARIO` or `SCENARIO?key=value,key=value`; a file from here, or one that ships.

    Raises:
        ScenarioError: if there is no such scenario, or it cannot be so.
    """
    name, question, changes = said.partition("?")
    scenario = find_scenario(name, Path())
    if not question:
        return Side(said, scenario)
    try:
        read = dict(parse_change(change) for change in _apart(changes))
        return Side(said, scenario.with_changes(read))
    except (ValueError, ScenarioError) as problem:
        raise ScenarioError(f"{said}: {problem}") from None


class Contest:
    """Both sides with all seeds, and what has come of them so far."""

    def __init__(
        self, a: Side, b: Side, seeds: Sequence[int], *, codec: bool = True, curves: bool = False
    ) -> None:
        """With `curves`, runs are kept with their curves.

        Raises:
            ScenarioError: if A and B are the same.
        """
        if _what_is_run(a) == _what_is_run(b):
            raise ScenarioError(
                f"{a.said} and {b.said} are the same: change one, like {a.said}?network.loss=0.1"
            )
        self.sides = a, b
        self._seeds = list(seeds)
        # Pair by pair, so that what there is after an interrupt is as many pairs as can be.
        self._trials: dict[str, tuple[Trial, int]] = {}
        for seed in seeds:
            for place, side in enumerate(self.sides):
                trial = trial_of(side.scenario, seed, codec=codec, curves=curves)
                self._trials[trial.key] = trial, place
        self._results: tuple[dict[int, Any], dict[int, Any]] = ({}, {})

    @property
    def trials(self) -> list[Trial]:
        """All runs."""
        return [trial for trial, _ in self._trials.values()]

    def add(self, key: str, result: dict[str, Any]) -> None:
        """One is done.

        Raises:
            ScenarioError: if it could not be run to its end.
        """
        trial, place = self._trials[key]
        if "error" in result:
            raise ScenarioError(f"{self.sides[place].said}, seed {trial.seed}: {result['error']}")
        self._results[place][trial.seed] = result

    @property
    def pairs(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """The results of both sides, for each seed that both have run with."""
        a, b = self._results
        return [(a[seed], b[seed]) for seed in self._seeds if seed in a and seed in b]

    def differences(self) -> list[Difference]:
        """What differs, over the pairs that are there."""
        return compare(USUAL, [(flat(a["summary"]), flat(b["summary"])) for a, b in self.pairs])

    def said(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "a": self.sides[0].said,
            "b": self.sides[1].said,
            "pairs": len(self.pairs),
            "same_runs": self._same(),
            "fields": msgspec.to_builtins(self.differences()),
        }

    def text(self) -> str:
        """The table, and how to read it."""
        pairs = len(self.pairs)
        rows = [["", "A", "B", "B - A", "95 % of it", "B less/more", "p", ""]]
        values = [(flat(a["summary"]), flat(b["summary"])) for a, b in self.pairs]
        differences = self.differences()
        rows += [_row(each, values) for each in differences]
        lines = [
            f"A  {self.sides[0].said}",
            f"B  {self.sides[1].said}",
            "",
            aligned(rows),
            "",
            f"{pairs} {'pair' if pairs == 1 else 'pairs'} of runs. {HOW_TO_READ}",
        ]
        if self._same() == pairs:
            lines.append(
                "Each pair is the same run, message for message: what was changed does nothing here."
            )
        elif 2 * 0.5**pairs * sum(each.less + each.more > 0 for each in differences) >= LEVEL:
            lines.append("So few pairs cannot show a difference: give more --seeds.")
        return "\n".join(lines)

    def _same(self) -> int:
        return sum(a["summary"]["log_hash"] == b["summary"]["log_hash"] for a, b in self.pairs)


def _apart(changes: str) -> Iterator[str]:
    """The changes one by one: commas of lists, tables and quoted values belong to them, whatever follows."""
    begin, ends, before = 0, "", ""
    for place, sign in enumerate(changes):
        if ends and sign == ends[-1]:
            ends = ends[:-1]
        elif sign in ENDS and before in OPENING and ends[-1:] not in QUOTES:
            ends += ENDS[sign]
        elif not ends and NEXT_CHANGE.match(changes, place):
            yield changes[begin:place]
            begin = place + 1
        before = before if sign.isspace() else sign
    yield changes[begin:]


def _what_is_run(side: Side) -> tuple[Any, ...]:
    return side.scenario.document, side.scenario.measured


def _row(each: Difference, values: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> list[str]:
    return [
        each.field,
        *(shown(measured(each.field, [pair[place] for pair in values])) for place in (0, 1)),
        "-" if each.mean is None else f"{'+' if each.mean > 0 else ''}{number(each.mean)}",
        "-" if each.low is None else f"{number(each.low)}..{number(each.high)}",
        f"{each.less}/{each.more}",
        f"{each.p:.2g}",
        "*" if each.differs else "",
    ]
