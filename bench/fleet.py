"""A few real agents on loopback, started, killed and asked: with a key, or in clear."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.agents import BenchError
from bench.peer_gossip import command
from gossip.client.channel import Channel
from gossip.config.keyfile import show_key
from gossip.errors import GossipError

__all__ = ["Fleet", "until"]

PATIENCE = 60.0


def until(
    what: str, condition: Callable[[], object], every: float = 0.01, patience: float = PATIENCE
) -> float:
    """Seconds until it holds.

    Raises:
        BenchError: if that takes too long.
    """
    begun = time.perf_counter()
    while not condition():
        if time.perf_counter() - begun > patience:
            raise BenchError(f"not within {patience:g} s: {what}")
        time.sleep(every)
    return time.perf_counter() - begun


def free_port() -> int:
    """A port that nobody has now, for UDP and TCP."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream:
        stream.bind(("127.0.0.1", 0))
        port: int = stream.getsockname()[1]
        return port


class Fleet:
    """So many agents; all end with the block."""

    def __init__(self, size: int, folder: Path, key: bytes | None) -> None:
        folder.mkdir(parents=True)
        self.size = size
        self._folder = folder
        self._ports = [free_port() for _ in range(size)]
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._options: list[str] = []
        if key is not None:
            file = folder / "key"
            file.touch(0o600)
            file.write_text(show_key(key))
            self._options = ["--key-file", str(file)]

    def __enter__(self) -> Self:
        for index in range(self.size):
            self.start(index)
        for index in range(self.size):
            self.await_all(index)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for index in list(self._running):
            self.kill(index)

    def await_all(self, index: int) -> None:
        """Until that agent sees all alive."""
        until(f"agent {index} sees all", lambda: self.alive(index) == self.size)

    def start(self, index: int) -> None:
        """Start one, from its disk."""
        seeds = [f"127.0.0.1:{self._ports[other]}" for other in (0, 1) if other != index]
        words = [
            *command(), "agent", "--name", f"n{index}", "--bind", f"127.0.0.1:{self._ports[index]}",
            "--socket", str(self._socket(index)), "--data-dir", str(self._folder / f"n{index}"),
            *(word for seed in seeds for word in ("--join", seed)), *self._options,
        ]  # fmt: skip
        with (self._folder / f"n{index}.log").open("ab") as log:
            self._running[index] = subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=log)

    def kill(self, index: int) -> None:
        """As kill -9 does."""
        child = self._running.pop(index)
        child.kill()
        child.wait()

    def pid(self, index: int) -> int:
        """Its process."""
        return self._running[index].pid

    def ask(self, index: int, method: str, **params: object) -> Any:
        """One answer; raises `GossipError`."""
        with Channel(self._socket(index)) as channel:
            return channel.call(method, dict(params))

    def statuses(self, index: int) -> dict[str, str]:
        """What that agent holds of whom; nothing while it does not answer."""
        try:
            members = self.ask(index, "members.list")["members"]
        except GossipError:
            return {}
        return {each["name"]: each["status"] for each in members}

    def alive(self, index: int) -> int:
        """How many it holds alive."""
        return list(self.statuses(index).values()).count("alive")

    def _socket(self, index: int) -> Path:
        return self._folder / f"n{index}.sock"
