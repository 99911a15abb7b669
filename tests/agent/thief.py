"""Whoever has the cluster's key and no place in it: speaks the wire, and signs with a key of its own."""

from __future__ import annotations

import itertools
import socket
from typing import TYPE_CHECKING

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from gossip.core.keys import KeyState
from gossip.core.messages import Frame, Gossip, Hello
from gossip.core.records import Body, MemberRecord
from gossip.core.types import NodeId
from gossip.errors import RemoteProtocolError
from gossip.wire.codec import decode_frame, encode
from gossip.wire.frames import FrameReader
from gossip.wire.identity import Identity
from gossip.wire.keyring import KeyRing
from gossip.wire.sealing import RingSealer

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from tests.agent.relay import Relay

__all__ = ["Thief"]

NOBODY = b"\1" * 8
_sessions = itertools.count(1)


class Thief:
    """A client with the stolen key. What it has heard, it can read; what others sign, it cannot."""

    def __init__(self, relay: Relay, secret: bytes, cluster: str) -> None:
        self.relay = relay
        self.identity = Identity(b"\x66" * 32, cluster)
        self._cluster = cluster
        self._ring = KeyRing()
        self._ring.add(secret, "stolen", KeyState.SENDING)
        # Another one than any thief before: it would be a replay.
        self.sealer = RingSealer(self._ring, cluster, next(_sessions).to_bytes(16, "big"), b"thief")
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))

    @property
    def id(self) -> NodeId:
        return self.identity.id

    # -- what it reads

    def members(self) -> dict[str, MemberRecord]:
        """The newest records of those who have begun a stream so far, by name."""
        found: dict[str, MemberRecord] = {}
        sealer = RingSealer(self._ring, self._cluster, NOBODY * 2, b"thief")
        for stream in self.relay.streams:
            try:
                (body,) = FrameReader(sealer.stream()).feed(stream.frames[0])
                hello = decode_frame(body)
                record = self.identity.parse(hello.record).body if isinstance(hello, Hello) else None
            except RemoteProtocolError:
                # Of another cluster.
                continue
            if isinstance(record, MemberRecord):
                held = found.setdefault(record.name, record)
                found[record.name] = max(held, record, key=_version)
        return found

    # -- what it makes up

    def record(self, name: str, **fields: object) -> bytes:
        """A member record of its own, well signed."""
        host, port = self.sock.getsockname()
        exchange = X25519PrivateKey.from_private_bytes(b"\x66" * 32).public_key().public_bytes_raw()
        body = MemberRecord(
            self.id,
            2**41,
            self.identity.public_key,
            exchange,
            name,
            host,
            port,
            {},
            1,
            1,
            7,
            0,
            2**40,
            0,
            True,
        )
        return self.identity.issue(msgspec.structs.replace(body, **fields)).raw

    def signed(self, body: Body) -> bytes:
        """These words, whoever they are of, with the thief's signature."""
        content = msgspec.msgpack.encode(body)
        return self.identity._private.sign(self.identity._fact_prefix + content) + content

    # -- what it says

    def tell(self, name: str, *facts: bytes, sender: NodeId = b"") -> None:
        """News to the agent of that name, by a datagram."""
        address = ("127.0.0.1", self.relay.doors[name].port)
        self.sock.sendto(self.sealer.seal(encode(Gossip(sender or self.id, facts))), address)

    def tell_by_stream(self, name: str, *facts: bytes, sender: NodeId = b"") -> None:
        """The same as the first frame of a stream."""
        self.relay.drop(name, self.sealer.stream().seal(encode(Gossip(sender or self.id, facts))))

    def greet(self, name: str, record: bytes, *, sender: NodeId = b"", joining: bool = True) -> list[Frame]:
        """Ask to be let in by a member record, as a seed is asked; what is answered."""
        stream = self.sealer.stream()
        hello = Hello(sender or self.id, record, joining, NOBODY, bytes(2_048))
        reader = FrameReader(stream)
        answer = self.relay.call(name, stream.seal(encode(hello)))
        return [decode_frame(body) for body in reader.feed(answer)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.sock.close()


def _version(record: MemberRecord) -> int:
    return record.version
