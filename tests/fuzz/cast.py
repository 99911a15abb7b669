"""Who there is in the worlds that are fuzzed, and what only they can make: warrants, and boxes with keys."""

from __future__ import annotations

import functools
import hashlib
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from gossip.core.handover import signed_part
from gossip.core.keys import KeyState
from gossip.core.messages import KeyGrant
from gossip.core.records import KeyRecord, MemberRecord, ServiceRecord, Warrant
from gossip.core.types import Address, NodeId
from gossip.wire.authority import Authority, Token
from gossip.wire.identity import Identity
from gossip.wire.keyring import KeyRing, key_id, mark_of
from gossip.wire.locksmith import RingLocksmith
from gossip.wire.warrants import write_warrant

__all__ = [
    "ADDRESSES",
    "ALONE",
    "AUTHORITY",
    "CLUSTER",
    "HOME",
    "JUDGE",
    "LATE",
    "MARKS",
    "ME",
    "NEW",
    "NEXT_KEY",
    "NOW",
    "NOW_KEY",
    "PEERS",
    "SECRETS",
    "STRANGER",
    "USED",
    "box",
    "exchange_key",
    "facts_of",
    "granted",
    "issued",
    "locksmith",
    "member",
    "warrants",
]

CLUSTER: Final = "fuzz"
NOW: Final = 1_795_219_200_000
HOME: Final[Address] = ("10.0.0.1", 7_946)
ADDRESSES: Final[tuple[Address, ...]] = tuple((f"10.0.0.{number}", 7_946) for number in range(2, 6))
_SEED: Final = b"a" * 32
AUTHORITY: Final = Authority(_SEED, CLUSTER)
JUDGE: Final = Identity(_SEED, CLUSTER, AUTHORITY.public_key)
"""The authority again, as one that signs whatever it is given."""


class Notary(Identity):
    """A node's, that checks no signature twice: worlds begin with the same facts, again and again."""

    def _verify(self, public_key: bytes, signature: bytes, data: bytes, owner: NodeId | None) -> bool:
        checked = (public_key, signature, data, owner)
        if checked not in _checked:
            if len(_checked) >= CHECKED:
                _checked.clear()
            _checked[checked] = super()._verify(public_key, signature, data, owner)
        return _checked[checked]


CHECKED: Final = 4_096
_checked: dict[tuple[bytes, bytes, bytes, NodeId | None], bool] = {}


def _named(letter: bytes) -> Identity:
    return Identity(letter * 32, CLUSTER, AUTHORITY.public_key)


ME: Final = Notary(b"m" * 32, CLUSTER, AUTHORITY.public_key)
ALONE: Final = Notary(b"m" * 32, CLUSTER)
"""The same node, where there is no authority."""
PEERS: Final = tuple(_named(bytes([number])) for number in range(1, 5))
"""Known from the beginning. The last has no exchange key."""
STRANGER: Final = _named(b"s")
LATE: Final = _named(b"l")
NEW: Final = (STRANGER, LATE)
"""Not known."""


def _of_the_same_id(secret: bytes) -> bytes:
    """Another key with the same byte in headers: no ring takes both."""
    numbers = (number.to_bytes(32, "big") for number in range(1, 10_000))
    return next(other for other in numbers if key_id(other) == key_id(secret))


_OLD: Final = b"K" * 32
SECRETS: Final = (_OLD, b"L" * 32, b"M" * 32, b"N" * 32, _of_the_same_id(_OLD))
"""Keys of the cluster: the one of now, the next, and such as the node lacks."""
MARKS: Final = tuple(map(mark_of, SECRETS))
NOW_KEY, NEXT_KEY = MARKS[0], MARKS[1]
_FAR: Final = NOW // 1_000 + 1_000
_INVITES: Final = tuple(
    AUTHORITY.invite(bytes([number]) * 32, name, expires)
    for number, (name, expires) in enumerate((("", _FAR), ("", _FAR), ("p3", _FAR), ("", 1)), 70)
)
"""Each for whoever uses it first: two for any name, one for a certain one, and one that has expired."""


@functools.cache
def locksmith(identity: Identity) -> RingLocksmith:
    """Of somebody who has no keys."""
    return RingLocksmith(KeyRing(), identity._private.private_bytes_raw(), identity.public_key, CLUSTER)


def exchange_key(identity: Identity) -> bytes:
    """By which others wrap for it; empty if it takes none."""
    return b"" if identity is PEERS[-1] else locksmith(identity).exchange_key


@functools.cache
def box(sender: Identity, secret: bytes, mark: bytes) -> bytes:
    """A key as `sender` wraps it for the node: as `RingLocksmith.wrap`, and the same whenever it is made.

    It may be said to be another one than it is.
    """
    fresh = X25519PrivateKey.from_private_bytes(hashlib.blake2b(sender.id + secret, digest_size=32).digest())
    theirs = locksmith(ME).exchange_key
    ephemeral = fresh.public_key().public_bytes_raw()
    agreed = fresh.exchange(X25519PublicKey.from_public_bytes(theirs))
    aead = locksmith(sender)._aead(agreed, ephemeral, theirs, sender.id, ME.id)
    return ephemeral + aead.encrypt(bytes(12), secret, mark)


def granted(sender: Identity, record: bytes, mark: bytes, name: str, wrapped: bytes) -> KeyGrant:
    """A key handed to the node, signed by who hands it."""
    grant = KeyGrant(record, ME.id, mark, name, wrapped, bytes(64))
    return msgspec.structs.replace(grant, signature=sender.sign(signed_part(grant)))


USED: Final = ((_INVITES[1].holder, LATE.id),)
"""What the disk of a node kept of who has used which invitation."""


@functools.cache
def warrants(identity: Identity) -> tuple[bytes, ...]:
    """What the authority's invitations are in the hands of one node.

    Its own, its own under another name, those that several use, and another's that it cannot use.
    """
    own = AUTHORITY.vouch(identity.id, "", _FAR), AUTHORITY.vouch(identity.id, "p3", _FAR)
    other = AUTHORITY.vouch(PEERS[0].id, "", _FAR)
    return tuple(_used(token, identity) for token in (*own, *_INVITES, other))


def _used(token: Token, identity: Identity) -> bytes:
    """As `Token.use`, which refuses to make what is unsound."""
    claim = b""
    if token.secret:
        claim = Ed25519PrivateKey.from_private_bytes(token.secret).sign(identity.claim(identity.id))
    return write_warrant(Warrant(token.holder, token.name, token.expires, token.by_authority, claim))


def member(identity: Identity, name: str, address: Address, warrant: bytes) -> MemberRecord:
    """What somebody says of itself."""
    return MemberRecord(
        owner=identity.id, version=NOW, public_key=identity.public_key, exchange_key=exchange_key(identity),
        name=name, host=address[0], port=address[1], tags={"zone": "a"}, protocol_min=1, protocol_max=1,
        boot=7, floor=NOW - 5, birth=NOW - 9, phase=0, ephemeral=False, warrant=warrant,
    )  # fmt: skip


@functools.lru_cache(CHECKED)
def issued(owner: Identity, body: KeyRecord) -> bytes:
    """A record, signed; made once."""
    return owner.issue(body).raw


@functools.cache
def facts_of(identity: Identity, address: Address) -> tuple[bytes, ...]:
    """What somebody says from the beginning: of itself, of a service, and of its keys.

    The first peer has an invitation that others use too.
    """
    own = warrants(identity)[2 if identity is PEERS[0] else 0]
    keys = ((NOW_KEY, int(KeyState.SENDING)), (NEXT_KEY, int(KeyState.RECEIVING)))
    bodies = (
        member(identity, f"p{address[0][-1]}", address, own),
        ServiceRecord(identity.id, NOW + 1, "web", "web", "", 80, ("a",), {}, 1),
        KeyRecord(identity.id, NOW + 2, "", 0, b"", False, keys),
    )
    return tuple(identity.issue(body).raw for body in bodies)
