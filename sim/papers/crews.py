"""Who stands in Lifeguard's test bed: members of a published protocol, or nodes as agents run them.

Both begin settled, are told apart by a cell's `config`, and are compared under the same network, phases and
choice of slow agents. Nodes have one loop, as the agent has: when it is stopped it notices that it was late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias

from gossip.core.events import Event, EventKind
from gossip.core.params import LAN, Params
from gossip.core.types import NodeId, Status
from sim.host import Host
from sim.latency import Latency, Uniform
from sim.papers.gate import BUFFER_BYTES
from sim.papers.peer import Peer, block, crowd, maker, peer_of, release
from sim.papers.settled import Gated, Settled, gated_of, params_of, settle
from sim.papers.settled import maker as node_maker
from sim.papers.variant import LIFEGUARD_CONFIGS, Variant, lifeguard
from sim.world import World

__all__ = ["LATENCY", "PACE_S", "Crew", "Failed", "gather", "variant_of"]

LATENCY = Uniform(150, 350)
"""One way over a loopback that 128 agents share, and through their processes."""
PACE_S = 20e-6
"""To read a datagram, decode it and pass it on, about. It matters where `free_ms` is 1 or 4."""

Failed: TypeAlias = Callable[[float, NodeId, NodeId], None]
"""`(world's seconds, observer, subject)`: one holds another for dead."""


class Crew(Protocol):
    """The agents of one run."""

    world: World
    hosts: list[Host]

    def block(self, hosts: Sequence[Host]) -> None:
        """Close their gates."""

    def release(self, hosts: Sequence[Host]) -> None:
        """Open them again."""

    def all_alive(self) -> bool:
        """Everybody holds everybody for alive."""

    def sent_bytes(self) -> int:
        """Of datagrams, so far."""

    def overflowed(self) -> int:
        """Datagrams that found a gate's buffer full, so far."""


def gather(
    config: str,
    count: int,
    seed: int,
    failed: Failed,
    *,
    gated: bool,
    latency: Latency = LATENCY,
    suspected: Failed | None = None,
) -> Crew:
    """Agents that know each other.

    Args:
        config: see `variant_of`, `settled.named`.
        count: how many.
        seed: of their world.
        failed: is told of each failure event.
        gated: whether they shall be blocked, not stopped.
        latency: of every link.
        suspected: is told whenever one begins to suspect another.
    """
    params = params_of(config)
    if params is None:
        return Peers(variant_of(config), count, seed, failed, latency, suspected)
    return Nodes(params, count, seed, failed, latency, suspected, gated=gated)


def variant_of(config: str) -> Variant:
    """The published protocol that a cell's `config` names: a row of table IV, or Lifeguard's alpha,beta."""
    if config in LIFEGUARD_CONFIGS:
        return LIFEGUARD_CONFIGS[config]()
    alpha, beta = config.split(",")
    return lifeguard(float(alpha), float(beta))


class Peers:
    """Members of SWIM, Lifeguard or memberlist."""

    def __init__(
        self,
        variant: Variant,
        count: int,
        seed: int,
        failed: Failed,
        latency: Latency,
        suspected: Failed | None,
    ) -> None:
        self.world = World(
            seed, codec=False, keep_events=False, params=LAN, latency=latency, maker=maker(variant)
        )
        self.world.receive_buffer = BUFFER_BYTES
        self._told = {"dead": failed} if suspected is None else {"dead": failed, "suspect": suspected}
        self.hosts = crowd(self.world, count, watch=self._watch, pace=PACE_S)

    def block(self, hosts: Sequence[Host]) -> None:
        block(hosts)

    def release(self, hosts: Sequence[Host]) -> None:
        release(hosts)

    def all_alive(self) -> bool:
        others = len(self.hosts) - 1
        return all(peer_of(host).table.counts[Status.ALIVE] == others for host in self.hosts)

    def sent_bytes(self) -> int:
        return _over(self.hosts, lambda peer: peer.sent_bytes)

    def overflowed(self) -> int:
        return _over(self.hosts, lambda peer: peer.gate.overflowed)

    def _watch(self, peer: Peer, what: str, subject: NodeId, now: float) -> None:
        if what in self._told:
            self._told[what](now, peer.id, subject)


class Nodes:
    """The shipped core."""

    def __init__(
        self,
        params: Params,
        count: int,
        seed: int,
        failed: Failed,
        latency: Latency,
        suspected: Failed | None,
        *,
        gated: bool,
    ) -> None:
        kind = Gated if gated else Settled
        self.world = World(
            seed,
            codec=False,
            sized=True,
            keep_events=False,
            params=params,
            latency=latency,
            maker=node_maker(kind),
        )
        # The agent asks for more than Linux gives, as memberlist does.
        self.world.receive_buffer = BUFFER_BYTES
        self._told = {EventKind.MEMBER_FAILED: failed}
        if suspected is not None:
            self._told[EventKind.MEMBER_SUSPECTED] = suspected
        self._gated = gated
        self.hosts = settle(self.world, count, pace=PACE_S)
        self.world.listeners.append(self._listen)

    def block(self, hosts: Sequence[Host]) -> None:
        for host in hosts:
            host.agent.call(gated_of(host).close)

    def release(self, hosts: Sequence[Host]) -> None:
        for host in hosts:
            host.agent.call(gated_of(host).open)

    def all_alive(self) -> bool:
        others = len(self.hosts) - 1
        return all(host.node.members.counts[Status.ALIVE] == others for host in self.hosts)

    def sent_bytes(self) -> int:
        return sum(host.sent.bytes for host in self.hosts)

    def overflowed(self) -> int:
        return sum(gated_of(host).gate.overflowed for host in self.hosts) if self._gated else 0

    def _listen(self, host: Host, now: float, event: Event) -> None:
        if event.kind in self._told:
            self._told[event.kind](now, host.id, event.id)


def _over(hosts: Iterable[Host], count: Callable[[Peer], int]) -> int:
    return sum(count(peer_of(host)) for host in hosts)
