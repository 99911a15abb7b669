"""What others promise of their gossip: Serf's convergence curve, and ScaleCube's bounds."""

from __future__ import annotations

import math

__all__ = [
    "scalecube_convergence",
    "scalecube_messages",
    "scalecube_spread",
    "scalecube_suspicion",
    "scalecube_sweep",
    "serf_bandwidth",
    "serf_convergence",
    "serf_time",
]


def serf_convergence(n: int, rounds: float, fanout: int = 3, loss: float = 0.0, failed: float = 0.0) -> float:
    """The share of nodes that know after so many rounds, as Serf's web simulator computed it.

    1 / (1 + (n + 1) e^(-fanout (1 - loss) (1 - failed) rounds / 2)). With (n - 1) it would begin at one
    informed node, and the half is cautious: pushing to three others informs faster than this.
    """
    rate = 0.5 * fanout * (1.0 - loss) * (1.0 - failed)
    return 1.0 / (1.0 + (n + 1) * math.exp(-rate * rounds))


def serf_time(
    n: int,
    informed: float = 0.9999,
    *,
    interval: float = 0.2,
    fanout: int = 3,
    loss: float = 0.0,
    failed: float = 0.0,
) -> float:
    """Seconds until that share knows, by the same formula, solved for the rounds."""
    rate = 0.5 * fanout * (1.0 - loss) * (1.0 - failed)
    return interval * math.log((n + 1) * informed / (1.0 - informed)) / rate


def serf_bandwidth(interval: float = 0.2, fanout: int = 3, packet: int = 1_400) -> float:
    """The most that gossip takes at one node, both ways, in kbit/s of 1,024 bits."""
    return 2 * packet * fanout / interval * 8 / 1_024


def scalecube_spread(n: int, multiplier: int = 3) -> int:
    """Gossip periods for which ScaleCube spreads a rumour: multiplier ceil(log2(n + 1))."""
    return multiplier * math.ceil(math.log2(n + 1))


def scalecube_sweep(n: int, multiplier: int = 3) -> int:
    """Gossip periods after which it forgets a rumour."""
    return 2 * (scalecube_spread(n, multiplier) + 1)


def scalecube_messages(n: int, fanout: int = 3, multiplier: int = 3) -> int:
    """The most that one node sends for one rumour."""
    return fanout * scalecube_spread(n, multiplier)


def scalecube_convergence(n: int, fanout: int = 3, multiplier: int = 3, loss: float = 0.0) -> float:
    """The share of nodes that a rumour reaches: (n - n^(2 - fanout (1 - loss) multiplier)) / n."""
    return 1.0 - math.pow(n, 1.0 - fanout * (1.0 - loss) * multiplier)


def scalecube_suspicion(n: int, ping_interval: float = 1.0, multiplier: int = 5) -> float:
    """Seconds of suspicion."""
    return multiplier * math.ceil(math.log2(n + 1)) * ping_interval
