"""What is done once a period, whatever else happens: nothing here has a timer of its own.

An idle node wakes for its probe and for what it hears, so everything that need not be punctual
(repair, seeds, the forgetting of tombstones) is looked at when the probe's period begins.
"""

from __future__ import annotations

from gossip.core.context import Context
from gossip.core.coordinates import Coordinates
from gossip.core.detector import Detector
from gossip.core.events import Event, EventKind
from gossip.core.health import Health
from gossip.core.intake import Intake
from gossip.core.joining import Joining
from gossip.core.members import Member, MemberTable
from gossip.core.probe import Prober
from gossip.core.repair import Repair
from gossip.core.roster import Roster
from gossip.core.rotation import Rotation
from gossip.core.spread import Spread
from gossip.core.timers import Subject, Timer
from gossip.core.types import Phase, Status
from gossip.core.user_events import UserEvents

__all__ = ["Upkeep"]

HOUSEKEEPING_PERIODS = 60
DEAF_PERIODS = 5
"""A node that has heard nobody for so many periods is isolated: it would hear a ping in each, on average."""


class Upkeep:
    """The period of one node."""

    def __init__(
        self,
        ctx: Context,
        table: MemberTable,
        roster: Roster,
        health: Health,
        coordinates: Coordinates,
        spread: Spread,
        prober: Prober,
        detector: Detector,
        intake: Intake,
        repair: Repair,
        joining: Joining,
        events: UserEvents,
        rotation: Rotation,
    ) -> None:
        self._ctx = ctx
        self._table = table
        self._roster = roster
        self._health = health
        self._coordinates = coordinates
        self._spread = spread
        self._prober = prober
        self._detector = detector
        self._intake = intake
        self._repair = repair
        self._joining = joining
        self._events = events
        self._rotation = rotation
        self._periods = 0

    def period(self, heard_at: float, now: float) -> None:
        """A probe period begins; anybody was last heard at `heard_at`."""
        n = self._table.n
        self._periods += 1
        self._health.period_ended(n)
        self._ctx.timers.set(now + self._prober.period(), Timer.PERIOD)
        silence = now - heard_at
        if n > 1 and not self._detector.isolated and silence > DEAF_PERIODS * self._ctx.params.period:
            self._detector.isolate(now)
            self._ctx.notify(Event(EventKind.ISOLATED, self._table.me.id, self._table.me.name, ok=False))
        elif self._detector.isolated and not self._table.lasting:
            self._detector.reconnect(now)
            me, why = self._table.me, "whoever was to be heard has been evicted or forgotten"
            self._ctx.notify(Event(EventKind.RECONNECTED, me.id, me.name, detail=why))
        self._prober.next_round(now)
        self._repair.consider(now, self._drain_time)
        self._joining.consider(now)
        self._events.expire(now)
        self._rotation.review(now)
        self._detector.stability.review(now)
        if self._periods % HOUSEKEEPING_PERIODS == 0 or self._tombstones() > self._ctx.params.tombstones_max:
            self._forget_tombstones(now)

    def restart_grace_over(self, about: Subject, now: float) -> None:
        """A member said that it restarts, some while ago: if it did not come back, it left."""
        if self._health.doubting and isinstance(about, bytes):
            self._ctx.timers.set(now + self._ctx.params.period, Timer.RESTARTING, about)
            return
        member = self._table.get(about) if isinstance(about, bytes) else None
        if member is not None and member.is_live and member.record.phase == Phase.RESTARTING:
            self._detector.acquit(member)
            self._roster.set_status(member, Status.LEFT, EventKind.MEMBER_LEFT, now, "did not come back")

    def _drain_time(self) -> float:
        """Seconds of ticks until one item has been sent as often as it should."""
        params = self._ctx.params
        return self._spread.queue.limit(self._table.n - 1) / params.gossip_fanout * params.gossip_interval

    def _tombstones(self) -> int:
        return self._table.counts[Status.DEAD] + self._table.counts[Status.LEFT]

    def _forget_tombstones(self, now: float) -> None:
        """Drop the dead and the left that are old, or too many: ephemeral and short-lived ones first."""
        retention = self._ctx.params.retention
        gone = [member for member in self._table if not member.is_live]
        old = [member for member in gone if now - member.since > retention]
        over = len(gone) - len(old) - self._ctx.params.tombstones_max
        if over > 0:
            young = [member for member in gone if now - member.since <= retention]
            young.sort(key=_worth)
            old += young[:over]
        for member in old:
            if member.status is Status.DEAD and not member.record.ephemeral:
                self._joining.remember(member.address)
            self._detector.acquit(member)
            self._coordinates.forget(member.id)
            self._ctx.gate.forget(member.id)
            self._roster.forget(member)
        if old:
            self._intake.forget_recent()


def _worth(member: Member) -> tuple[bool, int, float]:
    """What is forgotten first, when there is no room: the ephemeral, then the short-lived."""
    return (not member.record.ephemeral, member.incarnation - member.record.birth, member.since)
