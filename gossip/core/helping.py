"""Probing on behalf of a peer (SWIM's ping-req; Lifeguard's nack).

The helper pings, small, and reports what it met. If nothing came by 80 % of the peer's patience
it says so: the peer then knows that its helper is well, and that the silence is elsewhere. A member
that the helper reaches over streams only is asked over one as well, since the peer may have no other way;
if nothing but the stream answered, the report says so late as well, since a peer that has a stream of its
own is still to find out whether datagrams pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from gossip.core.context import Context
from gossip.core.members import Member, MemberTable
from gossip.core.messages import Ack, Frame, PingRequest, Report
from gossip.core.pings import Pings
from gossip.core.sessions import Sessions
from gossip.core.timers import Timer
from gossip.core.types import Address, Kind, NodeId, Outcome, StreamId, site

__all__ = ["CALLS_MAX", "FAVOURS_MAX", "OTHERS_MAX", "Helping"]

FAVOURS_MAX = 256
"""For members that ask from where they are."""
FAVOURS_EACH = 16
"""Of one member, since who probes one after the other needs one and nobody may use up all; of others, of one
host."""
OTHERS_MAX = 64
"""Apart, for all others: a member behind a NAT may be one, and so may whoever has the cluster's key."""
CALLS_MAX = 16
"""Favours done over streams at one time; further ones are done by datagram alone."""
NOBODY: NodeId = b""
"""Whose the favours for others are."""
NACK_AT = 0.8
_MET = {Kind.REFUSED: Outcome.REFUSED, Kind.NOT_ME: Outcome.NOT_ME}


class Favour:
    """A member asked for somebody else: the asker of the ping, the handler of the stream if there is one."""

    __slots__ = (
        "_helping",
        "asker",
        "number",
        "over_stream",
        "request",
        "seq",
        "stream",
        "stream_seq",
        "whose",
    )

    def __init__(
        self, helping: Helping, request: PingRequest, asker: Address, whose: NodeId, number: int
    ) -> None:
        self._helping = helping
        self.request = request
        self.asker = asker
        self.whose = whose
        self.number = number
        self.seq = 0
        self.stream: StreamId = 0
        self.stream_seq = 0
        self.over_stream = False
        """It answered on the stream."""

    # as the asker of a ping
    def acked(self, _seq: int, _now: float) -> None:
        self._helping.report(self, Outcome.ACKED)

    def evidence(self, kind: Kind, now: float) -> None:
        self._helping.met(self, kind, now)

    # as the handler of a stream
    def opened(self, now: float) -> None:
        """The ping was written when the stream was dialled."""

    def frame(self, frame: Frame, _now: float) -> None:
        asked = self.request
        if (
            isinstance(frame, Ack)
            and frame.seq == self.stream_seq
            and (frame.sender, frame.address) == (asked.target, asked.address)
        ):
            self.over_stream = True

    def closed(self, reason: str, now: float) -> None:
        self.stream = 0
        if reason == "refused" and not self.over_stream:
            self._helping.met(self, Kind.REFUSED, now)


class Helping:
    """The favours of one node."""

    def __init__(
        self,
        ctx: Context,
        table: MemberTable,
        pings: Pings,
        sessions: Sessions,
        corroborate: Callable[[Member, Kind, float], None],
    ) -> None:
        self._ctx = ctx
        self._table = table
        self._pings = pings
        self._sessions = sessions
        self._corroborate = corroborate
        self._favours: dict[int, Favour] = {}
        self._number = 0

    def asked(self, request: PingRequest, source: Address, now: float) -> None:
        """A peer asks for a probe.

        Only members are pinged, and only where they say they are: nobody can aim this node at an
        address of their own choice.
        """
        if request.target == self._ctx.notary.id:
            self._answer(request, source, Outcome.ACKED)
            return
        member = self._table.get(request.target)
        whose = self._whose(request.sender, source)
        if member is None or member.address != request.address or self._is_full(whose, source):
            self._answer(request, source, Outcome.SILENT)
            return
        self._number += 1
        favour = Favour(self, request, source, whose, self._number)
        self._favours[favour.number] = favour
        patience = request.patience_ms / 1_000 * NACK_AT
        self._ctx.timers.set(now + patience, Timer.HELP, favour.number)
        favour.seq = self._pings.send(request.target, member.address, favour, now)
        if member.degraded and self._ctx.params.stream_probe:
            self._call(favour, patience)

    def _call(self, favour: Favour, patience: float) -> None:
        """The same over a stream. Are there too many, one of whoever has most gives way to who has fewer."""
        calls = [each for each in self._favours.values() if each.stream]
        if len(calls) >= CALLS_MAX:
            many = Counter(each.whose for each in calls)
            whose, most = many.most_common(1)[0]
            if many[favour.whose] + 1 >= most:
                return
            self._hang_up(next(each for each in calls if each.whose == whose))
        asked = favour.request
        favour.stream = self._sessions.dial(asked.address, favour, patience)
        favour.stream_seq = self._ctx.sequence()
        self._sessions.write(favour.stream, self._pings.ping(favour.stream_seq, asked.target, asked.address))

    def _hang_up(self, favour: Favour) -> None:
        if favour.stream:
            self._sessions.close(favour.stream)
            favour.stream = 0

    def _whose(self, sender: NodeId, source: Address) -> NodeId:
        """For whom a favour counts: anybody can write a member's name, but not at that member's address."""
        member = self._table.get(sender)
        return sender if member is not None and member.is_live and member.address == source else NOBODY

    def _is_full(self, whose: NodeId, source: Address) -> bool:
        if len(self._favours) < FAVOURS_EACH:
            return False
        favours = self._favours.values()
        theirs = [site(each.asker[0]) for each in favours if each.whose == NOBODY]
        if whose == NOBODY:
            return len(theirs) >= OTHERS_MAX or theirs.count(site(source[0])) >= FAVOURS_EACH
        return (
            len(favours) - len(theirs) >= FAVOURS_MAX
            or sum(each.whose == whose for each in favours) >= FAVOURS_EACH
        )

    def patience_over(self, number: int, _now: float) -> None:
        favour = self._favours.get(number)
        if favour is not None:
            self.report(favour, Outcome.ACKED if favour.over_stream else Outcome.SILENT)

    def met(self, favour: Favour, kind: Kind, now: float) -> None:
        """A refusal or a stranger: the peer is told, and this node looks into it for itself."""
        self.report(favour, _MET[kind])
        member = self._table.get(favour.request.target)
        if member is not None and member.address == favour.request.address:
            self._corroborate(member, kind, now)

    def report(self, favour: Favour, outcome: Outcome) -> None:
        if self._favours.pop(favour.number, None) is None:
            return
        self._ctx.timers.clear(Timer.HELP, favour.number)
        self._pings.forget(favour.seq)
        self._hang_up(favour)
        self._answer(favour.request, favour.asker, outcome)

    def _answer(self, request: PingRequest, asker: Address, outcome: Outcome) -> None:
        self._ctx.send(
            asker, Report(request.seq, self._ctx.notary.id, int(outcome), self._table.life_of(request.sender))
        )
