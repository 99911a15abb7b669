"""`gossip-sim`, also `python -m sim`: what a cluster would do, from a command line."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from sim.latency import parse_duration, parse_latency
from sim.run import Crash, Run, Setup

__all__ = ["main"]

EXAMPLE = """example:
  gossip-sim run --nodes 64 --loss 5% --latency 0.2ms..1ms --crash 2@20s --duration 60s --seed 7
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit status."""
    parser = _make_parser()
    options = parser.parse_args(arguments)
    setup = Setup(
        nodes=options.nodes,
        loss=options.loss,
        latency=options.latency,
        crashes=tuple(options.crash),
        seed=options.seed,
        duration_us=options.duration,
    )
    try:
        run = Run(setup)
    except ValueError as error:
        parser.error(str(error))
    interrupted = False
    try:
        run.go()
    except KeyboardInterrupt:
        interrupted = True
        print("gossip-sim: interrupted; this is what came of it until then", file=sys.stderr)
    summary = {**run.summary(), "interrupted": interrupted}
    print(json.dumps(summary) if options.json else _show(summary))
    return 130 if interrupted else 0


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gossip-sim",
        description="Run the real protocol in virtual time.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="start a cluster, crash some of it, and tell what came of it",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("--nodes", type=int, required=True, metavar="N", help="how many nodes start, at once")
    run.add_argument(
        "--loss",
        type=_share,
        default=0.0,
        metavar="P",
        help="share of packets lost: 0.05 or 5%% (default: none)",
    )
    run.add_argument(
        "--latency",
        type=_checked(parse_latency),
        default=parse_latency("0.5ms"),
        metavar="DIST",
        help="one way: 0.5ms, or 1ms..5ms for anything between (default: 0.5ms)",
    )
    run.add_argument(
        "--crash",
        type=_checked(_crash),
        action="append",
        default=[],
        metavar="N@T",
        help="N machines, chosen by chance, die at time T: 2@20s; may be given again",
    )
    run.add_argument("--seed", type=int, default=0, metavar="S", help="of all randomness (default: 0)")
    run.add_argument(
        "--duration",
        type=_checked(parse_duration),
        default=parse_duration("60s"),
        metavar="T",
        help="virtual time to run (default: 60s)",
    )
    run.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _checked(parse: Any) -> Any:
    """Let argparse say what `parse` has to say."""

    def read(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _share(text: str) -> float:
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: write it like 0.05 or 5%") from None
    if not 0.0 <= share <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 0 to 1")
    return share


def _crash(text: str) -> Crash:
    count, at, when = text.partition("@")
    if not at or not count.isdecimal():
        raise ValueError(f"{text!r} is no crash: write it like 2@20s")
    return Crash(int(count), parse_duration(when))


def _show(summary: dict[str, Any]) -> str:
    rows = {}
    for name, value in summary.items():
        if isinstance(value, dict):
            rows.update({f"{name} {part}": inner for part, inner in value.items()})
        else:
            rows[name] = value
    width = max(map(len, rows))
    return "\n".join(f"{name:{width}}  {_word(value)}" for name, value in rows.items())


def _word(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
