"""What every part of core shares: settings, the random source, the timers, and the way out."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gossip.core.effects import Effect, Notify, Send
from gossip.core.events import Event
from gossip.core.messages import Packet
from gossip.core.params import Params
from gossip.core.records import Notary
from gossip.core.timers import Timers
from gossip.core.types import Address
from gossip.errors import RemoteProtocolError

if TYPE_CHECKING:
    import random

    from gossip.core.gate import Gate

__all__ = ["Context", "refusing"]


class Context:
    """One per node. Holds no rule of its own."""

    __slots__ = ("counters", "effects", "gate", "notary", "params", "rng", "stream", "timers")

    def __init__(self, notary: Notary, params: Params, rng: random.Random) -> None:
        self.notary = notary
        self.params = params
        self.rng = rng
        self.timers = Timers()
        self.effects: list[Effect] = []
        self.counters: Counter[str] = Counter()
        self.stream = 0
        self.gate: Gate
        """Who may be a member; set by the node, since it needs other parts."""

    def send(self, address: Address, message: Packet, *, asks: bool = False) -> None:
        self.effects.append(Send(address, message, asks))

    def notify(self, event: Event) -> None:
        self.effects.append(Notify(event))

    def count(self, reason: str) -> None:
        self.counters[reason] += 1

    def sequence(self) -> int:
        """A random number that no outsider can guess, so that an ack proves a ping was heard."""
        return self.rng.getrandbits(63)

    def next_stream(self) -> int:
        self.stream += 1
        return self.stream


@contextlib.contextmanager
def refusing(ctx: Context) -> Iterator[None]:
    """Count what a peer sent wrong, under its reason, and go on."""
    try:
        yield
    except RemoteProtocolError as error:
        ctx.count(error.reason)
