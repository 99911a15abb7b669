"""From records to the bytes of an answer that fits: whole records only, each with its address."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from gossip.api.dns.message import HEADER_BYTES, OPT_BYTES, Flag, Query, opt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gossip.api.dns.message import Record
    from gossip.api.dns.zone import Answer, Item

__all__ = ["Body", "compose", "rotated"]

MAX_POINTER: Final = 0x3FFF
"""A pointer has 14 bits: what stands further away is written out."""
OWN_SIZE: Final = 1_232
"""Bytes that this server asks to be sent over UDP (RFC 9715 has 1,400 at most; queries are short)."""
_HEADER = struct.Struct("!5H")


class Body(NamedTuple):
    """An answer without the number of its query."""

    data: bytes
    is_cut: bool


def rotated(items: Sequence[Item], by: int) -> Sequence[Item]:
    """The same, beginning with another one."""
    by %= len(items) or 1
    return (*items[by:], *items[:by]) if by else items


def compose(query: Query, answer: Answer, limit: int, *, turn: int = 0, may_recurse: bool = False) -> Body:
    """The answer in at most `limit` bytes; what does not fit is left out from the end, and TC says so.

    Args:
        query: its question is repeated byte for byte.
        answer: all that there is to say.
        limit: bytes; the header, the question and OPT always fit, since it is at least 512.
        turn: by how many records the answer is rotated.
        may_recurse: whether this server asks others.
    """
    room = limit - HEADER_BYTES - len(query.question)
    if query.edns is not None:
        room -= OPT_BYTES
    answers, glue, is_cut = _fit(rotated(answer.items, turn), room, HEADER_BYTES + len(query.question))
    room -= sum(map(len, answers)) + sum(map(len, glue))
    authority: list[bytes] = []
    for record in answer.authority:
        encoded = record.encode()
        if len(encoded) <= room:
            authority.append(encoded)
            room -= len(encoded)
    flags = Flag.QR | Flag.AA | (answer.rcode & 0xF)
    if query.recursive:
        flags |= Flag.RD
    if may_recurse:
        flags |= Flag.RA
    if is_cut:
        flags |= Flag.TC
    extended = [] if query.edns is None else [opt(OWN_SIZE, answer.rcode)]
    head = _HEADER.pack(flags, 1, len(answers), len(authority), len(glue) + len(extended))
    return Body(b"".join((head, query.question, *answers, *authority, *glue, *extended)), is_cut)


def _fit(items: Sequence[Item], room: int, at: int) -> tuple[list[bytes], list[bytes], bool]:
    """As many records as there is room for, from the first; their glue; whether some are left out.

    `at` is where the first will stand in the message.
    """
    answers: list[bytes] = []
    glue: list[bytes] = []
    given: set[Record] = set()
    for item in items:
        encoded = item.record.encode()
        # Where its data begins, behind its name and the fixed part.
        start = at + len(encoded) - len(item.record.data)
        added = []
        for record in item.glue:
            if record not in given:
                owner = record.owner
                if item.target_at and start + item.target_at <= MAX_POINTER:
                    owner = struct.pack("!H", 0xC000 | (start + item.target_at))
                added.append((record, record._replace(owner=owner).encode()))
        size = len(encoded) + sum(len(each) for _, each in added)
        if size > room:
            return answers, glue, True
        room -= size
        at += len(encoded)
        answers.append(encoded)
        for record, each in added:
            given.add(record)
            glue.append(each)
    return answers, glue, False
