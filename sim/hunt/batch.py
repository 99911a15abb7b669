"""Many seeds: run on all cores, written down as they are done, and added up."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from typing import Any

from sim.farm.campaign import campaign
from sim.farm.ledger import Ledger
from sim.hunt import coverage
from sim.hunt.plan import STEP_MS
from sim.hunt.trial import Outcome, Task, work

__all__ = ["Tally", "replay_line", "run_batch"]


def run_batch(
    seeds: Iterable[int], steps: int, jobs: int | None, ledger: Ledger | None
) -> Generator[Outcome]:
    """The outcome of each seed, as `campaign` has them."""
    return campaign(work, [Task(seed, steps) for seed in seeds], Outcome, jobs=jobs, ledger=ledger)


def replay_line(outcome: Outcome) -> str:
    """The command that runs a failing seed again."""
    return f"gossip-sim replay {outcome.seed} --steps {outcome.steps}"


class Tally:
    """What has come of the seeds so far."""

    def __init__(self, wanted: int, steps: int) -> None:
        self.wanted = wanted
        self.steps = steps
        self.passed = 0
        self.failed: list[Outcome] = []
        self.met: dict[str, int] = {}
        self.interrupted = False
        self._node_ms = 0
        self._cpu_us = 0
        self._longest_calm_ms = 0
        self._begun = time.perf_counter()
        self._wall_s: float | None = None

    def add(self, outcome: Outcome) -> None:
        """One more seed is done."""
        if outcome.passed:
            self.passed += 1
        else:
            self.failed.append(outcome)
        coverage.add(self.met, [outcome.met])
        self._node_ms += round(outcome.nodes * outcome.virtual_s * 1_000)
        self._cpu_us += round(outcome.cpu_s * 1e6)
        self._longest_calm_ms = max(self._longest_calm_ms, round(outcome.calm_s * 1_000))

    def end(self) -> None:
        """The time that it took ends now."""
        self._wall_s = time.perf_counter() - self._begun

    @property
    def seeds(self) -> int:
        """How many are done."""
        return self.passed + len(self.failed)

    @property
    def unmet(self) -> list[str]:
        """What a batch of this size should have met, and did not."""
        if self.interrupted or not coverage.is_enough(self.seeds, self.seeds * self.steps):
            return []
        return coverage.missing(self.met)

    @property
    def good(self) -> bool:
        """Every rule held, and nothing was left out."""
        return not self.failed and not self.unmet

    def summary(self) -> dict[str, Any]:
        """What `gossip-sim fuzz --json` prints; the rates are those of one processor."""
        wall_s = time.perf_counter() - self._begun if self._wall_s is None else self._wall_s
        cpu_s = self._cpu_us / 1e6
        steps = self.seeds * self.steps
        return {
            "seeds": self.seeds,
            "wanted": self.wanted,
            "steps": steps,
            "virtual_s": steps * STEP_MS / 1_000,
            "passed": self.passed,
            "failed": [
                {
                    "seed": outcome.seed,
                    "rule": outcome.rule,
                    "host": outcome.host,
                    "at_s": outcome.at_s,
                    "detail": outcome.detail,
                    "replay": replay_line(outcome),
                }
                for outcome in sorted(self.failed, key=lambda outcome: outcome.seed)
            ],
            "not_exercised": self.unmet,
            "coverage": coverage.covered(self.met),
            "longest_calm_s": self._longest_calm_ms / 1_000,
            "node_seconds": self._node_ms / 1_000,
            "cpu_s": round(cpu_s, 3),
            "wall_s": round(wall_s, 3),
            "steps_per_s": round(steps / cpu_s) if cpu_s else None,
            "node_seconds_per_s": round(self._node_ms / 1_000 / cpu_s) if cpu_s else None,
            "interrupted": self.interrupted,
        }
