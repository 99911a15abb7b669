"""When this process looks for cycles of garbage: between two timers, never when one is due.

Python looks at every object that has lived for a while whenever enough new ones were made, in one go: with
a thousand clients of HTTP that took 35 to 60 ms, with thousands of members more, and meanwhile no ping is
answered and no timer fires. What it finds is next to nothing, as nearly all of an agent's garbage is freed by
its reference counts. So the process takes that in its own hands: young objects as ever, old ones when the
driver rests for longer than the last such look took.
"""

from __future__ import annotations

import gc
from time import perf_counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

__all__ = ["Collector"]

NEVER: Final = 1_000_000_000
"""Collections of the middle generation before Python itself would collect the oldest."""
DUE: Final = 10
"""Of the middle generation since the oldest was looked at: Python's own measure, 70,000 objects more."""
SHARE: Final = 50
"""It is looked at for a fiftieth of the time at most, however many objects there are."""
MARGIN: Final = 2.0
"""So many times as long as the last look took, the driver must rest."""
PATIENCE_SECONDS: Final = 10.0
"""For such a rest: who never rests looks nevertheless, or its memory would grow."""


class Collector:
    """The garbage collector's rule in a process that runs one agent; as long as the block lasts.

    What there is when it begins is taken to stay, and not looked at again.

    Args:
        clock: seconds.
        count: how often the middle generation was collected since the oldest was.
        collect: collects all.
    """

    def __init__(
        self,
        clock: Callable[[], float] = perf_counter,
        count: Callable[[], int] = lambda: gc.get_count()[2],
        collect: Callable[[], object] = gc.collect,
    ) -> None:
        self._clock = clock
        self._count = count
        self._collect = collect
        self._thresholds = gc.get_threshold()
        self._took = 0.0
        self._ended = clock()
        self._due_since: float | None = None

    def __enter__(self) -> Self:
        young, middle, _ = self._thresholds = gc.get_threshold()
        gc.freeze()
        gc.set_threshold(young, middle, NEVER)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        gc.set_threshold(*self._thresholds)
        gc.unfreeze()

    def rest(self, seconds: float) -> None:
        """Nothing is due for so long: the moment to collect, if it is time and that is enough."""
        if self._count() < DUE:
            return
        now = self._clock()
        if now - self._ended < SHARE * self._took:
            return
        if self._due_since is None:
            self._due_since = now
        if seconds < MARGIN * self._took and now - self._due_since < PATIENCE_SECONDS:
            return
        self._collect()
        self._ended, self._due_since = self._clock(), None
        self._took = self._ended - now
