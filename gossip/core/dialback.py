"""Dialling back: a node that wants to know whether others reach it asks one of them to try.

The asker opens a stream and shows its own signed record; what is tried is the address in that record, and
no other. A record may say anything, though, and the answer tells what is there. So that is done only for who
may be a member, and only at an address that is known to be its own: it is held as a member there, or its
stream comes from that very host. Who is held dead is tried too, as it needs the answer most; who has left is
not. Few are tried at a time, for one host half of them, each node and each address once at a time and once a
second, and nobody is sent more than the asker has sent (see `trials`).
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from gossip.core.context import Context, refusing
from gossip.core.members import MemberTable
from gossip.core.messages import Busy, DialBack, DialledBack, Frame, Turned
from gossip.core.records import MemberRecord
from gossip.core.sessions import Sessions
from gossip.core.trials import Trial, Trials
from gossip.core.types import Address, NodeId, Reach, Status, StreamId, is_loopback, site

__all__ = ["AT_ONCE", "REST", "RESTING_MAX", "DialBacks"]

AT_ONCE = 8
"""Nodes that are tried for others at a time."""
REST = 1.0
"""Seconds after which a node, or an address, is tried again."""
RESTING_MAX = 64
"""Tries that were begun within `REST`; with so many nobody is tried until one has rested."""
SHARE = 2
"""One part in so many, of those at a time and of those that rest, is the most for askers from one host."""
Ways: TypeAlias = tuple[Reach, Reach, Reach]
UNREACHABLE: Ways = (Reach.UNREACHABLE, Reach.UNREACHABLE, Reach.UNREACHABLE)
UNTRIED: Ways = (Reach.UNTRIED, Reach.UNTRIED, Reach.UNTRIED)
"""The answer to who names an address that is not known to be its own."""


class Try(NamedTuple):
    """Who is tried where, and for whom."""

    owner: NodeId
    address: Address
    seen: Address
    """Where the asker's stream comes from."""
    at: float


class Caller:
    """Who waits at the other end of a stream for what comes of its trial."""

    __slots__ = ("_dialbacks", "asked", "stream", "trial")

    def __init__(self, dialbacks: DialBacks, stream: StreamId, asked: Try) -> None:
        self._dialbacks = dialbacks
        self.stream = stream
        self.asked = asked
        self.trial: Trial | None = None

    def opened(self, now: float) -> None:
        """It was open from the start."""

    def frame(self, frame: Frame, now: float) -> None:
        """It has said all that it has to say."""

    def closed(self, _reason: str, _now: float) -> None:
        self._dialbacks.gone(self)

    def done(self, trial: Trial, _now: float) -> None:
        self._dialbacks.done(self, trial)


class DialBacks:
    """What this node tries for others."""

    def __init__(self, ctx: Context, table: MemberTable, trials: Trials, sessions: Sessions) -> None:
        self._ctx = ctx
        self._table = table
        self._trials = trials
        self._sessions = sessions
        self._callers: dict[Address, Caller] = {}
        """By the address that is being tried."""
        self._resting: list[Try] = []

    def asked(self, stream: StreamId, request: DialBack, source: Address, now: float) -> None:
        """Somebody asks on a stream to be tried."""
        record = self._record_of(request)
        if record is None:
            self._turn(stream, "the request carries no record of its sender, or a bad one")
            return
        refusal = self._ctx.gate.refuses(record, now)
        if refusal is not None:
            self._ctx.gate.refused(record, refusal, now)
            self._turn(stream, f"this node is not let in: {refusal.detail}")
            return
        address = record.address
        if is_loopback(address[0]) and not is_loopback(source[0]):
            # That would be this very machine.
            self._answer(stream, address, source, UNREACHABLE)
            return
        if not self._is_its_own(record, source):
            self._ctx.count("dial_back_elsewhere")
            self._answer(stream, address, source, UNTRIED)
            return
        asked = Try(record.owner, address, source, now)
        if self._is_full(asked):
            self._put_off(stream)
            return
        self._ctx.count("dial_backs")
        self._resting.append(asked)
        caller = self._callers[address] = Caller(self, stream, asked)
        self._sessions.watch(stream, caller)
        patience = request.patience_ms / 1_000
        caller.trial = self._trials.start(record.owner, address, patience, now, caller.done)

    def done(self, caller: Caller, trial: Trial) -> None:
        """It is known how far the asker can be reached."""
        self._callers.pop(trial.address, None)
        if trial.ways == UNTRIED:
            # This node was not running. It is not to be taken for one that does not try who asks.
            self._put_off(caller.stream)
            return
        self._answer(caller.stream, trial.address, caller.asked.seen, trial.ways, heard=trial.heard)

    def gone(self, caller: Caller) -> None:
        """The asker does not wait any longer."""
        self._sessions.unwatch(caller.stream)
        if caller.trial is not None:
            self._callers.pop(caller.trial.address, None)
            self._trials.drop(caller.trial)

    def _answer(
        self, stream: StreamId, address: Address, seen: Address, ways: Ways, *, heard: bool = False
    ) -> None:
        small, full, by_stream = ways
        self._sessions.write(stream, DialledBack(address, seen, int(small), int(full), int(by_stream), heard))
        self._sessions.close(stream)

    def _put_off(self, stream: StreamId) -> None:
        self._ctx.count("dial_back_busy")
        self._sessions.write(stream, Busy(int(REST * 1_000), ()))
        self._sessions.close(stream)

    def _turn(self, stream: StreamId, reason: str) -> None:
        self._sessions.write(stream, Turned(reason))
        self._sessions.close(stream)

    def _is_its_own(self, record: MemberRecord, source: Address) -> bool:
        """Whether the address in a record is known to be its owner's."""
        if record.host == source[0]:
            return True
        member = self._table.get(record.owner)
        return member is not None and member.status is not Status.LEFT and member.address == record.address

    def _record_of(self, request: DialBack) -> MemberRecord | None:
        """The asker's own record, if it is that and signed."""
        notary = self._ctx.notary
        with refusing(self._ctx):
            fact = notary.parse(request.record)
            record = fact.body
            if not isinstance(record, MemberRecord) or record.owner != request.sender:
                return None
            if record.owner == notary.id or not notary.verify(fact, record.public_key):
                self._ctx.count("signature")
                return None
            return record
        return None

    def _is_full(self, asked: Try) -> bool:
        self._resting = [each for each in self._resting if asked.at - each.at < REST]
        return _has_no_room(self._resting, asked, RESTING_MAX) or _has_no_room(
            [caller.asked for caller in self._callers.values()], asked, AT_ONCE
        )


def _has_no_room(tries: list[Try], asked: Try, most: int) -> bool:
    """Whether one more would be too many: of all, of that node or address, or for that host.

    Loopback has no share: there all come from one host.
    """
    if len(tries) >= most or any(
        each.owner == asked.owner or each.address == asked.address for each in tries
    ):
        return True
    host = site(asked.seen[0])
    return sum(site(each.seen[0]) == host for each in tries) >= most // SHARE and not is_loopback(
        asked.seen[0]
    )
