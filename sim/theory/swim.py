"""SWIM's arithmetic (Das, Gupta, Motivala 2002): how soon, how wrong, how much traffic, how far a rumour is.

Letters as in the paper: `n` members, `q` the chance that a packet arrives in time, `k` helpers. Times
are in protocol periods unless a name says otherwise.
"""

from __future__ import annotations

import math

__all__ = [
    "capacity",
    "first_detection",
    "first_detection_bound",
    "infected",
    "infection_everyone",
    "infection_half",
    "least_load",
    "mistakes_published",
    "probe_failure",
    "sent_per_period",
    "suspicion_periods",
    "timely_detection",
]


def first_detection(n: int) -> float:
    """Mean periods until a crashed member is first probed, if all probe at random in lock step.

    In each period somebody probes it with the chance 1 - (1 - 1/(n-1))^(n-1), so this is the mean of
    a geometric distribution counted from 1: SWIM's 1/(1 - e^-1) = 1.582 for many members (section 3.1).
    """
    return 1.0 / (1.0 - (1.0 - 1.0 / (n - 1)) ** (n - 1))


def first_detection_bound(n: int) -> int:
    """Periods within which a member that probes round robin has probed each other one (section 4.3)."""
    return 2 * n - 1


def timely_detection(faultless: float = 1.0) -> float:
    """T / T' = 1 / (1 - e^-qf): detection time over period when a share `faultless` of the members work."""
    return 1.0 / -math.expm1(-faultless)


def probe_failure(q: float, k: int) -> float:
    """Chance that a probe of a healthy member fails: (1 - q^2)(1 - q^4)^k (section 3.1)."""
    return (1.0 - q**2) * (1.0 - q**4) ** k


def mistakes_published(q: float, k: int) -> float:
    """The paper's PM(T): `probe_failure` times T / T', the mean number of probes in a detection time."""
    return probe_failure(q, k) * timely_detection()


def sent_per_period(q: float, k: int) -> float:
    """Messages that a member sends per period: 1 + q + (1 - q^2) k (1 + q + q^2 + q^3).

    A ping; an ack for each ping that arrives (one is meant for each member, on average); and if no ack
    came in time, k requests, each with a ping, an ack and a relayed ack as far as the ones before arrived.
    """
    return 1.0 + q + (1.0 - q**2) * k * (1.0 + q + q**2 + q**3)


def least_load(n: int, mistakes: float, drop: float) -> float:
    """Messages per detection time that any detector with that chance of mistakes must send (section 2).

    From Gupta, Chandra, Goldszmidt (PODC 2001), as SWIM quotes it: n log(PM(T)) / log(p_ml).
    """
    return n * math.log(mistakes) / math.log(drop)


def suspicion_periods(n: int, factor: int = 3) -> int:
    """Periods of suspicion, and times that an update is sent: 3 ceil(ln(n + 1)) (section 5)."""
    return factor * math.ceil(math.log(n + 1))


def infected(n: int, periods: float) -> float:
    """Members that know after so many periods, by the logistic law: n / (1 + (n-1) e^(-(2 - 1/n) t))."""
    return n / (1.0 + (n - 1) * math.exp(-(2.0 - 1.0 / n) * periods))


def infection_half(n: int) -> float:
    """Periods until half of the members know, by the same law."""
    return math.log(n - 1) / (2.0 - 1.0 / n)


def infection_everyone(n: int) -> float:
    """Mean periods until all know, if each member pings at the instants of a Poisson process of rate 1.

    With i of n informed, an informed member pings an ignorant one at the rate i (n - i) / (n - 1), and is
    pinged by one, which learns from the ack, at the same rate. The mean of each step is one over their
    sum; all steps together take ((n - 1) / n) H_(n-1), about ln n + 0.577.
    """
    return (n - 1) / n * math.fsum(1.0 / i for i in range(1, n))


def capacity(n: int, items: int = 6, factor: int = 3) -> float:
    """Updates per period that a whole cluster can spread: 2 messages with `items` each, by the send limit."""
    return 2 * items / suspicion_periods(n, factor)
