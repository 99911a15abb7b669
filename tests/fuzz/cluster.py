"""A real node among peers that the fuzzer speaks for, and what a message can refer to in it."""

from __future__ import annotations

import functools
import random
import typing
from typing import Final

import msgspec

from gossip.core.effects import Close, Dial, Send, Write
from gossip.core.messages import Gossip, Ping, PingRequest
from gossip.core.node import Node, Self
from gossip.core.params import LAN
from gossip.core.records import Body, KeyRecord, MemberRecord, Opaque, ServiceRecord
from gossip.core.types import Address, StreamId
from gossip.errors import GossipError, RemoteProtocolError
from gossip.wire import codec
from gossip.wire.identity import Identity
from gossip.wire.seal import ClearSealer
from tests.fuzz import bend
from tests.fuzz.schema import make

__all__ = ["ADDRESSES", "CLUSTER", "World"]

CLUSTER: Final = "fuzz"
NOW: Final = 1_795_219_200_000
HOME: Final[Address] = ("10.0.0.1", 7_946)
PEERS: Final = tuple(Identity(bytes([number]) * 32, CLUSTER) for number in range(1, 5))
STRANGER: Final = Identity(b"s" * 32, CLUSTER)
ADDRESSES: Final[tuple[Address, ...]] = tuple((f"10.0.0.{number}", 7_946) for number in range(2, 6))
ODD: Final[tuple[Address, ...]] = (
    HOME, ("127.0.0.1", 7_946), ("::1", 1), ("2001:db8::1", 65_535), ("0.0.0.0", 1), ("10.0.0.9", 1),
    ("255.255.255.255", 7_946), ("localhost", 7_946), ("10.0.0.2", 0), ("", 1), ("fe80::1%eth0", 7_946),
)  # fmt: skip
RECORDS: Final = tuple(each for each in typing.get_args(Body) if each is not Opaque)
"""Every kind that this release knows."""
SIGNATURE: Final = 64
MADE: Final = 256
AGAIN: Final = 0.8
"""How often a message has a fact made before: to make and sign one takes as long as to handle a message."""


def _member(identity: Identity, name: str, address: Address) -> MemberRecord:
    return MemberRecord(
        owner=identity.id, version=NOW, public_key=identity.public_key, exchange_key=b"", name=name,
        host=address[0], port=address[1], tags={"zone": "a"}, protocol_min=1, protocol_max=1, boot=7,
        floor=NOW - 5, birth=NOW - 9, phase=0, ephemeral=False,
    )  # fmt: skip


@functools.cache
def _facts(identity: Identity, address: Address) -> tuple[bytes, bytes]:
    """What a peer says of itself from the beginning."""
    record = identity.issue(_member(identity, f"p{address[0][-1]}", address))
    service = ServiceRecord(identity.id, NOW + 1, "web", "web", "", 80, ("a",), {}, 1)
    return record.raw, identity.issue(service).raw


class World:
    """One node that knows four peers. What is fed to it is decoded as its driver would, and drained.

    Args:
        made: facts that were made for other worlds: they go with any.
    """

    def __init__(self, made: list[bytes] | None = None) -> None:
        self.made = [] if made is None else made
        self.me = Identity(b"m" * 32, CLUSTER)
        self.now = 100.0
        self.numbers = [1, NOW, NOW + 1, NOW - 1]
        who = Self("me", HOME, CLUSTER, {}, False, NOW - 9)
        self.node = Node(self.me, who, LAN, random.Random(1), self.now, NOW, NOW + 65_536, 0)
        self.node.start(self.now)
        self.sealer = ClearSealer(CLUSTER, b"m" * 16)
        self.theirs = ClearSealer(CLUSTER, b"t" * 16)
        self.open: set[StreamId] = set()
        for identity, address in zip(PEERS, ADDRESSES, strict=True):
            said = Gossip(STRANGER.id, _facts(identity, address))
            self.node.receive(said, ("10.0.0.77", 7_946), self.now)
        self.settle()

    # ------------------------------------------------------------------------------------ what comes in

    def datagram(self, body: bytes, source: Address) -> None:
        """As `net.driver` hands one in; whatever else it raises is a fault of ours."""
        try:
            packet = codec.decode_packet(self.sealer.open(self.theirs.seal(body)))
            self.node.receive(packet, source, self.now)
        except RemoteProtocolError as error:
            self.node.count(error.reason)
        self.settle()

    def frame(self, stream: StreamId, body: bytes) -> None:
        """As `net.streams` hands one in. Raises `RemoteProtocolError`, which ends the stream."""
        try:
            frame = codec.decode_frame(body)
        except RemoteProtocolError as error:
            if error.reason != "unknown_kind":
                raise
            self.node.count(error.reason)
            return
        self.node.stream_received(stream, frame, self.now)
        self.settle()

    def pass_time(self, seconds: float) -> None:
        """Let timers run."""
        self.now += seconds
        self.node.pulse(0.0, 0.0, False, self.now)
        for _ in range(50):
            if self.node.next_deadline() > self.now:
                break
            self.node.tick(self.now)
            self.settle()

    def settle(self) -> None:
        """What the node says has to be something that others can read."""
        for effect in self.node.drain():
            if isinstance(effect, Send):
                codec.decode_packet(codec.encode(effect.message))
                if isinstance(effect.message, Ping | PingRequest):
                    self.numbers = [*self.numbers[-12:], effect.message.seq]
            elif isinstance(effect, Write):
                codec.decode_frame(codec.encode(effect.frame))
                if isinstance(effect.frame, Ping):
                    self.numbers = [*self.numbers[-12:], effect.frame.seq]
            elif isinstance(effect, Close):
                self.open.discard(effect.stream)
            elif isinstance(effect, Dial):
                self.node.stream_closed(effect.stream, "timeout", self.now)

    # ------------------------------------------------------------------------------- what fits it: `Pool`

    def id(self, rng: random.Random) -> bytes:
        known = (self.me.id, *(peer.id for peer in PEERS), STRANGER.id)
        return rng.choice(known) if rng.random() < 0.95 else rng.randbytes(16)

    def address(self, rng: random.Random) -> Address:
        return rng.choice((*ADDRESSES, HOME)) if rng.random() < 0.8 else rng.choice(ODD)

    def number(self, rng: random.Random) -> int:
        return rng.choice(self.numbers) + rng.choice((0, 0, 0, 1, 2, 1_000))

    def life(self, rng: random.Random) -> int:
        """Which life of the node a message is meant for: what is of another is hardly looked at."""
        return rng.choice((0, self.node.me.record.boot, self.node.me.record.boot, self.number(rng)))

    def fact(self, rng: random.Random) -> bytes:
        """A record that its owner signed; now and then one that nobody could have made that way."""
        if len(self.made) == MADE and rng.random() < AGAIN:
            return rng.choice(self.made)
        made = self._fact(rng)
        self.made.append(made)
        del self.made[:-MADE]
        return made

    def _fact(self, rng: random.Random) -> bytes:
        owner = rng.choice((*PEERS, *PEERS, STRANGER, self.me))
        record = make(rng.choice(RECORDS), self, rng)
        if isinstance(record, MemberRecord):
            address = self.address(rng)
            usual = _member(owner, f"p{rng.randrange(9)}", address)
            odd = {
                name: getattr(record, name)
                for name in record.__struct_fields__
                if name not in ("public_key", "host", "port") and rng.random() < 0.1
            }
            version = self.number(rng) if rng.random() < 0.2 else NOW + rng.randrange(1_000)
            record = msgspec.structs.replace(usual, **{"version": version, **odd})
        elif isinstance(record, KeyRecord) and rng.random() < 0.8:
            # Number and mark of a change go together.
            record = msgspec.structs.replace(record, epoch=self.number(rng), target=rng.randbytes(16))
        record = msgspec.structs.replace(record, owner=owner.id)
        try:
            return owner.issue(record).raw
        except GossipError:
            return self.sign(owner, msgspec.msgpack.encode(record))

    def sign(self, owner: Identity, content: bytes) -> bytes:
        """Signed as a fact, whatever it is."""
        return owner._private.sign(owner._fact_prefix + content) + content

    def bent(self, raw: bytes, rng: random.Random) -> bytes:
        """A fact bent inside and signed again, so that it gets past the signature; else bytes, blindly."""
        if len(raw) <= SIGNATURE + 4 or rng.random() < 0.1:
            return bend.blind(raw, rng)
        owners = {each.id: each for each in (*PEERS, STRANGER, self.me)}
        content = bend.tree(raw[SIGNATURE:], rng, lambda inner: bend.blind(inner, rng))
        try:
            found = msgspec.msgpack.decode(content)
        except (ValueError, RecursionError, TypeError):
            found = None
        said = found[1] if isinstance(found, list) and len(found) > 1 else None
        owner = owners.get(said, PEERS[0]) if isinstance(said, bytes) else PEERS[0]
        return self.sign(owner, content)
