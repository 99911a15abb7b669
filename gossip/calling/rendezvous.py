"""Rendezvous hashing with weights: the same key finds the same instance at every caller.

Each instance draws a number for the key, by a hash; the highest wins. When an instance goes, only its own
keys move, and they spread over all others. With -weight / ln(u), u even in (0, 1), each wins by its weight
("Weighted Distributed Hash Tables", Schindelhauer and Schomaker, 2005).
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gossip.calling.target import Target

__all__ = ["ranked"]

T = TypeVar("T", bound="Target")


def ranked(key: str, weighed: Iterable[tuple[T, float]]) -> list[T]:
    """The instances with a weight, the best for `key` first."""
    seed = blake2b(key.encode(errors="surrogatepass"), digest_size=16).digest()
    drawn = []
    for target, weight in weighed:
        if weight > 0:
            name = f"{target.node_id}/{target.id}"
            number = int.from_bytes(blake2b(name.encode(), digest_size=8, key=seed).digest(), "big")
            # As many bits as a float holds beside the half: so it is never 1, whose logarithm is 0.
            drawn.append((-weight / math.log(((number >> 12) + 0.5) / 2.0**52), name, target))
    drawn.sort(key=lambda entry: entry[:2], reverse=True)
    return [target for _, _, target in drawn]
