"""kinship: a library without a daemon, so each node is a small process of our own that tells its events.

It lives in an environment of its own under out/, made on first use, never among the project's packages.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from bench.agents import Agent, BenchError
from bench.loop import Loop
from bench.proc import spawn

__all__ = ["KinshipAgent", "interpreter"]

_ROOT = Path(__file__).resolve().parent.parent
_ENVIRONMENT = _ROOT / "out" / "kinship-env"
_NODE = Path(__file__).with_name("kinship_node.py")


def interpreter() -> Path:
    """The Python that has kinship; makes its environment the first time. Raises BenchError."""
    python = _ENVIRONMENT / "bin" / "python"
    if not (_ENVIRONMENT / "ready").exists():
        _ENVIRONMENT.parent.mkdir(exist_ok=True)
        steps = [
            [sys.executable, "-m", "venv", "--clear", str(_ENVIRONMENT)],
            [str(python), "-m", "pip", "install", "--quiet", "kinship"],
        ]
        for step in steps:
            done = subprocess.run(step, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise BenchError(f"kinship could not be installed: {done.stderr.strip()[-300:]}")
        (_ENVIRONMENT / "ready").touch()
    return python


class KinshipAgent(Agent):
    """One kinship node with its LAN preset, unencrypted as the others are."""

    def __init__(self, index: int, directory: Path, loop: Loop, base_port: int) -> None:
        super().__init__(index, directory, loop, base_port)
        self._buffer = b""
        self._output = -1

    @staticmethod
    def version() -> str:
        code = "import importlib.metadata as m; print(m.version('kinship'))"
        done = subprocess.run([str(interpreter()), "-c", code], capture_output=True, text=True, check=True)
        return f"kinship {done.stdout.strip()}"

    def launch(self, seeds: list[str]) -> None:
        python = _ENVIRONMENT / "bin" / "python"
        self.launched_at = time.monotonic()
        # -P: the node must not find the modules of this folder.
        command = [str(python), "-P", str(_NODE), self.name, self.address, *seeds]
        self.process = spawn(command, self.directory / f"{self.name}.log", piped=True)
        if self.process.stdout is not None:
            self._output = self.process.stdout.fileno()
            self.loop.add(self._output, self._readable)

    def knock(self) -> None:
        """Nothing to knock at: the node tells by itself that it is ready."""

    def _readable(self) -> None:
        data = os.read(self._output, 1 << 18)
        if not data:
            self.disconnect()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, words: list[str]) -> None:
        match words:
            case ["ready"]:
                self.answered()
            case ["sees", name, status]:
                self.see(name, status)
            case ["heard", token]:
                self.hear(token)
            case ["done", token]:
                self.acknowledge(token)

    def _tell(self, *words: str) -> None:
        if self.running.stdin is not None:
            self.running.stdin.write(json.dumps(words).encode() + b"\n")
            self.running.stdin.flush()

    def join(self, seed: str) -> None:
        self._tell("join", seed)

    def leave(self) -> None:
        self._tell("leave")

    def change(self, token: str) -> None:
        self._tell("change", token)

    def send_event(self, token: str) -> None:
        self._tell("event", token)

    def disconnect(self) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self.loop.remove(self._output)
