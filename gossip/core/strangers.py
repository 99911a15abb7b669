"""Where nodes that are not known have pinged from: a former life of this one's knew them.

Anybody can have pinged from anywhere, as often as he likes and under many names. So what he has is shared out
by sites, within a site by hosts, and within a host by addresses: whoever is noisy takes places, and turns,
from his own first. One address for each would be less to keep, but where those who knew this node are in one
network with him, behind one NAT or on one machine, his would always be the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from gossip.core.types import Address, site

if TYPE_CHECKING:
    import random

__all__ = ["STRANGERS_MAX", "Strangers", "one_of"]

STRANGERS_MAX = 16
"""Addresses in all: the last ones, as far as each host has its share of them."""

_T = TypeVar("_T")


class Strangers:
    """Addresses, the last heard last."""

    def __init__(self) -> None:
        self._heard: dict[Address, None] = {}

    def __len__(self) -> int:
        return len(self._heard)

    def heard(self, source: Address) -> None:
        """Somebody has pinged from there. If there are too many, the oldest of whose are most gives way."""
        self._heard.pop(source, None)
        self._heard[source] = None
        if len(self._heard) > STRANGERS_MAX:
            most = max(_rows(self._heard, site), key=len)
            del self._heard[max(_rows(most, str), key=len)[0]]

    def forget(self, address: Address) -> None:
        self._heard.pop(address, None)

    def forget_those(self, are_known: Callable[[Address], object]) -> None:
        """Forget all addresses of which that holds."""
        self._heard = {address: None for address in self._heard if not are_known(address)}

    def sites(self) -> list[list[Address]]:
        """The addresses of each site."""
        return _rows(self._heard, site)


def one_of(addresses: list[Address], rng: random.Random) -> Address:
    """One of a site's, by chance: each host is as likely as any other."""
    return _any(_any(_rows(addresses, str), rng), rng)


def _rows(addresses: Iterable[Address], whose: Callable[[str], str]) -> list[list[Address]]:
    rows: dict[str, list[Address]] = {}
    for address in addresses:
        rows.setdefault(whose(address[0]), []).append(address)
    return list(rows.values())


def _any(of: list[_T], rng: random.Random) -> _T:
    return rng.choice(of) if len(of) > 1 else of[0]
