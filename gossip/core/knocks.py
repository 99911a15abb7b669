"""Pings to members that are held dead, with what is held against them: one that lives refutes.

Every other one goes over a stream as well. Two halves of a cluster that held each other dead may have a
firewall between them that lets streams pass and nothing else: by datagrams they would never know.
"""

from __future__ import annotations

from collections.abc import Callable

from gossip.core.context import Context
from gossip.core.detector import Detector
from gossip.core.members import Member
from gossip.core.messages import Ack, Frame
from gossip.core.pings import Pings
from gossip.core.sessions import Sessions
from gossip.core.types import Address, NodeId, StreamId

__all__ = ["Knocks"]


class Knocks:
    """Those of one node."""

    def __init__(self, ctx: Context, pings: Pings, detector: Detector, sessions: Sessions) -> None:
        self._ctx = ctx
        self._pings = pings
        self._detector = detector
        self._sessions = sessions
        self._is_streams_turn = False
        self.stream_ack: Callable[[Ack, float], None]
        """Takes what an ack says; set by the node, since the way in for messages needs this."""

    def at(self, member: Member) -> None:
        """Knock at a dead member's."""
        self._ctx.count("knocked")
        charges = self._detector.charges(member)
        seq = self._ctx.sequence()
        self._ctx.send(member.address, self._pings.ping(seq, member.id, member.address, charges))
        if not self._ctx.params.stream_probe:
            return
        self._is_streams_turn = not self._is_streams_turn
        if self._is_streams_turn or member.degraded:
            call = Call(self, member.id, member.address, self._ctx.sequence())
            call.stream = self._sessions.dial(member.address, call, 2 * self._ctx.params.direct_max)
            ping = self._pings.ping(call.seq, member.id, member.address, charges)
            self._sessions.write(call.stream, ping)

    def answered(self, call: Call, ack: Ack, now: float) -> None:
        self._sessions.close(call.stream)
        self.stream_ack(ack, now)


class Call:
    """One knock over a stream, as its handler."""

    __slots__ = ("_address", "_knocks", "_member", "seq", "stream")

    def __init__(self, knocks: Knocks, member: NodeId, address: Address, seq: int) -> None:
        self._knocks = knocks
        self._member = member
        self._address = address
        self.seq = seq
        self.stream: StreamId = 0

    def opened(self, now: float) -> None:
        """The ping was written when the stream was dialled."""

    def frame(self, frame: Frame, now: float) -> None:
        if isinstance(frame, Ack) and (frame.seq, frame.sender, frame.address) == (
            self.seq,
            self._member,
            self._address,
        ):
            self._knocks.answered(self, frame, now)

    def closed(self, reason: str, now: float) -> None:
        """Nobody is there."""
