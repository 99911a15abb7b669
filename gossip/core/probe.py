"""Whom to probe next, and the life of one probe (SWIM section 3.1 with 4.3; Lifeguard IV-A).

A probe begins with one ping. If no ack comes within what the round trips so far make likely, an
indirect round begins: helpers are asked, a stream is tried, the ping is repeated (and once more
at 60 % of the period). What comes back decides:

- an ack by datagram, or through a helper before the stream answered: alive;
- an ack over the stream alone, and no datagram until the period ends: alive, flagged `degraded`;
- a refusal or a stranger, seen by this node and by one helper, and once more after a grace:
  accused on evidence;
- nothing until the period ends: accused of silence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gossip.core.context import Context
from gossip.core.detector import Detector
from gossip.core.effects import Close, Dial, Write
from gossip.core.health import Health
from gossip.core.members import Member, MemberTable
from gossip.core.messages import Ack, Frame
from gossip.core.pings import Pings
from gossip.core.requests import Request, Requests
from gossip.core.roster import Roster
from gossip.core.timers import Timer
from gossip.core.types import Address, Kind, NodeId, Outcome, Phase, StreamId

__all__ = ["Prober"]

HURRY = 0.5
"""The share of a period that a probe takes which asks in all ways at once."""
REPEAT_AT = 0.6
"""When in the period the direct ping is repeated a second time."""


class Streams(Protocol):
    """Where the handler of a stream is registered."""

    def watch(self, stream: StreamId, handler: Probe) -> None: ...

    def unwatch(self, stream: StreamId) -> None: ...


class Probe:
    """One member being probed; the asker of its pings and the handler of its stream."""

    __slots__ = (
        "_prober",
        "address",
        "deadline",
        "evidence_at",
        "evidence_kind",
        "heard",
        "incarnation",
        "indirect",
        "last_try",
        "member",
        "over_stream",
        "request",
        "seqs",
        "started",
        "stream",
        "stream_seq",
    )

    def __init__(self, prober: Prober, member: Member, now: float, deadline: float) -> None:
        self._prober = prober
        self.member = member
        self.address: Address = member.address
        self.incarnation = member.incarnation
        self.started = now
        self.deadline = deadline
        self.seqs: list[int] = []
        self.indirect = False
        self.request: Request | None = None
        self.evidence_kind: Kind | None = None
        self.evidence_at = 0.0
        self.heard = now
        """When the member was last heard of, however."""
        self.last_try = False
        """The grace is over: the next refusal settles it."""
        self.stream: StreamId = 0
        self.stream_seq = 0
        self.over_stream = False
        """It answered on the stream: alive, and `degraded` if datagrams stay silent to the end."""

    # as the asker of pings
    def acked(self, _seq: int, now: float) -> None:
        self._prober.succeeded(self, degraded=False)
        self._prober.polled(self.member, now)

    def evidence(self, kind: Kind, now: float) -> None:
        self._prober.met(self, kind, now)

    # as who asked helpers
    def helped(self, outcome: Outcome, now: float) -> None:
        self._prober.helped(self, outcome, now)

    # as the handler of a stream
    def opened(self, now: float) -> None:
        """The ping was written when the stream was dialled."""

    def frame(self, frame: Frame, now: float) -> None:
        if (
            isinstance(frame, Ack)
            and frame.seq == self.stream_seq
            and frame.sender == self.member.id
            and frame.address == self.address
        ):
            self.over_stream = True
            self.heard = now
            self._prober.stream_ack(frame, now)

    def closed(self, reason: str, now: float) -> None:
        self.stream = 0
        if reason == "refused":
            self._prober.hear_refusal(self.address, now)
            self._prober.met(self, Kind.REFUSED, now)


class Prober:
    """The probes of one node: at most one per member at a time."""

    def __init__(
        self,
        ctx: Context,
        table: MemberTable,
        roster: Roster,
        pings: Pings,
        requests: Requests,
        health: Health,
        streams: Streams,
    ) -> None:
        self._ctx = ctx
        self._table = table
        self._roster = roster
        self._pings = pings
        self._requests = requests
        self._health = health
        self._streams = streams
        self._running: dict[NodeId, Probe] = {}
        self._heard_at = float("-inf")
        """When this node last heard anybody, or a host that refused."""
        self.stream_ack: Callable[[Ack, float], None]
        """Takes what an ack says besides; set by the node, since the way in for messages needs the prober."""
        self.polled: Callable[[Member, float], None]
        """Told who has acked a probe; set by the node, as `stream_ack` is."""
        self.hear_refusal: Callable[[Address, float], None]
        """Told where a stream was refused; set by the node, as `stream_ack` is."""
        self.detector: Detector
        """Set by the node: detector and prober need each other."""

    def period(self) -> float:
        return self._ctx.params.period * self._health.factor

    def next_round(self, now: float) -> None:
        """A period begins: probe the next member of the round robin."""
        member = self._table.next_in_ring()
        if member is not None:
            self.start(member, now)

    def start(self, member: Member, now: float, *, hurried: bool = False) -> None:
        """Probe `member`, unless it is being probed; `hurried`, in half a period and all ways at once."""
        probe = self._begin(member, now)
        if probe is None:
            return
        if hurried:
            probe.deadline = now + HURRY * self.period()
        self._ctx.timers.set(probe.deadline, Timer.PROBE_END, member.id)
        charges = self.detector.charges(member)
        probe.seqs.append(self._pings.send(member.id, probe.address, probe, now, charges, full=True))
        if hurried:
            self._ask_others(probe, now)
        else:
            self._ctx.timers.set(min(probe.deadline, now + self.direct_wait(member)), Timer.DIRECT, member.id)

    def corroborate(self, member: Member, kind: Kind, now: float) -> None:
        """This node met `kind` where `member` should be when a peer asked it to look there.

        So two have met it: after a grace this one looks again, and speaks for itself. Otherwise the second
        accuser would begin to wait when the first has spoken, and a crash take twice the grace to tell.
        """
        if kind is Kind.REFUSED and not member.believes_refusals(now):
            return
        probe = self._begin(member, now)
        if probe is None:
            return
        probe.indirect = True
        probe.evidence_kind, probe.evidence_at = kind, now
        self._await_grace(probe, now)
        # A firewall may refuse datagrams for it, in the sight of both.
        self._try_stream(probe, probe.deadline - now)

    def _begin(self, member: Member, now: float) -> Probe | None:
        if member.id in self._running or not member.is_live or member.record.phase != Phase.RUNNING:
            return None
        probe = self._running[member.id] = Probe(self, member, now, now + self.period())
        self._ctx.count("probes")
        return probe

    def heard(self, sender: NodeId, now: float) -> None:
        """A datagram came from `sender`."""
        self._heard_at = now
        probe = self._running.get(sender)
        if probe is not None:
            probe.heard = now

    def forgive(self) -> None:
        """This node was not running: no probe under way says anything."""
        for probe in list(self._running.values()):
            self._end(probe)

    def direct_wait(self, member: Member) -> float:
        """Seconds to wait for an ack of `member`: 4 round trips and 4 of their deviations, within bounds."""
        params = self._ctx.params
        expected = self._pings.expected(member)
        if expected is None:
            return params.direct_max * self._health.factor
        wait = 4.0 * expected[0] + 4.0 * expected[1]
        return min(params.direct_max, max(params.direct_min, wait)) * self._health.factor

    # -- timers -----------------------------------------------------------------------------

    def direct_wait_over(self, subject: NodeId, now: float) -> None:
        probe = self._running.get(subject)
        if probe is not None and self._still_meant(probe):
            self._go_indirect(probe, now)

    def repeat(self, subject: NodeId, now: float) -> None:
        probe = self._running.get(subject)
        if probe is not None and self._still_meant(probe):
            self._ping_again(probe, now)

    def grace_over(self, subject: NodeId, now: float) -> None:
        """Evidence was met a grace ago: see whether it still holds."""
        probe = self._running.get(subject)
        if probe is None or not self._still_meant(probe):
            return
        if probe.over_stream:
            return
        if probe.heard > probe.evidence_at:
            self._end(probe)
            return
        probe.last_try = True
        self._ping_again(probe, now)

    def ended(self, subject: NodeId, now: float) -> None:
        """The period is over and nobody answered by datagram: accuse, unless the stream did."""
        probe = self._running.get(subject)
        if probe is None:
            return
        if probe.over_stream:
            self.succeeded(probe, degraded=True)
            return
        self._end(probe)
        if self._still_meant(probe):
            self._health.failed(probe.request.missing if probe.request is not None else 0)
            self._ctx.count("probe_failed")
            if self._heard_at < probe.started and self._table.n > 2 and self.detector.waits_for_company(now):
                # Nobody at all was heard meanwhile, and there are others: it is rather this node.
                self._ctx.count("probe_unheard")
                return
            self.detector.accuse(probe.member, Kind.SILENT, now)

    # -- the indirect round -----------------------------------------------------------------

    def _go_indirect(self, probe: Probe, now: float) -> None:
        self._ctx.timers.clear(Timer.DIRECT, probe.member.id)
        self._ask_others(probe, now)
        self._ping_again(probe, now)

    def _ask_others(self, probe: Probe, now: float) -> None:
        probe.indirect = True
        self._ctx.count("probe_indirect")
        left = probe.deadline - now
        probe.request = self._requests.ask(probe.member, probe.address, left, probe)
        self._try_stream(probe, left)
        repeat_at = probe.started + REPEAT_AT * (probe.deadline - probe.started)
        if now < repeat_at:
            self._ctx.timers.set(repeat_at, Timer.REPEAT, probe.member.id)

    def _try_stream(self, probe: Probe, left: float) -> None:
        if not self._ctx.params.stream_probe or left <= 0.0:
            return
        probe.stream = self._ctx.next_stream()
        probe.stream_seq = self._ctx.sequence()
        self._streams.watch(probe.stream, probe)
        self._ctx.effects.append(Dial(probe.stream, probe.address, left))
        ping = self._pings.ping(
            probe.stream_seq, probe.member.id, probe.address, self.detector.charges(probe.member)
        )
        self._ctx.effects.append(Write(probe.stream, ping))

    def _ping_again(self, probe: Probe, now: float) -> None:
        probe.seqs.append(self._pings.send(probe.member.id, probe.address, probe, now))

    def helped(self, probe: Probe, outcome: Outcome, now: float) -> None:
        """A helper says what it met."""
        if outcome is Outcome.ACKED:
            # Whom this node has reached over a stream is known to live; a helper's word does not say whether
            # its datagrams reach this node.
            if not probe.over_stream:
                self.succeeded(probe, degraded=probe.member.degraded)
        elif outcome is not Outcome.SILENT:
            self._weigh(probe, now)

    # -- outcomes ---------------------------------------------------------------------------

    def succeeded(self, probe: Probe, *, degraded: bool) -> None:
        if self._running.get(probe.member.id) is not probe:
            return
        self._end(probe)
        self._health.acked()
        if self._table.get(probe.member.id) is probe.member:
            self._roster.flag(probe.member, "degraded", on=degraded)

    def met(self, probe: Probe, kind: Kind, now: float) -> None:
        """This node met a refusal or a stranger where the member should be."""
        member = probe.member
        if self._running.get(member.id) is not probe or not self._still_meant(probe) or probe.over_stream:
            return
        if kind is Kind.REFUSED and not member.believes_refusals(now):
            return
        # A host has answered, so this node is not cut off.
        self._heard_at = now
        if probe.last_try:
            if probe.heard <= probe.evidence_at:
                self._end(probe)
                self._health.failed(0)
                self._ctx.count("probe_refused")
                self.detector.accuse(member, kind, now)
            return
        if probe.evidence_kind is None:
            probe.evidence_kind = kind
            probe.evidence_at = now
        if not probe.indirect:
            self._go_indirect(probe, now)
        self._weigh(probe, now)

    def _weigh(self, probe: Probe, now: float) -> None:
        """Evidence counts when a helper saw it as well, and then must outlast the grace."""
        if probe.evidence_kind is None or self._ctx.timers.is_set(Timer.GRACE, probe.member.id):
            return
        if probe.request is None or not probe.request.met_evidence:
            return
        self._await_grace(probe, now)

    def _await_grace(self, probe: Probe, now: float) -> None:
        again = max(now, probe.evidence_at + self._ctx.params.grace)
        patience = self._ctx.params.direct_max * self._health.factor
        self._ctx.timers.clear(Timer.REPEAT, probe.member.id)
        self._ctx.timers.set(again, Timer.GRACE, probe.member.id)
        self._ctx.timers.set(max(probe.deadline, again + patience), Timer.PROBE_END, probe.member.id)

    def _still_meant(self, probe: Probe) -> bool:
        """Whether the member is still there, live, and in the life that the probe is about."""
        member = probe.member
        if (
            self._table.get(member.id) is member
            and member.is_live
            and member.incarnation == probe.incarnation
            and member.address == probe.address
        ):
            return True
        self._end(probe)
        return False

    def _end(self, probe: Probe) -> None:
        subject = probe.member.id
        if self._running.get(subject) is probe:
            del self._running[subject]
            timers = self._ctx.timers
            timers.clear(Timer.PROBE_END, subject)
            if probe.indirect:
                timers.clear(Timer.REPEAT, subject)
                timers.clear(Timer.GRACE, subject)
            else:
                timers.clear(Timer.DIRECT, subject)
        for seq in probe.seqs:
            self._pings.forget(seq)
        self._requests.forget(probe.request)
        if probe.stream:
            self._streams.unwatch(probe.stream)
            self._ctx.effects.append(Close(probe.stream))
            probe.stream = 0
