"""When members that fell silent are first reported, in the paper's Threshold experiment, in closed form.

The wait for the first ping is the least of the waits of the healthy members, each of which shuffles its
ring at every pass; then come one probe interval and the suspicion at its least. A member whose
silence ends before that refutes, and is no detection. (Dadgar, Phillips, Currey 2018, section V.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sim.theory.ring import nobody_pinged

__all__ = ["CONCURRENT", "detected", "first_report", "suspicion_least", "suspicion_left"]

CONCURRENT = (1, 4, 8, 12, 16, 20, 24, 28, 32)
"""How many members fall silent at once, in the paper's runs."""
HALVINGS = 60


def suspicion_least(n: int, alpha: float, interval: float = 1.0) -> float:
    """Seconds: alpha log10(n) probe intervals (section IV-B)."""
    return alpha * math.log10(n) * interval


def suspicion_left(least: float, most: float, confirmed: int, k: int = 3) -> float:
    """Seconds of suspicion after `confirmed` independent suspicions beyond the first (section IV-B)."""
    return max(least, most - (most - least) * math.log(confirmed + 1) / math.log(k + 1))


def detected(
    seconds: float, silences: Sequence[float], *, n: int, alpha: float, interval: float = 1.0
) -> tuple[float, float]:
    """Detections of silent members: expected until `seconds` after the start, and in all.

    A sum over the members that are silent, with each number of `CONCURRENT` and each length of
    `silences` (in seconds) once.
    """
    fixed = interval + suspicion_least(n, alpha, interval)
    early, total = [], []
    for count in CONCURRENT:
        for silence in silences:
            longest = (silence - fixed) / interval
            wait = min((seconds - fixed) / interval, longest)
            total.append(count * (1.0 - nobody_pinged(longest, n - 1, n - count)))
            early.append(count * (1.0 - nobody_pinged(wait, n - 1, n - count)))
    return math.fsum(early), math.fsum(total)


def first_report(
    share: float,
    silences: Sequence[float] = (16.384, 32.768),
    *,
    n: int = 128,
    alpha: float = 5.0,
    interval: float = 1.0,
) -> float:
    """Seconds until that share of the detections has its first report: 0.5 is the median.

    With the paper's settings 12.36, 16.30 and 18.93 for median, 99 and 99.9 %.
    """
    low, high = 0.0, max(silences)
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        early, total = detected(middle, silences, n=n, alpha=alpha, interval=interval)
        if early < share * total:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0
