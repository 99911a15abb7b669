"""Live progress of a run, on standard error: a line that renews itself on a terminal, else plain lines."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sim.clock import SECOND

if TYPE_CHECKING:
    from sim.runner import Progress

__all__ = ["Pace", "shown"]

PLAIN_EVERY_S = 5.0
LIVE_EVERY_S = 0.1


class Pace:
    """How fast a run is, over the wall time since the last look."""

    def __init__(self) -> None:
        self._at = time.perf_counter()
        self._steps = 0
        self._node_us = 0

    def due(self, every_s: float) -> bool:
        """Whether so much wall time has passed since the last `words`."""
        return time.perf_counter() - self._at >= every_s

    def words(self, progress: Progress) -> str:
        """Virtual time, events and node-seconds a second, what share has converged, or knows others."""
        now = time.perf_counter()
        wall_s = max(now - self._at, 1e-6)
        steps, node_us = progress.steps - self._steps, progress.node_us - self._node_us
        self._at, self._steps, self._node_us = now, progress.steps, progress.node_us
        if progress.warming_up:
            return (
                f"warming up, {progress.virtual_us / SECOND:.2f} s so far, {progress.running} nodes,"
                f" {steps / wall_s:,.0f} events/s, {progress.known_share:.0%} of all pairs know each other"
            )
        return (
            f"{progress.virtual_us / SECOND:.1f} of {progress.duration_us / SECOND:g} s,"
            f" {progress.running} nodes, {steps / wall_s:,.0f} events/s,"
            f" {node_us / SECOND / wall_s:,.0f} node-s/s, {progress.converged_share:.0%} converged"
        )


@contextlib.contextmanager
def shown(name: str, *, silent: bool) -> Iterator[Callable[[Progress], None] | None]:
    """What a run reports its progress to; None if nothing is to be shown."""
    if silent:
        yield None
    elif sys.stderr.isatty() and find_spec("rich") is not None:
        with _live(name) as report:
            yield report
    else:
        yield _plain(name)


def _plain(name: str) -> Callable[[Progress], None]:
    pace = Pace()

    def report(progress: Progress) -> None:
        if pace.due(PLAIN_EVERY_S):
            print(f"{name}: {pace.words(progress)}", file=sys.stderr, flush=True)

    return report


@contextlib.contextmanager
def _live(name: str) -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    pace = Pace()
    columns: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
    ]
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(name, total=None, words="starting")

        def report(progress: Progress) -> None:
            if pace.due(LIVE_EVERY_S):
                bars.update(
                    task,
                    total=None if progress.warming_up else progress.duration_us / SECOND,
                    completed=0 if progress.warming_up else progress.virtual_us / SECOND,
                    words=pace.words(progress),
                )

        yield report
