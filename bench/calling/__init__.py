"""What calling by name costs beside calling directly, and how evenly calls are spread.

    scripts/bench calling           about four minutes, on a machine that does nothing else
    scripts/bench calling --quick   a smoke run

Everything is measured in one run, in turns: the same load goes directly to a server, through haproxy in
TCP mode, and through `gossip proxy`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from bench import proc
from bench.arguments import counted, seconds
from bench.calling.balance import draw
from bench.calling.cost import pick_cost, transport_cost
from bench.calling.ways import Ways
from bench.report import Table, publish
from bench.stats import scaled, summarize, table

__all__ = ["SUMMARY", "add_arguments", "main"]

SUMMARY = (
    "what the transport and the proxy cost beside a direct connection and haproxy; how even the balance is"
)
TITLE = "Calling by name"
PICTURE = Path(__file__).resolve().parent.parent / "pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--quick", action="store_true", help="see that it works; the numbers mean nothing")
    parser.add_argument("--rounds", type=counted, default=5, help="turns of each way (default: 5)")
    parser.add_argument("--seconds", type=seconds, default=8.0, help="of load in each turn (default: 8)")
    parser.add_argument("--idle", type=counted, default=2_000, help="idle connections (default: 2000)")
    parser.add_argument("--no-publish", action="store_true", help="print only, and leave the report as it is")


def main(arguments: argparse.Namespace) -> int:
    """Measure, print, and put it into the report; 1 if a program is missing."""
    for program in ("wrk", "haproxy"):
        if shutil.which(program) is None:
            print(f"{program} is not installed: apt-get install {program}", file=sys.stderr)
            return 1
    if arguments.quick:
        arguments.rounds, arguments.seconds, arguments.idle, arguments.no_publish = 1, 1.0, 100, True
    proc.isolate_network()
    rows = []
    with tempfile.TemporaryDirectory(prefix="gossip-bench-") as name, Ways(Path(name)) as ways:
        for connections in (1, 50):
            rows += _loads(ways, connections, arguments.rounds, arguments.seconds)
        for way, size in ways.idle_bytes(arguments.idle).items():
            rows.append([f"memory of an idle connection, KB: {way}", scaled(size / 1000), ""])
        direct, by_name = transport_cost(ways.port, 2 if arguments.quick else 40)
        rows.append(_row("httpx, us of CPU a request: direct", direct))
        rows.append(_row("httpx, us of CPU a request: by gossip.transport", by_name))
        added = [b - a for a, b in zip(direct, by_name, strict=True)]
        rows.append(_row("what gossip.transport adds, us", added))
    for size in (3, 100, 1_000):
        rows.append(
            _row(f"catalog.pick among {size:,} instances, us", pick_cost(size, quick=arguments.quick))
        )
    header = ["", "median", "range"]
    print(table(header, rows))
    print("\n" + ", ".join(f"{name}: {value}" for name, value in proc.machine().items()))
    if not arguments.no_publish:
        PICTURE.mkdir(exist_ok=True)
        draw(PICTURE)
        publish("calling", Table(TITLE, header, rows, _note(arguments)))
    return 0


def _loads(ways: Ways, connections: int, rounds: int, seconds: float) -> list[list[str]]:
    rates: dict[str, list[float]] = {way: [] for way in ways.names}
    slow: dict[str, list[float]] = {way: [] for way in ways.names}
    for _ in range(rounds):
        for way in ways.names:
            rate, p99 = ways.load(way, connections, seconds)
            rates[way].append(rate)
            slow[way].append(p99)
    plural = "s" * (connections > 1)
    return [
        _row(f"{what}, {connections} connection{plural}: {way}", values[way])
        for what, values in (("requests a second", rates), ("p99, ms", slow))
        for way in ways.names
    ]


def _row(what: str, samples: list[float]) -> list[str]:
    found = summarize(samples)
    return [what, scaled(found.median), f"{scaled(found.low)} to {scaled(found.high)}"]


def _note(arguments: argparse.Namespace) -> str:
    return (
        f"`wrk` with one thread, {arguments.rounds} turns of {arguments.seconds:g} s, keep-alive, answers of"
        " 5 bytes by haproxy as an HTTP server. The proxies have one thread each and pass TCP; all is on one"
        " machine, where each takes CPU from the others. Idle: the growth of RSS by"
        f" {arguments.idle:,} connections that have said nothing yet; what the kernel keeps comes on top, for"
        " both alike. httpx: CPU time of this process; one connection that stays open, to the same server, in"
        " requests by turns, the median of 100. "
        + ", ".join(proc.machine().values())
        + ".\n\n![Calls by weight, around a slow instance, around a failing one](pictures/balance.png)"
    )
