"""The authority's own hand: invitations and bans, made where its private key is, which need be no agent.

Its key pair is like a node's, and a ban is a fact like a node's, whose owner is the authority.
"""

from __future__ import annotations

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gossip.armour import INVITE, unwrap, wrap
from gossip.core.records import Ban, Fact, Warrant
from gossip.core.types import ID_BYTES, NodeId
from gossip.errors import CryptoError
from gossip.wire.bounds import check_invited_name
from gossip.wire.identity import SEED_BYTES, Identity
from gossip.wire.warrants import HOLDER_KEY_BYTES, by_authority, write_warrant

__all__ = ["Authority", "Token"]


class Token(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What `gossip invite` hands out: an invitation, and the key to use it with."""

    secret: bytes
    """The invitation's private key, 32 bytes; empty where the holder is a node."""
    holder: bytes
    name: str
    expires: int
    """Seconds since 1970."""
    by_authority: bytes

    def __repr__(self) -> str:
        return f"<invitation of {self.name or 'any name'} until {self.expires}>"

    def __str__(self) -> str:
        """As people copy it."""
        return wrap(INVITE, msgspec.msgpack.encode(self))

    @staticmethod
    def parse(text: str) -> Token:
        """The token of its text.

        Raises:
            CryptoError: if it is none; the message does not repeat it.
        """
        try:
            token = msgspec.msgpack.decode(unwrap(INVITE, text), type=Token)
        except (ValueError, RecursionError):
            raise CryptoError("this invitation is of another version of gossip, or damaged") from None
        lengths = len(token.secret), len(token.holder)
        if lengths not in ((0, ID_BYTES), (SEED_BYTES, HOLDER_KEY_BYTES)):
            raise CryptoError("this invitation is of another version of gossip, or damaged")
        return token

    def use(self, node: Identity) -> bytes:
        """The warrant that this becomes in the hands of `node`.

        Raises:
            CryptoError: if it is not by the authority of this node's cluster, or another node's.
        """
        if not self.secret and self.holder != node.id:
            raise CryptoError(
                f"this invitation is for the node {self.holder.hex()}, and this one is {node.id.hex()}"
            )
        claim = b""
        if self.secret:
            claim = Ed25519PrivateKey.from_private_bytes(self.secret).sign(node.claim(node.id))
        raw = write_warrant(Warrant(self.holder, self.name, self.expires, self.by_authority, claim))
        if node.warranted(raw, node.id) is None:
            raise CryptoError(
                "this invitation is not of the authority that is set here, or is for another cluster: set"
                " authority to the public key that `gossip ca init` printed, and the same cluster"
            )
        return raw


class Authority:
    """The private half of an authority.

    Args:
        seed: 32 random bytes.
        cluster: what it signs counts in the cluster of that name only.

    Raises:
        CryptoError: if `seed` is not 32 bytes.
    """

    def __init__(self, seed: bytes, cluster: str) -> None:
        self._identity = Identity(seed, cluster)

    @property
    def public_key(self) -> bytes:
        """32 bytes: the setting `authority` of every agent."""
        return self._identity.public_key

    def invite(self, secret: bytes, name: str, expires: int) -> Token:
        """An invitation for whoever uses it first; `secret` is 32 random bytes, used for nothing else.

        Raises:
            LimitError, LocalProtocolError: if the name can be no node's.
        """
        holder = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()
        return self._sign(secret, holder, name, expires)

    def vouch(self, node: NodeId, name: str, expires: int) -> Token:
        """An invitation for the node of this id, and for no other; raises as `invite`."""
        return self._sign(b"", node, name, expires)

    def ban(self, subject: NodeId, name: str, reason: str, version: int) -> Fact:
        """The signed record that bans `subject`; `version` is milliseconds since 1970.

        Raises:
            LimitError, LocalProtocolError: if a text is too long, or has a control character.
        """
        return self._identity.issue(Ban(self._identity.id, version, subject, name, reason))

    def _sign(self, secret: bytes, holder: bytes, name: str, expires: int) -> Token:
        check_invited_name(name)
        return Token(secret, holder, name, expires, self._identity.grant(by_authority(holder, name, expires)))
