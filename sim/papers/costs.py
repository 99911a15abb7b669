"""What a simulation costs of processor and memory: Lifeguard's Interval experiment, and a world at rest.

Both run in one process, on one core, without anything else in it. Processor time is the process's own, so
that what else runs on the machine matters little. Memory is what `tracemalloc` counts, which leaves out
what the allocator keeps for itself.

Bytes of one observer and one member are a slope: what a node's share of the world grows by for each
member more, from `SMALL` nodes to twice as many. What all nodes share grows with the world and not with
a node's share; what each node has anyway does not grow. Both worlds fill their hash tables alike, by three
quarters of what they hold before they grow: the mean over all sizes, between which it differs by a third.
"""

from __future__ import annotations

import gc
import time
import tracemalloc

from msgspec import Struct

from gossip.core.params import LAN
from sim.papers.lifeguard import TEST_S, Cell, play_interval
from sim.papers.settled import Settled, maker, named, settle
from sim.world import World

__all__ = ["INTERVAL", "QUICK_SMALL", "SMALL", "PairBytes", "interval_speed", "pair_bytes"]

INTERVAL = Cell(named(LAN), 16, 8_192, 64, 0)
"""C = 16, D = 8,192 ms, I = 64 ms; 128 agents of the shipped core."""
SMALL = 64
QUICK_CELL = Cell(named(LAN), 2, 1_000, 64, 0, agents=12)
QUICK_S = 4.0
QUICK_SMALL = 8
WARM = 4
SEED = 15
SETTLE_S = 5.0


class PairBytes(Struct, frozen=True):
    """Bytes of one observer and one member."""

    known: float
    """As one has heard of the other."""
    pinged: float
    """After all have pinged all, and know how far each is."""


def interval_speed(*, quick: bool = False) -> float:
    """Node-seconds per second of processor time of the Interval experiment; the codec is off there."""
    cell = QUICK_CELL if quick else INTERVAL
    begun = time.process_time()
    played = play_interval(cell, QUICK_S if quick else TEST_S)
    return cell.agents * played.seconds / (time.process_time() - begun)


def pair_bytes(small: int = SMALL) -> PairBytes:
    """What a node holds of a member, beyond the records that all share; see above."""
    _held(WARM)  # what is made once in a process, as its caches, is made here
    few, many = _held(small), _held(2 * small)
    return PairBytes((many.known - few.known) / small, (many.pinged - few.pinged) / small)


def _held(nodes: int) -> PairBytes:
    """The same for one node and all members, with its share of everything else in a world of so many."""
    gc.collect()
    tracemalloc.start()
    try:
        world = World(SEED, keep_events=False, maker=maker(Settled))
        settle(world, nodes)
        known = _traced()
        world.run(nodes * LAN.period + SETTLE_S)
        return PairBytes(known / nodes, _traced() / nodes)
    finally:
        tracemalloc.stop()


def _traced() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
