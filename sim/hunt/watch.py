"""What must hold in any world at any moment, checked after each input to each node.

Theory. Most inputs change nothing that is held; `Node.revision` says which do. After one that does, each
member is compared with what this node held of it before: a few identity comparisons, unless it changed.
What changed is checked in full, and its share of the fingerprint, the counts and the catalog is carried over,
so that the whole is known to be right by induction. The induction begins anew with a walk over everything
once in `WALK_US`, which also finds what changed without a revision.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from gossip.core.events import Event, EventKind
from gossip.core.members import Member
from gossip.core.node import Node
from gossip.core.records import Body, Deletion, Fact, Key, ServiceRecord, StatusRecord
from gossip.core.types import NodeId, Phase, Status, StreamId
from sim.clock import SECOND
from sim.hunt import tables
from sim.hunt.bounds import check_bounds
from sim.hunt.errors import BrokenRuleError, demand
from sim.hunt.inside import Inside, awaits_pages
from sim.hunt.registry import Registry, Witness
from sim.hunt.rules import Rule
from sim.life import Life, shipped

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

__all__ = ["Watch"]


WALK_US = 20 * SECOND
"""How often everything that a node holds is checked, changed or not."""


class Seen:
    """What a node held of one member when it was last looked at."""

    __slots__ = ("fact", "mark", "newest", "offers", "services", "status")

    def __init__(self) -> None:
        self.fact: Fact | None = None
        self.status = Status.ALIVE
        self.services: dict[Key, Fact] = {}
        self.newest: dict[Key, Fact] = {}
        """The highest version ever held of each key, while the member is remembered."""
        self.mark = 0
        """Its share of the fingerprint; 0 while it is hidden."""
        self.offers = 0
        """Its service records in the catalog."""


class Observer:
    """One life of one node, as it was last seen."""

    __slots__ = ("gone", "heard", "host", "inside", "life", "me", "params", "revision", "seen", "walk_us")

    def __init__(self, host: Host, inside: Inside, now_us: int) -> None:
        self.host = host
        self.life = host.lives
        self.inside = inside
        self.params = inside.node.params
        self.revision = -1
        self.walk_us = now_us
        self.seen: dict[NodeId, Seen] = {}
        self.me = Seen()
        self.heard: set[tuple[NodeId, int]] = set()
        """User events that it has told watchers of."""
        self.gone: set[NodeId] = set()
        """Whom it has told watchers to be dead or left since it was last looked at."""


class Watch:
    """The invariants of one world: make it, give its `maker` to the world, then `attach` it.

    Raises:
        BrokenRuleError: out of the world's `run`, from the very input that broke the rule.
    """

    def __init__(self) -> None:
        self.registry = Registry()
        self.met: Counter[str] = Counter()
        """What has happened, for `coverage`."""
        self.departing: dict[int, int] = {}
        """By host number: the life in which it was told to leave or hand over, and not yet to come back."""
        self.promised: dict[int, dict[str, tuple[str, int]]] = {}
        """By host: name and port of each service that was acknowledged and not taken away, by its key."""
        self._observers: dict[int, Observer] = {}
        self._world: World

    def maker(self, life: Life) -> Node:
        """Makes the shipped core, with a notary that is watched."""
        witness = Witness(life.notary, self.registry)
        witness.node = node = shipped(msgspec.structs.replace(life, notary=witness))
        closed = node.stream_closed

        def stream_closed(stream: StreamId, reason: str, now: float) -> None:
            self.met[f"stream: {reason}"] += 1
            self.met["page cut"] += awaits_pages(node, stream)
            closed(stream, reason, now)

        node.stream_closed = stream_closed  # type: ignore[method-assign]
        return node

    def attach(self, world: World) -> None:
        """Watch this world from now on."""
        self._world = world
        world.watchers.append(self.check)
        world.listeners.append(self.listen)

    def check(self, host: Host) -> None:
        """After an input to the host's node."""
        observer = self._observers.get(host.number)
        if observer is None or observer.life != host.lives:
            observer = self._observer(host)
        table = observer.inside.table
        if table.revision != observer.revision:
            observer.revision = table.revision
            try:
                self._look(observer)
            except BrokenRuleError as problem:
                self._place(problem, host)
                raise
        elif self._world.clock.now_us >= observer.walk_us:
            self.walk(host)

    def walk(self, host: Host) -> None:
        """Check everything that the host's node holds."""
        observer = self._observer(host)
        if observer.inside.table.revision != observer.revision:
            self.check(host)
        observer.walk_us = self._world.clock.now_us + WALK_US
        try:
            for number, member in observer.inside.members.items():
                was = observer.seen.get(number)
                unseen = was is None or changed(was, member)
                demand(not unseen, Rule.REVISION, f"what is held of {member.name}")
            tables.check_all(observer.inside)
            check_bounds(observer.inside, observer.params)
        except BrokenRuleError as problem:
            self._place(problem, host)
            raise

    def listen(self, host: Host, _now: float, event: Event) -> None:
        """A node told its watchers."""
        kind = event.kind
        if kind is EventKind.EVENT_RECEIVED:
            observer = self._observer(host)
            which = (event.id, event.index)
            if which in observer.heard:
                problem = BrokenRuleError(Rule.ONCE, f"{event.name} of {event.node} is told again")
                self._place(problem, host)
                raise problem
            observer.heard.add(which)
        elif kind is EventKind.MEMBER_FAILED or kind is EventKind.MEMBER_LEFT:
            self._observer(host).gone.add(event.id)
            if kind is EventKind.MEMBER_FAILED and host.node.is_doubting:
                problem = BrokenRuleError(Rule.DOUBT, f"{event.name} is buried by a node that doubts itself")
                self._place(problem, host)
                raise problem
        self.met[f"event: {kind.value}"] += 1

    def close(self) -> Counter[str]:
        """Everything that happened, with what all nodes have counted: when the world is over."""
        for observer in self._observers.values():
            self._count(observer)
        self._observers.clear()
        return self.met + self.registry.accused

    # Lives

    def _observer(self, host: Host) -> Observer:
        before = self._observers.get(host.number)
        if before is not None:
            if before.life == host.lives:
                return before
            self._count(before)
        observer = Observer(host, Inside(host.node), self._world.clock.now_us + WALK_US)
        self._observers[host.number] = observer
        return observer

    def _count(self, observer: Observer) -> None:
        self.met.update(observer.inside.node.counters)
        self.met["news pruned"] += observer.inside.queue.pruned

    def _place(self, problem: BrokenRuleError, host: Host) -> None:
        problem.host, problem.at_s = host.name, self._world.clock.now

    # What changed

    def _look(self, observer: Observer) -> None:
        inside, seen = observer.inside, observer.seen
        mark = offers = suspects = 0
        for number, member in inside.members.items():
            was = seen.get(number)
            if was is None:
                was = seen[number] = Seen()
                self._compare(observer, was, member)
            elif (
                was.fact is not member.fact
                or was.status is not member.status
                or was.services != member.services
            ):
                self._compare(observer, was, member)
            mark ^= was.mark
            offers += was.offers
            if was.status is Status.SUSPECT:
                suspects += 1
                tables.check_accusations(member)
                tables.check_suspect(inside, member)
        if len(seen) != len(inside.members):
            self._forgotten(observer)
        observer.gone.clear()
        own = self._look_at_itself(observer)
        offers += own.offers
        node, table = inside.node, inside.table
        mark ^= tables.ban_mark(inside)
        if node.fingerprint != mark ^ own.mark:
            tables.check_all(inside)
            raise BrokenRuleError(Rule.FINGERPRINT, f"{node.fingerprint:016x}, not {mark ^ own.mark:016x}")
        held = sum(map(len, inside.names.values()))
        if held != offers:
            raise BrokenRuleError(Rule.CATALOG, f"{held} services, where the members have {offers}")
        if table.counts[Status.SUSPECT] != suspects:
            raise BrokenRuleError(Rule.INDEXES, f"{table.counts} counted, with {suspects} suspects")

    def _look_at_itself(self, observer: Observer) -> Seen:
        inside, was, host = observer.inside, observer.me, observer.host
        me = inside.node.me
        tables.check_itself(inside)
        if changed(was, me):
            self._compare(observer, was, me)
            version = max([me.incarnation, *(fact.body.version for fact in me.services.values())])  # type: ignore[union-attr]
            demand(version <= host.disk.ceiling, Rule.LEASED, f"{version}, with {host.disk.ceiling} reserved")
            self._check_promises(host, me)
        phase = Phase(me.record.phase)
        if phase is not Phase.RUNNING and self.departing.get(host.number) != host.lives:
            raise BrokenRuleError(Rule.OWN_ID, f"it is {phase.name.lower()}, and nobody asked for that")
        return was

    def _check_promises(self, host: Host, me: Member) -> None:
        for key, (name, port) in self.promised.get(host.number, {}).items():
            fact = me.services.get((2, key))
            body = None if fact is None else fact.body
            if not isinstance(body, ServiceRecord) or (body.name, body.port) != (name, port):
                raise BrokenRuleError(Rule.KEPT, f"{name} at port {port}, id {key}, is {body}")

    def _compare(self, observer: Observer, was: Seen, member: Member) -> None:
        """Judge the step from what was held to what is held."""
        before, status, fact = was.fact, member.status, member.fact
        name = member.name
        if self.registry.issued.get(fact.raw) != fact.body.owner:
            raise BrokenRuleError(Rule.OWNERS, f"{fact.body.owner.hex()[:8]} never said {fact.body}")
        if before is not None:
            self._judge(was, member)
        elif member is not observer.inside.node.me:
            self.met[f"new, {status.label}"] += 1
        if was.services != member.services:
            self._compare_services(observer, was, member)
        if member.record.floor:
            low = [key for key, held in member.services.items() if held.body.version < member.record.floor]  # type: ignore[union-attr]
            demand(not low, Rule.NEWEST, f"{low} of {name} are void by its floor")
        was.fact, was.status = fact, status
        was.mark = tables.own_mark(member) if member.is_live else 0
        if member is observer.inside.node.me:
            return
        tables.check_entry(observer.inside, member)
        if status is not Status.SUSPECT:
            tables.check_no_clock(observer.inside, member)

    def _judge(self, was: Seen, member: Member) -> None:
        before = was.fact.body.version  # type: ignore[union-attr]
        now, status = member.incarnation, member.status
        if now < before:
            raise BrokenRuleError(Rule.INCARNATION, f"{member.name} is held at {now} after {before}")
        if status is was.status:
            return
        if now == before and was.status >= Status.DEAD and status < was.status:
            words = f"{was.status.label} to {status.label}"
            raise BrokenRuleError(Rule.FINAL, f"{member.name} goes from {words} in the same life, {now}")
        self.met[f"{was.status.label} to {status.label}"] += 1

    def _compare_services(self, observer: Observer, was: Seen, member: Member) -> None:
        floor, issued = member.record.floor, self.registry.issued
        for key, fact in member.services.items():
            if was.services.get(key) is fact:
                continue
            body = fact.body
            if issued.get(fact.raw) != member.id or body.owner != member.id:
                raise BrokenRuleError(Rule.OWNERS, f"{member.name} never said {body}")
            top = was.newest.get(key)
            if top is not None and top.raw != fact.raw and not beats(fact, top):
                rule = Rule.TOMBSTONES if isinstance(top.body, Deletion) else Rule.NEWEST
                raise BrokenRuleError(rule, f"{body} is held after {top.body}")
            was.newest[key] = fact
            self.met[_word(body)] += 1
            if isinstance(body, ServiceRecord):
                entry = observer.inside.names.get(body.name, {}).get((member.id, key))
                if entry is None or entry[0] is not member or entry[1] is not body:
                    raise BrokenRuleError(Rule.CATALOG, f"{body} of {member.name} is there as {entry}")
        for key, fact in was.services.items():
            if key not in member.services:
                demand(fact.body.version < floor, Rule.NEWEST, f"{fact.body} of {member.name} is gone")  # type: ignore[union-attr]
                self.met["void by a floor"] += 1
        was.services = dict(member.services)
        was.offers = sum(isinstance(fact.body, ServiceRecord) for fact in member.services.values())

    def _forgotten(self, observer: Observer) -> None:
        for number in [known for known in observer.seen if known not in observer.inside.members]:
            was = observer.seen.pop(number)
            self.met["tombstone forgotten"] += 1
            gone = was.status >= Status.DEAD or number in observer.gone
            demand(gone, Rule.FINAL, f"{number.hex()[:8]} was forgotten while it was {was.status.label}")


def _word(body: Body) -> str:
    if isinstance(body, ServiceRecord):
        return "service"
    return "status" if isinstance(body, StatusRecord) else "deletion"


def changed(was: Seen, member: Member) -> bool:
    """Whether anything else is held of the member than when it was last seen."""
    return was.fact is not member.fact or was.status is not member.status or was.services != member.services


def beats(fact: Fact, other: Fact) -> bool:
    """Newest wins; of one version, the larger hash."""
    version, than = fact.body.version, other.body.version  # type: ignore[union-attr]
    return (version, fact.hash) > (than, other.hash)
