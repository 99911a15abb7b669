"""The shipped core as members of a paper's test bed: it begins among those it knows, and can be gated.

A `Settled` is the `Node` that agents run, and does nothing otherwise. It only need not join: to bring 128
nodes together costs more computing than most runs that follow. `Gated` is put behind Lifeguard's gate besides
(`gate`): its timers run on while what it sends waits in its socket, and what arrives in its buffer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from gossip.core.broadcast import slot_of
from gossip.core.effects import Dial, Effect, Send, Write
from gossip.core.messages import Frame, Packet
from gossip.core.node import Node
from gossip.core.params import PROFILES, Params
from gossip.core.records import Fact
from gossip.core.types import Address, StreamId
from sim.host import Host
from sim.life import Life, Maker, shipped
from sim.papers.gate import Gate
from sim.world import World

__all__ = ["Gated", "Settled", "gated_of", "named", "params_of", "settle"]

RECORD_BYTES, ACCUSATION_BYTES = 210, 120
"""What a fact takes of a datagram, about, for the gate's buffer."""
HELD = (Send, Dial, Write)


def named(params: Params, profile: str = "lan") -> str:
    """These settings as a cell's `config`: what differs from the profile in other settings is lost.

    Without a bound (infinite) there is no doubt from lateness; another bound is lost too.
    """
    doubt = " doubt=never" if params.doubt_bound == math.inf else ""
    return (
        f"{profile} a={params.suspicion_alpha:g} b={params.suspicion_beta:g}"
        f" k={params.suspicion_k} T={params.period:g}{doubt}"
    )


def params_of(config: str) -> Params | None:
    """What `named` wrote; None if the config is a published protocol's."""
    profile, *settings = config.split(" ")
    if profile not in PROFILES or not settings:
        return None
    values = dict(setting.split("=") for setting in settings)
    shipped = PROFILES[profile]
    return replace(
        shipped,
        doubt_bound=math.inf if "doubt" in values else shipped.doubt_bound,
        suspicion_alpha=float(values["a"]),
        suspicion_beta=float(values["b"]),
        suspicion_k=int(values["k"]),
        period=float(values["T"]),
    )


class Settled(Node):
    """A node that can begin with a view."""

    def know(self, facts: Iterable[Fact], now: float) -> None:
        """Hold these members, as after a join; there is nothing to tell, for they hold this one too."""
        self._intake.take([fact.raw for fact in facts], None, now, quiet=True)
        self._spread.queue.drop(slot_of(self.fact))

    @property
    def fact(self) -> Fact:
        """Its own record."""
        return self.me.fact


class Gated(Settled):
    """A node whose sends and receives can be blocked while its timers run on."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.gate = Gate(RECORD_BYTES, ACCUSATION_BYTES)
        self._held: list[Effect] = []
        self._told = 0
        self._take_at = float("inf")

    def close(self, _now: float) -> None:
        """Block."""
        self.gate.closed = True

    def open(self, now: float) -> None:
        """Go on: what was to be sent goes out, then what waited is handled, in order."""
        gate = self.gate
        if not gate.closed:
            return
        gate.closed = False
        if gate.overflowed > self._told:
            # The socket counts what it threw away, and the agent reads that when it reads the socket.
            self._told = gate.overflowed
            super().pulse(0.0, 0.0, True, 0, now)
        if gate.inbox:
            self._take_at = now + gate.pace

    def receive(self, message: Packet, source: Address, now: float) -> None:
        if self.gate.waits:
            self.gate.keep(message, source)
        else:
            super().receive(message, source, now)

    def stream_received(self, stream: StreamId, frame: Frame, now: float) -> None:
        if self.gate.waits:
            self.gate.keep_frame(stream, frame)
        else:
            super().stream_received(stream, frame, now)

    def next_deadline(self) -> float:
        return min(super().next_deadline(), self._take_at)

    def tick(self, now: float) -> None:
        if self._take_at <= now:
            self._take_next(now)
        super().tick(now)

    def _take_next(self, now: float) -> None:
        gate = self.gate
        self._take_at = float("inf")
        if gate.closed or not gate.inbox:
            return
        message, source = gate.next()
        if isinstance(source, int):
            super().stream_received(source, message, now)
        else:
            super().receive(message, source, now)
        if gate.inbox:
            self._take_at = now + gate.pace

    def drain(self) -> list[Effect]:
        effects = super().drain()
        if self.gate.closed:
            self._held += [effect for effect in effects if isinstance(effect, HELD)]
            return [effect for effect in effects if not isinstance(effect, HELD)]
        if self._held:
            held, self._held = self._held, []
            return held + effects
        return effects


def maker(kind: type[Settled]) -> Maker:
    """What a `World` is given to have such members."""

    def make(life: Life) -> Node:
        return shipped(life, kind)

    return make


def settle(world: World, count: int, *, pace: float = 0.0) -> list[Host]:
    """Add `count` hosts whose nodes know each other from the first moment.

    Args:
        world: made with a `maker` of this module.
        count: how many.
        pace: seconds; see `gate`.
    """
    hosts = world.grow(count, seeds=())
    nodes = [_settled(host) for host in hosts]
    facts = [node.fact for node in nodes]
    for host, node in zip(hosts, nodes, strict=True):
        if isinstance(node, Gated):
            node.gate.pace = pace
        host.agent.call(_knowing(node, facts))
    return hosts


def _knowing(node: Settled, facts: list[Fact]) -> Callable[[float], None]:
    return lambda now: node.know(facts, now)


def _settled(host: Host) -> Settled:
    node = host.node
    if not isinstance(node, Settled):
        raise TypeError(f"{host.name} runs {type(node).__name__}")
    return node


def gated_of(host: Host) -> Gated:
    """The node behind a gate that runs there.

    Raises:
        TypeError: if another core does.
    """
    node = host.agent.node
    if not isinstance(node, Gated):
        raise TypeError(f"{host.name} runs {type(node).__name__}")
    return node
