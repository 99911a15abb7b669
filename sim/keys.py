"""Cluster keys in this world: a stand-in that knows them by their marks, and the real ones.

The stand-in seals nothing: what travels says under which mark it would be sealed, and who does not hold that
mark cannot read it. The rules of rings, of streams and of wrapping are those of `wire`; whoever attacks bytes
needs the real ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gossip.core.keys import HeldKey, KeyState, Locksmith
from gossip.core.messages import Frame, Packet
from gossip.core.records import KEY_MARK_BYTES, MAX_KEYS, MemberRecord
from gossip.core.types import NodeId
from gossip.errors import LocalProtocolError, RemoteProtocolError
from gossip.wire.keyring import KeyRing
from gossip.wire.locksmith import BOX_BYTES, RingLocksmith
from gossip.wire.sealing import RingSealer
from sim.notary import Signer
from sim.post import Encoded, Line, Post

__all__ = ["Marks", "RealSafe", "Safe", "SafeMaker", "mark", "marks", "real"]


class Safe(Protocol):
    """The keys of one life of an agent."""

    @property
    def locksmith(self) -> Locksmith:
        """What core is given."""

    def save(self) -> object:
        """What the disk keeps."""

    def add(self, name: str, spare: Sequence[bytes] = ()) -> bytes:
        """Draw a key, as the user's command does; its mark. `spare` is as in `KeyRing.add`."""

    def seal(self, post: Post, session: bytes) -> Post:
        """The wire, sealed."""


SafeMaker = Callable[[object, Signer, bytes, str], Safe]
"""From what the disk has (None at first), the notary, the private key and the cluster's name."""


def mark(name: str) -> bytes:
    """The mark of the stand-in key of that name."""
    return hashlib.blake2b(name.encode(), digest_size=KEY_MARK_BYTES, person=b"sim key mark").digest()


def marks(first: str = "first", *, accepts_clear: bool = False) -> SafeMaker:
    """Stand-ins. Every host begins with the key of that name; it sends with it, unless it `accepts_clear`."""

    def make(saved: object, notary: Signer, _secret: bytes, _cluster: str) -> Safe:
        kept: Any = saved
        if kept is None:
            kept = [HeldKey(first, mark(first), KeyState.RECEIVING if accepts_clear else KeyState.SENDING)]
        return Marks(notary.id, kept, accepts_clear=accepts_clear)

    return make


def real(secret: bytes) -> SafeMaker:
    """Real keys and real bytes; every host begins with this one, and sends with it."""

    def make(saved: object, notary: Signer, private: bytes, cluster: str) -> Safe:
        ring = KeyRing() if saved is None else KeyRing.load(saved)
        if saved is None:
            ring.add(secret, "first", KeyState.SENDING)
        return RealSafe(ring, RingLocksmith(ring, private, notary.public_key, cluster), cluster, private)

    return make


class Marks:
    """A `Safe` and its `Locksmith` in one: keys that are nothing but their names."""

    def __init__(self, id: NodeId, held: Sequence[HeldKey], *, accepts_clear: bool) -> None:
        self._id = id
        self._accepts_clear = accepts_clear
        self._held = {key.mark: key for key in held}

    @property
    def locksmith(self) -> Locksmith:
        return self

    @property
    def exchange_key(self) -> bytes:
        return self._id * 2

    def held(self) -> tuple[HeldKey, ...]:
        return tuple(self._held.values())

    def use(self, mark: bytes) -> None:
        for key in self.held():
            if key.state is KeyState.SENDING:
                self._set(key, KeyState.RECEIVING)
        self._set(self._held[mark], KeyState.SENDING)

    def retire(self, mark: bytes) -> None:
        self._set(self._held[mark], KeyState.RETIRED)

    def wrap(self, mark: bytes, recipient: MemberRecord) -> bytes:
        if not recipient.exchange_key:
            raise LocalProtocolError(f"{recipient.name} has no exchange key to wrap for")
        return (recipient.owner + mark + self._id).ljust(BOX_BYTES, b"\0")

    def unwrap(
        self, box: bytes, mark: bytes, name: str, sender: MemberRecord, spare: Sequence[bytes] = ()
    ) -> None:
        if box != (self._id + mark + sender.owner).ljust(BOX_BYTES, b"\0"):
            raise RemoteProtocolError("key_refused")
        self._put(HeldKey(name, mark, KeyState.RECEIVING, handed=True), spare)

    def save(self) -> object:
        return list(self.held())

    def add(self, name: str, spare: Sequence[bytes] = ()) -> bytes:
        found = mark(name)
        self._put(HeldKey(name, found, KeyState.RECEIVING), spare)
        return found

    def seal(self, post: Post, _session: bytes) -> Post:
        return _MarkedPost(self, post)

    def sending(self) -> bytes:
        """The mark of the key that is sent with; empty: in clear."""
        return next((key.mark for key in self.held() if key.state is KeyState.SENDING), b"")

    def check(self, under: bytes) -> None:
        """Raises `RemoteProtocolError` if what is sealed under this mark cannot be read here."""
        if not under and self._accepts_clear:
            return
        key = self._held.get(under)
        if key is None or key.state is KeyState.RETIRED:
            raise RemoteProtocolError("sealed" if under else "clear")

    def _set(self, key: HeldKey, state: KeyState) -> None:
        self._held[key.mark] = HeldKey(key.name, key.mark, state, key.handed)

    def _put(self, key: HeldKey, spare: Sequence[bytes]) -> None:
        if len(self._held) >= MAX_KEYS:
            useless = [old.mark for old in self.held() if old.state is KeyState.RETIRED]
            useless += [old for old in self._held if old in spare]
            if not useless:
                raise RemoteProtocolError("key_refused", "the ring is full")
            del self._held[useless[0]]
        self._held[key.mark] = key


class _MarkedPost:
    """A `Post` whose datagrams say what they are sealed under."""

    __slots__ = ("_marks", "_post")

    def __init__(self, marks: Marks, post: Post) -> None:
        self._marks = marks
        self._post = post

    def pack(self, message: Packet) -> tuple[object, int]:
        payload, size = self._post.pack(message)
        return (self._marks.sending(), payload), size

    def unpack(self, payload: Any) -> Packet:
        under, inner = payload
        self._marks.check(under)
        return self._post.unpack(inner)

    def renew(self, session: bytes) -> None:
        self._post.renew(session)

    def line(self) -> Line:
        return _MarkedLine(self._marks, self._post.line())


class _MarkedLine:
    """One end of a stream: the answer is sealed as the question was."""

    __slots__ = ("_line", "_marks", "_under")

    def __init__(self, marks: Marks, line: Line) -> None:
        self._marks = marks
        self._line = line
        self._under: bytes | None = None

    def pack(self, frame: Frame) -> tuple[object, int]:
        if self._under is None:
            self._under = self._marks.sending()
        payload, size = self._line.pack(frame)
        return (self._under, payload), size

    def unpack(self, payload: Any) -> Sequence[Frame]:
        under, inner = payload
        if self._under is None:
            self._marks.check(under)
            self._under = under
        elif under != self._under:
            raise RemoteProtocolError("stream")
        return self._line.unpack(inner)


class RealSafe:
    """A `Safe` with real keys."""

    def __init__(self, ring: KeyRing, locksmith: RingLocksmith, cluster: str, private: bytes) -> None:
        self.ring = ring
        self.locksmith: Locksmith = locksmith
        self._cluster = cluster
        self._private = private

    def save(self) -> object:
        return self.ring.saved()

    def add(self, name: str, spare: Sequence[bytes] = ()) -> bytes:
        drawn = hashlib.blake2b(name.encode(), person=b"sim key draw")

        def draw(count: int) -> bytes:
            drawn.update(b"again")
            return drawn.digest()[:count]

        return self.ring.make(name, draw, spare).mark

    def seal(self, _post: Post, session: bytes) -> Post:
        # The agent draws its secret; here nothing is drawn, and this too is nobody else's.
        return Encoded(RingSealer(self.ring, self._cluster, session, self._private))
