"""The queue of rumours as SWIM and memberlist have it, which is not core's.

Core's `Broadcasts` remembers whom it told and goes to nobody twice. The papers' queue is blind: it counts
how often a rumour left, and sends the least-sent first; of those, as memberlist, the longer ones and then
the newest; as many as fit. Newer news of a member replaces older.

Rumours that were sent equally often are a tier, with a dict for each of the two lengths. What is taken moves
one tier up. Mostly everything fits: then the whole queue moves by the insertion of an empty tier, and the
tuple of all that there is to tell is kept from one message to the next.
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
        self._all: tuple[bytes, ...] | None = ()
        """All of them in order; None: it has to be made again."""
        self.spent = 0
        """Bytes of what the last `take` gave."""

    def __len__(self) -> int:
        return len(self._held)

    def add(self, subject: NodeId, raw: bytes, *, record: bool) -> None:
        """Tell `raw` instead of what was told of the subject before."""
        if subject in self._held:
            self.drop(subject)
        if not self._tiers:
            self._tiers.append(({}, {}))
        records, accusations = self._tiers[0]
        if self._all is not None:
            # Records are first in their tier, and so are accusations where it has no records.
            self._all = (raw, *self._all) if record or not records else None
        if record:
            records[subject] = raw
            self._total += self._costs[0]
        else:
            accusations[subject] = raw
            self._total += self._costs[1]
        self._held[subject] = None

    def drop(self, subject: NodeId) -> None:
        """Tell nothing of it any more."""
        if subject not in self._held:
            return
        del self._held[subject]
        for tier in self._tiers:
            for length, rumours in enumerate(tier):
                raw = rumours.pop(subject, None)
                if raw is not None:
                    self._total -= self._costs[length]
                    if self._all is not None:
                        self._all = tuple([other for other in self._all if other is not raw])
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
            told: list[bytes] = []
            for records, accusations in self._tiers:
                if records:
                    told += reversed(records.values())
                if accusations:
                    told += reversed(accusations.values())
            everything = self._all = tuple(told)
        self.spent = self._total
        self._tiers.insert(0, ({}, {}))
        while len(self._tiers) > limit:
            for length, rumours in enumerate(self._tiers.pop()):
                if rumours:
                    self._finish(length, rumours)
                    # The last tier is the end of the queue.
                    self._all = everything[: len(self._held)]
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
