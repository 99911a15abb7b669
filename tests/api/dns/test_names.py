"""Names, read from the right: the corners that no answer shows."""

from __future__ import annotations

import pytest

from gossip.api.dns.message import labels_of
from gossip.api.dns.names import Kind, Names

NAMES = Names(("consul", "sd.example"), "service")


@pytest.mark.parametrize(
    ("text", "kind", "name", "tag"),
    [
        ("web.service.consul", Kind.SERVICE, "web", ""),
        ("web.service.sd.example", Kind.SERVICE, "web", ""),
        ("service.service.consul", Kind.SERVICE, "service", ""),
        ("_tcp._tcp.service.consul", Kind.SERVICE, "tcp", ""),
        ("_a.service.consul", Kind.EMPTY, "", ""),
        ("a._b.service.consul", Kind.SERVICE, "_b", "a"),
        ("node.node.consul", Kind.NODE, "node", ""),
        ("node.consul", Kind.EMPTY, "", ""),
        ("consul", Kind.APEX, "", ""),
        ("sd.example", Kind.APEX, "", ""),
        ("example", Kind.FOREIGN, "", ""),
        ("::.addr.consul", Kind.UNKNOWN, "", ""),
        ("7f 000001.addr.consul", Kind.UNKNOWN, "", ""),
    ],
)
def test_reading(text: str, kind: Kind, name: str, tag: str) -> None:
    asked = NAMES.read(labels_of(text))
    assert (asked.kind, asked.name, asked.tag) == (kind, name, tag)


def test_bytes_that_are_no_text_name_nothing() -> None:
    assert NAMES.read((b"\xff", b"service", b"consul")).kind is Kind.UNKNOWN
    assert NAMES.read((b"\xff",) * 4 + (b"in-addr", b"arpa")).kind is Kind.FOREIGN
    assert NAMES.read(()).kind is Kind.FOREIGN
