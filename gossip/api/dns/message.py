"""DNS messages as bytes (RFC 1035, 6891): a query is read once, an answer is put together from ready parts.

Only what a server without zones of files needs: one question, names without compression on the way in, and
the names of answers as a pointer to the question or to the target of an SRV record before them.
"""

from __future__ import annotations

import enum
import functools
import ipaddress
import struct
from typing import Final, NamedTuple

__all__ = [
    "CLASSIC_BYTES",
    "HEADER_BYTES",
    "IN",
    "MAX_BYTES",
    "OPT_BYTES",
    "QUESTION_NAME",
    "Flag",
    "Query",
    "Rcode",
    "Record",
    "Type",
    "address_record",
    "error",
    "labels_of",
    "opt",
    "parse",
    "wire_name",
]

HEADER_BYTES: Final = 12
CLASSIC_BYTES: Final = 512
"""What an answer over UDP may have if the query says nothing of it (RFC 1035, 4.2.1)."""
MAX_BYTES: Final = 65_535
"""Of any message: over TCP its length stands in two bytes."""
MAX_LABEL_BYTES: Final = 63
MAX_NAME_BYTES: Final = 255
OPT_BYTES: Final = 11
QUESTION_NAME: Final = b"\xc0\x0c"
"""A pointer to the name of the question, which stands right after the header."""
IN: Final = 1
ANY_CLASS: Final = 255

_COUNTS = struct.Struct("!4H")
_PAIR = struct.Struct("!2H")
_RECORD = struct.Struct("!HHIH")


class Type(enum.IntEnum):
    """Types of records that mean something here."""

    A = 1
    NS = 2
    CNAME = 5
    SOA = 6
    PTR = 12
    TXT = 16
    AAAA = 28
    SRV = 33
    OPT = 41
    IXFR = 251
    AXFR = 252
    ANY = 255


class Rcode(enum.IntEnum):
    """How a question was answered."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16
    """Does not fit the header: its upper bits stand in the OPT record."""


class Flag:
    """Bits of the second word of a header; plain numbers, since each answer combines some."""

    QR: Final = 0x8000
    OPCODE: Final = 0x7800
    AA: Final = 0x0400
    TC: Final = 0x0200
    RD: Final = 0x0100
    RA: Final = 0x0080


class Query(NamedTuple):
    """One question, and what its asker can take."""

    recursive: bool
    """The asker wants whoever answers to ask further."""
    question: bytes
    """Name, type and class as they came: their case is a nonce of the asker's (0x20)."""
    labels: tuple[bytes, ...]
    """The name in lower case, without the root."""
    type: int
    cls: int
    size: int
    """Bytes that an answer over UDP may have."""
    edns: int | None
    """The version of EDNS that it speaks; None: it does not."""
    plain: bool
    """Nothing in it differs from the next query for the same but the number."""


class Record(NamedTuple):
    """One resource record."""

    owner: bytes
    """Its name, or a pointer."""
    type: int
    ttl: int
    """Seconds."""
    data: bytes

    def encode(self) -> bytes:
        return self.owner + _RECORD.pack(self.type, IN, self.ttl, len(self.data)) + self.data


def parse(data: bytes) -> Query | Rcode | None:
    """A query; what to tell its sender if it cannot be answered; None if nothing may be said at all.

    An answer is never answered: two servers would talk to each other for ever.
    """
    if len(data) < HEADER_BYTES or data[2] & 0x80:
        return None
    if data[2] & 0x78:
        return Rcode.NOTIMP
    questions, *others = _COUNTS.unpack_from(data, 4)
    if questions != 1:
        return Rcode.FORMERR
    found = _question_name(data)
    if found is None:
        return Rcode.FORMERR
    labels, end = found
    if len(data) < end + 4:
        return Rcode.FORMERR
    kind, cls = _PAIR.unpack_from(data, end)
    size, edns, options = CLASSIC_BYTES, None, 0
    if any(others):
        extended = _find_opt(data, end + 4, sum(others))
        if isinstance(extended, Rcode):
            return extended
        if extended is not None:
            size, edns, options = extended
            size = max(size, CLASSIC_BYTES)
    question = data[HEADER_BYTES : end + 4]
    lower = tuple(label.lower() for label in labels)
    plain = not options and lower == tuple(labels)
    return Query(bool(data[2] & 1), question, lower, kind, cls, size, edns, plain)


def _question_name(data: bytes) -> tuple[list[bytes], int] | None:
    """The labels of the name after the header, and where it ends; None if it is none."""
    labels: list[bytes] = []
    at = HEADER_BYTES
    longest = min(len(data), HEADER_BYTES + MAX_NAME_BYTES)
    while at < longest:
        size = data[at]
        at += 1
        if not size:
            return labels, at
        if size > MAX_LABEL_BYTES:
            return None
        labels.append(data[at : at + size])
        at += size
    return None


def _find_opt(data: bytes, at: int, count: int) -> tuple[int, int, int] | Rcode | None:
    """Size, version and bytes of options of the one OPT record, if there is one among these records."""
    found: tuple[int, int, int] | None = None
    for _ in range(count):
        start = at
        while at < len(data) and 0 < data[at] <= MAX_LABEL_BYTES:
            at += data[at] + 1
        at += 1 if data[at : at + 1] == b"\0" else 2
        if len(data) < at + _RECORD.size:
            return Rcode.FORMERR
        kind, size, ttl, options = _RECORD.unpack_from(data, at)
        at += _RECORD.size + options
        if len(data) < at:
            return Rcode.FORMERR
        if kind == Type.OPT:
            if found is not None or data[start]:
                return Rcode.FORMERR
            found = size, ttl >> 16 & 0xFF, options
    return found


def opt(size: int, rcode: int = 0) -> bytes:
    """The OPT record of an answer: what this server takes over UDP, and the upper bits of `rcode`."""
    return b"\0" + _RECORD.pack(Type.OPT, size, rcode >> 4 << 24, 0)


def error(data: bytes, rcode: Rcode, question: bytes = b"") -> bytes:
    """An answer to the query in `data` that says only what is wrong with it."""
    flags = Flag.QR | (data[2] << 8 & (Flag.OPCODE | Flag.RD)) | (rcode & 0xF)
    return data[:2] + struct.pack("!5H", flags, bool(question), 0, 0, 0) + question


def wire_name(*labels: bytes) -> bytes | None:
    """A whole name as bytes; None if these are no labels of one."""
    if not all(0 < len(label) <= MAX_LABEL_BYTES for label in labels):
        return None
    name = b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
    return name if len(name) <= MAX_NAME_BYTES else None


def labels_of(text: str) -> tuple[bytes, ...]:
    """What stands between the dots of a name; a dot at its end says nothing."""
    return tuple(text.removesuffix(".").encode().split(b"."))


@functools.lru_cache(maxsize=4_096)
def address_record(host: str) -> tuple[Type, bytes] | None:
    """The type and the data of an address's record; None if `host` is a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (Type.A if address.version == 4 else Type.AAAA), address.packed
