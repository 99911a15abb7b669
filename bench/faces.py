"""Does gossip go first? One of five agents answers as many requests as it can, and the cluster goes on.

The loaded agent is asked over HTTP by `wrk`, over its local socket by `socket_load`, and over DNS by
`dnsperf`, if that is there, without a pause.
Meanwhile another agent is killed, again and again. Told are: how soon the loaded agent shows that, beside
itself when idle; how late it comes to its timers, by its own metrics; and whether anybody has suspected it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from bench import proc
from bench.agents import Agent, BenchError
from bench.arguments import counted
from bench.cluster import Cluster
from bench.dns import parse_report
from bench.lookups import requests
from bench.peer_gossip import SERVICE, GossipAgent
from bench.stats import scaled, summarize, table

__all__ = ["SUMMARY", "add_arguments", "lag_quantile", "main"]

SUMMARY = (
    "one of five agents under load on its faces: is it suspected, and does it still see a crash in time?"
)
HTTP_OFFSET = 1_000
"""An agent's HTTP port stands so far above its gossip port."""
DNS_OFFSET = 2_000
PATH = f"/gossip/v1/services/{SERVICE}"
SETTLE_SECONDS = 3.0
DEADLINE = 60.0
DEPTH = 8
BUCKET = re.compile(r'^gossip_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)$', re.MULTILINE)
_HERE = Path(__file__).parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--size", type=counted, default=5, help="agents (default: 5)")
    parser.add_argument(
        "--rounds", type=counted, default=5, help="crashes each, idle and under load (default: 5)"
    )
    parser.add_argument("--connections", type=counted, default=100, help="clients over HTTP (default: 100)")
    parser.add_argument(
        "--programs", type=counted, default=100, help="clients of the local socket (default: 100)"
    )
    parser.add_argument("--path", default=PATH, help=f"what is asked over HTTP (default: {PATH})")


def main(arguments: argparse.Namespace) -> int:
    """Measure and print; 1 if wrk is missing."""
    if shutil.which("wrk") is None:
        print("wrk is not installed: apt-get install wrk", file=sys.stderr)
        return 1
    proc.isolate_network()
    with tempfile.TemporaryDirectory(prefix="gossip-bench-") as name:
        directory = Path(name)
        with Cluster("gossip", arguments.size, directory) as cluster:
            for agent in cluster.agents:
                _serve_http(agent)
            cluster.start(seeded=True)
            _await_all(cluster)
            cluster.agents[-1].change("web-1")
            _report(cluster, arguments, directory)
    return 0


def _serve_http(agent: Agent) -> None:
    assert isinstance(agent, GossipAgent)  # noqa: S101 - the cluster was asked for those
    agent.options = ["--log-format", "json", "--http", f"127.0.0.1:{agent.port + HTTP_OFFSET}"]
    agent.options += ["--dns", f"127.0.0.1:{agent.port + DNS_OFFSET}"]


def _await_all(cluster: Cluster) -> None:
    if cluster.loop.wait(cluster.all_see_all, DEADLINE) is None:
        raise BenchError("the agents did not find one another")
    cluster.loop.rest(SETTLE_SECONDS)


def _report(cluster: Cluster, arguments: argparse.Namespace, directory: Path) -> None:
    rounds = arguments.rounds
    idle = _crashes(cluster, rounds)
    before, since = [_lag(agent) for agent in cluster.agents[:2]], time.time()
    with _load(cluster.agents[0], arguments, directory) as answered:
        cluster.loop.rest(SETTLE_SECONDS)
        loaded = _crashes(cluster, rounds)
        after = [_lag(agent) for agent in cluster.agents[:2]]
        worst = [_worst(agent) for agent in cluster.agents[:2]]
    rows = []
    for place, what in enumerate(("suspected", "failed")):
        found = [summarize(each[place] for each in times) for times in (idle, loaded)]
        cells = [f"{scaled(s.median)} ({scaled(s.low)} to {scaled(s.high)})" for s in found]
        rows.append([f"SIGKILL until {what}, s", *cells])
    print(table(["the loaded agent", "idle", "under load"], rows))
    accused = sum(_suspicions(agent, cluster.agents[0].name, since) for agent in cluster.agents[1:])
    print(f"\nsuspicions of the loaded agent under load, at all others: {accused}")
    # The other one shows what the machine alone does to an agent that has nothing to do.
    for place, who in enumerate(("the loaded agent", "another agent")):
        late = [lag_quantile(before[place], after[place], share) * 1000 for share in (0.5, 0.99)]
        print(
            f"loop lag of {who}, ms: p50 {scaled(late[0])}, p99 {scaled(late[1])},"
            f" worst of the last minute {scaled(worst[place] * 1000)}"
        )
    for face, rate in answered.items():
        print(f"answers a second, {face}: {scaled(rate)}")
    print("\n" + ", ".join(f"{name}: {value}" for name, value in proc.machine().items()))


# --------------------------------------------------------------------------------------------- crashes


def _crashes(cluster: Cluster, rounds: int) -> list[tuple[float | None, float | None]]:
    """Seconds until the first agent suspects the last one and calls it failed, for each crash."""
    watcher, victim = cluster.agents[0], cluster.agents[-1]
    times = []
    for _ in range(rounds):
        at = time.time()
        victim.kill()
        deadline = time.monotonic() + DEADLINE
        while _seen(watcher, "member_failed", victim.name, at) is None and time.monotonic() < deadline:
            cluster.loop.rest(0.2)
        times.append(
            tuple(
                None if (seen := _seen(watcher, event, victim.name, at)) is None else seen - at
                for event in ("member_suspected", "member_failed")
            )
        )
        cluster.revive(victim)
        cluster.loop.rest(SETTLE_SECONDS)
    return [(suspected, failed) for suspected, failed in times]


def _events(agent: Agent, event: str, name: str, since: float) -> Iterator[float]:
    """When the agent logged such an event, by the wall clock."""
    for line in (agent.directory / f"{agent.name}.log").read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            record = json.loads(line)
            if record["event"] == event and record.get("name") == name:
                at = datetime.fromisoformat(record["time"]).timestamp()
                # The log has milliseconds.
                if at >= since - 0.001:
                    yield at


def _seen(agent: Agent, event: str, name: str, since: float) -> float | None:
    return next(_events(agent, event, name, since), None)


def _suspicions(agent: Agent, name: str, since: float) -> int:
    return len(list(_events(agent, "member_suspected", name, since)))


# ------------------------------------------------------------------------------------------------ load


@contextlib.contextmanager
def _load(agent: Agent, arguments: argparse.Namespace, directory: Path) -> Iterator[dict[str, float]]:
    """Clients of both faces, as long as the block lasts; what they got is told when it has ended."""
    answered: dict[str, float] = {}
    asked = directory / "asked"
    asked.write_bytes(requests(SERVICE, DEPTH))
    local_socket = directory / f"{agent.name}.sock"
    url = f"http://127.0.0.1:{agent.port + HTTP_OFFSET}{arguments.path}"
    local = proc.spawn(
        [
            sys.executable,
            str(_HERE / "socket_load.py"),
            str(local_socket),
            str(asked),
            str(arguments.programs),
        ],
        None,
        piped=True,
    )
    web = proc.spawn(
        ["wrk", "-t1", f"-c{arguments.connections}", "-d3600s", "--timeout", "30s", url], None, piped=True
    )
    names = _ask_names(agent, directory)
    try:
        yield answered
        local.send_signal(signal.SIGTERM)
        web.send_signal(signal.SIGINT)
        count, seconds = _said(local).split()
        answered["local socket"] = int(count) / float(seconds)
        found = re.search(r"Requests/sec: +(\S+)", _said(web))
        answered["HTTP"] = float(found[1]) if found else 0.0
        for process in names:
            process.send_signal(signal.SIGINT)
            answered["DNS"], _ = parse_report(_said(process))
    finally:
        for process in (local, web, *names):
            process.kill()
            process.wait()


def _ask_names(agent: Agent, directory: Path) -> list[subprocess.Popen[bytes]]:
    """Has dnsperf ask, if there is one."""
    if shutil.which("dnsperf") is None:
        return []
    asked = directory / "names"
    asked.write_text(f"{SERVICE}.service.gossip SRV\n")
    line = ["dnsperf", "-s", "127.0.0.1", "-p", str(agent.port + DNS_OFFSET), "-d", str(asked)]
    return [proc.spawn([*line, "-l", "3600", "-T", "1", "-c", "1"], None, piped=True)]


def _said(process: subprocess.Popen[bytes]) -> str:
    return process.communicate(timeout=DEADLINE)[0].decode()


def _metrics(agent: Agent) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{agent.port + HTTP_OFFSET}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def _lag(agent: Agent) -> dict[float, float]:
    """The cumulative histogram, by its bounds in seconds."""
    return {float(bound): float(count) for bound, count in BUCKET.findall(_metrics(agent))}


def _worst(agent: Agent) -> float:
    found = re.search(r"^gossip_loop_lag_worst_seconds (\S+)$", _metrics(agent), re.MULTILINE)
    return float(found[1]) if found else float("nan")


def lag_quantile(before: dict[float, float], after: dict[float, float], share: float) -> float:
    """The quantile of what came in between, seconds, as Prometheus reckons it: even within a bucket."""
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    rank = share * max(counts.values(), default=0.0)
    low = below = 0.0
    for bound, count in counts.items():
        if count >= rank and count > below:
            return low if bound == float("inf") else low + (bound - low) * (rank - below) / (count - below)
        low, below = bound, count
    return float("nan")
