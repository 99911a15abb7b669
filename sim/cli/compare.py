"""`gossip-sim compare`: two settings under the same seeds, and what differs."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.sweep.contest import Contest

__all__ = ["add", "compare"]

DONE, FAILED, INTERRUPTED = 0, 1, 130
SEEDS = "0..9"
RUNS_FILE, TABLE_FILE = "runs.jsonl", "compare.json"
EXAMPLE = """examples:
  gossip-sim compare 'rack-failure?nodes=60' 'rack-failure?nodes=60,network.loss=0.1'
  gossip-sim compare 'steady?nodes=64' 'steady?nodes=64,settings.period=0.5' --seeds 0..19 --out period

With ten seeds there are 20 runs: `gossip-sim run` shows how long one takes.
With --out each run is kept when it is done: after Ctrl-C the same command goes on from there.
"""


def add(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "compare",
        help="two settings, the same seeds, what differs",
        description="Run A and B with the same seeds, and tell which numbers differ by more than chance."
        " A and B are scenarios, each perhaps with changes: SCENARIO?key=value,key=value.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("a", metavar="A", help="a scenario that ships, or a file; ?key=value changes it")
    parser.add_argument("b", metavar="B", help="another")
    parser.add_argument("--seeds", default=SEEDS, metavar="A..B", help=f"both included (default: {SEEDS})")
    parser.add_argument("--jobs", type=int, metavar="J", help="processes (default: one for each core)")
    parser.add_argument(
        "--no-codec", action="store_true", help="pass messages as objects, not as bytes: faster"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="keep the runs, the table and plots of both in the same axes here",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, and no progress")
    parser.set_defaults(run="compare:compare")


def compare(options: argparse.Namespace) -> int:
    """Run both; 130 if it was interrupted."""
    from sim.farm.ledger import Ledger
    from sim.sweep.contest import Contest, read_side
    from sim.sweep.progress import shown
    from sim.sweep.trial import conduct, parse_seeds

    contest = Contest(
        read_side(options.a),
        read_side(options.b),
        parse_seeds(options.seeds),
        codec=not options.no_codec,
        curves=options.out is not None,
    )
    interrupted = False
    with ExitStack() as stack:
        ledger = None if options.out is None else stack.enter_context(Ledger(options.out / RUNS_FILE))
        told = stack.enter_context(shown(len(contest.trials), silent=options.json))
        results = stack.enter_context(closing(conduct(contest.trials, ledger, jobs=options.jobs, told=told)))
        try:
            for key, result in results:
                contest.add(key, result)
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        _tell_interrupted(contest, options.out)
    if contest.pairs:
        said = {**contest.said(), "interrupted": interrupted}
        print(json.dumps(said) if options.json else contest.text())
        if options.out is not None and not interrupted:
            _keep(contest, said, options.out, silent=options.json)
    return INTERRUPTED if interrupted else DONE


def _keep(contest: Contest, said: dict[str, Any], directory: Path, *, silent: bool) -> None:
    from sim.draw.overlay import overlay
    from sim.draw.story import Curves
    from sim.results.store import write_file

    write_file(directory / TABLE_FILE, [json.dumps(said, indent=2).encode(), b"\n"])
    sides = {
        f"{letter}: {side.said}": [Curves.of(pair[place]["curves"]) for pair in contest.pairs]
        for place, (letter, side) in enumerate(zip("AB", contest.sides, strict=True))
    }
    files = overlay(sides, directory)
    if not silent:
        print(f"kept in {directory}: {', '.join([RUNS_FILE, TABLE_FILE, *(file.name for file in files)])}")


def _tell_interrupted(contest: Contest, directory: Path | None) -> None:
    kept = "" if directory is None else f"; they are kept in {directory}: the same command goes on from there"
    pairs = len(contest.pairs)
    print(f"gossip-sim: interrupted after {pairs} of {len(contest.trials) // 2} pairs{kept}", file=sys.stderr)
