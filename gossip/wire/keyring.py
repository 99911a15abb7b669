"""The keys of a cluster, as one node holds them: named, each with a state, at most eight.

A key is 32 random bytes. Its *mark* is a hash by which others may know that a node holds it; its *id*, one
byte, says in a datagram's header which key opens it, so that nobody ever tries several. Both follow from the
key, and need no agreement. Two keys of one id cannot be in one ring; whoever makes a key makes another then.
"""

from __future__ import annotations

import hashlib
import hmac
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from gossip.core.keys import HeldKey, KeyState
from gossip.core.records import KEY_MARK_BYTES, MAX_KEYS
from gossip.errors import CryptoError, LimitError, NotFoundError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["SECRET_BYTES", "Key", "KeyRing", "key_id", "mark_of"]

SECRET_BYTES: Final = 32
MAX_KEY_NAME: Final = 64
_EXTRACT_SALT: Final = b"gossip cluster key 1"
_HEX_SHOWN: Final = 8


def mark_of(secret: bytes) -> bytes:
    """What names a key and tells nothing of it."""
    return hashlib.blake2b(secret, digest_size=KEY_MARK_BYTES, person=b"gossip key mark").digest()


def key_id(secret: bytes) -> int:
    """The byte that stands for a key in headers: 1 to 255, as 0 means in clear."""
    return 1 + hashlib.blake2b(secret, digest_size=8, person=b"gossip key id").digest()[0] % 255


class Key:
    """One key of a ring. Whatever shows it does not show its secret."""

    __slots__ = ("_prk", "_secret", "handed", "id", "mark", "name", "state")

    def __init__(
        self, name: str, secret: bytes, state: KeyState, mark: bytes = b"", *, handed: bool = False
    ) -> None:
        self.name = name
        self.handed = handed
        self.state = state
        self.mark = mark or mark_of(secret)
        self.id = key_id(secret) if secret else 0
        self._secret = secret
        self._prk = b""

    def __repr__(self) -> str:
        return f"Key({self.name!r}, {self.mark.hex()}, {self.state.label})"

    @property
    def secret(self) -> bytes:
        """32 bytes; empty once it is retired."""
        return self._secret

    @property
    def pseudorandom(self) -> bytes:
        """What keys of sessions are derived from: HKDF's first step (RFC 5869, section 2.2)."""
        if not self._prk:
            self._prk = hmac.digest(_EXTRACT_SALT, self._secret, "sha256")
        return self._prk

    def retire(self) -> None:
        """Forget the secret."""
        self.state = KeyState.RETIRED
        self._secret = self._prk = b""
        self.id = 0


class KeyRing:
    """The keys of one node.

    Args:
        accepts_clear: whether what comes in clear is taken too, while a cluster moves to its first key. The
            ring then need not have a key to send with.
    """

    def __init__(self, keys: tuple[Key, ...] = (), *, accepts_clear: bool = False) -> None:
        self.accepts_clear = accepts_clear
        self.revision = 0
        """Rises with every change."""
        self._keys = list(keys)
        self._by_id: dict[int, Key] = {}
        self._sending: Key | None = None
        self._index()

    def __repr__(self) -> str:
        return f"KeyRing({self._keys!r})"

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def sending(self) -> Key | None:
        """The key that this node seals with; None: it speaks in clear."""
        return self._sending

    def by_id(self, number: int) -> Key | None:
        """The key that opens what has this id in its header."""
        return self._by_id.get(number)

    def held(self) -> tuple[HeldKey, ...]:
        """All keys without their secrets, oldest first."""
        return tuple(HeldKey(key.name, key.mark, key.state, key.handed) for key in self._keys)

    def key(self, mark: bytes) -> Key:
        """The key of this mark; raises `NotFoundError`."""
        for key in self._keys:
            if key.mark == mark:
                return key
        raise NotFoundError(f"there is no key {mark.hex()[:_HEX_SHOWN]} here: see 'gossip keys list'")

    def find(self, word: str) -> Key:
        """A key by its name, its mark in hex, or the beginning of one.

        Raises:
            NotFoundError: if there is none.
            RefusedError: if there are several.
        """
        found = [key for key in self._keys if key.name == word]
        found = found or [
            key for key in self._keys if len(word) >= 4 and key.mark.hex().startswith(word.lower())
        ]
        if not found:
            raise NotFoundError(f"there is no key {word!r} here: see 'gossip keys list'")
        if len(found) > 1:
            raise RefusedError(f"several keys are called {word!r}: give more of the mark")
        return found[0]

    def make(self, name: str, draw: Callable[[int], bytes], spare: Sequence[bytes] = ()) -> Key:
        """A new key, receiving; `draw` gives so many random bytes, and `spare` is as in `add`.

        Raises:
            LimitError, RefusedError: as `add`.
        """
        secret = draw(SECRET_BYTES)
        while key_id(secret) in self._by_id:
            secret = draw(SECRET_BYTES)
        return self.add(secret, name, spare=spare)

    def add(
        self,
        secret: bytes,
        name: str = "",
        state: KeyState = KeyState.RECEIVING,
        *,
        handed: bool = False,
        spare: Sequence[bytes] = (),
    ) -> Key:
        """Take a key; one that is here already is returned as it is.

        Args:
            secret: 32 bytes.
            name: what people call it; of its mark, if empty.
            state: what it is for.
            handed: whether it comes from a member. One that the operator gives too is the operator's.
            spare: marks of keys that are forgotten, the oldest first, where this one finds no place.

        Raises:
            LimitError: if there are eight keys that are not retired.
            RefusedError: if the key was retired, its name is taken, or its id is another's.
        """
        mark = mark_of(secret)
        for key in self._keys:
            if key.mark == mark:
                if key.state is KeyState.RETIRED:
                    raise RefusedError(f"key {key.name} was retired: make another one")
                key.handed = key.handed and handed
                return key
        name = name or f"key-{mark.hex()[:_HEX_SHOWN]}"
        if len(name.encode()) > MAX_KEY_NAME or not name.isprintable():
            raise LimitError(f"a key's name is at most {MAX_KEY_NAME} bytes, and printable")
        if any(key.name == name for key in self._keys):
            raise RefusedError(f"there is a key {name!r} already: give this one another name")
        twin = self._by_id.get(key_id(secret))
        if twin is None:
            self._make_room(spare)
        elif twin.mark in spare:
            self.remove(twin.mark)
        else:
            raise RefusedError("its id in headers is that of another key here: make another one")
        key = Key(name, secret, state, handed=handed)
        self._keys.append(key)
        self._index()
        return key

    def use(self, mark: bytes) -> None:
        """Seal under this key from now on; the one before it goes on receiving.

        Raises:
            NotFoundError: if it is not here.
            RefusedError: if it was retired.
        """
        chosen = self.key(mark)
        if chosen.state is KeyState.RETIRED:
            raise RefusedError(f"key {chosen.name} was retired: it opens nothing any more")
        for key in self._keys:
            if key.state is KeyState.SENDING:
                key.state = KeyState.RECEIVING
        chosen.state = KeyState.SENDING
        self._index()

    def retire(self, mark: bytes) -> None:
        """Forget the secret of a key, and remember its mark.

        Raises:
            NotFoundError: if it is not here.
            RefusedError: if this node seals under it.
        """
        self._refuse_sending(mark).retire()
        self._index()

    def remove(self, mark: bytes) -> None:
        """Forget a key altogether; raises as `retire`."""
        self._keys.remove(self._refuse_sending(mark))
        self._index()

    def saved(self) -> list[list[Any]]:
        """All keys with their secrets, as JSON has it: for the disk, and nothing else."""
        return [
            [key.name, key.state.label, key.mark.hex(), key.secret.hex(), *_HANDED[: key.handed]]
            for key in self._keys
        ]

    @staticmethod
    def load(saved: object, *, accepts_clear: bool = False) -> KeyRing:
        """What `saved` gave.

        Raises:
            CryptoError: if it is no ring.
        """
        try:
            keys = tuple(
                Key(
                    str(name),
                    bytes.fromhex(secret),
                    KeyState[state.upper()],
                    bytes.fromhex(mark),
                    handed=origin == _HANDED,
                )
                for name, state, mark, secret, *origin in saved  # type: ignore[attr-defined]
            )
        except (TypeError, ValueError, KeyError, AttributeError):
            keys = (_NO_KEY,)
        sending = sum(key.state is KeyState.SENDING for key in keys)
        if len(keys) > MAX_KEYS or sending > 1 or not all(map(_is_sound, keys)):
            # Nothing of what was read, which may be secret, goes along.
            raise CryptoError("the saved keys are damaged")
        return KeyRing(keys, accepts_clear=accepts_clear)

    def copy(self) -> KeyRing:
        """Another ring of the same keys, to try a change on."""
        keys = (Key(key.name, key.secret, key.state, key.mark, handed=key.handed) for key in self._keys)
        return KeyRing(tuple(keys), accepts_clear=self.accepts_clear)

    def become(self, other: KeyRing) -> None:
        """Take another ring's keys."""
        self._keys = list(other._keys)
        self._index()

    def _refuse_sending(self, mark: bytes) -> Key:
        key = self.key(mark)
        if key.state is KeyState.SENDING:
            raise RefusedError(
                f"this agent seals with key {key.name}: use another one first (gossip keys use NAME)"
            )
        return key

    def _make_room(self, spare: Sequence[bytes]) -> None:
        """A retired key makes room for a new one, the oldest first; or else one of the `spare`."""
        if len(self._keys) < MAX_KEYS:
            return
        retired = (key.mark for key in self._keys if key.state is KeyState.RETIRED)
        useless = (key.mark for key in self._keys if key.mark in spare and key is not self._sending)
        mark = next(chain(retired, useless), None)
        if mark is not None:
            self.remove(mark)
            return
        raise LimitError(
            f"there are {MAX_KEYS} keys here, which is the limit: remove one first (gossip keys remove NAME)"
        )

    def _index(self) -> None:
        self.revision += 1
        self._by_id = {key.id: key for key in self._keys if key.state is not KeyState.RETIRED}
        self._sending = next((key for key in self._keys if key.state is KeyState.SENDING), None)


_HANDED: Final = ["handed"]
"""Behind what is saved of a key that came from a member."""
_NO_KEY: Final = Key("", b"", KeyState.RECEIVING)


def _is_sound(key: Key) -> bool:
    if not key.secret:
        return key.state is KeyState.RETIRED
    return len(key.secret) == SECRET_BYTES and mark_of(key.secret) == key.mark
