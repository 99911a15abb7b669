"""One function over many tasks: in this process, on all cores, or on a Dask cluster, by the same call.

Results come as they are done, each with its task's index: whoever wants an order sorts. What a task computes
must depend on the task alone, so that no result depends on where, or beside what, it was computed.

How processes of this machine are started and ended says `sim.farm.workers`.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TypeVar

from gossip.errors import GossipError
from sim.errors import ScenarioError, TaskError
from sim.farm.cluster import on_cluster
from sim.farm.naming import name_of, names_of
from sim.farm.workers import LostWorkerError, Worker, answered, end, hire

__all__ = ["cores", "spread"]

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def spread(
    function: Callable[[T], R],
    tasks: Iterable[T],
    *,
    jobs: int | None = None,
    scheduler: str | None = None,
) -> Generator[tuple[int, R]]:
    """Yield `(index, function(task))` of each task, as they are done, in any order.

    Tasks are taken from `tasks` as workers come free, so it may be long, or a generator. When the iterator
    ends or is closed, by Ctrl-C too, so do the workers.

    Args:
        function: a function of a module. It and the tasks must pickle; a task's `key`, if it has one, names
            it in messages.
        tasks: what it is called with.
        jobs: how many processes; None: one for each core. 1: no other process than this.
        scheduler: address of a Dask scheduler (`tcp://host:8786`) whose workers compute instead. They need
            the same version of this package.

    Raises:
        ScenarioError: if `jobs` makes no sense.
        TaskError: if a task fails with a GossipError, if a worker dies, or if the scheduler does not answer.
        Exception: any other error of a task as it is, with a note that names the task.
    """
    if jobs is not None and jobs < 1:
        raise ScenarioError(f"--jobs {jobs}: at least one process must do the work")
    if jobs is not None and scheduler is not None:
        raise ScenarioError("--jobs and --scheduler exclude each other: a Dask cluster has its own workers")
    attempt = partial(_attempt, function)
    if scheduler is not None:
        return on_cluster(attempt, tasks, scheduler)
    jobs = jobs or cores()
    if jobs == 1:
        return ((index, attempt(task)) for index, task in enumerate(tasks))
    return _on_processes(attempt, enumerate(tasks), jobs)


def _attempt(function: Callable[[T], R], task: T) -> R:
    """Where the work is: whatever goes wrong goes to the parent with the task's name."""
    try:
        return function(task)
    except GossipError as problem:
        raise TaskError(f"{name_of(task)}: {problem}") from None
    except Exception as problem:  # noqa: BLE001 - it is raised again, in the parent
        problem.add_note(f"in the task {name_of(task)}")
        raise _portable(problem) from problem.__cause__


def _portable(problem: Exception) -> Exception:
    """The exception, or one that says the same if it would not survive the way to the parent."""
    try:
        pickle.loads(pickle.dumps(problem))  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - a class of somebody else's may raise anything here
        told = RuntimeError(f"{type(problem).__qualname__}: {problem}")
        told.__notes__ = problem.__notes__
        return told.with_traceback(problem.__traceback__)
    return problem


# Processes of this machine


def _on_processes(
    attempt: Callable[[T], R], numbered: Iterator[tuple[int, T]], jobs: int
) -> Generator[tuple[int, R]]:
    first = list(islice(numbered, jobs))
    workers: list[Worker] = []
    under_way: dict[Worker, tuple[int, T]] = {}

    def give(worker: Worker, entry: tuple[int, T]) -> None:
        under_way[worker] = entry
        worker.send(entry[1])

    try:
        hire(workers, len(first), attempt)
        for worker, entry in zip(workers, first, strict=True):
            give(worker, entry)
        while under_way:
            for worker in answered(under_way):
                result = worker.receive()
                index, _task = under_way.pop(worker)
                # Before the result is looked at, so that the worker need not wait for that.
                for following in islice(numbered, 1):
                    give(worker, following)
                yield index, result
        end(workers)
    except LostWorkerError:
        names = names_of(task for _, task in under_way.values())
        raise TaskError(
            "a worker process died: it was killed, perhaps because memory ran out (then fewer --jobs help);"
            f" under way were {names}"
        ) from None
    finally:
        for worker in workers:
            worker.kill()
