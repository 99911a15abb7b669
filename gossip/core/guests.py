"""Whoever has called this node to join or repair, and who gives way when all places are taken.

One host may have as many connections as there are places, and a conversation can be kept open at no cost.
So a host that has more of them than its share has to end one for a caller that has fewer. Where none has so
many, as where each calls from a host of its own or all from one, nobody gives way: who is late comes again.

What it ends is the one that was opened last, so that those before it come to their end. Were it the first, a
host that calls again and again would have those of another ended that are nearly done, and in a crowd behind
one NAT most would do their work twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from gossip.core.types import site

__all__ = ["SHARE", "Guest", "who_gives_way"]

SHARE = 8
"""Conversations of one host of which none gives way: as many as a host of a few agents ever has at a time."""


class Guest(Protocol):
    """One that is served, or about to be."""

    @property
    def host(self) -> str:
        """Where it has called from."""

    def give_way(self) -> None:
        """It is told to come back."""


def who_gives_way(guests: Collection[Guest], host: str) -> Guest | None:
    """Of all guests, the first that came first: the one that ends for a caller from `host`, if any does.

    Who has a whole network of IPv6 has as many hosts as he likes, so networks are compared first.
    """
    return _of_the_greediest(guests, host, site) or _of_the_greediest(guests, host, str)


def _of_the_greediest(guests: Collection[Guest], host: str, whose: Callable[[str], str]) -> Guest | None:
    groups: dict[str, list[Guest]] = {}
    for guest in guests:
        groups.setdefault(whose(guest.host), []).append(guest)
    most = max(groups.values(), key=len, default=[])
    enough = max(SHARE, len(groups.get(whose(host), ())) + 1)
    return most[-1] if len(most) > enough else None
