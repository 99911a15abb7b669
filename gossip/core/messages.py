"""What nodes say to one another: in datagrams, and as the frames of a stream.

Facts ride inside as the bytes that were signed (`news`). Fields may be added at the end of a
message: a reader ignores trailing fields that it does not know. Field order is the wire order.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from gossip.core.records import MAX_KEYS, Host, Id, KeyMark, Port, Short

__all__ = [
    "GRANT_BANS_MAX",
    "LIFE_MAX",
    "Ack",
    "Busy",
    "DialBack",
    "DialledBack",
    "Frame",
    "FullPing",
    "Gossip",
    "Hello",
    "KeyAsk",
    "KeyGrant",
    "Listing",
    "Message",
    "NotMe",
    "Offer",
    "Packet",
    "Page",
    "Ping",
    "PingRequest",
    "Report",
    "Turned",
    "Used",
    "Verdict",
]

Seq: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Mark: TypeAlias = Annotated[bytes, Meta(min_length=8, max_length=8)]
"""A fingerprint: 8 bytes, big endian."""
Position: TypeAlias = Annotated[bytes, Meta(max_length=64)]
"""A network coordinate (`core.coordinates`), or empty."""
Raw: TypeAlias = Annotated[bytes, Meta(min_length=65, max_length=1_100)]
News: TypeAlias = Annotated[tuple[Raw, ...], Meta(max_length=64)]
Target: TypeAlias = tuple[Host, Port]
LIFE_MAX = 2**63 - 1
GRANT_BANS_MAX = 256
Life: TypeAlias = Annotated[int, Meta(ge=0, le=LIFE_MAX)]
"""The `boot` of whom a message is meant for, as its sender knows it; 0 if it does not. What was recorded
before a node's present life is told by it: windows say nothing of sessions that were never met."""
Way: TypeAlias = Annotated[int, Meta(ge=0, le=8)]
"""A `types.Reach`."""


class Ping(Struct, frozen=True, array_like=True, tag=1, gc=False):
    """Are you there? Only the node `target` may answer; another says `NotMe`."""

    seq: Seq
    sender: Id
    target: Id
    address: Target
    """Where this was sent, so that an ack proves that address and no other."""
    view: Mark
    position: Position
    news: News
    life: Life = 0


class FullPing(Ping, frozen=True, array_like=True, tag=1, gc=False):
    """A ping as long as the longest datagram, to learn whether such a one arrives.

    On the wire it is a ping with a field that readers do not know, which they ignore; none reads it as this.
    """

    padding: bytes = b""


class Ack(Struct, frozen=True, array_like=True, tag=2, gc=False):
    """I am. Bound to the ping by sequence, sender and address."""

    seq: Seq
    sender: Id
    address: Target
    view: Mark
    position: Position
    news: News
    life: Life = 0


class PingRequest(Struct, frozen=True, array_like=True, tag=3, gc=False):
    """Please ping `target` at `address` for me and report within `patience_ms`."""

    seq: Seq
    sender: Id
    target: Id
    address: Target
    patience_ms: Annotated[int, Meta(ge=1, le=60_000)]
    life: Life = 0


class Report(Struct, frozen=True, array_like=True, tag=4, gc=False):
    """A helper's answer to `PingRequest`; `outcome` is a `types.Outcome`."""

    seq: Seq
    sender: Id
    outcome: Annotated[int, Meta(ge=0, le=3)]
    life: Life = 0


class NotMe(Struct, frozen=True, array_like=True, tag=5, gc=False):
    """The one you pinged is not here; I am. Signed over (seq, target, address)."""

    seq: Seq
    address: Target
    record: Raw
    """The signer's own member record, which must advertise `address`."""
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


class Gossip(Struct, frozen=True, array_like=True, tag=6, gc=False):
    """News, and nothing else."""

    sender: Id
    news: News
    life: Life = 0


class Hello(Struct, frozen=True, array_like=True, tag=16, gc=False):
    """Opens a repair: who I am, and my view in 256 buckets."""

    sender: Id
    record: Raw
    joining: bool
    view: Mark
    buckets: Annotated[bytes, Meta(min_length=2_048, max_length=2_048)]
    keys: Annotated[tuple[KeyMark, ...], Meta(max_length=MAX_KEYS)] = ()
    """Marks of the cluster keys by which the sender can be answered."""


class Listing(Struct, frozen=True, array_like=True, tag=17, gc=False):
    """The buckets that differ, each as the hashes of what the sender holds in it.

    `split` buckets are too long to list: they come as 256 fingerprints of their own, and are
    listed in the answer's own `Listing`.
    """

    sender: Id
    record: Raw
    view: Mark
    buckets: Annotated[
        tuple[
            tuple[
                Annotated[int, Meta(ge=0, le=65_535 + 256)],
                Annotated[bytes, Meta(max_length=65_536)],
                Annotated[bytes, Meta(max_length=65_536)],
            ],
            ...,
        ],
        Meta(max_length=65_792),
    ]
    """(bucket, hashes of live records, hashes of hidden ones and tombstones): 8 bytes each."""
    split: Annotated[
        tuple[
            tuple[
                Annotated[int, Meta(ge=0, le=255)], Annotated[bytes, Meta(min_length=2_048, max_length=2_048)]
            ],
            ...,
        ],
        Meta(max_length=256),
    ]


class Offer(Struct, frozen=True, array_like=True, tag=18, gc=False):
    """What I want of your listing, and what I have that is not in it."""

    wants: Annotated[bytes, Meta(max_length=524_288)]
    """8-byte record hashes."""
    haves: Annotated[tuple[tuple[Mark, int, Mark], ...], Meta(max_length=40_000)]
    """(place hash, version, record hash) of records that the listing lacks."""
    accuse: Annotated[tuple[Id, ...], Meta(max_length=16_384)]
    """Members live with me and hidden with you: send what you hold against them."""
    graves: Annotated[tuple[tuple[Mark, int, Mark], ...], Meta(max_length=40_000)] = ()
    """As `haves`, of members that are dead or left here: of use only to who holds something older."""


class Page(Struct, frozen=True, array_like=True, tag=19, gc=False):
    """Facts. `wants` (8-byte hashes) asks for what an `Offer` named; `last` ends the transfer."""

    news: Annotated[tuple[Raw, ...], Meta(max_length=8_192)]
    wants: Annotated[bytes, Meta(max_length=524_288)]
    last: bool


class Busy(Struct, frozen=True, array_like=True, tag=20, gc=False):
    """Too many streams here: try again after `delay_ms`, or ask one of these."""

    delay_ms: Annotated[int, Meta(ge=0, le=600_000)]
    others: Annotated[tuple[Target, ...], Meta(max_length=3)]


class Verdict(Struct, frozen=True, array_like=True, tag=21, gc=False):
    """To a joiner: whether its advertised address answered, and where it was seen from."""

    reached: bool
    degraded: bool
    address: Target
    seen: Target


class Turned(Struct, frozen=True, array_like=True, tag=22, gc=False):
    """I will not talk to you, for this reason; the stream ends."""

    reason: Annotated[str, Meta(max_length=256)]


class DialBack(Struct, frozen=True, array_like=True, tag=23, gc=False):
    """Please try to reach me, where my own record says that I am, and tell me what came of it."""

    sender: Id
    record: Raw
    patience_ms: Annotated[int, Meta(ge=1, le=10_000)]


class DialledBack(Struct, frozen=True, array_like=True, tag=24, gc=False):
    """The answer to a `DialBack`. Each of the three ways ended in a `types.Reach`."""

    address: Target
    """Where the sender of this tried."""
    seen: Target
    """Where it saw the request come from."""
    small: Way
    full: Way
    stream: Way
    heard: bool
    """Whether a datagram of the asker's arrived there meanwhile."""


class KeyAsk(Struct, frozen=True, array_like=True, tag=25, gc=False):
    """Please hand me the cluster key of this mark."""

    sender: Id
    record: Raw
    mark: KeyMark


class KeyGrant(Struct, frozen=True, array_like=True, tag=26, gc=False):
    """A cluster key, wrapped for one node. Signed over (recipient, mark, name, box)."""

    record: Raw
    """The member record of who wrapped it."""
    recipient: Id
    mark: KeyMark
    name: Short
    box: Annotated[bytes, Meta(max_length=128)]
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]
    bans: Annotated[tuple[Raw, ...], Meta(max_length=GRANT_BANS_MAX)] = ()
    """The authority's words on who is not to have it, each signed by the authority."""


class Used(Struct, frozen=True, array_like=True, tag=27, gc=False):
    """To a joiner: invitations that are used up by nodes that it will not hear of any more.

    Signed over (recipient, holders) by who is called: a recorded record makes nobody that member.
    """

    recipient: Id
    holders: Annotated[
        tuple[tuple[Annotated[bytes, Meta(min_length=17, max_length=32)], Id], ...], Meta(max_length=8_192)
    ]
    """The holder of each, as its warrant names it, and the node that used it."""
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]


Packet: TypeAlias = Ping | Ack | PingRequest | Report | NotMe | Gossip
"""What may be a datagram."""
Frame: TypeAlias = (
    Hello
    | Listing
    | Offer
    | Page
    | Busy
    | Verdict
    | Turned
    | DialBack
    | DialledBack
    | KeyAsk
    | KeyGrant
    | Used
    | Ping
    | Ack
    | Gossip
)
"""What may be a frame of a stream."""
Message: TypeAlias = Packet | Frame
