"""Experiment 15: one scenario and seed give one log, in any process of any interpreter; and what it costs.

Other interpreters are those of the checkout's `.venv*` and the `python3.x` on PATH that have what this
package needs. What cannot be started is not compared, and the rows say what was.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from sim.chance import derive
from sim.latency import Uniform
from sim.papers.costs import QUICK_SMALL, SMALL, interval_speed, pair_bytes
from sim.papers.paper import MINUTE, Budget, Outcome, Paper, Row, holds, told
from sim.world import World

__all__ = ["PAPER", "play"]

ROOT = Path(__file__).parents[2]
NODES = 24
DURATION_S = 30
HASH_SEEDS = ("0", "1", "2")
SEEDS = 2
SPEED_NODES = 128
SPEED_S = 60.0
SPEED_RUNS = 3
FASTEST = 10_000
"""Node-seconds a second that the simulator is meant to reach."""
SLOWEST = 4_000
"""The same in Lifeguard's Interval experiment."""
PAIR_BYTES = 250
"""What a node is meant to hold of a member at most, beyond the records that all nodes of a world share."""
FORM_S = 60.0
SETTLE_S = 10.0
TIMEOUT_S = 600
Kind: TypeAlias = Literal["hash", "speed", "interval", "bytes"]
ONCE: tuple[Kind, ...] = ("interval", "bytes")
WHO = "import sys; import sim.papers.determinism; print('.'.join(map(str, sys.version_info[:3])))"
PLAY = "import sys; from sim.papers.determinism import play; print(play(int(sys.argv[1]), sys.argv[2]))"


class Task(Struct, frozen=True):
    """One run, in a process of its own; or a measurement, in this one."""

    version: str
    interpreter: str
    hash_seed: str
    seed: int
    quick: bool
    kind: Kind = "hash"

    @property
    def key(self) -> str:
        quick = " quick" if self.quick else ""
        if self.kind in ONCE:
            return f"{self.kind} {self.version}{quick}"
        if self.kind == "speed":
            return f"{self.kind} {self.version} seed={self.seed}{quick}"
        return f"hash {self.version} PYTHONHASHSEED={self.hash_seed} seed={self.seed}{quick}"


def tasks(budget: Budget) -> Sequence[Task]:
    """All hash seeds with this interpreter, one with each other; two seeds of each block; what it costs.

    What is long, and hangs on the seed very little, is measured once.
    """
    own = ".".join(map(str, sys.version_info[:3]))
    result = [Task(own, "", "", 0, budget.quick, kind) for kind in ONCE]
    for block in budget.seeds:
        for seed in range(block * SEEDS, (block + 1) * SEEDS):
            result += [Task(own, sys.executable, hash_seed, seed, budget.quick) for hash_seed in HASH_SEEDS]
            if not budget.quick:
                result += [
                    Task(version, path, HASH_SEEDS[-1], seed, budget.quick) for version, path in others()
                ]
        result.append(Task(own, "", "", block, budget.quick, "speed"))
    return result


def work(task: Task) -> Any:
    """The hash of the run's log; or node-seconds per second of processor time; or `PairBytes`."""
    if task.kind == "speed":
        return measure(task.seed, 2.0 if task.quick else SPEED_S)
    if task.kind == "interval":
        return interval_speed(quick=task.quick)
    if task.kind == "bytes":
        return pair_bytes(QUICK_SMALL if task.quick else SMALL)
    length = "quick" if task.quick else "whole"
    return _ask(task.interpreter, PLAY, str(task.seed), length, hash_seed=task.hash_seed)


@cache
def others() -> Sequence[tuple[str, str]]:
    """(version, path) of other interpreters that can run this package, one of each version."""
    own = ".".join(map(str, sys.version_info[:3]))
    paths = [str(path) for path in sorted(ROOT.glob(".venv*/bin/python"))]
    paths += [path for minor in (11, 12, 13) if (path := shutil.which(f"python3.{minor}"))]
    found: dict[str, str] = {own: ""}
    for path in paths:
        try:
            version = _ask(path, WHO)
        except (OSError, subprocess.SubprocessError):
            continue
        found.setdefault(version, path)
    del found[own]
    return tuple(sorted(found.items()))


def _ask(interpreter: str, code: str, *arguments: str, hash_seed: str = "0") -> str:
    """What `code` prints there."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(  # noqa: S603 - interpreters found by ourselves, with our own code
        [interpreter, "-c", code, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
        timeout=TIMEOUT_S,
    )
    return done.stdout.strip()


def play(seed: int, length: str) -> str:
    """A run with chance of every kind in it: loss, delays, crashes, restarts, a partition, services.

    Args:
        seed: of the run.
        length: `whole` or `quick`.
    """
    quick = length == "quick"
    world = World(
        derive(seed, "determinism").getrandbits(63), latency=Uniform(200, 5_000), loss=0.05, duplication=0.02
    )
    hosts = world.grow(6 if quick else NODES)
    for second in range(6 if quick else DURATION_S):
        world.run(1.0)
        host = world.rng.choice(hosts)
        if second % 5 == 1 and host.process is not None:
            host.register(f"service-{world.rng.randrange(4)}", 8_000 + second)
        if second % 6 == 2:
            world.crash(host, machine=world.rng.getrandbits(1) == 1)
        if second % 6 == 4:
            world.restart(host)
        if second % 15 == 7:
            world.partition([world.rng.sample(hosts, len(hosts) // 3)])
        if second % 15 == 12:
            world.heal()
    return world.log_hash()


def measure(seed: int, seconds: float) -> float:
    """Node-seconds per second of processor time: 128 nodes at rest, real bytes, the best of three spans."""
    world = World(derive(seed, "speed").getrandbits(63), keep_events=False)
    world.grow(SPEED_NODES)
    world.run_until(world.converged, FORM_S, 0.25)
    world.run(SETTLE_S)
    best = 0.0
    for _ in range(SPEED_RUNS):
        begun = time.process_time()
        world.run(seconds)
        best = max(best, SPEED_NODES * seconds / (time.process_time() - begun))
    return best


def judge(budget: Budget, results: Mapping[str, Any]) -> Outcome:
    """One hash a seed."""
    hashes: dict[int, set[str]] = {}
    versions: set[str] = set()
    speeds: list[float] = []
    runs = 0
    for task in tasks(budget):
        if task.key not in results:
            continue
        if task.kind == "speed":
            speeds.append(results[task.key])
        if task.kind != "hash":
            continue
        runs += 1
        versions.add(task.version)
        hashes.setdefault(task.seed, set()).add(results[task.key])
    most = float(max(map(len, hashes.values()))) if hashes else None
    firsts = {min(found) for found in hashes.values()}
    pythons = ", ".join(sorted(versions))
    note = f"{runs} runs of {len(hashes)} seeds, PYTHONHASHSEED {', '.join(HASH_SEEDS)}; Python {pythons}"
    rows: list[Row] = [
        holds("logs of one seed", most, 1.0, "one", most == 1.0, note),
        holds(
            "interpreters", float(len(versions)) if versions else None, None, "two or more", len(versions) > 1
        ),
        holds(
            "logs of different seeds",
            float(len(firsts)) if hashes else None,
            float(len(hashes)),
            "all different",
            len(firsts) == len(hashes),
        ),
    ]
    rows += _costs(speeds, {task.kind: results.get(task.key) for task in tasks(budget)})
    return Outcome(rows, [], list(NOTES))


def _costs(speeds: Sequence[float], results: Mapping[str, Any]) -> list[Row]:
    """What it takes of processor and memory; `results` by the kind of task, None for what is missing."""
    fastest = max(speeds) if speeds else None
    interval = results["interval"]
    held = results["bytes"] or {"known": None, "pinged": None}
    name = "node-seconds a second, 128 nodes at rest, real bytes"
    slow = "node-seconds a second, Interval with C = 16, D = 8,192, I = 64, codec off"
    small = "bytes per observer and member beyond shared records"
    sizes = f"slope of tracemalloc's count from {SMALL} to {2 * SMALL} nodes"
    return [
        holds(name, fastest, FASTEST, "at least", (fastest or 0.0) >= FASTEST, "of processor time"),
        told("memberlist, 128 nodes in one process, node-seconds a second", None, 3_000.0),
        holds(
            slow, interval, SLOWEST, "at least", (interval or 0.0) >= SLOWEST, "shipped core; processor time"
        ),
        *(
            holds(f"{small}, {when}", size, PAIR_BYTES, "at most", (size or 0.0) <= PAIR_BYTES, sizes)
            for when, size in (("just met", held["known"]), ("all have pinged all", held["pinged"]))
        ),
    ]


NOTES = (
    "The hash is of every delivered message, with its instant and receiver, and of all events of all nodes.",
    "Speed depends on the machine and on what else runs there.",
    "Once it has pinged a member, a node also holds round trips, and the coordinates that the other told.",
)

PAPER = Paper(
    name="determinism",
    number=15,
    title="Determinism and speed",
    source="this project's own promise",
    cost_s=MINUTE,
    tasks=tasks,
    work=work,
    judge=judge,
)
