"""Three ways to one server, directly, by haproxy and by `gossip proxy`, and the load that takes them."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench import proc
from bench.agents import BenchError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Ways", "parse_wrk"]

HOST = "127.0.0.1"
DEADLINE = 30.0
SETTLE_SECONDS = 0.5
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}

_HAPROXY = """\
global
  maxconn 9000
  nbthread 1
defaults
  timeout client 1h
  timeout server 1h
  timeout connect 5s
"""
_SERVER = """\
frontend web
  mode http
  bind 127.0.0.1:{port}
  http-request return status 200 content-type text/plain string hello
"""
_FORWARD = """\
frontend entry
  mode tcp
  bind 127.0.0.1:{port}
  default_backend web
backend web
  mode tcp
  server one 127.0.0.1:{server}
"""


def parse_wrk(text: str) -> tuple[float, float]:
    """(requests a second, p99 in ms) of what `wrk --latency` says.

    Raises:
        BenchError: it says something else, or that requests have failed.
    """
    rate = re.search(r"Requests/sec: +(\S+)", text)
    slow = re.search(r"99% +([\d.]+)(us|ms|s|m)", text)
    if rate is None or slow is None or "Non-2xx" in text or "Socket errors" in text:
        raise BenchError(f"wrk did not go well: {text}")
    return float(rate[1]), float(slow[1]) * _UNITS[slow[2]]


class Ways:
    """The server, both proxies and an agent, as long as the block lasts."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._children: list[subprocess.Popen[bytes]] = []
        self.port, *ports = _free_ports(3)
        self._ports = {"direct": self.port, "haproxy": ports[0], "gossip proxy": ports[1]}
        self.names = list(self._ports)
        self._pids: dict[str, int] = {}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self._children):
            child.kill()
            child.wait()

    def _start(self) -> None:
        self._haproxy("server", _SERVER.format(port=self.port))
        forward = _FORWARD.format(port=self._ports["haproxy"], server=self.port)
        self._pids["haproxy"] = self._haproxy("forward", forward).pid
        sock = self._directory / "s"
        gossip = [sys.executable, "-m", "gossip"]
        agent = ["agent", "--dev", "--http", "off", "--bind", f"{HOST}:0", "--socket", str(sock)]
        self._spawn("agent", [*gossip, *agent, "--log-level", "warning"])
        _await(sock.exists, "the agent")
        register = ["register", "web", "--port", str(self.port), "--socket", str(sock)]
        subprocess.run([*gossip, *register], check=True, stdout=subprocess.DEVNULL)
        listen = f"{HOST}:{self._ports['gossip proxy']}"
        command = [*gossip, "proxy", listen, "web", "--socket", str(sock)]
        self._pids["gossip proxy"] = self._spawn("proxy", command).pid
        for name, port in self._ports.items():
            _await(lambda port=port: _answers(port), name)

    def _haproxy(self, name: str, config: str) -> subprocess.Popen[bytes]:
        path = self._directory / f"{name}.cfg"
        path.write_text(_HAPROXY + config)
        return self._spawn(name, ["haproxy", "-db", "-q", "-f", str(path)])

    def _spawn(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        child = proc.spawn(command, self._directory / f"{name}.log")
        self._children.append(child)
        return child

    def load(self, way: str, connections: int, seconds: float) -> tuple[float, float]:
        """(requests a second, p99 in ms).

        Raises:
            BenchError: requests have failed.
        """
        url = f"http://{HOST}:{self._ports[way]}/"
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(round(seconds), 1)}s", "--latency", url]
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
        return parse_wrk(ran.stdout)

    def idle_bytes(self, count: int) -> dict[str, float]:
        """By how much each proxy grows with each connection that says nothing."""
        grown = {}
        for way, pid in self._pids.items():
            with contextlib.ExitStack() as stack:
                # What is made once, by the first ones, is no cost of each.
                _open(stack, self._ports[way], count // 10)
                before = proc.read_memory(pid)[0]
                _open(stack, self._ports[way], count)
                grown[way] = (proc.read_memory(pid)[0] - before) / count
        return grown


def _open(stack: contextlib.ExitStack, port: int, count: int) -> None:
    for _ in range(count):
        stack.enter_context(socket.create_connection((HOST, port), DEADLINE))
    time.sleep(SETTLE_SECONDS)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind((HOST, 0))
        return [each.getsockname()[1] for each in found]


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), 1.0) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return sock.recv(4) == b"HTTP"
    except OSError:
        return False


def _await(condition: object, what: str) -> None:
    assert callable(condition)  # noqa: S101 - a lambda with a default is no Callable[[], bool] for mypy
    deadline = time.monotonic() + DEADLINE
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"{what} does not answer")
        time.sleep(0.02)
