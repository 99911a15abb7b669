"""A bounded table that forgets what was not used for longest, at the cost of one look-up."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["Generations"]

K = TypeVar("K")
V = TypeVar("V")


class Generations(Generic[K, V]):
    """Two tables of `size` entries: what is used moves to the younger, which when full becomes the elder."""

    __slots__ = ("_elder", "_size", "_younger")

    def __init__(self, size: int) -> None:
        self._size = size
        self._younger: dict[K, V] = {}
        self._elder: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self._younger) + len(self._elder)

    def get(self, key: K) -> V | None:
        """What was put under `key`, if it is still known."""
        found = self._younger.get(key)
        if found is None:
            found = self._elder.pop(key, None)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        """Know `value` by `key`."""
        if len(self._younger) >= self._size and key not in self._younger:
            self._elder, self._younger = self._younger, {}
        self._younger[key] = value
