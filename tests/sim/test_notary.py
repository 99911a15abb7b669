"""The stand-in for signatures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.core.records import Accusation, Deletion, Fact, MemberRecord, Notary, Opaque, ServiceRecord
from gossip.errors import LimitError, LocalProtocolError, RemoteProtocolError
from gossip.wire.identity import SIGNATURE_BYTES, Identity
from sim.notary import Archive, StandIn

SECRET, OTHER = b"a" * 32, b"b" * 32


def member(notary: Notary, **changes: object) -> MemberRecord:
    fields: dict[str, object] = {
        "owner": notary.id,
        "version": 5,
        "public_key": notary.public_key,
        "exchange_key": b"",
        "name": "n",
        "host": "10.0.0.1",
        "port": 7946,
        "tags": {"rack": "1"},
        "protocol_min": 1,
        "protocol_max": 1,
        "boot": 1,
        "floor": 0,
        "birth": 5,
        "phase": 0,
        "ephemeral": False,
    }
    return MemberRecord(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_fact_is_as_large_as_a_real_one_and_says_the_same() -> None:
    real, stand_in = Identity(SECRET, "sim"), StandIn(SECRET, Archive("sim"))
    fact, other = stand_in.issue(member(stand_in)), real.issue(member(real))
    assert len(fact.raw) == len(other.raw)
    assert fact.body == member(stand_in)
    assert fact.raw[SIGNATURE_BYTES:] != other.raw[SIGNATURE_BYTES:]


def test_a_fact_verifies_with_its_owners_key_and_no_other() -> None:
    archive = Archive("sim")
    a, b = StandIn(SECRET, archive), StandIn(OTHER, archive)
    fact = a.issue(member(a))
    for notary in (a, b):
        assert notary.verify(notary.parse(fact.raw), a.public_key)
        assert not notary.verify(notary.parse(fact.raw), b.public_key)
    assert b.verify(b.issue(Deletion(b.id, 6, "web")), b.public_key)


@given(st.data())
def test_a_forged_fact_fails(data: st.DataObject) -> None:
    archive = Archive("sim")
    notary = StandIn(SECRET, archive)
    raw = bytearray(notary.issue(member(notary)).raw)
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    try:
        fact = notary.parse(bytes(raw))
    except RemoteProtocolError:
        return
    assert not notary.verify(fact, notary.public_key)


def test_another_nodes_signature_under_a_foreign_name_fails() -> None:
    archive = Archive("sim")
    a, b = StandIn(SECRET, archive), StandIn(OTHER, archive)
    stolen = b.issue(member(b)).raw[:SIGNATURE_BYTES] + a.issue(member(a)).raw[SIGNATURE_BYTES:]
    assert not a.verify(a.parse(stolen), a.public_key)
    assert not a.verify(a.parse(stolen), b.public_key)


def test_a_key_that_the_world_does_not_know_proves_nothing() -> None:
    a, stranger = StandIn(SECRET, Archive("sim")), StandIn(OTHER, Archive("sim"))
    fact = a.parse(stranger.issue(member(stranger)).raw)
    assert not a.verify(fact, stranger.public_key)


def test_one_fact_is_one_object_for_the_whole_world() -> None:
    archive = Archive("sim")
    a, b = StandIn(SECRET, archive), StandIn(OTHER, archive)
    fact = a.issue(member(a))
    assert b.parse(bytes(bytearray(fact.raw))) is fact
    assert len(archive) == 1


def test_the_archive_is_bounded_and_forgetting_changes_no_answer() -> None:
    archive = Archive("sim", limit=2)
    notary = StandIn(SECRET, archive)
    facts = [notary.issue(Deletion(notary.id, version, "web")) for version in range(1, 6)]
    assert len(archive) == 2
    assert all(notary.verify(fact, notary.public_key) for fact in facts)
    assert notary.parse(facts[0].raw) == facts[0]
    assert notary.verify(notary.parse(facts[0].raw), notary.public_key)
    assert len(archive) == 2


def test_limits_and_rules_are_the_real_ones() -> None:
    notary = StandIn(SECRET, Archive("sim"))
    with pytest.raises(LocalProtocolError, match="only what it says itself"):
        notary.issue(Deletion(bytes(16), 1, "web"))
    with pytest.raises(LocalProtocolError, match="unknown kind"):
        notary.issue(Opaque(9, notary.id, 1, ""))
    with pytest.raises(LimitError, match="node name"):
        notary.issue(member(notary, name="n" * 65))
    with pytest.raises(LocalProtocolError, match="accuse itself"):
        notary.issue(Accusation(notary.id, notary.id, 1, 0))
    meta = {"k": "v" * 500}
    tags = tuple(f"{number:010}" for number in range(14))
    with pytest.raises(LimitError):
        notary.issue(ServiceRecord(notary.id, 1, "k" * 64, "s" * 64, "h" * 255, 1, tags, meta, 1))
    with pytest.raises(RemoteProtocolError):
        notary.parse(b"x" * 80)


def test_signed_data_is_no_fact_and_checks_with_its_key_alone() -> None:
    archive = Archive("sim")
    a, b = StandIn(SECRET, archive), StandIn(OTHER, archive)
    signature = a.sign(b"data")
    assert len(signature) == SIGNATURE_BYTES
    assert b.check(a.public_key, signature, b"data")
    assert not b.check(a.public_key, signature, b"other")
    assert not b.check(b.public_key, signature, b"data")
    content = a.issue(member(a)).raw[SIGNATURE_BYTES:]
    assert not a.verify(Fact(a.sign(content) + content, member(a), 0), a.public_key)


def test_places_are_those_of_the_real_notary() -> None:
    stand_in, real = StandIn(SECRET, Archive("sim")), Identity(OTHER, "sim")
    assert stand_in.place(bytes(16), (2, "web")) == real.place(bytes(16), (2, "web"))
