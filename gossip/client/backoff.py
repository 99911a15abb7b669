"""How long to wait before the next attempt to reach an agent that is away. No clock is read here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FIRST", "LONGEST", "Backoff"]

FIRST = 0.05
"""Seconds before the second attempt: an agent that restarts is away for some hundred milliseconds."""
LONGEST = 2.0
"""Seconds. A refused connection costs nobody anything, so it need not be longer."""


class Backoff:
    """Doubles from `FIRST` to `LONGEST`, each shortened by up to a half so that clients do not come in step.

    Args:
        chance: gives numbers from 0 to below 1; None for the interpreter's own.
    """

    def __init__(self, chance: Callable[[], float] | None = None) -> None:
        self._chance = chance
        self._next = FIRST

    def wait(self) -> float:
        """Seconds to wait now."""
        if self._chance is None:
            from random import random  # noqa: PLC0415 - only a program whose agent was away pays for it

            self._chance = random
        whole, self._next = self._next, min(self._next * 2, LONGEST)
        return whole * (1 - self._chance() / 2)

    def reset(self) -> None:
        """The agent is back."""
        self._next = FIRST
