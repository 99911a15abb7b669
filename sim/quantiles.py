"""Inverse distribution functions as tables of integers: the same delay from the same bits on every machine.

The mathematical library of a platform may round `exp` and `log` its own way, so neither is asked.
Tables are made with `decimal`, whose results are correctly rounded, and are read with integer arithmetic.

A draw of 32 bits that is below one half stands in an octave of its own size, and each octave has `CELLS`
points of the table; between two of them the table is read linearly. So the tails are as fine as the
middle: down to a chance of 2^-33, which is 6.3 standard deviations, the error is below a thousandth of
one. The upper half is the lower one mirrored, with a table of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import cache, lru_cache

__all__ = ["Tables", "lognormal", "normal", "normal_quantiles", "read"]

Tables = tuple[tuple[int, ...], tuple[int, ...]]
"""Values at the points of the lower half, from the lowest chance to one half; and of the upper, mirrored."""

BITS = 32
CELLS_BITS = 6
CELLS = 1 << CELLS_BITS
LAST = (1 << BITS) - 1
HALF = 1 << (BITS - 1)
POINTS = CELLS * (BITS - CELLS_BITS)
"""The last point, one half, has this number."""

EXACT = Context(prec=30, rounding=ROUND_HALF_EVEN)
"""Digits of what is computed, whatever the program's own context is."""
UNIT = Decimal("1e-9")
"""To this a quantile of the normal distribution is rounded, in standard deviations."""
TAU_ROOT = Decimal("2.506628274631000502415765284811")
"""The square root of two pi."""
STEPS = 128
"""Grid points of the normal distribution function in one standard deviation."""
REACH = 7
"""Standard deviations; what lies beyond has less than a hundredth of the least chance."""
KEPT = 64
"""Tables of that many distributions are kept at most; one takes about 100 KB."""


def read(tables: Tables, bits: int) -> int:
    """The value that stands at `bits` (of 2^32)."""
    if bits & HALF:
        table = tables[1]
        bits = LAST - bits
    else:
        table = tables[0]
    shift = bits.bit_length() - (CELLS_BITS + 1)
    if shift <= 0:
        return table[bits]
    cell = (shift << CELLS_BITS) + (bits >> shift)
    value = table[cell]
    return value + ((table[cell + 1] - value) * (bits & (1 << shift) - 1) >> shift)


@lru_cache(KEPT)
def normal(mean: int, deviation: int) -> Tables:
    """A normal distribution in whole units, cut off at 0."""
    with localcontext(EXACT):
        steps = [deviation * quantile for quantile in normal_quantiles()]
        return _whole(mean + step for step in steps), _whole(mean - step for step in steps)


@lru_cache(KEPT)
def lognormal(median: int, sigma: str) -> Tables:
    """`median * exp(sigma * z)` in whole units, with z a standard normal; `sigma` is a decimal number."""
    with localcontext(EXACT):
        spread = Decimal(sigma)
        factors = [(spread * quantile).exp() for quantile in normal_quantiles()]
        return _whole(median * factor for factor in factors), _whole(median / factor for factor in factors)


@cache
def normal_quantiles() -> Sequence[Decimal]:
    """Quantiles of the standard normal distribution at the points of the lower half, from -6.3 to 0.

    A draw stands for the middle of its step of 2^-32. The distribution function is integrated from one
    half outwards by the trapezoid rule with its first two corrections (Euler and Maclaurin), and inverted
    by the Taylor series of its inverse at the nearest grid point.
    """
    with localcontext(EXACT):
        densities, tails = _normal_grid()
        quantiles = []
        nearest = len(tails) - 1
        for point in range(POINTS + 1):
            # Chances rise with the point, so the grid is walked inwards once.
            chance = (2 * Decimal(_place(point)) + 1) / (1 << (BITS + 1))
            while nearest and abs(tails[nearest - 1] - chance) < abs(tails[nearest] - chance):
                nearest -= 1
            z = Decimal(nearest) / STEPS
            d = (tails[nearest] - chance) / densities[nearest]
            outward = z + d + z * d * d / 2 + (2 * z * z + 1) * d * d * d / 6
            quantiles.append((-outward).quantize(UNIT))
        return tuple(quantiles)


def _place(point: int) -> int:
    """The draw at which a point of the table stands."""
    if point < CELLS:
        return point
    return (CELLS + point % CELLS) << (point // CELLS - 1)


def _normal_grid() -> tuple[list[Decimal], list[Decimal]]:
    """The density, and the chance of what is further out, at each step from 0 to `REACH`."""
    width = Decimal(1) / STEPS
    densities, corrected = [], []
    for step in range(REACH * STEPS + 1):
        z = step * width
        density = (-z * z / 2).exp() / TAU_ROOT
        slope = -z * density
        bend = (3 * z - z * z * z) * density
        densities.append(density)
        corrected.append(width**2 / 12 * slope - width**4 / 720 * bend)
    tails = [Decimal("0.5")]
    for step in range(1, len(densities)):
        area = width * (densities[step - 1] + densities[step]) / 2
        area -= corrected[step] - corrected[step - 1]
        tails.append(tails[-1] - area)
    return densities, tails


def _whole(values: Iterable[Decimal]) -> tuple[int, ...]:
    """Rounded to whole numbers, none below 0."""
    return tuple(max(0, int(value.to_integral_value())) for value in values)
