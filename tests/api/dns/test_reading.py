"""Other servers' answers: what is taken out of them, and that nothing in them does harm."""

from __future__ import annotations

import struct

import dns.message
import dns.name
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.api.dns.message import Type
from gossip.api.dns.reading import MAX_RECORDS, read_answers


def sound(*records: tuple[str, str, str]) -> bytes:
    message = dns.message.make_response(dns.message.make_query("www.example.com", "A"))
    for name, kind, text in records:
        message.answer.append(dns.rrset.from_text(name, 60, "IN", kind, text))
    return message.to_wire()


def test_addresses_and_aliases_are_taken_and_their_names_written_out() -> None:
    records = read_answers(
        sound(
            ("www.example.com.", "CNAME", "edge.example.com."),
            ("edge.example.com.", "A", "192.0.2.1"),
            ("edge.example.com.", "AAAA", "2001:db8::1"),
            ("edge.example.com.", "TXT", '"no"'),
        )
    )
    assert [(dns.name.from_wire(each.owner, 0)[0].to_text(), each.type, each.ttl) for each in records] == [
        ("www.example.com.", Type.CNAME, 60),
        ("edge.example.com.", Type.A, 60),
        ("edge.example.com.", Type.AAAA, 60),
    ]
    assert dns.name.from_wire(records[0].data, 0)[0].to_text() == "edge.example.com."
    assert records[1].data == bytes((192, 0, 2, 1))


HEAD = struct.pack("!6H", 1, 0x8180, 0, 1, 0, 0)


@pytest.mark.parametrize(
    "name",
    [
        b"\xc0\x0c",
        b"\x01a\xc0\x0c",
        b"\xc0\xff",
        b"\xc0",
        b"\x80\0",
        b"\x3f" + b"x" * 10,
        (b"\x3f" + b"x" * 63) * 4 + b"\0",
        b"",
    ],
)
def test_names_that_do_not_end_are_none(name: bytes) -> None:
    assert read_answers(HEAD + name + struct.pack("!HHIH", 1, 1, 0, 4) + b"abcd") == []


@pytest.mark.parametrize(("kind", "size"), [(1, 3), (1, 5), (28, 4), (1, 60_000)])
def test_data_of_another_length_than_its_type_has_is_not_taken(kind: int, size: int) -> None:
    assert read_answers(HEAD + b"\0" + struct.pack("!HHIH", kind, 1, 0, size) + b"abcde"[:size]) == []


def test_there_is_an_end_to_what_is_taken() -> None:
    one = b"\0" + struct.pack("!HHIH", 1, 1, 0, 4) + b"abcd"
    assert len(read_answers(struct.pack("!6H", 1, 0x8180, 0, 1_000, 0, 0) + one * 1_000)) == MAX_RECORDS


@given(st.binary(min_size=12, max_size=300), st.integers(0, 3), st.integers(0, 70))
def test_no_bytes_raise(data: bytes, questions: int, answers: int) -> None:
    read_answers(data[:4] + struct.pack("!2H", questions, answers) + data[8:])


@given(st.data())
def test_a_sound_answer_with_bytes_changed(data: st.DataObject) -> None:
    whole = bytearray(
        sound(("www.example.com.", "CNAME", "a.example.com."), ("a.example.com.", "A", "192.0.2.1"))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    for record in read_answers(bytes(whole[: data.draw(st.integers(12, len(whole)))])):
        dns.name.from_wire(record.owner, 0)
