"""Facts: who says what, that nobody else could have said it, and what no node may say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.core.records import (
    MAX_FACT_BYTES,
    Accusation,
    Body,
    Deletion,
    EventRecord,
    Fact,
    MemberRecord,
    Notary,
    Opaque,
    StatusRecord,
    key_of,
)
from gossip.core.types import MAX_VERSION
from gossip.errors import CryptoError, LocalProtocolError, RemoteProtocolError
from gossip.wire import identity
from gossip.wire.identity import SIGNATURE_BYTES, Identity, node_id
from tests.wire.samples import (
    ALICE,
    BOB,
    FACTS,
    HOSTILE,
    NOW,
    bodies,
    hosts,
    limit_of,
    member,
    mutate,
    refusal,
    service,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

MEMBER, SERVICE, *_ = FACTS


def fact_of(*items: object) -> bytes:
    """A fact's bytes with these items, under a signature that nobody has checked yet."""
    data: bytes = msgpack.packb(list(items))
    return bytes(SIGNATURE_BYTES) + data


def items_of(fact: Fact) -> list[object]:
    items: list[object] = msgpack.unpackb(fact.raw[SIGNATURE_BYTES:])
    return items


def with_item(fact: Fact, at: int, value: object) -> bytes:
    items = items_of(fact)
    items[at] = value
    return fact_of(*items)


def signed(*items: object) -> bytes:
    """The same with a good signature of Alice's: what a later version of a node could say."""
    content: bytes = msgpack.packb(list(items))
    return ALICE._private.sign(ALICE._fact_prefix + content) + content


# ------------------------------------------------------------------------------------- round trips


def test_an_identity_is_a_notary() -> None:
    notary: Notary = ALICE
    assert notary.id == node_id(notary.public_key)
    assert (len(notary.id), len(notary.public_key)) == (16, 32)


@given(bodies)
def test_what_is_issued_is_read_and_verified_by_others(body: Body) -> None:
    fact = ALICE.issue(body)
    assert BOB.parse(fact.raw) == fact == Fact(fact.raw, body, fact.hash)
    assert BOB.verify(fact, ALICE.public_key)
    assert not BOB.verify(fact, BOB.public_key)


@given(bodies)
def test_an_independent_reader_finds_the_same_fields(body: Body) -> None:
    content = msgspec.msgpack.encode(body)
    array = [body.__struct_config__.tag, *msgspec.structs.astuple(body)]
    assert msgpack.unpackb(content) == msgpack.unpackb(msgpack.packb(array))


def test_golden_bytes_of_a_fact() -> None:
    fact = ALICE.issue(Deletion(ALICE.id, NOW, "web-1"))
    assert (
        fact.raw[SIGNATURE_BYTES:].hex()
        == "9403c4100e1e14103fbe3cb2d228e4d1fb9a6722cf000001a1fb671800a57765622d31"
    )
    assert fact.raw[:SIGNATURE_BYTES].hex() == (
        "42c20435d2332cacb4d06623ac037fbfd84dd78b00b7ee0329889005d6f1f842d06c4302d20fded78ef0b5fb1bb87a4c"
        "ea94bcb355ec93f46e9a05ed5ab7770d"
    )
    assert f"{fact.hash:016x}" == "b62a6653e58b24f2"
    assert f"{ALICE.place(ALICE.id, (2, 'web-1')):016x}" == "8970c560ef48faba"


def test_the_same_seed_is_the_same_node() -> None:
    again = Identity(bytes(range(32)), "test")
    assert (again.id, again.public_key) == (ALICE.id, ALICE.public_key)
    assert again.issue(service()) == SERVICE


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(CryptoError, match=f"32 bytes; this one is {size}"):
        Identity(bytes(size), "test")


# --------------------------------------------------------------------------------------- signatures


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact.body).__name__)
def test_a_changed_bit_is_no_longer_signed(fact: Fact) -> None:
    for at in range(len(fact.raw) * 8):
        forged = bytearray(fact.raw)
        forged[at // 8] ^= 1 << at % 8
        try:
            changed = BOB.parse(bytes(forged))
        except RemoteProtocolError:
            continue
        assert changed.hash != fact.hash
        if at % 13 == 0:
            assert not BOB.verify(changed, ALICE.public_key)


def test_nobody_speaks_for_another() -> None:
    content = msgspec.msgpack.encode(service())
    forged = BOB.parse(BOB._private.sign(BOB._fact_prefix + content) + content)
    assert not BOB.verify(forged, BOB.public_key)
    assert not BOB.verify(forged, ALICE.public_key)
    with pytest.raises(LocalProtocolError, match="only what it says itself"):
        BOB.issue(service())


def test_a_member_record_must_own_its_id() -> None:
    stolen = msgspec.msgpack.encode(member(public_key=BOB.public_key))
    assert refusal(BOB.parse, bytes(SIGNATURE_BYTES) + stolen) == "identity"
    unread = Fact(bytes(SIGNATURE_BYTES) + stolen, member(public_key=BOB.public_key), 0)
    assert not BOB.verify(unread, BOB.public_key)
    assert not BOB.verify(MEMBER, BOB.public_key)
    with pytest.raises(LocalProtocolError, match="public key"):
        ALICE.issue(member(public_key=BOB.public_key))


def test_a_fact_of_another_cluster_does_not_verify_and_hashes_differently() -> None:
    elsewhere = Identity(bytes(range(32)), "production")
    fact = elsewhere.issue(service())
    here = ALICE.parse(fact.raw)
    assert elsewhere.verify(fact, ALICE.public_key)
    assert not ALICE.verify(here, ALICE.public_key)
    assert here.hash != fact.hash
    assert elsewhere.place(ALICE.id, (1, "")) != ALICE.place(ALICE.id, (1, ""))
    assert not ALICE.check(ALICE.public_key, elsewhere.sign(b"data"), b"data")


def test_a_signature_over_data_is_never_a_fact_and_a_fact_never_one() -> None:
    content = msgspec.msgpack.encode(service())
    replayed = BOB.parse(ALICE.sign(content) + content)
    assert not BOB.verify(replayed, ALICE.public_key)
    assert BOB.check(ALICE.public_key, ALICE.sign(content), content)
    assert not BOB.check(ALICE.public_key, SERVICE.raw[:SIGNATURE_BYTES], content)


def test_check_answers_whatever_it_is_given() -> None:
    signature = ALICE.sign(b"data")
    assert len(signature) == SIGNATURE_BYTES
    assert BOB.check(ALICE.public_key, signature, b"data")
    assert not BOB.check(ALICE.public_key, signature, b"date")
    assert not BOB.check(BOB.public_key, signature, b"data")
    for key, made in [
        (b"", signature),
        (bytes(31), signature),
        (b"\xff" * 32, signature),
        (ALICE.public_key, b""),
    ]:
        assert not BOB.check(key, made, b"data")
        assert not BOB.verify(SERVICE, key[:31])


def test_keys_kept_ready_are_bounded_and_the_used_ones_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "KEYS_CACHED", 4)
    notary = Identity(bytes(32), "test")
    assert notary.verify(SERVICE, ALICE.public_key)
    for number in range(20):
        stranger = Identity(bytes([number + 1]) * 32, "test")
        assert notary.check(stranger.public_key, stranger.sign(b""), b"")
        assert notary.verify(SERVICE, ALICE.public_key)
        assert len(notary._keys) <= 4
        assert ALICE.public_key in notary._keys


# ------------------------------------------------------------------------------------------- hashes


def test_a_hash_is_of_the_bytes_and_a_place_of_owner_and_key_alone() -> None:
    again = ALICE.issue(service(version=NOW + 1))
    assert again.hash != SERVICE.hash
    assert isinstance(again.body, type(SERVICE.body))
    places = {
        ALICE.place(owner, key)
        for owner in (ALICE.id, BOB.id)
        for key in [(1, ""), (2, "a"), (2, "b"), (4, "1"), (9, "a"), (2, "é")]
    }
    assert len(places) == 12
    assert all(0 <= place < 2**64 for place in places)
    assert ALICE.place(ALICE.id, (2, "a")) == BOB.place(ALICE.id, (2, "a"))


# ---------------------------------------------------------------------------------- later versions


def test_fields_of_a_later_version_are_relayed_unread() -> None:
    for fact in FACTS:
        raw = signed(*items_of(fact), ["new", {"a": 1}], None)
        later = BOB.parse(raw)
        assert later.body == fact.body
        assert later.raw == raw
        assert BOB.verify(later, ALICE.public_key)


@pytest.mark.parametrize("key", ["", "x", "é" * 32])
def test_a_record_of_a_later_version_is_kept_unread(key: str) -> None:
    raw = signed(9, ALICE.id, NOW, key, {"whatever": [1.5, None]}, b"more")
    fact = BOB.parse(raw)
    assert fact == Fact(raw, Opaque(9, ALICE.id, NOW, key), fact.hash)
    assert BOB.verify(fact, ALICE.public_key)
    assert not BOB.verify(fact, BOB.public_key)
    assert isinstance(fact.body, Opaque)
    assert key_of(fact.body) == (9, key)
    with pytest.raises(LocalProtocolError, match="unknown kind"):
        ALICE.issue(fact.body)


@pytest.mark.parametrize(
    "items",
    [
        (9,),
        (9, ALICE.id, NOW),
        (9, ALICE.id, NOW, None),
        (9, ALICE.id, NOW, "a\nb"),
        (9, ALICE.id, 0, ""),
        (9, ALICE.id, MAX_VERSION + 1, ""),
        (9, ALICE.id[:15], NOW, ""),
        (9, ALICE.id.hex(), NOW, ""),
        (0, ALICE.id, NOW, ""),
        (-1, ALICE.id, NOW, ""),
        (65_536, ALICE.id, NOW, ""),
        (2**64 - 1, ALICE.id, NOW, ""),
        (3, ALICE.id, NOW, "", "a known kind is not read as an unknown one"),
        (2, ALICE.id, NOW, "key"),
        (True, ALICE.id, NOW, ""),
        (9.0, ALICE.id, NOW, ""),
        ("9", ALICE.id, NOW, ""),
    ],
    ids=lambda items: repr(items)[:60],
)
def test_an_unknown_record_without_the_common_header_is_malformed(items: Sequence[object]) -> None:
    assert refusal(BOB.parse, fact_of(*items)) == "malformed"


# ------------------------------------------------------------------------------------ hostile bytes


@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: data[:12].hex())
def test_hostile_facts_are_refused_and_nothing_else_happens(data: bytes) -> None:
    assert refusal(BOB.parse, data)
    assert refusal(BOB.parse, bytes(SIGNATURE_BYTES) + data)


@given(st.binary(max_size=300))
def test_random_bytes_are_a_fact_or_refused(data: bytes) -> None:
    refusal(BOB.parse, data)
    refusal(BOB.parse, bytes(SIGNATURE_BYTES) + data)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact.body).__name__)
def test_no_beginning_of_a_fact_is_a_fact(fact: Fact) -> None:
    for size in range(len(fact.raw)):
        assert refusal(BOB.parse, fact.raw[:size]) == "malformed"
    assert refusal(BOB.parse, fact.raw + b"\0") == "malformed"


def test_mutated_facts_are_a_fact_or_refused(rng: random.Random) -> None:
    for _ in range(6_000):
        fact = rng.choice(FACTS)
        refusal(BOB.parse, fact.raw[:SIGNATURE_BYTES] + mutate(fact.raw[SIGNATURE_BYTES:], rng))


def test_a_fact_over_the_limit_is_oversized() -> None:
    items = items_of(SERVICE)
    room = MAX_FACT_BYTES - len(signed(*items, b"")) - 1
    assert BOB.parse(signed(*items, bytes(room))).raw
    assert refusal(BOB.parse, signed(*items, bytes(room + 1))) == "oversized"


# ------------------------------------------------------------------------------------------- fields

HOST, PORT, TAGS = 6, 7, 8
"""Where a member record has them, the kind counted."""


@pytest.mark.parametrize(
    ("fact", "at", "value", "reason"),
    [
        (MEMBER, 2, 0, "malformed"),
        (MEMBER, 2, MAX_VERSION + 1, "malformed"),
        (MEMBER, 2, True, "malformed"),
        (MEMBER, 2, float(NOW), "malformed"),
        (MEMBER, 2, float("nan"), "malformed"),
        (MEMBER, 3, bytes(31), "malformed"),
        (MEMBER, 3, BOB.public_key, "identity"),
        (MEMBER, 4, bytes(33), "malformed"),
        (MEMBER, 5, "", "malformed"),
        (MEMBER, 5, "a\x00b", "malformed"),
        (MEMBER, 5, "a\x7fb", "malformed"),
        (MEMBER, 5, "a\x9bb", "malformed"),
        (MEMBER, 5, "a\u202eb", "malformed"),
        (MEMBER, 5, "é" * 33, "oversized"),
        (MEMBER, 5, "a" * 65, "malformed"),
        (MEMBER, HOST, "", "malformed"),
        (MEMBER, HOST, "localhost", "malformed"),
        (MEMBER, HOST, "0.0.0.0", "malformed"),
        (MEMBER, HOST, "::", "malformed"),
        (MEMBER, PORT, 0, "malformed"),
        (MEMBER, PORT, 65_536, "malformed"),
        (MEMBER, PORT, -1, "malformed"),
        (MEMBER, TAGS, {"": "x"}, "malformed"),
        (MEMBER, TAGS, {"a\n": "x"}, "malformed"),
        (MEMBER, TAGS, {"a": "x\x1b"}, "malformed"),
        (MEMBER, TAGS, {"a": 1}, "malformed"),
        (MEMBER, TAGS, {1: "a"}, "malformed"),
        (MEMBER, TAGS, {"a": "x" * 320, "b": "x" * 319}, "oversized"),
        (MEMBER, TAGS, {f"{i}": "" for i in range(65)}, "malformed"),
        (MEMBER, 9, 2, "malformed"),
        (MEMBER, 9, 256, "malformed"),
        (MEMBER, 11, -1, "malformed"),
        (MEMBER, 11, 2**63, "malformed"),
        (MEMBER, 12, NOW + 1, "malformed"),
        (MEMBER, 13, NOW + 1, "malformed"),
        (MEMBER, 14, 3, "malformed"),
        (MEMBER, 15, 1, "malformed"),
        (SERVICE, 3, "", "malformed"),
        (SERVICE, 4, "", "malformed"),
        (SERVICE, 4, "é" * 33, "oversized"),
        (SERVICE, 5, "a b\t", "malformed"),
        (SERVICE, 5, "é" * 128, "oversized"),
        (SERVICE, 6, 65_536, "malformed"),
        (SERVICE, 7, [""], "malformed"),
        (SERVICE, 7, ["a\r"], "malformed"),
        (SERVICE, 7, ["é" * 128], "oversized"),
        (SERVICE, 7, ["a" * 213] * 3, "oversized"),
        (SERVICE, 8, {"": ""}, "malformed"),
        (SERVICE, 8, {"a": "x\u2028"}, "malformed"),
        (SERVICE, 9, 65_536, "malformed"),
        (FACTS[2], 3, "", "malformed"),
        (FACTS[3], 3, "", "malformed"),
        (FACTS[3], 3, "a\x07", "malformed"),
        (FACTS[3], 4, bytes(513), "malformed"),
        (FACTS[3], 4, "text", "malformed"),
        (FACTS[4], 2, ALICE.id, "malformed"),
        (FACTS[4], 3, 0, "malformed"),
        (FACTS[4], 4, 4, "malformed"),
        (SERVICE, 10, 1, "malformed"),
        (FACTS[5], 3, "a\x07", "malformed"),
        (FACTS[5], 4, [["http", 3]], "malformed"),
        (FACTS[5], 4, [["http", 0], ["http", 1]], "malformed"),
        (FACTS[5], 4, [["http"]], "malformed"),
        (FACTS[5], 4, [[f"c{number}", 0] for number in range(17)], "malformed"),
        (FACTS[5], 5, 0, "malformed"),
        (FACTS[5], 6, "a\n", "malformed"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_field_out_of_its_bounds_is_refused(fact: Fact, at: int, value: object, reason: str) -> None:
    assert BOB.parse(with_item(fact, at, items_of(fact)[at])).body == fact.body
    assert refusal(BOB.parse, with_item(fact, at, value)) == reason


def test_bad_text_is_malformed() -> None:
    assert refusal(BOB.parse, MEMBER.raw.replace(b"alice", b"alic\xff")) == "malformed"


@pytest.mark.parametrize(
    ("host", "problem"),
    [
        ("", "is not an IP address"),
        ("alice.example", "is not an IP address"),
        ("10.0.0", "is not an IP address"),
        ("010.0.0.1", "is not an IP address"),
        ("[::1]", "is not an IP address"),
        ("0.0.0.0", "is not the address of one host"),
        ("0.1.2.3", "is not the address of one host"),
        ("::", "is not the address of one host"),
        ("224.0.0.251", "is not the address of one host"),
        ("255.255.255.255", "is not the address of one host"),
        ("ff02::1", "is not the address of one host"),
        ("fe80::1%eth0", "has a zone"),
        ("2001:DB8::1", "is to be written as 2001:db8::1"),
        ("0:0:0:0:0:0:0:1", "is to be written as ::1"),
        ("::ffff:10.0.0.1", "is to be written as 10.0.0.1"),
        ("::ffff:a00:1", "is to be written as 10.0.0.1"),
    ],
)
def test_an_address_nobody_can_be_reached_at_is_refused(host: str, problem: str) -> None:
    with pytest.raises(LocalProtocolError, match=problem):
        ALICE.issue(member(host=host))


@given(hosts)
def test_other_addresses_are_accepted(host: str) -> None:
    fact = ALICE.issue(member(host=host))
    assert isinstance(fact.body, MemberRecord)
    assert fact.body.address == (host, 7946)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (service(name="a" * 80), "service name is 80 bytes; the limit is 64"),
        (service(key="é" * 33), "service id is 66 bytes; the limit is 64"),
        (service(host="a" * 256), "service address is 256 bytes; the limit is 255"),
        (service(tags=("a" * 256,)), "tag is 256 bytes; the limit is 255"),
        (service(tags=("a",) * 65), "65 tags; the limit is 64"),
        (service(meta={"a": "x" * 513}), "meta value is 513 bytes; the limit is 512"),
        (
            service(meta={"a": "x" * 512, "b": "x" * 121}),
            "tags and meta are 641 bytes in all; the limit is 640",
        ),
        (member(name="a" * 65), "node name is 65 bytes; the limit is 64"),
        (member(tags={"ab": "x" * 320, "cd": "x" * 317}), "tags are 641 bytes in all; the limit is 640"),
        (member(tags={f"{i}": "" for i in range(65)}), "65 tag entries; the limit is 64"),
        (EventRecord(ALICE.id, NOW, "a" * 65, b""), "event name is 65 bytes; the limit is 64"),
        (EventRecord(ALICE.id, NOW, "a", bytes(513)), "event payload is 513 bytes; the limit is 512"),
        (Deletion(ALICE.id, NOW, "a" * 65), "service id is 65 bytes; the limit is 64"),
        (StatusRecord(ALICE.id, NOW, "a" * 65, (), False, ""), "service id is 65 bytes; the limit is 64"),
        (
            StatusRecord(ALICE.id, NOW, "a", (("c" * 65, 0),), False, ""),
            "check name is 65 bytes; the limit is 64",
        ),
        (StatusRecord(ALICE.id, NOW, "a", (), True, "n" * 129), "note is 129 bytes; the limit is 128"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_limit_is_named_with_what_was_given(body: Body, message: str) -> None:
    assert limit_of(lambda: ALICE.issue(body)) == message


def test_the_whole_record_has_a_limit_too() -> None:
    large = service(
        key="k" * 64,
        name="n" * 64,
        host="h" * 255,
        tags=tuple("abcdefgh" for _ in range(16)),
        meta={"m": "x" * 510},
    )
    assert limit_of(lambda: ALICE.issue(large)) == "the signed record is 1150 bytes; the limit is 1100"


def test_a_service_may_have_no_port_and_a_member_must_have_one() -> None:
    assert ALICE.issue(service(port=0)).body == service(port=0)
    with pytest.raises(LocalProtocolError, match="port 0 is not between"):
        ALICE.issue(member(port=0))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (service(name=""), "service name is empty"),
        (service(name="a\nb"), r"service name 'a\\nb' has a control character"),
        (service(name="\ud800"), "no Unicode text"),
        (service(port=65_536), "port 65536 is not between 1 and 65535"),
        (service(weight=65_536), "weight 65536 is not between"),
        (service(weight=True), "nobody would accept"),
        (service(version=0), "nobody would accept"),
        (service(version=MAX_VERSION + 1), "nobody would accept"),
        (member(floor=NOW + 1), "cannot be above the incarnation"),
        (member(protocol_min=2), "cannot be above protocol_max"),
        (Accusation(ALICE.id, ALICE.id, NOW, 0), "cannot accuse itself"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_local_mistake_is_explained(body: Body, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        ALICE.issue(body)
