"""Probing on behalf of a peer (SWIM's ping-req; Lifeguard's nack).

The helper pings, small, and reports what it met. If nothing came by 80 % of the peer's patience
it says so: the peer then knows that its helper is well, and that the silence is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable

from gossip.core.context import Context
from gossip.core.members import Member, MemberTable
from gossip.core.messages import PingRequest, Report
from gossip.core.pings import Pings
from gossip.core.timers import Timer
from gossip.core.types import Address, Kind, Outcome

__all__ = ["Helping"]

FAVOURS_MAX = 256
FAVOURS_EACH = 16
"""Of one asker: who probes one member after the other needs one, and nobody can use up all."""
NACK_AT = 0.8
_MET = {Kind.REFUSED: Outcome.REFUSED, Kind.NOT_ME: Outcome.NOT_ME}


class Favour:
    """One ping sent for somebody else."""

    __slots__ = ("_helping", "asker", "number", "request", "seq")

    def __init__(self, helping: Helping, request: PingRequest, asker: Address, number: int) -> None:
        self._helping = helping
        self.request = request
        self.asker = asker
        self.number = number
        self.seq = 0

    def acked(self, _seq: int, _now: float) -> None:
        self._helping.report(self, Outcome.ACKED)

    def evidence(self, kind: Kind, now: float) -> None:
        self._helping.met(self, kind, now)


class Helping:
    """The favours of one node."""

    def __init__(
        self,
        ctx: Context,
        table: MemberTable,
        pings: Pings,
        corroborate: Callable[[Member, Kind, float], None],
    ) -> None:
        self._ctx = ctx
        self._table = table
        self._pings = pings
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
        if member is None or member.address != request.address or self._is_full(source):
            self._answer(request, source, Outcome.SILENT)
            return
        self._number += 1
        favour = Favour(self, request, source, self._number)
        self._favours[favour.number] = favour
        self._ctx.timers.set(now + request.patience_ms / 1_000 * NACK_AT, Timer.HELP, favour.number)
        favour.seq = self._pings.send(request.target, member.address, favour, now)

    def _is_full(self, asker: Address) -> bool:
        favours = self._favours.values()
        return len(favours) >= FAVOURS_MAX or (
            len(favours) >= FAVOURS_EACH and sum(each.asker == asker for each in favours) >= FAVOURS_EACH
        )

    def patience_over(self, number: int, _now: float) -> None:
        favour = self._favours.get(number)
        if favour is not None:
            self.report(favour, Outcome.SILENT)

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
        self._answer(favour.request, favour.asker, outcome)

    def _answer(self, request: PingRequest, asker: Address, outcome: Outcome) -> None:
        self._ctx.send(
            asker, Report(request.seq, self._ctx.notary.id, int(outcome), self._table.life_of(request.sender))
        )
