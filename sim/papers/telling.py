"""memberlist's gossip loop: every interval, to a few members drawn at random, whatever there is to tell.

The ticker has a phase of its own. An idle loop is not woken: the next beat is computed when there is
something to tell. A loop that stands still at a closed gate has filled its first message already and
chosen its members; when the gate opens it goes on with them, and makes up for one beat.
"""

from __future__ import annotations

from gossip.core.context import Context
from gossip.core.effects import Send
from gossip.core.messages import Gossip
from gossip.core.timers import Timer
from gossip.core.types import Address
from sim.papers.beliefs import Beliefs
from sim.papers.gate import Gate
from sim.papers.variant import Variant

__all__ = ["Telling"]

GOSSIP_BYTES = 2
"""Of a message, before its rumours."""


class Telling:
    """The gossip loop of one member, or a variant's multicast."""

    __slots__ = (
        "_armed",
        "_ctx",
        "_dead_too",
        "_fanout",
        "_gate",
        "_interval",
        "_me",
        "_multicast",
        "_phase",
        "_stuck",
        "beliefs",
        "sent_bytes",
    )

    beliefs: Beliefs
    """Set before anything is told."""

    def __init__(self, ctx: Context, variant: Variant, gate: Gate) -> None:
        self._ctx = ctx
        self._gate = gate
        self._me = ctx.notary.id
        self.sent_bytes = 0
        self._interval, self._fanout = variant.gossip or (0.0, 0)
        self._multicast = variant.multicast
        self._dead_too = variant.dead_for is not None
        self._phase = 0.0
        self._armed = False
        self._stuck: tuple[float, Gossip, list[Address]] | None = None

    def start(self, now: float) -> None:
        """Beat at a phase of one's own from now on."""
        self._phase = now + self._ctx.rng.getrandbits(32) * self._interval / (1 << 32)

    def queued(self, now: float) -> None:
        """There is something to tell."""
        if self._multicast:
            self._ctx.timers.set(now, Timer.GOSSIP)
        elif self._fanout and not self._armed:
            self._armed = True
            self._ctx.timers.set(self._next_beat(now), Timer.GOSSIP)

    def beat(self, now: float) -> None:
        """It is time to tell."""
        self._armed = False
        if not self.beliefs.rumours:
            return
        if self._multicast:
            self._tell_all()
            return
        self._tell(self._draw(), now)
        if self.beliefs.rumours and self._stuck is None:
            self.queued(now)

    def release(self, now: float) -> None:
        """The gate is open: go on."""
        if self._stuck is None:
            return
        since, message, rest = self._stuck
        self._stuck = None
        self._ctx.send(rest[0], message)
        self._tell(rest[1:], now)
        if not self.beliefs.rumours:
            return
        if self._next_beat(since) <= now:
            self._armed = True
            self._ctx.timers.set(now + self._fanout * self._gate.pace, Timer.GOSSIP)
        else:
            self.queued(now)

    def _tell(self, addresses: list[Address], now: float) -> None:
        rumours = self.beliefs.rumours
        limit = self.beliefs.limit
        effects = self._ctx.effects
        for number, address in enumerate(addresses):
            news = rumours.take(limit)
            if not news:
                return
            self.sent_bytes += GOSSIP_BYTES + rumours.spent
            message = Gossip(self._me, news)
            if self._gate.closed:
                self._armed = True
                self._stuck = (now, message, addresses[number:])
                return
            effects.append(Send(address, message))

    def _tell_all(self) -> None:
        """Once to each, whether it arrives or not; with nobody there, it is said to nobody."""
        while news := self.beliefs.rumours.take(limit=1):
            message = Gossip(self._me, news)
            for member in map(self.beliefs.table.get, self.beliefs.table.live):
                if member is not None:
                    self.sent_bytes += GOSSIP_BYTES + self.beliefs.rumours.spent
                    self._ctx.send(member.address, message)

    def _draw(self) -> list[Address]:
        """Whom to tell: the live, and those who died lately, so that they can refute it."""
        table, graves = self.beliefs.table, self.beliefs.graves
        ids = [*table.live, *graves] if graves and self._dead_too else table.live
        count, bits = len(ids), self._ctx.rng.getrandbits
        chosen = ids
        if self._fanout < count:
            places: list[int] = []
            while len(places) < self._fanout:
                place = bits(32) * count >> 32
                if place not in places:
                    places.append(place)
            chosen = [ids[place] for place in places]
        records = [member.record for member in map(table.get, chosen) if member is not None]
        return [(record.host, record.port) for record in records]

    def _next_beat(self, now: float) -> float:
        interval = self._interval
        beats = int((now - self._phase) / interval) + 1 if now >= self._phase else 0
        due = self._phase + beats * interval
        return due if due > now else due + interval
