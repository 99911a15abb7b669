"""How long to wait, given how many independent accusers (Lifeguard, section IV-B).

The first accuser starts the clock at its longest; each further one, up to k, shortens it along
a logarithm, down to the minimum. In a cluster too small to have k confirmers beyond the accuser
and the accused, k shrinks with it; with none at all the wait is the maximum, since the weakest
evidence deserves the longest patience (memberlist takes the minimum there).
"""

from __future__ import annotations

import math

from gossip.core.params import Params

__all__ = ["EVIDENCE_ENOUGH", "Suspicion", "confirmations_wanted", "suspicion_timeout"]

EVIDENCE_ENOUGH = 2
"""So many accusers who saw a refusal or a stranger end the clock: one may be firewalled, or lie."""


def confirmations_wanted(params: Params, n: int) -> int:
    """k: how many accusers beyond the first bring the clock to its minimum in a cluster of n."""
    return min(params.suspicion_k, n - 2)


def suspicion_timeout(params: Params, n: int, confirmations: int) -> float:
    """Seconds from the first accusation to the last look.

    `n` counts alive and suspect members, oneself included, when the suspicion started;
    `confirmations` the accusers beyond the first.
    """
    longest = params.suspicion_max(n)
    k = confirmations_wanted(params, n)
    if k < 1:
        return longest
    shortest = params.suspicion_min(n)
    share = math.log(confirmations + 1) / math.log(k + 1)
    return max(shortest, longest - (longest - shortest) * share)


class Suspicion:
    """One member's clock: when it started, how large the cluster was then, what makes it longer."""

    __slots__ = ("extended", "n", "patience", "started", "unsure")

    def __init__(self, started: float, n: int, patience: int = 1) -> None:
        self.started = started
        self.n = n
        self.patience = patience
        """By how much everything but evidence waits longer (`stability`)."""
        self.unsure = 0
        """Last looks that settled nothing."""
        self.extended = 0.0
        """Seconds during which this node was not running, which nobody is blamed for."""

    def deadline(self, params: Params, accusers: int, evidence: int, *, isolated: bool) -> float:
        """When to take the last look.

        Args:
            params: the protocol's settings.
            accusers: how many accuse, the first included.
            evidence: how many of them saw a refusal or a stranger instead of silence.
            isolated: whether this node has heard nobody; then it doubles its patience.
        """
        if evidence >= EVIDENCE_ENOUGH:
            # Each of them has waited for the grace before it spoke.
            return self.started + self.extended
        wait = suspicion_timeout(params, self.n, accusers - 1) * self.patience
        return self.started + self.extended + wait * (2.0 if isolated else 1.0)
