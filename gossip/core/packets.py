"""What comes from peers: which part of core answers which message, and who was heard.

Every datagram proves that its sender is running, so it is heard before it is read, if that is a member; what
a ping or ack carries besides is news like any other.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gossip.core.admission import Admission
from gossip.core.context import Context
from gossip.core.conversation import Conversation
from gossip.core.detector import Detector
from gossip.core.events import Event, EventKind
from gossip.core.examiner import Examiner
from gossip.core.handover import Handover
from gossip.core.health import Health
from gossip.core.helping import Helping
from gossip.core.intake import Intake
from gossip.core.joining import Joining
from gossip.core.members import Member, MemberTable
from gossip.core.messages import (
    Ack,
    DialBack,
    Frame,
    FullPing,
    Gossip,
    Hello,
    KeyAsk,
    NotMe,
    Packet,
    Ping,
    PingRequest,
    Report,
)
from gossip.core.own import Own
from gossip.core.pings import Pings, sign_not_me
from gossip.core.probe import Prober
from gossip.core.repair import Repair
from gossip.core.requests import Requests
from gossip.core.sessions import Handler, Sessions
from gossip.core.sizes import bare_bytes, news_bytes
from gossip.core.spread import Spread
from gossip.core.types import Address, Kind, NodeId, Status, StreamId

__all__ = ["Packets"]


class Packets:
    """The way in for messages."""

    def __init__(
        self,
        ctx: Context,
        table: MemberTable,
        own: Own,
        health: Health,
        spread: Spread,
        pings: Pings,
        prober: Prober,
        requests: Requests,
        helping: Helping,
        detector: Detector,
        intake: Intake,
        repair: Repair,
        joining: Joining,
        admission: Admission,
        sessions: Sessions,
        examiner: Examiner,
        handover: Handover,
    ) -> None:
        self._ctx = ctx
        self._table = table
        self._own = own
        self._health = health
        self._spread = spread
        self._pings = pings
        self._prober = prober
        self._requests = requests
        self._helping = helping
        self._detector = detector
        self._intake = intake
        self._repair = repair
        self._joining = joining
        self._admission = admission
        self._sessions = sessions
        self._examiner = examiner
        self._handover = handover
        self.heard_at = float("-inf")
        """When a member was last heard, or a host that refused where one should be."""
        self._handlers: dict[type, Callable[..., None]] = {
            Ping: self._ping,
            FullPing: self._ping,
            Ack: self._ack,
            Gossip: self._gossip,
            PingRequest: self._ping_request,
            Report: self._report,
            NotMe: self._not_me,
        }

    def receive(self, message: Packet, source: Address, now: float) -> None:
        if self._table.bans and getattr(message, "sender", b"") in self._table.bans:
            self._ctx.count("banned")
            return
        self._handlers[type(message)](message, source, now)
        if self._examiner.is_trying and not isinstance(message, NotMe):
            self._examiner.heard(message.sender)

    def repeated(self, message: Packet, source: Address, now: float) -> None:
        """Take what may be a copy of what came before, or was made to look so by who has the key.

        As of what is stale, an ack counts if it is awaited, and a ping is answered by no more than that this
        node lives; but only where its member is. Nothing else comes of it.
        """
        sender = getattr(message, "sender", b"")
        if sender in self._table.bans:
            self._ctx.count("banned")
        elif isinstance(message, Ack) and self._pings.is_awaited(message):
            self._ack(message, source, now)
        elif isinstance(message, Ping) and message.target == self._table.me.id:
            member = self._table.get(sender)
            if member is not None and member.address == source:
                self._ctx.send(source, self._pings.small_ack(message))

    def accept(self, source: Address) -> StreamId:
        """Somebody opened a stream: its first frame will say what for."""
        stream = self._ctx.next_stream()
        self._sessions.watch(stream, Caller(self, stream, source))
        return stream

    def first_frame(self, stream: StreamId, source: Address, frame: Frame, now: float) -> None:
        """A caller's first frame: a repair or join, a probe, or news for a degraded member."""
        if getattr(frame, "sender", b"") in self._table.bans and not isinstance(frame, Hello):
            self._ctx.count("banned")
            self._sessions.close(stream)
        elif isinstance(frame, Hello):
            self._admission.received_hello(stream, frame, source, now)
        elif isinstance(frame, Ping) and frame.target == self._ctx.notary.id:
            if not self._is_stale(frame):
                self._hear(frame.sender, frame.view, now)
                self._intake.take(frame.news, frame.sender, now)
            self._sessions.write(stream, self._acked_on_stream(frame, source))
        elif isinstance(frame, Gossip):
            self._gossip(frame, source, now)
        elif isinstance(frame, DialBack):
            self._examiner.asked(stream, frame, source, now)
        elif isinstance(frame, KeyAsk):
            self._handover.asked(stream, frame, now)
        else:
            self._ctx.count("frame_unexpected")
            self._sessions.close(stream)

    def _ping(self, ping: Ping, source: Address, now: float) -> None:
        me = self._table.me
        if ping.target != me.id:
            self._ctx.count("ping_for_another")
            if ping.address == me.address:
                self._say_not_me(ping, source, now)
                if self._table.get(ping.sender) is None:
                    # Somebody who knew whoever was here before: of use to one who knows nobody.
                    self._joining.heard_stranger(source)
            return
        member = self._table.get(ping.sender)
        if self._is_stale(ping):
            # Whoever knows this node from its last life has to hear that it lives; and that is all.
            self._ctx.send(source, self._pings.small_ack(ping))
            if member is None:
                self._joining.heard_stranger(source)
            return
        self._hear(ping.sender, ping.view, now)
        if ping.news:
            self._intake.take(ping.news, ping.sender, now, is_there=_is_there(member, source))
            member = self._table.get(ping.sender)
        # Nobody can have this node send more to an address than was sent from there, or claims to be: also
        # not by a record of its own that names it.
        if member is not None and _is_proven(member, source):
            # A datagram that a degraded member may never get carries no news, which would count as told.
            self._ctx.send(source, self._acked(ping, member, has_room=not member.degraded))
        else:
            self._ctx.send(source, self._pings.small_ack(ping))
        if member is None:
            self._joining.heard_stranger(source)
        else:
            self._pings.met(member, ping.position)

    def _say_not_me(self, ping: Ping, source: Address, now: float) -> None:
        """Prove who lives here now; where no known member has answered yet, once one has."""
        if _is_proven(self._table.get(ping.sender), source):
            self._ctx.send(source, sign_not_me(self._ctx, ping, self._table.me.fact.raw))
        else:
            self._pings.send_back(ping, source, Stranger(self, ping, source), now)

    def stranger_proven(self, ping: Ping, source: Address) -> None:
        """Whoever pinged for another can be reached where that came from."""
        self._ctx.send(source, sign_not_me(self._ctx, ping, self._table.me.fact.raw))

    def _acked_on_stream(self, ping: Ping, source: Address) -> Ack:
        """The ack to a ping that came over a stream: with news only where its member is.

        Whoever is told counts as told: under names that it makes up, or reads, a caller would use up what is
        meant for members.
        """
        member = self._table.get(ping.sender)
        is_there = member is not None and member.address[0] == source[0]
        return self._acked(ping, member, has_room=is_there)

    def _acked(self, ping: Ping, member: Member | None, *, has_room: bool) -> Ack:
        """The ack: with what is held against the pinger, if anything, and if it `has_room` with news."""
        charges: tuple[bytes, ...] = ()
        if member is not None and member.status is not Status.ALIVE:
            charges = self._detector.charges(member)
        ack = self._pings.ack(ping, charges)
        if not has_room or not self._spread.has_news:
            return ack
        room = self._spread.room(member, bare_bytes(ack) + sum(map(news_bytes, charges)))
        news = self._spread.piggyback(ping.sender, room, charges)
        return msgspec.structs.replace(ack, news=charges + news) if news else ack

    def _is_stale(self, message: Ping | Ack | PingRequest | Report | Gossip) -> bool:
        """Whether it was meant for another life of this node: recorded then, and told again."""
        if message.life in (0, self._table.me.record.boot):
            return False
        self._ctx.count("stale")
        return True

    def _ack(self, ack: Ack, source: Address, now: float) -> None:
        # An ack that is awaited is no old one, whatever its sender knows of this node.
        if not self._pings.is_awaited(ack) and self._is_stale(ack):
            return
        self._hear(ack.sender, ack.view, now)
        if ack.news:
            is_there = _is_there(self._table.get(ack.sender), source)
            self._intake.take(ack.news, ack.sender, now, is_there=is_there)
        self._pings.received_ack(ack, now)

    def stream_ack(self, ack: Ack, now: float) -> None:
        """An ack that came over a stream, already found to be the one that was awaited."""
        self._hear(ack.sender, ack.view, now)
        self._intake.take(ack.news, ack.sender, now, is_there=True)

    def _gossip(self, gossip: Gossip, source: Address, now: float) -> None:
        if self._is_stale(gossip):
            return
        self._hear(gossip.sender, None, now)
        is_there = _is_there(self._table.get(gossip.sender), source)
        self._intake.take(gossip.news, gossip.sender, now, is_there=is_there)
        member = self._table.get(gossip.sender)
        if member is not None and not member.is_live and now - member.answered_at >= self._ctx.params.period:
            # Whoever hears from a member that it holds dead tells it, so that it refutes.
            member.case.answered_at = now
            charges = self._detector.charges(member)
            if charges:
                self._spread.deliver(member, charges)

    def _ping_request(self, request: PingRequest, source: Address, now: float) -> None:
        if self._is_stale(request):
            return
        self._hear(request.sender, None, now)
        self._helping.asked(request, source, now)

    def _report(self, report: Report, _source: Address, now: float) -> None:
        if self._is_stale(report):
            return
        self._hear(report.sender, None, now)
        if not self._examiner.reported(report, now):
            self._requests.reported(report, now)

    def _not_me(self, message: NotMe, _source: Address, now: float) -> None:
        self._pings.received_not_me(message, now)

    def hear_frame(self, frame: Frame, handler: Handler, now: float) -> None:
        """A frame came: it counts by the sender that it names, or by whom the conversation is with."""
        peer = handler.peer if isinstance(handler, Conversation) else b""
        if _is_company(self._table.get(getattr(frame, "sender", peer))):
            self.heard_at = now

    def hear_refusal(self, address: Address, now: float) -> None:
        """A host refuses; the shell has proof that it answers a datagram of this node: it is not cut off."""
        if self._table.at(address) or _is_company(self._table.anybody_at(address)):
            self.heard_at = now

    def _hear(self, sender: NodeId, view: bytes | None, now: float) -> None:
        member = self._table.get(sender)
        if member is None:
            # Strangers are no company: any of them could keep this node from seeing that it is cut off.
            return
        if _is_company(member):
            self.heard_at = now
            if self._detector.isolated:
                self._detector.reconnect(now)
                self._ctx.notify(Event(EventKind.RECONNECTED, self._table.me.id, self._table.me.name))
        self._prober.heard(sender, now)
        self._health.heard(sender)
        if view is not None:
            agreed = self._repair.heard_view(member, view, now)
            self._spread.queue.compared(agreed=agreed)
            if agreed:
                # Who holds my view has my record as I wrote it: a newer one is no former life's.
                self._own.settled = True


def _is_company(member: Member | None) -> bool:
    """Whether to hear it shows that this node is not cut off. Who is refused or banned later has left."""
    return member is not None and member.status is not Status.LEFT


def _is_there(member: Member | None, source: Address) -> bool:
    """Whether what came from `source` comes from where a member says that it is."""
    return member is not None and member.address == source


def _is_proven(member: Member | None, source: Address) -> bool:
    """Whether it comes from a member that has answered there."""
    return member is not None and member.address == source and member.is_at_home


class Stranger:
    """Whoever pinged somebody that was here before, from an address that is yet to be proven."""

    __slots__ = ("_packets", "_ping", "_source")

    def __init__(self, packets: Packets, ping: Ping, source: Address) -> None:
        self._packets = packets
        self._ping = ping
        self._source = source

    def acked(self, _seq: int, _now: float) -> None:
        self._packets.stranger_proven(self._ping, self._source)

    def evidence(self, _kind: Kind, _now: float) -> None:
        """Whoever it was is not there: nobody is answered."""


class Caller:
    """An accepted stream before its first frame."""

    __slots__ = ("_packets", "_source", "_stream")

    def __init__(self, packets: Packets, stream: StreamId, source: Address) -> None:
        self._packets = packets
        self._stream = stream
        self._source = source

    def opened(self, now: float) -> None:
        """It was open from the start."""

    def frame(self, frame: Frame, now: float) -> None:
        self._packets.first_frame(self._stream, self._source, frame, now)

    def closed(self, reason: str, now: float) -> None:
        """Whoever it was had nothing to say."""
