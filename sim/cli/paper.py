"""`gossip-sim paper`: a published experiment, ours beside theirs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import ScenarioError

if TYPE_CHECKING:
    from sim.farm.ledger import Ledger
    from sim.papers.paper import Paper
    from sim.papers.report import Report

__all__ = ["add", "paper"]

ALL = "all"
EXAMPLE = """examples:
  gossip-sim paper --list
  gossip-sim paper epidemics
  gossip-sim paper lifeguard-threshold --jobs 2 --out results    (interrupt it, and start it again)
  gossip-sim paper --table results > RESULTS.md

The exit status is 1 if a row fails, 130 after Ctrl-C; rows without a tolerance are not judged.
"""


def add(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser(
        "paper",
        help="run a published experiment again, ours beside theirs",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run="paper:paper")
    parser.add_argument("name", nargs="?", metavar="NAME", help="an experiment, or `all`")
    parser.add_argument("--list", action="store_true", help="name the experiments, and what each costs")
    parser.add_argument(
        "--table", nargs="+", type=Path, metavar="DIR", help="print the table of all reports stored in DIR..."
    )
    parser.add_argument(
        "--blocks",
        type=int,
        metavar="N",
        help="how often it is repeated with another seed (default: see --list)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the first block (default: 0)")
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds: to see that it works, not what is true"
    )
    parser.add_argument("--jobs", type=int, metavar="J", help="processes (default: one for each core)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write report and figures there; what was computed there before is not computed again",
    )
    parser.add_argument("--fresh", action="store_true", help="forget what DIR holds of this experiment")


def paper(options: argparse.Namespace) -> int:
    """Run it; the exit status."""
    if options.table:
        return _table(options.table)
    from sim.papers import PAPERS, find

    if options.list:
        return _list([find(name) for name in PAPERS])
    if options.name is None:
        raise ScenarioError("which experiment? `gossip-sim paper --list` names them")
    if options.blocks is not None and options.blocks < 1:
        raise ScenarioError(f"--blocks {options.blocks}: at least one block must be run")
    papers = [find(name) for name in (PAPERS if options.name == ALL else [options.name])]
    reports: list[Report] = []
    stored = True
    for one in papers:
        report = _run(one, options)
        reports.append(report)
        # Told before anything is written or drawn, which can fail.
        if not options.json:
            _print_report(report)
        if options.out is not None:
            stored &= _store(report, options.out, silent=options.json)
        if not report.complete:
            break
    if options.json:
        _print_json(reports, several=options.name == ALL)
    if not all(report.complete for report in reports):
        print("gossip-sim: interrupted; this is what there was until then", file=sys.stderr)
        return 130
    return 0 if stored and all(all(report.judged) for report in reports) else 1


def _run(one: Paper, options: argparse.Namespace) -> Report:
    """Compute what is missing, and judge what there is: also after Ctrl-C."""
    from sim.papers.paper import Budget
    from sim.papers.report import make

    budget = Budget(options.blocks or (1 if options.quick else one.blocks), options.seed, options.quick)
    tasks = one.tasks(budget)
    results = _compute(one, tasks, options)
    wanted = {task.key: results[task.key] for task in tasks if task.key in results}
    return make(one, budget, len(wanted), len(tasks), one.judge(budget, wanted))


def _store(report: Report, out: Path, *, silent: bool) -> bool:
    """Write the report and its figures, and tell where; whether the disk took all of it."""
    from sim.papers.report import store

    try:
        store(report, out)
        if report.outcome.figures:
            from sim.papers.figures import draw

            draw(report.outcome.figures, out, report.name)
    except OSError as problem:
        why = f"{problem.filename or out}: {problem.strerror or problem}"
        print(f"gossip-sim: {why}; what else was written is whole", file=sys.stderr)
        return False
    if not silent:
        print(f"written to {out / report.name}.*\n")
    return True


def _compute(one: Paper, tasks: Sequence[Any], options: argparse.Namespace) -> dict[str, Any]:
    """The results by key, those of the ledger included; after Ctrl-C the ones that are done."""
    import msgspec

    from sim.farm.ledger import Ledger
    from sim.farm.pool import spread

    ledger = None
    if options.out is not None:
        path = options.out / f"{one.name}.jsonl"
        if options.fresh:
            path.unlink(missing_ok=True)
        ledger = Ledger(path)
        _take_over(one, tasks, options.out, ledger)
    results = {} if ledger is None else dict(ledger.done)
    missing = [task for task in tasks if task.key not in results]
    done = len(tasks) - len(missing)
    work = spread(one.work, missing, jobs=options.jobs)
    try:
        _progress(one.name, done, len(tasks))
        for index, result in work:
            key = missing[index].key
            if ledger is not None:
                ledger.add(key, result)
            results[key] = msgspec.json.decode(msgspec.json.encode(result))
            done += 1
            _progress(one.name, done, len(tasks))
    except KeyboardInterrupt:
        pass
    finally:
        work.close()
        if ledger is not None:
            ledger.close()
        _progress(one.name, None, 0)
    return results


def _take_over(one: Paper, tasks: Sequence[Any], out: Path, ledger: Ledger) -> None:
    """Enter what other experiments have done of these tasks."""
    from sim.farm.ledger import peek

    wanted = [task.key for task in tasks if task.key not in ledger.done]
    for other in one.shares:
        done = peek(out / f"{other}.jsonl")
        for key in wanted:
            if key in done and key not in ledger.done:
                ledger.add(key, done[key])


def _progress(name: str, done: int | None, total: int) -> None:
    """One line on a terminal, written over; None takes it away."""
    if sys.stderr.isatty():
        line = "" if done is None else f"{name}: {done} of {total} tasks"
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _print_report(report: Report) -> None:
    from sim.papers.report import text

    print(f"{text(report)}\n", flush=True)


def _print_json(reports: Sequence[Report], *, several: bool) -> None:
    from sim.papers.report import json_rows

    if several:
        print(json.dumps({report.name: json_rows(report) for report in reports}))
    else:
        print(json.dumps(json_rows(reports[0])))


def _list(papers: Sequence[Paper]) -> int:
    """A line each."""
    width = max(len(one.name) for one in papers)
    for one in sorted(papers, key=lambda one: one.number):
        blocks = f"{one.blocks} block{'s' if one.blocks > 1 else ''} of {one.cost}"
        print(f"{one.name:{width}}  {one.number:2}. {one.title}: {one.source}; on {one.engine}; {blocks}")
    return 0


def _table(directories: Sequence[Path]) -> int:
    """The Markdown page of all reports there."""
    from sim.papers.report import load, overview

    files = [file for directory in directories for file in sorted(directory.glob("*.json"))]
    if not files:
        raise ScenarioError(
            f"no report in {', '.join(map(str, directories))}: `gossip-sim paper NAME --out DIR` writes one"
        )
    print(overview([load(file) for file in files]), end="")
    return 0
