"""`gossip-sim fuzz`: random faults against invariants, seed after seed."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.hunt.batch import Tally
    from sim.hunt.trial import Outcome

__all__ = ["add", "fuzz"]

STEPS = 5_000
SEEDS = "0..63"
SEED_MAX = (1 << 63) - 1
"""JSON has no greater numbers."""
SEEDS_MAX = 100_000
"""Of one batch; more is a slip of the pen."""
LEDGER = "fuzz.jsonl"
SUMMARY = "fuzz.json"

EXAMPLE = """examples:
  gossip-sim fuzz --seeds 0..255
  gossip-sim fuzz --seeds 0..4095 --jobs 8 --out hunt     Ctrl-C, and the same again goes on
"""
ABOUT = """For each seed, run a small cluster of 3 to 12 nodes through chaos that is drawn from the seed:
crashes, restarts, leavers, pauses, wrong clocks, partitions, loss, lying refusals. Invariants are checked at
each change; then all faults are undone, and all nodes must come to one view. Exits 1 if a rule broke, with
the line that replays it, or if a batch of 64 seeds or more never met something that it should have."""


def add(commands: Any) -> None:
    """Make the subparser."""
    parser = commands.add_parser(
        "fuzz",
        help="random faults against invariants; a line to replay what fails",
        description=ABOUT,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seeds", type=seeds, default=SEEDS, metavar="A..B", help=f"both included, or one (default: {SEEDS})"
    )
    parser.add_argument(
        "--steps",
        type=positive,
        default=STEPS,
        metavar="N",
        help=f"of 100 ms virtual time (default: {STEPS})",
    )
    parser.add_argument("--jobs", type=positive, metavar="J", help="processes (default: one a core)")
    parser.add_argument("--json", action="store_true", help="print one object at the end")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="keep results there, and go on with those that are there; seeds that failed are run again",
    )
    parser.set_defaults(run="fuzz:fuzz")


def fuzz(options: argparse.Namespace) -> int:
    """Run the batch; 1 if a seed failed or something was never met, 130 if interrupted."""
    from sim.farm.ledger import Ledger
    from sim.hunt.batch import Tally, run_batch
    from sim.results.store import write_file

    tally = Tally(len(options.seeds), options.steps)
    with ExitStack() as stack:
        ledger = None if options.out is None else stack.enter_context(Ledger(options.out / LEDGER))
        show = stack.enter_context(progress(tally, quiet=options.json))
        outcomes = run_batch(options.seeds, options.steps, options.jobs, ledger)
        try:
            for outcome in outcomes:
                tally.add(outcome)
                show(outcome)
        except KeyboardInterrupt:
            tally.interrupted = True
        finally:
            tally.end()
            outcomes.close()
    summary = tally.summary()
    if options.json:
        print(json.dumps(summary))
    else:
        report(summary)
    if options.out is not None:
        write_file(options.out / SUMMARY, [json.dumps(summary, indent=2).encode(), b"\n"])
    if tally.interrupted:
        kept = f"; {options.out} has them, and the same command goes on from there" if options.out else ""
        print(f"gossip-sim: interrupted after {tally.seeds} of {tally.wanted} seeds{kept}", file=sys.stderr)
        return 130
    return 0 if tally.good else 1


def report(summary: dict[str, Any]) -> None:
    """The table of what was met, what failed, and the rates."""
    counts = list(summary["coverage"].items())
    print("what the seeds have met:")
    half = (len(counts) + 1) // 2
    for (name, count), (other, more) in zip(counts[:half], [*counts[half:], ("", 0)], strict=False):
        right = f"{more:>12,}  {other}" if other else ""
        print(f"{count:>12,}  {name:<36}{right}".rstrip())
    for name in summary["not_exercised"]:
        print(f"NEVER MET: {name}")
    for failure in summary["failed"]:
        print(f"FAILED seed {failure['seed']} at {failure['at_s']:.3f} s: {failure['rule']}")
        print(f"  {failure['replay']}")
    wall = f"{summary['wall_s']:.1f} s"
    print(
        f"{summary['passed']} of {summary['seeds']} seeds passed, {summary['steps']:,} steps in {wall};"
        f" one view at most {summary['longest_calm_s']:g} s after the last fault"
    )
    if summary["cpu_s"]:
        print(
            f"{summary['cpu_s']:.1f} s of processor time: {summary['steps_per_s']:,} steps"
            f" and {summary['node_seconds_per_s']:,} node-seconds a second on one"
        )


@contextmanager
def progress(tally: Tally, *, quiet: bool) -> Iterator[Callable[[Outcome], None]]:
    """Show how far it is: a bar on a terminal that rich can draw on, else a line for each failure."""
    if not quiet and sys.stderr.isatty():
        try:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        except ImportError:
            yield lambda outcome: plain(tally, outcome)
            return
        with Progress(
            TextColumn("seeds"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]} failed"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as bar:
            task = bar.add_task("", total=tally.wanted, failed=0)

            def advance(outcome: Outcome) -> None:
                bar.update(task, advance=1, failed=len(tally.failed))
                told(outcome)

            yield advance
        return
    yield (lambda _outcome: None) if quiet else told


def told(outcome: Outcome) -> None:
    """Say at once what failed: the rest may take an hour."""
    from sim.hunt.batch import replay_line

    if not outcome.passed:
        where = f" on {outcome.host}" if outcome.host else ""
        print(f"seed {outcome.seed}{where} at {outcome.at_s:.3f} s: {outcome.rule}", flush=True)
        print(f"  {outcome.detail.splitlines()[0][:200]}", flush=True)
        print(f"  {replay_line(outcome)}", flush=True)


def plain(tally: Tally, outcome: Outcome) -> None:
    """A line that overwrites itself."""
    told(outcome)
    print(
        f"\r{tally.seeds} of {tally.wanted} seeds, {len(tally.failed)} failed",
        end="",
        file=sys.stderr,
        flush=True,
    )
    if tally.seeds == tally.wanted:
        print(file=sys.stderr)


def seeds(text: str) -> range:
    """`A..B`, both included, or one number."""
    match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of seeds: write 0..255, or one number")
    first = int(match[1])
    last = first if match[2] is None else int(match[2])
    if last < first:
        raise argparse.ArgumentTypeError(f"{text!r} ends before it begins")
    if last > SEED_MAX:
        raise argparse.ArgumentTypeError(f"{text!r}: a seed is at most 2^63 - 1")
    if last - first >= SEEDS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} are more than {SEEDS_MAX:,} seeds: run them in parts")
    return range(first, last + 1)


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of 1 or more")
    return int(text)
