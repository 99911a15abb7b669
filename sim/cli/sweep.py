"""`gossip-sim sweep`: a grid of scenarios, settings and seeds, on all cores or a Dask cluster; one table."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.sweep.grid import Grid
    from sim.sweep.sheet import Sheet

__all__ = ["add", "sweep"]

DONE, FAILED, INTERRUPTED = 0, 1, 130
EXAMPLE = """example of a grid file:
  scenario = "rack-failure"      # one that ships, or a file beside this one; or a list of them
  seeds = "0..9"                 # both included; or a list: [1, 5, 9]
  fields = ["detection.full_s", "false_deaths"]        # columns; optional

  [set]                          # what all runs have in common; optional
  duration = "40s"

  [grid]                         # dotted keys of the scenario, each with a list of values; optional
  network.loss = [0.0, 0.05, 0.1]
  settings.suspicion_alpha = [4.0, 6.0]

examples:
  gossip-sim sweep loss.toml --jobs 8
  gossip-sim sweep loss.toml --scheduler tcp://head:8786 --export loss.parquet

Each run is kept in the results file when it is done: after Ctrl-C, a full disk or a crash the same command
goes on from there. Runs of other settings or another version in that file are kept, and not used.
"""


def add(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "sweep",
        help="many runs: a grid of scenarios, settings and seeds, in one table",
        description="Run every combination of a grid file with every seed.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("grid", type=Path, metavar="GRID.toml", help="what is run; see below")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--jobs", type=int, metavar="J", help="processes (default: one for each core)")
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of a Dask scheduler, tcp://host:8786, whose workers run it; they need this program too",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="the results file (default: GRID.results.jsonl, here)",
    )
    parser.add_argument(
        "--export", type=Path, metavar="FILE", help="write a row for each run: .csv or .parquet"
    )
    parser.add_argument(
        "--no-codec", action="store_true", help="pass messages as objects, not as bytes: faster"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, and no progress")
    parser.set_defaults(run="sweep:sweep")


def sweep(options: argparse.Namespace) -> int:
    """Run the grid; 130 if it was interrupted, 1 if a run could not be run."""
    from sim.sweep.grid import read_grid
    from sim.sweep.sheet import Sheet, check_export, write_export

    grid = read_grid(options.grid)
    if options.export is not None:
        check_export(options.export)
    sheet = Sheet(grid)
    interrupted = _run(options, grid, sheet)
    rows = sheet.rows()
    if options.json:
        said = {
            "cells": sheet.cells(),
            "failed": sheet.failed(),
            "runs": len(rows),
            "interrupted": interrupted,
        }
        print(json.dumps(said))
    elif rows:
        print(sheet.text(shutil.get_terminal_size((120, 24)).columns))
    if options.export is not None:
        write_export(options.export, rows)
    if interrupted:
        return INTERRUPTED
    return FAILED if sheet.failed() else DONE


def _run(options: argparse.Namespace, grid: Grid, sheet: Sheet) -> bool:
    """Run what is not in the results file yet, and put all of it on the sheet; whether it was interrupted."""
    from sim.farm.ledger import Ledger
    from sim.sweep.progress import shown
    from sim.sweep.trial import conduct

    trials = grid.trials(codec=not options.no_codec)
    runs = [trial for trial, _ in trials.values()]
    out = options.out or Path(f"{options.grid.stem}.results.jsonl")
    interrupted = False
    with Ledger(out) as ledger:
        known = ledger.done.keys() & trials.keys()
        _tell(out, len(ledger.done) - len(known), len(known), len(trials))
        try:
            with shown(len(runs), silent=options.json) as told:
                results = conduct(runs, ledger, jobs=options.jobs, scheduler=options.scheduler, told=told)
                with closing(results):
                    for _ in results:
                        pass
        except KeyboardInterrupt:
            interrupted = True
    # Read again from the file, for an interrupt may come right after a run was written there.
    with Ledger(out) as ledger:
        for key, (trial, place) in trials.items():
            if key in ledger.done:
                sheet.add(place, trial.seed, ledger.done[key])
    if interrupted:
        print(
            f"gossip-sim: interrupted; {len(sheet.rows())} of {len(runs)} runs are kept in {out}:"
            " the same command goes on from there",
            file=sys.stderr,
        )
    return interrupted


def _tell(out: Path, strange: int, known: int, wanted: int) -> None:
    """What the results file has already."""
    if strange:
        print(
            f"gossip-sim: {strange} runs in {out} are of other settings or another version:"
            " they are kept, and not used",
            file=sys.stderr,
        )
    if known:
        print(f"gossip-sim: {known} of {wanted} runs are in {out} already", file=sys.stderr)
