"""`gossip-sim run`: one scenario, with live progress, a summary in numbers, and results to keep."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from sim.errors import BrokenRunError, MissingExtraError, ScenarioError

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
Asked: TypeAlias = tuple[str, str, Any]
"""What was typed, and what it changes: the dotted path, and its value."""
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
    """Run what the options say; 130 if it was interrupted, 1 if it could not go on or not be kept."""
    scenario = read_scenario(options)
    with contextlib.ExitStack() as stack:
        if options.out is not None:
            stack.enter_context(taken(options.out))
        return _run(scenario, options)


def _run(scenario: Scenario, options: argparse.Namespace) -> int:
    from sim.cli.progress import shown
    from sim.runner import run as run_scenario

    status = DONE
    with shown(scenario.name, silent=options.json or options.quiet) as progress:
        try:
            result = run_scenario(scenario, options.seed, progress=progress, codec=not options.no_codec)
        except BrokenRunError as problem:
            result, status, said = problem.result, FAILED, f"{problem}; this is what came of it until then"
    if status == DONE and result.summary["interrupted"]:
        status, said = INTERRUPTED, "interrupted; this is what came of it until then"
    if status != DONE:
        print(f"gossip-sim: {said}", file=sys.stderr)
    # Told before anything is written or drawn, which takes longer than some runs, and can fail.
    print(_told(result, options), flush=True)
    if options.out is not None:
        kept = _keep(result, options.out)
        if not options.json:
            _tell_kept(options.out)
        status = status or kept
    return status


def read_scenario(options: argparse.Namespace) -> Scenario:
    """The scenario, with what the flags change.

    Raises:
        ScenarioError: if there is none, or it cannot be.
    """
    from sim.scenario.changes import parse_change
    from sim.scenario.scenario import Scenario

    asked: list[Asked] = []
    for flag, path in (("loss", "network.loss"), ("latency", "network.latency"), ("duration", "duration")):
        value = getattr(options, flag)
        if value is not None:
            asked.append((f"--{flag} {value}", path, value))
    if options.nodes is not None:
        asked.append((f"--nodes {options.nodes}", "nodes", _number(options.nodes)))
    crashes = [_crash(text) for text in options.crash]
    if options.scenario is None:
        if options.nodes is None:
            raise ScenarioError("give a SCENARIO (`gossip-sim scenarios` lists them) or --nodes N")
        base = Scenario.of({"nodes": 1, "name": "run"})
    else:
        base = _find(options.scenario)
    if crashes:
        typed = " ".join(f"--crash {text}" for text in options.crash)
        asked.append((typed, "action", [*base.document.get("action", []), *crashes]))
    try:
        asked += [(f"--set {text}", *parse_change(text)) for text in options.set]
    except ValueError as problem:
        raise ScenarioError(f"--set: {problem}") from None
    return _changed(base, asked) if asked else base


def _changed(base: Scenario, asked: Sequence[Asked]) -> Scenario:
    """The scenario as the flags want it; if it cannot be so, the error begins with the flag at fault."""
    try:
        return base.with_changes({path: value for _, path, value in asked})
    except ScenarioError as problem:
        said = str(problem)
    # What is said on the way there may be something else, which a later flag puts right.
    for count, (typed, _, _) in enumerate(asked, 1):
        try:
            base.with_changes({path: value for _, path, value in asked[:count]})
        except ScenarioError as problem:
            if str(problem) == said:
                raise ScenarioError(f"{typed}: {said}") from None
    raise ScenarioError(said)


@contextlib.contextmanager
def taken(directory: Path) -> Iterator[None]:
    """Make the directory, and see that results can be written there, before anything is computed.

    Until the end no other run may have it.

    Raises:
        ScenarioError: in words, if they cannot.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as problem:
        raise _unusable(directory, problem) from None
    try:
        _lock(directory, descriptor)
        try:
            _check_directory(directory)
        except OSError as problem:
            raise _unusable(directory, problem) from None
        yield
    finally:
        os.close(descriptor)


def _lock(directory: Path, descriptor: int) -> None:
    """The directory itself is locked, so that nothing is left behind, however the run ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ScenarioError(
            f"--out {directory} is in use by another run: wait for it, or choose another directory"
        ) from None
    except OSError:
        pass  # a file system that locks no directories, as NFS


def _check_directory(directory: Path) -> None:
    if any(directory.iterdir()):
        raise ScenarioError(f"{directory} is not empty: give --out a new directory, or empty this one")
    with tempfile.TemporaryFile(dir=directory) as probe:
        probe.write(bytes(PROBE_BYTES))
        probe.flush()


def _unusable(directory: Path, problem: OSError) -> ScenarioError:
    return ScenarioError(f"--out {directory}: {problem.strerror}; choose another directory")


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


def _keep(result: Result, directory: Path) -> int:
    """Save everything, and draw it; the exit status, of what did not work being told."""
    from sim.draw import DrawingInterruptedError, draw_all

    problem, status = "", DONE
    try:
        result.save(directory)
        if result.summary["virtual_s"] or not result.summary["interrupted"]:
            draw_all(result, directory)
        else:
            problem = "no pictures: there is nothing to be seen yet"
    except MissingExtraError as missing:
        problem = f"no pictures: {missing}"
    except DrawingInterruptedError as interrupt:
        problem, status = f"interrupted; not drawn: {', '.join(interrupt.left)}", INTERRUPTED
    except KeyboardInterrupt:
        problem, status = f"interrupted; the results in {directory} are not all there", INTERRUPTED
    except OSError as full:
        why = full.strerror or full
        problem, status = f"{full.filename or directory}: {why}; what else was written is whole", FAILED
    if problem:
        print(f"gossip-sim: {problem}", file=sys.stderr)
    return status


def _told(result: Result, options: argparse.Namespace) -> str:
    if options.json:
        return json.dumps(result.summary)
    from sim.cli.summary import describe

    return describe(result.summary)


def _tell_kept(directory: Path) -> None:
    with contextlib.suppress(OSError):
        names = ", ".join(sorted(file.name for file in directory.iterdir()))
        print(f"kept in {directory}: {names}")
