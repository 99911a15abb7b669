"""A real node among peers that the fuzzer speaks for, and what a message can refer to in it."""

from __future__ import annotations

import enum
import random
import typing
from collections import deque
from typing import Final

import msgspec

from gossip.core.effects import Close, Dial, Resolve, SaveKeys, Send, Write
from gossip.core.gate import used_bytes
from gossip.core.keys import KeyState
from gossip.core.messages import DialBack, Gossip, Hello, KeyAsk, KeyGrant, Listing, Ping, PingRequest, Used
from gossip.core.node import Node, Self
from gossip.core.params import LAN
from gossip.core.records import Ban, Body, Fact, KeyRecord, MemberRecord, Opaque
from gossip.core.rotation import EPOCHS_AHEAD, Plan
from gossip.core.types import MAX_VERSION, Address, Phase, StreamId
from gossip.errors import GossipError, RemoteProtocolError
from gossip.wire import codec
from gossip.wire.keyring import Key, KeyRing
from gossip.wire.locksmith import RingLocksmith
from gossip.wire.seal import ClearSealer
from tests.fuzz import bend, cast
from tests.fuzz.cast import ADDRESSES, CLUSTER, HOME, JUDGE, MARKS, ME, NEW, NOW, PEERS, STRANGER
from tests.fuzz.schema import make

if typing.TYPE_CHECKING:
    from gossip.wire.identity import Identity

__all__ = ["CLUSTER", "RECORDS", "Kind", "World"]

ODD: Final[tuple[Address, ...]] = (
    HOME, ("127.0.0.1", 7_946), ("::1", 1), ("2001:db8::1", 65_535), ("0.0.0.0", 1), ("10.0.0.9", 1),
    ("255.255.255.255", 7_946), ("localhost", 7_946), ("10.0.0.2", 0), ("", 1), ("fe80::1%eth0", 7_946),
)  # fmt: skip
RECORDS: Final = tuple(each for each in typing.get_args(Body) if each is not Opaque)
"""Every kind that this release knows."""
IDENTITIES: Final = {each.id: each for each in (*PEERS, *NEW, ME, JUDGE)}
SIGNATURE: Final = 64
MADE: Final = 256
AGAIN: Final = 0.8
"""How often a message has a fact made before: to make and sign one takes as long as to handle a message."""
FITS: Final = 0.8
"""How often what has to fit others does."""
STREAMS: Final = 8
"""That the node has dialled and that stay open for whatever the fuzzer says on them."""
LIVE: Final = 3
"""Peers of a world that is not spent."""
_EPOCH: Final = 3
"""Of the change of keys that a world can begin in."""


class Kind(enum.IntEnum):
    """What the node of a world was given."""

    PLAIN = 0
    """Nothing. Whoever it dials does not answer."""
    KEYS = 1
    """Two keys and an authority; who is not invited is let in all the same."""
    INVITED = 2
    """Two keys and an authority, who has invited it; nobody else is let in."""
    CHANGING = 3
    """As `KEYS`, in the middle of a change of keys: it seals with the new one already."""
    JOINING = 4
    """As `INVITED`, and it knows nobody yet: it has dialled its seed."""


def _ring(kind: Kind) -> KeyRing:
    """The key of now and the next."""
    states = (KeyState.SENDING, KeyState.RECEIVING)
    if kind is Kind.CHANGING:
        states = states[::-1]
    named = zip(("now", "next"), cast.SECRETS, states, strict=False)
    return KeyRing(tuple(Key(name, secret, state) for name, secret, state in named))


class World:
    """One node that knows four peers. What is fed to it is decoded as its driver would, and drained.

    Args:
        made: facts that were made for other worlds: they go with any.
        kind: what the node has.
    """

    def __init__(self, made: list[bytes] | None = None, kind: Kind = Kind.PLAIN) -> None:
        self.made = [] if made is None else made
        self.kind = kind
        self.now = 100.0
        self.numbers = [1, NOW, NOW + 1, NOW - 1]
        self.version = NOW + 100_000
        """Of what peers say by `deeds`."""
        self.ring = _ring(kind)
        self.me = ME if kind else cast.ALONE
        self.node = self._node(kind)
        self.node.start(self.now)
        self.sealer = ClearSealer(CLUSTER, b"m" * 16)
        self.theirs = ClearSealer(CLUSTER, b"t" * 16)
        self.open: set[StreamId] = set()
        self.dialled: deque[tuple[StreamId, float]] = deque()
        """Streams that the node has opened, and when each times out."""
        self._saving = 0
        known = () if kind is Kind.JOINING else zip(PEERS, ADDRESSES, strict=True)
        for identity, address in known:
            said = Gossip(STRANGER.id, cast.facts_of(identity, address))
            self.node.receive(said, ("10.0.0.77", 7_946), self.now)
        for _ in range(2):
            # A seed is looked up, and then dialled.
            self.settle()

    def _node(self, kind: Kind) -> Node:
        who = Self("me", HOME, CLUSTER, {}, False, NOW - 9, wall_ms=NOW)
        rng = random.Random(1)
        if not kind:
            return Node(self.me, who, LAN, rng, self.now, NOW, NOW + 65_536, 0)
        locksmith = RingLocksmith(self.ring, b"m" * 32, ME.public_key, CLUSTER)
        warrant = cast.warrants(ME)[3]
        who = msgspec.structs.replace(who, exchange_key=locksmith.exchange_key, warrant=warrant)
        plan = Plan()
        bans: tuple[Fact, ...] = ()
        used: tuple[tuple[bytes, bytes], ...] = ()
        if kind is Kind.CHANGING:
            plan = Plan(_EPOCH, cast.NEXT_KEY, (cast.NOW_KEY,))
            bans, used = (cast.AUTHORITY.ban(b"b" * 16, "gone", "", NOW),), cast.USED
        return Node(
            self.me, who, LAN, rng, self.now, NOW, NOW + 65_536, 0, locksmith=locksmith, plan=plan,
            bans=bans, used=used, invited_only=kind in (Kind.INVITED, Kind.JOINING),
            seeds=("seed",) if kind is Kind.JOINING else (),
        )  # fmt: skip

    @property
    def is_spent(self) -> bool:
        """Whether little can happen any more: the node is banned, or has left, or has nobody to speak to."""
        members = self.node.members
        out = self.me.id in members.bans or self.node.me.record.phase != Phase.RUNNING
        return out or sum(member.is_live for member in members) < LIVE

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
        """Let timers run. What the node wants to be on disk is there by then."""
        self.saved()
        self.now += seconds
        self.node.pulse(0.0, 0.0, False, 0, self.now)
        for _ in range(50):
            if self.node.next_deadline() > self.now:
                break
            self.node.tick(self.now)
            self.settle()
        while self.dialled and self.dialled[0][1] <= self.now:
            self.hang_up()

    def hang_up(self) -> None:
        """Nobody answers where the node has dialled first."""
        self.node.stream_closed(self.dialled.popleft()[0], "timeout", self.now)
        self.settle()

    def saved(self) -> None:
        """The disk has the keys, as `journal` says once it has."""
        if self._saving:
            number, self._saving = self._saving, 0
            self.node.keys_saved(number, self.now)
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
                if self.dialled:
                    self.dialled = deque(each for each in self.dialled if each[0] != effect.stream)
            elif isinstance(effect, Dial):
                self._dial(effect)
            elif isinstance(effect, Resolve):
                self.node.resolved(effect.seed, (ADDRESSES[0], ("10.0.0.9", 1)), "", self.now)
            elif isinstance(effect, SaveKeys):
                self._saving = effect.number

    def _dial(self, dial: Dial) -> None:
        if not self.kind:
            self.node.stream_closed(dial.stream, "timeout", self.now)
            return
        self.node.stream_opened(dial.stream, self.now)
        self.dialled.append((dial.stream, self.now + dial.timeout))
        if len(self.dialled) > STREAMS:
            self.node.stream_closed(self.dialled.popleft()[0], "reset", self.now)

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

    def mark(self, rng: random.Random) -> bytes:
        """Of a key of the cluster; now and then of none, and what stands for any."""
        return rng.choice(MARKS) if rng.random() < 0.9 else rng.choice((bytes(16), rng.randbytes(16)))

    def fitted(self, made: msgspec.Struct, rng: random.Random) -> msgspec.Struct:
        """A message whose parts go together: it and the record of its sender; a key, its mark and its box."""
        if not isinstance(made, Hello | KeyAsk | Listing | DialBack | KeyGrant | Used) or rng.random() > FITS:
            return made
        at = rng.randrange(len(PEERS))
        sender = PEERS[at] if rng.random() < FITS else rng.choice(NEW)
        record = cast.facts_of(sender, ADDRESSES[at])[0]
        if isinstance(made, Used):
            said = used_bytes(ME.id, made.holders)
            return msgspec.structs.replace(made, recipient=ME.id, signature=sender.sign(said))
        if isinstance(made, KeyGrant):
            secret = rng.choice(cast.SECRETS)
            mark = cast.MARKS[cast.SECRETS.index(secret)]
            name = rng.choice((made.name, "next", "another"))
            if rng.random() < 0.1:
                mark = self.mark(rng)
            wrapped = cast.box(sender, secret, mark)
            if rng.random() < 0.1:
                wrapped = bend.blind(wrapped, rng)[:128]
            grant = cast.granted(sender, record, mark, name, wrapped)
            banned = rng.choice((PEERS[3], *NEW))
            bans = (cast.AUTHORITY.ban(banned.id, "p5", "", NOW).raw,) if rng.random() < 0.3 else made.bans
            return msgspec.structs.replace(grant, bans=bans)
        changes: dict[str, object] = {"sender": sender.id, "record": record}
        if isinstance(made, KeyAsk):
            changes["mark"] = self.mark(rng)
        elif isinstance(made, Hello):
            changes["keys"] = tuple(self.mark(rng) for _ in range(rng.randrange(4)))
        return msgspec.structs.replace(made, **changes)

    def fact(self, rng: random.Random) -> bytes:
        """A record that its owner signed; now and then one that nobody could have made that way."""
        if len(self.made) == MADE and rng.random() < AGAIN:
            return rng.choice(self.made)
        made = self._fact(rng)
        self.made.append(made)
        del self.made[:-MADE]
        return made

    def _fact(self, rng: random.Random) -> bytes:
        owner = rng.choice((*PEERS, *PEERS, *NEW, self.me))
        record = make(rng.choice((*RECORDS, MemberRecord)), self, rng)
        if isinstance(record, MemberRecord):
            owner = rng.choice((owner, *NEW))
            record = self._member(owner, record, rng)
        elif isinstance(record, KeyRecord):
            record = self._keys(record, rng)
        elif isinstance(record, Ban):
            owner = JUDGE if rng.random() < 0.9 else owner
            if rng.random() < 0.7:
                # Were all of them banned, nobody would be left to speak.
                record = msgspec.structs.replace(record, subject=rng.randbytes(16))
        record = msgspec.structs.replace(record, owner=owner.id)
        try:
            return owner.issue(record).raw
        except GossipError:
            return self.sign(owner, msgspec.msgpack.encode(record))

    def _member(self, owner: Identity, made: MemberRecord, rng: random.Random) -> MemberRecord:
        address = self.address(rng)
        own = cast.warrants(owner)
        warrant = own[0] if rng.random() < 0.4 else rng.choice(own)
        if rng.random() < 0.1:
            warrant = bend.blind(warrant, rng)[:256]
        usual = cast.member(owner, f"p{rng.randrange(9)}", address, warrant)
        often = rng.choice((0.0, 0.05, 0.2))
        odd = {
            name: getattr(made, name)
            for name in made.__struct_fields__
            if name not in ("public_key", "host", "port") and rng.random() < often
        }
        version = self.number(rng) if rng.random() < 0.2 else NOW + rng.randrange(1_000)
        birth = NOW - rng.choice((9, 9, 8, 20))
        return msgspec.structs.replace(usual, **{"version": version, "birth": birth, **odd})

    def _keys(self, made: KeyRecord, rng: random.Random) -> KeyRecord:
        """Which keys somebody holds; number and mark of a change go together."""
        if rng.random() > FITS:
            return made
        plan = self.node.plan
        edge = NOW // 1_000 + EPOCHS_AHEAD
        near = (*range(plan.epoch, plan.epoch + 4), plan.epoch + 1, edge - 1, edge, edge + 100, MAX_VERSION)
        epoch = rng.choice(near)
        target = self.mark(rng) if epoch else b""
        marks = {target, *rng.sample(MARKS, rng.randrange(len(MARKS)))} - {b""}
        keys = {mark: rng.choice((0, 0, 0, 2)) for mark in sorted(marks)}
        if keys and rng.random() < FITS:
            keys[rng.choice(list(keys))] = int(KeyState.SENDING)
        return msgspec.structs.replace(
            made,
            version=NOW + rng.randrange(1_000) + rng.choice((0, 200_000)),
            key="",
            epoch=min(epoch, MAX_VERSION),
            target=target,
            keys=tuple(keys.items()),
        )

    def sign(self, owner: Identity, content: bytes) -> bytes:
        """Signed as a fact, whatever it is."""
        return owner._private.sign(owner._fact_prefix + content) + content

    def bent(self, raw: bytes, rng: random.Random) -> bytes:
        """A fact bent inside and signed again, so that it gets past the signature; else bytes, blindly."""
        if len(raw) <= SIGNATURE + 4 or rng.random() < 0.1:
            return bend.blind(raw, rng)
        content = bend.tree(raw[SIGNATURE:], rng, lambda inner: bend.blind(inner, rng))
        try:
            found = msgspec.msgpack.decode(content)
        except (ValueError, RecursionError, TypeError):
            found = None
        said = found[1] if isinstance(found, list) and len(found) > 1 else None
        owner = IDENTITIES.get(said, PEERS[0]) if isinstance(said, bytes) else PEERS[0]
        return self.sign(owner, content)
