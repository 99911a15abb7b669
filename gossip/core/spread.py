"""When news leaves: at once after a quiet moment, the rest by ticks, and with every ping and ack.

The first news after a silence of 5 ms leaves when the input that brought it has been handled;
what comes within the next 5 ms goes together at their end. While news keeps coming that window
doubles, up to half a tick, so that a storm fills its packets instead of sending one per change; an
allowance of eager packets bounds what is left.
"""

from __future__ import annotations

from gossip.core.broadcast import Broadcasts, Item, Slot
from gossip.core.context import Context
from gossip.core.effects import Close, Dial, Write
from gossip.core.members import Member, MemberTable
from gossip.core.messages import LIFE_MAX, Gossip
from gossip.core.params import PACKET_OVERHEAD_BYTES
from gossip.core.sizes import MANY_NEWS_BYTES, bare_bytes
from gossip.core.timers import Timer
from gossip.core.types import NodeId

__all__ = ["Spread"]

TICK_PACKETS = 8
"""Packets that one peer is told in one tick at most: enough to empty a long queue in a second."""
STREAK_FREE = 1
"""So many flushes may follow one another closely before the window between them grows."""
FRESH_TOGETHER = 4
"""So many facts fit any packet."""
PATIENT_FANOUT = 3
"""Whom patient news that leaves at once is told, by each that hears it first: 95 % of all within milliseconds
(1 - e^-3), for as many packets as ticks would take."""
EAGER_WINDOW = 0.100
"""Seconds over which `Params.eager_budget` counts."""


class Spread:
    """One node's outgoing news."""

    def __init__(self, ctx: Context, table: MemberTable) -> None:
        self._ctx = ctx
        self._table = table
        self.queue = Broadcasts(ctx.params)
        self._fresh: list[Item] = []
        self._bare = bare_bytes(Gossip(ctx.notary.id, (), LIFE_MAX))
        self._quiet_until = float("-inf")
        self._streak = 0
        self._flushed_at = float("-inf")
        self._window_from = float("-inf")
        self._window_used = 0

    def news(
        self,
        slot: Slot,
        raw: bytes,
        *,
        member: bool,
        own: bool,
        source: NodeId | None,
        eager: bool = True,
        patient: bool = False,
        insist: bool = False,
    ) -> None:
        """Queue something that changed this node's state. What changed nothing is never passed on.

        What is not eager waits for the next tick or ping; what is patient is told fewer; what is insisted on
        is told until somebody has it.
        """
        item = self.queue.add(
            slot, raw, member=member, own=own, source=source, patient=patient, insist=insist
        )
        if eager:
            self._fresh.append(item)

    @property
    def has_news(self) -> bool:
        """Whether there is something to tell: in a settled cluster there is not, nearly all the time."""
        return bool(self.queue.items)

    def settle(self, now: float) -> None:
        """Called when an input has been handled: send what may leave at once, arm the timers."""
        if self._fresh:
            if now >= self._quiet_until:
                self.flush(now)
            elif not self._ctx.timers.is_set(Timer.EAGER):
                self._ctx.timers.set(self._quiet_until, Timer.EAGER)
        if self.queue.items and not self._ctx.timers.is_set(Timer.GOSSIP):
            self._ctx.timers.set(now + self._ctx.params.gossip_interval, Timer.GOSSIP)

    def flush(self, now: float) -> None:
        """Send the fresh news to the eager fanout."""
        params = self._ctx.params
        self._streak = self._streak + 1 if now - self._flushed_at < params.gossip_interval else 0
        self._flushed_at = now
        growth = 2.0 ** min(16, max(0, self._streak - STREAK_FREE))
        self._quiet_until = now + min(params.eager_quiet * growth, params.gossip_interval / 2)
        if now - self._window_from >= EAGER_WINDOW:
            self._window_from, self._window_used = now, 0
        fresh, self._fresh = self._fresh, []
        peers = self._table.n - 1
        reach = (min(params.eager_fanout(peers + 1), peers), min(PATIENT_FANOUT, peers))
        """How many are told at once of news that is not patient, and of such that is."""
        for lead in fresh:
            # Whoever sent it here counts: if several did meanwhile, it is spreading without this node.
            missing = reach[lead.patient] - lead.sends - max(0, self.queue.known_to(lead) - 1)
            if missing <= 0 or not self.queue.waits(lead):
                continue
            for target in self.queue.untold(lead, self._table.live, missing, self._ctx.rng):
                if self._window_used >= params.eager_budget:
                    # The rest goes together when the allowance is renewed, unless ticks are first.
                    self._fresh = [
                        item for item in fresh if item.sends < reach[item.patient] and self.queue.waits(item)
                    ]
                    self._quiet_until = self._window_from + EAGER_WINDOW
                    return
                self._window_used += 1
                # More than a packet holds goes least-sent first, so that none is told twice
                # before another is told once.
                self._tell(target, fresh if len(fresh) <= FRESH_TOGETHER else None)

    def tick(self) -> None:
        """A gossip interval has passed: tell a few peers, beginning with the least-sent news."""
        peers = self._table.n - 1
        self.queue.next_round(peers)
        for _ in range(len(self.queue) + 1):
            lead = self.queue.head(peers)
            if lead is None:
                return
            # In bad times accusations come one after the other for minutes, and the queue is never empty.
            fanout = 1 if self.queue.is_patient else self._ctx.params.gossip_fanout
            targets = self.queue.untold(lead, self._table.live, fanout, self._ctx.rng)
            if targets:
                for target in targets:
                    for _ in range(TICK_PACKETS // self._packets_at_once(target)):
                        if not self._tell(target, None):
                            break
                return
            self.queue.go_round(lead, peers)

    def piggyback(self, target: NodeId, room: int, besides: tuple[bytes, ...] = ()) -> tuple[bytes, ...]:
        """News for `target` that fits `room` bytes of a packet that leaves anyway, with `besides` in it."""
        picked = self.queue.pick(target, room, self._table.n - 1)
        return tuple(raw for raw in picked if raw not in besides) if besides else picked

    def room(self, member: Member | None, base: int, *, trial: bool = False) -> int:
        """Bytes left for news in a packet to `member` whose other fields take `base`.

        A trial may be as large as the path is hoped to carry: its ack proves that it does.
        """
        params = self._ctx.params
        large = trial or (member is not None and member.proven)
        whole = params.packet_bytes_proven if large else params.packet_bytes
        return whole - PACKET_OVERHEAD_BYTES - MANY_NEWS_BYTES - base

    def _packets_at_once(self, target: NodeId) -> int:
        """How many packets' worth of news one message to `target` takes: a stream is not opened for each."""
        member = self._table.get(target)
        return TICK_PACKETS if member is not None and member.degraded else 1

    def _tell(self, target: NodeId, only: list[Item] | None) -> bool:
        """Send one packet of news to `target`; False if there was nothing that it lacks."""
        member = self._table.get(target)
        if member is None:
            return False
        room = self.room(member, self._bare) * self._packets_at_once(target)
        news = self.queue.pick(target, room, self._table.n - 1, only)
        if news:
            self.deliver(member, news)
        return bool(news)

    def deliver(self, member: Member, news: tuple[bytes, ...]) -> None:
        """Send facts to one member, by whichever transport reaches it."""
        gossip = Gossip(self._ctx.notary.id, news, member.record.boot)
        if not member.degraded:
            self._ctx.send(member.address, gossip)
            return
        stream = self._ctx.next_stream()
        self._ctx.effects.append(Dial(stream, member.address, self._ctx.params.direct_max))
        self._ctx.effects.append(Write(stream, gossip))
        self._ctx.effects.append(Close(stream))
