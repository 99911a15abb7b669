"""Random numbers for arrays, the same on every machine and with every numpy.

Only the raw words of the generator are used: numpy promises that they stay, and promises nothing for
what its distributions make of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sim.chance import derive_bytes
from sim.extras import need

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Draws"]


class Draws:
    """A stream of draws for one concern.

    Args:
        seed: of the experiment.
        labels: of the concern.
    """

    __slots__ = ("_numpy", "_words")

    def __init__(self, seed: int, *labels: str | int) -> None:
        self._numpy: Any = need("numpy")
        generator = self._numpy.random.PCG64(int.from_bytes(derive_bytes(seed, *labels), "big"))
        self._words = generator.random_raw

    def below(self, n: int, rows: int, columns: int) -> NDArray[np.int64]:
        """Whole numbers from 0 to n - 1, int64 of shape (rows, columns); n < 2^31.

        Their chances differ by at most n / 2^32 of each.
        """
        numbers: NDArray[np.int64] = (self._bits(rows, columns) * n) >> 32
        return numbers

    def happens(self, chance: int, rows: int, columns: int) -> NDArray[np.bool_]:
        """Whether something of `chance` of 2^32 happens, bool of shape (rows, columns)."""
        lots: NDArray[np.bool_] = self._bits(rows, columns) < chance
        return lots

    def others(self, n: int, rows: int) -> NDArray[np.int64]:
        """For each of n members one of the other n - 1, int64 of shape (rows, n)."""
        own = self._numpy.arange(n, dtype=self._numpy.int64)
        chosen: NDArray[np.int64] = own + 1 + self.below(n - 1, rows, n)
        chosen -= (chosen >= n) * n
        return chosen

    def _bits(self, rows: int, columns: int) -> NDArray[np.int64]:
        """32 random bits each, int64."""
        numpy = self._numpy
        size = rows * columns
        words = self._words((size + 1) // 2)
        halves = numpy.concatenate((words & 0xFFFF_FFFF, words >> 32))[:size]
        bits: NDArray[np.int64] = halves.astype(numpy.int64).reshape(rows, columns)
        return bits
