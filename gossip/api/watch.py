"""Watches: the value now, then a notification for each change that can be seen.

A query that several watchers ask is answered and encoded once. A watcher whose connection cannot
take more is marked as behind and is sent nothing, so that a reader that has stopped costs no
memory; when there is room again it gets one `resync` and the whole value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from gossip.api import views
from gossip.core.events import Event, EventKind
from gossip.errors import LimitError

if TYPE_CHECKING:
    from gossip.api.methods import Backend

__all__ = ["MAX_WATCHES", "Sink", "Topic", "Watcher", "Watches", "check_number"]

MAX_WATCHES = 1_024
"""Watches of one connection."""

_MEMBER_EVENTS = frozenset(
    {
        EventKind.MEMBER_JOINED,
        EventKind.MEMBER_UPDATED,
        EventKind.MEMBER_SUSPECTED,
        EventKind.MEMBER_REFUTED,
        EventKind.MEMBER_FAILED,
        EventKind.MEMBER_LEFT,
        EventKind.MEMBER_FLAGGED,
    }
)

_encode = msgspec.json.Encoder().encode


class Sink(Protocol):
    """Where a watcher's notifications go."""

    def offer(self, line: bytes) -> bool:
        """Takes the line, or refuses it because too much is waiting already."""


class Watcher:
    """One watch of one connection."""

    __slots__ = ("behind", "number", "sink", "topic")

    def __init__(self, sink: Sink, number: int, topic: Topic) -> None:
        self.sink = sink
        self.number = number
        self.topic = topic
        self.behind = False
        """Something was kept from it: it is owed a resync."""

    def resync(self) -> list[bytes]:
        """What it is owed, and nothing more: the mark, then the whole value if the topic has one."""
        self.behind = False
        lines = [self._line(b'"resync":true}')]
        value = self.topic.value()
        if value is not None:
            lines.append(self._line(value))
        return lines

    def tell(self, tail: bytes) -> None:
        if not self.behind and not self.sink.offer(self._line(tail)):
            self.behind = True

    def _line(self, tail: bytes) -> bytes:
        """`tail` is the rest of the parameters, closing brace included."""
        method = self.topic.method
        return b'{"jsonrpc":"2.0","method":"%b","params":{"watch":%d,%b}\n' % (method, self.number, tail)


class Topic:
    """What some watchers have in common: the value that they follow."""

    method: bytes

    def __init__(self) -> None:
        # A dict for its order: those who came first are told first.
        self.watchers: dict[Watcher, None] = {}

    def value(self) -> bytes | None:
        """The whole value as a JSON object without its opening brace; None for mere events."""
        raise NotImplementedError

    def tell(self, tail: bytes) -> None:
        for watcher in self.watchers:
            watcher.tell(tail)


class _Service(Topic):
    method = b"services.watch"

    def __init__(self, agent: Backend, question: views.Lookup) -> None:
        super().__init__()
        self._agent = agent
        self._question = question
        self._index = -1
        self._instances = b""

    def refresh(self) -> None:
        """Tell the watchers if what this question gives has changed."""
        index = self._agent.node.catalog.index_of(self._question.service)
        if index == self._index and not self._question.any:
            return
        self._index = index
        instances = _encode(views.instances(self._agent.node, self._question).instances)
        # The service has changed; what these watchers asked of it may not have.
        if instances != self._instances:
            self._instances = instances
            self.tell(self._tail())

    def value(self) -> bytes:
        self.refresh()
        return self._tail()

    def _tail(self) -> bytes:
        return b'"instances":%b,"index":%d}' % (self._instances, self._index)


class _Names(Topic):
    """The list of all services, for those who watch no one of them."""

    method = b"services.watch"

    def __init__(self, agent: Backend) -> None:
        super().__init__()
        self._agent = agent
        self._index = -1
        self._services = b""

    def refresh(self) -> None:
        """Tell the watchers if the list has changed."""
        index = self._agent.node.catalog.index
        if index == self._index:
            return
        self._index = index
        services = _encode(views.services(self._agent.node).services)
        if services != self._services:
            self._services = services
            self.tell(self._tail())

    def value(self) -> bytes:
        self.refresh()
        return self._tail()

    def _tail(self) -> bytes:
        return b'"services":%b,"index":%d}' % (self._services, self._index)


class _Members(Topic):
    method = b"members.watch"

    def __init__(self, agent: Backend) -> None:
        super().__init__()
        self._agent = agent

    def happened(self, event: Event) -> None:
        if self.watchers:
            row = self._agent.member(event.id)
            if row is not None:
                told = (event.kind.encode(), _encode(row), self._agent.node.members.index)
                self.tell(b'"event":"%b","member":%b,"index":%d}' % told)

    def value(self) -> bytes:
        return _encode(self._agent.members())[1:]


class _Events(Topic):
    method = b"events.watch"

    def value(self) -> None:
        return None


class Watches:
    """All watches of all connections."""

    def __init__(self, agent: Backend) -> None:
        self._agent = agent
        self._services: dict[views.Lookup | None, _Service | _Names] = {}
        self._members = _Members(agent)
        self._events: dict[str | None, _Events] = {}

    def happened(self, event: Event) -> None:
        """Tell whoever wants to know. The node has already changed."""
        if event.kind is EventKind.EVENT_RECEIVED:
            self._tell_event(event)
            return
        if event.kind in _MEMBER_EVENTS:
            self._members.happened(event)
        # Any event can change what a lookup gives: an owner failing, its address moving.
        for topic in self._services.values():
            topic.refresh()

    def _tell_event(self, event: Event) -> None:
        topics = [topic for name in (None, event.name) if (topic := self._events.get(name)) is not None]
        if not topics:
            return
        fields = {
            "name": event.name,
            "payload": event.payload.decode(errors="replace"),
            "node": event.node,
            "node_id": event.id.hex(),
            "id": event.index,
        }
        tail = _encode(fields)[1:]
        for topic in topics:
            topic.tell(tail)

    def services(self, sink: Sink, number: int, question: views.Lookup | None) -> Watcher:
        topic = self._services.get(question)
        if topic is None:
            topic = _Names(self._agent) if question is None else _Service(self._agent, question)
            self._services[question] = topic
        # Before it joins: nothing may be told to it before its number is.
        topic.refresh()
        return _join(topic, sink, number)

    def members(self, sink: Sink, number: int) -> Watcher:
        return _join(self._members, sink, number)

    def events(self, sink: Sink, number: int, name: str | None) -> Watcher:
        return _join(self._events.setdefault(name, _Events()), sink, number)

    def forget(self, watcher: Watcher) -> None:
        """The connection is gone."""
        topic = watcher.topic
        topic.watchers.pop(watcher, None)
        if not topic.watchers:
            # Few questions are watched at a time, and a connection's end is rare beside a change.
            self._services = {key: each for key, each in self._services.items() if each is not topic}
            self._events = {name: each for name, each in self._events.items() if each is not topic}


def _join(topic: Topic, sink: Sink, number: int) -> Watcher:
    check_number(number)
    watcher = Watcher(sink, number, topic)
    topic.watchers[watcher] = None
    return watcher


def check_number(number: int) -> None:
    """Raises `LimitError` when a connection has as many watches as it may."""
    if number > MAX_WATCHES:
        raise LimitError(f"one connection may have {MAX_WATCHES} watches: open another")
