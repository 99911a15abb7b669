"""Who is let in: a joiner is introduced by its seed once its advertised address has answered.

By a datagram, or at least over a stream. So an address that nobody can reach never enters the
view, and the joiner is told which address was tried and where it was seen from.
"""

from __future__ import annotations

from gossip.core.context import Context, refusing
from gossip.core.conversation import Server
from gossip.core.guests import who_gives_way
from gossip.core.handover import Handover
from gossip.core.joining import Joining
from gossip.core.members import MemberTable
from gossip.core.messages import Ack, Frame, Hello, Turned, Verdict
from gossip.core.own import Own
from gossip.core.params import PROTOCOL_MAX, PROTOCOL_MIN
from gossip.core.pings import Pings
from gossip.core.records import Fact, MemberRecord
from gossip.core.repair import Repair
from gossip.core.roster import Roster
from gossip.core.sessions import Sessions
from gossip.core.timers import Timer
from gossip.core.types import Address, Kind, Phase, StreamId, is_loopback

__all__ = ["Admission"]


class Introduction:
    """A joiner whose advertised address is being tried: by datagram, then over a stream."""

    __slots__ = ("_admission", "hello", "number", "record", "seen", "seq", "stream", "try_stream")

    def __init__(
        self,
        admission: Admission,
        stream: StreamId,
        hello: Hello,
        record: MemberRecord,
        seen: Address,
        number: int,
    ) -> None:
        self._admission = admission
        self.stream = stream
        self.hello = hello
        self.record = record
        self.seen = seen
        self.number = number
        self.seq = 0
        self.try_stream: StreamId = 0

    # as the asker of a ping
    def acked(self, _seq: int, now: float) -> None:
        self._admission.introduced(self, now, degraded=False)

    def evidence(self, _kind: Kind, now: float) -> None:
        self._admission.introduction_over(self.number, now)

    # as one that is about to be served
    @property
    def host(self) -> str:
        """Where it has called from."""
        return self.seen[0]

    def give_way(self) -> None:
        self._admission.give_way(self)

    # as the handler of the joiner's own stream
    def opened(self, now: float) -> None:
        """It was open from the start."""

    def frame(self, frame: Frame, now: float) -> None:
        """It has said what it wants, and waits."""

    def closed(self, _reason: str, _now: float) -> None:
        self._admission.hung_up(self)


class Trying:
    """The stream to the address that a joiner advertises."""

    __slots__ = ("_admission", "_introduction", "_seq")

    def __init__(self, admission: Admission, introduction: Introduction, seq: int) -> None:
        self._admission = admission
        self._introduction = introduction
        self._seq = seq

    def opened(self, now: float) -> None:
        """The ping was written when the stream was dialled."""

    def frame(self, frame: Frame, now: float) -> None:
        record = self._introduction.record
        if isinstance(frame, Ack) and (frame.seq, frame.sender, frame.address) == (
            self._seq,
            record.owner,
            record.address,
        ):
            self._admission.introduced(self._introduction, now, degraded=True)

    def closed(self, _reason: str, now: float) -> None:
        self._admission.introduction_over(self._introduction.number, now)


class Admission:
    """Answering those who open a stream to join, or to repair."""

    def __init__(
        self,
        ctx: Context,
        table: MemberTable,
        roster: Roster,
        own: Own,
        pings: Pings,
        repair: Repair,
        sessions: Sessions,
        handover: Handover,
        joining: Joining,
    ) -> None:
        self._ctx = ctx
        self._table = table
        self._roster = roster
        self._own = own
        self._pings = pings
        self._repair = repair
        self._sessions = sessions
        self._handover = handover
        self._joining = joining
        self._introductions: dict[int, Introduction] = {}
        self._number = 0

    def received_hello(self, stream: StreamId, hello: Hello, source: Address, now: float) -> None:
        """Somebody opened a stream to join or to repair."""
        if self._own.me.record.phase == Phase.LEAVING:
            self._turn(stream, "this agent is leaving the cluster; ask another one")
            return
        with refusing(self._ctx):
            fact = self._ctx.notary.parse(hello.record)
            record = fact.body
            if not isinstance(record, MemberRecord) or record.owner != hello.sender:
                self._turn(stream, "the hello carries no record of its sender")
            elif record.owner == self._own.id:
                self._turn(stream, "that is this agent itself, or another with a copy of its key")
            elif not self._is_signed(fact, record):
                self._ctx.count("signature")
                self._turn(stream, "the signature of the member record is wrong")
            elif record.protocol_min > PROTOCOL_MAX or record.protocol_max < PROTOCOL_MIN:
                self._turn(
                    stream,
                    f"no common protocol version: {PROTOCOL_MIN} to {PROTOCOL_MAX} here, "
                    f"{record.protocol_min} to {record.protocol_max} there; upgrade the older agent",
                )
            elif (refusal := self._ctx.gate.refuses(record, now)) is not None:
                self._ctx.gate.refused(record, refusal, now)
                self._turn(stream, f"this node is not let in: {refusal.detail}")
            elif self._handover.greet(stream, hello, record, now):
                self._introduce(stream, hello, record, source, now)
            return
        self._turn(stream, "the member record is malformed")

    def _has_place(self, host: str) -> bool:
        """Whether a caller from there can be served, now that somebody may have given way."""
        if not self._repair.is_full(len(self._introductions)):
            return True
        guests = [handler for handler in self._sessions if isinstance(handler, Server | Introduction)]
        guest = who_gives_way(guests, host)
        if guest is not None:
            guest.give_way()
        return guest is not None

    def _put_off(self, stream: StreamId) -> None:
        self._sessions.write(stream, self._repair.busy())
        self._sessions.close(stream)

    def _is_signed(self, fact: Fact, record: MemberRecord) -> bool:
        """Whether the record's signature is good: of one that is held it was when it came."""
        known = self._table.get(record.owner)
        held = known is not None and known.fact.raw == fact.raw
        return held or self._ctx.notary.verify(fact, record.public_key)

    def _introduce(
        self, stream: StreamId, hello: Hello, record: MemberRecord, source: Address, now: float
    ) -> None:
        known = self._table.get(record.owner)
        is_at_home = known is not None and known.is_live and known.address == record.address
        is_known = is_at_home and not hello.joining
        if not is_known and is_loopback(record.host) and not is_loopback(source[0]):
            self._verdict(stream, record, source, reached=False, degraded=False)
            self._sessions.close(stream)
            return
        # Last of all that is asked: nobody gives way for one that is refused anyway.
        if not self._has_place(source[0]):
            self._put_off(stream)
            return
        if is_known:
            self._repair.serve(stream, hello, source[0], now)
            return
        self._number += 1
        introduction = Introduction(self, stream, hello, record, source, self._number)
        self._introductions[introduction.number] = introduction
        self._sessions.watch(stream, introduction)
        self._ctx.timers.set(now + self._ctx.params.direct_max, Timer.INTRODUCE, introduction.number)
        introduction.seq = self._pings.send(record.owner, record.address, introduction, now)

    def introduction_over(self, number: int, now: float) -> None:
        """The joiner did not ack the datagram in time, or the stream to it failed."""
        introduction = self._introductions.get(number)
        if introduction is None:
            return
        self._pings.forget(introduction.seq)
        if not introduction.try_stream and self._ctx.params.stream_probe:
            record = introduction.record
            seq = self._ctx.sequence()
            trying = Trying(self, introduction, seq)
            introduction.try_stream = self._sessions.dial(
                record.address, trying, 2 * self._ctx.params.direct_max
            )
            ping = self._pings.ping(seq, record.owner, record.address)
            self._sessions.write(introduction.try_stream, ping)
            self._ctx.timers.set(now + 2 * self._ctx.params.direct_max, Timer.INTRODUCE, number)
            return
        self._finish(introduction)
        self._verdict(
            introduction.stream, introduction.record, introduction.seen, reached=False, degraded=False
        )
        self._sessions.close(introduction.stream)

    def introduced(self, introduction: Introduction, now: float, *, degraded: bool) -> None:
        """The joiner answered at the address that it advertises."""
        if self._introductions.get(introduction.number) is not introduction:
            return
        self._finish(introduction)
        self._joining.have_company()
        self._verdict(
            introduction.stream, introduction.record, introduction.seen, reached=True, degraded=degraded
        )
        self._repair.serve(introduction.stream, introduction.hello, introduction.host, now)
        member = self._table.get(introduction.record.owner)
        if member is not None:
            self._roster.flag(member, "degraded", on=degraded)

    def give_way(self, introduction: Introduction) -> None:
        """It has a place that somebody else is to have."""
        self._finish(introduction)
        self._put_off(introduction.stream)

    def hung_up(self, introduction: Introduction) -> None:
        """The joiner's own stream is over: there is nobody to tell, and nobody to serve."""
        self._finish(introduction)

    def _finish(self, introduction: Introduction) -> None:
        del self._introductions[introduction.number]
        self._pings.forget(introduction.seq)
        self._ctx.timers.clear(Timer.INTRODUCE, introduction.number)
        if introduction.try_stream:
            self._sessions.close(introduction.try_stream)

    def _verdict(
        self, stream: StreamId, record: MemberRecord, seen: Address, *, reached: bool, degraded: bool
    ) -> None:
        self._ctx.count("introduced" if reached else "unreachable")
        self._sessions.write(stream, Verdict(reached, degraded, record.address, seen))

    def _turn(self, stream: StreamId, reason: str) -> None:
        self._ctx.count("turned_away")
        self._sessions.write(stream, Turned(reason))
        self._sessions.close(stream)
