"""Keys wrapped for one member: the recipient reads them, and nobody else."""

from __future__ import annotations

import msgspec
import pytest

from gossip.core.records import MemberRecord
from gossip.errors import LocalProtocolError, NotFoundError, RemoteProtocolError
from gossip.wire.identity import Identity
from gossip.wire.keyring import KeyRing, key_id, mark_of
from gossip.wire.locksmith import BOX_BYTES, RingLocksmith
from tests.wire.samples import member
from tests.wire.test_keyring import distinct

KEY = bytes(range(32))


class Person:
    """A node that can be wrapped for."""

    def __init__(self, number: int, *keys: bytes, cluster: str = "test") -> None:
        seed = bytes((number,)) * 32
        self.identity = Identity(seed, cluster)
        self.ring = KeyRing()
        for key in keys:
            self.ring.add(key)
        self.smith = RingLocksmith(self.ring, seed, self.identity.public_key, cluster)
        self.record: MemberRecord = msgspec.structs.replace(
            member(),
            owner=self.identity.id,
            public_key=self.identity.public_key,
            exchange_key=self.smith.exchange_key,
        )


def test_the_recipient_takes_the_key() -> None:
    giver, taker = Person(1, KEY), Person(2)
    box = giver.smith.wrap(mark_of(KEY), taker.record)
    assert len(box) == BOX_BYTES
    assert KEY not in box
    taker.smith.unwrap(box, mark_of(KEY), "k", giver.record)
    assert taker.ring.key(mark_of(KEY)).secret == KEY
    assert [(key.name, key.state.label) for key in taker.smith.held()] == [("k", "receiving")]


def test_no_two_boxes_are_alike() -> None:
    giver, taker = Person(1, KEY), Person(2)
    assert len({giver.smith.wrap(mark_of(KEY), taker.record) for _ in range(5)}) == 5


def test_the_exchange_key_follows_from_the_node_key() -> None:
    assert Person(1).smith.exchange_key == Person(1).smith.exchange_key != Person(2).smith.exchange_key


def test_nobody_else_opens_it_and_for_no_other_sender_mark_or_cluster() -> None:
    giver, taker, thief = Person(1, KEY), Person(2), Person(3, KEY)
    box = giver.smith.wrap(mark_of(KEY), taker.record)
    attempts = (
        (thief, box, mark_of(KEY), giver),
        (taker, box, mark_of(KEY), thief),
        (taker, box, bytes(16), giver),
        (Person(2, cluster="other"), box, mark_of(KEY), giver),
        (taker, b"", mark_of(KEY), giver),
        (taker, bytes(BOX_BYTES), mark_of(KEY), giver),
        *((taker, box[:at] + bytes((box[at] ^ 1,)) + box[at + 1 :], mark_of(KEY), giver) for at in range(80)),
    )
    for who, what, mark, sender in attempts:
        with pytest.raises(RemoteProtocolError, match="key_refused"):
            who.smith.unwrap(what, mark, "k", sender.record)
        assert len(who.ring) == (1 if who is thief else 0)


def test_a_key_that_is_not_the_marked_one_is_refused() -> None:
    giver, taker = Person(1, KEY), Person(2)
    lie = mark_of(bytes(range(1, 33)))
    giver.ring.key(mark_of(KEY)).mark = lie
    with pytest.raises(RemoteProtocolError, match="not the key of that mark"):
        taker.smith.unwrap(giver.smith.wrap(lie, taker.record), lie, "k", giver.record)


def test_a_full_ring_takes_no_more() -> None:
    giver = Person(1, KEY)
    taker = Person(2, *[each for each in distinct(9) if key_id(each) != key_id(KEY)][:8])
    with pytest.raises(RemoteProtocolError, match="the limit"):
        taker.smith.unwrap(giver.smith.wrap(mark_of(KEY), taker.record), mark_of(KEY), "k", giver.record)


def test_who_has_no_exchange_key_and_what_is_not_here_cannot_be_wrapped() -> None:
    giver, taker = Person(1, KEY), Person(2)
    with pytest.raises(LocalProtocolError, match="no exchange key"):
        giver.smith.wrap(mark_of(KEY), msgspec.structs.replace(taker.record, exchange_key=b""))
    # All zero, the point that agrees with everybody on nothing.
    with pytest.raises(LocalProtocolError, match="no exchange key"):
        giver.smith.wrap(mark_of(KEY), msgspec.structs.replace(taker.record, exchange_key=bytes(32)))
    with pytest.raises(NotFoundError):
        giver.smith.wrap(bytes(16), taker.record)
