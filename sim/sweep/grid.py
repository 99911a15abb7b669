"""A grid file: scenarios, values of settings, seeds. Every combination is a cell, and runs with every seed.

scenario = "rack-failure"        # one that ships, or a file beside this one; or a list of them
seeds = "0..9"                   # both included; or a list: [1, 5, 9]
fields = ["detection.full_s"]    # columns of the table; optional

[set]                            # what all cells have in common; optional
duration = "40s"

[grid]                           # dotted keys of the scenario, each with its list of values; optional
network.loss = [0.0, 0.05, 0.1]
"settings.suspicion_alpha" = [4.0, 6.0]
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from msgspec import Struct

from sim.errors import ScenarioError
from sim.scenario.scenario import Scenario
from sim.sweep.numbers import flat, known_fields
from sim.sweep.trial import RUNS_MAX, Trial, find_scenario, parse_seeds, perform, trial_of

__all__ = ["Cell", "Grid", "read_grid"]

FILE_MAX_BYTES = 1 << 20
SCENARIO_SAID = 'scenario: write the name of one that ships, a file, or a list of them: "steady"'
BY_CHANCE = frozenset({"dropped", "truncated"})
"""Tables of a summary that have what came about, and nothing else."""
KEYS = ("scenario", "seeds", "fields", "set", "grid")


class Cell(Struct, frozen=True):
    """One combination."""

    scenario: Scenario
    settings: dict[str, Any]
    """What it has of the grid, by dotted key."""


class Grid(Struct, frozen=True):
    """All that is run."""

    cells: list[Cell]
    seeds: list[int]
    fields: list[str]
    """Empty: the usual ones."""

    def trials(self, *, codec: bool) -> dict[str, tuple[Trial, int]]:
        """All runs by key, each with the place of its cell.

        Raises:
            ScenarioError: if two cells are the same run.
        """
        trials: dict[str, tuple[Trial, int]] = {}
        for place, cell in enumerate(self.cells):
            for seed in self.seeds:
                trial = trial_of(cell.scenario, seed, codec=codec)
                if trial.key in trials:
                    raise ScenarioError(f"{cell.scenario.name} {cell.settings} is in the grid twice")
                trials[trial.key] = trial, place
        return trials


def read_grid(path: Path) -> Grid:
    """Read a grid file and make every cell, so that what cannot be is told before anything runs.

    Raises:
        ScenarioError: naming the file, the key and what to write.
    """
    document = _document(path)
    try:
        return _grid(document, path.parent)
    except ScenarioError as problem:
        raise ScenarioError(f"{path}: {problem}") from None


def _grid(document: dict[str, Any], directory: Path) -> Grid:
    grid = {key: _values(key, values) for key, values in _flat(document.get("grid", {}))}
    common = dict(_flat(document.get("set", {})))
    seeds = parse_seeds(document.get("seeds", "0..9"))
    fields = _words(document.get("fields", []), 'fields: write a list of names, like ["detection.full_s"]')
    said = document.get("scenario", [])
    names = _words([said] if isinstance(said, str) else said, SCENARIO_SAID)
    if not names:
        raise ScenarioError(SCENARIO_SAID)
    runs = math.prod([len(names), len(seeds), *map(len, grid.values())])
    if runs > RUNS_MAX:
        raise ScenarioError(f"this makes {runs:,} runs; {RUNS_MAX:,} is the most: take away values or seeds")
    _check_fields(fields)
    return Grid(list(_cells([find_scenario(name, directory) for name in names], common, grid)), seeds, fields)


def _check_fields(fields: list[str]) -> None:
    """See whether a summary has them, before hours of runs: the shortest run has all that any has.

    Raises:
        ScenarioError: naming the one that it has not.
    """
    fixed = [field for field in fields if field.partition(".")[0] not in BY_CHANCE]
    if not fixed:
        return
    shortest = trial_of(Scenario.of({"nodes": 1, "duration": "1ms"}), 0)
    numbers = flat(perform(shortest)["summary"])
    del numbers["seed"]
    known_fields(fixed, [numbers])


def _words(said: Any, problem: str) -> list[str]:
    if not isinstance(said, list) or any(not isinstance(word, str) for word in said):
        raise ScenarioError(problem)
    return said


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_MAX_BYTES + 1)
        document = tomllib.loads(data.decode().removeprefix("\ufeff"))
    except OSError as problem:
        raise ScenarioError(f"{path}: {problem.strerror}") from None
    except UnicodeDecodeError as problem:
        raise ScenarioError(f"{path}: byte {problem.start} is not UTF-8") from None
    except tomllib.TOMLDecodeError as problem:
        raise ScenarioError(f"{path}: no TOML: {problem}") from None
    if len(data) > FILE_MAX_BYTES:
        raise ScenarioError(f"{path}: over {FILE_MAX_BYTES} bytes, which is no grid")
    for key in document:
        if key not in KEYS:
            raise ScenarioError(f"{path}: there is no key {key!r}; there are {', '.join(KEYS)}")
    return document


def _flat(table: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested tables by dotted key: TOML reads `network.loss = [0.1]` as a table in a table."""
    if not isinstance(table, dict):
        raise ScenarioError(f"{path or 'set and grid'}: write a table, like [grid]")
    for key, value in table.items():
        place = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            yield from _flat(value, place)
        else:
            yield place, value


def _values(key: str, values: Any) -> list[Any]:
    if not isinstance(values, list) or not values:
        raise ScenarioError(f"[grid] {key}: write a list of values, like [0.0, 0.1]")
    if any(value in values[:place] for place, value in enumerate(values)):
        raise ScenarioError(f"[grid] {key}: each value once")
    return values


def _cells(scenarios: list[Scenario], common: dict[str, Any], grid: dict[str, list[Any]]) -> Iterator[Cell]:
    for scenario in scenarios:
        base = scenario.with_changes(common) if common else scenario
        for values in product(*grid.values()):
            settings = dict(zip(grid, values, strict=True))
            try:
                yield Cell(base.with_changes(settings) if settings else base, settings)
            except ScenarioError as problem:
                said = ", ".join(f"{key}={value}" for key, value in settings.items())
                raise ScenarioError(f"{said}: {problem}") from None
