"""Runs of trio for inputs: one for each, or one in which all have their turn.

To start and end a run costs more than most inputs do. The fuzzer has them share one (`shared`), as a guest
whose host does nothing but run it while there is an input; tests and `--replay` do not.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import trio
from outcome import Outcome, acapture
from trio.testing import MockClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

__all__ = ["run", "shared"]

Task = tuple["Callable[..., Awaitable[object]]", tuple[Any, ...]]


class _Shared:
    """A run that waits for the next task whenever it is not in one."""

    def __init__(self) -> None:
        self._due: deque[Callable[[], object]] = deque()
        self._wake = trio.Event()
        self._next: Task | None = None
        self._found: Outcome[object] | None = None
        trio.lowlevel.start_guest_run(
            self._main,
            run_sync_soon_threadsafe=self._due.append,
            done_callback=self._ended,
            host_uses_signal_set_wakeup_fd=True,
            clock=MockClock(autojump_threshold=0),
        )

    def run(self, task: Task | None) -> None:
        self._next, self._found = task, None
        self._wake.set()
        while self._found is None:
            # Nobody waits longer than virtual time takes to pass, so there is always more to do.
            self._due.popleft()()
        self._found.unwrap()

    async def _main(self) -> None:
        while True:
            await self._wake.wait()
            self._wake = trio.Event()
            if self._next is None:
                return
            function, args = self._next
            self._found = await acapture(function, *args)

    def _ended(self, found: Outcome[object]) -> None:
        self._found = found


_current: list[_Shared] = []


@contextmanager
def shared() -> Iterator[None]:
    """All that is run within has one run together."""
    _current.append(_Shared())
    try:
        yield
    finally:
        _current.pop().run(None)


def run(function: Callable[..., Awaitable[object]], *args: Any) -> None:
    """What `function` does, in virtual time. Raises what it raises."""
    if _current:
        _current[-1].run((function, args))
    else:
        trio.run(function, *args, clock=MockClock(autojump_threshold=0))
