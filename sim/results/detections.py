"""How soon a node that failed was held dead: first by anybody, then by all who could know.

Those who could know of a crash are the nodes that ran then and held the failed one for alive or suspect;
of them count, at the end, those that have run ever since in one life and are not stopped. A node that is
started again before all have noticed is `returned`, and its detection counts in no median.
"""

from __future__ import annotations

import statistics
from typing import Any

from gossip.core.types import NodeId, Status
from sim.clock import SECOND
from sim.host import Host
from sim.results.table import Table
from sim.world import World

__all__ = ["Detections"]


class _Failure:
    """One crash of one node."""

    __slots__ = ("at_us", "expected", "noticed", "returned", "subject")

    def __init__(self, subject: Host, at_us: int, expected: dict[int, int]) -> None:
        self.subject = subject
        self.at_us = at_us
        self.expected = expected
        """Observers by number, and in which of their lives."""
        self.noticed: dict[int, int] = {}
        self.returned = False


class Detections:
    """Watches every crash."""

    def __init__(self, world: World, limit: int) -> None:
        self._world = world
        self._limit = limit
        self._all: list[_Failure] = []
        self._open: dict[NodeId, _Failure] = {}
        self.dropped = 0

    def failed(self, subject: Host, at_us: int) -> None:
        """It is gone without a word."""
        if len(self._all) >= self._limit:
            self.dropped += 1
            return
        expected = {}
        for host in self._world.running():
            member = host.node.members.get(subject.id)
            if member is not None and member.status <= Status.SUSPECT:
                expected[host.number] = host.lives
        failure = self._open[subject.id] = _Failure(subject, at_us, expected)
        self._all.append(failure)

    def started(self, subject: Host) -> None:
        """It runs, perhaps again; a new identity is another node, and the old one stays gone."""
        failure = self._open.pop(subject.id, None)
        if failure is not None and not self._is_full(failure):
            failure.returned = True

    def noticed(self, identity: NodeId, observer: Host, at_us: int) -> None:
        """An observer holds it dead."""
        failure = self._open.get(identity)
        if failure is not None and observer.number in failure.expected:
            failure.noticed.setdefault(observer.number, at_us)

    def fill(self, table: Table) -> None:
        """A row for each crash."""
        for failure in self._all:
            first_us, full_us, left = self._times(failure)
            outcome = "returned" if failure.returned else "none" if first_us is None else "some"
            if full_us is not None and not failure.returned:
                outcome = "all"
            noticed = sum(number in failure.noticed for number in left)
            table.add(
                failure.subject.number,
                failure.subject.name,
                failure.at_us,
                first_us,
                full_us,
                len(left),
                noticed,
                outcome,
            )

    def summary(self) -> dict[str, Any]:
        """Medians over the crashes, and the worst, in seconds; None if one was never seen."""
        counted = [failure for failure in self._all if not failure.returned]
        times = [self._times(failure) for failure in counted]
        firsts = [_since(failure, first) for failure, (first, _, _) in zip(counted, times, strict=True)]
        fulls = [_since(failure, full) for failure, (_, full, _) in zip(counted, times, strict=True)]
        return {
            "first_s": _median(firsts),
            "full_s": _median(fulls),
            "first_max_s": _worst(firsts),
            "full_max_s": _worst(fulls),
            "failed": len(self._all),
            "returned": len(self._all) - len(counted),
            "noticed_by_all": sum(value is not None for value in fulls),
        }

    def _times(self, failure: _Failure) -> tuple[int | None, int | None, list[int]]:
        hosts = self._world.hosts
        left = [
            number
            for number, life in failure.expected.items()
            if hosts[number].is_running and hosts[number].lives == life
        ]
        first_us = min(failure.noticed.values(), default=None)
        times = [failure.noticed.get(number) for number in left]
        known = [at_us for at_us in times if at_us is not None]
        full_us = max(known) if known and len(known) == len(times) else None
        return first_us, full_us, left

    def _is_full(self, failure: _Failure) -> bool:
        return self._times(failure)[1] is not None


def _since(failure: _Failure, at_us: int | None) -> int | None:
    return None if at_us is None else at_us - failure.at_us


def _median(values: list[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) / SECOND if known and len(known) == len(values) else None


def _worst(values: list[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) / SECOND if known and len(known) == len(values) else None
