"""What travels: facts, each signed by the node that states it.

A *fact* is the very bytes that were signed (`raw`), what they say (`body`) and a 64-bit hash of
them. Facts are compared, stored and relayed as bytes; nobody re-encodes another's fact, so a
field that this version does not know survives its way through this node.

Making, reading and checking the bytes is the work of a `Notary`, given to core from outside:
`wire.identity` has the real one (msgpack, Ed25519), the simulator a stand-in of the same size.
"""

from __future__ import annotations

import functools
from typing import Annotated, Protocol, TypeAlias

import msgspec
from msgspec import Meta, Struct

from gossip.core.types import ID_BYTES, MAX_VERSION, Address, NodeId, Verdict

__all__ = [
    "KEY_MARK_BYTES",
    "MAX_CHECKS",
    "MAX_CHECK_ID_BYTES",
    "MAX_FACT_BYTES",
    "MAX_KEYS",
    "MAX_NAME_BYTES",
    "MAX_NOTE_BYTES",
    "MAX_PAYLOAD_BYTES",
    "MAX_REASON_BYTES",
    "MAX_TAGS_BYTES",
    "MAX_WARRANT_BYTES",
    "Accusation",
    "Ban",
    "Body",
    "Deletion",
    "EventRecord",
    "Fact",
    "Key",
    "KeyMark",
    "KeyRecord",
    "MemberRecord",
    "Notary",
    "Opaque",
    "ServiceRecord",
    "StatusRecord",
    "Warrant",
    "default_check_ids",
    "key_of",
]

MAX_FACT_BYTES = 1_100
"""A whole signed fact, so that it always fits a datagram of 1,200 bytes."""
MAX_NAME_BYTES = 64
MAX_TAGS_BYTES = 640
MAX_PAYLOAD_BYTES = 512
"""A user event's payload."""
MAX_CHECKS = 16
"""Checks of one service, or of a node."""
MAX_CHECK_ID_BYTES = 160
MAX_NOTE_BYTES = 128
"""The reason of a maintenance."""
MAX_KEYS = 8
"""Cluster keys that one node holds, retired ones included."""
KEY_MARK_BYTES = 16
"""Of the hash that names a cluster key."""
MAX_REASON_BYTES = 128
"""The reason of a ban."""
MAX_WARRANT_BYTES = 256
"""A warrant: two signatures, a key, a name and a time come to 247 bytes at most."""


@functools.lru_cache(maxsize=65_536)
def _address(host: str, port: int) -> Address:
    """One object for each address: every table of a process has it as a key."""
    return (host, port)


Id: TypeAlias = Annotated[bytes, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
Version: TypeAlias = Annotated[int, Meta(ge=1, le=MAX_VERSION)]
Short: TypeAlias = Annotated[str, Meta(max_length=MAX_NAME_BYTES)]
Host: TypeAlias = Annotated[str, Meta(max_length=45)]
Port: TypeAlias = Annotated[int, Meta(ge=0, le=65_535)]
Labels: TypeAlias = Annotated[dict[str, Annotated[str, Meta(max_length=512)]], Meta(max_length=64)]


class MemberRecord(Struct, frozen=True, array_like=True, tag=1, gc=False):
    """Who a node is, where it listens, and how far its other records count."""

    owner: Id
    version: Version
    """The incarnation."""
    public_key: Annotated[bytes, Meta(min_length=32, max_length=32)]
    exchange_key: Annotated[bytes, Meta(max_length=32)]
    """By which others wrap a cluster key for this node (X25519); empty if it takes none."""
    name: Short
    host: Host
    port: Port
    tags: Labels
    protocol_min: Annotated[int, Meta(ge=0, le=255)]
    protocol_max: Annotated[int, Meta(ge=0, le=255)]
    boot: int
    """Random 63 bits, new in every life: two lives of one key are told apart by it."""
    floor: Annotated[int, Meta(ge=0, le=MAX_VERSION)]
    """Other records of this owner with a version below it are void."""
    birth: Annotated[int, Meta(ge=0, le=MAX_VERSION)]
    """The first incarnation ever; settles who keeps a name."""
    phase: Annotated[int, Meta(ge=0, le=2)]
    ephemeral: bool
    """Has no disk: its identity ends with the process."""
    warrant: Annotated[bytes, Meta(max_length=MAX_WARRANT_BYTES)] = b""
    """The authority's word that this node may be a member (`Warrant`); empty where nobody asked for one."""

    @property
    def address(self) -> Address:
        return _address(self.host, self.port)


class ServiceRecord(Struct, frozen=True, array_like=True, tag=2, gc=False):
    """One instance of a service, on the node that owns the record."""

    owner: Id
    version: Version
    key: Short
    """The instance id, unique on its node."""
    name: Short
    host: Annotated[str, Meta(max_length=255)]
    """Empty: reachable at the node's own address."""
    port: Port
    tags: Annotated[tuple[Annotated[str, Meta(max_length=255)], ...], Meta(max_length=64)]
    meta: Labels
    weight: Annotated[int, Meta(ge=0, le=65_535)]
    checked: bool = False
    """It has health checks: until their status is held too, it counts as critical."""


class StatusRecord(Struct, frozen=True, array_like=True, tag=6, gc=False):
    """How the owner's checks find one of its services, or (empty key) the owner as a whole.

    A record of its own, so that a check that turns costs about 130 bytes of gossip and not the service's
    record again. One that says nothing takes the former one back.
    """

    owner: Id
    version: Version
    key: Short
    """The service's id."""
    checks: Annotated[tuple[tuple[Short, Annotated[int, Meta(ge=0, le=2)]], ...], Meta(max_length=MAX_CHECKS)]
    """(name, Verdict) of each check."""
    maintenance: bool
    """Its operator wants no calls to it."""
    note: Annotated[str, Meta(max_length=MAX_NOTE_BYTES)]
    """Why."""
    ids: Annotated[
        tuple[Annotated[str, Meta(max_length=MAX_CHECK_ID_BYTES)], ...], Meta(max_length=MAX_CHECKS)
    ] = ()
    """Id of each check, empty for the one that it has unless another was given; none if all have that."""

    @property
    def check_ids(self) -> tuple[str, ...]:
        """Id of each check, as its owner's agent knows it."""
        defaults = default_check_ids(self.key, len(self.checks))
        if len(self.ids) != len(defaults):
            return defaults
        return tuple(id or default for id, default in zip(self.ids, defaults, strict=True))

    @property
    def says_nothing(self) -> bool:
        return not (self.checks or self.maintenance)

    @property
    def verdict(self) -> Verdict:
        """The worst of the checks."""
        return Verdict(max((found for _, found in self.checks), default=Verdict.PASSING))


class Deletion(Struct, frozen=True, array_like=True, tag=3, gc=False):
    """The owner has taken the service of that key away."""

    owner: Id
    version: Version
    key: Short


class EventRecord(Struct, frozen=True, array_like=True, tag=4, gc=False):
    """A user event: a record with a short life, so that it cannot run twice."""

    owner: Id
    version: Version
    name: Short
    payload: Annotated[bytes, Meta(max_length=MAX_PAYLOAD_BYTES)]


class Accusation(Struct, frozen=True, array_like=True, tag=5, gc=False):
    """What `owner` says of `subject`; counted once per owner, believed by nobody unseen."""

    owner: Id
    subject: Id
    incarnation: Version
    kind: Annotated[int, Meta(ge=0, le=3)]


KeyMark: TypeAlias = Annotated[bytes, Meta(min_length=KEY_MARK_BYTES, max_length=KEY_MARK_BYTES)]


class KeyRecord(Struct, frozen=True, array_like=True, tag=7, gc=False):
    """Which cluster keys a node holds, and the change of keys that it takes part in.

    What it says is on the node's disk already: others may rely on it to read what is sealed under them.
    """

    owner: Id
    version: Version
    key: Annotated[str, Meta(max_length=0)]
    """Always empty: a node has one such record."""
    epoch: Annotated[int, Meta(ge=0, le=MAX_VERSION)]
    """Numbers the changes of keys; 0: there was none."""
    target: Annotated[bytes, Meta(max_length=KEY_MARK_BYTES)]
    """The mark of the key that this change is to; empty if there was none."""
    insists: bool
    """The operator does not want to wait for members that are away."""
    keys: Annotated[
        tuple[tuple[KeyMark, Annotated[int, Meta(ge=0, le=2)]], ...],
        Meta(max_length=MAX_KEYS),
    ]
    """(mark, `keys.KeyState`) of each."""


class Ban(Struct, frozen=True, array_like=True, tag=8, gc=False):
    """The authority's word that a node is no member, and never will be. Its owner is the authority's id."""

    owner: Id
    version: Version
    """Milliseconds since 1970 when it was signed."""
    subject: Id
    name: Annotated[str, Meta(max_length=MAX_NAME_BYTES)]
    """What the subject called itself: for people."""
    reason: Annotated[str, Meta(max_length=MAX_REASON_BYTES)]


class Warrant(Struct, frozen=True, array_like=True, gc=False):
    """What a member record carries of the authority: an invitation, and whose it has become.

    The authority signs `holder`, `name` and `expires`. The holder is a node's id, and that is all; or the
    public key of an invitation, whose private key has signed the id of the node that used it.
    """

    holder: Annotated[bytes, Meta(min_length=ID_BYTES, max_length=32)]
    name: Annotated[str, Meta(max_length=MAX_NAME_BYTES)]
    """The name that it is for; empty: any."""
    expires: Annotated[int, Meta(ge=1, le=MAX_VERSION // 1_000)]
    """Seconds since 1970: who is born later cannot use it."""
    by_authority: Annotated[bytes, Meta(min_length=64, max_length=64)]
    by_holder: Annotated[bytes, Meta(max_length=64)]
    """Empty where the holder is a node."""

    @property
    def is_invitation(self) -> bool:
        """Whether somebody had to be the first to use it."""
        return len(self.holder) != ID_BYTES


class Opaque(Struct, frozen=True, array_like=True, gc=False):
    """A record of a kind this version does not know: kept, relayed and fingerprinted unread."""

    kind: int
    owner: Id
    version: Version
    key: Short


Body: TypeAlias = (
    MemberRecord
    | ServiceRecord
    | StatusRecord
    | Deletion
    | EventRecord
    | Accusation
    | KeyRecord
    | Ban
    | Opaque
)
Key: TypeAlias = tuple[int, str]
"""What a record is about, within its owner: (family, key). A deletion has its service's key."""


class Fact(msgspec.Struct, frozen=True, gc=False):
    """Signed bytes, what they say, and their 64-bit hash."""

    raw: bytes
    body: Body
    hash: int


def key_of(
    body: ServiceRecord | StatusRecord | Deletion | MemberRecord | EventRecord | KeyRecord | Ban | Opaque,
) -> Key:
    """The slot this record competes for; the newest version of an owner's key wins."""
    if isinstance(body, MemberRecord):
        return (1, "")
    if isinstance(body, ServiceRecord | Deletion):
        return (2, body.key)
    if isinstance(body, StatusRecord):
        return (6, body.key)
    if isinstance(body, EventRecord):
        return (4, str(body.version))
    if isinstance(body, KeyRecord):
        return (7, "")
    if isinstance(body, Ban):
        return (8, body.subject.hex())
    return (body.kind, body.key)


def default_check_ids(service: str, count: int) -> tuple[str, ...]:
    """Ids of so many checks of a service (or, if empty, of the node) to which none were given."""
    stem = f"service:{service}" if service else "node"
    return (stem,) if count == 1 else tuple(f"{stem}:{number}" for number in range(1, count + 1))


class Notary(Protocol):
    """Makes and checks facts for one node. Pure: the same input gives the same answer."""

    @property
    def id(self) -> NodeId:
        """This node's id: the hash of its public key."""

    @property
    def public_key(self) -> bytes:
        """32 bytes."""

    def issue(self, body: Body) -> Fact:
        """Encode and sign what this node says.

        Raises:
            LimitError: if the result is over `MAX_FACT_BYTES`.
        """

    def parse(self, raw: bytes) -> Fact:
        """Read a fact without checking its signature (one lookup may make the check needless).

        Raises:
            RemoteProtocolError: if the bytes are no fact, or a bound is broken.
        """

    def verify(self, fact: Fact, public_key: bytes) -> bool:
        """Whether `fact` was signed by `public_key`. A member record is also checked to own its id."""

    def sign(self, data: bytes) -> bytes:
        """64 bytes over `data`, in a domain of its own (never valid as a fact)."""

    def check(self, public_key: bytes, signature: bytes, data: bytes) -> bool:
        """Whether `signature` is `sign(data)` by `public_key`."""

    @property
    def authority(self) -> bytes:
        """The public key of the cluster's authority, 32 bytes; empty if there is none."""

    def warrant(self, record: MemberRecord) -> Warrant | None:
        """What the authority has signed for this record's node; None if that is nothing."""

    def place(self, owner: NodeId, key: Key) -> int:
        """A 64-bit hash of (owner, key) alone: where the record stands in the buckets."""
