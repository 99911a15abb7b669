"""memberlist's push-pull: two members give each other their whole views over a stream.

It is how a newcomer joins, and what repairs views afterwards. One page each way; the stream is the
world's, with its handshake, losses and deadlines. As in memberlist, whom the other side has dead is only
suspected, so that the accused can refute it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gossip.core.context import Context
from gossip.core.effects import Close, Dial, Resolve, Write
from gossip.core.messages import Page
from gossip.core.records import Accusation, MemberRecord
from gossip.core.timers import Timer
from gossip.core.types import Address, Status, StreamId
from sim.papers.beliefs import Beliefs
from sim.papers.gate import Gate
from sim.papers.variant import Variant

__all__ = ["Exchange"]

DIAL_S = 10.0
"""memberlist's TCPTimeout."""
STREAMS_MAX = 128
RETRY_S = 5.0
"""A newcomer whose seeds did not answer asks them again."""
SCALE_FROM = 32
"""Up to so many members the interval is as configured; it grows by itself with each doubling."""


class Exchange:
    """The push-pulls of one member."""

    __slots__ = (
        "_asked",
        "_beliefs",
        "_ctx",
        "_gate",
        "_interval",
        "_joining",
        "_late",
        "_seeds",
        "done",
        "told",
    )

    def __init__(
        self, ctx: Context, variant: Variant, beliefs: Beliefs, gate: Gate, seeds: Sequence[str]
    ) -> None:
        self._ctx = ctx
        self._beliefs = beliefs
        self._gate = gate
        self._interval = variant.push_pull
        self._seeds = seeds
        self._joining = bool(seeds)
        self._asked: dict[StreamId, bool] = {}
        """Streams under way; whether it was I who dialled."""
        self._late = False
        self.done = 0
        """Views received."""
        self.told = 0
        """Members told of, over all views sent."""

    def start(self, now: float) -> None:
        """Ask the seeds; exchange regularly from then on."""
        if self._joining:
            self._ask_seeds()
            self._ctx.timers.set(now + RETRY_S, Timer.INTRODUCE)
        if self._interval is not None:
            stagger = self._ctx.rng.getrandbits(32) * self._interval / (1 << 32)
            self._ctx.timers.set(now + stagger, Timer.SEEDS)

    def retry(self, now: float) -> None:
        """The time in which seeds should have answered is over."""
        if self._joining:
            self._ask_seeds()
            self._ctx.timers.set(now + RETRY_S, Timer.INTRODUCE)

    def _ask_seeds(self) -> None:
        self._ctx.effects += [Resolve(seed) for seed in self._seeds]

    def resolved(self, addresses: Sequence[Address]) -> None:
        """A seed's addresses."""
        mine = self._beliefs.table.me.address
        for address in addresses:
            if address != mine and self._joining:
                self._dial(address)

    def beat(self, now: float) -> None:
        """It is time for an exchange with a member drawn at random."""
        if self._interval is None:
            return
        n = self._beliefs.table.n
        doublings = math.ceil(math.log2(n / SCALE_FROM)) if n > SCALE_FROM else 0
        self._ctx.timers.set(now + self._interval * (doublings + 1), Timer.SEEDS)
        if self._gate.closed:
            self._late = True
            return
        for member in self._beliefs.table.sample(1):
            if member.status is Status.ALIVE:
                self._dial(member.address)

    def release(self, now: float) -> None:
        """The gate is open."""
        if self._late:
            self._late = False
            self.beat(now)

    def accepted(self) -> StreamId | None:
        """Somebody dials; None: too many do."""
        if len(self._asked) >= STREAMS_MAX:
            return None
        stream = self._ctx.next_stream()
        self._asked[stream] = False
        return stream

    def received(self, stream: StreamId, page: Page, now: float) -> None:
        """The other's view."""
        asked = self._asked.pop(stream, None)
        if asked is None:
            return
        if not asked:
            self._write(stream)
        self._ctx.effects.append(Close(stream))
        self.done += 1
        self._joining = False
        self._merge(page, now)

    def closed(self, stream: StreamId) -> None:
        """It is over, whether anything came or not."""
        self._asked.pop(stream, None)

    def _dial(self, address: Address) -> None:
        if len(self._asked) >= STREAMS_MAX:
            return
        stream = self._ctx.next_stream()
        self._asked[stream] = True
        self._ctx.effects.append(Dial(stream, address, DIAL_S))
        self._write(stream)

    def _write(self, stream: StreamId) -> None:
        view = tuple(self._view())
        self.told += len(view)
        self._ctx.effects.append(Write(stream, Page(view, b"", last=True)))

    def _view(self) -> Iterator[bytes]:
        yield self._beliefs.fact.raw
        for member in self._beliefs.table:
            if member.status is Status.ALIVE:
                yield member.fact.raw
            else:
                yield next(iter(self._beliefs.charges[member.id].accusations.values())).raw

    def _merge(self, page: Page, now: float) -> None:
        records: list[bytes] = []
        for raw in page.news:
            fact = self._ctx.notary.parse(raw)
            body = fact.body
            if isinstance(body, MemberRecord):
                records.append(raw)
            elif isinstance(body, Accusation):
                self._beliefs.given(fact, body, now)
        self._beliefs.hear(records, now)
