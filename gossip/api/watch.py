"""Watches: the value now, then a notification for each change that can be seen.

A change is told at once, and what follows within 20 ms is told as one, with the newest value (`windows`).
An event that names a service concerns the watchers of that service only; while nothing happens, nothing
runs. Many watchers are told in turns (`turns`). A watcher whose connection cannot take more is marked as
behind and is sent nothing, so that a reader that has stopped costs no memory; when there is room again it
gets one `resync` and the whole value. Who follows the whole catalog is owed names instead (`follow`), and
goes on from where it is.
"""

from __future__ import annotations

import math
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
import trio

from gossip.api.follow import CatalogTopic
from gossip.api.topics import (
    EventsTopic,
    MembersTopic,
    NamesTopic,
    ServiceTopic,
    Sink,
    Watcher,
)
from gossip.api.turns import Turns
from gossip.api.windows import Windows
from gossip.core.events import Event, EventKind
from gossip.core.records import ServiceRecord
from gossip.errors import LimitError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gossip.api import views
    from gossip.api.methods import Backend
    from gossip.api.topics import Topic

__all__ = ["MAX_WATCHES", "Sink", "Watcher", "Watches", "check_number"]

MAX_WATCHES = 1_024
"""Watches of one connection."""
DUE_AT_ONCE: Final = 256
"""Windows whose end is seen to in one turn."""

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
_SERVICE_EVENTS = frozenset(
    {EventKind.SERVICE_REGISTERED, EventKind.SERVICE_CHANGED, EventKind.SERVICE_DEREGISTERED}
)

# A service in the catalog stands there as its name.
Told: TypeAlias = "ServiceTopic | NamesTopic | str"
# What is looked at when a service, or its hidden instances, have changed stands there as a tuple.
Key: TypeAlias = "Told | tuple[str, ...]"

_encode = msgspec.json.Encoder().encode


class Watches:
    """All watches of all connections.

    Args:
        now: seconds, of the clock that `run` sleeps by.
        timer: seconds, of the clock that turns are measured by.
        gossip_first: called before each step of telling.
    """

    def __init__(
        self,
        agent: Backend,
        now: Callable[[], float] = trio.current_time,
        timer: Callable[[], float] = perf_counter,
        gossip_first: Callable[[], None] = lambda: None,
    ) -> None:
        self._agent = agent
        self._now = now
        self._services: dict[views.Lookup | None, ServiceTopic | NamesTopic] = {}
        self._by_name: dict[str, dict[ServiceTopic, None]] = {}
        self._any = 0
        """How many watched questions show what is hidden."""
        self._names: NamesTopic | None = None
        self._members = MembersTopic(agent)
        self._events: dict[str | None, EventsTopic] = {}
        self._catalog = CatalogTopic(agent)
        self._windows: Windows[Told] = Windows()
        self._turns = Turns(now, timer, gossip_first)
        self._due: set[Key] = set()
        """What waits for its turn, which tells all that happens until then."""
        self._wakes_at = math.inf
        self._sooner = trio.lowlevel.ParkingLot()

    async def run(self) -> None:
        """Tell what was bunched when its window ends, and what is left of the rest. Never returns."""
        while True:
            if self._turns:
                await trio.lowlevel.checkpoint()
            else:
                self._wakes_at = self._windows.deadline
                with trio.move_on_at(self._wakes_at):
                    await self._sooner.park()
            self.tell_due()

    def tell_due(self) -> None:
        """Tell what is due by now, as far as a turn's time goes."""
        for key in self._windows.due(self._now(), DUE_AT_ONCE):
            self._later(key, self._speak(key))
        self._turns.turn()

    # -- what happens ------------------------------------------------------------------------------------

    def happened(self, event: Event) -> None:
        """Tell whoever wants to know. The node has already changed."""
        if event.kind is EventKind.EVENT_RECEIVED:
            self._tell_event(event)
        elif event.kind in _SERVICE_EVENTS:
            if event.name in self._by_name or self._names is not None or self._catalog.watchers:
                self._later((event.name,), self._service_changed(event.name))
        elif event.kind in _MEMBER_EVENTS:
            if (job := self._members.happened(event)) is not None:
                self._turns.add(job)
            if self._any:
                self._hidden_changed(event)
        if self._turns and self._turns.at_once():
            self._sooner.unpark()

    def _later(self, key: Key, job: Iterator[None]) -> None:
        """Have it done in its turn, unless it waits for that already."""
        if key in self._due:
            return

        def begin() -> Iterator[None]:
            # From now on what happens may come too late for it.
            self._due.discard(key)
            yield from job

        self._due.add(key)
        self._turns.add(begin())

    def _service_changed(self, name: str) -> Iterator[None]:
        for topic in tuple(self._by_name.get(name, ())):
            if topic.watchers:
                yield from self._changed(topic)
        if self._names is not None:
            yield from self._changed(self._names)
        if self._catalog.watchers:
            yield from self._changed(name)

    def _hidden_changed(self, event: Event) -> None:
        """What a member offered while it lived changes its status without an event of its own."""
        members = self._agent.node.members
        member = members.me if event.id == self._agent.node.id else members.get(event.id)
        if member is None:
            return
        names = {fact.body.name for fact in member.services.values() if isinstance(fact.body, ServiceRecord)}
        for name in names & self._by_name.keys():
            self._later((name, "any"), self._status_changed(name))

    def _status_changed(self, name: str) -> Iterator[None]:
        for topic in tuple(self._by_name.get(name, ())):
            if topic.question.any and topic.watchers:
                yield from self._changed(topic)

    def _changed(self, key: Told) -> Iterator[None]:
        if self._windows.changed(key, self._now()):
            yield from self._speak(key)
            return
        if self._windows.deadline < self._wakes_at:
            # At most once for each time that `run` goes to sleep.
            self._wakes_at = self._windows.deadline
            self._sooner.unpark()
        yield

    def _speak(self, key: Told) -> Iterator[None]:
        return self._catalog.owe(key) if isinstance(key, str) else key.speak()

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
            self._turns.add(topic.happens(tail))

    # -- who watches -------------------------------------------------------------------------------------

    def services(self, sink: Sink, number: int, question: views.Lookup | None) -> Watcher:
        """Begins a watch of a lookup, or (None) of the list of services."""
        check_number(number)
        topic = self._services.get(question)
        if topic is None:
            topic = self._services[question] = self._begin(question)
        return topic.join(sink, number)

    def _begin(self, question: views.Lookup | None) -> ServiceTopic | NamesTopic:
        if question is None:
            self._names = NamesTopic(self._agent)
            return self._names
        topic = ServiceTopic(self._agent, question)
        self._by_name.setdefault(question.service, {})[topic] = None
        self._any += question.any
        return topic

    def members(self, sink: Sink, number: int) -> Watcher:
        """Begins a watch of the members."""
        check_number(number)
        return self._members.join(sink, number)

    def events(self, sink: Sink, number: int, name: str | None) -> Watcher:
        """Begins a watch of the user events of one name, or (None) of all."""
        check_number(number)
        topic = self._events.get(name)
        if topic is None:
            topic = self._events[name] = EventsTopic(name)
        return topic.join(sink, number)

    def catalog(self, sink: Sink, number: int) -> tuple[Watcher, bytes]:
        """Begins a watch of all services; also its answer, without the opening brace and the number."""
        check_number(number)
        return self._catalog.begin(sink, number)

    def forget(self, watcher: Watcher) -> None:
        """The connection is gone."""
        topic = watcher.topic
        topic.watchers.pop(watcher, None)
        if not topic.watchers:
            self._end(topic)

    def _end(self, topic: Topic) -> None:
        if isinstance(topic, ServiceTopic):
            question = topic.question
            if self._services.pop(question, None) is None:
                return
            self._any -= question.any
            named = self._by_name[question.service]
            del named[topic]
            if not named:
                del self._by_name[question.service]
            self._windows.forget(topic)
        elif isinstance(topic, NamesTopic):
            self._services.pop(None, None)
            self._names = None
            self._windows.forget(topic)
        elif isinstance(topic, EventsTopic):
            self._events.pop(topic.name, None)


def check_number(number: int) -> None:
    """Raises `LimitError` when a connection has as many watches as it may."""
    if number > MAX_WATCHES:
        raise LimitError(f"one connection may have {MAX_WATCHES} watches: open another")
