"""Network coordinates from the round trips that are made anyway (Vivaldi, SIGCOMM 2004).

Each node keeps a point in eight dimensions, a height (its access link) and an adjustment; the
distance between two points estimates the round trip between two nodes that never met. Constants
are those that Serf ships: error and force gains 0.25, an adjustment window of 20 samples, a
median of 3 against outliers, gravity towards the origin with rho 150, samples over 10 s refused.

On the wire a coordinate is eleven 32-bit floats: the point, height, error, adjustment.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from gossip.core.types import NodeId

if TYPE_CHECKING:
    import random

__all__ = ["Coordinate", "Coordinates", "distance"]

DIMENSIONS = 8
ERROR_MAX = 1.5
ERROR_GAIN = 0.25
FORCE_GAIN = 0.25
HEIGHT_MIN = 10e-6
ADJUSTMENT_WINDOW = 20
FILTER_SIZE = 3
FILTER_PEERS_MAX = 1_024
GRAVITY_RHO = 150.0
RTT_MAX = 10.0
"""Seconds; a longer sample, or a negative one, is a fault and not a distance."""
ZERO = 1e-6

_LAYOUT = struct.Struct("!11f")

Coordinate = tuple[float, ...]
"""(x1..x8, height, error, adjustment), seconds but for the error, which is a ratio."""

_ORIGIN: Coordinate = (0.0,) * DIMENSIONS + (HEIGHT_MIN, ERROR_MAX, 0.0)


def distance(a: Coordinate, b: Coordinate) -> float:
    """The estimated round trip between two coordinates, in seconds, never negative."""
    raw = _raw_distance(a, b)
    adjusted = raw + a[10] + b[10]
    return adjusted if adjusted > 0.0 else raw


def _raw_distance(a: Coordinate, b: Coordinate) -> float:
    return math.sqrt(math.fsum((a[i] - b[i]) ** 2 for i in range(DIMENSIONS))) + a[8] + b[8]


def pack(coordinate: Coordinate) -> bytes:
    return _LAYOUT.pack(*coordinate)


def unpack(data: bytes) -> Coordinate | None:
    """The coordinate, or None if it is of another dimension, not finite, or out of all reason."""
    if len(data) != _LAYOUT.size:
        return None
    values = _LAYOUT.unpack(data)
    if not all(math.isfinite(value) and abs(value) <= 2 * RTT_MAX for value in values):
        return None
    if values[8] < 0.0 or values[9] < 0.0:
        return None
    return values


class Coordinates:
    """This node's own coordinate, moved by each round trip."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.own: Coordinate = _ORIGIN
        self._packed: bytes | None = None
        self._samples: dict[NodeId, list[float]] = {}
        self._residuals: list[float] = []
        self.resets = 0

    @property
    def packed(self) -> bytes:
        """The own coordinate as it travels."""
        if self._packed is None:
            self._packed = pack(self.own)
        return self._packed

    def observe(self, peer: NodeId, other: Coordinate, rtt: float) -> bool:
        """Take one round trip of `rtt` seconds to `peer`, which is at `other`.

        Returns:
            False if the sample was refused.
        """
        if not 0.0 <= rtt <= RTT_MAX:
            return False
        rtt = self._filter(peer, max(rtt, ZERO))
        self._move(other, rtt)
        self._adjust(other, rtt)
        self._pull_home()
        if not all(math.isfinite(value) for value in self.own):
            self.own = _ORIGIN
            self._residuals.clear()
            self.resets += 1
        self._packed = None
        return True

    def forget(self, peer: NodeId) -> None:
        self._samples.pop(peer, None)

    def _filter(self, peer: NodeId, rtt: float) -> float:
        samples = self._samples.setdefault(peer, [])
        if len(self._samples) > FILTER_PEERS_MAX:
            del self._samples[next(iter(self._samples))]
        samples.append(rtt)
        del samples[:-FILTER_SIZE]
        return sorted(samples)[len(samples) // 2]

    def _move(self, other: Coordinate, rtt: float) -> None:
        """Vivaldi's step: towards or away from the other, by how much the estimate was wrong."""
        own = self.own
        estimate = _raw_distance(own, other)
        wrongness = abs(estimate - rtt) / rtt
        weight = own[9] / max(own[9] + other[9], ZERO)
        gain = ERROR_GAIN * weight
        error = min(ERROR_MAX, wrongness * gain + own[9] * (1.0 - gain))
        force = FORCE_GAIN * weight * (rtt - estimate)
        self.own = self._pushed(other, force, error)

    def _pushed(self, other: Coordinate, force: float, error: float) -> Coordinate:
        own = self.own
        apart = [own[i] - other[i] for i in range(DIMENSIONS)]
        length = math.sqrt(math.fsum(x * x for x in apart))
        height = own[8]
        if length > ZERO:
            unit = [x / length for x in apart]
            height = max(HEIGHT_MIN, (own[8] + other[8]) * force / length + own[8])
        else:
            # Two nodes on one spot: any direction will do, so long as they part.
            unit = [self._rng.random() - 0.5 for _ in range(DIMENSIONS)]
            norm = math.sqrt(math.fsum(x * x for x in unit)) or 1.0
            unit = [x / norm for x in unit]
        point = tuple(own[i] + unit[i] * force for i in range(DIMENSIONS))
        return (*point, height, error, own[10])

    def _adjust(self, other: Coordinate, rtt: float) -> None:
        self._residuals.append(rtt - _raw_distance(self.own, other))
        del self._residuals[:-ADJUSTMENT_WINDOW]
        adjustment = math.fsum(self._residuals) / (2.0 * ADJUSTMENT_WINDOW)
        self.own = (*self.own[:10], adjustment)

    def _pull_home(self) -> None:
        """A weak gravity, so that the cloud of nodes does not drift away from the origin."""
        own = self.own
        length = math.sqrt(math.fsum(x * x for x in own[:DIMENSIONS]))
        if length <= ZERO:
            return
        pull = (length / GRAVITY_RHO) ** 2 / length
        self.own = (*(x - x * pull for x in own[:DIMENSIONS]), *own[DIMENSIONS:])
