"""Old garbage is looked for while nothing is due, for a bounded share of the time, and never not at all."""

from __future__ import annotations

import gc
import weakref

import pytest

from gossip.net.collector import DUE, PATIENCE_SECONDS, SHARE, Collector


class Machine:
    """A clock, and a collector that takes as long as it is told."""

    def __init__(self, took: float = 0.05) -> None:
        self.now = 100.0
        self.took = took
        self.count = 0
        self.times: list[float] = []
        self.collector = Collector(lambda: self.now, lambda: self.count, self._collect)

    def _collect(self) -> None:
        self.times.append(self.now)
        self.now += self.took
        self.count = 0

    def rest(self, seconds: float, after: float = 0.0) -> int:
        """It rests, so long after now; how often it has collected by then."""
        self.now += after
        self.collector.rest(seconds)
        return len(self.times)


@pytest.fixture
def machine() -> Machine:
    """One that knows how long a look takes, and whose next one is due."""
    machine = Machine()
    machine.count = DUE
    assert machine.rest(1.0) == 1
    machine.count = DUE
    machine.now += SHARE * machine.took
    return machine


def test_nothing_is_looked_for_before_enough_was_made() -> None:
    machine = Machine()
    machine.count = DUE - 1
    assert machine.rest(10.0, after=1_000.0) == 0
    machine.count = DUE
    assert machine.rest(10.0) == 1


def test_it_waits_for_a_rest_that_is_long_enough(machine: Machine) -> None:
    assert machine.rest(0.099) == 1
    assert machine.rest(-0.5, after=1.0) == 1
    assert machine.rest(0.101, after=1.0) == 2


def test_who_never_rests_looks_nevertheless(machine: Machine) -> None:
    """Or the garbage of a busy agent would have no bound."""
    assert machine.rest(0.0) == 1
    assert machine.rest(0.0, after=PATIENCE_SECONDS - 0.001) == 1
    assert machine.rest(0.0, after=0.001) == 2


def test_a_patience_that_was_used_up_begins_anew(machine: Machine) -> None:
    machine.rest(0.0)
    assert machine.rest(0.0, after=PATIENCE_SECONDS) == 2
    machine.count = DUE
    assert machine.rest(0.0, after=SHARE * machine.took) == 2
    assert machine.rest(0.0, after=PATIENCE_SECONDS) == 3


def test_it_takes_a_bounded_share_of_the_time() -> None:
    machine = Machine(took=0.5)
    end = machine.now + 1_000.0
    while machine.now < end:
        machine.count = DUE
        machine.rest(100.0, after=0.01)
    assert len(machine.times) * machine.took <= 1_000.0 / SHARE + machine.took
    assert len(machine.times) > 30


def test_python_leaves_old_objects_alone_as_long_as_the_block_lasts() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with Collector():
        assert gc.get_freeze_count() > frozen
        assert gc.get_threshold()[:2] == before[:2]
        gc.collect(0)
        done = gc.get_stats()[2]["collections"]
        kept: list[list[object]] = [[[]] for _ in range(200_000)]
        assert gc.get_stats()[2]["collections"] == done
        assert gc.get_count()[2] >= DUE
        del kept
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


class Knot:
    """Refers to itself, so that only the collector can free it."""

    def __init__(self) -> None:
        self.itself = self


def test_old_cycles_are_found() -> None:
    with Collector() as collector:
        knot = Knot()
        seen = weakref.ref(knot)
        for _ in range(DUE + 2):
            gc.collect(1)
        del knot
        gc.collect(1)
        assert seen() is not None
        collector.rest(1.0)
        assert seen() is None
        assert gc.get_count()[2] < DUE
