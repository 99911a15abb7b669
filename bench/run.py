"""`bench run`: measures all systems at all sizes, one after another, and writes the report."""

from __future__ import annotations

import argparse
import dataclasses
import datetime as dt
import json
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import proc, report
from bench.agents import BenchError
from bench.arguments import counted, counts, seconds, words
from bench.cluster import SYSTEMS
from bench.steps import Plan

__all__ = ["SUMMARY", "add_arguments", "main"]

SUMMARY = "measure agents on loopback beside serf and kinship"

_STEPS = ("join", "start", "kill", "change", "leave", "idle", "lookups")
_WORKER_DEADLINE = 900.0


@dataclasses.dataclass(frozen=True, slots=True)
class _Task:
    """One worker run: a step for one system at one size. `size` 0 is for what does not depend on it."""

    step: str
    system: str
    size: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--nodes", type=counts, default=[3, 16, 48], help="sizes, as 3,16,48")
    parser.add_argument("--repeats", type=counted, default=5, help="clusters for each size (median of these)")
    some = "some of " + ",".join(_STEPS)
    parser.add_argument("--only", type=words(_STEPS), default=list(_STEPS), help=some)
    parser.add_argument("--peers", type=words(tuple(SYSTEMS)), default=list(SYSTEMS), help="which systems")
    parser.add_argument("--idle", type=seconds, default=30.0, help="length of the idle window in seconds")
    parser.add_argument("--out", type=Path, default=report.REPORT, help="where the report goes")
    parser.add_argument("--json", type=Path, default=report.RESULTS, help="where the samples go")
    parser.add_argument("--quick", action="store_true", help="a 3-node smoke run of all systems at once")


def main(arguments: argparse.Namespace) -> int:
    """Measure, write samples and report; 1 if a measurement failed."""
    plan = Plan(only=frozenset(arguments.only), idle_s=arguments.idle)
    nodes, repeats = arguments.nodes, arguments.repeats
    if arguments.quick:
        nodes, repeats = [3], 1
        plan = Plan(plan.only, settle_s=2.0, idle_s=5.0, changes=2, starts=5, lookup_s=0.5, lookup_rounds=1)
    results: dict[str, Any] = {
        "command": "scripts/bench " + shlex.join(sys.argv[1:]),
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": proc.machine(),
        "repeats": repeats,
        "quick": arguments.quick,
        "plan": {**dataclasses.asdict(plan), "only": sorted(plan.only)},
        "versions": {},
        "absent": {},
        "isolated": True,
        "errors": [],
        "samples": {},
    }
    for system in arguments.peers:
        try:
            results["versions"][system] = SYSTEMS[system].version()
        except BenchError as error:
            results["absent"][system] = str(error)
            _say(f"without {system}: {error}")
    # Leave nothing behind when told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began = time.monotonic()
    for group in _groups(list(results["versions"]), nodes, repeats, plan, arguments.quick):
        for task, answer in zip(group, _work(group, results["plan"]), strict=True):
            _keep(results, task, answer)
        results["took_s"] = round(time.monotonic() - began)
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    arguments.out.write_text(report.render(results, report.load_tables()))
    _say(f"{arguments.out} after {results.get('took_s', 0)} s")
    return 1 if results["errors"] else 0


def _groups(
    systems: list[str], nodes: list[int], repeats: int, plan: Plan, together: bool
) -> Iterator[list[_Task]]:
    """What runs at one time. The systems take turns within each round, so that a slow hour hits them all."""

    def turns(step: str, size: int, chosen: list[str]) -> Iterator[list[_Task]]:
        tasks = [_Task(step, system, size) for system in chosen]
        yield from [tasks] if together and tasks else [[task] for task in tasks]

    if plan.wants("start"):
        yield from turns("start", 0, systems)
    for size in nodes:
        for _ in range(repeats):
            if plan.wants("join", "idle", "change", "kill"):
                yield from turns("life", size, systems)
            if plan.wants("join", "leave"):
                yield from turns("told", size, systems)
    if plan.wants("lookups"):
        yield from turns("lookups", 0, [system for system in systems if system == "gossip"])


def _work(tasks: list[_Task], plan: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a worker for each task, all at one time; what they printed, or an error for each."""
    workers: list[subprocess.Popen[bytes]] = []
    # Short: a unix socket's path has at most 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="gbench-", dir="/tmp"))
    try:
        for task in tasks:
            order = {**dataclasses.asdict(task), "directory": str(directory / task.system), "plan": plan}
            workers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "bench.worker", json.dumps(order)], stdout=subprocess.PIPE
                )
            )
        return [_answer(worker) for worker in workers]
    finally:
        # Agents die with their worker.
        for worker in workers:
            worker.kill()
            worker.communicate()
        shutil.rmtree(directory, ignore_errors=True)


def _answer(worker: subprocess.Popen[bytes]) -> dict[str, Any]:
    try:
        printed, _ = worker.communicate(timeout=_WORKER_DEADLINE)
    except subprocess.TimeoutExpired:
        return {"error": f"the worker took more than {_WORKER_DEADLINE:.0f} s"}
    answer: dict[str, Any] = json.loads(printed) if worker.returncode == 0 else {}
    return answer or {"error": f"the worker ended with status {worker.returncode}"}


def _keep(results: dict[str, Any], task: _Task, answer: dict[str, Any]) -> None:
    """Add a worker's samples to the results, and say what came."""
    results["isolated"] = results["isolated"] and answer.get("isolated", True)
    label = f"{task.step} {task.system}" + (f" at {task.size}" if task.size else "")
    if "error" in answer:
        results["errors"].append(f"{label}: {answer['error']}")
        _say(f"{label}: {answer['error']}")
        return
    kept = results["samples"].setdefault(task.system, {}).setdefault(str(task.size), {})
    for quantity, samples in answer["samples"].items():
        kept.setdefault(quantity, []).extend(samples)
    _say(f"{label}: " + ", ".join(report.brief(answer["samples"])))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
