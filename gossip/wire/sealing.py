"""Sealing: what agents say to one another, so that nobody outside reads, writes or repeats it.

AES-256-GCM-SIV (RFC 8452) under a key of the sender's session: HKDF-SHA256 (RFC 5869) of the cluster's key
and the session, which also gives the four bytes that stand before the counter in the nonce. The key id in the
header says which key of the ring it was; none other is tried. The header and the cluster's name are
authenticated.

    what is sealed with        the key of (ring key, "gossip datagram 1" or "gossip frame 1", session)
    nonce                      4 derived bytes | counter 8
    associated data            hash of the cluster's name 32 | header

Nonces do not repeat, as sessions are random and counters only rise. Should they do so all the same (a machine
that is restored twice from one image and noticed neither time), GCM-SIV gives away which two texts are equal,
and no more.

**Replays.** A receiver notes for each session which of its last 1,024 counters it has met, and takes nothing
from below the first one that it met; but see `packer` for who has the key and raises the window for another.
A session whose mark it has forgotten, or one that ended before this
process began, passes: sequences are random, and a fact that is heard twice says nothing new. A stream's first
frame is bound to nothing; so an accepted stream begins by a session that was not met before, and every frame
that answers names its own. Nobody but the process itself can foresee the sessions of its streams.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from gossip.errors import LimitError, RemoteProtocolError
from gossip.wire.generations import Generations
from gossip.wire.seal import (
    CLEAR,
    COUNTER_BYTES,
    FRAME_HEADER_BYTES,
    FRAME_MAX,
    FRAME_OVERHEAD_BYTES,
    HEADER_BYTES,
    LENGTH_BYTES,
    MARK_BYTES,
    OVERHEAD_BYTES,
    SESSION_BYTES,
    UNHEARD,
    VERSION,
    ClearSealer,
    Pairing,
    ReplayedError,
    StreamSealer,
    checked_session,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from gossip.wire.keyring import Key, KeyRing

__all__ = ["OWN_SECRET_BYTES", "SESSIONS_KEPT", "WINDOW", "RingSealer", "Window"]

WINDOW: Final = 1_024
"""Counters of a session below the highest that are told apart: so many datagrams may overtake one."""
SESSIONS_KEPT: Final = 4_096
"""Sessions of others whose keys and windows are kept, in each of two generations: some 1.5 KB each."""
STREAMS_KEPT: Final = 4_096
"""Sessions of accepted streams that are known as met, in each of two generations."""
OWN_SECRET_BYTES: Final = 32
"""Of the secret that a process has for itself."""

_KEY_BYTES: Final = 32
_SALT_BYTES: Final = 4
_DATAGRAM: Final = b"gossip datagram 1\0"
_FRAME: Final = b"gossip frame 1\0"


class Window:
    """Which counters of one session were met."""

    __slots__ = ("_highest", "_lowest", "_met")

    def __init__(self, first: int) -> None:
        self._lowest = self._highest = first
        # Bit i: the counter i below the highest was met.
        self._met = 1

    def has_met(self, counter: int) -> bool:
        """Whether it was met, or can no longer be told."""
        behind = self._highest - counter
        if behind < 0:
            return False
        return counter < self._lowest or behind >= WINDOW or bool(self._met >> behind & 1)

    def note(self, counter: int) -> bool:
        """It has been met; it was not before. Whether the window has risen by it."""
        ahead = counter - self._highest
        if ahead <= 0:
            self._met |= 1 << -ahead
            return False
        # However far ahead: a shift by more than the window leaves nothing of it.
        self._met = ((self._met << min(ahead, WINDOW)) & ((1 << WINDOW) - 1)) | 1
        self._highest = counter
        return True


class _Cipher:
    """The key of one session, for one use."""

    __slots__ = ("_aead", "_cluster", "_salt")

    def __init__(self, key: Key, use: bytes, session: bytes, cluster: bytes) -> None:
        derived = HKDFExpand(SHA256(), _KEY_BYTES + _SALT_BYTES, use + session).derive(key.pseudorandom)
        self._aead = AESGCMSIV(derived[:_KEY_BYTES])
        self._salt = derived[_KEY_BYTES:]
        self._cluster = cluster

    def seal(self, counter: bytes, header: bytes, body: bytes) -> bytes:
        return self._aead.encrypt(self._salt + counter, body, self._cluster + header)

    def open(self, counter: bytes, header: bytes, content: bytes) -> bytes:
        """The body.

        Raises:
            RemoteProtocolError: `cluster`.
        """
        try:
            return self._aead.decrypt(self._salt + counter, content, self._cluster + header)
        except InvalidTag:
            raise RemoteProtocolError("cluster") from None


class _Peer:
    """A session of another's: how it is opened, and what was met of it."""

    __slots__ = ("cipher", "revision", "risen", "window")

    def __init__(self, cipher: _Cipher, revision: int, first: int, moment: int) -> None:
        self.cipher = cipher
        self.revision = revision
        self.window = Window(first)
        self.risen = moment
        """When the window last rose."""


class RingSealer:
    """A `Sealer` with the keys of a ring, which may change at any time.

    Args:
        session: 16 random bytes, new in every life of the process.
        secret: random bytes of the process, `OWN_SECRET_BYTES` of them, which nobody else ever sees.
        accepted: called for each datagram and stream that is taken although it came in clear.

    Raises:
        LocalProtocolError: if `session` is not 16 bytes.
    """

    def __init__(
        self,
        ring: KeyRing,
        cluster: str,
        session: bytes,
        secret: bytes,
        accepted: Callable[[], None] = lambda: None,
    ) -> None:
        self._accepted = accepted
        self._secret = secret
        self._ring = ring
        self._cluster = hashlib.blake2b(cluster.encode(), digest_size=32, person=b"gossip cluster").digest()
        self._session = self._last = checked_session(session)
        self._clear = ClearSealer(cluster, _beside(session))
        self._counter = 0
        self._streams = 0
        self.moment = 0
        self._own: _Cipher | None = None
        self._own_revision = -1
        self._prefix = b""
        self._peers: Generations[bytes, _Peer] = Generations(SESSIONS_KEPT)
        self._met_streams: Generations[bytes, bool] = Generations(STREAMS_KEPT)

    def seal(self, body: bytes) -> bytes:
        """A whole datagram: under the ring's sending key, or in clear if it has none."""
        if self._own_revision != self._ring.revision:
            self._choose()
        if self._own is None:
            return self._clear.seal(body)
        counter = self._counter.to_bytes(COUNTER_BYTES, "big")
        header = self._prefix + counter
        self._counter += 1
        return header + self._own.seal(counter, header, body)

    def open(self, datagram: bytes) -> bytes:
        """The body of a datagram; raises as `Sealer.open`."""
        if len(datagram) <= OVERHEAD_BYTES:
            raise RemoteProtocolError("malformed", f"a datagram of {len(datagram)} bytes")
        if datagram[1] == CLEAR or datagram[0] != VERSION:
            return self._open_clear(datagram)
        name = datagram[1 : 2 + SESSION_BYTES]
        if name[1:] in (self._session, self._last):
            raise RemoteProtocolError("own")
        header, content = datagram[:HEADER_BYTES], datagram[HEADER_BYTES:]
        counter = header[-COUNTER_BYTES:]
        number = int.from_bytes(counter, "big")
        peer = self._peers.get(name)
        if peer is None:
            cipher = self._datagrams_of(name)
            body = cipher.open(counter, header, content)
            # Only what was sealed by who has the key takes a place.
            self.moment += 1
            self._peers.put(name, _Peer(cipher, self._ring.revision, number, self.moment))
            return body
        if peer.revision != self._ring.revision:
            # Its key may be gone, or another's by now.
            peer.cipher, peer.revision = self._datagrams_of(name), self._ring.revision
        body = peer.cipher.open(counter, header, content)
        if peer.window.has_met(number):
            raise ReplayedError(body)
        if peer.window.note(number):
            self.moment += 1
            peer.risen = self.moment
        return body

    def begin_anew(self, datagram: bytes, moment: int) -> bool:
        """Have the window of its session begin at this datagram; see `Sealer.begin_anew`."""
        peer = self._peers.get(datagram[1 : 2 + SESSION_BYTES])
        if peer is None or peer.risen > moment:
            return False
        self.moment += 1
        peer.window = Window(int.from_bytes(datagram[HEADER_BYTES - COUNTER_BYTES : HEADER_BYTES], "big"))
        peer.risen = self.moment
        return True

    def mark(self, datagram: bytes) -> bytes | None:
        """Session and counter, if the datagram is this node's own."""
        if datagram[1:2] == b"\0":
            return self._clear.mark(datagram)
        mark = datagram[2:HEADER_BYTES]
        if len(mark) < MARK_BYTES or datagram[0] != VERSION:
            return None
        return mark if mark[:SESSION_BYTES] in (self._session, self._last) else None

    def renew(self, session: bytes) -> None:
        """Begin a new session; datagrams of the one before it are still known as own."""
        self._last, self._session = self._session, checked_session(session)
        self._clear.renew(_beside(session))
        self._counter = 0
        self._own_revision = -1

    def stream(self) -> StreamSealer:
        """The sealer for one end of one new stream, with a session of its own."""
        number = self._streams.to_bytes(COUNTER_BYTES, "big")
        self._streams += 1
        # Under the secret: who has the key and sees this session must not know those of streams to come,
        # or he could begin a stream by each of them first.
        session = hashlib.blake2b(
            self._session + number, digest_size=SESSION_BYTES, key=self._secret, person=b"gossip stream"
        ).digest()
        return RingStreamSealer(self, session)

    # What the ends of streams need of it.

    def end(self, key_id: int | None, session: bytes) -> tuple[int, _Cipher] | StreamSealer:
        """How a session's frames are sealed: under this key, or (None) under the one to send with.

        Raises:
            RemoteProtocolError: `sealed` or `clear`.
        """
        if key_id is None:
            sending = self._ring.sending
            if sending is None:
                return self._clear.stream()
            key_id = sending.id
        if key_id == CLEAR:
            self._allow_clear()
            return self._clear.stream()
        return key_id, _Cipher(self._key(key_id), _FRAME, session, self._cluster)

    def begins(self, session: bytes) -> None:
        """Another's stream begins by this session.

        Raises:
            RemoteProtocolError: `replayed`, if another one did before.
        """
        if self._met_streams.get(session):
            raise RemoteProtocolError("replayed", "the beginning of another stream")
        self._met_streams.put(session, True)

    def _choose(self) -> None:
        key = self._ring.sending
        self._own_revision = self._ring.revision
        self._own = None if key is None else _Cipher(key, _DATAGRAM, self._session, self._cluster)
        self._prefix = bytes((VERSION, key.id if key else CLEAR)) + self._session

    def _datagrams_of(self, name: bytes) -> _Cipher:
        """Of a key id and a session."""
        return _Cipher(self._key(name[0]), _DATAGRAM, name[1:], self._cluster)

    def _key(self, key_id: int) -> Key:
        key = self._ring.by_id(key_id)
        if key is None:
            raise RemoteProtocolError("sealed", f"key {key_id}")
        return key

    def _open_clear(self, datagram: bytes) -> bytes:
        if datagram[0] != VERSION:
            raise RemoteProtocolError("version", f"layout {datagram[0]}")
        if not self._ring.accepts_clear:
            raise RemoteProtocolError("clear")
        body = self._clear.open(datagram)
        self._accepted()
        return body

    def _allow_clear(self) -> None:
        if not self._ring.accepts_clear:
            raise RemoteProtocolError("clear")
        self._accepted()


class RingStreamSealer:
    """A `StreamSealer` for one end of a stream; `RingSealer.stream` makes it.

    Who speaks first uses the key that its node sends with. The other end answers under the same: a node that
    has been away, and knows an old key only, can be told of the new one.
    """

    def __init__(self, sealer: RingSealer, session: bytes) -> None:
        self._sealer = sealer
        self._pairing = Pairing(session)
        self._written = 0
        self._read = 0
        self._key_id: int | None = None
        """Of the other end."""
        self._out: tuple[int, _Cipher] | None = None
        self._in: _Cipher | None = None
        self._plain: StreamSealer | None = None
        """Of a stream that is in clear."""

    def seal(self, body: bytes) -> bytes:
        """The next frame, its length in front; raises `LimitError` as `StreamSealer.seal`."""
        size = FRAME_OVERHEAD_BYTES + len(body)
        if size > FRAME_MAX:
            raise LimitError(f"a frame of {size} bytes; the limit is {FRAME_MAX}")
        if self._plain is None and self._out is None:
            end = self._sealer.end(self._key_id, self._pairing.session)
            if isinstance(end, tuple):
                self._out = end
            else:
                self._plain = end
        if self._plain is not None:
            return self._plain.seal(body)
        assert self._out is not None  # noqa: S101 - chosen just now
        key_id, cipher = self._out
        counter = self._written.to_bytes(COUNTER_BYTES, "big")
        header = b"".join((bytes((VERSION, key_id)), self._pairing.session, counter, self._pairing.peer))
        self._written += 1
        return size.to_bytes(LENGTH_BYTES, "big") + header + cipher.seal(counter, header, body)

    def open(self, frame: bytes) -> bytes:
        """The body of the next frame, without its length; raises as `StreamSealer.open`."""
        if len(frame) <= FRAME_OVERHEAD_BYTES:
            raise RemoteProtocolError("malformed", f"a frame of {len(frame)} bytes")
        if frame[0] != VERSION:
            raise RemoteProtocolError("version", f"layout {frame[0]}")
        if self._plain is not None or (self._read == 0 and frame[1] == CLEAR):
            return self._open_clear(frame)
        header, content = frame[:FRAME_HEADER_BYTES], frame[FRAME_HEADER_BYTES:]
        session, counter = header[2 : 2 + SESSION_BYTES], header[2 + SESSION_BYTES : HEADER_BYTES]
        if session == self._pairing.session:
            raise RemoteProtocolError("own")
        cipher = self._in
        if cipher is None:
            found = self._sealer.end(frame[1], session)
            assert isinstance(found, tuple)  # noqa: S101 - its key id is not that of clear text
            cipher = found[1]
        elif (frame[1], session) != (self._key_id, self._pairing.peer):
            raise RemoteProtocolError("stream", "the other end has changed its key or session")
        body = cipher.open(counter, header, content)
        self._pairing.check(session, header[HEADER_BYTES:])
        number = int.from_bytes(counter, "big")
        if number != self._read:
            raise RemoteProtocolError("order", f"frame {number} in the place of {self._read}")
        if number == 0 and header[HEADER_BYTES:] == UNHEARD:
            self._sealer.begins(session)
        self._in, self._key_id = cipher, frame[1]
        self._pairing.peer = session
        self._read += 1
        return body

    def _open_clear(self, frame: bytes) -> bytes:
        if self._plain is None:
            if self._out is not None:
                # An answer in clear to what was sealed is nobody's who could read it.
                raise RemoteProtocolError("clear")
            found = self._sealer.end(CLEAR, self._pairing.session)
            assert not isinstance(found, tuple)  # noqa: S101 - asked for clear text
            self._plain = found
        return self._plain.open(frame)


def _beside(session: bytes) -> bytes:
    """The session of what the same process says in clear: its counters are others."""
    return hashlib.blake2b(session, digest_size=SESSION_BYTES, person=b"gossip in clear").digest()
