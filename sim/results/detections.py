"""How soon a node that failed was held dead: first by anybody, then by all who could know.

Those who could know of a crash are the nodes that ran then and held the failed one for alive or suspect;
of them count, at the end, those that have run ever since in one life and are not stopped. A node that is
started again before all have noticed is `returned`. One that not all have noticed is `young` if less time has
passed since than a suspicion may take and two periods, for it may yet be noticed. These, and a crash of which
nobody is left who could know, are not judged. Of the others, what was not noticed took longer than anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gossip.core.types import NodeId, Status
from sim.host import Host
from sim.results.percentiles import median, seconds
from sim.results.table import Table
from sim.results.verdicts import patience_us
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

    def fill(self, table: Table, end_us: int) -> None:
        """A row for each crash."""
        for failure in self._all:
            first_us, full_us, left = self._times(failure)
            if failure.returned:
                outcome = "returned"
            elif full_us is not None:
                outcome = "all"
            elif self._is_young(failure, end_us):
                outcome = "young"
            else:
                outcome = "none" if first_us is None else "some"
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

    def summary(self, end_us: int) -> dict[str, Any]:
        """Medians over the crashes that are judged, and the worst, in seconds.

        What was never seen counts as infinite, and what comes out infinite is None.
        """
        judged = [failure for failure in self._all if self._is_judged(failure, end_us)]
        times = [self._times(failure) for failure in judged]
        firsts = [_since(failure, first) for failure, (first, _, _) in zip(judged, times, strict=True)]
        fulls = [_since(failure, full) for failure, (_, full, _) in zip(judged, times, strict=True)]
        return {
            "first_s": _median(firsts),
            "full_s": _median(fulls),
            "first_max_s": _worst(firsts),
            "full_max_s": _worst(fulls),
            "failed": len(self._all),
            "returned": sum(failure.returned for failure in self._all),
            "judged": len(judged),
            "noticed_by_all": sum(value is not None for value in fulls),
        }

    def _is_judged(self, failure: _Failure, end_us: int) -> bool:
        _, full_us, left = self._times(failure)
        if failure.returned or not left:
            return False
        return full_us is not None or not self._is_young(failure, end_us)

    def _is_young(self, failure: _Failure, end_us: int) -> bool:
        return end_us - failure.at_us < patience_us(self._world)

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


def _median(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return seconds(median(known, len(values) - len(known)))


def _worst(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return seconds(max(known)) if known and len(known) == len(values) else None
