"""The authority's key in its file, and what is made with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from gossip.armour import AUTHORITY, unwrap
from gossip.ca import FOREVER, init, invite, public_key, sign_ban
from gossip.core.records import Ban
from gossip.errors import CryptoError, LocalProtocolError
from gossip.wire.identity import Identity

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "ca.key"
    init(path)
    return path


def node(key: Path, seed: bytes = b"n" * 32) -> Identity:
    return Identity(seed, "c", unwrap(AUTHORITY, public_key(key)))


def test_the_private_key_is_its_owners_alone_and_the_public_one_stands_beside(key: Path) -> None:
    assert key.stat().st_mode & 0o777 == 0o600
    public = key.with_name("ca.key.pub")
    assert public.stat().st_mode & 0o777 == 0o644
    assert public.read_text().strip() == public_key(key)


def test_a_key_is_never_replaced(key: Path) -> None:
    before = key.read_bytes()
    with pytest.raises(CryptoError, match="is there already, and is not replaced"):
        init(key)
    assert key.read_bytes() == before


def test_a_key_that_others_can_read_is_not_used(key: Path) -> None:
    key.chmod(0o640)
    with pytest.raises(CryptoError, match="open to other users: chmod 600 it"):
        invite(key, "c", "", "", 60)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"gossip-authority-1-abc", b"gossip-authority-secret-1-x"]
)
def test_a_file_that_is_no_key_is_named(key: Path, content: bytes) -> None:
    key.write_bytes(content)
    with pytest.raises(CryptoError, match=r"ca\.key"):
        public_key(key)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CryptoError, match="cannot be read: No such file or directory: give the"):
        public_key(tmp_path / "k")
    with pytest.raises(CryptoError, match="cannot be written: No such file or directory"):
        init(tmp_path / "no" / "k")


def test_an_invitation_lasts_as_long_as_it_says_and_is_another_each_time(key: Path) -> None:
    token = invite(key, "c", "n", "", 60.0)
    assert 58 <= token.expires - time.time() <= 60
    assert token.use(node(key))
    assert token.secret != invite(key, "c", "n", "", 60.0).secret


def test_an_invitation_of_a_node_has_no_end(key: Path) -> None:
    other = node(key)
    token = invite(key, "c", "", other.id.hex(), None)
    assert token.expires == FOREVER
    assert token.use(other)


@pytest.mark.parametrize("id", ["zz", "abcd", "0" * 31, "0" * 33])
def test_an_id_has_32_digits(key: Path, id: str) -> None:
    with pytest.raises(LocalProtocolError, match="is no id of a node: give all its 32 hexadecimal digits"):
        invite(key, "c", "", id, None)
    with pytest.raises(LocalProtocolError, match="32 hexadecimal digits"):
        sign_ban(key, "c", id, "", "")


def test_a_ban_counts_in_its_cluster(key: Path) -> None:
    reader = node(key)
    fact = reader.parse(sign_ban(key, "c", "ab" * 16, "n", "why"))
    assert isinstance(fact.body, Ban)
    assert fact.body.subject == b"\xab" * 16
    assert reader.verify(fact, reader.authority)
    assert not Identity(b"n" * 32, "d").verify(fact, reader.authority)
