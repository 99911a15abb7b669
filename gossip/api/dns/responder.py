"""From the bytes of a query to those of its answer.

An answer that was given before is given again, with the number of the new query and, if the case of the
question differs, the question: as long as no member and no service that it depends on has changed. A query
in the very same bytes is not even read. Each kept answer stands there in several rotations, so that clients
that take the first record do not all take the same one.

What is not there, and what a name itself says (`HEX.addr`), can be asked for in endless ways. Such answers
have a place of their own, so that they push out nothing but each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from gossip.api.dns.compose import OWN_SIZE, compose
from gossip.api.dns.message import (
    ANY_CLASS,
    HEADER_BYTES,
    IN,
    MAX_BYTES,
    Flag,
    Query,
    Rcode,
    Type,
    error,
    opt,
    parse,
)
from gossip.api.dns.names import Kind
from gossip.api.dns.zone import Worth

if TYPE_CHECKING:
    from gossip.api.dns.compose import Body
    from gossip.api.dns.zone import Answer, Zone

__all__ = ["MAX_UDP_BYTES", "Channel", "Further", "Responder"]

MAX_UDP_BYTES: Final = 65_467
"""What a datagram takes over IPv4 besides its headers, as Consul counts."""
MAX_KEPT: Final = 4_096
MAX_FLEETING: Final = 1_024
"""Each of them is a few hundred bytes."""
MAX_KEPT_BYTES: Final = 16 * 1_048_576
MAX_QUERY_KEPT: Final = 300
"""Longer queries are read each time."""
ROTATIONS: Final = 16
"""Of one answer that are kept at a time."""
ROUNDS: Final = 64
"""After so many rounds through them others are made, if there are more."""


class Channel:
    """A way on which queries come, and how much may go back on it.

    Args:
        limit: bytes of an answer, whatever its asker can take.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.known: dict[bytes, _Kept] = {}
        """By the bytes of a query behind its number."""
        self.fleeting: dict[bytes, _Kept] = {}
        """The same, for answers that are worth little."""
        self.answered = [0] * len(Rcode)
        """By the place of the code in `Rcode`."""
        self.cut = 0
        """Answers that did not fit."""
        self.hits = 0
        """Answers that were ready."""
        self.ignored = 0
        """What was no query at all."""

    def count(self, rcode: Rcode) -> None:
        """Counts an answer."""
        self.answered[_PLACES[rcode]] += 1


_PLACES: Final = {rcode: place for place, rcode in enumerate(Rcode)}


class Further(NamedTuple):
    """Others have to be asked before this can be answered.

    `answer` is what is known already: an alias, whose name is to be resolved. None: everything is asked of
    others.
    """

    query: Query
    answer: Answer | None


class _Kept:
    """One answer in its rotations."""

    __slots__ = (
        *("query", "answer", "limit", "state", "stamp", "place"),
        *("bodies", "is_cut", "at", "turn", "rounds", "size"),
    )

    def __init__(self, query: Query, answer: Answer, limit: int, state: tuple[int, int], stamp: int) -> None:
        self.query = query
        self.answer = answer
        self.limit = limit
        self.state = state
        self.stamp = stamp
        self.place = _PLACES[answer.rcode]
        self.bodies: list[bytes] = []
        self.is_cut = False
        self.at = 0
        self.turn = 0
        self.rounds = 0
        self.size = 0


class Responder:
    """Answers queries.

    Args:
        may_recurse: whether names of others are asked of others.
    """

    def __init__(self, zone: Zone, *, may_recurse: bool = False) -> None:
        self._zone = zone
        self._may_recurse = may_recurse
        self._kept: dict[tuple[object, ...], _Kept] = {}
        self._fleeting: dict[tuple[object, ...], _Kept] = {}
        self._size = 0

    def answer(self, data: bytes, channel: Channel) -> bytes | Further | None:
        """The answer to a query; None: there must be none. Counts it, unless others have to be asked."""
        rest = data[2:]
        kept = channel.known.get(rest) or channel.fleeting.get(rest)
        if kept is not None and self._is_current(kept):
            channel.hits += 1
            channel.answered[kept.place] += 1
            channel.cut += kept.is_cut
            return data[:2] + self._next(kept)
        query = parse(data)
        if isinstance(query, Query):
            return self._answer(data, query, channel)
        if query is None:
            channel.ignored += 1
            return None
        channel.count(query)
        return error(data, query)

    def finish(self, data: bytes, query: Query, answer: Answer, channel: Channel) -> bytes:
        """The bytes of an answer that is not kept."""
        body = compose(query, answer, self._limit(query, channel), may_recurse=self._may_recurse)
        return self._send(data, body, answer.rcode, channel)

    def refuse(self, data: bytes, query: Query, rcode: Rcode, channel: Channel) -> bytes:
        """An answer that says why there is none."""
        channel.count(rcode)
        text = error(data, rcode, query.question)
        if query.edns is None:
            return text
        return text[:10] + b"\0\1" + text[HEADER_BYTES:] + opt(OWN_SIZE, rcode)

    def cut(self, data: bytes, channel: Channel) -> bytes | None:
        """An answer that says only that there is one over TCP; None: these bytes have none."""
        query = parse(data)
        if not isinstance(query, Query):
            return None
        answer = self.refuse(data, query, Rcode.NOERROR, channel)
        return answer[:2] + bytes((answer[2] | Flag.TC >> 8,)) + answer[3:]

    def pass_on(self, answer: bytes, query: Query, channel: Channel) -> bytes:
        """Another server's answer, or as much of it as there is room for: then nothing but that it is cut."""
        code = answer[3] & 0xF
        if code in _PLACES:
            channel.count(Rcode(code))
        if len(answer) <= self._limit(query, channel):
            return answer
        channel.cut += 1
        head = answer[:2] + bytes((answer[2] | Flag.TC >> 8, answer[3])) + b"\0\1" + bytes(6)
        return head + query.question

    def _answer(self, data: bytes, query: Query, channel: Channel) -> bytes | Further:
        if query.edns:
            return self.refuse(data, query, Rcode.BADVERS, channel)
        if query.cls not in (IN, ANY_CLASS) or query.type in (Type.AXFR, Type.IXFR):
            return self.refuse(data, query, Rcode.REFUSED, channel)
        limit = self._limit(query, channel)
        key = (query.question.lower(), limit, query.recursive, query.edns)
        kept = self._kept.get(key) or self._fleeting.get(key)
        if kept is not None and self._is_current(kept):
            channel.hits += 1
            channel.answered[kept.place] += 1
            channel.cut += kept.is_cut
            self._note(data, query, kept, channel)
            ready, question = self._next(kept), query.question
            return b"".join((data[:2], ready[:10], question, ready[10 + len(question) :]))
        asked = self._zone.names.read(query.labels)
        further = self._may_recurse and query.recursive
        if asked.kind is Kind.FOREIGN:
            return Further(query, None) if further else self.refuse(data, query, Rcode.REFUSED, channel)
        answer = self._zone.find(asked, query.type)
        if further and asked.kind is Kind.REVERSE and answer.rcode is Rcode.NXDOMAIN:
            return Further(query, None)
        if further and answer.chase and query.type in (Type.A, Type.AAAA, Type.ANY):
            return Further(query, answer)
        if answer.worth is Worth.NOTHING:
            return self.finish(data, query, answer, channel)
        kept = _Kept(query, answer, limit, self._zone.state(answer.service), self._zone.stamp)
        self._drop(key)
        if answer.worth is Worth.LITTLE:
            if len(self._fleeting) >= MAX_FLEETING:
                self._fleeting.clear()
            self._fleeting[key] = kept
        else:
            self._kept[key] = kept
        body = self._make(kept)
        self._note(data, query, kept, channel)
        return self._send(data, body, answer.rcode, channel)

    def _limit(self, query: Query, channel: Channel) -> int:
        """Over TCP there is room for all, whatever the asker says of UDP."""
        return channel.limit if channel.limit == MAX_BYTES else min(query.size, channel.limit)

    def _send(self, data: bytes, body: Body, rcode: Rcode, channel: Channel) -> bytes:
        channel.count(rcode)
        channel.cut += body.is_cut
        return data[:2] + body.data

    # ------------------------------------------------------------------------------------------ what is kept

    def _is_current(self, kept: _Kept) -> bool:
        zone = self._zone
        stamp = zone.stamp
        if kept.stamp == stamp:
            return True
        if zone.state(kept.answer.service) != kept.state:
            return False
        kept.stamp = stamp
        return True

    def _next(self, kept: _Kept) -> bytes:
        """The next of its rotations, made if it is not there yet."""
        bodies = kept.bodies
        at = kept.at
        if at < len(bodies):
            kept.at = at + 1
            return bodies[at]
        if len(bodies) < min(len(kept.answer.items), ROTATIONS):
            kept.at = at + 1
            return self._make(kept).data
        kept.rounds += 1
        if kept.rounds >= ROUNDS and len(kept.answer.items) > ROTATIONS:
            kept.rounds = 0
            self._size -= kept.size
            kept.size = 0
            bodies.clear()
            return self._next(kept)
        kept.at = 1
        return bodies[0]

    def _make(self, kept: _Kept) -> Body:
        body = compose(kept.query, kept.answer, kept.limit, turn=kept.turn, may_recurse=self._may_recurse)
        kept.turn += 1
        kept.bodies.append(body.data)
        kept.at = len(kept.bodies)
        kept.is_cut = body.is_cut
        if kept.answer.worth is Worth.LITTLE:
            return body
        kept.size += len(body.data)
        self._size += len(body.data)
        while len(self._kept) > MAX_KEPT or self._size > MAX_KEPT_BYTES:
            self._drop(next(iter(self._kept)))
        return body

    def _drop(self, key: tuple[object, ...]) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            self._size -= old.size
            # A channel may know it still, and must not use it: what it has now would be counted nowhere.
            old.bodies.clear()
            old.stamp, old.state = -1, (-1, -1)

    def _note(self, data: bytes, query: Query, kept: _Kept, channel: Channel) -> None:
        """The same bytes need not be read again."""
        if query.plain and len(data) <= MAX_QUERY_KEPT:
            rest, known, limit = data[2:], channel.known, MAX_KEPT
            if kept.answer.worth is Worth.LITTLE:
                known.pop(rest, None)
                known, limit = channel.fleeting, MAX_FLEETING
            if len(known) >= limit:
                known.clear()
            known[rest] = kept
