"""What can be watched: what it is now, and how a change of it is put into a line.

A value that several watchers follow is computed and encoded once. `serial` counts its states, so that
whoever began to watch in between, or was owed the value, is not told twice of what it has. It counts mere
events in the same way, so that nobody is told of one from before he came.

What tells all watchers of a topic is an iterator that tells one in each step (`turns`): they may be many.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from gossip.api import views

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gossip.api.methods import Backend
    from gossip.core.events import Event

__all__ = ["EventsTopic", "MembersTopic", "NamesTopic", "ServiceTopic", "Sink", "Topic", "Watcher"]

MAX_UNTOLD = 256
"""Events of a topic that wait to be told. If they come faster than that, its watchers are sent a resync."""

_encode = msgspec.json.Encoder().encode


class Sink(Protocol):
    """Where a watcher's notifications go."""

    def offer(self, line: bytes) -> bool:
        """Takes the line, or refuses it because too much is waiting already."""

    def owes(self) -> None:
        """Some of its watchers are behind: give them what they are owed as soon as there is room."""


class Watcher:
    """One watch of one connection."""

    __slots__ = ("behind", "number", "seen", "sink", "topic")

    def __init__(self, sink: Sink, number: int, topic: Topic) -> None:
        self.sink = sink
        self.number = number
        self.topic = topic
        self.behind = False
        """Something was kept from it: it is owed a resync."""
        self.seen = topic.serial
        """The state, or event, that it knows."""

    def resync(self) -> list[bytes]:
        """What it is owed, and nothing more: the mark, then the whole value if the topic has one.

        Ask again while it is `behind`: what is owed may come in parts.
        """
        self.behind = False
        lines = [self.line(b'"resync":true}')]
        value = self.topic.value()
        if value is not None:
            lines.append(self.line(value))
            self.seen = self.topic.serial
        return lines

    def fall_behind(self) -> None:
        """Too much has happened to be told one by one."""
        self.behind = True
        self.sink.owes()

    def tell(self, tail: bytes) -> None:
        if not self.behind and not self.sink.offer(self.line(tail)):
            self.behind = True

    def line(self, tail: bytes) -> bytes:
        """A notification; `tail` is the rest of the parameters, closing brace included."""
        method = self.topic.method
        return b'{"jsonrpc":"2.0","method":"%b","params":{"watch":%d,%b}\n' % (method, self.number, tail)


class Topic:
    """What some watchers have in common: the value that they follow."""

    method: bytes

    def __init__(self) -> None:
        # A dict for its order: those who came first are told first.
        self.watchers: dict[Watcher, None] = {}
        self.serial = 0
        self.untold: dict[int, bytes | None] = {}
        """Events to be told, each by its number; None: that some are not told."""

    def value(self) -> bytes | None:
        """The whole value as a JSON object without its opening brace; None for mere events."""
        raise NotImplementedError

    def join(self, sink: Sink, number: int) -> Watcher:
        """One watcher more, who is given the value as it is now by whoever called."""
        self.value()
        watcher = Watcher(sink, number, self)
        self.watchers[watcher] = None
        return watcher

    def speak(self) -> Iterator[None]:
        """Tell everybody the newest value who does not know it, or a newer one by now."""
        if self.watchers:
            tail, serial = self.value(), self.serial
            yield
            if tail is not None:
                yield from self._tell(serial, tail)

    def happens(self, tail: bytes) -> Iterator[None]:
        """Something that is no state; what is given tells it to everybody who is there now."""
        self.serial += 1
        is_full = len(self.untold) >= MAX_UNTOLD
        if is_full:
            self.untold.clear()
        self.untold[self.serial] = None if is_full else tail
        return self._pass_on(self.serial)

    def _pass_on(self, serial: int) -> Iterator[None]:
        if serial in self.untold:
            yield from self._tell(serial, self.untold.pop(serial))

    def _tell(self, serial: int, tail: bytes | None) -> Iterator[None]:
        for watcher in tuple(self.watchers):
            # Some may have gone since, or have been given something newer.
            if watcher.seen < serial and watcher in self.watchers:
                watcher.seen = serial
                if tail is None:
                    watcher.fall_behind()
                else:
                    watcher.tell(tail)
            yield

    def tell(self, tail: bytes) -> None:
        """Tell everybody something that is no state, at once."""
        for watcher in self.watchers:
            watcher.tell(tail)


class ServiceTopic(Topic):
    """What one lookup gives."""

    method = b"services.watch"

    def __init__(self, agent: Backend, question: views.Lookup) -> None:
        super().__init__()
        self.question = question
        self._agent = agent
        self._index = -1
        self._instances = b""

    def value(self) -> bytes:
        node, question = self._agent.node, self.question
        index = node.catalog.index_of(question.service)
        if index != self._index or question.any:
            self._index = index
            instances = _encode(views.instances(node, question).instances)
            # The service has changed; what these watchers asked of it may not have.
            if instances != self._instances:
                self._instances = instances
                self.serial += 1
        return b'"instances":%b,"index":%d}' % (self._instances, index)


class NamesTopic(Topic):
    """The list of all services, for those who watch no one of them."""

    method = b"services.watch"

    def __init__(self, agent: Backend) -> None:
        super().__init__()
        self._agent = agent
        self._index = -1
        self._rows: dict[str, tuple[int, bytes]] = {}
        self._services = b"[]"

    def value(self) -> bytes:
        catalog = self._agent.node.catalog
        if catalog.index != self._index:
            self._index = catalog.index
            # Only rows of services that have changed are computed anew.
            self._rows = {name: self._row(name, catalog.index_of(name)) for name in catalog.names()}
            services = b"[%b]" % b",".join([row for _, row in self._rows.values()])
            if services != self._services:
                self._services = services
                self.serial += 1
        return b'"services":%b,"index":%d}' % (self._services, catalog.index)

    def _row(self, name: str, index: int) -> tuple[int, bytes]:
        held = self._rows.get(name)
        return (
            held
            if held is not None and held[0] == index
            else (index, _encode(views.service(self._agent.node, name)))
        )


class MembersTopic(Topic):
    """All members, and what becomes of each."""

    method = b"members.watch"

    def __init__(self, agent: Backend) -> None:
        super().__init__()
        self._agent = agent

    def happened(self, event: Event) -> Iterator[None] | None:
        """What tells what the member is at this moment; None if nobody wants to know."""
        row = self._agent.member(event.id) if self.watchers else None
        if row is None:
            return None
        told = (event.kind.encode(), _encode(row), self._agent.node.members.index)
        return self.happens(b'"event":"%b","member":%b,"index":%d}' % told)

    def join(self, sink: Sink, number: int) -> Watcher:
        watcher = Watcher(sink, number, self)
        self.watchers[watcher] = None
        return watcher

    def value(self) -> bytes:
        return _encode(self._agent.members())[1:]


class EventsTopic(Topic):
    """User events, of one name or of all: there is no state of them."""

    method = b"events.watch"

    def __init__(self, name: str | None) -> None:
        super().__init__()
        self.name = name

    def value(self) -> None:
        return None
