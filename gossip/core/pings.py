"""Pings under way, and what comes back for them: acks, refusals, strangers.

An ack counts only if it echoes the random sequence, comes from the member that was meant, and
names the address that was pinged. Everything else about a ping (why it was sent, what follows)
belongs to whoever asked for it: a probe, a last look, an introduction, a favour for a peer.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import msgspec

from gossip.core.context import Context, refusing
from gossip.core.coordinates import ERROR, Coordinates, distance, unpack
from gossip.core.histogram import Histogram
from gossip.core.members import Member, MemberTable
from gossip.core.messages import Ack, FullPing, NotMe, Ping
from gossip.core.params import PACKET_OVERHEAD_BYTES
from gossip.core.records import MemberRecord
from gossip.core.sizes import bare_bytes, news_bytes
from gossip.core.spread import Spread
from gossip.core.types import HEAD_BYTES, Address, Kind, NodeId

__all__ = ["STRANGERS_MAX", "Asker", "Pings"]

OUTSTANDING_MAX = 4_096
STRANGERS_MAX = 64
"""Pings back to strangers that are remembered: the newest."""
ERROR_TRUSTED = 0.5
"""A coordinate whose own estimate of its error is above this says nothing of how long to wait."""
PADDING_HEADER_BYTES = 3
"""Of msgpack, for bytes from 256 on."""
ROUND_TRIP_BOUNDS = (0.000_5, 0.001, 0.002, 0.005, 0.010, 0.025, 0.050, 0.100, 0.250, 0.500, 1.0, 2.0)
"""Seconds: from two processes of one host to the far side of the world and a busy machine there."""


class Asker(Protocol):
    """Who wants to know what became of a ping."""

    def acked(self, seq: int, now: float) -> None:
        """The member answered."""

    def evidence(self, kind: Kind, now: float) -> None:
        """The address refused, or a stranger answered there."""


class Expected(NamedTuple):
    """What would answer one ping."""

    target: NodeId
    address: Address
    sent: float
    asker: Asker
    large: bool


class Pings:
    """The pings of one node."""

    def __init__(self, ctx: Context, table: MemberTable, spread: Spread, coordinates: Coordinates) -> None:
        self._ctx = ctx
        self._table = table
        self._spread = spread
        self._coordinates = coordinates
        self._expected: dict[int, Expected] = {}
        self._backs: dict[int, Expected] = {}
        """To strangers. Apart, and no more than `STRANGERS_MAX`: anybody can have one sent, and no crowd may
        push out what members are asked."""
        self.round_trips = Histogram(ROUND_TRIP_BOUNDS)
        """Of every ping that its member answered from where it was sent."""

    def send(
        self,
        target: NodeId,
        address: Address,
        asker: Asker,
        now: float,
        news: tuple[bytes, ...] = (),
        *,
        full: bool = False,
    ) -> int:
        """Ping `target` at `address`.

        Args:
            target: who is meant.
            address: where.
            asker: told what becomes of it.
            now: seconds.
            news: facts that must ride along.
            full: fill the packet with other news; retries and favours stay small.

        Returns:
            the sequence, to be given to `forget` when the answer matters no more.
        """
        seq = self._ctx.sequence()
        large = False
        ping = self.ping(seq, target, address, news)
        if full and self._spread.has_news and not self._is_degraded(target):
            used = bare_bytes(ping) + sum(map(news_bytes, news))
            more = self._spread.piggyback(target, self._spread.room(None, used, trial=True), news)
            if more:
                ping = self.ping(seq, target, address, news + more)
                used += sum(map(news_bytes, more))
                large = PACKET_OVERHEAD_BYTES + used > self._ctx.params.packet_bytes
        self._expected[seq] = Expected(target, address, now, asker, large)
        _bound(self._expected, OUTSTANDING_MAX)
        self._ctx.send(address, ping, asks=True)
        return seq

    def _is_degraded(self, target: NodeId) -> bool:
        """Whether datagrams do not reach `target`: news in one would count as told, and be lost."""
        member = self._table.get(target)
        return member is not None and member.degraded

    def send_full(self, target: NodeId, address: Address, asker: Asker, now: float) -> int:
        """The same with a datagram as long as any that this node ever sends, and with nothing to say."""
        seq = self._ctx.sequence()
        ping = self.ping(seq, target, address)
        room = self._ctx.params.packet_bytes_proven - PACKET_OVERHEAD_BYTES - bare_bytes(ping)
        padding = bytes(room - PADDING_HEADER_BYTES)
        self._expected[seq] = Expected(target, address, now, asker, large=True)
        _bound(self._expected, OUTSTANDING_MAX)
        self._ctx.send(
            address,
            FullPing(seq, ping.sender, target, address, ping.view, ping.position, (), ping.life, padding),
            asks=True,
        )
        return seq

    def ping(self, seq: int, target: NodeId, address: Address, news: tuple[bytes, ...] = ()) -> Ping:
        """A ping's message: for a stream, which needs no entry here."""
        life = self._table.life_of(target)
        return Ping(seq, self._ctx.notary.id, target, address, self.view(), self._position(), news, life)

    def ack(self, ping: Ping, news: tuple[bytes, ...]) -> Ack:
        life = self._table.life_of(ping.sender)
        return Ack(ping.seq, self._ctx.notary.id, ping.address, self.view(), self._position(), news, life)

    def send_back(self, ping: Ping, source: Address, asker: Asker, now: float) -> None:
        """Ping whoever sent `ping` where it came from; not at all if that were longer than what was sent.

        Only an ack is told, and none after `STRANGERS_MAX` others. There is nothing to `forget`.
        """
        seq = self._ctx.sequence()
        back = Ping(seq, self._ctx.notary.id, ping.sender, source, self.view(), b"", ())
        if bare_bytes(back) <= bare_bytes(ping) + sum(map(news_bytes, ping.news)):
            self._backs[seq] = Expected(ping.sender, source, now, asker, large=False)
            _bound(self._backs, STRANGERS_MAX)
            self._ctx.send(source, back)

    def small_ack(self, ping: Ping) -> Ack:
        """An ack that is shorter than its ping, whoever sent that, and from wherever."""
        ack = self.ack(ping, ())
        return ack if len(ack.position) <= len(ping.position) else msgspec.structs.replace(ack, position=b"")

    def expected(self, member: Member) -> tuple[float, float] | None:
        """The member's round trip and how far it strays, seconds: measured, else by coordinates, else None.

        A coordinate counts when both ends know their place; its error is taken as a first sample's is.
        """
        if member.rtt is not None:
            return member.rtt, member.deviation
        position, own = member.position, self._coordinates.own
        if position is None or max(position[ERROR], own[ERROR]) > ERROR_TRUSTED:
            return None
        rtt = distance(own, position)
        return rtt, rtt / 2

    def met(self, member: Member, position: bytes) -> None:
        """Where a member says that it is: of use until it has been pinged."""
        if member.rtt is None and self._ctx.params.coordinates and unpack(position) is not None:
            member.seen.position = position

    def view(self) -> bytes:
        return self._table.fingerprint.to_bytes(HEAD_BYTES, "big")

    def forget(self, seq: int) -> None:
        self._expected.pop(seq, None)

    def forgive(self) -> None:
        """This node was not running: what it may have missed is nobody's fault."""
        self._expected.clear()
        self._backs.clear()

    def is_awaited(self, ack: Ack) -> bool:
        """Whether it answers a ping that is under way, so that it was said just now."""
        expected = self._expected.get(ack.seq) or self._backs.get(ack.seq)
        return expected is not None and (ack.sender, ack.address) == (expected.target, expected.address)

    def received_ack(self, ack: Ack, now: float) -> None:
        under_way = self._backs if ack.seq in self._backs else self._expected
        expected = under_way.get(ack.seq)
        if expected is None:
            self._ctx.count("ack_unexpected")
            return
        if ack.sender != expected.target or ack.address != expected.address:
            self._ctx.count("ack_unbound")
            return
        del under_way[ack.seq]
        self._sample(expected, ack, now)
        expected.asker.acked(ack.seq, now)

    def refused(self, address: Address, now: float) -> None:
        """The host at `address` says that nobody listens there."""
        waiting = {id(e.asker): e.asker for e in self._expected.values() if e.address == address}
        for asker in waiting.values():
            asker.evidence(Kind.REFUSED, now)

    def received_not_me(self, message: NotMe, now: float) -> None:
        """Somebody else answers at that address: believed if it proves to be at home there."""
        expected = self._expected.get(message.seq)
        if expected is None or message.address != expected.address:
            self._ctx.count("not_me_unexpected")
            return
        notary = self._ctx.notary
        with refusing(self._ctx):
            fact = notary.parse(message.record)
            body = fact.body
            if (
                isinstance(body, MemberRecord)
                and body.owner != expected.target
                and body.address == expected.address
                and notary.verify(fact, body.public_key)
                and self._ctx.gate.refuses(body, now) is None
                and notary.check(
                    body.public_key,
                    message.signature,
                    not_me_bytes(message.seq, expected.target, expected.address),
                )
            ):
                expected.asker.evidence(Kind.NOT_ME, now)
            else:
                self._ctx.count("not_me_unproven")

    def _sample(self, expected: Expected, ack: Ack, now: float) -> None:
        member = self._table.get(expected.target)
        if member is None or member.address != expected.address:
            return
        rtt = max(0.0, now - expected.sent)
        member.sample_rtt(rtt)
        self.round_trips.observe(rtt)
        if expected.large:
            member.seen.proven = True
        if not self._ctx.params.coordinates:
            return
        position = unpack(ack.position)
        if position is None:
            if ack.position:
                self._ctx.count("coordinate_refused")
            return
        member.seen.position = ack.position
        if not self._coordinates.observe(member.id, position, rtt):
            self._ctx.count("coordinate_refused")

    def _position(self) -> bytes:
        return self._coordinates.packed if self._ctx.params.coordinates else b""


def _bound(under_way: dict[int, Expected], most: int) -> None:
    """Let the oldest go."""
    if len(under_way) > most:
        del under_way[next(iter(under_way))]


def not_me_bytes(seq: int, target: NodeId, address: Address) -> bytes:
    """What the answerer of a ping meant for another signs."""
    host, port = address
    return b"".join((seq.to_bytes(8, "big"), target, port.to_bytes(2, "big"), host.encode()))


def sign_not_me(ctx: Context, ping: Ping, own_record: bytes) -> NotMe:
    """The answer to a ping that was meant for somebody else at this address."""
    signature = ctx.notary.sign(not_me_bytes(ping.seq, ping.target, ping.address))
    return NotMe(ping.seq, ping.address, own_record, signature)
