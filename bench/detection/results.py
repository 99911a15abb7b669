"""What was measured, in a file: what each task has brought, and what it takes to judge it later."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from bench import proc
from bench.agents import BenchError
from bench.cluster import SYSTEMS as AGENTS
from bench.detection.plan import SYSTEMS, Settings, Task

__all__ = ["Done", "Results", "load", "save", "versions"]

_ROOT = Path(__file__).resolve().parents[2]


def versions() -> dict[str, str]:
    """What is here to be measured. Raises BenchError if a system is not installed."""
    found = {system: AGENTS[system].version() for system in SYSTEMS}
    # Between releases the number says little: with it goes the last change of what an agent runs.
    told = subprocess.run(
        ["git", "-C", str(_ROOT), "log", "-1", "--format=%h", "--", "gossip"],
        capture_output=True,
        text=True,
        check=False,
    )
    if told.returncode == 0 and told.stdout.strip():
        found["gossip"] += f", commit {told.stdout.strip()}"
    return found


class Done(Struct, frozen=True):
    """A task that was done."""

    task: Task
    took: float
    """Seconds."""
    brought: dict[str, Any]
    """Its raw results, as `faults` makes them."""


class Results(Struct):
    """All of a file."""

    settings: Settings
    versions: dict[str, str]
    """By system."""
    machine: dict[str, str] = field(default_factory=proc.machine)
    runs: list[str] = []
    """The commands that it comes from, with their times."""
    done: list[Done] = []
    errors: dict[str, str] = {}
    """What could not be measured, and why, by the task's name."""

    def begin(self, command: str) -> None:
        """Another command goes on with it. Raises BenchError if it would not measure the same."""
        if (found := versions()) != self.versions:
            before, now = (", ".join(each.values()) for each in (self.versions, found))
            raise BenchError(f"measured were {before}, and here are {now}: begin anew with another --out")
        self.runs.append(f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC, `{command}`")

    def has(self, task: Task) -> bool:
        return any(done.task == task for done in self.done)

    def keep(self, task: Task, brought: dict[str, Any], took: float) -> None:
        """Add what the task has brought, after `took` seconds."""
        self.errors.pop(task.name, None)
        self.done.append(Done(task, took, brought))

    @property
    def sizes(self) -> list[int]:
        return sorted({done.task.size for done in self.done})

    def of(self, kind: str, size: int, system: str) -> Iterator[dict[str, Any]]:
        """What its tasks of this kind have brought."""
        for done in self.done:
            if (done.task.kind, done.task.size, done.task.system) == (kind, size, system):
                yield done.brought


def load(path: Path) -> Results:
    """What the file has. Raises BenchError if it has something else, or cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Results)
    except OSError as error:
        raise BenchError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise BenchError(f"{path} has no results of `scripts/bench detection`: {error}") from error


def save(path: Path, results: Results) -> None:
    """Replace the file; what interrupts this leaves the former."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    fresh.replace(path)
