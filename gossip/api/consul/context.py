"""What all endpoints have in common: an answer is kept, waited for, filtered, sorted and put into HTTP."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from gossip.api.consul import filters, questions
from gossip.api.consul.holdings import Holdings
from gossip.api.consul.questions import Question
from gossip.api.http.values import JSON, Later, Response
from gossip.core.events import Event, EventKind
from gossip.core.records import ServiceRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping
    from random import Random

    from gossip.api.consul.answers import Answer, Answers
    from gossip.api.consul.backend import Backend
    from gossip.api.http.values import Request

__all__ = [
    "EVENTS",
    "NODES",
    "SERVICES",
    "Context",
    "Rows",
    "about_node",
    "about_service",
    "encode",
    "json_body",
]

SERVICES: Final = "services"
NODES: Final = "nodes"
EVENTS: Final = "events"
JITTER: Final = 1 / 16

_SERVICE_EVENTS = frozenset(
    {EventKind.SERVICE_REGISTERED, EventKind.SERVICE_CHANGED, EventKind.SERVICE_DEREGISTERED}
)
_MEMBER_EVENTS = frozenset(kind for kind in EventKind if kind.value.startswith("member_"))

encode = msgspec.json.Encoder().encode


def about_service(name: str) -> str:
    """The topic of one service."""
    return "s:" + name.lower()


def about_node(name: str) -> str:
    """The topic of one node."""
    return "n:" + name.lower()


def json_body(value: object, *, pretty: bool) -> bytes:
    """As Consul prints it."""
    body = encode(value)
    return msgspec.json.format(body, indent=4) + b"\n" if pretty else body


class Rows(NamedTuple):
    """A list to be answered: how it is made, and what may be asked of its items."""

    make: Callable[[], list[Any]]
    shape: Mapping[str, filters.Shape]
    """What filters select from."""
    node_of: Callable[[Any], str] = lambda _row: ""
    """The name of the node that an item is on, to sort by distance."""
    meta_of: Callable[[Any], Mapping[str, str]] | None = None
    """The node's meta data of an item, where that may be asked for."""


class Context:
    """Of one face.

    Args:
        rng: for the jitter of waits.
    """

    def __init__(self, agent: Backend, holdings: Holdings, answers: Answers, rng: Random) -> None:
        self.agent = agent
        self.holdings = holdings
        self.answers = answers
        self._rng = rng
        self._members = -1

    # ----------------------------------------------------------------------------------- what happens

    def happened(self, event: Event) -> None:
        """The node tells of something, and has already changed."""
        if event.kind in _SERVICE_EVENTS:
            self.answers.touch((SERVICES, about_service(event.name), about_node(event.node)))
        elif event.kind in _MEMBER_EVENTS:
            topics = [NODES, about_node(event.name)]
            node = self.agent.node
            member = node.members.me if event.id == node.id else node.members.get(event.id)
            if event.kind in (EventKind.MEMBER_UPDATED, EventKind.MEMBER_JOINED) and member is not None:
                # Its services are shown with its address and tags.
                bodies = [fact.body for fact in member.services.values()]
                topics += {about_service(body.name) for body in bodies if isinstance(body, ServiceRecord)}
                topics.append(SERVICES)
            self.answers.touch(topics)

    # ------------------------------------------------------------------------------------- answering

    def question(self, asked: Request) -> Question:
        """The common part of what is asked.

        Raises:
            Refusal: it cannot be answered.
        """
        return questions.read(asked, self.agent.cluster)

    def rows(
        self, asked: Request, name: Hashable, topics: Iterable[str], rows: Rows, empty: object = ()
    ) -> Response | Later:
        """A list that is kept and may be waited for.

        Args:
            asked: the request.
            name: what tells the question from others, the common part aside.
            topics: what it is made of.
            rows: how it is made.
            empty: what to answer about another cluster's peers.
        """
        question = self.question(asked)
        if question.empty:
            return self.whole(question, ("empty", repr(empty)), (), lambda: empty)
        test = self.test(question, rows.shape)

        def make() -> list[Any]:
            found = rows.make()
            if question.node_meta and rows.meta_of is not None:
                meta_of = rows.meta_of
                found = [row for row in found if _has(meta_of(row), question.node_meta)]
            return [row for row in found if test(row)]

        if not question.near:
            return self.whole(question, name, topics, make)

        def sorted_rows() -> list[Any]:
            return self._nearest(make(), question.near, rows.node_of)

        return self.whole(question, name, topics, make, sorted_rows)

    def shown(
        self, asked: Request, name: Hashable, topics: Iterable[str], rows: Rows, show: Callable[[], object]
    ) -> Response | Later:
        """A list that is woken by `rows`, and sent as `show` makes it."""
        return self.whole(self.question(asked), name, topics, rows.make, show)

    def tagged(self, asked: Request, name: Hashable, topics: Iterable[str], rows: Rows) -> Response | Later:
        """Tags by the names of services, of the flat rows that a question keeps."""
        question = self.question(asked)
        test = self.test(question, rows.shape)
        meta_of = rows.meta_of or (lambda _row: {})

        def make() -> dict[str, list[str]]:
            found: dict[str, dict[str, None]] = {}
            for row in rows.make():
                if _has(meta_of(row), question.node_meta) and test(row):
                    found.setdefault(row["ServiceName"], {}).update(dict.fromkeys(row["ServiceTags"]))
            return {name: list(tags) for name, tags in sorted(found.items())}

        return self.whole(question, name, topics, dict if question.empty else make)

    def test(self, question: Question, shape: Mapping[str, filters.Shape]) -> filters.Test:
        """What a question's filter keeps; everything if there is none.

        Raises:
            FilterError: it cannot be read.
        """
        return filters.read(question.filter, shape) if question.filter else lambda _row: True

    def whole(
        self,
        question: Question,
        name: Hashable,
        topics: Iterable[str],
        make: Callable[[], object],
        show: Callable[[], object] | None = None,
    ) -> Response | Later:
        """Any value that is kept and may be waited for; `show` makes what is sent, where that is another."""
        key = (name, question.filter, question.node_meta, question.pretty)
        topics = tuple(topics)

        def get() -> Answer:
            self._look_at_members()
            return self.answers.get(key, topics, lambda: json_body(make(), pretty=question.pretty))

        def respond(answer: Answer, again: Callable[[], Response | None] | None = None) -> Response:
            headers = self.headers(answer.index, question)
            if show is not None:
                return Response(200, json_body(show(), pretty=question.pretty), JSON, headers)
            return Response(200, answer.kept.body, JSON, headers, answer.kept, again)

        answer = get()
        if not question.index or question.index != answer.index:
            if question.index or show is not None:
                return respond(answer)
            last: Response | None = None

            def again() -> Response | None:
                nonlocal last
                self._look_at_members()
                if not self.answers.fresh(answer):
                    return None
                if last is None or last.kept is not answer.kept:
                    last = respond(answer, again)
                return last

            return respond(answer, again)

        async def wait() -> Response:
            await self.answers.wait(answer, question.index, self.patience(question))
            return respond(get())

        return Later(wait)

    def patience(self, question: Question) -> float:
        """Seconds to wait: a little longer each time, so that those who began together part."""
        return question.wait * (1 + JITTER * self._rng.random())

    def headers(self, index: int, question: Question, *, consistency: bool = True) -> list[tuple[str, str]]:
        """Of every answer that has an index."""
        found = [("X-Consul-Index", str(index))]
        if consistency:
            # What an agent knows is always what it has heard.
            found.append(("X-Consul-Effective-Consistency", "stale"))
        found += [("X-Consul-Knownleader", "true"), ("X-Consul-Lastcontact", "0")]
        if question.cached:
            found += [("X-Cache", "HIT"), ("Age", "0")]
        return found

    def _nearest(self, rows: list[Any], near: str, node_of: Callable[[Any], str]) -> list[Any]:
        """Sorted by the estimated round trip to a node; as they were if that is unknown."""
        node = self.agent.node
        places = {member.name: member.id for member in reversed([*self.holdings.members()])}
        origin = node.id if near == "_agent" else places.get(near)
        if origin is None:
            return rows

        def away(row: Any) -> float:
            other = places.get(node_of(row))
            rtt = None if other is None else node.rtt(origin, other)
            return math.inf if rtt is None else rtt

        return sorted(rows, key=away)

    def _look_at_members(self) -> None:
        """Members that were dead for long are forgotten without an event."""
        if (count := len(self.agent.node.members)) != self._members:
            self._members = count
            self.answers.touch_all()

    def kept(self, asked: Request, value: object) -> Response:
        """A value without an index."""
        return Response(200, json_body(value, pretty="pretty" in asked.query))


def _has(meta: Mapping[str, str], wanted: Iterable[tuple[str, str]]) -> bool:
    return all(meta.get(key) == value for key, value in wanted)
