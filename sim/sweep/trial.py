"""One run among many: a scenario after all changes, a seed, and the key under which its numbers are kept.

The key has a hash of everything that the numbers depend on: the scenario's document after all changes, the
measured delays that it names, what messages travel as, and the version of the program. Numbers of other
settings, other delays or another version are therefore never taken for these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from gossip import __version__
from gossip.errors import GossipError
from sim.errors import ScenarioError
from sim.farm.ledger import Ledger
from sim.farm.pool import spread
from sim.scenario.scenario import Scenario

__all__ = ["Trial", "conduct", "find_scenario", "parse_seeds", "perform", "trial_of"]

SEEDS = re.compile(r"(\d+)(?:\.\.(\d+))?")
SEED_MAX = (1 << 63) - 1
RUNS_MAX = 100_000
"""What a grid may expand to; more is a slip of the pen."""
CURVE_POINTS = 300
"""Points of each curve that is kept of a run: runs are many."""


class Trial(Struct, frozen=True):
    """What a worker needs, plain enough to travel to any machine."""

    key: str
    document: dict[str, Any]
    name: str
    directory: str
    seed: int
    codec: bool = True
    curves: bool = False
    measured: dict[str, str] = {}
    """The digests of the delays in the files that the document names."""


def trial_of(scenario: Scenario, seed: int, *, codec: bool = True, curves: bool = False) -> Trial:
    """The run of that scenario and seed; with `curves`, its curves are kept too."""
    measured = _digests(scenario)
    said = [scenario.document, codec, curves, __version__, *([measured] if measured else [])]
    digest = blake2b(msgspec.json.encode(said, order="deterministic"), digest_size=6).hexdigest()
    key = f"{scenario.name} seed {seed} {digest}"
    return Trial(key, scenario.document, scenario.name, scenario.directory, seed, codec, curves, measured)


def perform(trial: Trial) -> dict[str, Any]:
    """Run it: `{"summary": ...}` and, if asked for, `"curves"`; `{"error": ...}` if it cannot be run.

    What depends on the machine is left out of the summary, so that numbers from everywhere are alike.

    Raises:
        ScenarioError: if the measured delays cannot be read any more, or are others than the key says: that
            is no result of this run.
    """
    from sim.draw.story import curves_of  # noqa: PLC0415 - most runs are not drawn
    from sim.runner import run  # noqa: PLC0415 - a command line is parsed without the protocol

    scenario = Scenario.of(trial.document, trial.name, trial.directory)
    if _digests(scenario) != trial.measured:
        raise ScenarioError(
            f"the measured delays ({', '.join(trial.measured)}) are not what they were at the beginning:"
            " start it again"
        )
    try:
        result = run(scenario, trial.seed, codec=trial.codec)
    except GossipError as problem:
        return {"error": str(problem)}
    if result.summary["interrupted"]:
        raise KeyboardInterrupt
    summary = {key: value for key, value in result.summary.items() if key not in OF_THE_MACHINE}
    if not trial.curves:
        return {"summary": summary}
    return {"summary": summary, "curves": msgspec.to_builtins(curves_of(result, points=CURVE_POINTS))}


def _digests(scenario: Scenario) -> dict[str, str]:
    return {said: delays.digest for said, delays in scenario.measured.items()}


OF_THE_MACHINE = frozenset({"wall_s", "cpu_s", "node_seconds_per_s"})


def conduct(
    trials: Iterable[Trial],
    ledger: Ledger | None,
    *,
    jobs: int | None = None,
    scheduler: str | None = None,
    told: Callable[[], None] = lambda: None,
) -> Generator[tuple[str, dict[str, Any]]]:
    """Yield key and numbers of each trial: first those that the ledger has, then the others as they are done.

    Raises:
        StoreError: if the ledger's disk is full.
        TaskError: see `sim.farm.spread`.
    """
    left: dict[str, Trial] = {}
    for trial in trials:
        if ledger is not None and trial.key in ledger.done:
            told()
            yield trial.key, ledger.done[trial.key]
        else:
            left[trial.key] = trial
    waiting = list(left.values())
    with closing(spread(perform, waiting, jobs=jobs, scheduler=scheduler)) as results:
        for index, result in results:
            key = waiting[index].key
            if ledger is not None:
                ledger.add(key, result)
            told()
            yield key, result


def find_scenario(name: str, directory: Path) -> Scenario:
    """A file, looked for from `directory`, or one that ships.

    Raises:
        ScenarioError: if there is none, or it cannot be.
    """
    path = directory / name
    return Scenario.load(path) if path.suffix == ".toml" or path.is_file() else Scenario.shipped(name)


def parse_seeds(said: Any) -> list[int]:
    """`"0..9"` (both included), `"7"`, a number, or a list of numbers.

    Raises:
        ScenarioError: if it is none of these, names a seed twice, or has too many.
    """
    if isinstance(said, str):
        match = SEEDS.fullmatch(said.strip())
        if match is None:
            raise ScenarioError(f'seeds {said!r}: write them like "0..9", or as a list of numbers')
        first = int(match[1])
        last = first if match[2] is None else int(match[2])
        if last < first:
            raise ScenarioError(f"seeds {said!r}: the last comes before the first")
        if last - first >= RUNS_MAX:
            raise ScenarioError(f"seeds {said!r}: more than {RUNS_MAX:,}")
        return _checked(list(range(first, last + 1)))
    if isinstance(said, int) and not isinstance(said, bool):
        return _checked([said])
    if not isinstance(said, list) or any(
        not isinstance(seed, int) or isinstance(seed, bool) for seed in said
    ):
        raise ScenarioError(f'seeds {said!r}: write them like "0..9", or as a list of numbers')
    return _checked(said)


def _checked(seeds: list[int]) -> list[int]:
    if not seeds:
        raise ScenarioError("seeds: there must be at least one")
    if len(set(seeds)) < len(seeds):
        raise ScenarioError(f"seeds {seeds}: each once")
    if min(seeds) < 0 or max(seeds) > SEED_MAX:
        raise ScenarioError("seeds: from 0 to 2^63 - 1")
    return seeds
