"""Joins under way: whom this node is trying to join by, and how many tries there may be at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gossip.core.types import Address, show_address

__all__ = ["ADDRESSES_PER_SEED", "ATTEMPTS_MAX", "ATTEMPTS_PER_SEED", "Attempt", "UnderWay", "explain"]

ATTEMPTS_MAX = 64
"""In all, whoever asked for them."""
ATTEMPTS_PER_SEED = 3
"""On this node's own account and by one seed: a silent host is dialled anew while earlier calls still wait,
since one that comes up answers a new call at once, and an old one only when that is sent again."""
ADDRESSES_PER_SEED = 8
_ASKED = ""
"""What users ask for is counted together: no seed is called so."""


class Attempt:
    """One seed being joined: its addresses are tried in turn, then those that a busy one has named."""

    __slots__ = ("addresses", "asked", "busy", "named", "problem", "quiet", "seed")

    def __init__(self, seed: str, *, asked: bool) -> None:
        self.seed = seed
        self.asked = asked
        self.addresses: list[Address] = []
        self.named: list[Address] = []
        self.busy = 0
        self.problem = ""
        self.quiet = False
        """Whether what it brings is news to nobody: this node knew nobody, and has had no company since."""

    def next_address(self) -> Address | None:
        """The one to try now."""
        left = self.addresses or self.named
        return left.pop(0) if left else None

    def put_off(self, address: Address, others: Sequence[Address]) -> None:
        """Who was tried there is busy, and has named others: the seed's own addresses are its turn first."""
        self.busy += 1
        self.problem = f"{show_address(address)} is busy"
        self.addresses = [*self.addresses, address][:ADDRESSES_PER_SEED]
        self.named = [*self.named, *others][: ADDRESSES_PER_SEED - len(self.addresses)]


class UnderWay:
    """How many attempts have begun and not ended."""

    def __init__(self) -> None:
        self._by_seed: Counter[str] = Counter()

    @property
    def is_full(self) -> bool:
        """Whether no further one may begin."""
        return self._by_seed.total() >= ATTEMPTS_MAX

    def may_begin(self, seed: str) -> bool:
        """Whether this node may try the seed once more by itself."""
        return self._by_seed[seed] < ATTEMPTS_PER_SEED and not self.is_full

    def begin(self, attempt: Attempt) -> None:
        self._by_seed[_account(attempt)] += 1

    def end(self, attempt: Attempt) -> None:
        account = _account(attempt)
        self._by_seed[account] -= 1
        if not self._by_seed[account]:
            del self._by_seed[account]


def _account(attempt: Attempt) -> str:
    return _ASKED if attempt.asked else attempt.seed


def explain(problem: str, where: str) -> str:
    """Why a stream to `where` failed, for the user; what is no such reason is said as it is."""
    words = {
        "refused": f"no agent listens at {where}",
        "timeout": f"no answer from {where}",
        "unreachable": f"no route to {where}",
        "reset": f"{where} broke the connection off",
        "eof": f"{where} broke the connection off, as one of another cluster, with another key or none does",
        "malformed": f"{where} does not speak this protocol, or is of another cluster",
    }
    return words.get(problem, problem)
