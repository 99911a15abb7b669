"""The report: Markdown from the samples of a run, and from tables that other commands have saved."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.stats import Summary, scaled, summarize, table
from bench.targets import Results, judge

__all__ = [
    "REPORT",
    "RESULTS",
    "SUMMARY",
    "Table",
    "add_arguments",
    "brief",
    "cell",
    "load_tables",
    "main",
    "publish",
    "render",
    "save_table",
    "with_section",
]

SUMMARY = "write the report again from the samples of the last run"

_ROOT = Path(__file__).resolve().parent.parent
_OUT = _ROOT / "out" / "bench"
REPORT = _ROOT / "bench" / "REPORT.md"
RESULTS = _OUT / "run.json"
_TABLES = _OUT / "tables"
_SECTION = "\n\n## "


@dataclass(frozen=True, slots=True)
class Table:
    """A table of another command, such as one measured in virtual time."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str
    """What it shows and how it came about, in a sentence or two."""


@dataclass(frozen=True, slots=True)
class _Quantity:
    key: str
    title: str
    scale: float = 1.0


_SECTIONS: list[tuple[str, str, list[_Quantity]]] = [
    (
        "Joining",
        """Seconds. From the last agent answering (started with the first one as seed), or from lone running
agents being told to join one seed, until all see all.""",
        [
            _Quantity("join_seeds", "started with seeds"),
            _Quantity("launch_to_joined", "the same, from the first process start"),
            _Quantity("join_told", "lone agents told to join"),
        ],
    ),
    (
        "Noticing a SIGKILL",
        "Seconds from the signal until the first, and until every other agent, shows the member as dead.",
        [_Quantity("kill_first", "first"), _Quantity("kill_full", "all")],
    ),
    (
        "A change until all have it",
        """Seconds from the request being sent. The change is a service registration (gossip; it is on disk
before it is answered), `tags` (serf), metadata (kinship); the event a user event, or kinship's broadcast.""",
        [
            _Quantity("change", "change"),
            _Quantity("change_after_answer", "change, counted from the answer to the request"),
            _Quantity("event", "event"),
            _Quantity("leave", "graceful leave until all others show left"),
        ],
    ),
    (
        "Idle",
        "A window in which nothing happens; one sample for each agent, traffic for the whole cluster.",
        [
            _Quantity("idle_cpu", "CPU seconds per node-minute"),
            _Quantity("wakeups", "wake-ups per second (voluntary context switches)"),
            _Quantity("cpu_per_wakeup", "microseconds of CPU per wake-up", 1e6),
            _Quantity("rss", "RSS, MB", 1e-6),
            _Quantity("pss", "PSS, MB", 1e-6),
            _Quantity("datagrams", "datagrams sent per node-second"),
            _Quantity("segments", "TCP segments sent per node-second"),
            _Quantity("octets", "bytes sent per node-second (UDP and TCP, with IP headers)"),
            _Quantity("false_deaths", "members shown dead that were not"),
        ],
    ),
    (
        "Starting",
        """Milliseconds: process start until the first answer, and the whole time of the command that lists
members.""",
        [_Quantity("start", "start to answering", 1e3), _Quantity("command", "`members` command", 1e3)],
    ),
]

_DIFFERENCES = """\
All systems run with their LAN profile, unencrypted, each agent a process of its own on 127.0.0.1, in a
network namespace of their own where the machine allows it; every cluster is new. Times are taken when the
harness reads what an agent says about itself, by one selector over all agents, so nothing is polled and no
process is started inside a measurement. What differs:

- gossip is followed by `members.watch`, `services.watch` and `events.watch` on its local socket.
- serf is followed by the log stream of its RPC socket (`monitor`), which tells a change of its member table
  at once; its event stream would hold member events back for 1 to 3 s. Its agents keep nothing on disk.
- kinship has no daemon: each node is a small asyncio process that starts a node, says so, joins, and writes
  its events to a pipe. It has no command line to time, and keeps nothing on disk.
- A killed process on a host that lives answers pings with "port unreachable", which gossip takes as a hint;
  the others wait for their timeouts, as gossip would for a host that is gone.
- CPU is that of the whole process while the harness listens but says nothing; PSS is low where many processes
  share one binary, as they do here.
"""

_LOOKUPS = """\
Per second over the local socket of one agent of three, by one blocking client process; the echo is a bare
blocking server that answers the same bytes, in the same round. On one core: both pinned to the same one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument("--json", type=Path, default=RESULTS, help="samples to read")
    parser.add_argument("--out", type=Path, default=REPORT, help="where the report goes")


def main(arguments: argparse.Namespace) -> int:
    """Read the samples, write the report."""
    results = json.loads(arguments.json.read_text())
    arguments.out.write_text(render(results, load_tables()))
    return 0


def save_table(name: str, content: Table) -> None:
    """Keep a table for the report, in place of the one of that name."""
    _TABLES.mkdir(parents=True, exist_ok=True)
    (_TABLES / f"{name}.json").write_text(json.dumps(asdict(content), indent=1) + "\n")


def publish(name: str, content: Table) -> None:
    """Keep a table for the report, and put it into the one that is there, which stays as it is otherwise."""
    save_table(name, content)
    if REPORT.exists():
        REPORT.write_text(with_section(REPORT.read_text(), content))


def with_section(text: str, content: Table) -> str:
    """A report with this table in place of the one of its title, else before the last section."""
    head, *sections = text.rstrip("\n").split(_SECTION)
    titles = [section.partition("\n")[0] for section in sections]
    if content.title in titles:
        sections[titles.index(content.title)] = _section(content)
    else:
        sections.insert(max(0, len(sections) - 1), _section(content))
    return _SECTION.join([head, *sections]) + "\n"


def _section(content: Table) -> str:
    return f"{content.title}\n\n{content.note}\n\n{table(content.header, content.rows)}"


def load_tables() -> list[Table]:
    """The tables that were saved, by name."""
    return [Table(**json.loads(path.read_text())) for path in sorted(_TABLES.glob("*.json"))]


def cell(summary: Summary, scale: float = 1.0) -> str:
    """Median and range, and how many samples never came."""
    if summary.is_empty:
        return "-"
    low, median, high = (scaled(value * scale) for value in (summary.low, summary.median, summary.high))
    text = median if low == high else f"{median} ({low} - {high})"
    return f"{text}, {summary.missing} of {summary.count} never" if summary.missing else text


def brief(samples: dict[str, Sequence[float | None]]) -> Iterator[str]:
    """One phrase for each quantity, for the terminal."""
    for key, values in samples.items():
        yield f"{key} {scaled(summarize(values).median)}"


def render(results: dict[str, Any], tables: Sequence[Table]) -> str:
    """The whole report in Markdown."""
    view = Results(results["samples"])
    systems = list(results["versions"])
    parts = ["# gossip beside its peers", "\n".join(_origin(results))]
    if judged := judge(view):
        verdicts = [one.row() for one in judged]
        parts.append("## Targets\n\n" + table(["target", "measured", "asked", "verdict"], verdicts))
    for title, note, quantities in _SECTIONS:
        sizes = [size for size in [0, *view.sizes] if _has(view, systems, size, quantities)]
        if sizes:
            parts.append(f"## {title}\n\n{note}")
            parts.append(table(["", *systems], _rows(view, systems, sizes, quantities)))
    if rows := list(_lookup_rows(view)):
        parts.append(f"## Lookups\n\n{_LOOKUPS}")
        parts.append(table(["", "gossip", "bare echo", "share"], rows))
    parts.extend(f"## {_section(saved)}" for saved in tables)
    parts.append("## How it was measured\n\n" + _DIFFERENCES.rstrip())
    return "\n\n".join(parts) + "\n"


def _origin(results: dict[str, Any]) -> Iterator[str]:
    """Where the numbers come from."""
    machine, plan = results["machine"], results["plan"]
    yield (
        f"{results['date']}, `{results['command']}`, {results.get('took_s', 0)} s. {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory']}, {machine['kernel']}, {machine['python']}."
    )
    yield "Measured: " + ", ".join(results["versions"].values()) + "."
    for system, reason in results["absent"].items():
        yield f"Not measured: {system} ({reason})."
    yield (
        f"Medians (min - max) of {results['repeats']} clusters of each size; settled {plan['settle_s']:g} s, "
        f"idle window {plan['idle_s']:g} s, {plan['changes']} changes and events for each cluster, "
        f"{plan['starts']} starts."
    )
    if results["quick"]:
        yield "**A smoke run: all systems ran at one time on this machine, so the numbers say little.**"
    if not results["isolated"]:
        yield "The network was shared with the machine: datagrams and bytes hold what others sent, too."
    for error in results["errors"]:
        yield f"Failed: {error}."


def _has(view: Results, systems: list[str], size: int, quantities: list[_Quantity]) -> bool:
    return any(not view.get(system, size, q.key).is_empty for system in systems for q in quantities)


def _rows(
    view: Results, systems: list[str], sizes: list[int], quantities: list[_Quantity]
) -> Iterator[list[str]]:
    for quantity in quantities:
        for size in sizes:
            cells = [cell(view.get(system, size, quantity.key), quantity.scale) for system in systems]
            if any(text != "-" for text in cells):
                yield [f"{quantity.title}, {size} agents" if size else quantity.title, *cells]


def _lookup_rows(view: Results) -> Iterator[list[str]]:
    modes = (("single", "one at a time"), ("batch", "pipelined by 64"))
    for service, instances in (("one", "1 instance"), ("ten", "10 instances")):
        for mode, how in modes:
            for place, where in (("pinned", "on one core"), ("free", "free")):
                key = f"{service}_{mode}_{place}"
                ours, echo, share = (
                    view.get("gossip", 0, f"{kind}_{key}") for kind in ("lookup", "echo", "ratio")
                )
                if not math.isnan(ours.median):
                    yield [f"{instances}, {how}, {where}", cell(ours), cell(echo), cell(share)]
