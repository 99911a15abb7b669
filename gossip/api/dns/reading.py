"""Records out of another server's answer: addresses and aliases, with their names written out."""

from __future__ import annotations

import struct
from typing import Final

from gossip.api.dns.message import HEADER_BYTES, IN, Record, Type, wire_name

__all__ = ["read_answers"]

MAX_RECORDS: Final = 64
_COUNTS = struct.Struct("!4H")
_RECORD = struct.Struct("!HHIH")
_TAKEN: Final[dict[int, int]] = {Type.A: 4, Type.AAAA: 16}
"""The types that are taken, and how long their data is."""


def read_answers(data: bytes) -> list[Record]:
    """The addresses and aliases of its answer section; what cannot be read ends it."""
    found: list[Record] = []
    questions, answers, _, _ = _COUNTS.unpack_from(data, 4)
    at = HEADER_BYTES
    for _ in range(questions):
        name = _name(data, at)
        if name is None:
            return found
        at = name[1] + 4
    for _ in range(min(answers, MAX_RECORDS)):
        name = _name(data, at)
        if name is None or len(data) < name[1] + _RECORD.size:
            return found
        owner, at = name
        kind, cls, ttl, size = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        content = data[at : at + size]
        if len(content) < size:
            return found
        if kind == Type.CNAME and cls == IN:
            alias = _name(data, at)
            if alias is None:
                return found
            found.append(Record(owner, kind, ttl, alias[0]))
        elif cls == IN and _TAKEN.get(kind) == size:
            found.append(Record(owner, kind, ttl, content))
        at += size
    return found


def _name(data: bytes, at: int) -> tuple[bytes, int] | None:
    """A name written out, and where it ends; pointers must lead backwards, so that they come to an end."""
    labels: list[bytes] = []
    end = 0
    earliest = at
    length = 1
    while at < len(data):
        size = data[at]
        if not size:
            name = wire_name(*labels)
            return None if name is None else (name, end or at + 1)
        if size >= 0xC0:
            if at + 2 > len(data):
                return None
            end = end or at + 2
            at = (size & 0x3F) << 8 | data[at + 1]
            if at >= earliest:
                return None
            earliest = at
            continue
        length += size + 1
        if size > 0x3F or length > 255:
            return None
        labels.append(data[at + 1 : at + 1 + size])
        at += 1 + size
    return None
