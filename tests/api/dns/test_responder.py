"""Bytes to bytes: what is kept and patched, what has no room, and what no query is."""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.api.dns import responder as module
from gossip.api.dns.compose import OWN_SIZE
from gossip.api.dns.message import MAX_BYTES, Rcode, Type
from gossip.api.dns.responder import Channel, Further
from gossip.core.types import Verdict
from tests.api.dns.world import Dns, query, shown


def world(count: int = 3, **more: Any) -> Dns:
    here = Dns(**more)
    for number in range(count):
        here.node.put(
            here.one, f"web{number}", "web", 8_000 + number, host=f"10.1.{number >> 8}.{number & 255}"
        )
    return here


def answered(here: Dns, data: bytes, channel: Channel | None = None) -> bytes:
    answer = here.raw(data, channel)
    assert isinstance(answer, bytes)
    return answer


# ------------------------------------------------------------------------------------------------ kept


def test_the_same_query_is_answered_from_what_is_ready() -> None:
    here = world()
    first = here.ask("web.service.consul", "SRV")
    assert here.here.hits == 0
    for number in range(5):
        again = here.ask("web.service.consul", "SRV")
        assert sorted(shown(again)) == sorted(shown(first))
        assert here.here.hits == number + 1
    assert here.here.answered[0] == 6


def test_the_question_comes_back_in_the_asker_s_own_letters() -> None:
    here = world()
    for name in ("web.service.consul", "wEb.SeRvIcE.cOnSuL", "WEB.service.CONSUL", "web.service.consul"):
        for kind in ("A", "SRV"):
            data = query(name, kind, edns=1_232)
            answer = answered(here, data)
            assert answer[:2] == data[:2]
            end = data.index(b"\0", 12) + 5
            assert answer[12:end] == data[12:end]
            message = dns.message.from_wire(answer)
            assert len(shown(message)) == 3
            assert {each.name.to_text(omit_final_dot=True) for each in message.answer} == {name}
    assert here.here.hits == 6


def test_what_changes_is_answered_anew_and_nothing_else() -> None:
    here = world()
    here.node.put(here.two, "db", "db", 5_432)
    for name in ("web.service.consul", "db.service.consul"):
        here.ask(name)
    here.node.put(here.two, "more", "web", 80)
    here.ask("db.service.consul")
    assert here.here.hits == 1
    assert len(here.data("web.service.consul")) == 4
    assert here.here.hits == 1
    here.node.check(here.two, "more", Verdict.CRITICAL)
    assert len(here.data("web.service.consul")) == 3
    here.node.add("n9")
    here.ask("db.service.consul")
    assert here.here.hits == 1, "targets are members' names: they may have changed"


def test_flags_sizes_and_transports_do_not_share_answers() -> None:
    here = world()
    for _ in range(2):
        assert here.ask("web.service.consul", flags=dns.flags.RD).flags & dns.flags.RD
        assert not here.ask("web.service.consul", flags=0).flags & dns.flags.RD
        assert here.ask("web.service.consul", edns=1_232).edns == 0
        assert here.ask("web.service.consul").edns == -1
        assert here.ask("web.service.consul", channel=here.tcp).flags & dns.flags.AA
    assert here.here.hits + here.tcp.hits == 6, "the first question was asked four times"


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 8)
    monkeypatch.setattr(module, "MAX_FLEETING", 8)
    here = world()
    for size in range(512, 600):
        here.ask("web.service.consul", edns=size)
        here.ask(f"n{size}.service.consul")
        here.ask(f"0a0000{size & 255:02x}.addr.consul")
        assert len(here.responder._kept) <= 8
        assert len(here.responder._fleeting) <= 8
        assert max(len(here.here.known), len(here.here.fleeting)) <= 8
    assert here.responder._size == sum(kept.size for kept in here.responder._kept.values())


def test_what_is_kept_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT_BYTES", 4_000)
    here = world(30)
    seen = set()
    for _ in range(40):
        for size in (1_000, 1_100):
            seen.add(tuple(sorted(shown(here.ask("web.service.consul", edns=size)))))
            assert here.responder._size <= 4_000
            assert here.responder._size == sum(kept.size for kept in here.responder._kept.values())
    assert len(seen) == 1


def test_denials_push_out_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_KEPT", 2)
    here = world()
    here.ask("web.service.consul")
    for number in range(100):
        here.ask(f"n{number}.service.consul")
    hits = here.here.hits
    here.ask("web.service.consul")
    assert here.here.hits == hits + 1


# --------------------------------------------------------------------------------------------- rotation


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_each_instance_is_the_first_as_often_as_any_other(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROUNDS", 3)
    here = world(count)
    firsts: Counter[str] = Counter()
    for _ in range(module.ROUNDS * count):
        given = shown(here.ask("web.service.consul", edns=4_096))
        assert len(given) == count
        firsts[given[0]] += 1
    assert len(firsts) == count
    assert max(firsts.values()) - min(firsts.values()) <= module.ROUNDS


# ------------------------------------------------------------------------------------------------- room


@pytest.mark.parametrize("edns", [None, 0, 512, 600, 1_232, 4_096, 65_535])
@pytest.mark.parametrize("kind", ["A", "SRV"])
def test_whole_records_that_fit_and_a_word_that_there_are_more(edns: int | None, kind: str) -> None:
    here = world(200)
    limit = max(edns or 0, 512)
    for _ in range(3):
        data = query("web.service.consul", kind, edns=edns)
        answer = answered(here, data)
        assert len(answer) <= limit
        message = dns.message.from_wire(answer)
        assert bool(message.flags & dns.flags.TC) == (len(shown(message)) < 200)
        if kind == "SRV":
            targets = {rdata.target for rdata in message.answer[0]}
            assert {each.name for each in message.additional} == targets, (
                "each with its address, and no other"
            )
        largest = 16 if kind == "A" else 64
        assert len(shown(message)) == 200 or limit - len(answer) < largest, (
            "and no more is left out than must be"
        )


def test_others_get_no_more_than_their_query_deserves() -> None:
    """Over UDP the sender's address may be that of somebody who is to be flooded."""
    here = world(200)
    asked = query("web.service.consul", "SRV", edns=65_535)
    assert len(answered(here, asked, here.here)) > 8_000
    assert len(answered(here, asked, here.afar)) <= 1_232
    assert here.afar.cut == 1


def test_a_stream_has_room_for_a_thousand_whatever_the_query_says() -> None:
    here = world(800)
    for edns in (None, 512):
        data = query("web.service.consul", "SRV", edns=edns)
        message = dns.message.from_wire(answered(here, data, here.tcp))
        assert len(shown(message)) == 800
        assert len(message.additional) == 800
        assert not message.flags & dns.flags.TC
    crowd = world(2_000)
    answer = answered(crowd, query("web.service.consul", "SRV"), crowd.tcp)
    assert MAX_BYTES - 100 < len(answer) <= MAX_BYTES
    assert dns.message.from_wire(answer).flags & dns.flags.TC


# --------------------------------------------------------------------------------------- what is no query


def header(flags: int = 0x0100, counts: tuple[int, ...] = (1, 0, 0, 0)) -> bytes:
    return struct.pack("!6H", 0xABCD, flags, *counts)


NAME = b"\x03web\x07service\x06consul\0"
OPT = b"\0" + struct.pack("!HHI", 41, 1_232, 0)
QUESTION = NAME + struct.pack("!2H", 1, 1)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (header(0x2900) + QUESTION, Rcode.NOTIMP),
        (header(0x1000) + QUESTION, Rcode.NOTIMP),
        (header(counts=(0, 0, 0, 0)), Rcode.FORMERR),
        (header(counts=(2, 0, 0, 0)) + QUESTION * 2, Rcode.FORMERR),
        (header(counts=(65_535, 0, 0, 0)) + QUESTION, Rcode.FORMERR),
        (header(), Rcode.FORMERR),
        (header() + NAME, Rcode.FORMERR),
        (header() + NAME[:-1], Rcode.FORMERR),
        (header() + b"\xc0\x0c" + QUESTION, Rcode.FORMERR),
        (header() + b"\x40" + b"x" * 64 + QUESTION, Rcode.FORMERR),
        (header() + (b"\x3f" + b"x" * 63) * 4 + QUESTION, Rcode.FORMERR),
        (header(counts=(1, 0, 0, 1)) + QUESTION, Rcode.FORMERR),
        (header(counts=(1, 0, 0, 1)) + QUESTION + OPT + b"\0\x09", Rcode.FORMERR),
        (header(counts=(1, 0, 0, 1)) + QUESTION + b"\1x" + OPT + b"\0\0", Rcode.FORMERR),
        (header(counts=(1, 0, 0, 2)) + QUESTION + (OPT + b"\0\0") * 2, Rcode.FORMERR),
        (header() + NAME + struct.pack("!2H", 1, 3), Rcode.REFUSED),
        (header() + NAME + struct.pack("!2H", Type.AXFR, 1), Rcode.REFUSED),
        (header() + NAME + struct.pack("!2H", Type.IXFR, 1), Rcode.REFUSED),
    ],
)  # fmt: skip
def test_what_is_no_query_of_ours_is_told_so(data: bytes, code: Rcode) -> None:
    here = world()
    answer = answered(here, data)
    assert answer[:2] == data[:2]
    assert answer[2] & 0xF8 == 0x80 | (data[2] & 0x78), (
        "an answer, with the operation code that was asked for"
    )
    assert answer[3] & 0xF == code
    assert len(answer) <= len(data)
    dns.message.from_wire(answer)


@pytest.mark.parametrize("data", [b"", b"\0" * 11, header(0x8100) + QUESTION, header(0x8000)])
def test_answers_and_crumbs_are_not_answered(data: bytes) -> None:
    here = world()
    assert here.raw(data) is None
    assert here.here.ignored == 1


def test_a_later_edns_is_refused_by_its_version() -> None:
    here = world()
    data = query("web.service.consul", edns=1_232)
    at = data.rindex(struct.pack("!HH", 41, 1_232)) + 5
    message = dns.message.from_wire(answered(here, data[:at] + b"\1" + data[at + 1 :]))
    assert message.rcode() == dns.rcode.BADVERS
    assert (message.edns, message.payload) == (0, OWN_SIZE)


def test_options_and_bits_that_mean_nothing_here_are_passed_over() -> None:
    here = world()
    options = [
        dns.edns.ECSOption("192.0.2.0", 24),
        dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678"),
        dns.edns.GenericOption(dns.edns.OptionType.make(65_001), b""),
    ]
    for _ in range(2):
        message = here.ask("web.service.consul", edns=1_232, options=options, want_dnssec=True)
        assert len(shown(message)) == 3
        assert message.options == ()
    assert here.here.hits == 1
    assert not here.here.known, "each such query is another"


def test_names_of_others_are_handed_on_if_that_was_asked_for() -> None:
    here = Dns(may_recurse=True)
    here.node.put(here.one, "ext", "ext", 443, host="www.example.com")
    further = here.raw(query("www.example.com"))
    assert isinstance(further, Further)
    assert further.answer is None
    alias = here.raw(query("ext.service.consul"))
    assert isinstance(alias, Further)
    assert alias.answer is not None
    assert alias.answer.chase == "www.example.com"
    assert isinstance(here.raw(query("9.9.9.9.in-addr.arpa", "PTR")), Further)
    assert here.ask("1.0.0.10.in-addr.arpa", "PTR").flags & dns.flags.RA
    assert here.code("nope.service.consul") == "NXDOMAIN+SOA", "what is ours nobody else is asked for"
    assert here.ask("www.example.com", flags=0).rcode() == dns.rcode.REFUSED


# ------------------------------------------------------------------------------------------- properties

WORDS = "web WEB service node addr consul gossip east dc _web _tcp n1 0a000001 in-addr arpa ip6 1 10 0 ."
LABELS = st.sampled_from((*WORDS.encode().split(), b"\xff\xfe", b"", b"x" * 63))
KINDS = st.sampled_from([int(kind) for kind in Type] + [0, 15, 257, 65_535])
QUERIES = st.builds(
    lambda number, flags, counts, labels, kind, cls, rest: (
        number + struct.pack("!5H", flags, *counts)
        + b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
        + struct.pack("!2H", kind, cls) + rest
    ),
    st.binary(min_size=2, max_size=2),
    st.integers(0, 0x7FFF) | st.sampled_from((0, 0x0100)),
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 1), st.integers(0, 2))
    | st.just((1, 0, 0, 0)) | st.just((1, 0, 0, 1)),
    st.lists(LABELS, max_size=8),
    KINDS,
    st.sampled_from((1, 1, 1, 3, 255)),
    st.binary(max_size=40)
    | st.builds(
        lambda size, ttl, data: b"\0" + struct.pack("!HHIH", 41, size, ttl, len(data)) + data,
        st.integers(0, 65_535), st.sampled_from((0, 0x8000, 0x10000)), st.binary(max_size=20),
    ),
)  # fmt: skip
SHARED = world(60)


@given(st.binary(max_size=600) | QUERIES)
def test_no_bytes_raise_and_no_answer_is_larger_than_may_be(data: bytes) -> None:
    """Each is asked on every way, and twice: the second time from what is kept."""
    for channel, most in ((SHARED.here, 65_467), (SHARED.afar, 1_232), (SHARED.tcp, 65_535)):
        for _ in range(2):
            answer = SHARED.raw(data, channel)
            if answer is None:
                assert len(data) < 12 or data[2] & 0x80
                continue
            assert isinstance(answer, bytes)
            assert len(answer) <= most
            assert answer[:2] == data[:2]
            message = dns.message.from_wire(answer)
            assert message.flags & dns.flags.QR
            if message.edns < 0 and channel is not SHARED.tcp:
                assert len(answer) <= 512


@given(st.data())
def test_a_sound_query_with_bytes_changed(data: st.DataObject) -> None:
    sound = bytearray(query("web.service.consul", "SRV", edns=1_232))
    for _ in range(data.draw(st.integers(1, 4))):
        sound[data.draw(st.integers(2, len(sound) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(sound[: data.draw(st.integers(0, len(sound)))])
    answer = SHARED.raw(cut, SHARED.afar)
    if answer is not None:
        assert isinstance(answer, bytes)
        assert len(answer) <= 1_232
        dns.message.from_wire(answer)
