"""How long a packet is under way: distributions that turn 32 random bits into whole microseconds.

Each is an inverse distribution function, made of integers (`sim.quantiles`), so a draw is the same on
every machine. No delay is negative: what a normal distribution would have below 0 is 0.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import force_setattr

from sim.quantiles import Tables, lognormal, normal, read

__all__ = [
    "Constant",
    "Empirical",
    "Latency",
    "Lognormal",
    "Normal",
    "Uniform",
    "parse_duration",
    "parse_latency",
    "read_delays",
]

UNITS_US = {"us": 1, "ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)?", re.ASCII)
DELAY_MAX_US = UNITS_US["h"]
"""Delays beyond are taken for a mistake, as is a middle beyond."""
SIGMA_MAX = Decimal(5)
"""Of a lognormal: one packet in 3,000 then takes 10^7 times the median."""
SAMPLES_MAX = 1_000_000
FILE_MAX_BYTES = 32 << 20
"""Of a file with a million delays, and as much said about them."""
FORMS = "write 5ms, 1ms..5ms, normal 20ms 3ms, lognormal 20ms 0.5, or file delays.txt"


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


class Normal(Struct, frozen=True, dict=True):
    """A normal distribution, cut off at 0; true to its tails at least to 6 standard deviations.

    Raises:
        ValueError: if the mean or the standard deviation is negative, or more than an hour.
    """

    mean_us: int
    sd_us: int

    def __post_init__(self) -> None:
        _check_delay(self.mean_us)
        _check_delay(self.sd_us)

    def draw(self, bits: int) -> int:
        return read(self._tables, bits)

    @cached_property
    def _tables(self) -> Tables:
        return normal(self.mean_us, self.sd_us)


class Lognormal(Struct, frozen=True, dict=True):
    """`median_us * exp(sigma * z)` with z a standard normal: a few packets take far longer than most.

    Raises:
        ValueError: if the median is negative or more than an hour, or sigma is not from 0 to 5.
    """

    median_us: int
    sigma: float

    def __post_init__(self) -> None:
        _check_delay(self.median_us)
        if not 0 <= self.sigma <= SIGMA_MAX:
            raise ValueError(f"the sigma of a lognormal is from 0 to {SIGMA_MAX}, not {self.sigma}")

    def draw(self, bits: int) -> int:
        return read(self._tables, bits)

    @cached_property
    def _tables(self) -> Tables:
        return lognormal(self.median_us, repr(self.sigma))


class Empirical(Struct, frozen=True, dict=True):
    """One of the delays that were measured, in microseconds, each as likely as the others.

    Raises:
        ValueError: if there is none, or one is negative or more than an hour, or there are over a million.
    """

    samples_us: Sequence[int]
    """Given in any order, kept as a tuple in rising order."""

    def __post_init__(self) -> None:
        samples = tuple(sorted(self.samples_us))
        if not 0 < len(samples) <= SAMPLES_MAX:
            raise ValueError(f"from 1 to {SAMPLES_MAX:,} delays make a distribution, not {len(samples):,}")
        _check_delay(samples[0])
        _check_delay(samples[-1])
        force_setattr(self, "samples_us", samples)

    def draw(self, bits: int) -> int:
        samples = self.samples_us
        return samples[bits * len(samples) >> 32]

    @cached_property
    def digest(self) -> str:
        """Tells it from every other, in hex."""
        return blake2b(msgspec.json.encode(self.samples_us), digest_size=16).hexdigest()


def parse_duration(text: str) -> int:
    """Microseconds of `"0.5ms"`, `"20s"`, `"3m"`; a bare number is seconds.

    Raises:
        ValueError: if it is none of these, or no whole number of microseconds.
    """
    exact = _read_duration(text, "s")
    if exact != int(exact):
        raise ValueError(f"{text!r} is finer than a microsecond")
    return int(exact)


def parse_latency(text: str, folder: Path | str = ".") -> Latency:
    """The distribution that a person has written.

    `"0.5ms"` is always that; `"1ms..5ms"` is anything between, evenly; `"normal 20ms 3ms"` has that mean and
    standard deviation; `"lognormal 20ms 0.5"` that median and sigma; `"file delays.txt"` is `read_delays`
    of a file in `folder`.

    Raises:
        ValueError: if it is none of these, cannot be, or the file cannot be read; in words.
    """
    kind, _, rest = text.strip().partition(" ")
    match kind, rest.split():
        case "file", [_, *_]:
            return read_delays(Path(folder) / rest.strip())
        case "normal", [mean, deviation]:
            return Normal(parse_duration(mean), parse_duration(deviation))
        case "lognormal", [median, sigma]:
            return Lognormal(parse_duration(median), _read_sigma(sigma))
        case (("normal" | "lognormal" | "file"), _):
            raise ValueError(f"{text!r} is no latency: {FORMS}")
    low, dots, high = text.partition("..")
    low_us = _check_delay(parse_duration(low))
    if not dots:
        return Constant(low_us)
    high_us = _check_delay(parse_duration(high))
    if low_us > high_us:
        raise ValueError(f"{text!r} ends before it begins")
    return Uniform(low_us, high_us)


def read_delays(path: Path) -> Empirical:
    """The distribution of one-way delays in a text file.

    One delay a line, `0.5ms` or a bare number of milliseconds, rounded to whole microseconds. Empty lines,
    and lines that begin with `#`, are passed over.

    Raises:
        ValueError: if it cannot be read, or a line is no delay; with the file and the line's number.
    """
    samples_us: list[int] = []
    try:
        with path.open("rb") as file:
            # At once, and no more: a device has no end, and perhaps not even that of a line.
            data = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise ValueError(f"the delays in {path} cannot be read: {error.strerror}") from None
    if len(data) > FILE_MAX_BYTES:
        raise ValueError(f"{path} has more than {FILE_MAX_BYTES >> 20} MiB, which are no delays")
    try:
        lines = io.StringIO(data.decode(), newline=None)
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text") from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            samples_us.append(round(_read_duration(line, "ms")))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
        if len(samples_us) > SAMPLES_MAX:
            raise ValueError(f"{path} has more than {SAMPLES_MAX:,} delays")
    try:
        return Empirical(samples_us)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read_duration(text: str, unit: str) -> Decimal:
    match = DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text.strip()!r} is no duration: write it like 500us, 0.5ms, 2s or 3m")
    return Decimal(match[1]) * UNITS_US[match[2] or unit]


def _read_sigma(text: str) -> float:
    try:
        return float(Decimal(text))
    except InvalidOperation:
        raise ValueError(f"{text!r} is no sigma: write a number like 0.5") from None


def _check_delay(delay_us: int) -> int:
    if not 0 <= delay_us <= DELAY_MAX_US:
        raise ValueError(f"a delay is from 0 to an hour, not {delay_us} us")
    return delay_us
