"""An agent under measurement: a process, what it has told so far, and what it can be told to do."""

from __future__ import annotations

import abc
import subprocess
import time
from collections import Counter
from pathlib import Path

from bench.loop import Loop

__all__ = ["Agent", "BenchError"]


class BenchError(Exception):
    """A measurement could not be made; the text says why."""


class Agent(abc.ABC):
    """One agent of one system.

    Subclasses feed `see`, `hear`, `acknowledge` and `answered` from what the agent itself says, as it
    says it. All times are monotonic seconds at which the harness has read it.
    """

    def __init__(self, index: int, directory: Path, loop: Loop, base_port: int) -> None:
        self.index = index
        self.name = f"n{index:02d}"
        self.port = base_port + index
        self.address = f"127.0.0.1:{self.port}"
        self.directory = directory
        self.loop = loop
        self.namespace: int | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.launched_at = 0.0
        self.answered_at: float | None = None
        self.view: dict[str, str] = {}
        self.counts: Counter[str] = Counter()
        self.deaths: list[tuple[float, str]] = []
        """When it has begun to show whom as dead."""
        self.heard: set[str] = set()
        self.acknowledged: dict[str, float] = {}
        self.failures: list[str] = []

    def live_on(self, host: str, namespace: int) -> None:
        """It will run at the address `host` of a network of its own, not on the loopback of all others."""
        self.namespace = namespace
        self.address = f"{host}:{self.port}"

    # What it says.

    def answered(self) -> None:
        """It has answered the first request."""
        if self.answered_at is None:
            self.answered_at = time.monotonic()

    def see(self, name: str, status: str) -> None:
        """It shows member `name` as `status`: alive, suspect, dead or left."""
        before = self.view.get(name)
        if before != status:
            if before is not None:
                self.counts[before] -= 1
            self.view[name] = status
            self.counts[status] += 1
            if status == "dead":
                self.deaths.append((time.monotonic(), name))

    def hear(self, token: str) -> None:
        """The change or event `token` is visible there."""
        self.heard.add(token)

    def acknowledge(self, token: str) -> None:
        """It has answered that `token` is done."""
        self.acknowledged[token] = time.monotonic()

    @property
    def present(self) -> int:
        """How many members it takes as being there, itself included."""
        return self.counts["alive"] + self.counts["suspect"]

    # What it is told.

    @property
    def running(self) -> subprocess.Popen[bytes]:
        """The process. Raises BenchError before it is launched."""
        if self.process is None:
            raise BenchError(f"{self.name} is not started")
        return self.process

    @property
    def pid(self) -> int:
        return self.running.pid

    @abc.abstractmethod
    def launch(self, seeds: list[str]) -> None:
        """Start the process; it joins `seeds` by itself."""

    @abc.abstractmethod
    def knock(self) -> None:
        """Try once to reach it, without waiting; `answered_at` tells when it has answered."""

    @abc.abstractmethod
    def join(self, seed: str) -> None:
        """Tell the running agent to join `seed`."""

    @abc.abstractmethod
    def leave(self) -> None:
        """Tell it to leave in good order."""

    @abc.abstractmethod
    def change(self, token: str) -> None:
        """Change what it tells about itself, so that the others come to hear `token`."""

    def change_token(self, _number: int) -> str:
        """What the others come to hear of this agent's change number so and so."""
        return f"change-{_number}-{self.name}"

    @abc.abstractmethod
    def send_event(self, token: str) -> None:
        """Send an event `token` to all."""

    @abc.abstractmethod
    def disconnect(self) -> None:
        """Close the harness's own connections to it."""

    @staticmethod
    @abc.abstractmethod
    def version() -> str:
        """What is measured, in a few words. Raises BenchError if it is not there."""

    def cli(self) -> tuple[list[str], dict[str, str]] | None:
        """Command and environment that list the members of this agent; None if there is no such command."""
        return None

    def check_running(self) -> None:
        """Raise BenchError with the last line of its log if the process has ended."""
        if self.process is not None and self.process.poll() is not None:
            log = self.directory / f"{self.name}.log"
            lines = log.read_text(errors="replace").split("\n") if log.exists() else []
            last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
            raise BenchError(f"{self.name} ended with status {self.process.returncode}: {last}")

    def check_followed(self) -> None:
        """Raise BenchError if what it says is not heard any more: its process or its connection has ended."""
        self.check_running()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process is not None:
            self.process.kill()

    def forget(self) -> None:
        """It will be launched again: what the harness knew of its former life is void."""
        self.answered_at = None
        self.view.clear()
        self.counts.clear()
        self.deaths.clear()

    def bury(self) -> None:
        """End it and wait until it is gone."""
        self.disconnect()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout):
                if stream is not None:
                    stream.close()
