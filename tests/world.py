"""For scenario tests: clusters in virtual time, questions about them, and a puppet among the nodes.

world = cluster(5, seed=7)                    # five nodes that see each other
a, b, *rest = world.hosts
world.crash(b)
world.run_until(lambda: all_see(world, b, Status.DEAD), limit=30)
assert about(a, b) == [EventKind.MEMBER_JOINED, EventKind.MEMBER_SUSPECTED, EventKind.MEMBER_FAILED]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gossip.core.effects import Send, Write
from gossip.core.events import EventKind
from gossip.core.messages import Ack, Frame, Gossip, Packet, Ping
from gossip.core.records import Accusation, Fact, MemberRecord, ServiceRecord
from gossip.core.types import Address, Kind, NodeId, Status, StreamId
from sim.host import Host
from sim.life import Life
from sim.world import World
from tests.sim.scripted import Script, say

__all__ = [
    "CONVERGENCE",
    "Puppet",
    "Traffic",
    "about",
    "all_see",
    "cluster",
    "none_sees",
    "puppet",
    "say",
    "string",
]

CONVERGENCE = 30.0
"""Seconds that a small cluster has to find itself; far more than it needs."""


def cluster(count: int, **settings: Any) -> World:
    """A world of `count` nodes, started together and converged. `settings` are those of `World`."""
    world = World(**settings)
    world.grow(count)
    world.run_until(world.converged, CONVERGENCE)
    return world


def all_see(world: World, subject: Host | NodeId, *statuses: Status | None) -> bool:
    """Whether every running node but the subject holds one of these statuses of it (None: unknown)."""
    number = subject if isinstance(subject, bytes) else subject.id
    return all(
        host.sees(number) in statuses for host in world.running() if host.is_shipped and host.id != number
    )


def none_sees(world: World, subject: Host | NodeId, *statuses: Status) -> bool:
    """Whether no running node but the subject holds one of these statuses of it."""
    number = subject if isinstance(subject, bytes) else subject.id
    return not any(
        host.sees(number) in statuses for host in world.running() if host.is_shipped and host.id != number
    )


def about(observer: Host, subject: Host | NodeId) -> list[EventKind]:
    """What the observer told its watchers of the subject, in order."""
    number = subject if isinstance(subject, bytes) else subject.id
    return [event.kind for _, event in observer.events if event.id == number]


def string(hosts: Iterable[Host]) -> str:
    """Names, for a message."""
    return ", ".join(host.name for host in hosts)


class Traffic:
    """What hosts send from now on, by kind: `Traffic(world.hosts)`, run, `.sent()`."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        self._hosts = hosts
        self._before = self._count()

    def sent(self, host: Host | None = None) -> dict[str, int]:
        """Messages by kind, by one of the hosts or by all; only kinds of which there were any."""
        chosen = self._hosts if host is None else [host]
        totals: dict[str, int] = {}
        for (number, kind), count in self._count().items():
            if any(number == other.number for other in chosen):
                totals[kind] = totals.get(kind, 0) + count - self._before.get((number, kind), 0)
        return {kind: count for kind, count in sorted(totals.items()) if count}

    def _count(self) -> dict[tuple[int, str], int]:
        return {
            (host.number, kind): messages
            for host in self._hosts
            for kind, (messages, _) in host.sent.kinds.items()
        }


class Puppet(Script):
    """A node whose every word is the test's. By itself it answers pings, if `acks`, and agrees with all."""

    def __init__(self, life: Life) -> None:
        super().__init__(life)
        self.acks = True
        self.version = life.incarnation

    @property
    def id(self) -> NodeId:
        return self.life.notary.id

    def receive(self, message: Packet, source: Address, now: float) -> None:
        super().receive(message, source, now)
        if self.acks and isinstance(message, Ping) and message.target == self.id:
            self.queue.append(Send(source, self._ack(message)))

    def stream_received(self, stream: StreamId, frame: Frame, now: float) -> None:
        super().stream_received(stream, frame, now)
        if self.acks and isinstance(frame, Ping) and frame.target == self.id:
            self.queue.append(Write(stream, self._ack(frame)))

    def record(self, **changes: Any) -> Fact:
        """Its member record, signed, with changes to what is true; each has a new version."""
        self.version += 1
        life = self.life
        fields: dict[str, Any] = {
            "owner": self.id,
            "version": self.version,
            "public_key": life.notary.public_key,
            "exchange_key": b"",
            "name": life.name,
            "host": life.address[0],
            "port": life.address[1],
            "tags": life.tags,
            "protocol_min": 1,
            "protocol_max": 1,
            "boot": 1,
            "floor": 0,
            "birth": life.birth,
            "phase": 0,
            "ephemeral": life.ephemeral,
        }
        return life.notary.issue(MemberRecord(**{**fields, **changes}))

    def service(self, key: str, name: str = "web", port: int = 80) -> Fact:
        """A service of its own, signed."""
        self.version += 1
        return self.life.notary.issue(ServiceRecord(self.id, self.version, key, name, "", port, (), {}, 1))

    def accuse(self, subject: Host, kind: Kind = Kind.SILENT, incarnation: int | None = None) -> Fact:
        """An accusation of a running node, at the incarnation that it has unless another is given."""
        at = subject.node.incarnation if incarnation is None else incarnation
        return self.life.notary.issue(Accusation(self.id, subject.id, at, kind))

    def news(self, *facts: Fact) -> Gossip:
        """A packet of gossip with these facts in it."""
        return Gossip(self.id, tuple(fact.raw for fact in facts))

    def _ack(self, ping: Ping) -> Ack:
        return Ack(ping.seq, self.id, ping.address, ping.view, b"", ())


def puppet(world: World, *known_to: Host, name: str | None = None) -> tuple[Host, Puppet]:
    """Add a puppet, and make it known to these nodes, by gossip in another's name: nobody names itself."""
    host = world.add(name, maker=Puppet)
    core = host.agent.node
    assert isinstance(core, Puppet)
    if known_to:
        news = Gossip(b"somebody or else", (core.record().raw,))
        say(host, *[Send(other.address, news) for other in known_to])
    return host, core
