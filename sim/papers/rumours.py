"""The queue of rumours as SWIM and memberlist have it, which is not core's.

Core's `Broadcasts` remembers whom it told and goes to nobody twice. The papers' queue is blind: it counts
how often a rumour left, and sends the least-sent first; of those, as memberlist, the longer ones and then
the newest; as many as fit. Newer news of a member replaces older.

Rumours that were sent equally often are a tier, with a dict for each of the two lengths. What is taken moves
one tier up, and where everything fits, as it mostly does, that is one insertion of an empty tier.
"""

from __future__ import annotations

from collections.abc import Collection

from gossip.core.types import NodeId

__all__ = ["Rumours"]


class Rumours:
    """What one member still has to tell.

    Args:
        items: how many rumours a message takes.
        room: how many bytes of them.
        record: bytes of a member's record.
        accusation: bytes of an accusation, fewer.
    """

    __slots__ = ("_all", "_costs", "_held", "_items", "_room", "_tiers", "_total", "spent")

    def __init__(self, items: int, room: int, record: int, accusation: int) -> None:
        self._items = items
        self._room = room
        self._costs = (record, accusation)
        self._tiers: list[tuple[dict[NodeId, bytes], dict[NodeId, bytes]]] = []
        """By sends: records and accusations by subject, the newest last."""
        self._held: dict[NodeId, None] = {}
        self._total = 0
        """Bytes of all of them."""
        self._all: tuple[bytes, ...] | None = None
        self.spent = 0
        """Bytes of what the last `take` gave."""

    def __len__(self) -> int:
        return len(self._held)

    def add(self, subject: NodeId, raw: bytes, *, record: bool) -> None:
        """Tell `raw` instead of what was told of the subject before."""
        self.drop(subject)
        if not self._tiers:
            self._tiers.append(({}, {}))
        length = 0 if record else 1
        self._tiers[0][length][subject] = raw
        self._held[subject] = None
        self._total += self._costs[length]
        self._all = None

    def drop(self, subject: NodeId) -> None:
        """Tell nothing of it any more."""
        if subject not in self._held:
            return
        del self._held[subject]
        self._all = None
        for tier in self._tiers:
            for length, rumours in enumerate(tier):
                if rumours.pop(subject, None) is not None:
                    self._total -= self._costs[length]
                    return

    def take(self, limit: int, used: int = 0) -> tuple[bytes, ...]:
        """What the next message carries, charged as sent; `used` bytes of its room are taken already."""
        room = self._room - used
        if self._total <= room and len(self._held) <= self._items:
            return self._take_all(limit)
        begun, places = room, self._items
        moved: list[tuple[int, int, list[tuple[NodeId, bytes]]]] = []
        for sends, tier in enumerate(self._tiers, 1):
            for length, rumours in enumerate(tier):
                if rumours:
                    chosen = _newest(rumours, min(room // self._costs[length], places))
                    room -= len(chosen) * self._costs[length]
                    places -= len(chosen)
                    moved.append((sends, length, chosen))
            if room < self._costs[1] or not places:
                break
        self.spent = begun - room
        self._all = None
        for sends, length, chosen in moved:
            self._put(sends, length, chosen, limit)
        return tuple([raw for _, _, chosen in moved for _, raw in chosen])

    def _take_all(self, limit: int) -> tuple[bytes, ...]:
        everything = self._all
        if everything is None:
            everything = self._all = tuple(
                [raw for tier in self._tiers for rumours in tier for raw in reversed(rumours.values())]
            )
        self.spent = self._total
        self._tiers.insert(0, ({}, {}))
        while len(self._tiers) > limit:
            for length, rumours in enumerate(self._tiers.pop()):
                if rumours:
                    self._all = None
                    self._finish(length, rumours)
        return everything

    def _put(self, sends: int, length: int, chosen: list[tuple[NodeId, bytes]], limit: int) -> None:
        if sends >= limit:
            self._finish(length, [subject for subject, _ in chosen])
            return
        if sends == len(self._tiers):
            self._tiers.append(({}, {}))
        self._tiers[sends][length].update(reversed(chosen))

    def _finish(self, length: int, subjects: Collection[NodeId]) -> None:
        """They were told often enough."""
        self._total -= len(subjects) * self._costs[length]
        for subject in subjects:
            del self._held[subject]


def _newest(rumours: dict[NodeId, bytes], count: int) -> list[tuple[NodeId, bytes]]:
    """Take up to `count` out, the newest first."""
    if count < len(rumours):
        pop = rumours.popitem
        return [pop() for _ in range(count)]
    chosen = list(reversed(rumours.items()))
    rumours.clear()
    return chosen
