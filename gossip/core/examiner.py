"""An examination: this node tries some members in every way, and asks how it looks from elsewhere.

Each member is tried by datagram and stream (`trials`). On the stream it is asked to dial back
(`dialback`), so that both directions are known. Members may also be tried by a few others, as in an
indirect probe. What comes of it is for the user: nobody is suspected or cleared by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from gossip.core.context import Context
from gossip.core.dialback import DialBacks
from gossip.core.events import Event, EventKind
from gossip.core.members import Member, MemberTable
from gossip.core.messages import Busy, DialBack, DialledBack, Frame, PingRequest, Report, Turned
from gossip.core.pings import Pings
from gossip.core.sessions import Sessions
from gossip.core.timers import Timer
from gossip.core.trials import Trial, Trials
from gossip.core.types import Address, NodeId, Outcome, Reach
from gossip.errors import LimitError, RefusedError

__all__ = ["SUBJECTS_MAX", "WITNESSES", "Back", "Examined", "Examiner"]

SUBJECTS_MAX = 16
WITNESSES = 3
"""Members that are asked what they meet where one should be, as helpers of a probe are."""
WAYS_SHARE = 0.6
BACK_SHARE = 0.5
"""Of the whole time: what this node's own tries may take, and what a peer is given for its own, which begin
a little later."""
EARLY = 0.5
"""Of the time for reports: that of a datagram takes two round trips, of a stream alone `helping.NACK_AT`."""
EXAMINATION = 0
"""The timer's subject for an examination; trials have numbers from 1."""


class Back(NamedTuple):
    """How a member reached this node."""

    tried: Address
    seen: Address
    """Where it saw this node's stream come from."""
    small: Reach
    full: Reach
    stream: Reach
    heard: bool
    """Whether this node's datagrams arrived there."""


class Examined(Struct):
    """What came of examining one member."""

    member: NodeId
    address: Address
    small: Reach = Reach.UNTRIED
    full: Reach = Reach.UNTRIED
    stream: Reach = Reach.UNTRIED
    rtt: float | None = None
    """Seconds, of a datagram."""
    heard: bool = False
    """Datagrams of its own arrived here meanwhile, as answers or not."""
    doubted: bool = False
    """This node was not running for a moment meanwhile."""
    back: Back | None = None
    no_back: str = ""
    """Why it is not known how it reaches this node: empty, `busy`, `no answer`, or its own words."""
    witnesses: dict[NodeId, Outcome | None] = {}
    """What others met there; None: no report came."""
    late: set[NodeId] = set()
    """Whose report of an ack came so late that it may be of a stream: whom a helper holds `degraded` it asks
    by both, and of an answer by stream alone it tells only when its patience is over."""


class Examiner:
    """The examinations of one node, one at a time, and what it tries for others."""

    def __init__(self, ctx: Context, table: MemberTable, pings: Pings, sessions: Sessions) -> None:
        self._ctx = ctx
        self._table = table
        self._sessions = sessions
        self._trials = Trials(ctx, pings, sessions)
        self._dialbacks = DialBacks(ctx, table, self._trials, sessions)
        self.asked = self._dialbacks.asked
        """Somebody asks on a stream to be tried."""
        self.forgive = self._trials.forgive
        self._results: dict[NodeId, Examined] = {}
        self._under_way: dict[int, NodeId] = {}
        """Trials by their number."""
        self._requests: dict[int, NodeId] = {}
        self._patience_ms = 1
        self._early_until = 0.0
        self.is_busy = False

    @property
    def is_trying(self) -> bool:
        """Whether anything here wants to know who is heard."""
        return len(self._trials) > 0

    @property
    def results(self) -> list[Examined]:
        """Of the last examination; what an examination under way has found so far."""
        return list(self._results.values())

    def heard(self, sender: NodeId) -> None:
        """A datagram came from `sender`."""
        self._trials.heard(sender)

    def examine(
        self, subjects: Sequence[NodeId], witnessed: Sequence[NodeId], patience: float, now: float
    ) -> None:
        """Examine these members, and have others try the `witnessed` of them; EXAMINED when it is done.

        Args:
            subjects: who; unknown ones are left out.
            witnessed: those of them that a few others try as well.
            patience: seconds for all of it.
            now: seconds.

        Raises:
            LimitError: if there are more than `SUBJECTS_MAX`.
            RefusedError: if an examination is under way.
        """
        if len(subjects) > SUBJECTS_MAX:
            raise LimitError(f"{len(subjects)} members to examine at a time; the limit is {SUBJECTS_MAX}")
        if self.is_busy:
            raise RefusedError("an examination is under way: wait until it has ended")
        members = [member for member in map(self._table.get, dict.fromkeys(subjects)) if member is not None]
        self.is_busy = True
        self._results = {member.id: Examined(member.id, member.address) for member in members}
        self._patience_ms = max(1, min(10_000, int(patience * BACK_SHARE * 1_000)))
        share = patience * WAYS_SHARE
        for member in members:
            trial = self._trials.start(
                member.id, member.address, share, now, self._tried,
                longest=patience, then=self._ask_back, said=self._answered,
            )  # fmt: skip
            self._under_way[trial.number] = member.id
            if member.id in witnessed:
                self._ask_others(member, share)
        self._early_until = now + share * EARLY
        self._ctx.timers.set(now + share, Timer.TRIAL, EXAMINATION)
        self._look()

    def timer(self, number: int, now: float) -> None:
        """A trial's step, or the time for reports is over."""
        if number != EXAMINATION:
            self._trials.step(number, now)
            return
        self._requests.clear()
        self._look()

    def reported(self, report: Report, now: float) -> bool:
        """A member says what it met; False if it was not asked by this."""
        subject = self._requests.get(report.seq)
        examined = None if subject is None else self._results.get(subject)
        if examined is None or report.sender not in examined.witnesses:
            return False
        examined.witnesses[report.sender] = Outcome(report.outcome)
        if report.outcome == Outcome.ACKED and now >= self._early_until:
            examined.late.add(report.sender)
        if None not in examined.witnesses.values():
            del self._requests[report.seq]
            self._look()
        return True

    def _ask_others(self, member: Member, patience: float) -> None:
        others = self._table.sample(WITNESSES, exclude=member.id)
        if not others:
            return
        seq = self._ctx.sequence()
        self._requests[seq] = member.id
        self._results[member.id].witnesses = dict.fromkeys((other.id for other in others), None)
        patience_ms = max(1, min(60_000, int(patience * 1_000)))
        me = self._ctx.notary.id
        for other in others:
            life = other.record.boot
            request = PingRequest(seq, me, member.id, member.address, patience_ms, life)
            self._ctx.send(other.address, request)

    def _ask_back(self, trial: Trial, _now: float) -> bool:
        me = self._table.me
        self._results[trial.target].no_back = "no answer"
        self._sessions.write(trial.stream, DialBack(me.id, me.fact.raw, self._patience_ms))
        return True

    def _answered(self, trial: Trial, frame: Frame, _now: float) -> bool:
        examined = self._results[trial.target]
        if isinstance(frame, DialledBack):
            examined.back = Back(
                frame.address,
                frame.seen,
                Reach(frame.small),
                Reach(frame.full),
                Reach(frame.stream),
                frame.heard,
            )
            examined.no_back = ""
        elif isinstance(frame, Turned):
            examined.no_back = frame.reason
        elif isinstance(frame, Busy):
            examined.no_back = "busy"
        else:
            self._ctx.count("frame_unexpected")
            return True
        return False

    def _tried(self, trial: Trial, _now: float) -> None:
        del self._under_way[trial.number]
        examined = self._results[trial.target]
        examined.small, examined.full, examined.stream = trial.ways
        examined.rtt, examined.heard, examined.doubted = trial.rtt, trial.heard, trial.doubted
        self._look()

    def _look(self) -> None:
        """Tell the end, if it is the end."""
        if not self.is_busy or self._under_way or self._requests:
            return
        self.is_busy = False
        self._ctx.timers.clear(Timer.TRIAL, EXAMINATION)
        self._ctx.notify(Event(EventKind.EXAMINED, self._table.me.id, self._table.me.name))
