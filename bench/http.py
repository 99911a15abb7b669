"""The HTTP face beside Consul's: the same requests, answers of the same size, in one run.

    scripts/peers consul
    scripts/bench http [--seconds 10] [--rounds 3]

One agent and one Consul 1.8.7, a server by itself, are given the same 10 instances of a service by the same
requests. `wrk` asks each in turn, as fast as it gets answers. Then, with nothing changing, what 1,000 blocked
queries cost them, each for a service of its own that is not there yet.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench import peer_consul, proc
from bench.agents import BenchError
from bench.arguments import counted, seconds
from bench.cluster import Cluster
from bench.peer_gossip import GossipAgent
from bench.stats import scaled, summarize, table

__all__ = ["SUMMARY", "add_arguments", "main"]

SUMMARY = "Services by HTTP, beside Consul: answers a second, and what blocked queries cost."

INSTANCES = 10
GOSSIP = "127.0.0.1:8580"
PATHS = ("/v1/health/service/web?passing=1", "/v1/catalog/service/web")
SETTLE_SECONDS = 3.0
DEADLINE = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How long, how often."""
    parser.add_argument("--seconds", type=seconds, default=10.0, help="of each measurement (default: 10)")
    parser.add_argument("--rounds", type=counted, default=3, help="of each, in turn (default: 3)")
    parser.add_argument("--connections", type=counted, default=32, help="that wrk holds (default: 32)")
    parser.add_argument("--blocked", type=counted, default=1_000, help="queries that wait (default: 1000)")


def main(arguments: argparse.Namespace) -> int:
    """Measure and print; 1 if a program is missing."""
    if shutil.which("wrk") is None:
        print("wrk is not installed: apt-get install wrk", file=sys.stderr)
        return 1
    proc.isolate_network()
    with tempfile.TemporaryDirectory(prefix="gbench-") as name, ExitStack() as stack:
        try:
            pids = _start(Path(name), stack)
        except BenchError as error:
            print(error, file=sys.stderr)
            return 1
        _measure(pids, arguments)
    print("\n" + ", ".join(f"{name}: {value}" for name, value in proc.machine().items()))
    return 0


def _start(directory: Path, stack: ExitStack) -> dict[str, tuple[str, int]]:
    """Address and process of each, with the instances in it."""
    consul = peer_consul.start(directory)
    stack.callback(consul.wait)
    stack.callback(consul.kill)
    cluster = stack.enter_context(Cluster("gossip", 1, directory / "cluster"))
    agent = cluster.agents[0]
    assert isinstance(agent, GossipAgent)  # noqa: S101 - the cluster was asked for those
    agent.options = ["--http", GOSSIP]
    cluster.start(seeded=True)
    found = {"gossip": (GOSSIP, agent.pid), "Consul 1.8.7": (peer_consul.HTTP, consul.pid)}
    for address, _ in found.values():
        _await(address, "/v1/health/state/passing")
        for number in range(INSTANCES):
            _put(address, "/v1/agent/service/register", _registration(number))
        for path in PATHS:
            _await(address, path, INSTANCES)
    return found


def _registration(number: int) -> dict[str, Any]:
    return {
        "Name": "web",
        "ID": f"web-{number}",
        "Address": f"10.0.0.{number}",
        "Port": 8_000,
        "Tags": ["v2", "zone-a"],
        "Meta": {"version": "7"},
        "Check": {"TTL": "10h", "Status": "passing"},
    }


def _measure(pids: dict[str, tuple[str, int]], arguments: argparse.Namespace) -> None:
    rates: dict[tuple[str, str], list[float]] = {}
    for _ in range(arguments.rounds):
        for path in PATHS:
            for name, (address, _) in pids.items():
                rate = _wrk(f"http://{address}{path}", arguments.connections, arguments.seconds)
                rates.setdefault((path, name), []).append(rate)
    rows = []
    for path in PATHS:
        for name, (address, _) in pids.items():
            found = summarize(rates[path, name])
            spread = f"{scaled(found.median)} ({scaled(found.low)} to {scaled(found.high)})"
            rows.append([path, name, f"{len(_ask(address, 'GET', path)[1])}", spread])
    print(table(["asked", "of", "bytes", "answers/s"], rows))
    _rest(SETTLE_SECONDS)
    waiting = []
    for name, (address, pid) in pids.items():
        idle = _cpu(pid, arguments.seconds)
        with _blocked(address, arguments.blocked):
            _rest(SETTLE_SECONDS)
            waiting.append([name, f"{idle:.2%}", f"{_cpu(pid, arguments.seconds):.2%}"])
    print("\n" + table(["CPU, of one core", "idle", f"with {arguments.blocked:,} blocked queries"], waiting))


def _wrk(url: str, connections: int, seconds: float) -> float:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + DEADLINE)
    found = re.search(r"Requests/sec: +(\S+)", done.stdout)
    if found is None or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise BenchError(f"{url}: {done.stdout}")
    return float(found[1])


def _cpu(pid: int, seconds: float) -> float:
    """The share of one core that a process takes."""
    began, before = time.monotonic(), proc.read_usage(pid).cpu_s
    _rest(seconds)
    return (proc.read_usage(pid).cpu_s - before) / (time.monotonic() - began)


def _rest(seconds: float) -> None:
    time.sleep(seconds)


@contextmanager
def _blocked(address: str, count: int) -> Iterator[None]:
    """Queries that wait for ten minutes, if nothing happens."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 200
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    index = _index(address)
    host, _, port = address.partition(":")
    with ExitStack() as stack:
        socks = []
        for number in range(count):
            sock = stack.enter_context(socket.create_connection((host, int(port)), DEADLINE))
            path = f"/v1/health/service/absent-{number}?index={index}&wait=10m"
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            socks.append(sock)
        yield
        for number, sock in enumerate(socks):
            sock.setblocking(False)
            try:
                raise BenchError(f"blocked query {number} was answered: {sock.recv(1_000)!r}")
            except BlockingIOError:
                continue


def _index(address: str) -> str:
    return _ask(address, "GET", "/v1/health/service/absent")[2]


def _ask(address: str, method: str, path: str, body: object = None) -> tuple[int, bytes, str]:
    """Status, body, and X-Consul-Index."""
    connection = http.client.HTTPConnection(address, timeout=DEADLINE)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers.get("X-Consul-Index", "")
    finally:
        connection.close()


def _put(address: str, path: str, body: object) -> None:
    status, text, _ = _ask(address, "PUT", path, body)
    if status != 200:
        raise BenchError(f"{address} refused: {status} {text.decode()}")


def _await(address: str, path: str, count: int = 1) -> None:
    """Until an answer is a list of at least `count`."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        try:
            status, body, _ = _ask(address, "GET", path)
        except OSError:
            status, body = 0, b""
        if status == 200 and len(json.loads(body)) >= count:
            return
        time.sleep(0.1)
    raise BenchError(f"{address}{path}: not {count} entries in time")
