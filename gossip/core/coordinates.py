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
from collections.abc import Sequence
from operator import sub
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

ERROR = 9
"""Where in a coordinate its own estimate of its error stands, a ratio."""

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
    return _length(_apart(a, b)) + a[8] + b[8]


def _apart(a: Coordinate, b: Coordinate) -> list[float]:
    """From point `b` to point `a`."""
    return list(map(sub, a[:DIMENSIONS], b[:DIMENSIONS]))


def _length(point: Sequence[float]) -> float:
    """Summed in one order by plain additions, so that it is the same float everywhere."""
    a, b, c, d, e, f, g, h = point
    return math.sqrt(a * a + b * b + c * c + d * d + e * e + f * f + g * g + h * h)


def pack(coordinate: Coordinate) -> bytes:
    return _LAYOUT.pack(*coordinate)


def unpack(data: bytes) -> Coordinate | None:
    """The coordinate, or None if it is of another dimension, not finite, or out of all reason."""
    if len(data) != _LAYOUT.size:
        return None
    values = _LAYOUT.unpack(data)
    if not math.isfinite(sum(values)) or max(values) > 2 * RTT_MAX or min(values) < -2 * RTT_MAX:
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
        self._samples: dict[NodeId, tuple[float, ...]] = {}
        """The last few round trips of each peer, seconds; tuples, as there is one for each pair of nodes."""
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
        self._packed = None
        if not math.isfinite(sum(self.own)):
            self.own = _ORIGIN
            self._residuals.clear()
            self.resets += 1
        return True

    def forget(self, peer: NodeId) -> None:
        self._samples.pop(peer, None)

    def _filter(self, peer: NodeId, rtt: float) -> float:
        samples = (*self._samples.get(peer, ())[1 - FILTER_SIZE :], rtt)
        self._samples[peer] = samples
        if len(self._samples) > FILTER_PEERS_MAX:
            del self._samples[next(iter(self._samples))]
        return sorted(samples)[len(samples) // 2]

    def _move(self, other: Coordinate, rtt: float) -> None:
        """Vivaldi's step: towards or away from the other, by how much the estimate was wrong."""
        # Once for each round trip of each node, so written out by dimension: loops take three times as long.
        a, b, c, d, e, f, g, h, height, error, _ = self.own
        a2, b2, c2, d2, e2, f2, g2, h2, height2, error2, _ = other
        apart = (a - a2, b - b2, c - c2, d - d2, e - e2, f - f2, g - g2, h - h2)
        length = _length(apart)
        estimate = length + height + height2
        weight = error / max(error + error2, ZERO)
        gain = ERROR_GAIN * weight
        error = min(ERROR_MAX, abs(estimate - rtt) / rtt * gain + error * (1.0 - gain))
        force = FORCE_GAIN * weight * (rtt - estimate)
        if length > ZERO:
            height = max(HEIGHT_MIN, (height + height2) * force / length + height)
        else:
            # Two nodes on one spot: any direction will do, so long as they part.
            draw = self._rng.random
            apart = (
                draw() - 0.5, draw() - 0.5, draw() - 0.5, draw() - 0.5,
                draw() - 0.5, draw() - 0.5, draw() - 0.5, draw() - 0.5,
            )  # fmt: skip
            length = _length(apart) or 1.0
        step = force / length
        ax, bx, cx, dx, ex, fx, gx, hx = apart
        a, b, c, d = a + ax * step, b + bx * step, c + cx * step, d + dx * step
        e, f, g, h = e + ex * step, f + fx * step, g + gx * step, h + hx * step
        now_apart = (a - a2, b - b2, c - c2, d - d2, e - e2, f - f2, g - g2, h - h2)
        adjustment = self._adjust(rtt - (_length(now_apart) + height + height2))
        # A weak gravity, so that the cloud of nodes does not drift away from the origin.
        length = _length((a, b, c, d, e, f, g, h))
        if length > ZERO:
            kept = 1.0 - length / (GRAVITY_RHO * GRAVITY_RHO)
            a, b, c, d, e, f, g, h = (
                a * kept,
                b * kept,
                c * kept,
                d * kept,
                e * kept,
                f * kept,
                g * kept,
                h * kept,
            )
        self.own = (a, b, c, d, e, f, g, h, height, error, adjustment)

    def _adjust(self, residual: float) -> float:
        """What the estimates of late were short of the round trips, on average and for one end."""
        self._residuals.append(residual)
        del self._residuals[:-ADJUSTMENT_WINDOW]
        return math.fsum(self._residuals) / (2.0 * ADJUSTMENT_WINDOW)
