"""One rumour that rides on pings and acks, without a protocol around it: how long until all know.

Each member pings another one at random, at the beats of its own clock; whoever of the two knows tells
the other, the pinged one by its ack. No latency, no limit to the telling, no help when a ping is lost.
"""

from __future__ import annotations

import heapq
import math
import random
from typing import Literal, TypeAlias

from sim.chance import threshold

__all__ = ["Clocks", "everyone"]

Clocks: TypeAlias = Literal["poisson", "periodic"]


def everyone(n: int, clocks: Clocks, loss: float, rng: random.Random) -> tuple[float, float]:
    """Periods from a random instant until half of the members know, and until all do.

    Clocks are periodic with random phases, or beat at the instants of Poisson processes of rate 1.
    """
    bits = rng.getrandbits
    lost = threshold(loss)
    knows = [False] * n
    knows[0] = True
    known, half = 1, 0.0
    beats = [(_step(clocks, bits(32), first=True), member) for member in range(n)]
    heapq.heapify(beats)
    now = 0.0
    while known < n:
        now, member = beats[0]
        heapq.heapreplace(beats, (now + _step(clocks, bits(32), first=False), member))
        other = bits(32) * (n - 1) >> 32
        other += other >= member
        if lost and bits(32) < lost:
            continue
        if knows[member] and not knows[other]:
            knows[other] = True
        elif knows[other] and not knows[member] and not (lost and bits(32) < lost):
            knows[member] = True
        else:
            continue
        known += 1
        if known == (n + 1) // 2:
            half = now
    return half, now


def _step(clocks: Clocks, bits: int, *, first: bool) -> float:
    """Until the next beat; the first one from a random instant."""
    if clocks == "poisson":
        return -math.log((bits + 1) / (1 << 32))
    return bits / (1 << 32) if first else 1.0
