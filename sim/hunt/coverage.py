"""What a batch of seeds has led to: a hunt in which nobody ever dies has shown nothing about deaths.

Everything that is counted has a name here. In a batch that is long enough each of them must have happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["COVERED", "ENOUGH_SEEDS", "ENOUGH_STEPS", "covered", "is_enough", "missing"]

ENOUGH_SEEDS = 64
ENOUGH_STEPS = 128_000
"""A batch of at least so many seeds and so many steps in all must have seen everything."""

COVERED: dict[str, tuple[str, ...]] = {
    # what nodes thought of each other
    "suspicions": ("alive to suspect", "new, suspect"),
    "refutations": ("refuted",),
    "suspects that lived": ("suspect to alive",),
    "deaths": ("suspect to dead",),
    "returns of the dead": ("dead to alive",),
    "leavings": ("alive to left", "suspect to left"),
    "returns of the left": ("left to alive",),
    "evictions": ("dead to left",),
    "tombstones forgotten": ("tombstone forgotten",),
    "accusations of silence": ("accused: silent",),
    "accusations by a refusal": ("accused: refused",),
    "accusations by a stranger": ("accused: not_me",),
    "accusations of who gave up": ("accused: gave_up",),
    "refusals found to lie": ("refusal_lied",),
    "accusations over their rate": ("accusation_rate",),
    # what nodes thought of themselves
    "doubts": ("event: doubt",),
    "isolations": ("event: isolated",),
    "receive buffers that overflowed": ("receive_overflow",),
    # lives
    "crashes": ("act: crash",),
    "restarts as before": ("act: restart: same",),
    "restarts as a new identity": ("act: restart: new identity",),
    "restarts at a new address": ("act: restart: new address",),
    "restarts with a lost disk": ("act: restart: lost disk",),
    "hand-overs": ("act: hand over",),
    "join storms": ("act: storm",),
    "leavers that stayed and came back": ("act: back after leaving",),
    "pauses": ("act: pause",),
    "suspensions": ("act: suspend",),
    "jumps of a wall clock": ("act: jump wall",),
    "clocks that run wrong": ("act: clock rate",),
    "starved agents": ("act: starve",),
    # the network
    "one-way cuts": ("act: one-way cut",),
    "two-way cuts": ("act: two-way cut",),
    "partitions": ("act: partition",),
    "mute hosts": ("act: set mute",),
    "deaf hosts": ("act: set deaf",),
    "hosts that cannot send": ("act: fail sends",),
    "refusals that lie": ("act: refusals: lying",),
    "ports that are rejected": ("act: refusals: rejecting",),
    "refusals that are limited": ("act: refusals: limited",),
    "refusals that are not sent": ("act: refusals: silent",),
    "packets lost": ("dropped: loss",),
    "packets lost in bursts": ("dropped: burst",),
    "packets that met a cut": ("dropped: cut",),
    "packets that met a closed port": ("dropped: closed",),
    # streams
    "introductions": ("introduced",),
    "joiners that nobody could reach": ("unreachable",),
    "repairs": ("repairs",),
    "repairs that failed": ("repair_failed",),
    "pages cut off": ("page cut",),
    "streams refused": ("stream: refused",),
    "streams reset": ("stream: reset",),
    "streams timed out": ("stream: timeout",),
    "streams refused for their number": ("streams_full",),
    # what is registered and told
    "services": ("service",),
    "changes of services": ("act: change of a service",),
    "deletions": ("deletion",),
    "checks that turned": ("status",),
    "records void by a floor": ("void by a floor",),
    "user events": ("event: event_received",),
    "news pruned from full queues": ("news pruned",),
}
"""By name: what is added up."""


def covered(met: Mapping[str, int]) -> dict[str, int]:
    """How often each of `COVERED` was met."""
    return {name: sum(met.get(key, 0) for key in keys) for name, keys in COVERED.items()}


def is_enough(seeds: int, steps: int) -> bool:
    """Whether so many seeds, of so many steps in all, must have met everything."""
    return seeds >= ENOUGH_SEEDS and steps >= ENOUGH_STEPS


def missing(met: Mapping[str, int]) -> list[str]:
    """The names of what was never met."""
    return [name for name, count in covered(met).items() if not count]


def add(total: dict[str, int], mets: Iterable[Mapping[str, int]]) -> None:
    """Add up."""
    for met in mets:
        for key, count in met.items():
            total[key] = total.get(key, 0) + count
