"""Who a node is: a key pair, and the facts that it signs.

A fact is `signature (64) + body`. The body is a msgpack array `[kind, owner, ...]`; the signature
covers a word for its use, the cluster and the body, so that neither a fact of another cluster nor
a signature made for another use is ever a fact here. Only the bytes count: they are stored,
relayed, hashed and compared, never encoded anew, and fields that a later version has added at the
end of a body travel through this node unread.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gossip.core.records import (
    MAX_FACT_BYTES,
    Accusation,
    Ban,
    Body,
    Deletion,
    EventRecord,
    Fact,
    Key,
    KeyRecord,
    MemberRecord,
    Opaque,
    ServiceRecord,
    StatusRecord,
    Warrant,
)
from gossip.core.types import HEAD_BYTES, ID_BYTES, NodeId
from gossip.errors import CryptoError, LimitError, LocalProtocolError, RemoteProtocolError
from gossip.wire.bounds import check_body
from gossip.wire.warrants import by_authority, read_warrant

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SEED_BYTES", "SIGNATURE_BYTES", "Identity", "node_id"]

SEED_BYTES = 32
"""The private key."""
SIGNATURE_BYTES = 64
KEYS_CACHED = 1_024
"""Public keys kept ready to verify with; loading one costs a hundredth of a verification."""

_FACT_DOMAIN = b"gossip fact 1\0"
_DATA_DOMAIN = b"gossip data 1\0"
_GRANT_DOMAIN = b"gossip warrant 1\0"
_CLAIM_DOMAIN = b"gossip invitee 1\0"

_Known = MemberRecord | ServiceRecord | Deletion | EventRecord | Accusation | StatusRecord | KeyRecord | Ban
_read_known: Callable[[bytes], _Known] = msgspec.msgpack.Decoder(_Known).decode
_read_opaque: Callable[[bytes], Opaque] = msgspec.msgpack.Decoder(Opaque).decode
_write = msgspec.msgpack.Encoder().encode


def node_id(public_key: bytes) -> NodeId:
    """The id of the node with this public key: whoever holds the private key, and nobody else."""
    return hashlib.blake2b(public_key, digest_size=ID_BYTES, person=b"gossip node").digest()


class Identity:
    """A `core.records.Notary` with an Ed25519 key.

    Args:
        seed: the private key, 32 random bytes; the same seed is the same node.
        cluster: the cluster's name; facts of another cluster do not verify.
        authority: the public key of the cluster's authority; empty if there is none.

    Raises:
        CryptoError: if `seed` is not 32 bytes.
    """

    def __init__(self, seed: bytes, cluster: str, authority: bytes = b"") -> None:
        if len(seed) != SEED_BYTES:
            raise CryptoError(f"a private key is {SEED_BYTES} bytes; this one is {len(seed)}")
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._public_key = self._private.public_key().public_bytes_raw()
        self._id = node_id(self._public_key)
        # A hash stands for the name, so that what follows it always starts at the same place.
        name = hashlib.blake2b(cluster.encode(), digest_size=32, person=b"gossip cluster").digest()
        self._fact_prefix = _FACT_DOMAIN + name
        self._data_prefix = _DATA_DOMAIN + name
        self._grant_prefix = _GRANT_DOMAIN + name
        self._claim_prefix = _CLAIM_DOMAIN + name
        self._authority = authority
        # Keyed once and copied for each use: a third less for a short fact.
        self._fact_hash = hashlib.blake2b(key=name, digest_size=HEAD_BYTES, person=b"gossip fact")
        self._place_hash = hashlib.blake2b(key=name, digest_size=HEAD_BYTES, person=b"gossip place")
        self._keys: dict[bytes, tuple[NodeId, Ed25519PublicKey]] = {}

    @property
    def id(self) -> NodeId:
        """This node's id: the hash of its public key."""
        return self._id

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return self._public_key

    def issue(self, body: Body) -> Fact:
        """Encode and sign what this node says.

        Raises:
            LimitError: if a field or the whole is over its limit; the message names the limit.
            LocalProtocolError: if a field is unsound, or `body` is not this node's to say.
        """
        if body.owner != self._id:
            raise LocalProtocolError("a node signs only what it says itself")
        if isinstance(body, Opaque):
            raise LocalProtocolError("a record of an unknown kind cannot be made here")
        check_body(body)
        content = _write(body)
        size = SIGNATURE_BYTES + len(content)
        if size > MAX_FACT_BYTES:
            raise LimitError(f"the signed record is {size} bytes; the limit is {MAX_FACT_BYTES}")
        raw = self._private.sign(self._fact_prefix + content) + content
        try:
            return self.parse(raw)
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"nobody would accept this record: {error.detail}") from error

    def parse(self, raw: bytes) -> Fact:
        """Read a fact without checking its signature.

        Raises:
            RemoteProtocolError: `malformed`, `oversized`, or `identity` if a member record's
                owner is not the hash of its key; nothing else, whatever the bytes are.
        """
        if len(raw) > MAX_FACT_BYTES:
            raise RemoteProtocolError("oversized", f"a fact of {len(raw)} bytes")
        body = _read(raw[SIGNATURE_BYTES:])
        try:
            check_body(body)
        except LimitError as error:
            raise RemoteProtocolError("oversized", str(error)) from None
        except LocalProtocolError as error:
            raise RemoteProtocolError("malformed", str(error)) from None
        if isinstance(body, MemberRecord) and body.owner != node_id(body.public_key):
            raise RemoteProtocolError("identity", "the owner is not the hash of the public key")
        state = self._fact_hash.copy()
        state.update(raw)
        return Fact(raw, body, int.from_bytes(state.digest(), "big"))

    def verify(self, fact: Fact, public_key: bytes) -> bool:
        """Whether `fact` was signed by `public_key`, and this is the key of the fact's owner."""
        body = fact.body
        if isinstance(body, MemberRecord) and body.public_key != public_key:
            return False
        signature, content = fact.raw[:SIGNATURE_BYTES], fact.raw[SIGNATURE_BYTES:]
        return self._verify(public_key, signature, self._fact_prefix + content, body.owner)

    def sign(self, data: bytes) -> bytes:
        """64 bytes over `data`, in a domain of its own (never valid as a fact)."""
        return self._private.sign(self._data_prefix + data)

    def check(self, public_key: bytes, signature: bytes, data: bytes) -> bool:
        """Whether `signature` is `sign(data)` by `public_key`, in this cluster."""
        return self._verify(public_key, signature, self._data_prefix + data, None)

    @property
    def authority(self) -> bytes:
        """The public key of the cluster's authority, 32 bytes; empty if there is none."""
        return self._authority

    def warrant(self, record: MemberRecord) -> Warrant | None:
        """What the authority has signed for this record's node; None if that is nothing."""
        return self.warranted(record.warrant, record.owner) if record.warrant else None

    def warranted(self, raw: bytes, node: NodeId) -> Warrant | None:
        """The same of a warrant's bytes."""
        try:
            warrant = read_warrant(raw)
        except RemoteProtocolError:
            return None
        if not self._authority:
            return None
        signed = by_authority(warrant.holder, warrant.name, warrant.expires)
        if not self._verify(self._authority, warrant.by_authority, self._grant_prefix + signed, None):
            return None
        if not warrant.is_invitation:
            return warrant if warrant.holder == node else None
        return warrant if self._verify(warrant.holder, warrant.by_holder, self.claim(node), None) else None

    def claim(self, node: NodeId) -> bytes:
        """What an invitation's own key signs: whose it is from now on."""
        return self._claim_prefix + node

    def grant(self, data: bytes) -> bytes:
        """64 bytes over `data`, as only an authority's key signs."""
        return self._private.sign(self._grant_prefix + data)

    def place(self, owner: NodeId, key: Key) -> int:
        """A 64-bit hash of (owner, key) alone: where the record stands in the buckets."""
        family, name = key
        state = self._place_hash.copy()
        state.update(owner + family.to_bytes(8, "big") + name.encode())
        return int.from_bytes(state.digest(), "big")

    def _verify(self, public_key: bytes, signature: bytes, data: bytes, owner: NodeId | None) -> bool:
        try:
            found, key = self._load(public_key)
            if owner is not None and owner != found:
                return False
            key.verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True

    def _load(self, public_key: bytes) -> tuple[NodeId, Ed25519PublicKey]:
        # Taken out and put back, so that the first of the dict is the one unused for longest.
        entry = self._keys.pop(public_key, None)
        if entry is None:
            entry = (node_id(public_key), Ed25519PublicKey.from_public_bytes(public_key))
            if len(self._keys) >= KEYS_CACHED:
                del self._keys[next(iter(self._keys))]
        self._keys[public_key] = entry
        return entry


def _read(content: bytes) -> Body:
    try:
        return _read_known(content)
    # UnicodeDecodeError is no msgspec error, and deep nesting a RecursionError.
    except (ValueError, RecursionError) as error:
        problem = error
    try:
        # If the kind is known after all, the record is malformed: `check_body` refuses the kind.
        return _read_opaque(content)
    except (ValueError, RecursionError):
        raise RemoteProtocolError("malformed", str(problem)) from None
