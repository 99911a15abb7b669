"""How soon what a node says of itself is known everywhere: facts, and when each observer first held them.

A fact is one version of one record of one owner: a service registered, changed or deregistered, tags changed,
a leaving, a node that joined; or one user event. It is published at the moment when its owner holds it. Its
observers are the other nodes that run then; who stops running for good, or in another life, before it has
heard does not count. An observer has heard a fact when it holds that version or a newer one of the same
record (a user event: when its watchers are told); of what has been deleted it may as well hold nothing. A
fact is lost, and is not judged, if its owner's life ended before anybody had heard.

Hearing is seen by the event that the node tells its watchers, to the microsecond. What makes no event
(a deletion of what was never known there, say) is found by looking, once in a sample: `exact` is False.
"""

from __future__ import annotations

from typing import Any

from gossip.core.members import Member
from gossip.core.records import Accusation
from gossip.core.types import NodeId, Status
from sim.clock import SECOND
from sim.host import Host
from sim.results.percentiles import median, seconds, spread
from sim.results.table import Table
from sim.world import World

__all__ = ["Rumours"]

SERVICE = 2
LEFT, JOINED, EVENT, DELETED = "left", "joined", "event", "deregistered"
LOOK_AFTER_US = 2 * SECOND
LOOKS_MAX = 20_000
"""Pairs of fact and observer that are looked at in one sample."""
WAITING_MAX = 4_000_000
"""Pairs that are waited for at once: beyond, a new fact is not followed."""
YOUNG_US = 10 * SECOND
YOUNG_PART = 10
"""What not all have heard is not judged if it is younger at the end than this, and than a tenth of it."""


class _Fact:
    """One version of one record, and who has not heard of it."""

    __slots__ = ("at_us", "heard", "key", "kind", "last_us", "life", "number", "owner", "version", "waiting")

    def __init__(self, number: int, owner: Host, kind: str, key: str, version: int, at_us: int) -> None:
        self.number = number
        self.owner = owner.number
        self.life = owner.lives
        self.kind = kind
        self.key = key
        self.version = version
        self.at_us = at_us
        self.heard: list[int] = []
        """How long it took each observer that has heard, in microseconds."""
        self.last_us: int | None = None
        self.waiting: dict[int, int] = {}
        """Observers that have not heard, and in which of their lives."""


class Rumours:
    """Follows every fact that is published."""

    def __init__(self, world: World, table: Table, limit: int) -> None:
        self._world = world
        self._table = table
        self._limit = limit
        self._all: list[_Fact] = []
        self._open: dict[tuple[NodeId, str], list[_Fact]] = {}
        """By owner and key (a member record's is empty), oldest first."""
        self._pairs = 0
        self.dropped = 0

    def publish(self, owner: Host, kind: str, key: str, version: int, at_us: int) -> None:
        """The owner holds it from now on."""
        observers = {host.number: host.lives for host in self._world.running() if host is not owner}
        if len(self._all) >= self._limit or self._pairs + len(observers) > WAITING_MAX:
            self.dropped += 1
            return
        fact = _Fact(len(self._all), owner, kind, key, version, at_us)
        fact.waiting = observers
        self._pairs += len(observers)
        self._all.append(fact)
        if observers:
            self._open.setdefault((owner.id, key), []).append(fact)

    def told(self, observer: Host, owner: NodeId, key: str, at_us: int) -> None:
        """The observer has told its watchers of something about that record."""
        facts = self._open.get((owner, key))
        if facts is None:
            return
        member = observer.node.members.get(owner)
        if member is not None:
            self._hear(facts, observer, member, at_us, exact=True)
            self._close(owner, key, facts)

    def got_event(self, observer: Host, owner: NodeId, stamp: str, at_us: int) -> None:
        """The observer has told its watchers of a user event."""
        facts = self._open.get((owner, stamp))
        if facts is not None and observer.number in facts[0].waiting:
            self._count(facts[0], observer.number, at_us, exact=True)
            self._close(owner, stamp, facts)

    def look(self, at_us: int) -> None:
        """Find what was heard without a word, as far as a sample's allowance goes."""
        hosts, left = self._world.hosts, LOOKS_MAX
        for (owner, key), facts in list(self._open.items()):
            if at_us - facts[0].at_us < LOOK_AFTER_US:
                continue
            numbers = sorted({number for fact in facts for number in fact.waiting})
            left -= len(numbers)
            if left < 0:
                return
            for number in numbers:
                host = hosts[number]
                if not host.is_running:
                    if host.process is None:
                        self._forget(facts, number)
                    continue
                member = host.node.members.get(owner)
                if member is not None:
                    self._hear(facts, host, member, at_us, exact=False)
            self._close(owner, key, facts)

    def fill(self, table: Table, end_us: int) -> None:
        """A row for each fact."""
        for fact in self._all:
            young = self._is_young(fact, end_us)
            waiting = len(self._missing(fact))
            table.add(
                fact.number,
                fact.owner,
                fact.kind,
                fact.key,
                fact.at_us,
                waiting + len(fact.heard),
                len(fact.heard),
                fact.last_us,
                young,
            )

    def summary(self, end_us: int) -> dict[str, Any]:
        """`dissemination_s` of services, tags and leavings; `joins_s`; `events_s`; `facts` in numbers.

        A percentile is None if the pair at that rank has not heard: what was never heard counts as infinite.
        """
        plain = [fact for fact in self._all if fact.kind not in {JOINED, EVENT}]
        joins = [fact for fact in self._all if fact.kind == JOINED]
        events = [fact for fact in self._all if fact.kind == EVENT]
        judged = [fact for fact in plain if self._is_judged(fact, end_us)]
        missing = {fact.number: len(self._missing(fact)) for fact in judged}
        reached = [fact for fact in judged if fact.last_us is not None]
        everywhere = [fact.last_us - fact.at_us for fact in reached if not missing[fact.number]]  # type: ignore[operator]
        return {
            "dissemination_s": self._spread(plain, end_us),
            "joins_s": self._spread(joins, end_us),
            "events_s": self._spread(events, end_us),
            "facts": {
                "published": len(plain),
                "judged": len(judged),
                "lost": sum(self._is_lost(fact) for fact in plain),
                "heard": sum(len(fact.heard) for fact in judged),
                "unheard": sum(missing.values()),
                "everywhere": len(everywhere),
                "everywhere_median_s": seconds(median(everywhere)),
                "joins": self._pairs_of(joins, end_us),
                "events": self._pairs_of(events, end_us),
            },
        }

    def _pairs_of(self, facts: list[_Fact], end_us: int) -> int:
        """How many pairs of fact and observer a spread is over."""
        judged = [fact for fact in facts if self._is_judged(fact, end_us)]
        return sum(len(fact.heard) + len(self._missing(fact)) for fact in judged)

    def _spread(self, facts: list[_Fact], end_us: int) -> dict[str, float | None]:
        judged = [fact for fact in facts if self._is_judged(fact, end_us)]
        missing = sum(len(self._missing(fact)) for fact in judged)
        return spread([delay for fact in judged for delay in fact.heard], missing)

    def _is_judged(self, fact: _Fact, end_us: int) -> bool:
        return not self._is_young(fact, end_us) and not self._is_lost(fact)

    def _is_lost(self, fact: _Fact) -> bool:
        """Its owner died before it had told anybody."""
        owner = self._world.hosts[fact.owner]
        gone = owner.process is None or owner.lives != fact.life
        return gone and not fact.heard and bool(self._missing(fact))

    def _is_young(self, fact: _Fact, end_us: int) -> bool:
        limit_us = min(YOUNG_US, end_us // YOUNG_PART)
        return bool(fact.waiting) and end_us - fact.at_us < limit_us and bool(self._missing(fact))

    def _missing(self, fact: _Fact) -> list[int]:
        """Observers that could have heard and have not."""
        hosts = self._world.hosts
        return [
            number
            for number, life in fact.waiting.items()
            if hosts[number].is_running and hosts[number].lives == life
        ]

    def _hear(self, facts: list[_Fact], observer: Host, member: Member, at_us: int, *, exact: bool) -> None:
        number = observer.number
        # Who holds nothing of what has been deleted lacks nothing, though nobody told it.
        lacks_nothing = facts[-1].kind == DELETED and (SERVICE, facts[-1].key) not in member.services
        for fact in facts:
            life = fact.waiting.get(number)
            if life is None:
                continue
            if life != observer.lives:
                del fact.waiting[number]
                self._pairs -= 1
            elif _holds(member, fact) or (lacks_nothing and not exact):
                self._count(fact, number, at_us, exact=exact)

    def _count(self, fact: _Fact, number: int, at_us: int, *, exact: bool) -> None:
        del fact.waiting[number]
        self._pairs -= 1
        fact.heard.append(at_us - fact.at_us)
        fact.last_us = at_us
        self._table.add(fact.number, number, at_us, exact)

    def _forget(self, facts: list[_Fact], number: int) -> None:
        for fact in facts:
            if fact.waiting.pop(number, None) is not None:
                self._pairs -= 1

    def _close(self, owner: NodeId, key: str, facts: list[_Fact]) -> None:
        if any(not fact.waiting for fact in facts):
            facts[:] = [fact for fact in facts if fact.waiting]
            if not facts:
                del self._open[owner, key]


def _holds(member: Member, fact: _Fact) -> bool:
    if fact.kind == EVENT:
        return False
    if not fact.key:
        return member.record.version >= fact.version and (fact.kind != LEFT or member.status is Status.LEFT)
    held = member.services.get((SERVICE, fact.key))
    if held is None:
        # Void below a newer floor, which says more than the fact does.
        return member.record.floor > fact.version
    body = held.body
    return not isinstance(body, Accusation) and body.version >= fact.version
