"""What a sweep came to: a row a cell as text and JSON, and a row a run as a file for other tools."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from sim.errors import ScenarioError
from sim.extras import need
from sim.results.store import whole
from sim.sweep.grid import Grid
from sim.sweep.numbers import digest, flat, known_fields, measured, usual_fields
from sim.sweep.text import folded, said, shown

__all__ = ["Sheet", "check_export", "write_export"]

FORMATS = (".csv", ".parquet")
FAILURES = 5
"""Runs whose trouble is told in words; of others it tells the number."""


class Sheet:
    """The numbers of all runs, by cell."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._runs: list[list[dict[str, Any]]] = [[] for _ in grid.cells]
        self._rows: dict[tuple[int, int], dict[str, Any]] = {}
        """By place of the cell and seed."""

    def add(self, place: int, seed: int, result: dict[str, Any]) -> None:
        """A run of the cell at that place."""
        cell = self._grid.cells[place]
        row = {"scenario": cell.scenario.name, **cell.settings, "seed": seed}
        if "error" in result:
            self._rows[place, seed] = {**row, "error": result["error"]}
            return
        values = flat(result["summary"])
        del values["seed"]
        self._runs[place].append(values)
        numbers = {key: value for key, value in values.items() if key not in row}
        self._rows[place, seed] = {**row, "error": None, **numbers}

    def text(self, width: int) -> str:
        """The table, of lines of `width` where it can be, and what could not be run."""
        fields = self._fields()
        scenarios = len({cell.scenario.name for cell in self._grid.cells}) > 1
        keys = list(self._grid.cells[0].settings)
        head = [*(["scenario"] if scenarios else []), *keys, "runs", *fields]
        rows = [head]
        for cell, runs in zip(self._grid.cells, self._runs, strict=True):
            row = [cell.scenario.name] if scenarios else []
            row += [said(cell.settings[key]) for key in keys]
            row += [str(len(runs)), *(shown(measured(field, runs)) for field in fields)]
            rows.append(row)
        lines = [
            folded(rows, len(keys) + scenarios, width),
            "",
            "Median of the runs, and where 5 % and 95 % of them are.",
        ]
        failed = self.failed()
        if failed:
            lines.append(f"{len(failed)} runs could not be run to their end:")
            lines += [f"  {each['run']}: {each['error']}" for each in failed[:FAILURES]]
        return "\n".join(lines)

    def cells(self) -> list[dict[str, Any]]:
        """The table as plain values."""
        fields = self._fields()
        return [
            {
                "scenario": cell.scenario.name,
                "settings": cell.settings,
                "runs": len(runs),
                "fields": {field: msgspec.to_builtins(digest(measured(field, runs))) for field in fields},
            }
            for cell, runs in zip(self._grid.cells, self._runs, strict=True)
        ]

    def failed(self) -> list[dict[str, str]]:
        """Runs that could not be run to their end."""
        return [
            {
                "run": ", ".join(f"{key}={said(value)}" for key, value in row.items() if key != "error"),
                "error": row["error"],
            }
            for row in self.rows()
            if row["error"] is not None
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each run, by cell and seed: scenario, settings, seed, error, and all numbers."""
        return [row for _, row in sorted(self._rows.items())]

    def _fields(self) -> list[str]:
        runs = [run for each in self._runs for run in each]
        return known_fields(self._grid.fields, runs) if self._grid.fields else usual_fields(runs)


def check_export(path: Path) -> None:
    """See whether the file can be written as its name says.

    Raises:
        ScenarioError: if its name says nothing known, or there is no place for it.
        MissingExtraError: for Parquet without polars.
    """
    if path.suffix not in FORMATS:
        raise ScenarioError(f"--export {path}: the name must end with {' or '.join(FORMATS)}")
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK) or not path.parent.is_dir():
        raise ScenarioError(f"--export {path}: no file can be written there; choose another")
    if path.suffix == ".parquet":
        need("polars")


def write_export(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write a row for each run; a file that was there is replaced whole or not at all.

    Raises:
        OSError: if the file cannot be written.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = {column: [_plain(row.get(column)) for row in rows] for column in columns}
    with whole(path) as partial:
        if path.suffix == ".parquet":
            with partial.open("wb") as file:
                need("polars").DataFrame(table, strict=False).write_parquet(file)
            return
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*table.values(), strict=True))


def _plain(value: Any) -> Any:
    """A cell of a file: what is itself a list or table is JSON."""
    return json.dumps(value) if isinstance(value, list | dict) else value
