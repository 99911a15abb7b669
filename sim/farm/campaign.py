"""Tasks that pass or fail: run on all cores, written down as they are done, gone on with after Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import Protocol, TypeVar

import msgspec

from sim.farm.ledger import Ledger
from sim.farm.pool import spread

__all__ = ["campaign"]


class Keyed(Protocol):
    """A task."""

    @property
    def key(self) -> str:
        """Names it in a ledger: all that its outcome depends on."""


class Judged(Protocol):
    """What came of one."""

    @property
    def passed(self) -> bool:
        """Whether it need not be done again."""


T = TypeVar("T", bound=Keyed)
R = TypeVar("R", bound=Judged)


def campaign(
    work: Callable[[T], R], tasks: Sequence[T], kind: type[R], *, jobs: int | None, ledger: Ledger | None
) -> Generator[R]:
    """The outcome of each task, which is a `kind`, as they are done; first those that the ledger has.

    Tasks that failed are run again: what made them fail may be mended.

    Raises:
        ScenarioError: if `jobs` makes no sense.
        StoreError: if the ledger takes no more; what is in it stays.
        TaskError: if a worker dies.
    """
    todo = tasks
    if ledger is not None:
        todo = []
        for task in tasks:
            known = ledger.done.get(task.key)
            outcome = None if known is None else msgspec.convert(known, kind)
            if outcome is None or not outcome.passed:
                todo.append(task)
            else:
                yield outcome
    with closing(spread(work, todo, jobs=jobs)) as outcomes:
        for index, outcome in outcomes:
            if ledger is not None:
                ledger.add(todo[index].key, outcome)
            yield outcome
