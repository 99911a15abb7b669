"""What came of experiments, for people (a table), for programs (JSON), and for the documentation (Markdown).

A report is stored whole, so that tables and figures can be made again without running anything.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from gossip import __version__
from gossip.errors import StoreError
from sim.papers.paper import Budget, Outcome, Paper, Row
from sim.results.store import write_file

__all__ = ["Report", "json_rows", "load", "make", "markdown", "overview", "store", "text"]

WORD = {True: "pass", False: "FAIL", None: "-"}
SPREAD = 4
"""Significant digits of a number in a table."""


class Report(Struct, frozen=True):
    """One experiment's outcome, and what it was made of."""

    name: str
    number: int
    title: str
    source: str
    engine: str
    budget: Budget
    done: int
    """Tasks that were done, of `total`."""
    total: int
    version: str
    python: str
    outcome: Outcome

    @property
    def complete(self) -> bool:
        return self.done == self.total

    @property
    def judged(self) -> list[bool]:
        """The verdicts, without the rows that have none."""
        return [row.passed for row in self.outcome.rows if row.passed is not None]


def make(paper: Paper, budget: Budget, done: int, total: int, outcome: Outcome) -> Report:
    """A report; of a run that was interrupted, or a quick one, no row is judged."""
    why = ""
    if done < total:
        why = f"Interrupted: {done} of {total} tasks are done, and nothing is judged."
    elif budget.quick:
        why = "A quick run: too little for anything to be judged."
    if why:
        rows = [replace(row, passed=None) for row in outcome.rows]
        outcome = replace(outcome, rows=rows, notes=[why, *outcome.notes])
    return Report(
        paper.name,
        paper.number,
        paper.title,
        paper.source,
        paper.engine,
        budget,
        done,
        total,
        __version__,
        platform.python_version(),
        outcome,
    )


def json_rows(report: Report) -> list[dict[str, Any]]:
    """The rows as `--json` prints them."""
    return [
        {
            "quantity": row.quantity,
            "ours": row.ours,
            "theirs": row.theirs,
            "tolerance": row.tolerance,
            "pass": row.passed,
            "note": row.note,
        }
        for row in report.outcome.rows
    ]


# For people


def text(report: Report) -> str:
    """A table for a terminal, with the notes under it."""
    head = ("quantity", "ours", "theirs", "tolerance", "")
    lines = [head, *(_cells(row) for row in report.outcome.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    aligned = ("<", ">", ">", "<", "<")
    shape = "  ".join(f"{{:{side}{width}}}" for side, width in zip(aligned, widths, strict=True))
    table = [shape.format(*line).rstrip() for line in lines]
    noted = [
        f"{line}  ({row.note})" if row.note else line
        for line, row in zip(table[1:], report.outcome.rows, strict=True)
    ]
    notes = [f"- {note}" for note in report.outcome.notes]
    return "\n".join((_headline(report), "", table[0], *noted, "", *notes)).rstrip()


def _headline(report: Report) -> str:
    origin = f"{report.number}. {report.title} ({report.source})"
    return f"{origin}; run on {report.engine}, {_size(report)}: {_verdict(report)}"


def _verdict(report: Report) -> str:
    judged = report.judged
    if not judged:
        return "nothing judged"
    return f"{sum(judged)} of {len(judged)} judged rows pass"


def _size(report: Report) -> str:
    budget = report.budget
    blocks = f"{budget.blocks} blocks from seed" if budget.blocks > 1 else "seed"
    return f"{blocks} {budget.seed}{', quick' if budget.quick else ''}"


def _cells(row: Row) -> tuple[str, str, str, str, str]:
    return (row.quantity, _number(row.ours), _number(row.theirs), row.tolerance, WORD[row.passed])


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if value == int(value) and abs(value) < 10**9:
        return str(int(value))
    if 10**SPREAD <= abs(value) < 10**9:
        return f"{value:.0f}"
    return f"{value:.{SPREAD}g}"


# For the documentation


def overview(reports: Sequence[Report]) -> str:
    """The Markdown page of all of them: a table of experiments, then each one's rows and notes."""
    ordered = sorted(reports, key=lambda report: (report.number, report.name))
    lines = [
        "# Published experiments: ours beside theirs",
        "",
        "Made by `gossip-sim paper --table`; do not edit. A row passes or fails by a tolerance that was",
        "fixed before the run; rows with `-` are for the reader. Run one with `gossip-sim paper NAME`.",
        "",
        "| # | experiment | source | run on | blocks | judged rows that pass |",
        "|---|---|---|---|---|---|",
    ]
    for report in ordered:
        judged = report.judged
        lines.append(
            f"| {report.number} | [{report.title}](#{report.name}) | {report.source} | {report.engine}"
            f" | {report.budget.blocks} | {sum(judged)} of {len(judged)} |"
        )
    return "\n".join(lines) + "\n\n" + "\n".join(markdown(report) for report in ordered)


def markdown(report: Report) -> str:
    """One experiment's section."""
    lines = [
        f'<a id="{report.name}"></a>',
        f"## {report.number}. {report.title}",
        "",
        f"`gossip-sim paper {report.name}`: {report.source}. Run on {report.engine}, {_size(report)},",
        f"version {report.version}, Python {report.python}: {_verdict(report)}.",
        "",
        "| quantity | ours | theirs | tolerance | | note |",
        "|---|---|---|---|---|---|",
    ]
    for row in report.outcome.rows:
        cells = [cell.replace("|", "\\|") for cell in (*_cells(row), row.note)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *(f"- {note}" for note in report.outcome.notes), ""]
    return "\n".join(lines)


# Stored


def store(report: Report, directory: Path) -> None:
    """Write NAME.json, and NAME.md for readers; each is there whole or not at all.

    Raises:
        OSError: if the disk does not take one, with its name.
    """
    directory.mkdir(parents=True, exist_ok=True)
    data = msgspec.json.format(msgspec.json.encode(report), indent=1)
    write_file(directory / f"{report.name}.json", [data, b"\n"])
    write_file(directory / f"{report.name}.md", [markdown(report).encode()])


def load(path: Path) -> Report:
    """A stored report.

    Raises:
        StoreError: if the file is none.
        OSError: if it cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Report)
    except msgspec.MsgspecError as problem:
        raise StoreError(f"{path} is no report of `gossip-sim paper`: {problem}") from None
