"""What options of the commands may say: counts, times, lists. A wrong one is told before any measurement."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

__all__ = ["counted", "counts", "seconds", "share", "words"]


def counted(text: str) -> int:
    """A whole number of 1 or more."""
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of 1 or more")
    return int(text)


def counts(text: str) -> list[int]:
    """Such numbers, with commas between."""
    return [counted(part) for part in text.split(",")]


def seconds(text: str) -> float:
    """A length of time, more than none."""
    value = _number(text)
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds above 0")
    return value


def share(text: str) -> float:
    """A part of the whole, or all of it."""
    value = _number(text)
    if not 0.0 < value <= 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number above 0, and 1 at most")
    return value


def words(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    """What reads some of these words, with commas between."""

    def parse(text: str) -> list[str]:
        found = text.split(",")
        for word in found:
            if word not in known:
                raise argparse.ArgumentTypeError(f"{word!r} is none of {', '.join(known)}")
        return found

    return parse


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
