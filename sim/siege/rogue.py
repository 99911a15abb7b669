"""A member that lies: the shipped core, with an operator who makes it do one wrong thing after another.

It has a key of its own, and an invitation where there are any; so its records count, and it is pinged and
told all news. What it cannot do is sign for others, since nobody has their keys: it may only repeat them.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import msgspec

from gossip.core.effects import Close, Dial, Effect, Send, Write
from gossip.core.handover import signed_part
from gossip.core.messages import Ack, Frame, KeyAsk, KeyGrant, NotMe, Packet, Ping, PingRequest, Report
from gossip.core.node import Node
from gossip.core.pings import sign_not_me
from gossip.core.records import MAX_KEYS, Body, Fact, KeyRecord, MemberRecord, Notary
from gossip.core.types import Address, NodeId, StreamId
from gossip.wire.locksmith import BOX_BYTES
from sim.chance import derive, derive_bytes
from sim.notary import Archive, StandIn

__all__ = ["Rogue"]

KEPT = 2_048
"""Facts that it has heard and may say again."""
PHANTOMS_MAX = 48


class Rogue(Node):
    """Made by `sim.life.shipped`; `corrupt` tells it what it may do."""

    def corrupt(self, seed: int, archive: Archive) -> None:
        """From now on it may lie; what it draws depends on `seed` alone."""
        self.dice: random.Random = derive(seed, "rogue")
        self.archive = archive
        self.seed = seed
        self.phantoms: dict[NodeId, MemberRecord] = {}
        self.notaries: dict[NodeId, Notary] = {}
        self.heard: deque[bytes] = deque(maxlen=KEPT)
        self.open: deque[StreamId] = deque(maxlen=64)
        """Streams that it has opened, or been called on."""
        self.asked: deque[tuple[Ping, Address]] = deque(maxlen=64)
        """Pings that it got, to be answered for others."""
        self.said = self.incarnation
        """The highest version that it has used for facts of its own making."""
        self.lies_as_helper = False
        self.lies_of_place = False
        self.lies_of_keys = False
        """It hands on keys that nobody else has, and boxes in which there is none."""
        self.is_mute = False
        """It answers no ping."""

    # -- what it hears ------------------------------------------------------------------------

    def receive(self, message: Packet, source: Address, now: float) -> None:
        """As the core, but that it keeps what it may use, and helps as it likes."""
        self.heard.extend(getattr(message, "news", ()))
        if isinstance(message, Ping):
            self.asked.append((message, source))
            if message.target in self.phantoms:
                self.say(source, msgspec.structs.replace(self.ack(message), sender=message.target))
                return
        if isinstance(message, PingRequest) and self.lies_as_helper:
            self.say(source, Report(message.seq, self.id, self.dice.randrange(4)))
            return
        super().receive(message, source, now)

    def stream_accepted(self, source: Address, now: float) -> StreamId | None:
        """As the core."""
        stream = super().stream_accepted(source, now)
        if stream is not None:
            self.open.append(stream)
        return stream

    def stream_received(self, stream: StreamId, frame: Frame, now: float) -> None:
        """As the core, keeping what it hears."""
        self.heard.extend(getattr(frame, "news", ()))
        if isinstance(frame, KeyAsk) and self.lies_of_keys:
            self.write(stream, self.grant(frame.sender, frame.mark))
            return
        super().stream_received(stream, frame, now)

    def drain(self) -> list[Effect]:
        """What the core wants, with its lies in it."""
        effects = super().drain()
        if self.is_mute:
            effects = [each for each in effects if not self._answers(each)]
        if self.lies_of_place:
            effects = [self._misplaced(each) for each in effects]
        return effects

    @staticmethod
    def _answers(effect: Effect) -> bool:
        return isinstance(effect, Send) and isinstance(effect.message, Ack | NotMe)

    def _misplaced(self, effect: Effect) -> Effect:
        if not isinstance(effect, Send) or not isinstance(effect.message, Ping | Ack):
            return effect
        length = self.dice.choice((0, 44, 44, 44, 64))
        message = msgspec.structs.replace(effect.message, position=self.dice.randbytes(length))
        return Send(effect.address, message)

    # -- what its operator needs ----------------------------------------------------------------

    def say(self, to: Address, message: Packet) -> None:
        """One datagram."""
        self._ctx.effects.append(Send(to, message))

    @property
    def view(self) -> bytes:
        """What it holds, as others do who have missed nothing."""
        return self._pings.view()

    def call(self, to: Address, *frames: Frame, end: bool = False) -> StreamId:
        """Open a stream, and write these frames on it."""
        stream = self._ctx.next_stream()
        self._ctx.effects.append(Dial(stream, to, 10.0))
        self.write(stream, *frames)
        if end:
            self._ctx.effects.append(Close(stream))
        else:
            self.open.append(stream)
        return stream

    def write(self, stream: StreamId, *frames: Frame) -> None:
        """Frames on a stream that may be open."""
        self._ctx.effects.extend(Write(stream, frame) for frame in frames)

    def ack(self, ping: Ping) -> Ack:
        """The answer that is due."""
        return Ack(ping.seq, self.id, ping.address, ping.view, b"", ())

    def sign(self, body: Body) -> Fact:
        """A fact of its own, whatever it says."""
        return self._ctx.notary.issue(body)

    def not_me(self, ping: Ping) -> NotMe:
        """Its answer to a ping that was meant for another."""
        return sign_not_me(self._ctx, ping, self.me.fact.raw)

    def claim(self, epoch: int, target: bytes, *, insists: bool) -> None:
        """Say that it takes part in such a change of keys, and holds the key."""
        held = [(key.mark, int(key.state)) for key in self.keys.held() if key.mark != target]
        keys = (*held, (target, 0))[-MAX_KEYS:]
        self._own.publish_keys(KeyRecord(self.id, 1, "", epoch, target, insists, keys))

    def grant(self, recipient: NodeId, mark: bytes) -> KeyGrant:
        """A key for somebody: one of its own making, or none."""
        box = (recipient + mark + self.id).ljust(BOX_BYTES, b"\0")
        if self.dice.random() < 0.3:
            box = self.dice.randbytes(BOX_BYTES)
        grant = KeyGrant(self.me.fact.raw, recipient, mark, self.dice.choice("abcdef"), box, bytes(64))
        return msgspec.structs.replace(grant, signature=self._ctx.notary.sign(signed_part(grant)))

    def own(self, **changes: Any) -> Fact:
        """A member record of its own, at any version."""
        return self._ctx.notary.issue(msgspec.structs.replace(self.me.record, **changes))

    def imagine(self, **changes: Any) -> NodeId:
        """A node that does not exist, with a key: its id."""
        number = len(self.notaries)
        notary = StandIn(derive_bytes(self.seed, "phantom", number % PHANTOMS_MAX), self.archive)
        record = msgspec.structs.replace(
            self.me.record,
            owner=notary.id,
            public_key=notary.public_key,
            boot=self.dice.getrandbits(63),
            name=f"phantom-{number % PHANTOMS_MAX}",
            **changes,
        )
        self.phantoms[notary.id] = record
        self.notaries[notary.id] = notary
        return notary.id

    def voice(self, who: NodeId) -> Fact:
        """The record of a node that does not exist, signed."""
        return self.notaries[who].issue(self.phantoms[who])
