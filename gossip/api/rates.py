"""How often each source may have something: a bucket for each, in a table that neither grows nor forgets.

A bucket is one number: when it will be full again. It is full at rest; each use puts that moment off by the
time in which one use comes back, and what would put it off too far has to wait. So a bucket that nobody uses
needs no tending, and whoever asks in vain has lost nothing by it.

A bounded table of sources has to forget some, and then who comes from many addresses gets fresh buckets by
pushing out his own, or leaves none for others. Here no place is anybody's: a source has one in each of two
rows, by a hash whose key nobody outside knows, shares each with whoever else falls there, and has as much
left as the better of the two says. Nothing is pushed out, and sharing can only take away. To take away from
somebody by sharing, one has to use up the rates of thousands of places at once, which is beyond what an agent
answers at all.
"""

from __future__ import annotations

import socket
from array import array
from typing import Final

__all__ = ["BURST_SECONDS", "Rates"]

PLACES: Final = 8_192
"""In each of two rows of 64 KiB. While a hundred sources use all that they have, one other in seven thousand
shares both its places with them."""
BURST_SECONDS: Final = 2.0
"""At rest a bucket holds what comes back in this time."""
LEAST_SECONDS: Final = 1e-6
NETWORK_BYTES: Final = 8
"""Of an IPv6 address: a /64 is one site's, who can have any address of it."""


class Rates:
    """What sources may use, so much a second of each.

    Args:
        rate: a second, of one source.
        burst: seconds of it that may be used at once, after a rest.
    """

    def __init__(self, rate: float, burst: float = BURST_SECONDS) -> None:
        self._gap = 1.0 / rate
        self._slack = max(burst, self._gap)
        # Zero is full at whatever time.
        self._full = array("d", bytes(8 * 2 * PLACES))

    def wait(self, source: str, now: float) -> float:
        """Seconds until there is room for one more; 0.0: there is. Nothing is used.

        Args:
            source: an IP address.
            now: of a clock that never goes back.
        """
        return self._wait(*_places(source), now)

    def use(self, source: str, now: float) -> None:
        """One is used, whether or not there was room."""
        self._use(*_places(source), now)

    def take(self, source: str, now: float) -> bool:
        """Use one if there is room; whether there was."""
        one, other = _places(source)
        if self._wait(one, other, now):
            return False
        self._use(one, other, now)
        return True

    def _wait(self, one: int, other: int, now: float) -> float:
        full = max(now, min(self._full[one], self._full[other]))
        over = full + self._gap - now - self._slack
        # Else what a float cannot hold would decide whether the last of a burst fits.
        return over if over > LEAST_SECONDS else 0.0

    def _use(self, one: int, other: int, now: float) -> None:
        full = max(now, min(self._full[one], self._full[other])) + self._gap
        # What stands there may be more, by somebody else's use.
        self._full[one] = max(self._full[one], full)
        self._full[other] = max(self._full[other], full)


def _places(source: str) -> tuple[int, int]:
    key: str | bytes = source
    if ":" in source:
        key = socket.inet_pton(socket.AF_INET6, source.partition("%")[0])[:NETWORK_BYTES]
    # Python gives each process a key of its own for it.
    found = hash(key)
    return found % PLACES, PLACES + (found >> 32) % PLACES
