"""The cluster's keys as core knows them: by their marks, never by what they are.

Making, wrapping and keeping keys is the work of a `Locksmith`, given to core from outside as its `Notary`
is: `wire.locksmith` has the real one, the simulator a stand-in.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from msgspec import Struct

from gossip.core.members import Member
from gossip.core.records import Key, KeyRecord, MemberRecord
from gossip.core.types import NodeId

__all__ = ["KEYS", "HeldKey", "KeyState", "Keys", "Locksmith", "holds", "keys_of"]

KEYS: Final[Key] = (7, "")
"""Where the record of a node's cluster keys stands among its records."""
SHOWN_HEX: Final = 8
"""Of a mark, where people read it."""


class KeyState(enum.IntEnum):
    """What a key of the ring is for."""

    RECEIVING = 0
    """What is sealed under it is opened."""
    SENDING = 1
    """And what this node says is sealed under it; at most one key is."""
    RETIRED = 2
    """Known, so that it is not taken for a new one, and of no use any more."""

    @property
    def label(self) -> str:
        return self.name.lower()


class HeldKey(Struct, frozen=True):
    """One key of a ring, without its secret."""

    name: str
    mark: bytes
    state: KeyState
    handed: bool = False
    """It came from a member, and was not given to this node by its operator."""


class Locksmith(Protocol):
    """Keeps a node's cluster keys. What it changes counts after a restart only once it was saved."""

    @property
    def exchange_key(self) -> bytes:
        """The public key by which others wrap for this node, 32 bytes; empty if there is none."""

    def held(self) -> tuple[HeldKey, ...]:
        """All keys, oldest first."""

    def use(self, mark: bytes) -> None:
        """Seal under this key from now on; the one before it goes on receiving."""

    def retire(self, mark: bytes) -> None:
        """Forget the secret of this key, and remember its mark."""

    def wrap(self, mark: bytes, recipient: MemberRecord) -> bytes:
        """This key, for nobody but the recipient to read."""

    def unwrap(
        self, box: bytes, mark: bytes, name: str, sender: MemberRecord, spare: Sequence[bytes] = ()
    ) -> None:
        """Take a key that was wrapped for this node, as a receiving one.

        Where it finds no place, one of the `spare` keys, given by their marks, is forgotten for it.

        Raises:
            RemoteProtocolError: `key_refused`, if it is not the key of that mark, or was not wrapped for
                this node by that sender; or if the ring is full.
        """


class Keys:
    """The keys of one node, as its parts look at them. Without a locksmith there are none."""

    def __init__(self, locksmith: Locksmith | None) -> None:
        self.locksmith = locksmith
        self.is_excluded: Callable[[NodeId], bool] = lambda _id: False
        """Who gets no key, and is not waited for; replaced by whoever knows of bans."""

    def held(self) -> tuple[HeldKey, ...]:
        """All of them, oldest first."""
        return () if self.locksmith is None else self.locksmith.held()

    def readable(self) -> tuple[bytes, ...]:
        """Marks of the keys by which this node can be answered."""
        return tuple(key.mark for key in self.held() if key.state is not KeyState.RETIRED)

    def sending(self) -> bytes:
        """The mark of the key that this node seals with; empty if it speaks in clear."""
        return next((key.mark for key in self.held() if key.state is KeyState.SENDING), b"")

    def state(self, mark: bytes) -> KeyState | None:
        """Of the key of this mark; None if it is not here."""
        return next((key.state for key in self.held() if key.mark == mark), None)

    def name(self, mark: bytes) -> str:
        """The name of a key, or what is shown of its mark."""
        return next((key.name for key in self.held() if key.mark == mark), mark.hex()[:SHOWN_HEX])


def keys_of(member: Member) -> KeyRecord | None:
    """What the member says of its keys; None if it says nothing: in clear, or of an older version."""
    fact = member.services.get(KEYS)
    return fact.body if fact is not None and isinstance(fact.body, KeyRecord) else None


def holds(member: Member, mark: bytes, *, sending: bool = False) -> bool:
    """Whether the member can read what is sealed under this key; or whether it seals with it."""
    record = keys_of(member)
    if record is None:
        return False
    state = next((state for held, state in record.keys if held == mark), KeyState.RETIRED)
    return state == KeyState.SENDING if sending else state != KeyState.RETIRED
