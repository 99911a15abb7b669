"""The same call on a Dask cluster: a scheduler and a worker on loopback, in this process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from typing import Any

import pytest

from sim.errors import ScenarioError, TaskError
from sim.extras import need
from sim.farm import cluster as module
from sim.farm.pool import spread
from tests.sim.farm import work


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A scheduler with a worker of two threads."""
    distributed = need("distributed")
    with distributed.LocalCluster(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address=":0",
        silence_logs=50,
    ) as running:
        yield running


def test_every_task_gives_its_result_once(cluster: Any) -> None:
    results = spread(work.square, range(20), scheduler=cluster.scheduler_address)
    assert sorted(results) == [(n, n * n) for n in range(20)]


def test_tasks_are_taken_as_workers_come_free(cluster: Any) -> None:
    taken = count()
    with closing(spread(work.square, taken, scheduler=cluster.scheduler_address)) as results:
        seen = [next(results) for _ in range(10)]
    assert len({index for index, _ in seen}) == 10
    assert next(taken) <= 10 + 2 * module.AHEAD + 2


def test_what_cannot_be_done_is_told_with_the_task(cluster: Any) -> None:
    with pytest.raises(TaskError, match=r"^blue: no room for blue$"):
        list(spread(work.refuse, [work.Named("blue")], scheduler=cluster.scheduler_address))


def test_a_scheduler_without_workers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORKERS_S", 0.01)
    distributed = need("distributed")
    with (
        distributed.LocalCluster(
            n_workers=0, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address=":0"
        ) as empty,
        pytest.raises(TaskError, match="has no workers: start some"),
    ):
        list(spread(work.square, [1], scheduler=empty.scheduler_address))


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CONNECT_S", 0.2)
    with socket.socket() as bound:  # bound, not listening: every connection is refused
        bound.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(TaskError, match=rf"no Dask scheduler answers at {address} .*dask scheduler"):
            list(spread(work.square, [1], scheduler=address))


@pytest.mark.parametrize("address", ["nonsense://x", "tcp://"])
def test_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(module, "CONNECT_S", 0.2)
    with pytest.raises(TaskError, match="no Dask scheduler answers"):
        list(spread(work.square, [1], scheduler=address))


def test_no_address_starts_no_cluster() -> None:
    with pytest.raises(ScenarioError, match="--scheduler: write the address"):
        list(spread(work.square, [1], scheduler=""))
