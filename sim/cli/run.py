"""`gossip-sim run`: one scenario, with live progress, a summary in numbers, and results to keep."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import MissingExtraError, ScenarioError

if TYPE_CHECKING:
    from sim.results.result import Result
    from sim.scenario.scenario import Scenario

__all__ = ["add", "run"]

EXAMPLE = """examples:
  gossip-sim run rack-failure --seed 7
  gossip-sim run rack-failure --set network.loss=10% --set settings.suspicion_alpha=5 --out rack
  gossip-sim run --nodes 64 --loss 5% --latency 0.2ms..1ms --crash 2@20s --duration 60s --seed 7
"""
DONE, FAILED, INTERRUPTED = 0, 1, 130
PROBE_BYTES = 65_536
"""What is written into the directory before the run begins, to see whether it can be."""


def add(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "run",
        help="run a scenario, and tell what came of it",
        description="Run a scenario, a file or one that ships, or a plain cluster of --nodes.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scenario", nargs="?", metavar="SCENARIO", help="a TOML file, or the name of one that ships"
    )
    parser.add_argument("--nodes", metavar="N", help="how many nodes start")
    parser.add_argument("--loss", metavar="P", help="share of packets lost: 0.05 or 5%%")
    parser.add_argument("--latency", metavar="DIST", help="one way: 0.5ms, 1ms..5ms, normal 20ms 3ms, ...")
    parser.add_argument(
        "--crash",
        action="append",
        default=[],
        metavar="N@T",
        help="N machines, chosen by chance, die at time T: 2@20s; may be given again",
    )
    parser.add_argument(
        "--duration", metavar="T", help="virtual time to run (default: the scenario's, or 60s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of all randomness (default: 0)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the scenario: network.loss=0.1, settings.period=0.5; may be given again",
    )
    parser.add_argument(
        "--no-codec", action="store_true", help="pass messages as objects, not as bytes: faster"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="keep results, plots and the replay page here"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, and no progress")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.set_defaults(run="run:run")


def run(options: argparse.Namespace) -> int:
    """Run what the options say; 130 if it was interrupted."""
    from sim.cli.progress import shown
    from sim.runner import run as run_scenario

    scenario = read_scenario(options)
    if options.out is not None:
        check_directory(options.out)
    with shown(scenario.name, silent=options.json or options.quiet) as progress:
        result = run_scenario(scenario, options.seed, progress=progress, codec=not options.no_codec)
    interrupted = bool(result.summary["interrupted"])
    if interrupted:
        print("gossip-sim: interrupted; this is what came of it until then", file=sys.stderr)
    problem = None if options.out is None else _keep(result, options.out)
    print(_told(result, options))
    if problem is not None:
        print(f"gossip-sim: {problem}", file=sys.stderr)
        return FAILED
    return INTERRUPTED if interrupted else DONE


def read_scenario(options: argparse.Namespace) -> Scenario:
    """The scenario, with what the flags change.

    Raises:
        ScenarioError: if there is none, or it cannot be.
    """
    from sim.scenario.changes import parse_change
    from sim.scenario.scenario import Scenario

    changes: dict[str, Any] = {}
    for flag, path in (("loss", "network.loss"), ("latency", "network.latency"), ("duration", "duration")):
        value = getattr(options, flag)
        if value is not None:
            changes[path] = value
    if options.nodes is not None:
        changes["nodes"] = _number(options.nodes)
    crashes = [_crash(text) for text in options.crash]
    try:
        changes.update(parse_change(text) for text in options.set)
    except ValueError as problem:
        raise ScenarioError(f"--set: {problem}") from None
    if options.scenario is None:
        if options.nodes is None:
            raise ScenarioError("give a SCENARIO (`gossip-sim scenarios` lists them) or --nodes N")
        base = Scenario.of({"nodes": 1, "name": "run"})
    else:
        base = _find(options.scenario)
    if crashes:
        changes = {"action": [*base.document.get("action", []), *crashes], **changes}
    return base.with_changes(changes) if changes else base


def check_directory(directory: Path) -> None:
    """Make the directory, and see that results can be written there, before anything is computed.

    Raises:
        ScenarioError: in words, if they cannot.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise ScenarioError(f"{directory} is not empty: give --out a new directory, or empty this one")
        with tempfile.TemporaryFile(dir=directory) as probe:
            probe.write(bytes(PROBE_BYTES))
            probe.flush()
    except OSError as problem:
        raise ScenarioError(f"--out {directory}: {problem.strerror}; choose another directory") from None


def _find(name: str) -> Scenario:
    from sim.scenario.scenario import Scenario

    path = Path(name)
    return Scenario.load(path) if path.suffix == ".toml" or path.is_file() else Scenario.shipped(name)


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ScenarioError(f"--nodes {text}: write a number") from None


def _crash(text: str) -> dict[str, Any]:
    count, at, when = text.partition("@")
    if not at or not count.isdecimal():
        raise ScenarioError(f"--crash {text}: that is no crash: write it like 2@20s")
    return {"at": when, "do": "crash", "nodes": int(count)}


def _keep(result: Result, directory: Path) -> str | None:
    """Save everything, and draw it; what went wrong, if something did."""
    from sim.draw import draw_all

    try:
        result.save(directory)
        draw_all(result, directory)
    except MissingExtraError as problem:
        print(f"gossip-sim: no pictures: {problem}", file=sys.stderr)
    except OSError as problem:
        return f"{directory}: {problem.strerror or problem}; what was written until then is whole"
    return None


def _told(result: Result, options: argparse.Namespace) -> str:
    if options.json:
        return json.dumps(result.summary)
    from sim.cli.summary import describe

    text = describe(result.summary)
    if options.out is not None:
        with contextlib.suppress(OSError):
            names = ", ".join(sorted(file.name for file in options.out.iterdir()))
            text += f"\nkept in {options.out}: {names}"
    return text
