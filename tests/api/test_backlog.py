"""What waits for all clients together: one batch at a time each, and who gives way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from gossip.api import backlog as backlog_module
from gossip.api.backlog import Backlog
from tests.api.served import request, served

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.api.served import Served

PATIENCE = 20.0
ANSWER_BYTES = 600_000
"""An answer to `greedy`, at least; the kernel takes less than that of it."""


def batch(*lines: bytes) -> bytes:
    return b"[" + b",".join(line.strip() for line in lines) + b"]\n"


def greedy(here: Served, first: int = 0) -> bytes:
    """A batch of a few bytes with a large answer."""
    for number in range(100):
        here.agent.node.put(here.agent.node.id, f"w{number}", "web", 80, ["x" * 60])
    return batch(*(request(first + number, "services.lookup", service="web") for number in range(24)))


async def waits(here: Served, count: int) -> None:
    """Returns when as many connections have something that waits for them."""
    with trio.fail_after(PATIENCE):
        while sum(each.is_flushing for each in here.local._connections) < count:  # noqa: ASYNC110
            await trio.sleep(0.001)


async def test_the_next_batch_begins_when_the_answer_to_one_has_left(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        asked = [greedy(here, 100 * number) for number in range(6)]
        for line in asked:
            await client.send(line)
        await waits(here, 1)
        await trio.testing.wait_all_tasks_blocked(0.01)
        (connection,) = here.local._connections
        assert connection._size < 2 * ANSWER_BYTES, "one answer waits, however many were asked for"
        for number in range(6):
            answers = await client.line()
            assert [each["id"] for each in answers] == [100 * number + each for each in range(24)]
        assert (await client.call("agent.info"))["name"] == "n0"


async def test_what_is_no_batch_need_not_wait_for_one(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        here.agent.disk = trio.Event()
        client = await here.connect()
        first = batch(request(1, "services.register", name="web", port=80))
        second = batch(request(2, "services.register", name="db", port=81))
        await client.send(first + request(3, "agent.info") + second)
        assert (await client.line())["id"] == 3
        await trio.testing.wait_all_tasks_blocked(0.01)
        here.agent.disk.set()
        assert [(await client.line())[0]["id"] for _ in range(2)] == [1, 2]


async def test_beyond_what_may_wait_for_all_who_reads_nothing_gives_way_and_nobody_is_kept_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog_module, "MAX_WAITING_BYTES", 3 * ANSWER_BYTES)
    async with served(tmp_path) as here:
        line = greedy(here)
        good = await here.connect()
        idle: list[Any] = []
        for number in range(8):
            idle.append(await here.connect())
            await idle[-1].send(line)
            await waits(here, min(number + 1, 2))
            assert here.local.backlog.waiting <= 3 * ANSWER_BYTES
            assert (await good.call("agent.info"))["name"] == "n0"
            # It is as large as theirs, and it is read.
            await good.send(line)
            assert len(await good.line()) == 24
        assert 4 <= here.counted["local_ended"] < 8
        assert await idle[0].line_or_none() is None, "the first of those who do not read"
        assert len(await idle[-1].line()) == 24
        for client in idle:
            await client.stream.aclose()
        with trio.fail_after(PATIENCE):
            while here.local.connections > 1:  # noqa: ASYNC110 - the socket tells nobody
                await trio.sleep(0.001)
        assert here.local.backlog.waiting == 0
        assert not here.local.backlog._sizes


async def test_what_was_asked_by_who_had_to_give_way_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog_module, "MAX_WAITING_BYTES", ANSWER_BYTES // 2)
    async with served(tmp_path) as here:
        line = (
            greedy(here)[:-2] + b"," + request(99, "services.register", name="db", port=81).strip() + b"]\n"
        )
        client = await here.connect()
        await client.send(line)
        assert await client.line_or_none() is None
        other = await here.connect()
        with trio.fail_after(PATIENCE):
            while not (await other.call("services.lookup", service="db"))["instances"]:  # noqa: ASYNC110
                await trio.sleep(0.001)
        assert here.local.backlog.waiting == 0


async def test_when_much_waits_watchers_are_given_one_thing_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served(tmp_path) as here:
        idle, watcher = await here.connect(), await here.connect()
        await watcher.call("services.watch", service="db")
        await watcher.call("events.watch")
        await idle.call("events.watch")
        await idle.send(greedy(here))
        await waits(here, 1)
        before = here.local.backlog.waiting
        monkeypatch.setattr(backlog_module, "EASE_BYTES", before // 2)
        for _ in range(50):
            here.agent.send_event("e", b"x" * 200)
        here.agent.node.put(here.agent.node.id, "d", "db", 81)
        here.agent.flush()
        assert here.local.backlog.waiting < before + 1_000
        # Whoever reads is told of all.
        for _ in range(50):
            assert (await watcher.line())["params"]["name"] == "e"
        assert (await watcher.line())["params"]["instances"][0]["port"] == 81
        assert len(await idle.line()) == 24
        with trio.fail_after(PATIENCE):
            while not (await idle.line())["params"].get("resync"):
                pass


class Client:
    """One that gives way."""

    def __init__(self, backlog: Backlog, user: int) -> None:
        self.backlog = backlog
        self.user = user
        self.gone = False

    def give_way(self) -> None:
        self.gone = True
        self.backlog.owes(self, 0)  # as when it is closed


def test_the_user_who_lets_most_wait_gives_way_and_of_his_who_has_read_nothing_for_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog_module, "MAX_WAITING_BYTES", 100)
    counted: list[str] = []
    backlog = Backlog(counted.append)
    good = Client(backlog, 1)
    bad = [Client(backlog, 2) for _ in range(4)]
    backlog.owes(good, 30)
    for client in bad:
        backlog.owes(client, 17)
    backlog.owes(bad[0], 16)  # it has read something
    assert not any(each.gone for each in bad)
    backlog.owes(bad[0], 25)
    assert [each.gone for each in (good, *bad)] == [False, False, True, False, False]
    assert (backlog.waiting, counted) == (30 + 25 + 17 + 17, ["local_ended"])
    backlog.owes(bad[3], 80)
    assert [each.gone for each in (good, *bad)] == [False, False, True, True, True], "as many as it takes"
    assert backlog.waiting == 30 + 25
    backlog.owes(good, 101)
    assert good.gone, "also if it is alone"
    assert (backlog.waiting, dict(backlog._users)) == (25, {2: 25})
