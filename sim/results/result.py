"""What came of a run: a summary in numbers, and tables of what happened. COLUMNS.md describes all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, overload

import msgspec
from msgspec import Struct

from sim.results.columns import TABLES
from sim.results.store import load_tables, read_json, save_events, save_table, write_file
from sim.results.table import Table
from sim.scenario.portable import DELAYS_FILES

__all__ = ["EVENTS_FILE", "SCENARIO_FILE", "SUMMARY_FILE", "Happening", "Happenings", "Result"]

SUMMARY_FILE, SCENARIO_FILE, EVENTS_FILE = "summary.json", "scenario.toml", "events.jsonl"
BELIEFS = {
    "member_joined": "alive",
    "member_refuted": "alive",
    "member_suspected": "suspect",
    "member_failed": "dead",
    "member_left": "left",
}
"""What an observer holds of a subject after such an event."""


class Happening(Struct, frozen=True):
    """One row of the table `events`."""

    at_us: int
    host: int
    kind: str
    subject: int
    former: bool
    name: str
    key: str
    detail: str


class Happenings(Sequence[Happening]):
    """All events, in the order in which they happened; made as they are asked for."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table)

    @overload
    def __getitem__(self, index: int) -> Happening: ...
    @overload
    def __getitem__(self, index: slice) -> list[Happening]: ...
    def __getitem__(self, index: int | slice) -> Happening | list[Happening]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(index)
        return Happening(**next(self._table.rows(number, number + 1)))

    def __iter__(self) -> Iterator[Happening]:
        return (Happening(**row) for row in self._table.rows())


class Result:
    """One run's results.

    Attributes:
        summary: the numbers, ready for JSON.
        scenario: the TOML of what was run, overrides included.
        files: what it needs beside it to be run again: measured delays, by the name of the file.
    """

    def __init__(
        self,
        summary: dict[str, Any],
        tables: dict[str, Table],
        scenario: str,
        files: Mapping[str, str] | None = None,
    ) -> None:
        self.summary = summary
        self.scenario = scenario
        self.files = dict(files or {})
        self._tables = tables

    @property
    def events(self) -> Happenings:
        """Everything that nodes told their watchers and that was done to them."""
        return Happenings(self._tables["events"])

    def tables(self) -> dict[str, dict[str, list[Any]]]:
        """The tables by name, each as columns by name: lists of int, float, str, bool, or None."""
        return {name: self.table(name).lists() for name in TABLES}

    def table(self, name: str) -> Table:
        """One table, which need not be made into lists.

        Raises:
            KeyError: if there is none of that name.
        """
        if name == "beliefs" and name not in self._tables:
            self._tables[name] = _make_beliefs(self._tables["events"])
        return self._tables[name]

    def frames(self) -> dict[str, Any]:
        """The tables by name, each as a `polars.DataFrame`: Int64, Int32, Float64, Boolean, String.

        Raises:
            MissingExtraError: without polars.
        """
        return {name: self.table(name).frame() for name in TABLES}

    def to_json(self) -> str:
        """The summary as one JSON object."""
        return msgspec.json.encode(self.summary).decode()

    def save(self, directory: str | Path) -> list[Path]:
        """Write the summary, the scenario (to be run again), the events and all tables; the files written.

        The directory is made. Tables are Parquet, or without polars JSON. Each file appears whole or not at
        all, and each is tried, so that what a full disk kept can be used.

        Raises:
            OSError: if the directory, or files, cannot be written, with their names.
        """
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        summary = msgspec.json.format(msgspec.json.encode(self.summary), indent=2)
        writers: list[Callable[[], Path]] = [
            partial(write_file, directory / SUMMARY_FILE, [summary, b"\n"]),
            partial(write_file, directory / SCENARIO_FILE, [self.scenario.encode()]),
            *(partial(write_file, directory / name, [text.encode()]) for name, text in self.files.items()),
            *(partial(save_table, directory, self.table(name)) for name in TABLES),
            # Last, for it is the longest, and a table has the same.
            partial(save_events, directory / EVENTS_FILE, self._tables["events"]),
        ]
        written, problems = [], []
        for write in writers:
            try:
                written.append(write())
            except OSError as problem:
                problems.append(problem)
        if problems:
            names = ", ".join(str(problem.filename) for problem in problems)
            raise OSError(problems[0].errno, problems[0].strerror, names)
        return written

    @classmethod
    def load(cls, directory: str | Path) -> Result:
        """What `save` wrote.

        Raises:
            ScenarioError: if these are no results.
        """
        directory = Path(directory)
        summary = read_json(directory / SUMMARY_FILE)
        scenario = directory / SCENARIO_FILE
        text = scenario.read_text("utf-8") if scenario.exists() else ""
        files = {path.name: path.read_text("utf-8") for path in sorted(directory.glob(DELAYS_FILES))}
        return cls(summary, load_tables(directory), text, files)

    def __repr__(self) -> str:
        shown = ", ".join(f"{key}={self.summary.get(key)}" for key in ("scenario", "seed", "virtual_s"))
        return f"<Result {shown}>"


def _make_beliefs(events: Table) -> Table:
    beliefs = Table("beliefs", TABLES["beliefs"])
    columns = events.columns
    kinds = columns["kind"]
    status_of = {code: BELIEFS[word] for code, word in enumerate(kinds.words) if word in BELIEFS}
    rows = zip(
        columns["at_us"].data,
        columns["host"].data,
        columns["subject"].data,
        kinds.data,
        columns["former"].data,
        strict=False,
    )
    for at_us, observer, subject, kind, former in rows:
        status = status_of.get(kind)
        if status is not None and subject >= 0:
            beliefs.add(at_us, observer, subject, status, former)
    return beliefs
