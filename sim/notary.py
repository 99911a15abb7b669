"""A stand-in for signatures: facts of the real layout and size, with a keyed hash for Ed25519.

Signing and checking cost a hundredth, and one parsed `Fact` is shared by all nodes of a world, so that
thousands of nodes fit in memory. A forger is caught as before: the hash is keyed with the signer's
secret, which only its `StandIn` and the world's `Archive` hold. Whatever else a fact must be is
checked by the real code.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec

from gossip.core.records import (
    MAX_FACT_BYTES,
    Ban,
    Body,
    Fact,
    Key,
    MemberRecord,
    Notary,
    Opaque,
    Warrant,
)
from gossip.core.types import NodeId
from gossip.errors import LimitError, LocalProtocolError, RemoteProtocolError
from gossip.wire.bounds import check_body
from gossip.wire.identity import SEED_BYTES, SIGNATURE_BYTES, Identity, node_id
from gossip.wire.warrants import by_authority, read_warrant, write_warrant

__all__ = ["Archive", "AuthorityStandIn", "Counted", "Signer", "StandIn"]

_write = msgspec.msgpack.Encoder().encode


class Signer(Notary, Protocol):
    """A notary that counts what would cost a real one time."""

    checks: int
    """Signatures checked so far."""
    signs: int
    """Signatures made so far."""


class Archive:
    """What the stand-ins of one world share: the secrets to check with, and every fact once.

    At most `limit` facts are kept; beyond it the oldest are parsed and checked again when they come
    up, which costs time and changes nothing.
    """

    __slots__ = ("_facts", "_limit", "_proven", "_reader", "_secrets", "authority")

    def __init__(self, cluster: str, limit: int = 1 << 20) -> None:
        self._reader = Identity(bytes(SEED_BYTES), cluster)
        self._secrets: dict[bytes, bytes] = {}
        self._facts: dict[bytes, Fact] = {}
        self._proven: dict[bytes, bytes] = {}
        self._limit = limit
        self.authority = b""
        """The public key of the world's authority; empty if there is none."""

    def __len__(self) -> int:
        return len(self._facts)

    def admit(self, public_key: bytes, secret: bytes) -> None:
        """Signatures of this key can be checked from now on."""
        self._secrets[public_key] = secret

    def parse(self, raw: bytes) -> Fact:
        """The one `Fact` of these bytes; raises as `Identity.parse`."""
        fact = self._facts.get(raw)
        if fact is None:
            fact = self._reader.parse(raw)
            if len(self._facts) >= self._limit:
                oldest = next(iter(self._facts))
                del self._facts[oldest]
                self._proven.pop(oldest, None)
            self._facts[fact.raw] = fact
        return fact

    def proves(self, fact: Fact, public_key: bytes) -> bool:
        """Whether the fact was signed by this key, and this is the key of its owner."""
        if self._proven.get(fact.raw) == public_key:
            return True
        body = fact.body
        if isinstance(body, MemberRecord) and body.public_key != public_key:
            return False
        content = fact.raw[SIGNATURE_BYTES:]
        if body.owner != node_id(public_key):
            return False
        if not self.signed(b"fact", public_key, fact.raw[:SIGNATURE_BYTES], content):
            return False
        if fact.raw in self._facts:
            self._proven[fact.raw] = public_key
        return True

    def signed(self, use: bytes, public_key: bytes, signature: bytes, data: bytes) -> bool:
        """Whether `signature` is what the holder of `public_key` makes for `data` and this use."""
        secret = self._secrets.get(public_key)
        return secret is not None and mark(secret, use, data) == signature

    def warranted(self, raw: bytes, node: NodeId) -> Warrant | None:
        """As `Identity.warranted`."""
        try:
            warrant = read_warrant(raw)
        except RemoteProtocolError:
            return None
        said = by_authority(warrant.holder, warrant.name, warrant.expires)
        if not self.signed(b"grant", self.authority, warrant.by_authority, said):
            return None
        if not warrant.is_invitation:
            return warrant if warrant.holder == node else None
        return warrant if self.signed(b"claim", warrant.holder, warrant.by_holder, node) else None

    def place(self, owner: NodeId, key: Key) -> int:
        return self._reader.place(owner, key)


class StandIn:
    """A `core.records.Notary` whose signatures only the world's `Archive` can check.

    Args:
        secret: 32 bytes; the same secret is the same node.
        archive: shared by all nodes of the world.
    """

    __slots__ = ("_archive", "_id", "_public_key", "_secret", "checks", "signs")

    def __init__(self, secret: bytes, archive: Archive) -> None:
        self._secret = secret
        self._public_key = hashlib.blake2b(secret, digest_size=32, person=b"sim public key").digest()
        self._id = node_id(self._public_key)
        self._archive = archive
        self.checks = self.signs = 0
        archive.admit(self._public_key, secret)

    @property
    def id(self) -> NodeId:
        return self._id

    @property
    def public_key(self) -> bytes:
        return self._public_key

    def issue(self, body: Body) -> Fact:
        """As `Identity.issue`, with the same limits and errors."""
        if body.owner != self._id:
            raise LocalProtocolError("a node signs only what it says itself")
        if isinstance(body, Opaque):
            raise LocalProtocolError("a record of an unknown kind cannot be made here")
        check_body(body)
        content = _write(body)
        size = SIGNATURE_BYTES + len(content)
        if size > MAX_FACT_BYTES:
            raise LimitError(f"the signed record is {size} bytes; the limit is {MAX_FACT_BYTES}")
        self.signs += 1
        try:
            return self._archive.parse(mark(self._secret, b"fact", content) + content)
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"nobody would accept this record: {error.detail}") from error

    def parse(self, raw: bytes) -> Fact:
        return self._archive.parse(raw)

    def verify(self, fact: Fact, public_key: bytes) -> bool:
        self.checks += 1
        return self._archive.proves(fact, public_key)

    def sign(self, data: bytes) -> bytes:
        self.signs += 1
        return mark(self._secret, b"data", data)

    def check(self, public_key: bytes, signature: bytes, data: bytes) -> bool:
        self.checks += 1
        return self._archive.signed(b"data", public_key, signature, data)

    @property
    def authority(self) -> bytes:
        return self._archive.authority

    def warrant(self, record: MemberRecord) -> Warrant | None:
        if not record.warrant:
            return None
        self.checks += 2
        return self._archive.warranted(record.warrant, record.owner)

    def place(self, owner: NodeId, key: Key) -> int:
        return self._archive.place(owner, key)


class AuthorityStandIn:
    """The authority of a world: invites and bans, with stand-in signatures."""

    def __init__(self, secret: bytes, archive: Archive) -> None:
        self._secret = secret
        self._notary = StandIn(secret, archive)
        self._archive = archive
        archive.authority = self._notary.public_key

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return self._notary.public_key

    def invite(self, node: NodeId, secret: bytes, *, name: str = "", expires: int = 1 << 40) -> bytes:
        """The warrant that an invitation becomes in the hands of `node`; one `secret` is one invitation."""
        holder = StandIn(secret, self._archive)
        return self._warrant(holder.public_key, name, expires, mark(secret, b"claim", node))

    def vouch(self, node: NodeId, *, name: str = "", expires: int = 1 << 40) -> bytes:
        """A warrant for the node of this id."""
        return self._warrant(node, name, expires, b"")

    def ban(self, subject: NodeId, *, version: int, name: str = "", reason: str = "") -> Fact:
        """The signed record that bans `subject`."""
        return self._notary.issue(Ban(self._notary.id, version, subject, name, reason))

    def _warrant(self, holder: bytes, name: str, expires: int, claim: bytes) -> bytes:
        grant = mark(self._secret, b"grant", by_authority(holder, name, expires))
        return write_warrant(Warrant(holder, name, expires, grant, claim))


class Counted(Identity):
    """The real notary, counting."""

    def __init__(self, seed: bytes, cluster: str, authority: bytes = b"") -> None:
        super().__init__(seed, cluster, authority)
        self.checks = self.signs = 0

    def issue(self, body: Body) -> Fact:
        self.signs += 1
        return super().issue(body)

    def verify(self, fact: Fact, public_key: bytes) -> bool:
        self.checks += 1
        return super().verify(fact, public_key)

    def sign(self, data: bytes) -> bytes:
        self.signs += 1
        return super().sign(data)

    def check(self, public_key: bytes, signature: bytes, data: bytes) -> bool:
        self.checks += 1
        return super().check(public_key, signature, data)

    def warrant(self, record: MemberRecord) -> Warrant | None:
        self.checks += 2 * bool(record.warrant)
        return super().warrant(record)


def mark(secret: bytes, use: bytes, data: bytes) -> bytes:
    """The stand-in signature: 64 bytes that nobody makes without the secret."""
    return hashlib.blake2b(data, digest_size=SIGNATURE_BYTES, key=secret, person=use).digest()
