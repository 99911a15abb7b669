"""Rings of keys: what goes in, what is refused and why, and that no secret shows."""

from __future__ import annotations

import hashlib

import pytest

from gossip.core.keys import KeyState
from gossip.core.records import MAX_KEYS
from gossip.errors import CryptoError, LimitError, NotFoundError, RefusedError
from gossip.wire.keyring import Key, KeyRing, key_id, mark_of


def secret(number: int) -> bytes:
    return hashlib.sha256(b"secret %d" % number).digest()


def distinct(count: int) -> list[bytes]:
    """Secrets of so many ids."""
    found: dict[int, bytes] = {}
    number = 0
    while len(found) < count:
        found.setdefault(key_id(secret(number)), secret(number))
        number += 1
    return list(found.values())


def test_keys_are_added_used_retired_and_removed() -> None:
    ring = KeyRing()
    one, two = (ring.add(each) for each in distinct(2))
    assert ring.sending is None
    ring.use(one.mark)
    ring.use(two.mark)
    assert [key.state for key in ring.held()] == [KeyState.RECEIVING, KeyState.SENDING]
    ring.retire(one.mark)
    assert ring.key(one.mark).secret == b""
    assert ring.by_id(one.id) is None
    assert ring.by_id(two.id) is two
    ring.remove(one.mark)
    assert [key.name for key in ring.held()] == [two.name]


def test_a_key_that_is_here_is_added_once_and_a_retired_one_never_again() -> None:
    ring = KeyRing()
    key = ring.add(secret(1), "a")
    assert ring.add(secret(1), "b") is key
    ring.retire(key.mark)
    with pytest.raises(RefusedError, match="a was retired"):
        ring.add(secret(1))


def test_the_sending_key_is_neither_retired_nor_removed() -> None:
    """Scenario 82: remove the primary key refused."""
    ring = KeyRing()
    key = ring.add(secret(1), "a", KeyState.SENDING)
    for refused in (ring.retire, ring.remove):
        with pytest.raises(RefusedError, match="seals with key a"):
            refused(key.mark)
    ring.retire(ring.add(distinct(9)[3], "b").mark)
    with pytest.raises(RefusedError, match="b was retired"):
        ring.use(ring.find("b").mark)


def test_eight_keys_at_most_and_a_retired_one_makes_room() -> None:
    ring = KeyRing()
    secrets = distinct(MAX_KEYS + 2)
    keys = [ring.add(each) for each in secrets[:MAX_KEYS]]
    with pytest.raises(LimitError, match="there are 8 keys"):
        ring.add(secrets[MAX_KEYS])
    ring.retire(keys[3].mark)
    ring.add(secrets[MAX_KEYS])
    assert len(ring) == MAX_KEYS
    with pytest.raises(NotFoundError):
        ring.key(keys[3].mark)


def test_two_keys_of_one_id_do_not_go_together_and_a_made_one_has_another() -> None:
    first = secret(0)
    twin = next(secret(n) for n in range(1, 10_000) if key_id(secret(n)) == key_id(first))
    ring = KeyRing()
    ring.add(first)
    with pytest.raises(RefusedError, match="id in headers"):
        ring.add(twin)
    draws = iter((twin, twin, distinct(3)[2]))
    assert ring.make("new", lambda _count: next(draws)).id != key_id(first)


def test_ids_are_never_that_of_clear_text() -> None:
    assert {key_id(secret(number)) for number in range(5_000)} == set(range(1, 256))


def test_keys_are_found_by_name_or_the_beginning_of_a_mark() -> None:
    ring = KeyRing()
    key = ring.add(secret(1), "a")
    assert ring.find("a") is ring.find(key.mark.hex()) is ring.find(key.mark.hex()[:4].upper()) is key
    with pytest.raises(NotFoundError, match="no key 'b' here"):
        ring.find("b")
    with pytest.raises(RefusedError, match="a key 'a' already"):
        ring.add(distinct(5)[4], "a")
    with pytest.raises(LimitError, match="64 bytes"):
        ring.add(distinct(5)[4], "x" * 65)
    with pytest.raises(LimitError, match="printable"):
        ring.add(distinct(5)[4], "a\nb")


def test_a_ring_is_saved_and_loaded() -> None:
    ring = KeyRing()
    one, two, three = (ring.add(each) for each in distinct(3))
    ring.use(two.mark)
    ring.retire(one.mark)
    again = KeyRing.load(ring.saved())
    assert again.held() == ring.held()
    assert again.sending is not None
    assert again.sending.secret == two.secret
    assert again.key(three.mark).secret == three.secret


@pytest.mark.parametrize(
    "saved",
    [
        "x",
        [1],
        [["a", "sending", "00", "zz"]],
        [["a", "sending", "00" * 16, "11" * 32]],
        [["a", "sending", "00" * 16, ""]],
        [["a", "lost", mark_of(secret(1)).hex(), secret(1).hex()]],
        [["a", "receiving", mark_of(secret(n)).hex(), secret(n).hex()] for n in range(9)],
        [["a", "sending", mark_of(secret(n)).hex(), secret(n).hex()] for n in range(2)],
    ],
)
def test_a_damaged_ring_is_refused_and_not_repeated(saved: object) -> None:
    with pytest.raises(CryptoError, match=r"^the saved keys are damaged$") as failure:
        KeyRing.load(saved)
    assert failure.value.__context__ is None


def test_no_secret_is_shown() -> None:
    ring = KeyRing()
    ring.add(secret(1), "a")
    shown = f"{ring!r} {ring.held()!r} {Key('a', secret(1), KeyState.SENDING)!r}"
    assert secret(1).hex() not in shown
    assert repr(secret(1)) not in shown


def test_a_copy_is_apart_until_it_takes_the_place() -> None:
    ring = KeyRing()
    key = ring.add(secret(1), "a")
    copy = ring.copy()
    copy.use(key.mark)
    assert ring.sending is None
    revision = ring.revision
    ring.become(copy)
    assert ring.sending is not None
    assert ring.revision > revision


def test_what_members_handed_on_makes_room_where_nobody_needs_it() -> None:
    secrets = distinct(MAX_KEYS + 3)
    ring = KeyRing()
    own = ring.add(secrets[0], "own", KeyState.SENDING)
    handed = [ring.add(each, handed=True) for each in secrets[1:MAX_KEYS]]
    spare = [key.mark for key in handed[2:]]
    with pytest.raises(LimitError, match="remove one first"):
        ring.add(secrets[MAX_KEYS])
    assert ring.add(secrets[MAX_KEYS], handed=True, spare=spare) in ring._keys
    assert handed[2].mark not in {key.mark for key in ring.held()}
    assert {own.mark, handed[0].mark, handed[1].mark} <= {key.mark for key in ring.held()}
    ring.retire(handed[0].mark)
    ring.add(secrets[MAX_KEYS + 1], spare=spare)
    assert handed[3].mark in {key.mark for key in ring.held()}, "a retired one goes first"
    with pytest.raises(LimitError):
        ring.add(secrets[MAX_KEYS + 2], spare=[own.mark])


def test_a_spare_key_makes_room_for_another_of_its_id() -> None:
    first, *others = (secret(number) for number in range(1_000))
    twin = next(each for each in others if key_id(each) == key_id(first))
    ring = KeyRing()
    handed = ring.add(first, "handed", handed=True)
    with pytest.raises(RefusedError, match="id in headers"):
        ring.add(twin)
    ring.add(twin, "wanted", spare=[handed.mark])
    assert [key.name for key in ring.held()] == ["wanted"]


def test_it_is_remembered_which_keys_members_handed_on() -> None:
    one, two = distinct(2)
    ring = KeyRing()
    ring.add(one, "one", KeyState.SENDING)
    ring.add(two, "two", handed=True)
    for again in (KeyRing.load(ring.saved()), ring.copy()):
        assert [key.handed for key in again.held()] == [False, True]
        again.add(two)
        assert [key.handed for key in again.held()] == [False, False], "the operator gave it too"
