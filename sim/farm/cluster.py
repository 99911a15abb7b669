"""The tasks of `spread` on a Dask cluster (https://distributed.dask.org): other machines, the same code."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from sim.errors import ScenarioError, TaskError
from sim.extras import need
from sim.farm.naming import name_of

__all__ = ["on_cluster"]

T = TypeVar("T")
R = TypeVar("R")

CONNECT_S = 5
"""Seconds a scheduler has to answer."""
WORKERS_S = 10
"""Seconds it has to show a worker: it may be starting one."""
AHEAD = 2
"""Tasks under way for each thread of the cluster."""


def on_cluster(attempt: Callable[[T], R], tasks: Iterable[T], address: str) -> Generator[tuple[int, R]]:
    """Yield `(index, attempt(task))` as they are done; see `sim.farm.pool.spread`.

    Raises:
        MissingExtraError: if `distributed` is not installed.
        ScenarioError: if the address is empty.
        TaskError: if the scheduler does not answer, has no workers, or lost the workers that computed a task.
    """
    distributed = need("distributed")
    client = _connect(distributed, address)
    try:
        yield from _compute(distributed, client, attempt, enumerate(tasks), address)
    finally:
        client.close()


def _connect(distributed: Any, address: str) -> Any:
    if not address:  # which Dask would take for "start a cluster here"
        raise ScenarioError("--scheduler: write the address of one, like tcp://host:8786")
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as problem:
        raise TaskError(
            f"no Dask scheduler answers at {address} ({_first_line(problem)}):"
            " start one with `dask scheduler`, and workers with `dask worker ADDRESS`"
        ) from None
    try:
        client.wait_for_workers(1, timeout=WORKERS_S)
    except TimeoutError:
        client.close()
        raise TaskError(
            f"the Dask scheduler at {address} has no workers: start some with `dask worker {address}`"
        ) from None
    return client


def _compute(
    distributed: Any,
    client: Any,
    attempt: Callable[[T], R],
    numbered: Iterator[tuple[int, T]],
    address: str,
) -> Generator[tuple[int, R]]:
    under_way: dict[Any, tuple[int, T]] = {}
    finished = distributed.as_completed(loop=client.loop)

    def refill() -> None:
        room = AHEAD * sum(client.nthreads().values()) - len(under_way)
        for index, task in islice(numbered, max(room, 0)):
            # Not pure: else two equal tasks would be one.
            future = client.submit(attempt, task, pure=False)
            under_way[future] = index, task
            finished.add(future)

    refill()
    try:
        for future in finished:
            try:
                result = future.result()
            except (distributed.KilledWorker, distributed.CancelledError):
                name = name_of(under_way[future][1])
                raise TaskError(
                    f"{name}: the workers of the Dask cluster at {address} died of it, or were taken away;"
                    " their logs may say why"
                ) from None
            index, _task = under_way.pop(future)
            future.release()
            refill()
            yield index, result
    finally:
        client.cancel(list(under_way))


def _first_line(problem: Exception) -> str:
    return str(problem).partition("\n")[0] or type(problem).__name__
