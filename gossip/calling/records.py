"""What is remembered of the instances of one service, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.calling.health import Health, Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gossip.calling.target import Key

__all__ = ["FRESH_SECONDS", "KEPT_SECONDS", "MAX_RECORDS", "Record", "Records"]

MAX_RECORDS = 4_096
"""Instances that are remembered. Those that are not offered any more go first."""
KEPT_SECONDS = 60.0
"""For which an instance that is not offered any more keeps its record: it may only flap."""
FRESH_SECONDS = 10.0
"""For which a latency counts. Then it is measured anew, by calling."""
SMOOTHING = 0.2


class Record:
    """What is remembered of one instance."""

    __slots__ = ("calls", "elsewhere", "health", "latency", "measured_at", "seen_at", "under_way")

    def __init__(self, policy: Policy) -> None:
        self.health = Health(policy)
        self.under_way = 0
        self.calls = 0
        """Ever begun."""
        self.latency = 0.0
        """Smoothed, seconds."""
        self.measured_at = -FRESH_SECONDS
        self.seen_at = 0.0
        self.elsewhere: Sequence[Record] = ()
        """Of instances that would be called were this one and its like (zone, the nearest) left out."""

    def measure(self, now: float, seconds: float) -> None:
        if now - self.measured_at > FRESH_SECONDS:
            self.latency = seconds
        else:
            self.latency += SMOOTHING * (seconds - self.latency)
        self.measured_at = now


class Records:
    """All of them, by key."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._held: dict[Key, Record] = {}
        self._offered: list[Key] = []
        self._noted_at = 0.0

    def __len__(self) -> int:
        return len(self._held)

    def of(self, key: Key) -> Record:
        """The record; made if there is none."""
        found = self._held.get(key)
        if found is None:
            if len(self._held) >= MAX_RECORDS:
                # Many at once, so that the next ones cost nothing.
                self._forget(MAX_RECORDS // 8)
            found = self._held[key] = Record(self._policy)
            found.seen_at = self._noted_at
        return found

    def note(self, offered: Iterable[Key], now: float) -> None:
        """Who is offered from now on; whom nobody has offered for long is forgotten."""
        self._noted_at = now
        keys = list(offered)
        # Those that were offered until now have been seen now, however long ago that was said.
        for key in (*self._offered, *keys):
            if key in self._held:
                self._held[key].seen_at = now
        self._offered = keys
        for key, record in tuple(self._held.items()):
            if now - record.seen_at > KEPT_SECONDS and not record.under_way:
                del self._held[key]

    def others(self, mine: Record, now: float) -> tuple[int, int]:
        """(calls, failed ones) of late, of all but this one; or of those elsewhere, if they fare better.

        Where a zone fails as a whole its instances are all alike: what tells is how the others fare, and if
        those were not called, they are worth a try.
        """
        all_others = _total((record for record in self._held.values() if record is not mine), now)
        if not mine.elsewhere:
            return all_others
        return min(all_others, _total(mine.elsewhere, now), key=_failed_share)

    def _forget(self, count: int) -> None:
        idle = [key for key, record in self._held.items() if not record.under_way]
        for key in sorted(idle, key=lambda key: self._held[key].seen_at)[:count]:
            del self._held[key]


def _total(records: Iterable[Record], now: float) -> tuple[int, int]:
    calls = failed = 0
    for record in records:
        record.health.window.turn(now)
        more, bad = record.health.window.total
        calls += more
        failed += bad
    return calls, failed


def _failed_share(counted: tuple[int, int]) -> float:
    calls, failed = counted
    return failed / calls if calls else 0.0
