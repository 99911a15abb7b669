"""The small languages of a scenario file: durations, shares, sizes, delays, and who is meant."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any, Self

from sim.latency import Empirical, Latency, parse_duration, parse_latency

__all__ = [
    "Delay",
    "Duration",
    "Part",
    "Selector",
    "Share",
    "Shift",
    "Size",
    "parse_share",
    "reader",
]

SIZE = re.compile(r"(\d+)\s*(B|kB|KiB|MB|MiB|GB|GiB)?")
SIZES = {
    "B": 1,
    "kB": 1_000,
    "KiB": 1 << 10,
    "MB": 1_000_000,
    "MiB": 1 << 20,
    "GB": 1_000_000_000,
    "GiB": 1 << 30,
}
PART = re.compile(
    r"(?:(?P<next>next)(?:\s+(?P<run>\d+))?|(?P<count>\d+)(?P<percent>%)?|(?P<share>\d+\.\d+)%)"
)


class Duration(int):
    """A length of time in whole microseconds; written `"20s"`, or as a number of seconds."""


class Shift(int):
    """A length of time in microseconds that may be negative: `"-10s"`."""


class Share(float):
    """A share from 0 to 1; written 0.05 or `"5%"`."""


class Size(int):
    """Bytes; written as a number, or `"64KiB"`."""


class Delay(str):
    """A distribution of one-way delays, as `sim.latency.parse_latency` reads it."""

    __slots__ = ("latency",)
    latency: Latency
    """The distribution: a file of measured ones is read once."""

    def __new__(cls, text: str, latency: Latency | None = None) -> Self:
        """With `latency`, that is what the text says."""
        delay = super().__new__(cls, text)
        delay.latency = parse_latency(text) if latency is None else latency
        return delay


class Part:
    """One part of a selector: all of a place, or some of it by chance, or the next of it in order."""

    __slots__ = ("count", "in_order", "place", "share")

    def __init__(
        self, place: str, *, count: int | None = None, share: float | None = None, in_order: bool = False
    ) -> None:
        self.place = place
        """`all`, `rest`, or the name of a group, a zone or a node."""
        self.count = count
        self.share = share
        self.in_order = in_order

    @property
    def whole(self) -> bool:
        """Everybody who is there is meant, not some."""
        return self.count is None and self.share is None


class Selector:
    """Who is meant: several parts, of which everybody is meant once. `text` is how it was written."""

    __slots__ = ("parts", "text")

    def __init__(self, parts: tuple[Part, ...], text: str) -> None:
        self.parts = parts
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selector) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    @property
    def wholly(self) -> set[str]:
        """The places of which everybody is meant."""
        return {part.place for part in self.parts if part.whole}

    def __repr__(self) -> str:
        return f"<{self.text}>"

    @classmethod
    def parse(cls, written: object) -> Selector:
        """Of `3`, `"10%"`, `"all"`, `"rack-a"`, `"3 of rack-a"`, `"next"`, or a list of such.

        Raises:
            ValueError: if it is none of these.
        """
        if isinstance(written, list):
            if not written:
                raise ValueError('an empty list chooses nobody: write "all", a count or names')
            parts = [part for one in written for part in cls.parse(one).parts]
            return cls(tuple(parts), ", ".join(str(one) for one in written))
        if isinstance(written, int) and not isinstance(written, bool):
            if written < 1:
                raise ValueError(f"{written} chooses nobody: at least one node must be meant")
            return cls((Part("all", count=written),), str(written))
        if not isinstance(written, str) or not written.strip():
            raise ValueError('write who is meant: 3, "10%", "all", "rack-a", "3 of rack-a", "next"')
        return cls((_part(written.strip()),), written.strip())


def reader(directory: Path, measured: dict[str, Empirical]) -> Any:
    """The hook with which msgspec reads these.

    `file ...` delays are looked for in `directory`, and put into `measured` by what is written.
    """
    return partial(_read, directory, measured)


def _read(directory: Path, measured: dict[str, Empirical], kind: type, written: Any) -> Any:
    if kind is Duration:
        return Duration(_duration(written))
    if kind is Shift:
        text = written.strip() if isinstance(written, str) else written
        if isinstance(text, str) and text.startswith("-"):
            return Shift(-_duration(text[1:]))
        if isinstance(text, int | float) and text < 0:
            return Shift(-_duration(-text))
        return Shift(_duration(text))
    if kind is Share:
        return Share(parse_share(written))
    if kind is Size:
        return Size(_size(written))
    if kind is Delay:
        return _delay(written, directory, measured)
    if kind is Selector:
        return Selector.parse(written)
    raise NotImplementedError(kind)


def parse_share(written: object) -> float:
    """A share from 0 to 1, of `0.05` or `"5%"`.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(written, str):
        try:
            share = float(written.removesuffix("%")) / (100 if written.endswith("%") else 1)
        except ValueError:
            raise ValueError(f"{written!r} is no share: write it like 0.05 or 5%") from None
    elif isinstance(written, int | float) and not isinstance(written, bool):
        share = float(written)
    else:
        raise ValueError(f'{written!r} is no share: write it like 0.05 or "5%"')  # noqa: TRY004 - a value of the file
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"{written!r} is not from 0 to 1")
    return share


def _duration(written: object) -> int:
    if isinstance(written, bool) or not isinstance(written, str | int | float):
        raise ValueError(f'{written!r} is no duration: write it like "500us", "0.5ms", "2s" or "3m"')  # noqa: TRY004
    return parse_duration(written if isinstance(written, str) else f"{written}")


def _size(written: object) -> int:
    if isinstance(written, int) and not isinstance(written, bool) and written >= 0:
        return written
    match = SIZE.fullmatch(written.strip()) if isinstance(written, str) else None
    if match is None:
        raise ValueError(f'{written!r} is no size: write it like 1500, "64KiB" or "2MB"')
    return int(match[1]) * SIZES[match[2] or "B"]


def _delay(written: object, directory: Path, measured: dict[str, Empirical]) -> Delay:
    if isinstance(written, int | float) and not isinstance(written, bool):
        written = f"{written}s"
    if not isinstance(written, str):
        raise ValueError(f'{written!r} is no delay: write it like "0.5ms" or "1ms..5ms"')  # noqa: TRY004
    text = written.strip()
    if not text.startswith("file "):
        return Delay(text)
    delay = Delay(f"file {directory / text[5:].strip()}", measured.get(text))
    assert isinstance(delay.latency, Empirical)  # noqa: S101 - what a file says
    measured[text] = delay.latency
    return delay


def _part(text: str) -> Part:
    amount, of, place = text.partition(" of ")
    match = PART.fullmatch(amount.strip())
    if match is None:
        if of:
            raise ValueError(f'{text!r}: write "3 of {place}", "10% of {place}" or "next of {place}"')
        return Part(text)
    place = place.strip() if of else "all"
    if match["next"]:
        return Part(place, count=int(match["run"] or 1), in_order=True)
    if match["percent"] or match["share"]:
        return Part(place, share=parse_share(f"{match['share'] or match['count']}%"))
    if int(match["count"]) < 1:
        raise ValueError(f"{text!r} chooses nobody: at least one node must be meant")
    return Part(place, count=int(match["count"]))
