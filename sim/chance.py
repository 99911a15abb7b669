"""Where a world's randomness comes from: one generator per concern, each made from the seed and a label.

So a change in how much one part draws does not shift what another part gets. Chances are compared as
integers of 2^32, and draws are `getrandbits`, which gives the same on every machine and version.
"""

from __future__ import annotations

import hashlib
import random

__all__ = ["CERTAIN", "derive", "derive_bytes", "threshold"]

CERTAIN = 1 << 32
"""The threshold of what happens always."""


def derive_bytes(seed: int, *labels: str | int, size: int = 32) -> bytes:
    """At most 64 bytes that depend on the seed and the labels, and on nothing else."""
    text = "\x1f".join([str(seed), *(str(label) for label in labels)])
    return hashlib.blake2b(text.encode(), digest_size=size, person=b"gossip-sim").digest()


def derive(seed: int, *labels: str | int) -> random.Random:
    """A generator of its own for one concern."""
    return random.Random(int.from_bytes(derive_bytes(seed, *labels), "big"))


def threshold(chance: float) -> int:
    """What `getrandbits(32)` must stay below for something of that chance to happen.

    Raises:
        ValueError: unless `chance` is from 0 to 1.
    """
    if not 0.0 <= chance <= 1.0:
        raise ValueError(f"a chance is from 0 to 1, not {chance}")
    return round(chance * CERTAIN)
