"""`gossip-sim siege`: a malicious member among honest ones, seed after seed."""

from __future__ import annotations

import argparse
import contextlib
import json
from collections import Counter
from typing import Any

from sim.cli.fuzz import positive, seeds

__all__ = ["add", "siege"]

SEEDS = "0..19"
NODES = 20
SECONDS = 15

EXAMPLE = """examples:
  gossip-sim siege --seeds 0..999
  gossip-sim siege --seeds 0..999 --loss 2 --jobs 8
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
        "--nodes", type=positive, default=NODES, metavar="N", help=f"with the rogue (default: {NODES})"
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
    parser.set_defaults(run="siege:siege")


def percent(text: str) -> float:
    """From 0 to 100, of `2`, `2%` or `0.02`: below 1 and without a sign it is a share of one."""
    with contextlib.suppress(ValueError):
        found = float(text.removesuffix("%"))
        if 0.0 <= found <= 100.0:
            return round(found * 100.0, 9) if found < 1.0 and not text.endswith("%") else found
    raise argparse.ArgumentTypeError(f"{text!r} is no share of a hundred: write 2, 2% or 0.02")


def siege(options: argparse.Namespace) -> int:
    """Run the seeds; 1 if something did not hold."""
    from sim.farm.pool import spread
    from sim.siege.trial import Besieged, work

    tasks = [
        Besieged(seed, options.nodes, options.seconds, options.loss / 100, options.admission == "invited")
        for seed in options.seeds
    ]
    moves: Counter[str] = Counter()
    failed: list[dict[str, Any]] = []
    ordinary = 0
    for _, came in spread(work, tasks, jobs=options.jobs):
        moves.update(came.moves)
        ordinary += came.ordinary
        if not came.passed:
            failed.append({"seed": came.seed, "deaths": came.deaths, "what": came.broken or came.detail})
            if not options.json:
                print(f"seed {came.seed}: {came.deaths} false deaths; {failed[-1]['what']}", flush=True)
    failed.sort(key=lambda each: each["seed"])
    if options.json:
        told = {"seeds": len(tasks), "failed": failed, "moves": dict(sorted(moves.items()))}
        print(json.dumps({**told, "deaths_without_it": ordinary}))
    else:
        print(", ".join(f"{count:,} {move}" for move, count in moves.most_common()))
        print(
            f"{len(tasks) - len(failed)} of {len(tasks)} seeds passed: {moves.total():,} moves,"
            f" {ordinary} false deaths without the rogue"
        )
    return 1 if failed else 0
