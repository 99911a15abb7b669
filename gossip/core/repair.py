"""Anti-entropy: who repairs with whom and when.

Every ping and ack carries the fingerprint of its sender's view. While some peer agrees with mine
there is nothing to do. When nobody has agreed for a while, I open one stream to a member that
disagrees, and we exchange what differs (`conversation`).

Whoever likes to can agree all the time, call, or stay on the line: each of these puts a repair off, none
of them for ever. What counts in the end is what those say whom I probe, and each of them says it once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gossip.core.context import Context
from gossip.core.conversation import Ground, Opener, Server
from gossip.core.detector import Detector
from gossip.core.intake import Intake
from gossip.core.members import Member, MemberTable
from gossip.core.messages import Hello
from gossip.core.sessions import Sessions
from gossip.core.types import NodeId, StreamId

__all__ = ["Repair"]

HASTE = 10.0
"""Seconds after a join in which a disagreement is repaired four times as soon: in a storm of joins
the views of most are a few records short for a moment, and waiting is all that full views take."""
OUTVOTED = 32
"""The balance of acks to this node's own probes at which it repairs, whoever agrees besides: one that
disagrees counts two, one that agrees takes one off. So it takes two thirds of the members to hide what the
others hold, and sixteen disagreements that no agreement makes up for are no news on its way."""
REST = 4
"""For so many times as long as a conversation took, news has none opened at once, and whoever took over a
period for it comes after the others: no number of peers that stay on the line has much of this node's."""
LONGEST = 60.0
"""Seconds: no conversation takes longer, but on a clock that ran on while this node did not."""
OPENERS_MAX = 64
"""Conversations served at one time; more openers are told to come back, see `guests`."""


class Backoff(NamedTuple):
    """A peer with whom the last repair changed nothing, and the views that this was said of."""

    until: float
    wait: float
    mine: int
    theirs: bytes


class Repair(Ground):
    """When to repair, and with whom: one conversation opened at a time."""

    def __init__(
        self, ctx: Context, table: MemberTable, detector: Detector, intake: Intake, sessions: Sessions
    ) -> None:
        super().__init__(ctx, table, detector, intake, sessions)
        self._opener: Opener | None = None
        self._agreed_at = float("-inf")
        self._disagreeing: dict[NodeId, bytes] = {}
        self._outvoted = 0
        self._jitter = 0.0
        self._hasty_until = float("-inf")
        self._opened_at = float("-inf")
        self._fetch_at = float("-inf")
        self._slow: dict[NodeId, float] = {}
        """Peers that took long, and until when they come after the others."""
        self._backoff: dict[NodeId, Backoff] = {}
        self.view_disagrees = False
        """The last repair changed nothing on either side, and the views still differ."""

    # -- when -------------------------------------------------------------------------------

    def heard_view(self, member: Member, view: bytes, now: float) -> bool:
        """A ping or ack told the fingerprint of a member's view; whether it is this node's own."""
        seen = member.seen
        seen.view_at = now
        seen.agreed = agreed = view == self.mark()
        if agreed:
            self._agreed_at = now
            self._disagreeing.clear()
            self.view_disagrees = False
        else:
            if not self._disagreeing:
                self._jitter = self.ctx.rng.random() * self.ctx.params.sync_wait / 2
                self._agreed_at = max(self._agreed_at, now - self.ctx.params.sync_wait)
            self._disagreeing[member.id] = view
        return agreed

    def polled(self, member: Member, now: float) -> None:
        """A member has acked a probe of this node's own; `heard_view` has been told its view.

        Who pings and calls may do so as often as it likes, under any member's name. Whom this node probes is
        its own choice, and only who is there can answer.
        """
        if member.agreed:
            self._outvoted = max(0, self._outvoted - 1)
            return
        self._outvoted = min(OUTVOTED, self._outvoted + 2)
        is_slow = now < self._slow.get(member.id, now)
        if self._opener is not None or not member.is_live or is_slow or self._rests(member.id, now):
            return
        if self._outvoted == OUTVOTED:
            self.open(member, now)
            self._outvoted = 0

    def agreement(self, now: float) -> float | None:
        """The share of members heard of late whose view was this node's own; None if there are none."""
        since = now - self.ctx.params.agreement_window
        heard = [member.agreed for member in self.table if member.is_live and member.view_at >= since]
        return sum(heard) / len(heard) if heard else None

    def consider(self, now: float, drain_time: Callable[[], float]) -> None:
        """Once a period: repair if nobody has agreed for too long, the time to tell news apart."""
        if self._opener is not None or not self._disagreeing:
            return
        wait = max(self.ctx.params.sync_wait, drain_time()) + self._jitter
        if now < self._hasty_until:
            wait /= 4
        if now - self._agreed_at < wait:
            return
        for member in self._candidates(now):
            self.open(member, now)
            self._outvoted = 0
            return

    def extend(self, gap: float) -> None:
        """This node did not run for `gap` seconds: they are not the peer's."""
        self._opened_at += gap

    def joined(self, now: float) -> None:
        """This node has joined: what was on its way meanwhile it may have missed, so look sooner."""
        self._hasty_until = now + HASTE

    def open(self, member: Member, now: float) -> None:
        """Repair with `member`, unless a conversation is under way."""
        if self._opener is None:
            self.ctx.count("repairs")
            self._agreed_at = self._opened_at = now
            self._opener = Opener(self, member.address, member.id, self._finished, joining=False)

    def fetch(self, source: NodeId, now: float) -> None:
        """News from `source` speaks of something that is not known here: ask it."""
        member = self.table.get(source)
        is_due = now >= self._fetch_at and now - self._agreed_at >= self.ctx.params.period
        if member is not None and member.is_live and is_due:
            self.open(member, now)

    def _candidates(self, now: float) -> list[Member]:
        found = []
        for peer in self._disagreeing:
            member = self.table.get(peer)
            if member is not None and member.is_live and not self._rests(peer, now):
                found.append(member)
        self.ctx.rng.shuffle(found)
        found.sort(key=lambda member: max(now, self._slow.get(member.id, now)))
        return found

    def _rests(self, peer: NodeId, now: float) -> bool:
        """Whether the last repair with it changed nothing, lately, and the views are still the same."""
        rest = self._backoff.get(peer)
        views = self.table.fingerprint, self._disagreeing.get(peer, b"")
        return rest is not None and now < rest.until and (rest.mine, rest.theirs) == views

    def _finished(self, opener: Opener, problem: str, now: float) -> None:
        if self._opener is opener:
            self._opener = None
        if problem and problem != "eof":
            self.ctx.count("repair_failed")
        self._note_time(opener.peer, now)
        if opener.changed or opener.gave or problem:
            self._backoff.pop(opener.peer, None)
            return
        view = self._disagreeing.get(opener.peer, b"")
        rest = self._backoff.get(opener.peer)
        wait = (
            self.ctx.params.sync_wait
            if rest is None
            else min(rest.wait * 2, self.ctx.params.sync_backoff_max)
        )
        self._backoff[opener.peer] = Backoff(now + wait, wait, self.table.fingerprint, view)
        if len(self._backoff) > self.ctx.params.addresses_max:
            del self._backoff[next(iter(self._backoff))]
        self.view_disagrees = bool(view) and view != self.mark()

    def _note_time(self, peer: NodeId, now: float) -> None:
        """A conversation is over that this node had opened."""
        took = min(now - self._opened_at, LONGEST)
        self._fetch_at = now + REST * took
        if took > self.ctx.params.period:
            self._slow.pop(peer, None)
            self._slow[peer] = self._fetch_at
            if len(self._slow) > self.ctx.params.addresses_max:
                del self._slow[next(iter(self._slow))]

    # -- being called upon -----------------------------------------------------------------

    def is_full(self, promised: int) -> bool:
        """Whether no more can be served, besides those `promised` to be."""
        return self.served + promised >= OPENERS_MAX

    def serve(self, stream: StreamId, hello: Hello, host: str, now: float) -> None:
        """Answer a hello from `host` whose sender is welcome: from here on the stream is a conversation."""
        server = Server(self, stream, hello.sender, host)
        self.served += 1
        # What comes of it shows in the next pings; until then a repair of one's own would be the same again.
        self._agreed_at = now
        self.sessions.watch(stream, server)
        server.changed += self.intake.welcome(hello.record, hello.sender, now, checked=True)
        server.answer_hello(hello)
        self.intake.shared_all(hello.sender)
        if hello.joining:
            server.tell_used()
