"""What is measured, in which order, and whom a fault strikes when: all drawn from the seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = [
    "CYCLE",
    "KINDS",
    "LAP",
    "SYSTEMS",
    "Hit",
    "Settings",
    "Task",
    "halves",
    "hits",
    "stops",
    "tasks",
]

KINDS = ("sigkill", "silenced", "stopped", "split", "busy")
SYSTEMS = ("gossip", "serf")
LAP = 5
"""So many rounds are made in one cluster; then the other system has its turn."""
CYCLE = 10.0
"""Seconds from one quarter being stopped to the next."""
_SHORTEST, _LONGEST = 0.5, 8.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What two results must have in common to be told together."""

    seed: int
    rounds: int
    """Victims of `sigkill`, and of `silenced`."""
    seconds: float
    """Length of `stopped`, and of `busy`."""
    split: float
    """How long the halves are parted, in seconds."""
    splits: int
    """How often."""
    settle: float
    """Rest before each fault, in seconds, after all have shown all as alive."""


@dataclass(frozen=True, slots=True)
class Task:
    """What one cluster is made for: some rounds of one measurement."""

    kind: str
    system: str
    size: int
    lap: int

    @property
    def name(self) -> str:
        return f"{self.kind} {self.system} {self.size} {self.lap}"


def tasks(kinds: Sequence[str], sizes: Sequence[int], settings: Settings) -> Iterator[Task]:
    """All tasks in their order: who begins changes with each lap, so that neither has the better hours."""
    for size, kind in itertools.product(sizes, kinds):
        laps = {"split": settings.splits, "stopped": 1, "busy": 1}.get(kind, -(-settings.rounds // LAP))
        for lap in range(laps):
            for system in SYSTEMS if lap % 2 == 0 else reversed(SYSTEMS):
                yield Task(kind, system, size, lap)


@dataclass(frozen=True, slots=True)
class Hit:
    """One round: the agent that is struck, and a rest before it that is in step with no agent's timers."""

    victim: int
    rest: float


def _rng(settings: Settings, kind: str, size: int) -> random.Random:
    return random.Random(f"{settings.seed} {kind} {size}")


def hits(settings: Settings, kind: str, size: int, lap: int) -> list[Hit]:
    """The rounds of one lap. Nobody is struck twice before everybody was."""
    rng = _rng(settings, kind, size)
    victims: list[int] = []
    while len(victims) < settings.rounds:
        victims += rng.sample(range(size), size)
    drawn = [Hit(victim, rng.random()) for victim in victims[: settings.rounds]]
    return drawn[lap * LAP : (lap + 1) * LAP]


def stops(settings: Settings, size: int) -> list[tuple[int, float, float]]:
    """Who is stopped from when until when, in seconds from the start, in order of the beginnings."""
    rng = _rng(settings, "stopped", size)
    planned: list[tuple[int, float, float]] = []
    last: set[int] = set()
    for cycle in range(max(1, int(settings.seconds / CYCLE))):
        # None twice in a row, or nobody could say which of two stops a death comes from.
        chosen = rng.sample([i for i in range(size) if i not in last], max(1, size // 4))
        begin = cycle * CYCLE
        planned += [(i, begin, begin + rng.uniform(_SHORTEST, _LONGEST)) for i in chosen]
        last = set(chosen)
    return planned


def halves(settings: Settings, size: int, lap: int) -> tuple[list[int], list[int]]:
    """The two sides of a split; with an odd number, the second is the larger."""
    rng = _rng(settings, f"split {lap}", size)
    order = rng.sample(range(size), size)
    return sorted(order[: size // 2]), sorted(order[size // 2 :])
