"""What gossip has to reach, judged from the samples alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.stats import Summary, scaled, summarize

__all__ = ["Judgement", "Results", "judge"]

_JOIN_SHARE = 0.5
_CHANGE_SHARE = 0.2
_TAIL_FACTOR = 3.0
_MEMORY_BYTES = 48e6
_MEMORY_NODES = 48
_START_S = 0.5
_COMMAND_S = 0.120
_LOOKUP_SHARE = 0.6
_PIPELINED = {"one": 200_000.0, "ten": 100_000.0}
_INSTANCES = {"one": "1 instance", "ten": "10 instances"}
_PLACES = {"pinned": "one core", "free": "free"}


class Results:
    """Samples of a run by system, size and quantity."""

    def __init__(self, samples: dict[str, Any]) -> None:
        self._samples = samples

    @property
    def sizes(self) -> list[int]:
        """Cluster sizes measured; what does not depend on the size stands at 0 and is not among them."""
        return sorted({int(size) for sizes in self._samples.values() for size in sizes if int(size)})

    def get(self, system: str, size: int, quantity: str) -> Summary:
        return summarize(self._samples.get(system, {}).get(str(size), {}).get(quantity, []))


@dataclass(frozen=True, slots=True)
class Judgement:
    """A target, what was measured, and what the target asks for, all in `unit`."""

    target: str
    measured: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def is_met(self) -> bool | None:
        """None if there is nothing to judge by."""
        if math.isnan(self.measured) or math.isnan(self.limit):
            return None
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    def row(self) -> tuple[str, str, str, str]:
        verdict = {True: "met", False: "**missed**", None: "not measured"}[self.is_met]
        sign = "≥" if self.at_least else "≤"
        limit = "-" if math.isnan(self.limit) else f"{sign} {scaled(self.limit)} {self.unit}".strip()
        return self.target, f"{scaled(self.measured)} {self.unit}".strip(), limit, verdict


def judge(results: Results) -> list[Judgement]:
    """All targets, in the order of the report. Those without samples are left out."""
    judged = [*_against_serf(results), *_absolute(results), *_lookups(results)]
    return [one for one in judged if not math.isnan(one.measured)]


def _against_serf(results: Results) -> Iterator[Judgement]:
    shares = [
        ("join_seeds", "Join, started with seeds, at most half of serf's", _JOIN_SHARE),
        ("join_told", "Join, told to lone agents, at most half of serf's", _JOIN_SHARE),
    ]
    for size in results.sizes:
        for quantity, text, share in shares:
            ours, theirs = (results.get(system, size, quantity) for system in ("gossip", "serf"))
            yield Judgement(f"{text}, {size} agents", ours.median, theirs.median * share, "s")
            yield Judgement(
                f"... and no tail: slowest at most {_TAIL_FACTOR:.0f} x the median, {size} agents",
                ours.high,
                ours.median * _TAIL_FACTOR,
                "s",
            )
        for quantity, what in (("change", "A change"), ("event", "An event")):
            ours, theirs = (results.get(system, size, quantity) for system in ("gossip", "serf"))
            text = f"{what} until all have it, at most a fifth of serf's, {size} agents"
            yield Judgement(text, ours.median, theirs.median * _CHANGE_SHARE, "s")
        ours, theirs = (results.get(system, size, "idle_cpu") for system in ("gossip", "serf"))
        yield Judgement(
            f"Idle CPU no more than serf's, {size} agents", ours.median, theirs.median, "s per node-minute"
        )


def _absolute(results: Results) -> Iterator[Judgement]:
    for quantity in ("rss", "pss"):
        memory = results.get("gossip", _MEMORY_NODES, quantity).median / 1e6
        yield Judgement(f"{quantity.upper()} with {_MEMORY_NODES} members", memory, _MEMORY_BYTES / 1e6, "MB")
    started = results.get("gossip", 0, "start").median
    yield Judgement("Process start to answering", started, _START_S, "s")
    listed = results.get("gossip", 0, "command").median
    yield Judgement("`gossip members`, from start to exit", listed * 1e3, _COMMAND_S * 1e3, "ms")


def _lookups(results: Results) -> Iterator[Judgement]:
    for key, instances in _INSTANCES.items():
        for place, told in _PLACES.items():
            share = results.get("gossip", 0, f"ratio_{key}_single_{place}").median
            text = f"Lookups one at a time, {instances}, {told}: share of a bare echo"
            yield Judgement(text, share, _LOOKUP_SHARE, "", at_least=True)
    for key, instances in _INSTANCES.items():
        for place, told in _PLACES.items():
            rate = results.get("gossip", 0, f"lookup_{key}_batch_{place}").median
            text = f"Lookups pipelined by 64, {instances}, {told}"
            yield Judgement(text, rate, _PIPELINED[key], "/s", at_least=True)
