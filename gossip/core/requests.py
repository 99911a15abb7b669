"""Asking helpers to probe a member (SWIM's ping-req), and what they report.

Whoever asks is told of each report; a report that answers no request, or comes from somebody who
was not asked, is counted and dropped.
"""

from __future__ import annotations

from typing import Protocol

from gossip.core.context import Context
from gossip.core.members import Member, MemberTable
from gossip.core.messages import PingRequest, Report
from gossip.core.types import Address, NodeId, Outcome

__all__ = ["Request", "Requester", "Requests"]

PATIENCE_MAX_MS = 60_000


class Requester(Protocol):
    """Who wants to know what helpers meet."""

    def helped(self, outcome: Outcome, now: float) -> None:
        """One of them has met `outcome`."""


class Request:
    """What was asked, of whom, and what each has said so far."""

    __slots__ = ("outcomes", "requester", "seq")

    def __init__(self, seq: int, requester: Requester, helpers: list[NodeId]) -> None:
        self.seq = seq
        self.requester = requester
        self.outcomes: dict[NodeId, Outcome | None] = dict.fromkeys(helpers)

    @property
    def missing(self) -> int:
        """How many have not said a word."""
        return sum(outcome is None for outcome in self.outcomes.values())

    @property
    def has_spoken(self) -> bool:
        """Whether any of them has said a word."""
        return self.missing < len(self.outcomes)

    @property
    def met_evidence(self) -> bool:
        """Whether one of them was refused, or met a stranger."""
        return any(outcome in (Outcome.REFUSED, Outcome.NOT_ME) for outcome in self.outcomes.values())


class Requests:
    """The requests of one node that are under way."""

    def __init__(self, ctx: Context, table: MemberTable) -> None:
        self._ctx = ctx
        self._table = table
        self._pending: dict[int, Request] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def ask(
        self, member: Member, address: Address, patience: float, requester: Requester, *, rounds: int = 1
    ) -> Request | None:
        """Have up to `rounds` x `Params.helpers` others ping `member` at `address`, within `patience` s.

        Returns:
            the request, to be given to `forget` when it matters no more; None if there is nobody to ask.
        """
        helpers = self._table.sample(rounds * self._ctx.params.helpers, exclude=member.id)
        if not helpers:
            return None
        request = Request(self._ctx.sequence(), requester, [helper.id for helper in helpers])
        self._pending[request.seq] = request
        patience_ms = max(1, min(PATIENCE_MAX_MS, int(patience * 1_000)))
        me = self._ctx.notary.id
        for helper in helpers:
            life = helper.record.boot
            self._ctx.send(
                helper.address, PingRequest(request.seq, me, member.id, address, patience_ms, life)
            )
        return request

    def forget(self, request: Request | None) -> None:
        """What its helpers meet matters no more."""
        if request is not None:
            self._pending.pop(request.seq, None)

    def reported(self, report: Report, now: float) -> None:
        """A helper says what it met."""
        request = self._pending.get(report.seq)
        if request is None or report.sender not in request.outcomes:
            self._ctx.count("report_unexpected")
            return
        outcome = request.outcomes[report.sender] = Outcome(report.outcome)
        request.requester.helped(outcome, now)
