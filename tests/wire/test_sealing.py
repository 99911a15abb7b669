"""Sealed datagrams and streams: what an outsider can do with them, which is nothing."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.core.keys import KeyState
from gossip.errors import LimitError, RemoteProtocolError
from gossip.wire import sealing
from gossip.wire.keyring import KeyRing, key_id
from gossip.wire.seal import FRAME_MAX, FRAME_OVERHEAD_BYTES, LENGTH_BYTES, OVERHEAD_BYTES, ClearSealer
from gossip.wire.sealing import WINDOW, RingSealer, Window
from tests.wire.samples import mutate, refusal

if TYPE_CHECKING:
    import random

KEY, OTHER_KEY = bytes(range(32)), bytes(range(32, 64))
SECRET = b"\x5a" * 32
NAMES = iter(range(1 << 30))


def ring(*secrets: bytes, accepts_clear: bool = False) -> KeyRing:
    """The first one is sent with."""
    made = KeyRing(accepts_clear=accepts_clear)
    for number, secret in enumerate(secrets):
        made.add(secret, f"k{number}", KeyState.SENDING if number == 0 else KeyState.RECEIVING)
    return made


def sealer(*secrets: bytes, cluster: str = "test", accepts_clear: bool = False) -> RingSealer:
    """Of a process of its own."""
    session = hashlib.blake2b(b"%d" % next(NAMES), digest_size=16).digest()
    return RingSealer(ring(*secrets, accepts_clear=accepts_clear), cluster, session, session[::-1])


# -- datagrams


@given(st.binary(min_size=1, max_size=1_400))
def test_what_one_seals_the_other_opens(body: bytes) -> None:
    assert sealer(KEY).open(sealer(KEY).seal(body)) == body


def test_golden_bytes_of_a_datagram() -> None:
    """Layout, derivation, nonce and associated data: they must decode for ever."""
    one = RingSealer(ring(KEY), "test", bytes(range(16)), SECRET)
    one.seal(b"first")
    datagram = one.seal(b"body")
    assert datagram.hex() == GOLDEN_DATAGRAM
    assert len(datagram) == len(b"body") + OVERHEAD_BYTES


GOLDEN_DATAGRAM = (
    "010d000102030405060708090a0b0c0d0e0f0000000000000001aa71cb67dd2d7980b7e8458d1c9f7f60debe27f5"
)
GOLDEN_FRAME = (
    "0000003e010d798c6dfa7a0e470c947222bebe33370c00000000000000000000000000000000000000000000"
    "00009faad8caa2a6a0abb6a820eb203ead70542e3cd9"
)


def test_an_eavesdropper_sees_no_text_and_no_two_alike() -> None:
    one = sealer(KEY)
    sealed = [one.seal(b"the same words") for _ in range(100)]
    assert len({datagram[26:] for datagram in sealed}) == 100
    assert all(b"the same words" not in datagram for datagram in sealed)


def test_a_flipped_bit_anywhere_is_refused() -> None:
    one, other = sealer(KEY), sealer(KEY)
    datagram = one.seal(b"body")
    for at in range(len(datagram) * 8):
        damaged = bytearray(datagram)
        damaged[at // 8] ^= 1 << at % 8
        reason = {0: "version", 1: "sealed"}.get(at // 8, "cluster")
        if damaged[1] == 0:
            reason = "clear"
        assert refusal(other.open, bytes(damaged)) == reason
    assert other.open(datagram) == b"body"


def test_every_beginning_and_mutation_is_refused(rng: random.Random) -> None:
    one, other = sealer(KEY), sealer(KEY)
    datagram = one.seal(bytes(range(64)))
    for size in range(len(datagram)):
        assert refusal(other.open, datagram[:size]) == ("malformed" if size <= OVERHEAD_BYTES else "cluster")
    for _ in range(2_000):
        damaged = mutate(datagram, rng)
        assert damaged == datagram or refusal(other.open, damaged)


def test_a_replay_is_refused_in_its_session() -> None:
    one, other = sealer(KEY), sealer(KEY)
    datagrams = [one.seal(b"%d" % number) for number in range(3 * WINDOW)]
    for datagram in datagrams[:-1]:
        other.open(datagram)
    for datagram in datagrams[:-1]:
        assert refusal(other.open, datagram) == "replayed"
    assert other.open(datagrams[-1])


def test_datagrams_that_overtake_each_other_are_taken_once_each(rng: random.Random) -> None:
    one, other = sealer(KEY), sealer(KEY)
    other.open(one.seal(b"first"))
    datagrams = [one.seal(b"%d" % number) for number in range(WINDOW)]
    rng.shuffle(datagrams)
    for datagram in datagrams:
        other.open(datagram)
        assert refusal(other.open, datagram) == "replayed"


def test_what_is_older_than_the_first_that_was_met_is_a_replay() -> None:
    """Whoever recorded a session before this receiver began has nothing to add to it afterwards."""
    one, other = sealer(KEY), sealer(KEY)
    recorded = [one.seal(b"old") for _ in range(10)]
    other.open(one.seal(b"now"))
    assert {refusal(other.open, datagram) for datagram in recorded} == {"replayed"}


def test_a_replay_of_an_old_session_is_opened_and_that_is_known() -> None:
    """The window says nothing of sessions that were never met: what is inside has to be harmless."""
    old, receiver = sealer(KEY), sealer(KEY)
    assert receiver.open(old.seal(b"old")) == b"old"


def test_reflection_is_refused_in_this_session_and_the_last() -> None:
    one = sealer(KEY)
    before = one.seal(b"mine")
    one.renew(b"\x07" * 16)
    assert refusal(one.open, before) == "own"
    assert refusal(one.open, one.seal(b"mine")) == "own"


def test_a_new_session_starts_at_zero_under_another_key() -> None:
    one, other = sealer(KEY), sealer(KEY)
    first = one.seal(b"body")
    one.renew(b"\x07" * 16)
    second = one.seal(b"body")
    assert second[18:26] == first[18:26] == bytes(8)
    assert second[26:] != first[26:]
    assert (other.open(first), other.open(second)) == (b"body", b"body")


def test_another_cluster_of_the_same_key_is_refused() -> None:
    assert refusal(sealer(KEY, cluster="b").open, sealer(KEY, cluster="a").seal(b"x")) == "cluster"


def test_a_wrong_key_is_refused_without_being_tried() -> None:
    assert key_id(KEY) != key_id(OTHER_KEY)
    assert refusal(sealer(KEY).open, sealer(OTHER_KEY).seal(b"x")) == "sealed"


def test_a_wrong_key_of_the_same_id_is_refused() -> None:
    twin = next(
        secret
        for secret in (hashlib.sha256(b"%d" % number).digest() for number in range(10_000))
        if key_id(secret) == key_id(KEY)
    )
    assert refusal(sealer(KEY).open, sealer(twin).seal(b"x")) == "cluster"


def test_a_mixed_ring_reads_both_and_seals_with_one() -> None:
    """Scenario 82."""
    old, new = sealer(KEY, OTHER_KEY), sealer(OTHER_KEY, KEY)
    assert old.open(new.seal(b"x")) == new.open(old.seal(b"x")) == b"x"
    only_old = sealer(KEY)
    assert refusal(only_old.open, new.seal(b"x")) == "sealed"
    assert new.open(only_old.seal(b"x")) == b"x"


def test_a_ring_that_changes_counts_at_once() -> None:
    keys = ring(KEY, OTHER_KEY)
    one = RingSealer(keys, "test", b"\x01" * 16, SECRET)
    reader, late = sealer(KEY, OTHER_KEY), sealer(OTHER_KEY)
    reader.open(one.seal(b"a"))
    keys.use(keys.find("k1").mark)
    datagram = one.seal(b"b")
    assert (reader.open(datagram), late.open(datagram)) == (b"b", b"b")
    assert refusal(reader.open, datagram) == "replayed"
    old = sealer(KEY)
    assert one.open(old.seal(b"c")) == b"c"
    keys.retire(keys.find("k0").mark)
    assert refusal(one.open, old.seal(b"d")) == "sealed"


def test_clear_text_is_refused_and_sealed_text_by_who_has_no_key() -> None:
    """Scenario 81."""
    clear, sealed = ClearSealer("test", b"\x09" * 16), sealer(KEY)
    assert refusal(sealed.open, clear.seal(b"x")) == "clear"
    assert refusal(clear.open, sealed.seal(b"x")) == "sealed"


def test_clear_text_is_taken_and_counted_while_the_operator_says_so() -> None:
    """Scenario 83."""
    counted: list[int] = []
    keys = ring(KEY, accepts_clear=True)
    moving = RingSealer(keys, "test", b"\x08" * 16, SECRET, lambda: counted.append(1))
    assert moving.open(ClearSealer("test", b"\x09" * 16).seal(b"x")) == b"x"
    assert len(counted) == 1
    assert refusal(moving.open, ClearSealer("other", b"\x09" * 16).seal(b"x")) == "cluster"


def test_without_a_key_to_send_with_it_speaks_in_clear() -> None:
    keys = KeyRing(accepts_clear=True)
    key = keys.add(KEY, "first")
    one, clear = RingSealer(keys, "test", b"\x05" * 16, SECRET), ClearSealer("test", b"\x09" * 16)
    datagram = one.seal(b"x")
    assert clear.open(datagram) == b"x"
    assert one.mark(datagram) == datagram[2:26]
    assert refusal(one.open, datagram) == "own"
    keys.use(key.mark)
    assert refusal(clear.open, one.seal(b"x")) == "sealed"


def test_a_mark_names_its_own_datagrams_only() -> None:
    one, other = sealer(KEY), sealer(KEY)
    datagram = one.seal(b"x")
    assert one.mark(datagram) == one.mark(datagram[:26]) == datagram[2:26]
    assert one.mark(datagram[:25]) is None
    assert one.mark(b"\x02" + datagram[1:]) is None
    assert other.mark(datagram) is None
    one.renew(b"\x07" * 16)
    assert one.mark(datagram) == datagram[2:26]


def test_forged_sessions_take_no_place_and_real_ones_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "SESSIONS_KEPT", 8)
    receiver = sealer(KEY)
    datagram = sealer(KEY).seal(b"x")
    for number in range(50):
        forged = (
            datagram[:2] + hashlib.blake2b(b"forged %d" % number, digest_size=16).digest() + datagram[18:]
        )
        assert refusal(receiver.open, forged) == "cluster"
    assert len(receiver._peers) == 0
    for _ in range(50):
        receiver.open(sealer(KEY).seal(b"x"))
    assert len(receiver._peers) <= 16


def test_who_is_heard_keeps_its_window_however_many_others_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "SESSIONS_KEPT", 8)
    receiver, peer = sealer(KEY), sealer(KEY)
    first = peer.seal(b"x")
    receiver.open(first)
    for _ in range(100):
        receiver.open(sealer(KEY).seal(b"x"))
        receiver.open(peer.seal(b"x"))
    assert refusal(receiver.open, first) == "replayed"


@given(st.lists(st.integers(0, 3 * WINDOW), min_size=1, max_size=200))
def test_the_window_agrees_with_a_set(counters: list[int]) -> None:
    window = Window(counters[0])
    met, lowest, highest = {counters[0]}, counters[0], counters[0]
    for counter in counters:
        expected = counter in met or counter < lowest or counter <= highest - WINDOW
        assert window.has_met(counter) == expected
        if not expected:
            window.note(counter)
            met.add(counter)
            highest = max(highest, counter)


# -- streams


def content(frame: bytes) -> bytes:
    assert int.from_bytes(frame[:LENGTH_BYTES], "big") == len(frame) - LENGTH_BYTES
    return frame[LENGTH_BYTES:]


def test_golden_bytes_of_a_frame() -> None:
    end = RingSealer(ring(KEY), "test", bytes(range(16)), b"").stream()
    assert end.seal(b"body").hex() == GOLDEN_FRAME


def test_both_ends_talk() -> None:
    one, other = sealer(KEY).stream(), sealer(KEY).stream()
    for number in range(5):
        body = b"%d" % number
        assert other.open(content(one.seal(body))) == body
        assert one.open(content(other.seal(body))) == body


def test_a_frame_is_no_datagram_and_a_datagram_no_frame() -> None:
    one, other = sealer(KEY), sealer(KEY)
    assert refusal(other.open, content(one.stream().seal(bytes(64)))) == "cluster"
    assert refusal(other.stream().open, one.seal(bytes(64))) == "cluster"


def test_a_flipped_bit_anywhere_in_a_frame_is_refused() -> None:
    frame = content(sealer(KEY).stream().seal(b"body"))
    for at in range(len(frame) * 8):
        damaged = bytearray(frame)
        damaged[at // 8] ^= 1 << at % 8
        reason = {0: "version", 1: "clear" if damaged[1] == 0 else "sealed"}.get(at // 8, "cluster")
        assert refusal(sealer(KEY).stream().open, bytes(damaged)) == reason


def test_frames_out_of_turn_twice_or_of_another_stream_are_refused() -> None:
    node, other = sealer(KEY), sealer(KEY).stream()
    one, stray = node.stream(), node.stream()
    first, second = content(one.seal(b"1")), content(one.seal(b"2"))
    assert refusal(other.open, second) == "order"
    other = sealer(KEY).stream()
    assert other.open(first) == b"1"
    assert refusal(other.open, first) == "order"
    stray.seal(b"1")
    assert refusal(other.open, content(stray.seal(b"2"))) == "stream"
    assert refusal(one.open, content(one.seal(b"3"))) == "own"


def test_the_beginning_of_a_stream_opens_no_second_one() -> None:
    client, server = sealer(KEY), sealer(KEY)
    hello = content(client.stream().seal(b"hello"))
    assert server.stream().open(hello) == b"hello"
    assert refusal(server.stream().open, hello) == "replayed"


def test_who_has_the_key_cannot_use_up_streams_to_come() -> None:
    """He sees a session in each datagram; with it alone he does not know how streams will begin."""
    keys, session = ring(KEY), bytes(range(16))
    node, server = RingSealer(keys, "test", session, SECRET), sealer(KEY)
    for secret in (b"", b"thief"):
        for _ in range(20):
            first = RingSealer(keys, "test", session, secret).stream().seal(b"hello")
            refusal(server.stream().open, content(first))
    for _ in range(20):
        assert server.stream().open(content(node.stream().seal(b"hello"))) == b"hello"


def test_a_recorded_answer_fits_no_other_stream() -> None:
    client, server = sealer(KEY).stream(), sealer(KEY).stream()
    server.open(content(client.seal(b"hello")))
    answer = content(server.seal(b"welcome"))
    assert client.open(answer) == b"welcome"
    victim = sealer(KEY).stream()
    victim.seal(b"hello")
    assert refusal(victim.open, answer) == "stream"


def test_a_caller_with_an_old_key_is_answered_under_it() -> None:
    client, server = sealer(KEY).stream(), sealer(OTHER_KEY, KEY).stream()
    server.open(content(client.seal(b"hello")))
    assert client.open(content(server.seal(b"here is a key"))) == b"here is a key"


def test_a_stream_keeps_its_key_when_the_ring_changes() -> None:
    keys = ring(KEY, OTHER_KEY)
    client, server = RingSealer(keys, "test", b"\x03" * 16, SECRET).stream(), sealer(KEY, OTHER_KEY).stream()
    server.open(content(client.seal(b"1")))
    client.open(content(server.seal(b"0")))
    keys.use(keys.find("k1").mark)
    keys.remove(keys.find("k0").mark)
    assert server.open(content(client.seal(b"2"))) == b"2"
    assert client.open(content(server.seal(b"3"))) == b"3"


def test_an_end_that_changes_its_key_in_midstream_is_refused() -> None:
    node = RingSealer(ring(KEY, OTHER_KEY), "test", b"\x03" * 16, SECRET)
    server = sealer(KEY, OTHER_KEY).stream()
    client = node.stream()
    server.open(content(client.seal(b"1")))
    frame = content(client.seal(b"2"))
    assert refusal(server.open, frame[:1] + bytes((key_id(OTHER_KEY),)) + frame[2:]) == "stream"


def test_streams_in_clear_are_refused_or_counted() -> None:
    counted: list[int] = []
    clear, sealed = ClearSealer("test", b"\x09" * 16), sealer(KEY)
    moving = RingSealer(
        ring(KEY, accepts_clear=True), "test", b"\x08" * 16, SECRET, lambda: counted.append(1)
    )
    caller = clear.stream()
    hello = content(caller.seal(b"hello"))
    assert refusal(sealed.stream().open, hello) == "clear"
    end = moving.stream()
    assert end.open(hello) == b"hello"
    assert caller.open(content(end.seal(b"welcome"))) == b"welcome"
    assert len(counted) == 1


def test_what_was_said_sealed_is_not_answered_in_clear() -> None:
    """A downgrade: somebody in between takes the call, and answers without the key."""
    moving, stranger = sealer(KEY, accepts_clear=True).stream(), ClearSealer("test", b"\x09" * 16).stream()
    moving.seal(b"hello")
    assert refusal(moving.open, content(stranger.seal(b"trust me"))) == "clear"


def test_a_frame_is_bounded() -> None:
    end = sealer(KEY).stream()
    with pytest.raises(LimitError, match="the limit is 1048576"):
        end.seal(bytes(FRAME_MAX - FRAME_OVERHEAD_BYTES + 1))
    assert len(end.seal(bytes(FRAME_MAX - FRAME_OVERHEAD_BYTES))) == FRAME_MAX + LENGTH_BYTES
    with pytest.raises(RemoteProtocolError, match="malformed"):
        end.open(bytes(FRAME_OVERHEAD_BYTES))
