"""Wrong tokens by source: whoever tries many is told to wait before any further one is looked at.

What counts is a token that was not brought from there before. A client whose token has expired says the same
wrong one for ever, which tells nobody anything, and a good one that came from there before is no guess: so
neither a forgotten client nor somebody who guesses keeps others at his address from what they have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from gossip.api.rates import Rates

__all__ = ["BURST_SECONDS", "Guesses"]

BURST_SECONDS: Final = 10.0
"""A site that was given new tokens, and still has the old ones here and there."""
MAX_KNOWN: Final = 4_096
"""Tokens and where they came from; of one that is forgotten, the next counts again if it is wrong."""


class Guesses:
    """Which tokens are looked at.

    Args:
        rates: of wrong ones.
        clock: never goes back.
        count: is told `http_token_rate` of tokens that were not looked at.
    """

    def __init__(
        self, rates: Rates, clock: Callable[[], float], count: Callable[[str], None] = lambda _reason: None
    ) -> None:
        self._rates = rates
        self._clock = clock
        self._count = count
        self._known: dict[tuple[str, bytes], None] = {}

    def wait(self, source: str, digest: bytes) -> float:
        """Seconds until a token from there is looked at; 0.0: now."""
        if (source, digest) in self._known:
            return 0.0
        late = self._rates.wait(source, self._clock())
        if late:
            self._count("http_token_rate")
        return late

    def note(self, source: str, digest: bytes, *, is_good: bool) -> None:
        """What came of looking at it."""
        if (source, digest) in self._known:
            return
        if not is_good:
            self._rates.use(source, self._clock())
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[source, digest] = None
