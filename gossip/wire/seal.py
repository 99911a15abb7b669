"""What stands around a message's bytes in a datagram, or in a frame of a stream.

A datagram is

    version 1 | key id 1 | session 16 | counter 8 | body | tag 16

The session is random and new in every life of the process; the counter numbers its datagrams.
Together they are unlike those of any other datagram ever sent, which is what a cipher needs for a
nonce, and what names a datagram when an ICMP error quotes its beginning.

A frame of a stream is

    length 4 | version 1 | key id 1 | session 16 | counter 8 | peer 16 | body | tag 16

with the length of what follows it. Each end of each stream has a session of its own and counts
its frames from zero. `peer` is the session of the other end once it has been heard, and zeros
before: an end that was answered in this stream cannot be fed what was written into another.

`Sealer` is the one seam for encryption. `ClearSealer` uses key id 0 and encrypts nothing: its tag
is a hash that keeps clusters apart and damage out, and keeps out nobody who knows the cluster's
name. `sealing.RingSealer` has keys: the same layouts, and key ids of their own.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

from gossip.errors import LimitError, LocalProtocolError, RemoteProtocolError

__all__ = [
    "CLEAR",
    "COUNTER_BYTES",
    "FRAME_HEADER_BYTES",
    "FRAME_MAX",
    "FRAME_OVERHEAD_BYTES",
    "HEADER_BYTES",
    "LENGTH_BYTES",
    "MARK_BYTES",
    "OVERHEAD_BYTES",
    "SESSION_BYTES",
    "UNHEARD",
    "VERSION",
    "ClearSealer",
    "Pairing",
    "ReplayedError",
    "Sealer",
    "StreamSealer",
    "checked_session",
]

VERSION = 1
CLEAR = 0
"""The key id of what is not encrypted."""

SESSION_BYTES = 16
COUNTER_BYTES = 8
TAG_BYTES = 16
LENGTH_BYTES = 4
MARK_BYTES = SESSION_BYTES + COUNTER_BYTES

HEADER_BYTES = 2 + MARK_BYTES
FRAME_HEADER_BYTES = HEADER_BYTES + SESSION_BYTES
OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES
"""What a datagram costs besides its body; `core.params.PACKET_OVERHEAD_BYTES` is the same."""
FRAME_OVERHEAD_BYTES = FRAME_HEADER_BYTES + TAG_BYTES
"""What a frame costs besides its length and its body."""
FRAME_MAX = 1_048_576
"""The largest length that a frame may declare: 1 MiB, overhead included."""

_PREFIX = bytes((VERSION, CLEAR))
UNHEARD = bytes(SESSION_BYTES)
"""What stands for the other end's session before it was heard."""


class ReplayedError(RemoteProtocolError):
    """A datagram of a counter that its session's window has met, or can no longer tell: `replayed`."""

    def __init__(self, body: bytes) -> None:
        super().__init__("replayed")
        self.body = body


class StreamSealer(Protocol):
    """Seals what is written to one stream, and opens what is read from it, each in order."""

    def seal(self, body: bytes) -> bytes:
        """The next frame, its length in front.

        Raises:
            LimitError: if the frame would be longer than `FRAME_MAX`.
        """

    def open(self, frame: bytes) -> bytes:
        """The body of the next frame, given without its length.

        Raises:
            RemoteProtocolError: `malformed`, `version`, `sealed`, `clear`, `cluster`, `own`, `order`,
                `stream` or `replayed`. Nothing after it can be read from this stream.
        """


class Sealer(Protocol):
    """Seals and opens datagrams for one node, and makes the sealers of its streams."""

    moment: int
    """How often any session's window has risen."""

    def seal(self, body: bytes) -> bytes:
        """A whole datagram. Each has a number of its own, even if `body` is the same."""

    def open(self, datagram: bytes) -> bytes:
        """The body of a datagram.

        Raises:
            ReplayedError: with the body, which was sealed by who has the key, now or before.
            RemoteProtocolError: `malformed`, `version`, `sealed`, `clear`, `cluster` or `own`.
        """

    def begin_anew(self, datagram: bytes, moment: int) -> bool:
        """Have the window of its session begin at this datagram, unless it has risen since that moment.

        For one that was just found to be `replayed`, and was sealed after that moment.
        """

    def mark(self, datagram: bytes) -> bytes | None:
        """Session and counter of one of this node's own datagrams, given its first bytes or all.

        None if it is not of this node's present or last session, or too short to tell: a router
        need not quote more than 8 bytes of what it refuses.
        """

    def renew(self, session: bytes) -> None:
        """Begin a new session: after a gap in which this process may have been copied.

        Open streams keep theirs, and die with the connections that such a gap breaks.
        """

    def stream(self) -> StreamSealer:
        """The sealer for one end of one new stream."""


class ClearSealer:
    """A `Sealer` without a key: what it seals can be read, and by intent forged, by anyone.

    Args:
        cluster: the cluster's name; what another cluster sends is refused.
        session: 16 random bytes, new in every life of the process.

    Raises:
        LocalProtocolError: if `session` is not 16 bytes.
    """

    def __init__(self, cluster: str, session: bytes) -> None:
        name = hashlib.blake2b(cluster.encode(), digest_size=32, person=b"gossip cluster").digest()
        # Keyed once and copied for each use.
        self._hash = hashlib.blake2b(key=name, digest_size=TAG_BYTES, person=b"gossip datagram")
        self._frame_hash = hashlib.blake2b(key=name, digest_size=TAG_BYTES, person=b"gossip frame")
        self._session = self._last = checked_session(session)
        self._prefix = _PREFIX + session
        self._counter = 0
        self._streams = 0
        self.moment = 0

    def seal(self, body: bytes) -> bytes:
        """A whole datagram."""
        content = self._prefix + self._counter.to_bytes(COUNTER_BYTES, "big") + body
        self._counter += 1
        state = self._hash.copy()
        state.update(content)
        return content + state.digest()

    def open(self, datagram: bytes) -> bytes:
        """The body of a datagram; raises as `Sealer.open`."""
        if len(datagram) <= OVERHEAD_BYTES:
            raise RemoteProtocolError("malformed", f"a datagram of {len(datagram)} bytes")
        if datagram[:2] != _PREFIX:
            raise _foreign(datagram)
        state = self._hash.copy()
        state.update(datagram[:-TAG_BYTES])
        # No secret is compared, so it need not take the same time for every tag.
        if state.digest() != datagram[-TAG_BYTES:]:
            raise RemoteProtocolError("cluster")
        session = datagram[2 : 2 + SESSION_BYTES]
        if session in (self._session, self._last):
            raise RemoteProtocolError("own")
        return datagram[HEADER_BYTES:-TAG_BYTES]

    def begin_anew(self, datagram: bytes, moment: int) -> bool:  # noqa: ARG002
        """Nothing is `replayed` in clear."""
        return False

    def mark(self, datagram: bytes) -> bytes | None:
        """Session and counter, if the datagram is this node's own."""
        mark = datagram[2:HEADER_BYTES]
        if len(mark) < MARK_BYTES or datagram[:2] != _PREFIX:
            return None
        return mark if mark[:SESSION_BYTES] in (self._session, self._last) else None

    def renew(self, session: bytes) -> None:
        """Begin a new session; datagrams of the one before it are still known as own."""
        self._last, self._session = self._session, checked_session(session)
        self._prefix = _PREFIX + session
        self._counter = 0

    def stream(self) -> ClearStreamSealer:
        """The sealer for one end of one new stream, with a session of its own."""
        number = self._streams.to_bytes(COUNTER_BYTES, "big")
        self._streams += 1
        # Unlike any other session, as the process's own is, and no randomness is needed for it. That it can
        # be foreseen harms nothing: in clear no stream is refused for how it begins.
        session = hashlib.blake2b(
            self._session + number, digest_size=SESSION_BYTES, person=b"gossip stream"
        ).digest()
        return ClearStreamSealer(self._frame_hash, session)


class Pairing:
    """The sessions of the two ends of a stream, as one end knows them."""

    __slots__ = ("_answered", "peer", "session")

    def __init__(self, session: bytes) -> None:
        self.session = session
        """This end's own."""
        self.peer = UNHEARD
        """The other end's, once it has been heard."""
        self._answered = False

    def check(self, session: bytes, peer: bytes) -> None:
        """Refuse a frame that was written into another stream, or by this end of this one.

        Args:
            session: of the end that wrote it.
            peer: whom that end has heard.

        Raises:
            RemoteProtocolError: `own` or `stream`.
        """
        if session == self.session:
            raise RemoteProtocolError("own")
        if self.peer not in (UNHEARD, session):
            raise RemoteProtocolError("stream", "the other end has changed its session")
        if peer == self.session:
            self._answered = True
        elif peer != UNHEARD or self._answered:
            # Both ends may speak before they hear; whoever has heard once names the other ever after.
            raise RemoteProtocolError("stream", "an answer to another stream")


class ClearStreamSealer:
    """A `StreamSealer` without a key; `ClearSealer.stream` makes it."""

    def __init__(self, frame_hash: hashlib.blake2b, session: bytes) -> None:
        self._hash = frame_hash
        self._pairing = Pairing(session)
        self._written = 0
        self._read = 0

    def seal(self, body: bytes) -> bytes:
        """The next frame, its length in front; raises `LimitError` as `StreamSealer.seal`."""
        size = FRAME_OVERHEAD_BYTES + len(body)
        if size > FRAME_MAX:
            raise LimitError(f"a frame of {size} bytes; the limit is {FRAME_MAX}")
        number = self._written.to_bytes(COUNTER_BYTES, "big")
        content = b"".join((_PREFIX, self._pairing.session, number, self._pairing.peer, body))
        self._written += 1
        return size.to_bytes(LENGTH_BYTES, "big") + content + self._tag(content)

    def open(self, frame: bytes) -> bytes:
        """The body of the next frame, without its length; raises as `StreamSealer.open`."""
        if len(frame) <= FRAME_OVERHEAD_BYTES:
            raise RemoteProtocolError("malformed", f"a frame of {len(frame)} bytes")
        if frame[:2] != _PREFIX:
            raise _foreign(frame)
        if self._tag(frame[:-TAG_BYTES]) != frame[-TAG_BYTES:]:
            raise RemoteProtocolError("cluster")
        session = frame[2 : 2 + SESSION_BYTES]
        number = int.from_bytes(frame[2 + SESSION_BYTES : HEADER_BYTES], "big")
        self._pairing.check(session, frame[HEADER_BYTES:FRAME_HEADER_BYTES])
        if number != self._read:
            raise RemoteProtocolError("order", f"frame {number} in the place of {self._read}")
        self._pairing.peer = session
        self._read += 1
        return frame[FRAME_HEADER_BYTES:-TAG_BYTES]

    def _tag(self, content: bytes) -> bytes:
        state = self._hash.copy()
        state.update(content)
        return state.digest()


def checked_session(session: bytes) -> bytes:
    """The session; raises `LocalProtocolError` if it is none."""
    if len(session) != SESSION_BYTES or session == UNHEARD:
        raise LocalProtocolError(f"a session is {SESSION_BYTES} random bytes")
    return session


def _foreign(sealed: bytes) -> RemoteProtocolError:
    if sealed[0] != VERSION:
        return RemoteProtocolError("version", f"layout {sealed[0]}")
    return RemoteProtocolError("sealed", f"key {sealed[1]}")
