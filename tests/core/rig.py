"""One real node, driven by hand: a test feeds it messages and time, and looks at what it does.

    rig = Rig()
    a, b, c = rig.members(3)                # three peers that the node holds alive, and that ack its pings
    rig.hear(a, b.accuse(c))                # gossip from a: what b says against c
    assert rig.status(c) is Status.SUSPECT
    c.acks = False
    rig.run(30)                             # virtual time; the others go on answering
    assert rig.told(EventKind.MEMBER_FAILED) == [c.name]

Peers are no nodes: each is an identity with a few habits (`Peer.acks`, `helps`, `stream`), and whatever
else it says is written by the test. Answers take `RTT`. Every datagram of the node goes through the codec,
so a message that could not travel fails the test that caused it.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import msgspec

from gossip.core.effects import Close, Dial, Effect, Notify, Send, Write
from gossip.core.events import Event, EventKind
from gossip.core.members import Member
from gossip.core.messages import Ack, Frame, FullPing, Gossip, Message, Packet, Ping, PingRequest, Report
from gossip.core.node import Node, Self
from gossip.core.params import LAN, Params
from gossip.core.records import (
    Accusation,
    Deletion,
    EventRecord,
    Fact,
    MemberRecord,
    ServiceRecord,
    StatusRecord,
)
from gossip.core.types import Address, Kind, NodeId, Outcome, Status, StreamId
from gossip.wire.codec import decode_packet, encode
from sim.chance import derive_bytes
from sim.notary import Archive, AuthorityStandIn, StandIn

__all__ = ["HOME", "INCARNATION", "RTT", "Peer", "Rig"]

RTT = 0.001
"""Seconds until a peer's answer is there."""
HOME: Address = ("10.0.0.1", 7_946)
"""Where the node is."""
INCARNATION = 1_000
"""The node's first incarnation; peers begin with it too."""
CEILING = 1 << 40
USHER: NodeId = b"usher of the rig"
"""Who introduces the members, and is none itself."""

_M = TypeVar("_M", bound=Message)
Subject: TypeAlias = "Peer | Rig | NodeId"


def as_read(message: Packet) -> Packet:
    """What its reader has of a message: of a ping of full size, the ping."""
    if isinstance(message, FullPing):
        return Ping(*msgspec.structs.astuple(message)[:-1])
    return message


class Peer:
    """Another node, as far as its words go."""

    def __init__(self, rig: Rig, number: int, name: str, address: Address) -> None:
        self.rig = rig
        self.notary = StandIn(derive_bytes(rig.seed, "peer", number), rig.archive)
        self.name = name
        self.address = address
        self.version = INCARNATION
        """Of the last thing that it said of itself."""
        self.said = 0
        """How much it has said besides."""
        self.fields: dict[str, Any] = {}
        """What differs in its member record from the ordinary."""
        self.acks = True
        """Whether it answers pings."""
        self.refuses = False
        """Whether its port is closed and its host says so, to datagrams and streams."""
        self.helps: Outcome | None = Outcome.SILENT
        """What it reports when it helps (SILENT after 80 % of the patience); None: never a word."""
        self.stream = False
        """Whether it answers pings on streams."""
        self.heard: list[Packet] = []
        """The datagrams that it got, in order."""
        self.current = self.say()

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def id(self) -> NodeId:
        return self.notary.id

    def say(self, **changes: Any) -> Fact:
        """A member record with these changes, which is its `current` one from now on if it is not older."""
        fields: dict[str, Any] = {
            "owner": self.id,
            "version": self.version,
            "public_key": self.notary.public_key,
            "exchange_key": b"",
            "name": self.name,
            "host": self.address[0],
            "port": self.address[1],
            "tags": {},
            "protocol_min": 1,
            "protocol_max": 1,
            "boot": 1,
            "floor": 0,
            "birth": 1,
            "phase": 0,
            "ephemeral": False,
        }
        fact = self.notary.issue(MemberRecord(**{**fields, **self.fields, **changes}))
        assert isinstance(fact.body, MemberRecord)
        if fact.body.version >= self.version:
            self.version, self.current, self.address = fact.body.version, fact, fact.body.address
            self.name = fact.body.name
        return fact

    def again(self, **changes: Any) -> Fact:
        """The same, with the next version: what a node says to refute, or to change."""
        return self.say(version=self.version + 1, **changes)

    def accuse(self, subject: Subject, kind: Kind = Kind.SILENT, incarnation: int | None = None) -> Fact:
        """Its signed word against another, at the incarnation that the other has unless one is given."""
        at = self.rig.incarnation(subject) if incarnation is None else incarnation
        who = subject if isinstance(subject, bytes) else subject.id
        return self.notary.issue(Accusation(self.id, who, at, int(kind)))

    def service(self, key: str, version: int, name: str = "web", port: int = 80) -> Fact:
        return self.notary.issue(ServiceRecord(self.id, version, key, name, "", port, (), {}, 1))

    def say_service(self, name: str, port: int, *, checked: bool = False) -> Fact:
        """A service of that name and id, newer than all it has said."""
        self.said += 1
        return self.notary.issue(
            ServiceRecord(self.id, INCARNATION + self.said, name, name, "", port, (), {}, 1, checked)
        )

    def say_status(
        self, key: str, checks: tuple[tuple[str, int], ...], *, maintenance: bool = False, note: str = ""
    ) -> Fact:
        """What its checks find, newer than all it has said."""
        self.said += 1
        return self.notary.issue(
            StatusRecord(self.id, INCARNATION + self.said, key, checks, maintenance, note)
        )

    def deletion(self, key: str, version: int) -> Fact:
        return self.notary.issue(Deletion(self.id, version, key))

    def event(self, version: int, name: str = "deploy", payload: bytes = b"") -> Fact:
        return self.notary.issue(EventRecord(self.id, version, name, payload))

    def gossip(self, *facts: Fact) -> Gossip:
        return Gossip(self.id, tuple(fact.raw for fact in facts))

    def ack(self, ping: Ping, *facts: Fact, **changes: Any) -> Ack:
        """Its answer to a ping; `changes` make it a wrong one."""
        fields: dict[str, Any] = {
            "seq": ping.seq,
            "sender": self.id,
            "address": ping.address,
            "view": ping.view,
            "position": b"",
            "news": tuple(fact.raw for fact in facts),
        }
        return Ack(**{**fields, **changes})

    def ping(self, target: NodeId | None = None, *facts: Fact, seq: int = 1, address: Address = HOME) -> Ping:
        """A ping to the node, or one that is meant for another."""
        who = self.rig.id if target is None else target
        return Ping(seq, self.id, who, address, self.rig.view, b"", tuple(fact.raw for fact in facts))

    def got(self, kind: type[_M]) -> list[_M]:
        """The datagrams of that kind that the node sent it."""
        return [message for message in self.heard if isinstance(message, kind)]

    def got_news(self) -> list[bytes]:
        """Every fact that the node sent it by datagram, in order, repeats included."""
        return [
            raw for message in self.heard if isinstance(message, Gossip | Ping | Ack) for raw in message.news
        ]


class Rig:
    """The node, its clock, and the peers around it. `settings` are further arguments of `Node`."""

    def __init__(
        self,
        seed: int = 0,
        *,
        params: Params = LAN,
        name: str = "me",
        tags: dict[str, str] | None = None,
        start: bool = True,
        invited_only: bool | None = None,
        warrant: bytes = b"",
        archive: Archive | None = None,
        **settings: Any,
    ) -> None:
        self.seed = seed
        self.archive = archive or Archive("rig")
        self.notary = StandIn(derive_bytes(seed, "me"), self.archive)
        if invited_only is not None:
            self.authority = AuthorityStandIn(derive_bytes(seed, "authority"), self.archive)
            """There is one if `invited_only` is given, as a yes or a no; it has invited the node itself."""
            warrant = warrant or self.authority.vouch(self.notary.id)
        self.now = 100.0
        self.effects: list[Effect] = []
        """Everything that the node asked for, in order."""
        self.events: list[tuple[float, Event]] = []
        """What it told watchers, and when."""
        self.peers: list[Peer] = []
        self._at: dict[Address, Peer] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self.node = Node(
            self.notary,
            Self(name=name, address=HOME, cluster="rig", tags=tags or {}, warrant=warrant),
            params,
            random.Random(seed),
            self.now,
            **{"incarnation": INCARNATION, "ceiling": CEILING, "floor": 0, **settings},
            invited_only=bool(invited_only),
        )
        if start:
            self.do(self.node.start)

    # Who there is

    @property
    def id(self) -> NodeId:
        return self.notary.id

    def peer(self, name: str | None = None, address: Address | None = None) -> Peer:
        """Somebody that the node does not know yet."""
        number = len(self.peers) + 1
        where = address or (f"10.0.{number >> 8}.{number & 255}", 7_947)
        peer = Peer(self, number, name or f"p{number}", where)
        self.peers.append(peer)
        self._at.setdefault(where, peer)
        return peer

    def members(self, count: int) -> list[Peer]:
        """So many peers, known to the node and alive; it has no news left, and news would leave at once."""
        peers = [self.peer() for _ in range(count)]
        for peer in peers:
            self.introduce(peer)
        self.quieten()
        self.run(1.25 * self.node.params.gossip_interval)
        self.quieten_peers()
        return peers

    def introduce(self, peer: Peer) -> list[Effect]:
        """Gossip of somebody else with the peer's record: nobody enters by its own word."""
        return self.feed(Gossip(USHER, (peer.current.raw,)), ("10.255.0.1", 7_946))

    def prove(self, *peers: Peer) -> None:
        """Have the node know that they are where they say: as if each had acked a ping of its."""
        for peer in peers:
            self.member(peer).sample_rtt(0.001)

    def quieten(self) -> None:
        """Empty the node's queue, as if all had been told, and forget what peers have got."""
        queue = self.node._spread.queue
        for slot in list(queue.items):
            queue.drop(slot)
        self.quieten_peers()

    def quieten_peers(self) -> None:
        """Forget what peers have got so far."""
        for peer in self.peers:
            peer.heard.clear()

    def moved(self, peer: Peer, address: Address) -> None:
        """The peer listens there from now on; nobody is at its old address."""
        self._at = {where: who for where, who in self._at.items() if who is not peer}
        self._at[address] = peer

    def member(self, who: Subject) -> Member:
        """What the node holds of a member; fails if it knows none."""
        found = self.node.members.get(who if isinstance(who, bytes) else who.id)
        assert found is not None, f"{who!r} is not known"
        return found

    def status(self, who: Subject) -> Status | None:
        found = self.node.members.get(who if isinstance(who, bytes) else who.id)
        return None if found is None else found.status

    def incarnation(self, who: Subject) -> int:
        """The last one that it said."""
        if isinstance(who, Rig):
            return who.node.incarnation
        return self.member(who).incarnation if isinstance(who, bytes) else who.version

    @property
    def view(self) -> bytes:
        """The node's fingerprint as it travels: peers agree with it, so that nobody starts a repair."""
        return self.node.fingerprint.to_bytes(8, "big")

    # What comes in

    def do(self, action: Callable[[float], Any]) -> list[Effect]:
        """Call an input of the node with the time, and carry out what it asks for: that is returned."""
        self.node.pulse(0.0, 0.0, False, 0, self.now)
        action(self.now)
        return self.settle()

    def feed(self, message: Packet, source: Peer | Address) -> list[Effect]:
        """One datagram."""
        where = source.address if isinstance(source, Peer) else source
        return self.do(lambda now: self.node.receive(message, where, now))

    def hear(self, source: Peer, *facts: Fact) -> list[Effect]:
        """Gossip of `source` with these facts."""
        return self.feed(source.gossip(*facts), source)

    def frame(self, stream: StreamId, frame: Frame) -> list[Effect]:
        return self.do(lambda now: self.node.stream_received(stream, frame, now))

    def settle(self) -> list[Effect]:
        """Drain, and let the peers see what was sent."""
        effects = self.node.drain()
        self.effects += effects
        for effect in effects:
            if isinstance(effect, Send):
                assert decode_packet(encode(effect.message)) == as_read(effect.message)
                self._sent(effect.message, effect.address)
            elif isinstance(effect, Notify):
                self.events.append((self.now, effect.event))
            elif isinstance(effect, Dial):
                self._dialled(effect)
            elif isinstance(effect, Write) and isinstance(effect.frame, Ping):
                self._pinged_on_stream(effect.stream, effect.frame)
        return effects

    # Time

    def run(self, seconds: float) -> list[Effect]:
        """Let time pass: timers fire, peers answer. What the node asked for meanwhile is returned."""
        before = len(self.effects)
        self._run_to(self.now + seconds)
        return self.effects[before:]

    def _next(self) -> float:
        """When something is due."""
        return min(self.node.next_deadline(), self._due[0][0] if self._due else math.inf)

    def _run_to(self, until: float) -> None:
        while (at := self._next()) <= until:
            self.now = max(self.now, at)
            if self._due and self._due[0][0] <= self.now:
                heapq.heappop(self._due)[2]()
            else:
                self.do(self.node.tick)
        self.now = until

    def run_until(self, predicate: Callable[[], object], limit: float = 120.0) -> float:
        """Let time pass until it holds, asked after every wake-up; how long it took.

        Raises:
            AssertionError: if it does not hold within `limit` seconds.
        """
        begun, end = self.now, self.now + limit
        while not predicate():
            assert self.now < end, f"not within {limit} s; {self.node.counters}"
            self._run_to(min(max(self.now, self._next()), end))
        return self.now - begun

    def later(self, delay: float, action: Callable[[], Any]) -> None:
        """Have it done after so many seconds."""
        self._order += 1
        heapq.heappush(self._due, (self.now + delay, self._order, action))

    # What came out

    def sent(self, kind: type[_M], to: Peer | None = None, among: Sequence[Effect] | None = None) -> list[_M]:
        """The datagrams of that kind: all so far, or those `among` the given effects."""
        effects = self.effects if among is None else among
        return [
            effect.message
            for effect in effects
            if isinstance(effect, Send)
            and isinstance(effect.message, kind)
            and (to is None or effect.address == to.address)
        ]

    def frames(self, stream: StreamId) -> list[Frame]:
        """What it wrote on a stream."""
        return [each.frame for each in self.effects if isinstance(each, Write) and each.stream == stream]

    def dials(self, address: Address) -> list[StreamId]:
        """The streams that it opened to there."""
        return [each.stream for each in self.effects if isinstance(each, Dial) and each.address == address]

    def dialled(self, address: Address) -> StreamId:
        """The last of them."""
        return self.dials(address)[-1]

    def told(self, kind: EventKind) -> list[str]:
        """The names in the events of that kind, in order."""
        return [event.name for _, event in self.events if event.kind is kind]

    def about(self, who: Peer) -> list[EventKind]:
        """What watchers were told of a member, in order."""
        return [event.kind for _, event in self.events if event.id == who.id]

    # Habits of peers

    def _sent(self, message: Packet, address: Address) -> None:
        peer = self._at.get(address)
        if peer is None:
            return
        if peer.refuses:
            self.later(RTT, lambda: self.do(lambda now: self.node.refused(address, now)))
            return
        peer.heard.append(message)
        if isinstance(message, Ping) and peer.acks and message.target == peer.id:
            self._answer(peer, peer.ack(message), RTT)
        elif isinstance(message, PingRequest) and peer.helps is not None:
            wait = 0.0008 * message.patience_ms if peer.helps is Outcome.SILENT else 2 * RTT
            self._answer(peer, Report(message.seq, peer.id, int(peer.helps)), wait)

    def _answer(self, peer: Peer, message: Packet, delay: float) -> None:
        self.later(delay, lambda: self.feed(message, peer))

    def _dialled(self, effect: Dial) -> None:
        peer = self._at.get(effect.address)
        stream = effect.stream
        if peer is not None and peer.refuses:
            self.later(RTT, lambda: self._ended(stream, "refused"))
        elif peer is not None and peer.stream:
            self.later(RTT, lambda: self.do(lambda now: self.node.stream_opened(stream, now)))
        else:
            self.later(effect.timeout, lambda: self._ended(stream, "timeout"))

    def _ended(self, stream: StreamId, reason: str) -> None:
        if not any(isinstance(effect, Close) and effect.stream == stream for effect in self.effects):
            self.do(lambda now: self.node.stream_closed(stream, reason, now))

    def _pinged_on_stream(self, stream: StreamId, ping: Ping) -> None:
        peer = self._at.get(ping.address)
        if peer is not None and peer.stream and peer.id == ping.target:
            self.later(3 * RTT, lambda: self.frame(stream, peer.ack(ping)))
