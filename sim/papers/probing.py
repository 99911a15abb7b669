"""The probe loop of SWIM and memberlist, and probing for others.

One loop, one probe at a time: memberlist's ticker beats once a period, a beat that finds the loop busy is
made up for when it is free, and further ones are lost. The deadline of a probe is set *before* its ping
is sent, so an agent that is blocked for a period or longer fails exactly one probe, at the moment when it
goes on. That decides Lifeguard's table IV.
"""

from __future__ import annotations

from collections.abc import Callable

from gossip.core.context import Context
from gossip.core.members import Member
from gossip.core.messages import Ack, Ping, PingRequest, Report
from gossip.core.timers import Timer
from gossip.core.types import HEAD_BYTES, Address, Outcome, Status
from sim.papers.beliefs import Beliefs
from sim.papers.gate import Gate
from sim.papers.variant import Variant

__all__ = ["Probing"]

FAVOURS_MAX = 256
NACK_SHARE = 0.8
"""Of the asker's time-out, after which a helper says that it heard nothing (Lifeguard, section IV-A)."""
NO_VIEW = bytes(HEAD_BYTES)
PING_BYTES = 40
"""Before rumours: type, number, name, in memberlist's encoding."""


class Probing:
    """The probes of one member, those it makes for others, and its answers."""

    __slots__ = (
        "_beat_at",
        "_beliefs",
        "_ctx",
        "_expected",
        "_expired",
        "_favours",
        "_gate",
        "_helpers",
        "_late",
        "_me",
        "_nacks",
        "_next",
        "_seq",
        "_stuck",
        "_target",
        "_variant",
        "probes",
        "sent_bytes",
    )

    def __init__(self, ctx: Context, variant: Variant, beliefs: Beliefs, gate: Gate) -> None:
        self._ctx = ctx
        self._variant = variant
        self._beliefs = beliefs
        self._gate = gate
        self._me = ctx.notary.id
        self._target: Member | None = None
        self._stuck: Callable[[float], None] | None = None
        """What the loop was about to send when the gate was closed."""
        self._seq = 0
        self._expired = False
        self._expected = 0
        self._nacks = 0
        self._late = False
        """A beat found the loop busy."""
        self._beat_at = 0.0
        self._favours: dict[int, tuple[int, Address]] = {}
        """By the number of my ping: (the asker's number, its address)."""
        self._helpers: list[int] = []
        """Favours whose nack could not be sent because the gate was closed."""
        self.probes = 0
        """Begun so far."""
        self.sent_bytes = 0

    def start(self, now: float) -> None:
        """Beat from now on, at a phase of one's own."""
        self._beat_at = now + self._ctx.rng.getrandbits(32) * self._variant.period / (1 << 32)
        self._ctx.timers.set(self._beat_at, Timer.PERIOD)

    def beat(self, now: float) -> None:
        """A period has passed."""
        while self._beat_at <= now:
            self._beat_at += self._variant.period
        self._ctx.timers.set(self._beat_at, Timer.PERIOD)
        self._beliefs.forget_dead(now)
        if self._target is not None:
            self._late = True
        else:
            self._begin(now)

    def release(self, now: float) -> None:
        """The gate is open: send what was to be sent."""
        nacks, self._helpers = self._helpers, []
        for seq in nacks:
            self._nack(seq)
        stuck, self._stuck = self._stuck, None
        if stuck is not None:
            stuck(now)

    # My probe

    def _begin(self, now: float) -> None:
        self._late = False
        target = self._target = self._beliefs.table.next_in_ring()
        if target is None:
            return
        self.probes += 1
        self._seq = self._ctx.sequence()
        self._expired = False
        self._expected = self._nacks = 0
        factor = self._beliefs.health.factor
        self._ctx.timers.set(now + self._variant.period * factor, Timer.PROBE_END)
        self._send_or_stick(self._ping, now)

    def _send_or_stick(self, send: Callable[[float], None], now: float) -> None:
        if self._gate.closed:
            self._stuck = send
        else:
            send(now)

    def _ping(self, now: float) -> None:
        target = self._target
        if target is None:
            return
        self._send_ping(target, self._seq)
        if self._expired:
            self._ask_others(now)
        else:
            wait = self._variant.ack_timeout * self._beliefs.health.factor
            self._ctx.timers.set(now + wait, Timer.DIRECT)

    def _send_ping(self, target: Member, seq: int) -> None:
        variant, rumours = self._variant, self._beliefs.rumours
        news: tuple[bytes, ...] = ()
        size = PING_BYTES
        if variant.buddy and target.status is Status.SUSPECT:
            news = (next(iter(self._beliefs.charges[target.id].accusations.values())).raw,)
            size += variant.cost_accusation
        if variant.piggyback and rumours:
            news += rumours.take(self._beliefs.limit, size)
            size += rumours.spent
        self.sent_bytes += size
        address = target.address
        self._ctx.send(address, Ping(seq, self._me, target.id, address, NO_VIEW, b"", news))

    def direct_over(self, now: float) -> None:
        """No ack came in time."""
        if self._target is not None:
            self._send_or_stick(self._ask_others, now)

    def _ask_others(self, now: float) -> None:
        target = self._target
        if target is None:
            return
        patience_ms = round(self._variant.ack_timeout * self._beliefs.health.factor * 1_000)
        drawn = self._beliefs.table.sample(self._variant.helpers, exclude=target.id)
        helpers = [helper for helper in drawn if helper.status is Status.ALIVE]
        for helper in helpers:
            self.sent_bytes += PING_BYTES
            request = PingRequest(self._seq, self._me, target.id, target.address, patience_ms)
            self._ctx.send(helper.address, request)
        self._expected = len(helpers) if self._variant.nacks else 0
        if self._expired:
            self._failed(now)

    def end(self, now: float) -> None:
        """The probe's deadline. Judging needs no sending, so a closed gate does not keep from it."""
        if self._stuck is not None:
            self._expired = True
        else:
            self._failed(now)

    def _failed(self, now: float) -> None:
        target = self._target
        if target is not None:
            self._beliefs.health.failed(self._expected - self._nacks)
            self._beliefs.accuse(target.id, now)
        self._done(now)

    def _done(self, now: float) -> None:
        self._target = None
        timers = self._ctx.timers
        timers.clear(Timer.DIRECT)
        timers.clear(Timer.PROBE_END)
        if self._late:
            self._begin(now)

    # What comes in

    def pinged(self, ping: Ping, source: Address) -> None:
        """Answer."""
        news: tuple[bytes, ...] = ()
        size = PING_BYTES
        rumours = self._beliefs.rumours
        if self._variant.piggyback and rumours:
            news = rumours.take(self._beliefs.limit, size)
            size += rumours.spent
        self.sent_bytes += size
        self._ctx.send(source, Ack(ping.seq, self._me, ping.address, NO_VIEW, b"", news))

    def acked(self, seq: int, now: float) -> None:
        """An ack of this number came, from the member itself or through a helper."""
        if seq == self._seq:
            # After the deadline memberlist no longer knows the number.
            if self._target is not None and not self._expired:
                self._beliefs.health.acked()
                self._done(now)
            return
        favour = self._favours.pop(seq, None)
        if favour is not None:
            self._ctx.timers.clear(Timer.HELP, seq)
            self._report(favour, Outcome.ACKED)

    def nacked(self, seq: int) -> None:
        """A helper heard nothing either, but is well."""
        self._nacks += seq == self._seq

    def asked(self, request: PingRequest, source: Address, now: float) -> None:
        """Ping for another."""
        member = self._beliefs.table.get(request.target)
        if member is None or len(self._favours) >= FAVOURS_MAX:
            return
        seq = self._ctx.sequence()
        self._favours[seq] = (request.seq, source)
        self._ctx.timers.set(now + request.patience_ms * NACK_SHARE / 1_000, Timer.HELP, seq)
        self._send_ping(member, seq)

    def patience_over(self, seq: int) -> None:
        """No ack came for another in time."""
        if self._gate.closed:
            self._helpers.append(seq)
        else:
            self._nack(seq)

    def _nack(self, seq: int) -> None:
        favour = self._favours.pop(seq, None)
        if favour is not None and self._variant.nacks:
            self._report(favour, Outcome.SILENT)

    def _report(self, favour: tuple[int, Address], outcome: Outcome) -> None:
        self.sent_bytes += PING_BYTES
        self._ctx.send(favour[1], Report(favour[0], self._me, int(outcome)))
