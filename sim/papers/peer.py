"""A member of SWIM, memberlist or Lifeguard as published: another composition of core's parts.

A `Peer` is a `sim.life.Core`: a world runs it under the same clock, network and faults as the shipped one.
Table, ring and sampling, timers, suspicion formula, health, precedence, records, notary, messages and effects
are core's. What the papers do otherwise has a module each: `beliefs` (verdicts are hearsay), `rumours` (a
queue that forgets whom it told), `probing`, `telling`, `exchange`; `gate` is Lifeguard's anomaly.

A peer can be watched: `watch(peer, what, subject, now)`, with what one of `suspect`, `dead` (by whatever
word: a "failure event"), `alive` (a newer incarnation), `join` and `refute` (about itself).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from gossip.core.context import Context
from gossip.core.effects import Effect
from gossip.core.messages import Ack, Frame, Gossip, Packet, Page, Ping, PingRequest, Report
from gossip.core.records import Fact
from gossip.core.timers import Timer
from gossip.core.types import Address, NodeId, Outcome, StreamId
from sim.host import Host
from sim.life import Life, Maker
from sim.papers.beliefs import Beliefs
from sim.papers.exchange import Exchange
from sim.papers.gate import Gate
from sim.papers.probing import Probing
from sim.papers.telling import Telling
from sim.papers.variant import Variant
from sim.world import World

__all__ = ["Peer", "Watch", "block", "crowd", "maker", "peer_of", "release"]

Watch: TypeAlias = Callable[["Peer", str, NodeId, float], None]


class Peer:
    """One member, in one life."""

    __slots__ = (
        "_act",
        "_ctx",
        "_do",
        "_timers",
        "beliefs",
        "exchange",
        "gate",
        "id",
        "next_deadline",
        "probing",
        "table",
        "telling",
        "variant",
        "watch",
    )

    def __init__(self, life: Life, variant: Variant) -> None:
        self.variant = variant
        self.id = life.notary.id
        self.watch: Watch | None = None
        self._ctx = ctx = Context(life.notary, life.params, life.rng)
        self._timers = ctx.timers
        self.next_deadline = ctx.timers.next_deadline
        self.gate = Gate(variant.cost_alive, variant.cost_accusation)
        self.telling = Telling(ctx, variant, self.gate)
        self.beliefs = self.telling.beliefs = Beliefs(ctx, variant, life, self.telling.queued, self._watched)
        self.table = self.beliefs.table
        self.probing = Probing(ctx, variant, self.beliefs, self.gate)
        self.exchange = Exchange(ctx, variant, self.beliefs, self.gate, life.seeds)
        self._do: dict[type, Callable[..., None]] = {
            Ping: self._ping,
            Ack: self._ack,
            Gossip: self._gossip,
            PingRequest: self.probing.asked,
            Report: self._report,
            Page: self._page,
        }
        self._act: dict[Timer, Callable[..., None]] = {
            Timer.PERIOD: self.probing.beat,
            Timer.DIRECT: self.probing.direct_over,
            Timer.PROBE_END: self.probing.end,
            Timer.GOSSIP: self.telling.beat,
            # These two are what a paper's member has of those kinds: its join, and its push-pull.
            Timer.INTRODUCE: self.exchange.retry,
            Timer.SEEDS: self.exchange.beat,
            Timer.EAGER: self._take_next,
        }

    @property
    def fact(self) -> Fact:
        """My own record, as it is now."""
        return self.beliefs.fact

    @property
    def sent_bytes(self) -> int:
        """As memberlist would have sent them, by the costs in the variant; without streams, UDP and IP."""
        return self.probing.sent_bytes + self.telling.sent_bytes

    def know(self, facts: Iterable[Fact], now: float) -> None:
        """Begin with these members alive, as if one had known them for long."""
        self.beliefs.know(facts, now)

    # The gate

    def close(self, _now: float) -> None:
        """Block: send nothing, handle nothing; timers run on."""
        self.gate.closed = True

    def open(self, now: float) -> None:
        """Go on: the loops that stood still at once, then what waited, in order."""
        gate = self.gate
        if not gate.closed:
            return
        gate.closed = False
        self.probing.release(now)
        self.telling.release(now)
        self.exchange.release(now)
        if gate.pace:
            if gate.inbox:
                self._timers.set(now + gate.pace, Timer.EAGER)
            return
        while gate.inbox:
            self._handle(*gate.next(), now)

    def _take_next(self, now: float) -> None:
        gate = self.gate
        if gate.closed or not gate.inbox:
            return
        self._handle(*gate.next(), now)
        if gate.inbox:
            self._timers.set(now + gate.pace, Timer.EAGER)

    # What the world brings

    def start(self, now: float) -> None:
        self.probing.start(now)
        self.telling.start(now)
        self.exchange.start(now)

    def receive(self, message: Packet, source: Address, now: float) -> None:
        gate = self.gate
        if gate.closed or gate.inbox:
            gate.keep(message, source)
        elif type(message) is Gossip:
            # Most are: the short way.
            self.beliefs.hear(message.news, now)
        else:
            self._handle(message, source, now)

    def stream_received(self, stream: StreamId, frame: Frame, now: float) -> None:
        if self.gate.waits:
            self.gate.keep_frame(stream, frame)
        else:
            self._handle(frame, stream, now)

    def _handle(self, message: Packet | Frame, source: Address | StreamId, now: float) -> None:
        handler = self._do.get(type(message))
        if handler is None:
            self.count("unexpected")
        else:
            handler(message, source, now)

    def stream_accepted(self, _source: Address, _now: float) -> StreamId | None:
        return self.exchange.accepted()

    def stream_opened(self, stream: StreamId, now: float) -> None:
        """What was written while dialling is on its way."""

    def stream_closed(self, stream: StreamId, _reason: str, _now: float) -> None:
        self.exchange.closed(stream)

    def resolved(self, _seed: str, addresses: Sequence[Address], _problem: str, _now: float) -> None:
        self.exchange.resolved(addresses)

    def refused(self, address: Address, now: float) -> None:
        """The papers make nothing of refusals."""

    def pulse(self, late: float, gap: float, overflow: bool, unsent: int, now: float) -> None:
        """Nor of having been late."""

    def tick(self, now: float) -> None:
        timers = self._timers
        while (due := timers.pop_due(now)) is not None:
            what, about = due
            if what is Timer.SUSPICION:
                self.beliefs.verdict(about, now)  # type: ignore[arg-type] # members are known by id
            elif what is Timer.HELP:
                self.probing.patience_over(about)  # type: ignore[arg-type] # favours by number
            else:
                self._act[what](now)

    def drain(self) -> Iterable[Effect]:
        ctx = self._ctx
        effects, ctx.effects = ctx.effects, []
        return effects

    def count(self, reason: str) -> None:
        self._ctx.counters[reason] += 1

    def remembered(self) -> Sequence[Address]:
        return ()

    # Messages

    def _ping(self, message: Ping, source: Address, now: float) -> None:
        if message.news:
            self.beliefs.hear(message.news, now)
        if message.target == self.id:
            self.probing.pinged(message, source)

    def _ack(self, message: Ack, _source: Address, now: float) -> None:
        if message.news:
            self.beliefs.hear(message.news, now)
        self.probing.acked(message.seq, now)

    def _gossip(self, message: Gossip, _source: Address, now: float) -> None:
        self.beliefs.hear(message.news, now)

    def _report(self, message: Report, _source: Address, now: float) -> None:
        if message.outcome == Outcome.ACKED:
            self.probing.acked(message.seq, now)
        else:
            self.probing.nacked(message.seq)

    def _page(self, page: Page, stream: StreamId, now: float) -> None:
        self.exchange.received(stream, page, now)

    # What is told

    def _watched(self, what: str, subject: NodeId, now: float) -> None:
        if self.watch is not None:
            self.watch(self, what, subject, now)


def maker(variant: Variant) -> Maker:
    """What a `World` is given to have such members."""
    return lambda life: Peer(life, variant)


def peer_of(host: Host) -> Peer:
    """The peer that runs there.

    Raises:
        TypeError: if another core does.
    """
    core = host.agent.node
    if not isinstance(core, Peer):
        raise TypeError(f"{host.name} runs {type(core).__name__}")
    return core


def crowd(world: World, count: int, *, watch: Watch | None = None, pace: float = 0.0) -> list[Host]:
    """Add `count` hosts whose peers know each other from the first moment.

    Args:
        world: made with `maker(variant)`.
        count: how many.
        watch: is told what happens at each.
        pace: seconds; see `gate`.
    """
    hosts = world.grow(count, seeds=())
    facts = [peer_of(host).fact for host in hosts]
    for host in hosts:
        peer = peer_of(host)
        peer.watch = watch
        peer.gate.pace = pace
        peer.know(facts, world.now)
    return hosts


def block(hosts: Iterable[Host]) -> None:
    """Close the gates of these hosts' peers, in lock step."""
    for host in hosts:
        host.agent.call(peer_of(host).close)


def release(hosts: Iterable[Host]) -> None:
    """Open them again."""
    for host in hosts:
        host.agent.call(peer_of(host).open)
