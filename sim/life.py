"""What a core is born with, what the world needs of it, and how the shipped one is made.

`Core` is the seam between the protocol and this world: what the agent's driver calls, the world calls.
A world can be given another `Maker`, so that a variant (a paper's, or a script in a test) runs under
the same network, clock and faults.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias

from msgspec import Struct

from gossip.core.effects import Effect
from gossip.core.keys import Locksmith
from gossip.core.messages import Frame, Packet
from gossip.core.node import Node, Self
from gossip.core.params import Params
from gossip.core.records import Fact
from gossip.core.rotation import Plan
from gossip.core.types import Address, NodeId, StreamId
from sim.notary import Signer

__all__ = ["Core", "Life", "Maker", "shipped"]


class Life(Struct, frozen=True):
    """One life of one agent, as it begins."""

    notary: Signer
    name: str
    address: Address
    """The advertised one."""
    tags: dict[str, str]
    cluster: str
    ephemeral: bool
    birth: int
    wall_ms: int
    params: Params
    rng: random.Random
    now: float
    incarnation: int
    ceiling: int
    floor: int
    records: Sequence[Fact]
    seeds: Sequence[str]
    remembered: Sequence[Address]
    warrant: bytes = b""
    bans: Sequence[Fact] = ()
    used: Sequence[tuple[bytes, NodeId]] = ()
    invited_only: bool = False
    locksmith: Locksmith | None = None
    plan: Plan | None = None


class Core(Protocol):
    """What a process feeds, and drains. `gossip.core.node.Node` says what each means.

    `pulse` comes first in each wake-up that has something to tell, or that handling made late.
    """

    def start(self, now: float) -> None: ...
    def receive(self, message: Packet, source: Address, now: float) -> None: ...
    def refused(self, address: Address, now: float) -> None: ...
    def stream_accepted(self, source: Address, now: float) -> StreamId | None: ...
    def stream_opened(self, stream: StreamId, now: float) -> None: ...
    def stream_received(self, stream: StreamId, frame: Frame, now: float) -> None: ...
    def stream_closed(self, stream: StreamId, reason: str, now: float) -> None: ...
    def resolved(self, seed: str, addresses: Sequence[Address], problem: str, now: float) -> None: ...
    def pulse(self, late: float, gap: float, overflow: bool, unsent: int, now: float) -> None: ...
    def tick(self, now: float) -> None: ...
    def next_deadline(self) -> float: ...
    def drain(self) -> Iterable[Effect]: ...
    def count(self, reason: str) -> None: ...
    def remembered(self) -> Sequence[Address]: ...


Maker: TypeAlias = Callable[[Life], Core]


def shipped(life: Life, kind: type[Node] = Node) -> Node:
    """The core that agents run; `kind` is a subclass of it that watches what it does."""
    return kind(
        life.notary,
        Self(
            name=life.name,
            address=life.address,
            tags=life.tags,
            cluster=life.cluster,
            ephemeral=life.ephemeral,
            birth=life.birth,
            warrant=life.warrant,
            wall_ms=life.wall_ms,
            exchange_key=b"" if life.locksmith is None else life.locksmith.exchange_key,
        ),
        life.params,
        life.rng,
        life.now,
        life.incarnation,
        life.ceiling,
        life.floor,
        records=life.records,
        seeds=life.seeds,
        remembered=life.remembered,
        bans=life.bans,
        used=life.used,
        invited_only=life.invited_only,
        locksmith=life.locksmith,
        plan=life.plan,
    )
