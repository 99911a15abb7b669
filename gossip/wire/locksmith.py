"""Handing a cluster's key to one member, so that nobody else learns it.

Each node has an X25519 key pair (RFC 7748) that follows from its own key; its member record carries the
public half, signed with the rest. A key is wrapped for one recipient under what a fresh pair of the sender's
and the recipient's public key agree on: HKDF-SHA256 over both public keys, both ids and the cluster; then
AES-256-GCM-SIV. Whoever has the cluster's old key, and reads all that was ever sent, learns nothing of the
new one.

    box    the sender's fresh public key 32 | the key, sealed 32 + 16
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from gossip.core.keys import HeldKey
from gossip.core.records import MemberRecord
from gossip.core.types import NodeId
from gossip.errors import GossipError, LocalProtocolError, RemoteProtocolError
from gossip.wire.identity import node_id
from gossip.wire.keyring import SECRET_BYTES, KeyRing, mark_of

__all__ = ["BOX_BYTES", "RingLocksmith"]

_PUBLIC_BYTES: Final = 32
BOX_BYTES: Final = _PUBLIC_BYTES + SECRET_BYTES + 16
_NONCE: Final = bytes(12)
"""A key of the box's own is used once."""
_USE: Final = b"gossip key wrap 1\0"
_EXCHANGE: Final = b"gossip exchange 1\0"


class RingLocksmith:
    """A `core.keys.Locksmith` over a `KeyRing`.

    Args:
        seed: the node's private key, from which its exchange key follows.
        cluster: the cluster's name; what was wrapped in another is not opened.
    """

    def __init__(self, ring: KeyRing, seed: bytes, public_key: bytes, cluster: str) -> None:
        self.ring = ring
        derived = HKDFExpand(SHA256(), 32, _EXCHANGE).derive(hmac.digest(_EXCHANGE, seed, "sha256"))
        self._private = X25519PrivateKey.from_private_bytes(derived)
        self._exchange_key = self._private.public_key().public_bytes_raw()
        self._id = node_id(public_key)
        self._cluster = hashlib.blake2b(cluster.encode(), digest_size=32, person=b"gossip cluster").digest()

    @property
    def exchange_key(self) -> bytes:
        """32 bytes."""
        return self._exchange_key

    def held(self) -> tuple[HeldKey, ...]:
        """All keys, oldest first."""
        return self.ring.held()

    def use(self, mark: bytes) -> None:
        """See `KeyRing.use`."""
        self.ring.use(mark)

    def retire(self, mark: bytes) -> None:
        """See `KeyRing.retire`."""
        self.ring.retire(mark)

    def wrap(self, mark: bytes, recipient: MemberRecord) -> bytes:
        """This key, for nobody but the recipient to read.

        Raises:
            NotFoundError: if the key is not here.
            LocalProtocolError: if the recipient has no exchange key.
        """
        try:
            public = X25519PublicKey.from_public_bytes(recipient.exchange_key)
            fresh = X25519PrivateKey.generate()
            agreed = fresh.exchange(public)
        except ValueError:
            raise LocalProtocolError(f"{recipient.name} has no exchange key to wrap for") from None
        ephemeral = fresh.public_key().public_bytes_raw()
        aead = self._aead(agreed, ephemeral, recipient.exchange_key, self._id, recipient.owner)
        return ephemeral + aead.encrypt(_NONCE, self.ring.key(mark).secret, mark)

    def unwrap(
        self, box: bytes, mark: bytes, name: str, sender: MemberRecord, spare: Sequence[bytes] = ()
    ) -> None:
        """Take a key that was wrapped for this node; raises as `core.keys.Locksmith.unwrap`."""
        ephemeral, content = box[:_PUBLIC_BYTES], box[_PUBLIC_BYTES:]
        try:
            agreed = self._private.exchange(X25519PublicKey.from_public_bytes(ephemeral))
            aead = self._aead(agreed, ephemeral, self._exchange_key, sender.owner, self._id)
            secret = aead.decrypt(_NONCE, content, mark)
        except (ValueError, InvalidTag):
            raise RemoteProtocolError("key_refused", "it was not wrapped for this node") from None
        if mark_of(secret) != mark:
            raise RemoteProtocolError("key_refused", "it is not the key of that mark")
        taken = any(key.name == name for key in self.ring.held())
        try:
            self.ring.add(secret, "" if taken else name, handed=True, spare=spare)
        except GossipError as problem:
            raise RemoteProtocolError("key_refused", str(problem)) from None

    def _aead(
        self, agreed: bytes, ephemeral: bytes, recipient_key: bytes, sender: NodeId, recipient: NodeId
    ) -> AESGCMSIV:
        info = b"".join((_USE, ephemeral, recipient_key, sender, recipient))
        return AESGCMSIV(HKDF(SHA256(), 32, salt=self._cluster, info=info).derive(agreed))
