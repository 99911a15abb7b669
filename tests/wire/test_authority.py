"""Invitations, what becomes of them, and bans: each signature counts for one use, one cluster, one node."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.core.records import MAX_FACT_BYTES, MAX_WARRANT_BYTES, Ban, MemberRecord
from gossip.core.types import MAX_VERSION
from gossip.errors import CryptoError, LimitError, LocalProtocolError, RemoteProtocolError
from gossip.wire.authority import Authority, Token
from gossip.wire.identity import Identity
from gossip.wire.warrants import read_warrant, write_warrant
from tests.wire.samples import NOW, member

AUTHORITY = Authority(b"a" * 32, "test")
OTHER = Authority(b"o" * 32, "test")
ALICE = Identity(bytes(range(32)), "test", AUTHORITY.public_key)
BOB = Identity(bytes(range(1, 33)), "test", AUTHORITY.public_key)
SECRET = b"i" * 32
SOON = NOW // 1_000 + 60


def record_of(node: Identity, warrant: bytes) -> MemberRecord:
    return member(owner=node.id, public_key=node.public_key, warrant=warrant)


def test_an_invitation_becomes_the_warrant_of_whoever_uses_it() -> None:
    token = Token.parse(str(AUTHORITY.invite(SECRET, "alice", SOON)))
    warrant = token.use(ALICE)
    found = BOB.warrant(record_of(ALICE, warrant))
    assert found is not None
    assert (found.name, found.expires, found.is_invitation) == ("alice", SOON, True)
    assert token.use(BOB) != warrant, "each user has a warrant of its own"
    assert BOB.warrant(record_of(BOB, warrant)) is None, "and nobody else can use it"


def test_an_invitation_of_a_known_node_is_of_no_use_to_others() -> None:
    token = Token.parse(str(AUTHORITY.vouch(ALICE.id, "", SOON)))
    assert token.secret == b""
    found = BOB.warrant(record_of(ALICE, token.use(ALICE)))
    assert found is not None
    assert not found.is_invitation
    with pytest.raises(
        CryptoError, match=f"is for the node {ALICE.id.hex()}, and this one is {BOB.id.hex()}"
    ):
        token.use(BOB)
    assert BOB.warrant(record_of(BOB, token.use(ALICE))) is None


def test_who_sees_a_warrant_can_make_none_of_it() -> None:
    """Its parts, put together otherwise: another's claim, a later end, another name, the other kind."""
    seen = read_warrant(AUTHORITY.invite(SECRET, "", SOON).use(ALICE))
    replace = msgspec.structs.replace
    own = read_warrant(OTHER.invite(b"x" * 32, "", SOON).use(Identity(b"b" * 32, "test", OTHER.public_key)))
    for forged in (
        seen,
        replace(seen, by_holder=own.by_holder),
        replace(seen, holder=own.holder, by_holder=own.by_holder),
        replace(seen, holder=BOB.id, by_holder=b""),
        replace(seen, by_holder=BOB.sign(BOB.claim(BOB.id))),
    ):
        assert ALICE.warrant(record_of(BOB, write_warrant(forged))) is None
    for changed in (replace(seen, expires=SOON + 1), replace(seen, name="bob")):
        assert BOB.warrant(record_of(ALICE, write_warrant(changed))) is None


@pytest.mark.parametrize(
    "reader",
    [
        Identity(b"r" * 32, "test", OTHER.public_key),
        Identity(b"r" * 32, "other", AUTHORITY.public_key),
        Identity(b"r" * 32, "test"),
    ],
    ids=["another authority", "another cluster", "none"],
)
def test_it_counts_under_its_own_authority_in_its_own_cluster_only(reader: Identity) -> None:
    token = AUTHORITY.invite(SECRET, "", SOON)
    assert reader.warrant(record_of(ALICE, token.use(ALICE))) is None
    with pytest.raises(CryptoError, match="not of the authority that is set here, or is for another cluster"):
        token.use(reader)


def test_a_signature_of_the_authority_for_another_use_is_no_invitation() -> None:
    ban = AUTHORITY.ban(BOB.id, "bob", "", NOW)
    forged = read_warrant(AUTHORITY.vouch(ALICE.id, "", SOON).use(ALICE))
    assert (
        ALICE.warrant(
            record_of(ALICE, write_warrant(msgspec.structs.replace(forged, by_authority=ban.raw[:64])))
        )
        is None
    )


def test_the_longest_warrant_is_within_its_limit() -> None:
    warrant = AUTHORITY.invite(SECRET, "n" * 64, MAX_VERSION // 1_000).use(ALICE)
    assert len(warrant) <= MAX_WARRANT_BYTES
    fact = ALICE.issue(record_of(ALICE, warrant))
    assert len(fact.raw) < MAX_FACT_BYTES // 2, "and leaves room for tags"


@given(st.binary(max_size=300))
def test_bytes_that_are_no_warrant_are_refused(raw: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="malformed"):
        read_warrant(raw)


@given(st.data())
def test_a_warrant_with_a_bit_turned_is_none(data: st.DataObject) -> None:
    warrant = bytearray(AUTHORITY.invite(SECRET, "alice", SOON).use(ALICE))
    at = data.draw(st.integers(0, len(warrant) * 8 - 1))
    warrant[at // 8] ^= 1 << at % 8
    assert ALICE.warranted(bytes(warrant), ALICE.id) is None


@given(st.binary(max_size=200))
def test_any_bytes_in_a_token_are_refused_and_not_repeated(data: bytes) -> None:
    from gossip.armour import INVITE, wrap

    with pytest.raises(CryptoError):
        Token.parse(wrap(INVITE, data + b"\xc1"))


def test_a_token_shows_no_secret() -> None:
    assert repr(AUTHORITY.invite(SECRET, "", SOON)) == f"<invitation of any name until {SOON}>"


@pytest.mark.parametrize(("name", "error"), [("n" * 65, LimitError), ("a\nb", LocalProtocolError)])
def test_a_name_that_no_node_can_have_is_not_invited(name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        AUTHORITY.invite(SECRET, name, SOON)


def test_a_ban_is_a_fact_of_the_authority() -> None:
    ban = AUTHORITY.ban(BOB.id, "bob", "stolen", NOW)
    read = ALICE.parse(ban.raw)
    assert isinstance(read.body, Ban)
    assert (read.body.subject, read.body.name, read.body.reason) == (BOB.id, "bob", "stolen")
    assert ALICE.verify(read, AUTHORITY.public_key)
    assert not ALICE.verify(read, OTHER.public_key)
    assert not Identity(b"r" * 32, "other").verify(read, AUTHORITY.public_key)
    assert not ALICE.verify(Identity(b"o" * 32, "test").issue(Ban(OTHER_ID, NOW, BOB.id, "", "")), b"a" * 32)


OTHER_ID = Identity(b"o" * 32, "test").id


@pytest.mark.parametrize(
    ("subject", "reason", "error"),
    [(BOB.id, "r" * 129, LimitError), (BOB.id, "a\nb", LocalProtocolError), (None, "", LocalProtocolError)],
)
def test_a_ban_that_nobody_would_accept_is_not_made(
    subject: bytes | None, reason: str, error: type[Exception]
) -> None:
    own = Identity(b"a" * 32, "test").id
    with pytest.raises(error):
        AUTHORITY.ban(own if subject is None else subject, "", reason, NOW)
