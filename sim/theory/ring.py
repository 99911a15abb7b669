"""Waits for the next ping when every observer goes round a ring that it shuffles anew at each pass.

SWIM section 4.3 has the bound of this order; the distribution at a random instant follows from the gap
between two pings of one member by one observer: ring + b - a, with a and b its places in the two passes.
"""

from __future__ import annotations

import math

__all__ = ["mean_first_ping", "nobody_pinged", "not_pinged"]

LONGEST = 60.0
"""Periods: what is beyond has the chance e^-60."""
STEPS = 12_000


def not_pinged(periods: float, ring: int) -> float:
    """The chance that one observer, with so many members in its ring, does not ping a given one so long."""
    if periods <= 0.0:
        return 1.0
    whole = int(periods)
    part = periods - whole
    # The integral of the chance that the gap is longer, by its steps of a period, over the mean gap.
    if whole < ring:
        shorter = (whole - 1) * whole * (whole + 1) / 6 + part * whole * (whole + 1) / 2
        return 1.0 - (periods - shorter / ring**2) / ring
    left = 2 * ring - whole - 1
    if left < 0:
        return 0.0
    return ((left - 1) * left * (left + 1) / 6 + (1.0 - part) * left * (left + 1) / 2) / ring**3


def nobody_pinged(periods: float, ring: int, observers: int) -> float:
    """The same of all observers, whose phases are independent."""
    return not_pinged(periods, ring) ** observers


def mean_first_ping(ring: int, observers: int) -> float:
    """Mean periods until the first of them pings: just below 1 if each member observes all others."""
    end = min(2.0 * ring, LONGEST)
    step = end / STEPS
    middles = (step * (number + 0.5) for number in range(STEPS))
    return step * math.fsum(nobody_pinged(middle, ring, observers) for middle in middles)
