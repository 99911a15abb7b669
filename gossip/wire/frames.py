"""Cutting what a stream brings into frames."""

from __future__ import annotations

from gossip.errors import RemoteProtocolError
from gossip.wire.seal import FRAME_MAX, FRAME_OVERHEAD_BYTES, LENGTH_BYTES, StreamSealer

__all__ = ["FIRST_MAX", "FRAME_MAX", "FrameReader"]

FIRST_MAX = 65_536
"""The first frame of a caller, which may be a stranger: a view in buckets has 3 KB, news 12 at most."""


class FrameReader:
    """Takes the bytes of one stream as they come and gives the bodies of the whole frames.

    It holds less than one frame and one read at any time: a frame that declares to be longer
    than `FRAME_MAX` is refused at its length, before any of it is kept.

    Args:
        first_max: what the first frame may declare. Until it was opened, anybody may have sent it.
    """

    def __init__(self, sealer: StreamSealer, first_max: int = FRAME_MAX) -> None:
        self._sealer = sealer
        self._longest = first_max
        self._buffer = bytearray()
        self._failure: RemoteProtocolError | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies of the frames that `data` completes, in order.

        Raises:
            RemoteProtocolError: `oversized`, or what `StreamSealer.open` raises. The stream is
                then beyond repair, and every later call raises the same again.
        """
        if self._failure is not None:
            raise self._failure
        self._buffer += data
        try:
            return self._cut()
        except RemoteProtocolError as error:
            self._failure = error
            self._buffer.clear()
            raise

    def ended(self) -> None:
        """The stream has ended.

        Raises:
            RemoteProtocolError: `truncated`, if it ended inside a frame; or as `feed`.
        """
        if self._failure is not None:
            raise self._failure
        if self._buffer:
            raise RemoteProtocolError("truncated", f"{len(self._buffer)} bytes of a frame")

    def _cut(self) -> list[bytes]:
        buffer = self._buffer
        bodies: list[bytes] = []
        start = 0
        while len(buffer) - start >= LENGTH_BYTES:
            body = start + LENGTH_BYTES
            length = int.from_bytes(buffer[start:body], "big")
            if length > self._longest:
                raise RemoteProtocolError("oversized", f"a frame of {length} bytes")
            if length <= FRAME_OVERHEAD_BYTES:
                raise RemoteProtocolError("malformed", f"a frame of {length} bytes")
            if len(buffer) - body < length:
                break
            start = body + length
            bodies.append(self._sealer.open(bytes(buffer[body:start])))
            self._longest = FRAME_MAX
        del buffer[:start]
        return bodies
