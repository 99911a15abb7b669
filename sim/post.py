"""How messages travel in this world: as sealed bytes, or as the objects they are.

With the codec on, every message is encoded, sealed, opened and decoded as by real agents. With it
off, message objects pass from core to core, which is several times faster and hides faults of the
codec only; sizes are then known only if they are asked for (`sized`), at the codec's cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from gossip.core.messages import Frame, Message, Packet
from gossip.wire.codec import decode_frame, encode
from gossip.wire.frames import FrameReader
from gossip.wire.packer import Packer
from gossip.wire.seal import FRAME_OVERHEAD_BYTES, LENGTH_BYTES, OVERHEAD_BYTES, Sealer, StreamSealer

__all__ = ["Encoded", "Line", "Passed", "Post"]


class Line(Protocol):
    """One end of one stream."""

    def pack(self, frame: Frame) -> tuple[object, int]:
        """What travels, and its size in bytes."""

    def unpack(self, payload: Any) -> Sequence[Frame]:
        """The frames that are complete with it.

        Raises:
            RemoteProtocolError: as the codec and the sealer raise it.
        """


class Post(Protocol):
    """The wire as one process sees it."""

    def pack(self, message: Packet) -> tuple[object, int]:
        """What travels, and its size in bytes."""

    def unpack(self, payload: Any) -> Packet:
        """The message that arrived.

        Raises:
            RemoteProtocolError: as the codec and the sealer raise it.
        """

    def renew(self, session: bytes) -> None:
        """Begin a new sealing session."""

    def line(self) -> Line:
        """For one end of a new stream."""


class Encoded:
    """Real bytes."""

    __slots__ = ("_packer", "_sealer")

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._packer = Packer(sealer)

    def pack(self, message: Packet) -> tuple[bytes, int]:
        datagram = self._packer.pack(message)
        return datagram, len(datagram)

    def unpack(self, payload: bytes) -> Packet:
        return self._packer.unpack(payload)

    def renew(self, session: bytes) -> None:
        self._sealer.renew(session)

    def line(self) -> EncodedLine:
        return EncodedLine(self._sealer.stream())


class EncodedLine:
    """Real bytes, one end of a stream."""

    __slots__ = ("_reader", "_sealer")

    def __init__(self, sealer: StreamSealer) -> None:
        self._sealer = sealer
        self._reader = FrameReader(sealer)

    def pack(self, frame: Frame) -> tuple[bytes, int]:
        data = self._sealer.seal(encode(frame))
        return data, len(data)

    def unpack(self, payload: bytes) -> Sequence[Frame]:
        return [decode_frame(body) for body in self._reader.feed(payload)]


class Passed:
    """Objects as they are."""

    __slots__ = ("_sized",)

    def __init__(self, *, sized: bool) -> None:
        self._sized = sized

    def pack(self, message: Packet) -> tuple[Message, int]:
        return message, len(encode(message)) + OVERHEAD_BYTES if self._sized else 0

    def unpack(self, payload: Packet) -> Packet:
        return payload

    def renew(self, session: bytes) -> None:
        """Nothing is sealed, so nothing is renewed."""

    def line(self) -> PassedLine:
        return PassedLine(sized=self._sized)


class PassedLine:
    """Objects as they are, one end of a stream."""

    __slots__ = ("_sized",)

    def __init__(self, *, sized: bool) -> None:
        self._sized = sized

    def pack(self, frame: Frame) -> tuple[Message, int]:
        return frame, len(encode(frame)) + FRAME_OVERHEAD_BYTES + LENGTH_BYTES if self._sized else 0

    def unpack(self, payload: Frame) -> Sequence[Frame]:
        return (payload,)
