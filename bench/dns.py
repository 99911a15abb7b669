"""Answers a second over DNS, beside a Consul server that has the same services, asked in turns.

    scripts/bench dns

Consul is taken from PATH, or from where `scripts/peers` unpacks it; without it, only ours are measured. It is
let give as many records over UDP as there are (its default is three), so that answers are of one size.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import proc
from bench.agents import BenchError
from bench.arguments import counted
from bench.peer_gossip import command
from bench.stats import scaled, summarize, table

__all__ = ["QUESTIONS", "SUMMARY", "add_arguments", "main", "parse_report"]

SUMMARY = "answers a second over DNS, beside a Consul server with the same services"
HOST = "127.0.0.1"
DEADLINE = 60.0
OUTSTANDING = 100
"""Queries under way: as dnsperf has it by default."""
QUESTIONS = {
    "A": "web.service.consul A",
    "SRV": "web.service.consul SRV",
    "RFC 2782": "_web._tcp.service.consul SRV",
    "NXDOMAIN": "nobody.service.consul A",
}
PEERS = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gossip-peers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--seconds", type=counted, default=5, help="of each measurement (default: 5)")
    parser.add_argument("--rounds", type=counted, default=3, help="of each (default: 3)")
    parser.add_argument("--instances", type=counted, default=10, help="of the service (default: 10)")
    parser.add_argument("--consul", help="the program (default: from PATH, or unpacked by scripts/peers)")


def main(arguments: argparse.Namespace) -> int:
    """Measure and print; 1 if dnsperf is missing."""
    if shutil.which("dnsperf") is None:
        print("dnsperf is not installed: apt-get install dnsperf", file=sys.stderr)
        return 1
    consul = arguments.consul or shutil.which("consul") or str(PEERS / "consul" / "usr" / "bin" / "consul")
    proc.isolate_network()
    with tempfile.TemporaryDirectory(prefix="gossip-bench-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        ports = {"gossip": stack.enter_context(_gossip(directory, arguments.instances))}
        if Path(consul).exists():
            ports["consul"] = stack.enter_context(_consul(consul, directory, arguments.instances))
        else:
            print("no consul here (scripts/peers consul fetches it): ours alone\n", file=sys.stderr)
        _report(ports, directory, arguments)
    return 0


def _report(ports: dict[str, int], directory: Path, arguments: argparse.Namespace) -> None:
    rates: dict[tuple[str, str], list[float]] = defaultdict(list)
    lost: dict[str, int] = defaultdict(int)
    for _ in range(arguments.rounds):
        for kind, question in QUESTIONS.items():
            asked = directory / "asked"
            asked.write_text(question + "\n")
            for system, port in ports.items():
                rate, missing = _measure(port, asked, arguments.seconds)
                rates[system, kind].append(rate)
                lost[system] += missing
    rows = []
    for kind in QUESTIONS:
        cells = []
        for system in ports:
            found = summarize(rates[system, kind])
            cells.append(f"{scaled(found.median)} ({scaled(found.low)} - {scaled(found.high)})")
        if "consul" in ports:
            ratio = summarize(rates["gossip", kind]).median / summarize(rates["consul", kind]).median
            cells.append(scaled(ratio))
        rows.append([kind, *cells])
    header = [f"answers a second, {arguments.instances} instances", *ports]
    print(table([*header, "ratio"] if "consul" in ports else header, rows))
    print("\nqueries lost: " + ", ".join(f"{system} {lost[system]}" for system in ports))
    print(", ".join(f"{name}: {value}" for name, value in proc.machine().items()))


def _measure(port: int, asked: Path, seconds: int) -> tuple[float, int]:
    line = ["dnsperf", "-s", HOST, "-p", str(port), "-d", str(asked), "-l", str(seconds), "-e"]
    line += ["-q", str(OUTSTANDING), "-T", "1", "-c", "1"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=seconds + DEADLINE)
    if done.returncode != 0:
        raise BenchError(f"dnsperf: {done.stderr.strip()[-300:]}")
    return parse_report(done.stdout)


def parse_report(text: str) -> tuple[float, int]:
    """Answers a second and queries lost, of what dnsperf says.

    Raises:
        BenchError: it says no such thing.
    """
    rate = re.search(r"Queries per second: +([\d.]+)", text)
    lost = re.search(r"Queries lost: +(\d+)", text)
    if rate is None or lost is None:
        raise BenchError(f"dnsperf said: {text.strip()[-300:]}")
    return float(rate[1]), int(lost[1])


# ------------------------------------------------------------------------------------------- who answers


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server((HOST, 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def _await(what: str, condition: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + DEADLINE
    while True:
        with contextlib.suppress(OSError, urllib.error.URLError):
            if condition():
                return
        if process.poll() is not None:
            raise BenchError(f"it ended with {process.returncode}: {log.read_text()[-300:]}")
        if time.monotonic() > deadline:
            raise BenchError(f"not within {DEADLINE:.0f} s: {what}")
        time.sleep(0.05)


@contextlib.contextmanager
def _gossip(directory: Path, instances: int) -> Iterator[int]:
    """An agent; the port of its DNS."""
    bind, dns = _free_ports(2)
    path, log = directory / "gossip.sock", directory / "gossip.log"
    line = [*command(), "agent", "--name", "one", "--bind", f"{HOST}:{bind}", "--dns", f"{HOST}:{dns}"]
    line += ["--data-dir", str(directory / "gossip"), "--socket", str(path), "--log-level", "warning"]
    process = proc.spawn(line, log)
    try:
        _await("gossip answers", lambda: bool(_call(path, "agent.info")), process, log)
        for number in range(instances):
            _call(path, "services.register", name="web", id=f"web{number}", port=80, address=_host(number))
        yield dns
    finally:
        process.kill()
        process.wait()


def _call(path: Path, method: str, **params: object) -> object:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(DEADLINE)
        asking.connect(str(path))
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        asking.sendall(json.dumps(request).encode() + b"\n")
        answer = json.loads(asking.makefile("rb").readline())
    if "error" in answer:
        raise BenchError(f"{method}: {answer['error']['message']}")
    return answer["result"]


def _host(number: int) -> str:
    return f"10.0.{number >> 8}.{number & 255}"


@contextlib.contextmanager
def _consul(program: str, directory: Path, instances: int) -> Iterator[int]:
    """A Consul server by itself; the port of its DNS."""
    dns, http, server, lan, wan = _free_ports(5)
    settings = {
        "server": True, "bootstrap_expect": 1, "node_name": "one", "bind_addr": HOST,
        "data_dir": str(directory / "consul"), "log_level": "ERR",
        "ports": {"dns": dns, "http": http, "server": server, "serf_lan": lan, "serf_wan": wan},
        "dns_config": {"udp_answer_limit": 1_000, "enable_truncate": True},
    }  # fmt: skip
    config, log = directory / "consul.json", directory / "consul.log"
    config.write_text(json.dumps(settings))
    process = proc.spawn([program, "agent", "-config-file", str(config)], log)
    try:
        leader = f"http://{HOST}:{http}/v1/status/leader"
        _await("consul has a leader", lambda: len(_read(leader)) > 2, process, log)
        for number in range(instances):
            body = {"Name": "web", "ID": f"web{number}", "Port": 80, "Address": _host(number)}
            url = f"http://{HOST}:{http}/v1/agent/service/register"
            request = urllib.request.Request(url, json.dumps(body).encode(), method="PUT")
            with urllib.request.urlopen(request, timeout=DEADLINE):  # noqa: S310 - http, as written above
                pass
        listed = f"http://{HOST}:{http}/v1/health/service/web?passing"
        _await("all are listed", lambda: len(json.loads(_read(listed))) == instances, process, log)
        yield dns
    finally:
        process.kill()
        process.wait()


def _read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=DEADLINE) as answer:  # noqa: S310 - http, as its callers write
        text: bytes = answer.read()
    return text
