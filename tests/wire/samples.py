"""Messages and records to test with: strategies for any, and one of each by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import pytest
from hypothesis import strategies as st

from gossip.core.messages import (
    Ack,
    Busy,
    DialBack,
    DialledBack,
    Gossip,
    Hello,
    KeyAsk,
    KeyGrant,
    Listing,
    NotMe,
    Offer,
    Page,
    Ping,
    PingRequest,
    Report,
    Turned,
    Used,
    Verdict,
)
from gossip.core.records import Accusation, Deletion, EventRecord, MemberRecord, ServiceRecord, StatusRecord
from gossip.core.types import MAX_VERSION
from gossip.errors import LimitError, RemoteProtocolError
from gossip.wire import REASONS
from gossip.wire.bounds import host_problem, is_printable
from gossip.wire.identity import Identity

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from gossip.core.messages import Frame, Packet
    from gossip.core.records import Body, Fact

ALICE: Final = Identity(bytes(range(32)), "test")
BOB: Final = Identity(bytes(range(1, 33)), "test")
NOW: Final = 1_795_219_200_000


def member(**changes: object) -> MemberRecord:
    """Alice's member record."""
    record = MemberRecord(
        owner=ALICE.id,
        version=NOW,
        public_key=ALICE.public_key,
        exchange_key=b"",
        name="alice",
        host="10.0.0.1",
        port=7946,
        tags={"zone": "a"},
        protocol_min=1,
        protocol_max=1,
        boot=2**62 + 1,
        floor=NOW - 1,
        birth=NOW - 2,
        phase=0,
        ephemeral=False,
    )
    return msgspec.structs.replace(record, **changes)


def service(**changes: object) -> ServiceRecord:
    """A service of Alice's."""
    record = ServiceRecord(
        owner=ALICE.id,
        version=NOW,
        key="web-1",
        name="web",
        host="",
        port=8080,
        tags=("http", "v2"),
        meta={"path": "/health"},
        weight=100,
    )
    return msgspec.structs.replace(record, **changes)


BODIES: Final[tuple[Body, ...]] = (
    member(),
    service(),
    Deletion(ALICE.id, NOW, "web-1"),
    EventRecord(ALICE.id, NOW, "deploy", b"\x00v2"),
    Accusation(ALICE.id, BOB.id, NOW, 1),
    StatusRecord(ALICE.id, NOW, "web-1", (("http", 2), ("disk", 0)), False, ""),
)
FACTS: Final[tuple[Fact, ...]] = tuple(ALICE.issue(body) for body in BODIES)

# ------------------------------------------------------------------------------------- strategies

ids = st.binary(min_size=16, max_size=16)
versions = st.integers(1, MAX_VERSION)
marks = st.binary(min_size=8, max_size=8)
seqs = st.integers(0, 2**63 - 1)
positions = st.binary(max_size=64)
raws = st.binary(min_size=65, max_size=1_100)
hosts = st.ip_addresses().map(str).filter(lambda host: not host_problem(host))
ports = st.integers(1, 65_535)
targets = st.tuples(hosts, ports)
# Up to 20 or up to 300 bytes each, and always within what a datagram may bring.
news = st.one_of(
    st.lists(st.binary(min_size=65, max_size=90), max_size=20).map(tuple),
    st.lists(st.binary(min_size=65, max_size=300), max_size=5).map(tuple),
)
hashes = st.integers(0, 40).map(lambda count: bytes(range(8)) * count)
buckets = st.just(bytes(range(256)) * 8)

pings = st.builds(
    Ping, seq=seqs, sender=ids, target=ids, address=targets, view=marks, position=positions, news=news
)
acks = st.builds(Ack, seq=seqs, sender=ids, address=targets, view=marks, position=positions, news=news)
gossips = st.builds(Gossip, sender=ids, news=news)
packets: st.SearchStrategy[Packet] = st.one_of(
    pings,
    acks,
    gossips,
    st.builds(
        PingRequest,
        seq=seqs,
        sender=ids,
        target=ids,
        address=targets,
        patience_ms=st.integers(1, 60_000),
    ),
    st.builds(Report, seq=seqs, sender=ids, outcome=st.integers(0, 3)),
    st.builds(NotMe, seq=seqs, address=targets, record=raws, signature=st.binary(min_size=64, max_size=64)),
)
frames: st.SearchStrategy[Frame] = st.one_of(
    pings,
    acks,
    st.builds(Hello, sender=ids, record=raws, joining=st.booleans(), view=marks, buckets=buckets),
    st.builds(
        Listing,
        sender=ids,
        record=raws,
        view=marks,
        buckets=st.lists(st.tuples(st.integers(0, 65_791), hashes, hashes), max_size=5).map(tuple),
        split=st.lists(st.tuples(st.integers(0, 255), buckets), max_size=2).map(tuple),
    ),
    st.builds(
        Offer,
        wants=hashes,
        haves=st.lists(st.tuples(marks, versions, marks), max_size=5).map(tuple),
        accuse=st.lists(ids, max_size=5).map(tuple),
    ),
    st.builds(Page, news=news, wants=hashes, last=st.booleans()),
    st.builds(Busy, delay_ms=st.integers(0, 600_000), others=st.lists(targets, max_size=3).map(tuple)),
    st.builds(Verdict, reached=st.booleans(), degraded=st.booleans(), address=targets, seen=targets),
    st.builds(DialBack, sender=ids, record=raws, patience_ms=st.integers(1, 10_000)),
    st.builds(
        DialledBack,
        address=targets,
        seen=targets,
        small=st.integers(0, 8),
        full=st.integers(0, 8),
        stream=st.integers(0, 8),
        heard=st.booleans(),
    ),
    st.builds(Turned, reason=st.text(max_size=256).filter(is_printable)),
    st.builds(KeyAsk, sender=ids, record=raws, mark=ids),
    st.builds(
        KeyGrant,
        record=raws,
        recipient=ids,
        mark=ids,
        name=st.text("key-1", min_size=1, max_size=9),
        box=st.binary(max_size=128),
        signature=st.binary(min_size=64, max_size=64),
        bans=st.lists(raws, max_size=2).map(tuple),
    ),
    st.builds(
        Used,
        recipient=ids,
        holders=st.lists(st.tuples(st.binary(min_size=32, max_size=32), ids), max_size=4).map(tuple),
        signature=st.binary(min_size=64, max_size=64),
    ),
)

_characters = st.characters(codec="utf-8", exclude_categories=["C", "Z"])


def texts(limit: int) -> st.SearchStrategy[str]:
    """Printable text of 1 to `limit` bytes in UTF-8."""
    return st.text(_characters, min_size=1, max_size=limit).filter(lambda text: len(text.encode()) <= limit)


labels = st.dictionaries(texts(12), texts(40) | st.just(""), max_size=5)
bodies: st.SearchStrategy[Body] = st.one_of(
    st.builds(
        member,
        version=st.integers(NOW, MAX_VERSION),
        exchange_key=st.binary(max_size=32),
        name=texts(64),
        host=hosts,
        port=ports,
        tags=labels,
        protocol_max=st.integers(1, 255),
        boot=st.integers(0, 2**63 - 1),
        floor=st.integers(0, NOW),
        birth=st.integers(0, NOW),
        phase=st.integers(0, 2),
        ephemeral=st.booleans(),
    ),
    st.builds(
        service,
        version=versions,
        key=texts(64),
        name=texts(64),
        host=texts(100) | st.just(""),
        port=ports,
        tags=st.lists(texts(30), max_size=5).map(tuple),
        meta=labels,
        weight=st.integers(0, 65_535),
        checked=st.booleans(),
    ),
    st.builds(
        StatusRecord,
        owner=st.just(ALICE.id),
        version=versions,
        key=texts(64) | st.just(""),
        checks=st.dictionaries(texts(30), st.integers(0, 2), max_size=6).map(
            lambda found: tuple(found.items())
        ),
        maintenance=st.booleans(),
        note=texts(128) | st.just(""),
    ),
    st.builds(Deletion, owner=st.just(ALICE.id), version=versions, key=texts(64)),
    st.builds(
        EventRecord,
        owner=st.just(ALICE.id),
        version=versions,
        name=texts(64),
        payload=st.binary(max_size=512),
    ),
    st.builds(Accusation, owner=st.just(ALICE.id), subject=ids, incarnation=versions, kind=st.integers(0, 3)),
)

# -------------------------------------------------------------------------------- hostile material

HOSTILE: Final[tuple[bytes, ...]] = (
    b"",
    b"\x00",
    b"\xc0",
    b"\xc1",
    b"\x90",
    b"\x91",
    b"\x91\xc3",
    b"\x91\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\x80",
    b"\x81\x01\x01",
    b"\x91\xa1\xff",
    b"\x91\xff",
    b"\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xdd\xff\xff\xff\xff\x01",
    b"\xdf\xff\xff\xff\xff\x01",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\x92\x06\xc6\xff\xff\xff\xff",
    b"\x93\x06\xc4\x10" + bytes(16) + b"\xdd\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    b"\xd6\xff\x00\x00\x00\x00",
    b"\x91" * 900,
    b"\x91" * 1_000 + b"\x01",
    b"\x92\x06" + b"\x91" * 1_000 + b"\xc0",
    b"\x92\x07" + b"\x81\x01" * 450 + b"\xc0",
)
"""Bodies that are no message and no fact: huge lengths, deep nesting, NaN, other types, bad text."""


def refusal(function: Callable[[bytes], object], data: bytes) -> str:
    """The reason why `data` is refused, or "" if it is not. Any other exception fails the test."""
    reason = ""
    try:
        function(data)
    except RemoteProtocolError as error:
        reason = error.reason
    assert not reason or reason in REASONS
    return reason


def limit_of(function: Callable[[], object]) -> str:
    """The message of the `LimitError` that the call raises."""
    with pytest.raises(LimitError) as caught:
        function()
    return str(caught.value)


def mutate(data: bytes, rng: random.Random) -> bytes:
    """`data` with a few bytes changed, cut, doubled or put in."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(result) + 1)
        match rng.randrange(5):
            case 0 if result:
                result[at % len(result)] = rng.randrange(256)
            case 1 if result:
                result[at % len(result)] ^= 1 << rng.randrange(8)
            case 2:
                del result[at:]
            case 3:
                result[at:at] = result[at : at + rng.randrange(40)]
            case _:
                result[at:at] = rng.randbytes(rng.randrange(1, 5))
    return bytes(result)
