"""A member of Rapid: observers on K rings, alerts to all, and one vote on the cut that all saw.

Suresh et al. 2018, as its authors ran it: K = 10, H = 9, L = 3, an edge fails when four of its last ten
probes did. What is simplified: the vote is the fast path of Fast Paxos alone (three quarters agree), and
what failed members leave behind is not joined again. A vote that finds no such majority stays open, and
the experiment would show it as no step at all.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from functools import partial

from msgspec import Struct

from gossip.core.effects import Effect, Send
from gossip.core.types import Address, StreamId
from sim.chance import derive
from sim.host import Host
from sim.life import Life
from sim.papers.cuts import CutDetector, Rings
from sim.world import World

__all__ = ["RapidPeer", "rapid_crowd"]

K, HIGH, LOW = 10, 9, 3
WINDOW, FAILED = 10, 4
"""An edge fails when so many of its last probes did."""
PERIOD_S = 1.0
BATCH_S = 0.1
"""Alerts wait this long for others."""


class Probe(Struct, frozen=True, gc=False):
    """Are you there?"""

    number: int


class Reply(Struct, frozen=True, gc=False):
    """I am."""

    number: int


class Alerts(Struct, frozen=True):
    """Edges that I observe have failed: (subject, ring)."""

    edges: tuple[tuple[int, int], ...]


class Vote(Struct, frozen=True):
    """The members that I would remove."""

    voter: int
    cut: tuple[int, ...]


class RapidPeer:
    """One member. `meet` gives it the view that it begins with."""

    def __init__(self, life: Life) -> None:
        self._rng = life.rng
        self._effects: list[Effect] = []
        self._addresses: Sequence[Address] = ()
        self._subjects: dict[int, list[int]] = {}
        """By subject: the rings on which this member observes it."""
        self._unanswered: set[int] = set()
        self._lately: dict[int, deque[bool]] = {}
        """By subject: whether its last probes failed."""
        self._alerts: list[tuple[int, int]] = []
        self._detector = CutDetector(HIGH, LOW)
        self._votes: Counter[tuple[int, ...]] = Counter()
        self._voted: set[int] = set()
        self._probe_at = math.inf
        self._alert_at = math.inf
        self.number = -1
        self.view: set[int] = set()
        """The members, itself included."""

    def meet(self, number: int, addresses: Sequence[Address], rings: Rings, now: float) -> None:
        """Begin with all of `addresses` as members, this one being `number`, on these rings."""
        self.number = number
        self._addresses = addresses
        self.view = set(range(len(addresses)))
        for ring, subject in enumerate(rings.subjects(number)):
            self._subjects.setdefault(subject, []).append(ring)
        self._lately = {subject: deque(maxlen=WINDOW) for subject in self._subjects}
        self._detector = CutDetector(HIGH, LOW, rings.observers)
        self._probe_at = now + self._rng.getrandbits(32) * PERIOD_S / (1 << 32)

    # What the world brings

    def start(self, now: float) -> None:
        """Nothing, until it meets the others."""

    def receive(self, message: object, source: Address, _now: float) -> None:
        if isinstance(message, Probe):
            self._send(source, Reply(message.number))
        elif isinstance(message, Reply):
            self._unanswered.discard(message.number)
        elif isinstance(message, Alerts):
            for subject, ring in message.edges:
                self._hear(subject, ring)
        elif isinstance(message, Vote):
            self._count(message)

    def tick(self, now: float) -> None:
        if now >= self._probe_at:
            self._probe_at += PERIOD_S
            self._probe(now)
        if now >= self._alert_at:
            self._alert_at = math.inf
            alerts, self._alerts = tuple(self._alerts), []
            self._tell_all(Alerts(alerts))
            for subject, ring in alerts:
                self._hear(subject, ring)

    def next_deadline(self) -> float:
        return min(self._probe_at, self._alert_at)

    def drain(self) -> Iterable[Effect]:
        effects, self._effects = self._effects, []
        return effects

    # What a member does

    def _probe(self, now: float) -> None:
        for subject, edges in list(self._subjects.items()):
            lately = self._lately[subject]
            lately.append(subject in self._unanswered)
            if sum(lately) >= FAILED:
                del self._subjects[subject]
                self._alerts += [(subject, ring) for ring in edges]
                self._alert_at = min(self._alert_at, now + BATCH_S)
                continue
            self._unanswered.add(subject)
            self._send(self._addresses[subject], Probe(subject))

    def _hear(self, subject: int, ring: int) -> None:
        if subject not in self.view:
            return
        cut = self._detector.report(subject, ring)
        if cut is not None and self.number not in self._voted:
            vote = Vote(self.number, tuple(cut))
            self._tell_all(vote)
            self._count(vote)

    def _count(self, vote: Vote) -> None:
        if vote.voter in self._voted:
            return
        self._voted.add(vote.voter)
        self._votes[vote.cut] += 1
        if 4 * self._votes[vote.cut] >= 3 * len(self._addresses) and self.view.issuperset(vote.cut):
            self.view.difference_update(vote.cut)

    def _tell_all(self, message: Alerts | Vote) -> None:
        for number, address in enumerate(self._addresses):
            if number != self.number:
                self._send(address, message)

    def _send(self, address: Address, message: Probe | Reply | Alerts | Vote) -> None:
        # Without the codec a world carries any object; these are no messages of core's.
        self._effects.append(Send(address, message))  # type: ignore[arg-type]

    # What it makes nothing of

    def refused(self, address: Address, now: float) -> None:
        """An unanswered probe says as much."""

    def stream_accepted(self, _source: Address, _now: float) -> StreamId | None:
        return None

    def stream_opened(self, stream: StreamId, now: float) -> None:
        """It opens none."""

    def stream_received(self, stream: StreamId, frame: object, now: float) -> None:
        """It accepts none."""

    def stream_closed(self, stream: StreamId, reason: str, now: float) -> None:
        """It has none."""

    def resolved(self, seed: str, addresses: Sequence[Address], problem: str, now: float) -> None:
        """It asks for no names."""

    def pulse(self, late: float, gap: float, overflow: bool, unsent: int, now: float) -> None:
        """It does not ask whether it was late."""

    def count(self, reason: str) -> None:
        """Nothing is counted."""

    def remembered(self) -> Sequence[Address]:
        return ()


def rapid_crowd(world: World, count: int) -> list[Host]:
    """Add `count` hosts whose members begin with one view and one set of rings.

    Raises:
        TypeError: if the world's maker is not `RapidPeer`.
    """
    hosts = world.grow(count, seeds=())
    addresses = [host.address for host in hosts]
    rings = Rings(count, K, derive(world.seed, "rings"))
    for number, host in enumerate(hosts):
        peer = host.agent.node
        if not isinstance(peer, RapidPeer):
            raise TypeError(f"{host.name} runs {type(peer).__name__}")
        host.agent.call(partial(peer.meet, number, addresses, rings))
    return hosts
