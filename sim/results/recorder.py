"""Watches a world while a scenario is directed on it, and keeps what is asked for afterwards.

It listens to every event of every node, is told by the director of every deed, and looks at all nodes once a
sample. It changes nothing: a run with and without it has the same log hash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gossip.core.events import Event, EventKind
from gossip.core.types import NodeId
from sim.clock import SECOND
from sim.host import Host
from sim.meters import Meter, total
from sim.results.columns import LIMITS, TABLES
from sim.results.detections import Detections
from sim.results.nodes import Lives
from sim.results.rumours import EVENT, JOINED, SERVICE, Rumours
from sim.results.table import Table
from sim.results.verdicts import VERDICTS, Verdicts
from sim.results.views import Views
from sim.world import World

__all__ = ["Recorder"]

WORLD = -1
"""Instead of a host's number: the world itself, or nobody in particular."""
STAMP_BYTES = 8


class Recorder:
    """A witness of one run; see `sim.scenario.witness.Witness` for what it is told.

    Args:
        world: what is watched.
        initial: so many nodes there are at the beginning, whose joining is no news.
    """

    def __init__(self, world: World, initial: int) -> None:
        self._world = world
        self._initial = initial
        self.tables = {
            name: Table(name, columns, LIMITS.get(name)) for name, columns in TABLES.items() if name in LIMITS
        }
        self._events = self.tables["events"]
        self.views = Views(world, self.tables["samples"])
        self.rumours = Rumours(world, self.tables["rumours"], LIMITS["facts"])
        self.verdicts = Verdicts(world, self.tables["verdicts"])
        self.detections = Detections(world, LIMITS["detections"])
        self.lives = Lives(world)
        self.origin_us = 0
        self.changed_us: int | None = None
        """When something was last done to the world, or a node last said something new; None: never."""
        self._starting: Host | None = None
        self._owners: dict[NodeId, Host] = {}
        self._base = Meter()
        self._dropped_base: dict[str, int] = {}
        self._loaded = Meter()
        self._loaded_dropped = 0
        self._handlers: dict[EventKind, Callable[[Host, Event], None]] = {
            EventKind.MEMBER_JOINED: self._member,
            EventKind.MEMBER_UPDATED: self._member,
            EventKind.MEMBER_REFUTED: self._member,
            EventKind.MEMBER_LEFT: self._member,
            EventKind.MEMBER_SUSPECTED: self._suspected,
            EventKind.MEMBER_FAILED: self._failed,
            EventKind.SERVICE_REGISTERED: self._service,
            EventKind.SERVICE_CHANGED: self._service,
            EventKind.SERVICE_DEREGISTERED: self._service,
            EventKind.EVENT_RECEIVED: self._event,
            EventKind.LEAVE_DONE: self._left,
        }

    # From the beginning to the end

    def begin(self) -> None:
        """What is measured begins now."""
        self.origin_us = self._world.clock.now_us
        self._base = total(host.sent for host in self._world.hosts)
        self._loaded = self._base
        self._dropped_base = dict(self._world.network.dropped)
        self._loaded_dropped = sum(self._dropped_base.values())
        self._world.listeners.append(self.listen)

    @property
    def now_us(self) -> int:
        """Measured time."""
        return self._world.clock.now_us - self.origin_us

    def sample(self) -> None:
        """Look at all nodes."""
        sent = total(host.sent for host in self._world.hosts)
        self.views.sample(self.now_us, sent.messages - self._base.messages, sent.bytes - self._base.bytes)
        self.rumours.look(self.now_us)

    def second(self) -> None:
        """Keep the load of the second that ends now."""
        at_us = max(0, self.now_us - SECOND)
        sent = total(host.sent for host in self._world.hosts)
        dropped = sum(self._world.network.dropped.values())
        self.tables["load"].add(
            at_us,
            len(self._world.running()),
            sent.messages - self._loaded.messages,
            sent.bytes - self._loaded.bytes,
            dropped - self._loaded_dropped,
        )
        for kind in sorted(sent.kinds):
            messages, size = sent.kinds[kind]
            before = self._loaded.kinds.get(kind, (0, 0))
            if messages > before[0]:
                self.tables["kinds"].add(at_us, kind, messages - before[0], size - before[1])
        self._loaded, self._loaded_dropped = sent, dropped

    def sent(self) -> tuple[int, int]:
        """Messages and bytes sent since the beginning."""
        sent = total(host.sent for host in self._world.hosts)
        return sent.messages - self._base.messages, sent.bytes - self._base.bytes

    def dropped(self) -> dict[str, int]:
        """Packets that did not arrive since the beginning, by reason, sorted."""
        dropped = self._world.network.dropped
        counts = {reason: dropped[reason] - self._dropped_base.get(reason, 0) for reason in sorted(dropped)}
        return {reason: count for reason, count in counts.items() if count}

    def finish(self) -> dict[str, Table]:
        """All tables, in their order; may be asked once, at the end."""
        end_us = self.now_us
        self.detections.fill(self.tables["detections"], end_us)
        self.rumours.fill(self.tables["facts"], end_us)
        return {**self.tables, "nodes": self.lives.fill(Table("nodes", TABLES["nodes"]))}

    def truncated(self) -> dict[str, int]:
        """Rows that were too many to be kept, by table; empty if all are there."""
        dropped = {name: table.dropped for name, table in self.tables.items()}
        dropped["detections"] += self.detections.dropped
        dropped["facts"] += self.rumours.dropped
        return {name: count for name, count in dropped.items() if count}

    def judgements(self) -> dict[str, Any]:
        """Suspicions and deaths by verdict, and the false ones."""
        counts = self.verdicts.counts
        return {
            "false_suspicions": counts["suspicion"]["false"],
            "false_deaths": counts["death"]["false"],
            "suspicions": {verdict: counts["suspicion"][verdict] for verdict in VERDICTS},
            "deaths": {verdict: counts["death"][verdict] for verdict in VERDICTS},
        }

    # What the director says

    def acted(self, what: str, hosts: Sequence[Host], detail: str = "") -> None:
        """One row a host; one for the world if it is about none, or all."""
        self.views.changed()
        self.changed_us = self.now_us
        at_us = self.now_us
        if not hosts or len(hosts) == len(self._world.hosts):
            self._events.add(at_us, WORLD, what, WORLD, False, "", "", detail)
            return
        for host in hosts:
            self._events.add(at_us, host.number, what, host.number, False, "", "", detail)

    def added(self, host: Host, group: str) -> None:
        """A machine was put up."""
        self.lives.added(host, group)

    def starting(self, host: Host) -> None:
        """What it registers while it starts is no news of its own."""
        self._starting = host
        self.views.changed()
        self._events.add(self.now_us, host.number, "started", host.number, False, "", "", "")

    def started(self, host: Host) -> None:
        """An agent runs."""
        self._starting = None
        self._owners[host.id] = host
        self.views.changed()
        self.lives.started(host)
        self.detections.started(host)
        fresh = host.number >= self._initial or host.lives > 1
        if fresh or self.now_us:
            self.changed_us = self.now_us
        if fresh:
            self.rumours.publish(host, JOINED, "", host.node.incarnation, self.now_us)

    def ended(self, host: Host, *, failed: bool) -> None:
        """An agent is gone."""
        self.views.changed()
        self.lives.ended(host)
        self._events.add(
            self.now_us, host.number, "ended", host.number, False, "", "", "" if failed else "in peace"
        )
        if failed:
            self.detections.failed(host, self.now_us)

    def mended(self, hosts: Sequence[Host], *, network: bool) -> None:
        """These can be reached, or run, again."""
        self.views.changed()
        self.changed_us = self.now_us
        self.verdicts.mended(hosts, network=network)

    def published(self, host: Host, kind: str) -> None:
        """A new member record."""
        self.changed_us = self.now_us
        if host.process is not None:
            self.rumours.publish(host, kind, "", host.node.incarnation, self.now_us)

    def sent_event(self, host: Host, payload: bytes) -> None:
        """A user event, which is known again by how its payload begins."""
        self.rumours.publish(host, EVENT, _stamp(payload), 0, self.now_us)

    # What the nodes say

    def listen(self, host: Host, _now: float, event: Event) -> None:
        """Each event of each node."""
        subject = self._owners.get(event.id)
        if subject is None and event.id == host.id:
            subject = self._owners[event.id] = host
        kind = event.kind
        self._events.add(
            self._world.clock.now_us - self.origin_us,
            host.number,
            kind.value,
            WORLD if subject is None else subject.number,
            subject is not None and subject.id != event.id,
            event.name,
            event.key,
            event.detail,
        )
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(host, event)

    def _member(self, host: Host, event: Event) -> None:
        self.rumours.told(host, event.id, "", self.now_us)

    def _suspected(self, host: Host, event: Event) -> None:
        subject = self._owners.get(event.id)
        if subject is not None:
            self.verdicts.judge("suspicion", self.now_us, host, subject, event.id)

    def _failed(self, host: Host, event: Event) -> None:
        subject = self._owners.get(event.id)
        if subject is not None:
            self.verdicts.judge("death", self.now_us, host, subject, event.id)
            self.detections.noticed(event.id, host, self.now_us)

    def _service(self, host: Host, event: Event) -> None:
        if event.id != host.id:
            self.rumours.told(host, event.id, event.key, self.now_us)
        elif not event.detail and self._starting is not host:
            # A detail is the owner's status: no new record.
            self.changed_us = self.now_us
            body: Any = host.node.me.services[SERVICE, event.key].body
            kind = event.kind.value.removeprefix("service_")
            self.rumours.publish(host, kind, event.key, body.version, self.now_us)

    def _event(self, host: Host, event: Event) -> None:
        if event.id != host.id:
            self.rumours.got_event(host, event.id, _stamp(event.payload), self.now_us)

    def _left(self, host: Host, _event: Event) -> None:
        # The process ends right after this: every leaving of a scenario is to stop.
        self.ended(host, failed=False)


def _stamp(payload: bytes) -> str:
    return payload[:STAMP_BYTES].hex()
