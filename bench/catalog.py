"""What a program gets of a large catalog that changes all the time: by socket, from a replica, as a watcher.

    scripts/bench lookups [--seconds 10]

One agent is asked, of three on loopback that together offer 1,000 services with 10 instances each. While
one program changes an instance every 10 ms, in turn, so that no service changes twice in a window: how
long after a change is asked for (the disk included) and after it is acknowledged a follower of the
catalog has it, in seconds of their own and during the lookups; and lookups of random services over the
socket, one at a time, and in a replica. Then, with nothing changing, what 1,000 watchers of one service
each cost the agent.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from select import select

import gossip
from bench import report
from bench.arguments import seconds
from bench.cluster import Cluster
from bench.stats import table

__all__ = ["SUMMARY", "add_arguments", "main"]

SUMMARY = "Lookups and watches of 1,000 services x 10 instances, one of which changes every 10 ms."

_SERVICES = 1_000
_INSTANCES = 10
_NODES = 3
_EVERY = 0.010
_WATCHERS = 1_000
_PER_CONNECTION = 250
_DEADLINE = 120.0

Row = tuple[str, str, str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How long."""
    parser.add_argument("--seconds", type=seconds, default=10.0, help="of each part (10)")
    # The process that changes and watches, started by the other.
    parser.add_argument("--change", metavar="SOCKET", help=argparse.SUPPRESS)


def main(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    if arguments.change:
        _change(arguments.change)
        return 0
    # Short: a unix socket's path has at most 107 bytes.
    with (
        tempfile.TemporaryDirectory(prefix="gbench-") as folder,
        Cluster("gossip", _NODES, Path(folder)) as cluster,
    ):
        cluster.start(seeded=True)
        cluster.loop.wait(cluster.all_see_all, _DEADLINE)
        paths = [str(Path(folder) / f"{agent.name}.sock") for agent in cluster.agents]
        rng = random.Random(4)
        _register(paths)
        rows = list(_measure(paths[0], cluster.agents[0].pid, arguments.seconds, rng))
    header = ["", "rate or share", "p50", "p99"]
    print(table(header, rows))
    report.save_table(
        "catalog",
        report.Table("A large catalog", header, rows, " ".join(str(__doc__).split("\n\n")[2].split())),
    )
    return 0


def _register(paths: list[str]) -> None:
    total = _SERVICES * _INSTANCES
    for node, path in enumerate(paths):
        mine = [_registration(number, 0) for number in range(node, total, _NODES)]
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_DEADLINE)
            connection.connect(path)
            answers = connection.makefile("rb")
            for first in range(0, len(mine), 50):
                part = mine[first : first + 50]
                connection.sendall(b"".join(part))
                for _ in part:
                    answer = json.loads(answers.readline())
                    if "result" not in answer:
                        raise SystemExit(f"a registration was refused: {answer}")
    with gossip.connect(paths[0]) as g:
        deadline = time.monotonic() + _DEADLINE
        while sum(each.instances for each in g.services()) < total:
            if time.monotonic() > deadline:
                raise SystemExit("the services did not become visible everywhere")
            time.sleep(0.2)


def _registration(number: int, turn: int) -> bytes:
    params = {
        "name": f"s{number % _SERVICES}",
        "id": f"i{number}",
        "port": 1_000 + number % 50_000,
        "tags": ["v2", "zone-a"],
        "meta": {"turn": str(turn)},
    }
    request = {"jsonrpc": "2.0", "id": turn, "method": "services.register", "params": params}
    return json.dumps(request).encode() + b"\n"


def _measure(path: str, pid: int, seconds: float, rng: random.Random) -> Iterator[Row]:
    names = [f"s{rng.randrange(_SERVICES)}" for _ in range(4_096)]
    with _changing(path) as outcome:
        time.sleep(seconds + 2)
    yield from _delays(outcome, "on its own")
    with _changing(path) as outcome, gossip.connect(path) as g, g.replica() as replica:
        replica.ready(_DEADLINE)
        yield _rated("socket, raw lines, one at a time", lambda: _by_socket(path, names, seconds))
        yield _rated("socket, `Client.lookup`", lambda: _by_call(g.lookup, names, seconds))
        yield _rated("replica, `catalog.lookup`", lambda: _by_call(replica.lookup, names, seconds))
        rate = _plain_rate(replica.lookup, names, seconds)
        yield ("replica, not timed one by one", f"{rate:,.0f}/s", "", "")
    yield from _delays(outcome, "during the lookups")
    time.sleep(2)
    yield ("CPU of the agent, nothing changing", f"{_idle(pid, seconds):.2%}", "", "")
    with ExitStack() as stack:
        for first in range(0, _WATCHERS, _PER_CONNECTION):
            stack.enter_context(_watching(path, range(first, first + _PER_CONNECTION)))
        time.sleep(2)
        yield (f"the same with {_WATCHERS:,} watchers", f"{_idle(pid, seconds):.2%}", "", "")


def _delays(outcome: Callable[[], tuple[list[float], list[float]]], when: str) -> Iterator[Row]:
    asked, acknowledged = outcome()
    yield _timed(f"change asked for -> seen, {when}", asked)
    yield _timed(f"change acknowledged -> seen, {when}", acknowledged)


def _rated(what: str, measure: Callable[[], tuple[float, list[float]]]) -> Row:
    rate, times = measure()
    return (what, f"{rate:,.0f}/s", *_quantiles(times, 1e6, "us"))


def _timed(what: str, times: list[float]) -> Row:
    return (f"{what} ({len(times)})", "", *_quantiles(times, 1e3, "ms"))


def _quantiles(times: list[float], scale: float, unit: str) -> tuple[str, str]:
    ordered = sorted(times)
    p50, p99 = (ordered[int(len(ordered) * share)] * scale for share in (0.5, 0.99))
    return f"{p50:.2f} {unit}", f"{p99:.2f} {unit}"


def _by_socket(path: str, names: list[str], seconds: float) -> tuple[float, list[float]]:
    lines = [
        b'{"jsonrpc":"2.0","id":7,"method":"services.lookup","params":{"service":"%b"}}\n' % name.encode()
        for name in names
    ]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_DEADLINE)
        connection.connect(path)

        def ask(line: bytes) -> None:
            connection.sendall(line)
            while not connection.recv(1 << 18).endswith(b"\n"):
                pass

        return _by_call(ask, lines, seconds)


def _by_call(
    ask: Callable[[object], object] | Callable[..., object], what: list[str] | list[bytes], seconds: float
) -> tuple[float, list[float]]:
    now, times, place = time.perf_counter, [], 0
    began = now()
    deadline = began + seconds
    while (start := now()) < deadline:
        ask(what[place])
        times.append(now() - start)
        place = (place + 1) % len(what)
    return len(times) / (now() - began), times


def _plain_rate(ask: Callable[[str], object], names: list[str], seconds: float) -> float:
    rounds, began = 0, time.perf_counter()
    deadline = began + seconds
    while time.perf_counter() < deadline:
        for name in names:
            ask(name)
        rounds += 1
    return rounds * len(names) / (time.perf_counter() - began)


def _idle(pid: int, seconds: float) -> float:
    """The share of one core that the agent takes."""

    def used() -> float:
        # Of the main thread, which is where the loop is: those that wait for the disk come and go.
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9

    began, before = time.monotonic(), used()
    time.sleep(seconds)
    return (used() - before) / (time.monotonic() - began)


@contextmanager
def _watching(path: str, services: range) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_DEADLINE)
        connection.connect(path)
        answers = connection.makefile("rb")
        for number in services:
            params = {"service": f"s{number}"}
            request = {"jsonrpc": "2.0", "id": number, "method": "services.watch", "params": params}
            connection.sendall(json.dumps(request).encode() + b"\n")
            answers.readline()
        yield


@contextmanager
def _changing(path: str) -> Iterator[Callable[[], tuple[list[float], list[float]]]]:
    """Somebody changes an instance every 10 ms while the block runs; then, how late a follower saw it."""
    command = [sys.executable, "-m", "bench", "lookups", "--change", path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        result: list[list[float]] = []
        try:
            yield lambda: (result[0], result[1])
        finally:
            found, _ = child.communicate()
            result += json.loads(found)


def _change(path: str) -> None:
    """Change and follow until standard input ends; prints both lists of delays."""
    asked: list[float] = []
    acknowledged: list[float] = []
    sent: dict[int, float] = {}
    answered: dict[int, float] = {}
    seen: dict[int, float] = {}
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as changes,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as follower,
    ):
        for connection in (changes, follower):
            connection.settimeout(_DEADLINE)
            connection.connect(path)
        follower.sendall(b'{"jsonrpc":"2.0","id":1,"method":"catalog.watch"}\n')
        held = {changes: b"", follower: b""}
        turn, due = 0, time.perf_counter() + 2
        while True:
            ready, _, _ = select([changes, follower, sys.stdin], [], [], max(due - time.perf_counter(), 0))
            if sys.stdin in ready:
                break
            if time.perf_counter() >= due:
                due += _EVERY
                turn += 1
                # Those of the agent that is asked: every third.
                number = turn * _NODES % (_SERVICES * _INSTANCES - 1)
                sent[turn] = time.perf_counter()
                changes.sendall(_registration(number - number % _NODES, turn))
            for each, part in tuple(held.items()):
                if each in ready:
                    *lines, held[each] = (part + each.recv(1 << 18)).split(b"\n")
                    _note(lines, time.perf_counter(), answered, seen)
    for turn, at in seen.items():
        if turn in sent:
            asked.append(at - sent[turn])
            acknowledged.append(at - answered.get(turn, at))
    print(json.dumps([asked, acknowledged]))


def _note(lines: list[bytes], now: float, answered: dict[int, float], seen: dict[int, float]) -> None:
    for line in lines:
        message = json.loads(line)
        if "method" not in message:
            answered[message["id"]] = now
            continue
        for each in message["params"].get("instances", ()):
            seen.setdefault(int(each["meta"].get("turn", 0)), now)
