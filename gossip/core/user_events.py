"""User events: records with a short life, told at most once to each watcher.

An event is known by its owner and version, so a copy that comes late, or twice, is no new event.
Events are kept for a while to recognise copies; when one is forgotten, its owner's floor rises to
its version, and nothing at or below the floor is accepted again. Are there too many, one is forgotten of
the owner that has most: what it has on its way may be lost by that, and nobody else's.
They travel by gossip alone: who was not there does not hear them (use a service's metadata or a tag for
state).
"""

from __future__ import annotations

from typing import TypeAlias

from gossip.core.broadcast import slot_of
from gossip.core.context import Context
from gossip.core.events import Event, EventKind
from gossip.core.members import Member
from gossip.core.records import EventRecord, Fact
from gossip.core.spread import Spread
from gossip.core.types import NodeId

__all__ = ["UserEvents"]

FLOORS_MAX = 4_096
"""Owners whose floor is remembered."""


Which: TypeAlias = tuple[NodeId, int, int]
"""Owner, version and hash of an event."""


class UserEvents:
    """The events that this node has lately heard of."""

    def __init__(self, ctx: Context, spread: Spread) -> None:
        self._ctx = ctx
        self._spread = spread
        self._recent: dict[Which, float] = {}
        """When each was heard."""
        self._owned: dict[NodeId, dict[Which, float]] = {}
        """The same by owner."""
        self._floors: dict[NodeId, int] = {}
        """By owner: no event at or below this version is news. They outlast their members, since a member
        that is forgotten may come back while somebody still tells of its events."""

    def is_news(self, body: EventRecord, fact: Fact) -> bool:
        if body.version <= self._floors.get(body.owner, 0):
            return False
        return (body.owner, body.version, fact.hash) not in self._recent

    def take(self, member: Member, body: EventRecord, fact: Fact, source: NodeId | None, now: float) -> None:
        """An event that is news here: tell the watchers and pass it on."""
        which = (body.owner, body.version, fact.hash)
        self._recent[which] = self._owned.setdefault(body.owner, {})[which] = now
        while len(self._recent) > self._ctx.params.events_max:
            self._make_room()
        self._ctx.notify(
            Event(
                EventKind.EVENT_RECEIVED,
                member.id,
                body.name,
                node=member.name,
                payload=body.payload,
                index=body.version,
            )
        )
        self._spread.news(slot_of(fact), fact.raw, member=False, own=source is None, source=source)

    def expire(self, now: float) -> None:
        """Forget events whose life is over."""
        while self._recent:
            first = next(iter(self._recent))
            if now - self._recent[first] < self._ctx.params.event_life:
                return
            self._forget(first)

    def _make_room(self) -> None:
        """Forget the oldest event of the owner that has most; of owners that have as many, the oldest."""
        most = max(self._owned.values(), key=lambda events: (len(events), -next(iter(events.values()))))
        self._forget(next(iter(most)))

    def _forget(self, which: Which) -> None:
        del self._recent[which]
        owner, version, _ = which
        events = self._owned[owner]
        del events[which]
        if not events:
            del self._owned[owner]
        # The floor that was raised longest ago goes first, if there are too many.
        self._floors[owner] = max(self._floors.pop(owner, 0), version)
        if len(self._floors) > FLOORS_MAX:
            del self._floors[next(iter(self._floors))]
