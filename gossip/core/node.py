"""The protocol of one node, composed: what comes in, what goes out, and when to wake it.

    inputs   receive, refused, stream_*, resolved, pulse, tick; join, leave, publish, ...
    outputs  drain() -> effects, next_deadline() -> seconds

Every input is synchronous and takes the time as an argument; after each one the driver drains the
effects and carries them out in order. The same object runs under real sockets and in the
simulator. Nothing here reads a clock, a file, or global randomness.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gossip.core.admission import Admission
from gossip.core.broadcast import slot_of
from gossip.core.catalog import Catalog
from gossip.core.context import Context
from gossip.core.coordinates import Coordinates
from gossip.core.detector import Detector
from gossip.core.doubts import Doubt, Doubts
from gossip.core.effects import Effect
from gossip.core.events import Event, EventKind
from gossip.core.examiner import Examiner
from gossip.core.gate import Gate
from gossip.core.handover import Handover
from gossip.core.health import Health
from gossip.core.helping import Helping
from gossip.core.intake import Intake
from gossip.core.joining import Joining
from gossip.core.keys import Keys, Locksmith
from gossip.core.knocks import Knocks
from gossip.core.members import Member, MemberTable
from gossip.core.messages import (
    Frame,
    Packet,
)
from gossip.core.orders import Orders
from gossip.core.outlet import ENOUGH
from gossip.core.own import Own, Self
from gossip.core.packets import Packets
from gossip.core.params import Params
from gossip.core.pings import Pings
from gossip.core.probe import Prober
from gossip.core.reads import Reads
from gossip.core.records import Ban, Fact, KeyRecord, Notary
from gossip.core.repair import Repair
from gossip.core.requests import Requests
from gossip.core.roster import Roster
from gossip.core.rotation import Plan, Rotation
from gossip.core.sessions import Sessions
from gossip.core.spread import Spread
from gossip.core.timers import Subject, Timer
from gossip.core.types import Address, NodeId, Phase, StreamId
from gossip.core.upkeep import Upkeep
from gossip.core.user_events import UserEvents

if TYPE_CHECKING:
    import random

__all__ = ["Node", "Self"]

LEAVE_TIMEOUT = 2.0
"""Seconds after which a leaver goes, however few have heard it."""


class Node(Orders, Reads):
    """One member of the cluster, as a value."""

    def __init__(
        self,
        notary: Notary,
        self_: Self,
        params: Params,
        rng: random.Random,
        now: float,
        incarnation: int,
        ceiling: int,
        floor: int,
        records: Sequence[Fact] = (),
        seeds: Sequence[str] = (),
        remembered: Sequence[Address] = (),
        locksmith: Locksmith | None = None,
        plan: Plan | None = None,
        bans: Sequence[Fact] = (),
        used: Sequence[tuple[bytes, NodeId]] = (),
        invited_only: bool = False,
    ) -> None:
        self.params = params
        self._now = now
        self._ctx = ctx = Context(notary, params, rng)
        self._table = table = MemberTable(rng)
        self.catalog = Catalog()
        self._health = Health(params)
        self._coordinates = Coordinates(rng)
        self._sessions = Sessions(ctx)
        self._spread = Spread(ctx, table)
        self._roster = Roster(ctx, table, self.catalog)
        self._own = Own(
            ctx,
            table,
            self._roster,
            self._spread,
            self._health,
            who=self_,
            incarnation=incarnation,
            ceiling=ceiling,
            floor=floor,
            now=now,
        )
        self._pings = Pings(ctx, table, self._spread, self._coordinates)
        self._requests = Requests(ctx, table)
        self._prober = Prober(
            ctx, table, self._roster, self._pings, self._requests, self._health, self._sessions
        )
        self._detector = Detector(
            ctx,
            table,
            self._roster,
            self._spread,
            self._pings,
            self._requests,
            self._health,
            self._prober,
            self._sessions,
        )
        self._prober.detector = self._detector
        self._gate = ctx.gate = Gate(ctx, table, self._roster, self._detector, invited_only=invited_only)
        self._gate.start(self._own.me.record, used)
        for fact in bans:
            if isinstance(fact.body, Ban):
                table.set_ban(fact.body.subject, fact)
        self._helping = Helping(ctx, table, self._pings, self._sessions, self._prober.corroborate)
        self._events = UserEvents(ctx, self._spread)
        self._intake = Intake(ctx, table, self._roster, self._spread, self._own, self._detector, self._events)
        self._repair = Repair(ctx, table, self._detector, self._intake, self._sessions)
        self._intake.fetch = self._repair.fetch
        self.keys = keys = Keys(locksmith)
        keys.is_excluded = self._gate.is_banned
        self._handover = Handover(ctx, table, self._own, self._sessions, keys)
        self._rotation = Rotation(
            ctx, table, self._own, keys, self._handover, plan or Plan(), self_.wall_ms / 1_000 - now
        )
        self._handover.learn = self._intake.take
        self._intake.met_keys = self._met_keys
        self._repair.readable = keys.readable
        self._repair.granted = self._handover.granted
        self._knocks = Knocks(ctx, self._pings, self._detector, self._sessions)
        self._joining = Joining(
            ctx, table, self._roster, self._own, self._repair, self._knocks, seeds, remembered, now
        )
        self._admission = Admission(
            ctx,
            table,
            self._roster,
            self._own,
            self._pings,
            self._repair,
            self._sessions,
            self._handover,
            self._joining,
        )
        self._own.load(list(records))
        self._doubts = Doubts()
        self._examiner = Examiner(ctx, table, self._pings, self._sessions)
        self._packets = Packets(
            ctx,
            table,
            self._own,
            self._health,
            self._spread,
            self._pings,
            self._prober,
            self._requests,
            self._helping,
            self._detector,
            self._intake,
            self._repair,
            self._joining,
            self._admission,
            self._sessions,
            self._examiner,
            self._handover,
        )
        self._prober.polled = self._repair.polled
        self._prober.hear_refusal = self._packets.hear_refusal
        self._prober.stream_ack = self._knocks.stream_ack = self._packets.stream_ack
        self._upkeep = Upkeep(
            ctx,
            table,
            self._roster,
            self._health,
            self._coordinates,
            self._spread,
            self._prober,
            self._detector,
            self._intake,
            self._repair,
            self._joining,
            self._events,
            self._rotation,
        )
        self._running = False
        self._leaving = False
        self._timers: dict[Timer, Callable[..., None]] = {
            Timer.EAGER: self._on_eager,
            Timer.HELP: self._helping.patience_over,
            Timer.DIRECT: self._prober.direct_wait_over,
            Timer.REPEAT: self._prober.repeat,
            Timer.GRACE: self._prober.grace_over,
            Timer.PROBE_END: self._prober.ended,
            Timer.INTRODUCE: self._admission.introduction_over,
            Timer.LAST_LOOK: self._detector.look_wait_over,
            Timer.SUSPICION: self._detector.clock_ended,
            Timer.RESTARTING: self._upkeep.restart_grace_over,
            Timer.GOSSIP: self._on_gossip,
            Timer.SEEDS: self._joining.try_again,
            Timer.LEAVING: self._on_leaving,
            Timer.PERIOD: self._on_period,
            Timer.TRIAL: self._examiner.timer,
            Timer.KEYS: self._on_keys,
        }

    # -- inputs: the world ------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin to probe, and ask for the seeds."""
        self._now = self._packets.heard_at = now
        self._running = True
        self._own.announce()
        self._rotation.start(now)
        self._ctx.timers.set(now + self._ctx.rng.random() * self.params.period, Timer.PERIOD)
        self._joining.try_seeds(now)

    def receive(self, message: Packet, source: Address, now: float) -> None:
        """Take one datagram's message that came from `source`."""
        self._now = now
        self._packets.receive(message, source, now)

    def refused(self, address: Address, now: float) -> None:
        """A datagram sent to `address` was refused; the shell has the proof (protocol: refused)."""
        self._now = now
        self._ctx.count("refusals")
        self._packets.hear_refusal(address, now)
        self._pings.refused(address, now)

    def stream_accepted(self, source: Address, now: float) -> StreamId | None:
        """Somebody opened a stream; None if there are too many."""
        self._now = now
        if len(self._sessions) >= self.params.streams or not self._running:
            self._ctx.count("streams_full")
            return None
        return self._packets.accept(source)

    def stream_opened(self, stream: StreamId, now: float) -> None:
        self._now = now
        handler = self._sessions.get(stream)
        if handler is not None:
            handler.opened(now)

    def stream_received(self, stream: StreamId, frame: Frame, now: float) -> None:
        self._now = now
        handler = self._sessions.get(stream)
        if handler is not None:
            handler.frame(frame, now)
            self._packets.hear_frame(frame, handler, now)

    def stream_closed(self, stream: StreamId, reason: str, now: float) -> None:
        """The stream ended for reasons outside: `refused`, `timeout`, `reset`, `eof`, `malformed`, ..."""
        self._now = now
        handler = self._sessions.get(stream)
        if handler is not None:
            self._sessions.unwatch(stream)
            handler.closed(reason, now)

    def resolved(self, seed: str, addresses: Sequence[Address], problem: str, now: float) -> None:
        self._now = now
        self._joining.resolved(seed, addresses, problem)

    def pulse(self, late: float, gap: float, overflow: bool, unsent: int, now: float) -> None:
        """Whether this node was running: called on every wake-up, before anything else.

        Args:
            late: how late the wake-up came, by the monotonic clock, seconds.
            gap: how far the boot-time or wall clock moved against the monotonic one, seconds.
            overflow: whether the receive buffer overflowed.
            unsent: to how many addresses in a row nothing could be sent, by `Outlet`.
            now: seconds.
        """
        self._now = now
        lost = max(late, gap)
        mute = unsent > 0 and unsent >= min(ENOUGH, self._table.lasting)
        # Who can be sent to nowhere, and hears nobody, may as well be the last one: not for ever, either.
        mute = mute and self._detector.waits_for_company(now)
        if lost <= self.params.doubt_bound and not mute and (not overflow or self._health.resting):
            return
        self._ctx.count("doubts")
        doubt = Doubt(now, late, gap, overflow, mute)
        self._doubts.note(doubt)
        if not self._health.doubting:
            why = doubt.why(self.params.doubt_bound)
            self._ctx.notify(Event(EventKind.DOUBT, self.id, self.name, detail=why))
        self._health.start_doubt()
        self._prober.forgive()
        self._pings.forgive()
        self._examiner.forgive()
        # Suspicions run by the monotonic clock, which ran on while this node was late, and did not
        # move in a gap: to extend them by that would suspend judgement for as long as a wall clock jumps.
        self._detector.extend(max(0.0, late), now)
        self._packets.heard_at += max(0.0, late)
        self._repair.extend(max(0.0, late))

    def tick(self, now: float) -> None:
        """Fire every timer that is due."""
        self._now = now
        while True:
            due = self._ctx.timers.pop_due(now)
            if due is None:
                return
            timer, about = due
            self._timers[timer](about, now)

    def _on_eager(self, _about: Subject, now: float) -> None:
        self._spread.flush(now)

    def _on_gossip(self, _about: Subject, _now: float) -> None:
        self._spread.tick()

    def _on_leaving(self, _about: Subject, _now: float) -> None:
        self._leave_done()

    def _on_keys(self, _about: Subject, now: float) -> None:
        self._rotation.ask(now)

    def _met_keys(self, member: Member, record: KeyRecord) -> None:
        self._rotation.met(member, record, self._now)

    def _on_period(self, _about: Subject, now: float) -> None:
        self._upkeep.period(self._packets.heard_at, now)

    def unreadable(self, source: Address, now: float) -> None:
        """What came from `source` was sealed under a key that is not here."""
        self._now = now
        member = self._table.anybody_at(source)
        if member is not None:
            self._handover.unreadable(member, now)

    def repeated(self, message: Packet, source: Address, now: float) -> None:
        """What came from `source` may be a copy of what came before."""
        self._now = now
        self._packets.repeated(message, source, now)

    def keys_saved(self, number: int, now: float) -> None:
        """The cluster's keys are on disk, as `SaveKeys` of that number has asked."""
        self._now = now
        self._rotation.saved(number)

    # -- inputs: the user -------------------------------------------------------------------

    def join(self, seeds: Sequence[str], now: float) -> None:
        """Join by these addresses or names; each ends in a JOIN_DONE event. A leaver comes back."""
        self._now = now
        if self._own.me.record.phase != Phase.RUNNING:
            self._leaving = False
            self._own.restate(phase=Phase.RUNNING)
            self._running = True
            self._ctx.timers.clear(Timer.LEAVING)
            self._ctx.timers.set(now + self.params.period, Timer.PERIOD)
        self._joining.join(seeds)

    def leave(self, now: float) -> None:
        """Say that this node leaves; LEAVE_DONE when enough have been told."""
        self._depart(Phase.LEAVING, now)

    def hand_over(self, now: float) -> None:
        """Say that this node restarts: its services stay listed for the restart grace."""
        self._depart(Phase.RESTARTING, now)

    def _depart(self, phase: Phase, now: float) -> None:
        self._now = now
        self._leaving = True
        self._prober.forgive()
        self._ctx.timers.clear(Timer.PERIOD)
        self._own.restate(phase=int(phase))
        self._ctx.timers.set(now + LEAVE_TIMEOUT, Timer.LEAVING)

    def count(self, reason: str) -> None:
        """Add one to a counter; drivers count what they drop by its reason."""
        self._ctx.count(reason)

    # -- outputs ----------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When `tick` wants to be called, in seconds; infinity if it does not."""
        return self._ctx.timers.next_deadline()

    def drain(self) -> list[Effect]:
        """What to do now, in order. Call after every input."""
        self._spread.settle(self._now)
        if self._leaving and self._told_of_leaving():
            self._leave_done()
        effects = self._ctx.effects
        self._ctx.effects = []
        return effects

    def _told_of_leaving(self) -> bool:
        return not self._spread.queue.holds(slot_of(self._own.me.fact))

    def _leave_done(self) -> None:
        if self._leaving:
            self._leaving = False
            self._running = self._own.me.record.phase == Phase.RUNNING
            self._ctx.timers.clear(Timer.LEAVING)
            self._ctx.notify(Event(EventKind.LEAVE_DONE, self.id, self.name))
