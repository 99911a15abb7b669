"""How far many runs are, on standard error: a bar where rich can draw one, else a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

__all__ = ["shown"]

EVERY_S = 10.0
"""Seconds of the wall between two plain lines."""


@contextmanager
def shown(total: int, *, silent: bool) -> Iterator[Callable[[], None]]:
    """What is to be called after each run."""
    if silent:
        yield lambda: None
    elif sys.stderr.isatty() and find_spec("rich") is not None:
        with _bar(total) as advance:
            yield advance
    else:
        yield _lines(total)


@contextmanager
def _bar(total: int) -> Iterator[Callable[[], None]]:
    from rich.console import Console  # noqa: PLC0415 - an extra
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("runs"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("elapsed,"),
        TimeRemainingColumn(),
        TextColumn("to go"),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


def _lines(total: int) -> Callable[[], None]:
    done = 0
    last = time.monotonic()

    def advance() -> None:
        nonlocal done, last
        done += 1
        if time.monotonic() - last >= EVERY_S and done < total:
            last = time.monotonic()
            print(f"{done} of {total} runs", file=sys.stderr, flush=True)

    return advance
