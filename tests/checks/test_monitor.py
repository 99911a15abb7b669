"""The owner of a node's checks in virtual time: who waits for whom, what is told, what costs nothing."""

from __future__ import annotations

import io
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
import trio
import trio.testing

from gossip import log
from gossip.checks.finding import Finding, critical
from gossip.checks.monitor import NODE, Monitor, Word
from gossip.checks.runner import Runner
from gossip.config import CheckDefinition, read_checks
from gossip.core.types import Verdict
from gossip.errors import NotFoundError, RefusedError, StoreError

PASSING, WARNING, CRITICAL = Verdict


@pytest.fixture(autouse=True)
def quiet() -> None:
    log.set_up("info", "text", io.StringIO())


class Bench:
    """A monitor whose looks are a function of the test, and what came of it."""

    def __init__(self, look: Callable[[CheckDefinition], Awaitable[Finding]], **places: int) -> None:
        self.told: list[tuple[float, str, Word]] = []
        self.expired: list[tuple[float, str]] = []
        self.touches = 0
        self.refuse = False
        self.disk: Exception | None = None
        self.nodes: dict[str, Verdict] = {}
        self.runner = Runner(look, **places)
        self.monitor = Monitor(
            self.runner, trio.current_time, random.Random(7), self._tell, self._expire,
            lambda name: Finding(self.nodes.get(name, CRITICAL), f"of {name}"), self._touch,
        )  # fmt: skip

    def _tell(self, key: str, word: Word) -> None:
        if self.refuse:
            raise RefusedError("this node is leaving")
        self.told.append((trio.current_time(), key, word))

    async def _expire(self, key: str) -> None:
        self.expired.append((trio.current_time(), key))
        if self.disk is not None:
            raise self.disk
        self.monitor.drop(key)

    def _touch(self, _has_changed: bool) -> None:
        self.touches += 1

    def put(self, key: str, *checks: dict[str, Any]) -> None:
        self.monitor.put(key, key, read_checks(list(checks), key))

    def verdicts(self, key: str) -> list[Verdict]:
        return [verdict for _, verdict in self.monitor.word(key).statuses]


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(bench.monitor.run)
        yield bench
        nursery.cancel_scope.cancel()


async def well(check: CheckDefinition) -> Finding:
    await trio.lowlevel.checkpoint()
    return Finding(PASSING, "ok")


async def test_a_thousand_checks_of_which_one_hangs(autojump_clock: trio.testing.MockClock) -> None:
    """A slow or hanging check delays no other."""
    runs: dict[str, list[float]] = {}

    async def look(check: CheckDefinition) -> Finding:
        runs.setdefault(check.id, []).append(trio.current_time())
        await trio.sleep(1e6 if check.id == "service:s500" else 0.01)
        return Finding(PASSING, "ok")

    bench = Bench(look)
    for number in range(1_000):
        bench.put(f"s{number}", {"tcp": "127.0.0.1:1", "interval": "10s", "timeout": "30s"})
    async with running(bench):
        begun = trio.current_time()
        await trio.sleep(45.0)
        passing = [key for key in (f"s{n}" for n in range(1_000)) if bench.verdicts(key) == [PASSING]]
        assert len(passing) == 999
        (row,) = [row for row in bench.monitor.rows() if row["id"] == "service:s500"]
        assert (row["status"], row["output"]) == ("critical", "no result within 30 s")
        for id, times in runs.items():
            if id == "service:s500":
                assert len(times) == 2
                continue
            assert times[0] - begun < 1.2
            assert all(8.9 <= b - a <= 11.2 for a, b in pairwise(times[1:])), id
        # Each turned once, and that is all that others were told, after the first word.
        assert len(bench.told) == 1_999
        assert bench.runner.counters["check_timeouts"] == bench.runner.counters["check_failures"] == 1


async def test_commands_wait_for_a_place_and_say_so(autojump_clock: trio.testing.MockClock) -> None:
    at_once = most = 0

    async def look(check: CheckDefinition) -> Finding:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await trio.sleep(1.5)
        at_once -= 1
        return Finding(PASSING, "ok")

    bench = Bench(look, commands=2)
    for number in range(6):
        bench.put(f"s{number}", {"command": "x", "interval": "1h"})
    bench.put("net", {"tcp": "127.0.0.1:1", "interval": "1h"})
    async with running(bench):
        await trio.sleep(3.0)
        assert bench.verdicts("net") == [PASSING]
        await trio.sleep(7.0)
        assert most == 3
        outputs = [row["output"] for row in bench.monitor.rows() if row["kind"] == "command"]
        assert all(output.startswith("ok") for output in outputs)
        waited = [output for output in outputs if "for one of 2 places, which were all taken)" in output]
        assert len(waited) == 4


async def test_a_fault_of_our_own_makes_the_check_critical(autojump_clock: trio.testing.MockClock) -> None:
    async def look(check: CheckDefinition) -> Finding:
        await trio.lowlevel.checkpoint()
        raise ZeroDivisionError("a bug")

    bench = Bench(look)
    bench.put("a", {"tcp": "127.0.0.1:1"})
    async with running(bench):
        await trio.sleep(5.0)
        (row,) = bench.monitor.rows()
        assert (row["status"], row["output"]) == (
            "critical",
            "the check itself failed: ZeroDivisionError: a bug",
        )
        assert bench.monitor.counters["check_errors"] >= 1


async def test_only_changes_are_told_and_a_flapping_check_is_damped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    results = iter([PASSING, CRITICAL] * 10_000)

    async def look(check: CheckDefinition) -> Finding:
        await trio.lowlevel.checkpoint()
        return Finding(next(results), "so so")

    bench = Bench(look)
    bench.put("a", {"tcp": "127.0.0.1:1", "interval": "100ms"})
    async with running(bench):
        await trio.sleep(60.0)
    runs = bench.runner.counters["check_runs"]
    assert runs > 400
    assert len(bench.told) < 12
    assert bench.told[-1][2].statuses == (("tcp", CRITICAL),)


async def test_many_changes_of_one_service_are_told_twice_a_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(well)
    bench.put("a", {"ttl": "15s"})
    async with running(bench):
        await trio.sleep(1.0)
        for number in range(41):
            bench.monitor.report("a", WARNING if number % 2 else PASSING, str(number))
            await trio.sleep(0.05)
        await trio.sleep(1.0)
    times = [at for at, *_ in bench.told]
    assert 12 <= len(times) <= 15
    assert all(b - a >= 0.49 for a, b in pairwise(times[9:]))
    assert bench.told[-1][2].statuses == (("ttl", PASSING),)


async def test_a_fed_ttl_wakes_nobody_and_a_lapsed_one_is_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(well)
    for number in range(300):
        bench.put(f"s{number}", {"ttl": "10s"})
    wakes = 0
    work = bench.monitor._work

    def counted(now: float) -> None:
        nonlocal wakes
        wakes += 1
        work(now)

    bench.monitor._work = counted  # type: ignore[method-assign]
    async with running(bench):
        for _ in range(30):
            for number in range(300):
                bench.monitor.report(f"s{number}", PASSING, "")
            await trio.sleep(1.0)
        assert wakes < 20
        bench.told.clear()
        await trio.sleep(8.9)
        assert not bench.told
        await trio.sleep(0.2)
        assert len(bench.told) == 300
        wakes = 0
        await trio.sleep(3_600.0)
        assert wakes == 0


async def test_what_has_been_critical_for_too_long_is_deregistered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def look(check: CheckDefinition) -> Finding:
        await trio.lowlevel.checkpoint()
        return critical("down")

    bench = Bench(look)
    bench.disk = StoreError("the disk is full")
    bench.put("a", {"tcp": "127.0.0.1:1", "deregister_after": "1m"}, {"ttl": "5s"})
    async with running(bench):
        begun = trio.current_time()
        await trio.sleep(95.0)
        # The disk refused: it is tried again, not at once.
        assert [round(at - begun) for at, _ in bench.expired] == [60, 90]
        bench.disk = None
        await trio.sleep(60.0)
        assert len(bench.expired) == 3
        assert bench.monitor.rows() == []
        assert bench.monitor.word("a") == Word((), False, "")


async def test_a_check_that_is_replaced_or_dropped_ends_in_the_middle(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ended: list[str] = []

    async def look(check: CheckDefinition) -> Finding:
        try:
            await trio.sleep_forever()
        finally:
            ended.append(check.name)
        raise AssertionError

    bench = Bench(look)
    slow: dict[str, Any] = {"tcp": "127.0.0.1:1", "timeout": "1h"}
    bench.put("a", slow | {"name": "one"}, slow | {"name": "two"})
    async with running(bench):
        await trio.sleep(2.0)
        bench.put("a", slow | {"name": "two", "id": "service:a:2"})
        await trio.testing.wait_all_tasks_blocked()
        assert ended == ["one"]
        bench.monitor.drop("a")
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(ended) == ["one", "two"]
        assert not bench.monitor.saved()


async def test_registering_again_keeps_what_looks_at_the_same(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(well)
    async with running(bench):
        bench.put("a", {"tcp": "127.0.0.1:1"})
        assert bench.told[-1][2].statuses == (("tcp", CRITICAL),)
        await trio.sleep(2.0)
        assert bench.verdicts("a") == [PASSING]
        told = len(bench.told)
        bench.put("a", {"tcp": "127.0.0.1:1", "interval": "20s"})
        assert bench.verdicts("a") == [PASSING]
        assert len(bench.told) == told
        bench.put("a", {"tcp": "127.0.0.1:2"})
        assert bench.verdicts("a") == [CRITICAL]
        bench.put("a")
        assert bench.told[-1][2] == Word((), False, "")


async def test_ttl_reports_find_their_check(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(well)
    bench.put("one", {"ttl": "5s"}, {"tcp": "127.0.0.1:1"})
    bench.put("two", {"ttl": "5s"}, {"ttl": "6s"})
    bench.put("none")
    bench.put(NODE, {"ttl": "5s"})
    async with running(bench):
        assert bench.monitor.report("one", PASSING, "") == "service:one:1"
        assert bench.monitor.report("service:two:2", PASSING, "") == "service:two:2"
        assert bench.monitor.report("node", WARNING, "hot") == "node"
        for id, kind, words in (
            ("zz", NotFoundError, "no check and no service with checks is 'zz' here"),
            ("", NotFoundError, "no check"),
            ("two", RefusedError, "has several TTL checks: name one of service:two:1, service:two:2"),
            ("none", RefusedError, "has no TTL check"),
            ("service:one:2", RefusedError, "is of kind tcp, whose status this agent finds itself"),
        ):
            with pytest.raises(kind, match=words):
                bench.monitor.report(id, PASSING, "")


async def test_aliases_follow_a_service_and_a_node(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(well)
    async with running(bench):
        bench.put("front", {"alias": "db"}, {"alias": "node:n2"})
        assert bench.verdicts("front") == [CRITICAL, CRITICAL]
        bench.put("db", {"ttl": "5s"})
        bench.monitor.report("db", PASSING, "")
        assert bench.verdicts("front") == [PASSING, CRITICAL]
        bench.monitor.set_maintenance("db", "disk swap")
        assert bench.verdicts("front") == [CRITICAL, CRITICAL]
        bench.monitor.set_maintenance("db", None)
        bench.nodes["n2"] = WARNING
        bench.monitor.nodes_changed()
        await trio.testing.wait_all_tasks_blocked()
        assert bench.verdicts("front") == [PASSING, WARNING]
        await trio.sleep(5.1)
        assert bench.verdicts("front") == [CRITICAL, WARNING]
        bench.put("bare")
        bench.put("x", {"alias": "bare"})
        assert bench.verdicts("x") == [PASSING]
        # Two that follow each other hold nobody down.
        bench.put("y", {"alias": "z"})
        bench.put("z", {"alias": "y"})
        assert bench.verdicts("y") == bench.verdicts("z") == [PASSING]
        bench.monitor.drop("z")
        assert bench.verdicts("y") == [CRITICAL]


async def test_maintenance_is_told_at_once_and_ends_with_its_service(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = Bench(well)
    bench.put("a")
    async with running(bench):
        bench.monitor.set_maintenance("a", "why")
        bench.monitor.set_maintenance("a", None)
        bench.monitor.set_maintenance(NODE, "")
        assert [word for _, _, word in bench.told] == [
            Word((), True, "why"), Word((), False, ""), Word((), True, ""),
        ]  # fmt: skip
        bench.monitor.set_maintenance("a", "again")
        bench.monitor.drop("a")
        bench.put("a")
        assert bench.monitor.word("a") == Word((), False, "")


async def test_a_word_that_is_refused_is_told_later(autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(well)
    bench.refuse = True
    bench.put("a", {"ttl": "1s"})
    async with running(bench):
        bench.monitor.report("a", PASSING, "")
        bench.refuse = False
        bench.monitor.report("a", WARNING, "")
        assert bench.told[-1][2].statuses == (("ttl", WARNING),)


async def test_what_a_check_finds_just_when_its_service_goes_is_nobodys(
    autojump_clock: trio.testing.MockClock,
) -> None:
    found = trio.lowlevel.ParkingLot()

    async def look(check: CheckDefinition) -> Finding:
        await found.park()
        return Finding(PASSING, "ok")

    lines = io.StringIO()
    log.set_up("info", "text", lines)
    bench = Bench(look)
    bench.put("a", {"tcp": "127.0.0.1:1", "timeout": "1h"})
    async with running(bench):
        await trio.sleep(2.0)
        found.unpark()
        bench.monitor.drop("a")
        told = len(bench.told)
        await trio.sleep(2.0)
        assert len(bench.told) == told
        assert "check_changed" not in lines.getvalue()
