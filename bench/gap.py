"""How long an agent that is killed and started again at once refuses datagrams, and until it answers.

    scripts/bench gap

From the kill to the first datagram that is not refused: the port is bound again, and what comes waits there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import proc
from bench.agents import BenchError
from bench.arguments import counted
from bench.stats import scaled, summarize, table

__all__ = ["SUMMARY", "add_arguments", "is_refused", "main"]

SUMMARY = "how long the port of an agent that is killed and started again refuses datagrams"
HOST = "127.0.0.1"
DEADLINE = 60.0
REFUSAL_SECONDS = 0.0005
"""Within which loopback tells that a datagram was refused."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--rounds", type=counted, default=10, help="restarts (default: 10)")


def main(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="gossip-bench-") as name:
        gaps, answers = _restarts(Path(name), arguments.rounds)
    rows = []
    for what, seconds in (("port refuses datagrams", gaps), ("answers on its socket", answers)):
        found = summarize(each * 1_000 for each in seconds)
        rows.append([what, scaled(found.median), f"{scaled(found.low)} to {scaled(found.high)}"])
    print(table(["from the kill until it no longer / again, ms", "median", "range"], rows))
    print("\n" + ", ".join(f"{name}: {value}" for name, value in proc.machine().items()))
    return 0


def is_refused(port: int) -> bool:
    """Whether a datagram to that port of this host is refused."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect((HOST, port))
        asking.setblocking(False)
        try:
            asking.send(b"?")
            time.sleep(REFUSAL_SECONDS)
            asking.recv(1)
        except ConnectionRefusedError:
            return True
        except BlockingIOError:
            return False
    return False


def _restarts(directory: Path, rounds: int) -> tuple[list[float], list[float]]:
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    local = directory / "sock"
    command = [sys.executable, "-m", "gossip", "agent", "--insecure", "--bind", f"{HOST}:{port}"]
    command += ["--data-dir", str(directory / "data"), "--socket", str(local), "--log-level", "warning"]
    log = directory / "log"
    agent = proc.spawn(command, log)
    gaps, answers = [], []
    try:
        _await_answer(local, agent)
        for _ in range(rounds):
            killed = time.perf_counter()
            agent.kill()
            agent.wait()
            agent = proc.spawn(command, log)
            # Twice: a refusal that comes late must not be taken for a port that is bound.
            while is_refused(port) or is_refused(port):
                _check(agent, killed)
            gaps.append(time.perf_counter() - killed)
            _await_answer(local, agent)
            answers.append(time.perf_counter() - killed)
    finally:
        agent.kill()
        agent.wait()
    return gaps, answers


def _await_answer(local: Path, agent: subprocess.Popen[bytes]) -> None:
    since = time.perf_counter()
    question = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "agent.info"}).encode() + b"\n"
    while True:
        with socket.socket(socket.AF_UNIX) as asking, contextlib.suppress(OSError):
            asking.connect(str(local))
            asking.sendall(question)
            if asking.recv(1):
                return
        _check(agent, since)
        time.sleep(0.002)


def _check(agent: subprocess.Popen[bytes], since: float) -> None:
    if agent.poll() is not None:
        raise BenchError(f"the agent ended with {agent.returncode}")
    if time.perf_counter() - since > DEADLINE:
        raise BenchError(f"the agent was not back within {DEADLINE:.0f} s")
