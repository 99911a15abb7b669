"""`gossip-sim siege`: a malicious member among honest ones, seed after seed."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.cli.fuzz import positive, seeds

if TYPE_CHECKING:
    from sim.siege.trial import Siege

__all__ = ["add", "siege"]

SEEDS = "0..19"
NODES = 20
NODES_MIN = 2
"""The rogue, and somebody to be deceived."""
SECONDS = 15
LEDGER = "siege.jsonl"
SUMMARY = "siege.json"

EXAMPLE = """examples:
  gossip-sim siege --seeds 0..999
  gossip-sim siege --seeds 0..999 --loss 2 --jobs 8 --out siege     Ctrl-C, and the same again goes on
"""
ABOUT = """For each seed, run a cluster in which one member is malicious: ten times a second it makes a move
that is drawn from the seed (accuses, floods, forges, replays, squats names and addresses, invents members,
answers for others, spoils repairs, lies about where it is). Beside it the same seed is run with an honest
member in its place. Exits 1 if an honest member was declared dead or gone that was not in the other run, if
a table grew beyond its bound, or if the honest did not agree in the end."""


def add(commands: Any) -> None:
    """Make the subparser."""
    parser = commands.add_parser(
        "siege",
        help="a malicious member among honest ones; what it cannot do",
        description=ABOUT,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seeds", type=seeds, default=SEEDS, metavar="A..B", help=f"both included, or one (default: {SEEDS})"
    )
    parser.add_argument(
        "--nodes",
        type=members,
        default=NODES,
        metavar="N",
        help=f"with the rogue, at least {NODES_MIN} (default: {NODES})",
    )
    parser.add_argument(
        "--seconds",
        type=positive,
        default=SECONDS,
        metavar="S",
        help=f"of virtual time, ten moves in each (default: {SECONDS})",
    )
    parser.add_argument(
        "--loss",
        type=percent,
        default=0.0,
        metavar="P",
        help="of all datagrams, in percent: 2 or 2%%; below 1 without a sign, as a share: 0.02 (default: 0)",
    )
    parser.add_argument(
        "--admission",
        choices=("invited", "open"),
        default="invited",
        help="whether members that it invents are let in (default: invited, so they are not)",
    )
    parser.add_argument("--jobs", type=positive, metavar="J", help="processes (default: one a core)")
    parser.add_argument("--json", action="store_true", help="print one object at the end")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="keep results there, and go on with those that are there; seeds that failed are run again",
    )
    parser.set_defaults(run="siege:siege")


def members(text: str) -> int:
    """How many nodes: the rogue is one of them."""
    found = positive(text)
    if found < NODES_MIN:
        raise argparse.ArgumentTypeError(f"{text!r}: beside the rogue there must be a node that is honest")
    return found


def percent(text: str) -> float:
    """From 0 to 100, of `2`, `2%` or `0.02`: below 1 and without a sign it is a share of one."""
    with contextlib.suppress(ValueError):
        found = float(text.removesuffix("%"))
        if 0.0 <= found <= 100.0:
            return round(found * 100.0, 9) if found < 1.0 and not text.endswith("%") else found
    raise argparse.ArgumentTypeError(f"{text!r} is no share of a hundred: write 2, 2% or 0.02")


def siege(options: argparse.Namespace) -> int:
    """Run the seeds; 1 if something did not hold, 130 if interrupted."""
    from sim.farm.campaign import campaign
    from sim.farm.ledger import Ledger
    from sim.results.store import write_file
    from sim.siege import trial

    tasks = [
        trial.Besieged(
            seed, options.nodes, options.seconds, options.loss / 100, options.admission == "invited"
        )
        for seed in options.seeds
    ]
    tally = Tally(len(tasks))
    with ExitStack() as stack:
        ledger = None if options.out is None else stack.enter_context(Ledger(options.out / LEDGER))
        sieges = campaign(trial.work, tasks, trial.Siege, jobs=options.jobs, ledger=ledger)
        stack.enter_context(closing(sieges))
        try:
            for came in sieges:
                tally.add(came)
                if not came.passed and not options.json:
                    print(f"seed {came.seed}: {came.deaths} false deaths; {came.what}", flush=True)
        except KeyboardInterrupt:
            tally.interrupted = True
    summary = tally.summary()
    print(json.dumps(summary) if options.json else tally.text())
    if options.out is not None:
        write_file(options.out / SUMMARY, [json.dumps(summary, indent=2).encode(), b"\n"])
    if tally.interrupted:
        kept = f"; {options.out} has them, and the same command goes on from there" if options.out else ""
        print(f"gossip-sim: interrupted after {tally.seeds} of {tally.wanted} seeds{kept}", file=sys.stderr)
        return 130
    return 1 if tally.failed else 0


class Tally:
    """What has come of the seeds so far."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.seeds = 0
        self.failed: list[Siege] = []
        self.interrupted = False
        self._moves: Counter[str] = Counter()
        self._ordinary = 0

    def add(self, came: Siege) -> None:
        """One more seed is done."""
        self.seeds += 1
        self._moves.update(came.moves)
        self._ordinary += came.ordinary
        if not came.passed:
            self.failed.append(came)

    def summary(self) -> dict[str, Any]:
        """What `--json` prints."""
        failed = sorted(self.failed, key=lambda came: came.seed)
        return {
            "seeds": self.seeds,
            "wanted": self.wanted,
            "failed": [{"seed": came.seed, "deaths": came.deaths, "what": came.what} for came in failed],
            "moves": dict(sorted(self._moves.items())),
            "deaths_without_it": self._ordinary,
            "interrupted": self.interrupted,
        }

    def text(self) -> str:
        """The same in two lines."""
        moves = ", ".join(f"{count:,} {move}" for move, count in self._moves.most_common())
        return (
            f"{moves}\n{self.seeds - len(self.failed)} of {self.seeds} seeds passed:"
            f" {self._moves.total():,} moves, {self._ordinary} false deaths without the rogue"
        )
