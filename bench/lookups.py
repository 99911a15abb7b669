"""Lookups per second over the local socket, beside a bare echo of the same bytes in the same round.

That is a step of `run`; the command `lookups` measures a large catalog (`bench.catalog`).
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

from bench import proc
from bench.agents import BenchError
from bench.catalog import SUMMARY, add_arguments, main
from bench.cluster import Cluster
from bench.steps import Plan, Samples

__all__ = ["SUMMARY", "add_arguments", "lookups", "main", "requests"]

DEPTH = 64
_NODES = 3
_INSTANCES = {"one": 1, "ten": 10}
_HERE = Path(__file__).parent
_DEADLINE = 30.0


def requests(service: str, count: int) -> bytes:
    """`count` lookups of `service`, one a line, all of one length."""
    lines = []
    for number in range(count):
        params = {"service": service}
        request = {"jsonrpc": "2.0", "id": 100 + number, "method": "services.lookup", "params": params}
        lines.append(json.dumps(request, separators=(",", ":")).encode() + b"\n")
    return b"".join(lines)


def _ask(path: Path, request: bytes) -> bytes:
    """One request, its whole answer."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_DEADLINE)
        connection.connect(str(path))
        connection.sendall(request)
        answer = b""
        while not answer.endswith(b"\n"):
            data = connection.recv(1 << 18)
            if not data:
                raise BenchError("the agent closed its socket")
            answer += data
        return answer


def lookups(system: str, _size: int, plan: Plan, directory: Path) -> Samples:
    """Rates for one and ten instances, one at a time and pipelined, pinned to one core and free."""
    samples: Samples = defaultdict(list)
    if system != "gossip":
        return samples
    with Cluster(system, _NODES, directory / "cluster") as cluster:
        cluster.start(seeded=True)
        cluster.loop.wait(cluster.all_see_all, _DEADLINE)
        path = directory / "cluster" / f"{cluster.agents[0].name}.sock"
        for service, count in _INSTANCES.items():
            _register(cluster, directory, service, count)
            _await_instances(path, service, count)
        for _ in range(plan.lookup_rounds):
            for service in _INSTANCES:
                _round(cluster.agents[0].pid, path, service, plan, directory, samples)
    return samples


def _register(cluster: Cluster, directory: Path, service: str, count: int) -> None:
    for number in range(count):
        agent = cluster.agents[number % cluster.size]
        parameters = {"name": service, "id": f"{service}-{number}", "port": 8000 + number}
        request = {"jsonrpc": "2.0", "id": 1, "method": "services.register", "params": parameters}
        _ask(directory / "cluster" / f"{agent.name}.sock", json.dumps(request).encode() + b"\n")


def _await_instances(path: Path, service: str, count: int) -> None:
    deadline = time.monotonic() + _DEADLINE
    while len(json.loads(_ask(path, requests(service, 1)))["result"]["instances"]) != count:
        if time.monotonic() > deadline:
            raise BenchError(f"{count} instances of {service} did not become visible")
        time.sleep(0.05)


def _round(pid: int, path: Path, service: str, plan: Plan, directory: Path, samples: Samples) -> None:
    """The agent and the echo, each by both clients, pinned and free."""
    single, batch, answer = (directory / f"{service}.{kind}" for kind in ("single", "batch", "answer"))
    single.write_bytes(requests(service, 1))
    batch.write_bytes(requests(service, DEPTH))
    answer.write_bytes(_ask(path, requests(service, 1)))
    everywhere = os.sched_getaffinity(0)
    for place, cores in (("pinned", {min(everywhere)}), ("free", everywhere)):
        proc.pin(pid, cores)
        echo_path = directory / "echo.sock"
        echo_path.unlink(missing_ok=True)
        rates: dict[tuple[str, str], float] = {}
        listed = ",".join(str(core) for core in sorted(cores))
        server = proc.spawn(
            [sys.executable, str(_HERE / "echo_server.py"), str(echo_path), str(answer), listed], None
        )
        try:
            _await_socket(echo_path)
            for kind, target in (("echo", echo_path), ("lookup", path)):
                for mode, asked in (("single", single), ("batch", batch)):
                    rates[kind, mode] = _client(target, asked, plan.lookup_s, listed)
        finally:
            server.kill()
            server.wait()
        for mode in ("single", "batch"):
            key = f"{service}_{mode}_{place}"
            samples[f"ratio_{key}"].append(rates["lookup", mode] / rates["echo", mode])
            for kind in ("echo", "lookup"):
                samples[f"{kind}_{key}"].append(rates[kind, mode])
    proc.pin(pid, everywhere)


def _await_socket(path: Path) -> None:
    deadline = time.monotonic() + _DEADLINE
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            try:
                connection.connect(str(path))
            except OSError:
                time.sleep(0.01)
            else:
                return
    raise BenchError("the echo server did not start")


def _client(path: Path, asked: Path, seconds: float, cores: str) -> float:
    """Answers per second that one client gets."""
    command = [sys.executable, str(_HERE / "lookup_client.py"), str(path), str(asked), str(seconds), cores]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + _DEADLINE)
    answers, elapsed = done.stdout.split()
    return int(answers) / float(elapsed)
