"""The sizes that core reckons with are those that the codec makes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.core.messages import Ack, Gossip, Ping
from gossip.core.params import PACKET_OVERHEAD_BYTES, Params
from gossip.core.records import MAX_FACT_BYTES
from gossip.core.sizes import NEWS_FREE, bare_bytes, news_bytes
from gossip.wire import codec
from gossip.wire.seal import OVERHEAD_BYTES, ClearSealer
from tests.wire.samples import acks, gossips, pings

ID = bytes(16)
VIEW = bytes(8)


@pytest.mark.parametrize(
    ("message", "size"),
    [
        (Gossip(ID, ()), 22),
        (Ping(0, ID, ID, ("1.1.1.1", 1), VIEW, b"", ()), 63),
        (Ping(127, ID, ID, ("1.1.1.1", 127), VIEW, b"", ()), 63),
        (Ping(128, ID, ID, ("1.1.1.1", 128), VIEW, b"", ()), 65),
        (Ping(2**16, ID, ID, ("1.1.1.1", 256), VIEW, b"", ()), 69),
        (Ping(2**32, ID, ID, ("1.1.1.1", 65_535), VIEW, bytes(64), ()), 137),
        (Ping(2**63 - 1, ID, ID, ("255.255.255.255", 65_535), VIEW, bytes(64), ()), 145),
        (Ack(2**63 - 1, ID, ("1.1.1.1", 65_535), VIEW, b"", ()), 55),
        (Ack(0, ID, ("a" * 31, 1), VIEW, b"", ()), 69),
        (Ack(0, ID, ("a" * 32, 1), VIEW, b"", ()), 71),
        (Ack(0, ID, ("a" * 39, 1), VIEW, b"", ()), 78),
        (Gossip(ID, (), 2**63 - 1), 30),
        (Ping(0, ID, ID, ("1.1.1.1", 1), VIEW, b"", (), 2**40), 71),
    ],
)
def test_table_of_bare_sizes(message: Ping | Ack | Gossip, size: int) -> None:
    assert bare_bytes(message) == size == len(codec.encode(message))


@given(pings | acks | gossips)
def test_a_message_is_its_bare_size_and_its_news(message: Ping | Ack | Gossip) -> None:
    sizes = sum(map(news_bytes, message.news)) + (2 if len(message.news) > NEWS_FREE else 0)
    assert len(codec.encode(message)) == bare_bytes(message) + sizes


@given(st.integers(65, MAX_FACT_BYTES))
def test_what_one_fact_adds(size: int) -> None:
    raw = bytes(size)
    bare = Gossip(ID, ())
    full = msgspec.structs.replace(bare, news=(raw,))
    assert len(codec.encode(full)) - len(codec.encode(bare)) == news_bytes(raw)


def test_what_a_datagram_costs_besides() -> None:
    assert len(ClearSealer("test", b"s" * 16).seal(b"body")) - 4 == OVERHEAD_BYTES == PACKET_OVERHEAD_BYTES


def test_the_largest_fact_fits_the_smallest_datagram() -> None:
    size = bare_bytes(Gossip(ID, ())) + news_bytes(bytes(MAX_FACT_BYTES)) + PACKET_OVERHEAD_BYTES
    assert size <= Params().packet_bytes


def test_the_largest_datagram_is_within_what_is_read() -> None:
    assert Params().packet_bytes_proven - PACKET_OVERHEAD_BYTES <= codec.MAX_PACKET_BODY
