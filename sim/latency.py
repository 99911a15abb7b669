"""How long a packet is under way: distributions that turn 32 random bits into whole microseconds."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Protocol

from msgspec import Struct

__all__ = ["Constant", "Latency", "Uniform", "parse_duration", "parse_latency"]

UNITS_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)?")


class Latency(Protocol):
    """A distribution of one-way delays."""

    def draw(self, bits: int) -> int:
        """The delay in microseconds that stands at `bits` (of 2^32): an inverse distribution function."""


class Constant(Struct, frozen=True):
    """Always the same."""

    delay_us: int

    def draw(self, bits: int) -> int:  # noqa: ARG002 - the same whatever is drawn
        return self.delay_us


class Uniform(Struct, frozen=True):
    """Any whole microsecond from `low_us` to `high_us`, both included."""

    low_us: int
    high_us: int

    def draw(self, bits: int) -> int:
        return self.low_us + (bits * (self.high_us - self.low_us + 1) >> 32)


def parse_duration(text: str) -> int:
    """Microseconds of `"0.5ms"`, `"20s"`, `"3m"`; a bare number is seconds.

    Raises:
        ValueError: if it is none of these, or no whole number of microseconds.
    """
    match = DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration: write it like 500us, 0.5ms, 2s or 3m")
    exact = Decimal(match[1]) * UNITS_US[match[2] or "s"]
    if exact != int(exact):
        raise ValueError(f"{text!r} is finer than a microsecond")
    return int(exact)


def parse_latency(text: str) -> Latency:
    """`"0.5ms"` is always that; `"1ms..5ms"` is anything between, evenly.

    Raises:
        ValueError: if it is neither, or the range is upside down.
    """
    low, dots, high = text.partition("..")
    if not dots:
        return Constant(parse_duration(low))
    low_us, high_us = parse_duration(low), parse_duration(high)
    if low_us > high_us:
        raise ValueError(f"{text!r} ends before it begins")
    return Uniform(low_us, high_us)
