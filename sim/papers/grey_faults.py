"""The runs of experiment 9: ten of a thousand members that are neither well nor dead.

Ten crash; or hear nothing every other twenty seconds; or lose four of five packets that they send (or that
are sent to them). Every member's idea of how many there are is read once a second.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from gossip.core.events import Event, EventKind
from gossip.core.params import LAN
from gossip.core.types import NodeId
from sim.chance import derive
from sim.host import Host
from sim.latency import Uniform
from sim.papers.cuts import conflict_rate
from sim.papers.peer import Peer, crowd, maker, peer_of
from sim.papers.rapid import RapidPeer, rapid_crowd
from sim.papers.settled import Settled, settle
from sim.papers.settled import maker as node_maker
from sim.papers.variant import memberlist
from sim.world import World

__all__ = ["FAULTS", "FAULTY", "SETTLED_S", "Engine", "N", "Task", "work"]

N, FAULTY = 1_000, 10
FAULTS = ("flip-flop", "egress", "ingress", "crash")
LATENCY = Uniform(350, 650)
BEFORE_S = 20.0
FLIP_S = 20
LOSS = 0.8
SETTLED_S = 200
"""From here on changes of the view count."""
AS_MEMBERLIST = replace(
    LAN,
    suspicion_alpha=4.0,
    suspicion_beta=6.0,
    suspicion_k=2,
    patience_max=1,
    direct_min=0.5,
    direct_max=0.5,
    health_max=7,
)
"""The shipped core with the settings of memberlist's `DefaultLANConfig`, as far as it has them."""
SHIPPED = {"shipped": LAN, "shipped as memberlist": AS_MEMBERLIST}
Engine = Literal["memberlist", "rapid", "shipped", "shipped as memberlist", "conflicts"]
Count = Callable[[Host], int]


class Task(Struct, frozen=True):
    """One engine under one fault; or the conflicts of one (H, L), as `fault` "H L"."""

    engine: Engine
    fault: str
    n: int
    seconds: int
    seed: int

    @property
    def key(self) -> str:
        return f"{self.engine} {self.fault} n={self.n} seconds={self.seconds} seed={self.seed}"


def work(task: Task) -> dict[str, Any]:
    """What healthy members hold, second by second after the fault begins.

    `smallest`, `middle`, `largest`: how many members they count; `changes`: how often the middle one of
    them changed its count after `SETTLED_S`; `moves`: how often a healthy member's count changed, in the mean
    over them and from the beginning; `listed`: the share of seconds then in which it listed a faulty
    member; `wrong`: how often a healthy one was removed at a healthy one; `gone_s`: when all of them had
    removed all faulty ones for the first time, or None; `steps`: different counts that were seen.
    """
    rng = derive(task.seed, "grey", task.engine, task.fault)
    if task.engine == "conflicts":
        high, low = map(int, task.fault.split())
        return {"rate": conflict_rate(high, low, 2, task.n, rng)}
    world, count, wrong = _start(task, rng)
    faulty = rng.sample(world.hosts[1:], max(1, task.n * FAULTY // N))
    world.run(BEFORE_S)
    healthy = [host for host in world.hosts if host not in faulty]
    wrong.watch(faulty)
    return {**_suffer(world, task, faulty, healthy, count), "wrong": wrong.count}


class _Wrong:
    """Counts healthy members that are removed at healthy ones."""

    def __init__(self) -> None:
        self.count = 0
        self._faulty: set[NodeId] | None = None

    def watch(self, faulty: Sequence[Host]) -> None:
        """From now on, of all but these."""
        self._faulty = {host.id for host in faulty}

    def at(self, observer: NodeId, subject: NodeId) -> None:
        if self._faulty is not None and observer not in self._faulty and subject not in self._faulty:
            self.count += 1

    def at_peer(self, peer: Peer, what: str, subject: NodeId, _now: float) -> None:
        if what == "dead":
            self.at(peer.id, subject)

    def at_node(self, host: Host, _now: float, event: Event) -> None:
        if event.kind in (EventKind.MEMBER_FAILED, EventKind.MEMBER_LEFT):
            self.at(host.id, event.id)


def _start(task: Task, rng: random.Random) -> tuple[World, Count, _Wrong]:
    """All members know all."""
    seed, wrong = rng.getrandbits(63), _Wrong()
    if task.engine in SHIPPED:
        world = World(
            seed,
            codec=False,
            keep_events=False,
            params=SHIPPED[task.engine],
            latency=LATENCY,
            maker=node_maker(Settled),
        )
        settle(world, task.n)
        world.listeners.append(wrong.at_node)
        return world, lambda host: host.node.members.n, wrong
    if task.engine == "rapid":
        world = World(seed, codec=False, keep_events=False, latency=LATENCY, maker=RapidPeer)
        rapid_crowd(world, task.n)
        return world, lambda host: len(host.agent.node.view), wrong
    world = World(seed, codec=False, keep_events=False, latency=LATENCY, maker=maker(memberlist()))
    crowd(world, task.n, watch=wrong.at_peer)
    return world, lambda host: peer_of(host).table.n, wrong


def _suffer(
    world: World, task: Task, faulty: Sequence[Host], healthy: Sequence[Host], count: Count
) -> dict[str, Any]:
    smallest, middle, largest = [], [], []
    steps: set[int] = set()
    gone_s = None
    held, moves = [count(host) for host in healthy], 0
    for second in range(task.seconds):
        _afflict(world, task.fault, faulty, second)
        world.run(1.0)
        before, held = held, [count(host) for host in healthy]
        moves += sum(a != b for a, b in zip(before, held, strict=True))
        counts = sorted(held)
        steps.update(counts)
        smallest.append(counts[0])
        middle.append(counts[len(counts) // 2])
        largest.append(counts[-1])
        if gone_s is None and counts[-1] == len(healthy):
            gone_s = second + 1
    late = middle[SETTLED_S:]
    return {
        "smallest": smallest,
        "middle": middle,
        "largest": largest,
        "changes": sum(a != b for a, b in pairwise(late)),
        "moves": moves / len(healthy),
        "listed": sum(value > len(healthy) for value in late) / len(late) if late else 0.0,
        "gone_s": gone_s,
        "steps": len(steps),
    }


def _afflict(world: World, fault: str, faulty: Sequence[Host], second: int) -> None:
    """What this second brings to the faulty."""
    for host in faulty:
        if fault == "flip-flop":
            host.deaf = second // FLIP_S % 2 == 0
        elif second == 0 and fault == "crash":
            world.crash(host, machine=True)
        elif second == 0 and fault == "egress":
            world.set_loss(host, outgoing=LOSS)
        elif second == 0 and fault == "ingress":
            world.set_loss(host, incoming=LOSS)
