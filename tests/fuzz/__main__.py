"""`scripts/fuzz TARGET`: fuzzes one parser, with all that stands behind it, and reports.

    scripts/fuzz packet --executions 10000000 --seconds 7200
    scripts/fuzz http --stall 3600 --keep          until an hour adds no branch; keeps the corpus
    scripts/fuzz packet --replay FILE              a finding again, without the fuzzer

A run begins with the inputs of those before it, which `.fuzz` has, and its report adds them up. One that is
interrupted reports too. Exit status 0: nothing was found; 1: something was, and the report says where it is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from tests.fuzz import corpus
from tests.fuzz.targets import TARGETS
from tests.support import ROOT

MAX_BYTES: Final = {
    "packet": 4_096,
    "frame": 16_384,
    "config": 8_192,
    "socket": 8_192,
    "dns": 4_096,
    "filter": 4_096,
}
"""Of one input; others: 32 KiB."""
COVERED: Final = re.compile(r"#(\d+)\s.*\bcov: (\d+)")
FINAL: Final = re.compile(r"stat::(\w+):\s+(\d+)")
RSS_MB: Final = 1_024
HUNG_SECONDS: Final = 120
"""For one input, by the clock: others may have the processor meanwhile. What it costs, `guided` judges."""


def main(words: list[str]) -> int:
    """The exit status."""
    options = _parse(words)
    if options.replay:
        lines = Path(options.replay).read_text().splitlines()
        corpus.replay(options.target, [bytes.fromhex(line) for line in lines if not line.startswith("#")])
        print("nothing was found")
        return 0
    folder = ROOT / ".fuzz" / options.target
    inputs = folder / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    for name in ("finding", "slowest"):
        (folder / name).unlink(missing_ok=True)
    for number, data in enumerate(corpus.kept(options.target)):
        (inputs / f"kept-{number}").write_bytes(data)
    report = _fuzz(options, folder, inputs)
    if options.keep:
        chosen, branches = corpus.shortest(options.target, (path.read_bytes() for path in inputs.iterdir()))
        report |= {"kept": len(chosen), "kept_lines_in_order": branches}
        corpus.save(options.target, chosen)
    print(json.dumps(report | in_all(folder / "runs", report), indent=2))
    return 1 if report["finding"] else 0


def _parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--executions", type=int, default=100_000, metavar="N")
    parser.add_argument("--seconds", type=int, default=0, metavar="S", help="at most (default: no end)")
    parser.add_argument(
        "--stall", type=int, default=0, metavar="S", help="end when no branch came for so long"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--keep", action="store_true", help="put the few inputs that reach it all into tests/data"
    )
    parser.add_argument("--replay", metavar="FILE", help="run the inputs of a finding")
    return parser.parse_args(words)


def _fuzz(options: argparse.Namespace, folder: Path, inputs: Path) -> dict[str, Any]:
    command = [
        sys.executable, "-m", "tests.fuzz.guided", options.target, str(folder), str(inputs),
        f"-runs={options.executions}", f"-max_total_time={options.seconds}", f"-seed={options.seed}",
        f"-max_len={MAX_BYTES.get(options.target, 32_768)}", f"-rss_limit_mb={RSS_MB}",
        f"-timeout={HUNG_SECONDS}", "-print_final_stats=1", f"-artifact_prefix={folder}/", "-len_control=0",
    ]  # fmt: skip
    began = moved = time.monotonic()
    branches = executions = moved_at = 0
    final: dict[str, int] = {}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (
        (folder / "log").open("w") as log,
        # In a session of its own: whoever interrupts is to have a report, and the child is told to stop once.
        subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as child,
    ):
        assert child.stderr is not None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: child.send_signal(signal.SIGINT))
        for line in child.stderr:
            log.write(line)
            if seen := COVERED.search(line):
                executions = int(seen[1])
                if int(seen[2]) > branches:
                    branches, moved, moved_at = int(seen[2]), time.monotonic(), executions
            if found := FINAL.search(line):
                final[found[1]] = int(found[2])
            if options.stall and time.monotonic() - moved > options.stall:
                child.send_signal(signal.SIGINT)
    slowest = folder / "slowest"
    finding = folder / "finding"
    ended_well = child.returncode in (0, -signal.SIGINT, 72)
    return {
        "target": options.target,
        "executions": final.get("number_of_executed_units", executions),
        "seconds": round(time.monotonic() - began, 1),
        "branches": branches,
        "last_new_branch_s": round(moved - began, 1),
        "last_new_branch_at": moved_at,
        "inputs": sum(1 for _ in inputs.iterdir()),
        "peak_rss_mib": final.get("peak_rss_mb", 0),
        "slowest_ms": float(slowest.read_text().split()[0]) if slowest.exists() else 0.0,
        "finding": str(finding) if finding.exists() else "" if ended_well else str(folder / "log"),
    }


def in_all(runs: Path, report: dict[str, Any]) -> dict[str, Any]:
    """This run and those before it, whose inputs it began with."""
    with runs.open("a") as file:
        file.write(json.dumps(report) + "\n")
    every = [json.loads(line) for line in runs.read_text().splitlines()]
    return {
        "runs": len(every),
        "executions_in_all": sum(each["executions"] for each in every),
        "seconds_in_all": round(sum(each["seconds"] for each in every), 1),
        "most_branches": max(each["branches"] for each in every),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
