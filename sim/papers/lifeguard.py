"""Lifeguard's test bed: 128 agents, some slow (Dadgar, Phillips, Currey: arXiv 1707.00788v2, section V).

After 15 s of quiet, `anomalous` agents drawn at random block in lock step for `blocked_ms`: once
(Threshold), or over and over with `free_ms` in between (Interval). Ours differs from the paper's machine
where it must be modelled: agents share no processor; a message under way takes 150 to 350 us; an agent
that goes on handles what waited for it at one message each `PACE_S`.

The paper's anomaly blocks an agent where it would send or has received, while its timers run on (`gate`).
The same runs can be made with stopped processes (SIGSTOP), whose timers wait too: `model="stopped"`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from gossip.core.types import NodeId
from sim.chance import derive
from sim.papers.crews import gather, variant_of
from sim.papers.variant import LIFEGUARD_CONFIGS

__all__ = [
    "AGENTS",
    "ANOMALOUS",
    "CONFIGS",
    "TEST_S",
    "Cell",
    "Failure",
    "Interval",
    "Model",
    "Threshold",
    "percentile",
    "play_interval",
    "play_threshold",
    "spearman",
    "variant_of",
]

AGENTS = 128
QUIET_S = 15.0
TEST_S = 120.0
ANOMALOUS = (1, 4, 8, 12, 16, 20, 24, 28, 32)
"""The paper's C."""
CONFIGS = tuple(LIFEGUARD_CONFIGS)


Model: TypeAlias = Literal["gate", "stopped"]
"""What it means that an agent is slow."""


class Cell(Struct, frozen=True):
    """One run of either experiment: what the result depends on, all of it."""

    config: str
    """A row of table IV; `2,4` for Lifeguard with alpha 2 and beta 4; ours, as `settled.named` writes it."""
    anomalous: int
    blocked_ms: int
    free_ms: int
    """0: one anomaly (Threshold)."""
    seed: int
    model: Model = "gate"
    agents: int = AGENTS

    @property
    def key(self) -> str:
        size = "" if self.agents == AGENTS else f" N={self.agents}"
        return (
            f"{self.config} C={self.anomalous} D={self.blocked_ms} I={self.free_ms}"
            f" seed={self.seed} {self.model}{size}"
        )


class Failure(Struct, frozen=True):
    """One agent held another for dead."""

    at: float
    """Seconds since the first anomaly began."""
    observer: NodeId
    subject: NodeId


class Threshold(Struct, frozen=True):
    """What one Threshold run gave: seconds from the anomaly, of each anomalous agent that was detected."""

    first: list[float]
    """Until the first healthy agent held it for dead."""
    full: list[float]
    """Until all healthy agents had held it for dead."""
    anomalous: int


class Interval(Struct, frozen=True):
    """What one Interval run gave."""

    false_positives: int
    """Failure events at any agent about one that was never blocked (FP)."""
    at_healthy: int
    """Of these, at agents that were never blocked (FP-)."""
    messages: int
    """Sent by all agents, the quiet time included."""
    bytes: int
    """Of datagrams, as memberlist would have sent them."""
    seconds: float
    overflowed: int
    """Datagrams for which a blocked agent's buffer had no room."""


class Bed:
    """One run under way."""

    def __init__(self, cell: Cell) -> None:
        # Configurations are compared under the same network, phases and choice of agents.
        self.failures: list[Failure] = []
        self.begun = QUIET_S
        self._stopped = cell.model == "stopped"
        self.crew = gather(cell.config, cell.agents, cell.seed, self._fail, gated=not self._stopped)
        self.world, self.hosts = self.crew.world, self.crew.hosts
        rng = derive(cell.seed, "anomalous", cell.anomalous, cell.blocked_ms, cell.free_ms)
        self.slow = rng.sample(self.hosts, cell.anomalous)
        self.world.run(QUIET_S)

    def halt(self) -> None:
        """Block the chosen agents."""
        if self._stopped:
            for host in self.slow:
                self.world.pause(host)
        else:
            self.crew.block(self.slow)

    def go_on(self) -> None:
        """Let them run."""
        if self._stopped:
            for host in self.slow:
                self.world.resume(host)
        else:
            self.crew.release(self.slow)

    @property
    def passed(self) -> float:
        """Seconds since the first anomaly began."""
        return self.world.now - self.begun

    def _fail(self, now: float, observer: NodeId, subject: NodeId) -> None:
        self.failures.append(Failure(now - self.begun, observer, subject))


def play_threshold(cell: Cell) -> Threshold:
    """One anomaly; until all is well again, or `TEST_S` have passed."""
    bed = Bed(cell)
    bed.halt()
    bed.world.run(cell.blocked_ms / 1_000)
    bed.go_on()
    while bed.passed < TEST_S and not bed.crew.all_alive():
        bed.world.run(0.5)
    slow = {host.id: None for host in bed.slow}
    first: dict[NodeId, float] = {}
    observers: dict[NodeId, dict[NodeId, float]] = {}
    for failure in bed.failures:
        if failure.subject in slow and failure.observer not in slow:
            first.setdefault(failure.subject, failure.at)
            observers.setdefault(failure.subject, {}).setdefault(failure.observer, failure.at)
    healthy = len(bed.hosts) - len(slow)
    full = [max(seen.values()) for seen in observers.values() if len(seen) == healthy]
    return Threshold([*_micro(first.values())], _micro(full), len(slow))


def play_interval(cell: Cell, test_s: float = TEST_S) -> Interval:
    """Anomalies until `test_s` have passed, and to the end of the one that is on then."""
    bed = Bed(cell)
    while True:
        bed.halt()
        bed.world.run(cell.blocked_ms / 1_000)
        if bed.passed >= test_s:
            break
        bed.go_on()
        bed.world.run(cell.free_ms / 1_000)
    slow = {host.id: None for host in bed.slow}
    false = [failure for failure in bed.failures if failure.subject not in slow]
    return Interval(
        false_positives=len(false),
        at_healthy=sum(failure.observer not in slow for failure in false),
        messages=sum(host.sent.messages for host in bed.hosts),
        bytes=bed.crew.sent_bytes(),
        seconds=bed.world.now,
        overflowed=bed.crew.overflowed(),
    )


def _micro(seconds: Iterable[float]) -> list[float]:
    return [round(value, 6) for value in seconds]


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value below which `share` (0 to 1) of them lie, between two by their distance; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spearman(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's rank correlation, equal values sharing their ranks."""
    a, b = _ranks(x), _ranks(y)
    middle = (len(a) + 1) / 2
    over = math.fsum((i - middle) * (j - middle) for i, j in zip(a, b, strict=True))
    under = math.sqrt(math.fsum((i - middle) ** 2 for i in a) * math.fsum((j - middle) ** 2 for j in b))
    return over / under if under else 0.0


def _ranks(values: Sequence[float]) -> list[float]:
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]
