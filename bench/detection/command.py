"""`scripts/bench detection`: measures task by task, keeps what came, and tells it."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import signal
import sys
import time
from pathlib import Path

from bench import hosts, report
from bench.agents import BenchError
from bench.arguments import counted, counts, seconds, words
from bench.detection import results as files
from bench.detection import verdicts
from bench.detection.deaths import WINDOW
from bench.detection.faults import BUSY_PER_CORE
from bench.detection.plan import CYCLE, KINDS, LAP, Settings, tasks
from bench.detection.results import Results
from bench.detection.worker import ask
from bench.report import Table
from bench.stats import table

__all__ = ["SUMMARY", "add_arguments", "main", "told"]

SUMMARY = "how soon, and how wrongly, agents hold another one for dead, beside serf"
_OUT = report.RESULTS.with_name("detection.json")
_FEWEST = 3

_NOTE = f"""\
Every agent is a process on a host of its own (a network namespace; a router connects them), one cluster at
a time, and the systems take turns of at most {LAP} rounds. Whom a fault strikes when is drawn from the seed,
the same for both. Before each fault all show all as alive, and {{settle:g}} s have passed since. Medians
(min - max). A death is that one agent begins to show another one as dead.

- *SIGKILL*: of the agent; its host lives.
- *Host silenced*: nftables drops all packets of a host, both ways; no refusal reaches anybody.
- *Quarter stopped*: for {{seconds:g}} s, every {CYCLE:g} s a random quarter gets SIGSTOP for 0.5 to 8 s each;
  nobody twice in a row. A death is put down to a stop of its subject if that one was stopped then or in the
  {WINDOW:g} s before, and is of a well member otherwise.
- *Split*: two random halves drop each other's packets for {{split:g}} s, {{splits}} times.
- *Busy machine*: {BUSY_PER_CORE} processes a core that do nothing but run, for {{seconds:g}} s."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    some = "some of " + ",".join(KINDS)
    parser.add_argument("--sizes", type=counts, default=[16, 48], help="agents, as 16,48")
    parser.add_argument("--rounds", type=counted, default=10, help="victims of sigkill, and of silenced")
    parser.add_argument("--seconds", type=seconds, default=120.0, help="length of stopped, and of busy")
    parser.add_argument("--split", type=seconds, default=50.0, help="how long halves are parted, in seconds")
    parser.add_argument("--splits", type=counted, default=3, help="how often they are")
    parser.add_argument("--settle", type=seconds, default=10.0, help="seconds of rest before each fault")
    parser.add_argument("--only", type=words(KINDS), default=list(KINDS), help=some)
    parser.add_argument("--seed", type=int, default=1, help="what draws victims, stops and halves")
    parser.add_argument("--out", type=Path, default=_OUT, help="where the raw results go")
    parser.add_argument("--resume", action="store_true", help="do only what that file does not have yet")
    text = "measure nothing: tell what that file has, and put it into bench/REPORT.md"
    parser.add_argument("--report", action="store_true", help=text)


def main(arguments: argparse.Namespace) -> int:
    """Measure and tell; 1 if something could not be measured, or a target is missed."""
    try:
        if arguments.report:
            results = files.load(arguments.out)
            report.publish("detection", told(results))
        else:
            results = _open(arguments)
            _measure(results, arguments)
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    content = told(results)
    print(content.note, "", table(content.header, content.rows), sep="\n")
    missed = any(row.is_met is False for row in verdicts.rows(results))
    return int(missed or bool(results.errors))


def _open(arguments: argparse.Namespace) -> Results:
    """A new file of results, or the one that goes on. Raises BenchError."""
    if (reason := hosts.missing()) is not None:
        raise BenchError(reason)
    if min(arguments.sizes) < _FEWEST:
        raise BenchError(f"a cluster has {_FEWEST} agents at least, or nobody is left to agree")
    settings = Settings(
        seed=arguments.seed,
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        split=arguments.split,
        splits=arguments.splits,
        settle=arguments.settle,
    )
    path: Path = arguments.out
    if not path.exists():
        return Results(settings, files.versions())
    if not arguments.resume:
        raise BenchError(f"{path} exists: go on with it by --resume, or name another file by --out")
    results = files.load(path)
    if results.settings != settings:
        raise BenchError(f"{path} was measured with {results.settings}: give the same, or another --out")
    return results


def _measure(results: Results, arguments: argparse.Namespace) -> None:
    """Do what is missing, one task after the other, and save after each."""
    # Leave nothing behind when told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wanted = list(tasks(arguments.only, arguments.sizes, results.settings))
    missing = [task for task in wanted if not results.has(task)]
    results.begin("scripts/bench " + shlex.join(sys.argv[1:]))
    for number, task in enumerate(missing, 1):
        _say(
            f"{number} of {len(missing)}: {task.kind}, {task.system}, {task.size} agents, lap {task.lap + 1}"
        )
        began = time.monotonic()
        try:
            answer = ask(task, results.settings)
        except BenchError as error:
            results.errors[task.name] = str(error)
            _say(f"    {error}")
        else:
            results.keep(task, answer, time.monotonic() - began)
        files.save(arguments.out, results)
    _say(f"{arguments.out} has all raw results")


def told(results: Results) -> Table:
    """The table of these results, and a note with what it comes from."""
    settings, machine = results.settings, results.machine
    origin = [f"{'; '.join(results.runs)}; seed {settings.seed}, {settings.rounds} rounds."]
    origin.append(
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory']}, {machine['kernel']}, "
        f"{machine['python']}. {', '.join(results.versions.values())}."
    )
    origin += [f"Failed: {name}: {reason}." for name, reason in results.errors.items()]
    note = _NOTE.format_map(dataclasses.asdict(settings))
    rows = [row.texts() for row in verdicts.rows(results)]
    return Table("Failure detection beside serf", verdicts.HEADER, rows, "\n".join(origin) + "\n\n" + note)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
