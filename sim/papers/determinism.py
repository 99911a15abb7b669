"""Experiment 15: one scenario and seed give one log, in any process of any interpreter; and how fast.

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
from typing import Any

from msgspec import Struct

from sim.chance import derive
from sim.latency import Uniform
from sim.papers.paper import Budget, Outcome, Paper, Row, holds, told
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
FORM_S = 60.0
SETTLE_S = 10.0
TIMEOUT_S = 600
WHO = "import sys; import sim.papers.determinism; print('.'.join(map(str, sys.version_info[:3])))"
PLAY = "import sys; from sim.papers.determinism import play; print(play(int(sys.argv[1]), sys.argv[2]))"


class Task(Struct, frozen=True):
    """One run, in a process of its own; or, without an interpreter, the measurement of speed."""

    version: str
    interpreter: str
    hash_seed: str
    seed: int
    quick: bool

    @property
    def key(self) -> str:
        quick = " quick" if self.quick else ""
        if not self.interpreter:
            return f"speed {self.version} seed={self.seed}{quick}"
        return f"hash {self.version} PYTHONHASHSEED={self.hash_seed} seed={self.seed}{quick}"


def tasks(budget: Budget) -> Sequence[Task]:
    """All hash seeds with this interpreter, one with each other; two seeds of each block."""
    own = ".".join(map(str, sys.version_info[:3]))
    result = []
    for block in budget.seeds:
        for seed in range(block * SEEDS, (block + 1) * SEEDS):
            result += [Task(own, sys.executable, hash_seed, seed, budget.quick) for hash_seed in HASH_SEEDS]
            if not budget.quick:
                result += [
                    Task(version, path, HASH_SEEDS[-1], seed, budget.quick) for version, path in others()
                ]
        result.append(Task(own, "", "", block, budget.quick))
    return result


def work(task: Task) -> Any:
    """The hash of the run's log; or node-seconds per second of processor time."""
    if not task.interpreter:
        return measure(task.seed, 2.0 if task.quick else SPEED_S)
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
        if not task.interpreter:
            speeds.append(results[task.key])
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
    fastest = max(speeds) if speeds else None
    name = "node-seconds a second, 128 nodes at rest, real bytes"
    rows.append(holds(name, fastest, FASTEST, "at least", (fastest or 0.0) >= FASTEST, "of processor time"))
    rows.append(told("memberlist, 128 nodes in one process, node-seconds a second", None, 3_000.0))
    return Outcome(rows, [], list(NOTES))


NOTES = (
    "The hash is of every delivered message, with its instant and receiver, and of all events of all nodes.",
    "Speed depends on the machine and on what else runs there.",
)

PAPER = Paper(
    name="determinism",
    number=15,
    title="Determinism and speed",
    source="this project's own promise",
    cost="1 minute",
    tasks=tasks,
    work=work,
    judge=judge,
    blocks=5,
)
