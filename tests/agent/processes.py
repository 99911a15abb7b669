"""Real agents as processes of their own: started, asked over their socket, stopped or killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.support import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

__all__ = ["PATIENCE", "Ask", "Process", "until"]

PATIENCE = 30.0
"""Seconds that anything may take on a machine that is busy with other things."""


def until(what: str, condition: Any, patience: float = PATIENCE) -> Any:
    """The first true value of `condition()`, which is asked again until there is one."""
    deadline = time.monotonic() + patience
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {patience:g} s: {what}"
        time.sleep(0.01)
    return value


class Ask:
    """A connection to a local socket."""

    def __init__(self, path: Path) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(PATIENCE)
        try:
            self._sock.connect(str(path))
        except OSError:
            self._sock.close()
            raise
        self._file = self._sock.makefile("rb")
        self._number = 0

    def send(self, method: str, **params: object) -> int:
        self._number += 1
        message = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        self._sock.sendall(json.dumps(message).encode() + b"\n")
        return self._number

    def line(self) -> Any:
        """The next message; None when the agent has gone, in whatever way."""
        try:
            line = self._file.readline()
        except ConnectionError:
            return None
        return json.loads(line) if line.endswith(b"\n") else None

    def call(self, method: str, **params: object) -> Any:
        number = self.send(method, **params)
        answer = self.line()
        assert answer is not None, "the agent has gone"
        assert answer["id"] == number
        assert "result" in answer, answer
        return answer["result"]

    def close(self) -> None:
        self._file.close()
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Process:
    """One agent. Whatever happens in the test, the process ends with the block.

    `before` is a program that runs the agent in its own place, such as `ip netns exec NAME`.
    """

    def __init__(
        self,
        folder: Path,
        *options: str,
        name: str = "n1",
        bind: str = "127.0.0.1:0",
        before: Sequence[str] = (),
        extra: dict[str, str] | None = None,
    ) -> None:
        self.socket = folder / "s.sock"
        self.log = folder / "log"
        self._name = name
        self._bind = bind
        self._before = before
        self._options = options
        self._folder = folder
        self._extra = extra or {}
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        command = [
            *self._before,
            sys.executable, "-m", "gossip", "agent", "--bind", self._bind, "--name", self._name, "--socket",
            str(self.socket), "--data-dir", str(self._folder / "data"), "--log-format", "json",
            *self._options,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                command, cwd=ROOT, env=clean_environment(self._extra), stdin=subprocess.DEVNULL, stderr=log
            )
        return self

    @property
    def child(self) -> subprocess.Popen[bytes]:
        assert self._child is not None
        return self._child

    def ready(self) -> Self:
        until("the agent answers", self._answers)
        return self

    def _answers(self) -> bool:
        assert self.child.poll() is None, f"ended with {self.child.returncode}: {self.log.read_text()}"
        try:
            with self.ask() as ask:
                return bool(ask.call("agent.info")["pid"] == self.child.pid)
        except OSError:
            return False

    def ask(self) -> Ask:
        return Ask(self.socket)

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    def wait(self) -> int:
        return self.child.wait(PATIENCE)

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def __enter__(self) -> Self:
        return self.start().ready()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.child.poll() is None:
            os.kill(self.child.pid, signal.SIGCONT)
            self.kill()
