"""The worker between the agent and the disk: grouped, in order, and patient with a failing disk."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
import trio

from gossip.errors import NotFoundError, StoreError
from gossip.journal import Journal
from gossip.store import Store, StoredRecord


class SlowStore(Store):
    """Writes what it is told in memory, when it is let; fails when it is told to."""

    def __init__(self) -> None:
        kept = Store.memory()
        super().__init__(kept.seed, kept.saved)
        self.gate = threading.Semaphore(0)
        self.written: list[str] = []
        self.groups: list[int] = []
        self.compactions: list[Sequence[StoredRecord]] = []
        self.counters: list[int] = []
        self.keys: list[object] = []
        self.floors: list[int] = []
        self.remembered: Sequence[tuple[str, int]] = ()
        self.problem: StoreError | None = None
        self.failures = 0
        self.grown = False
        self.checks: list[object] = []
        self.bans: list[list[bytes]] = []
        self.used: list[list[tuple[bytes, bytes]]] = []

    def _fail(self) -> None:
        if self.problem is not None:
            self.failures += 1
            raise self.problem

    @property
    def wants_compaction(self) -> bool:
        return self.grown

    def append(self, entries: Sequence[StoredRecord]) -> None:
        assert self.gate.acquire(timeout=10)
        self._fail()
        self.groups.append(len(entries))
        self.written += [entry.raw.decode() for entry in entries]

    def compact(self, entries: Sequence[StoredRecord]) -> None:
        self.grown = False
        self.compactions.append(list(entries))

    def save_counter(self, ceiling: int, birth: int, floor: int) -> None:
        self._fail()
        assert birth == 5
        self.counters.append(ceiling)
        self.floors.append(floor)

    def save_remembered(self, addresses: Sequence[tuple[str, int]]) -> None:
        self.remembered = addresses

    def save_checks(self, content: object) -> None:
        self._fail()
        self.checks.append(content)

    def save_keys(self, content: object) -> None:
        self._fail()
        self.keys.append(content)

    def save_bans(self, bans: Sequence[bytes]) -> None:
        self._fail()
        self.bans.append(list(bans))

    def save_used(self, used: Sequence[tuple[bytes, bytes]]) -> None:
        self._fail()
        self.used.append(list(used))


class Scene:
    """A journal over a slow store, and the book of what became visible."""

    def __init__(self) -> None:
        self.store = SlowStore()
        self.committed: list[str] = []
        self.groups = 0
        self.found = "first"
        self.bans: list[bytes] = []
        self.used: list[tuple[bytes, bytes]] = []
        self.journal = Journal(
            self.store,
            4,
            5,
            6,
            self._group,
            lambda: [StoredRecord("api", b"live")],
            lambda: self.found,
            lambda: self.bans,
            lambda: self.used,
        )

    def _group(self) -> None:
        self.groups += 1

    async def append(self, word: str) -> None:
        # What is visible is on disk.
        def commit() -> None:
            assert word in self.store.written
            self.committed.append(word)

        await self.journal.append(StoredRecord("api", word.encode()), commit)
        assert word in self.committed


async def test_what_waits_is_written_together_and_made_visible_in_order(nursery: trio.Nursery) -> None:
    scene = Scene()
    nursery.start_soon(scene.journal.run)
    words = [f"{n:03}" for n in range(50)]
    with trio.fail_after(10):
        async with trio.open_nursery() as writers:
            for word in words:
                writers.start_soon(scene.append, word)
                await trio.testing.wait_all_tasks_blocked()
            scene.store.gate.release(2)
    assert scene.committed == scene.store.written == words
    assert scene.store.groups == [1, 49]
    assert scene.groups == 2


async def test_a_failing_disk_is_told_to_each_and_passes(nursery: trio.Nursery) -> None:
    scene = Scene()
    nursery.start_soon(scene.journal.run)
    scene.store.problem = StoreError("the disk is full")
    scene.store.gate.release(100)
    refused = []

    async def attempt(word: str) -> None:
        try:
            await scene.append(word)
        except StoreError as problem:
            refused.append(str(problem))

    with trio.fail_after(10):
        async with trio.open_nursery() as writers:
            for word in "abc":
                writers.start_soon(attempt, word)
        assert refused == ["the disk is full"] * 3
        assert scene.committed == []
        scene.store.problem = None
        await scene.append("d")
    assert scene.committed == ["d"]


async def test_what_cannot_be_made_visible_is_told(nursery: trio.Nursery) -> None:
    scene = Scene()
    nursery.start_soon(scene.journal.run)
    scene.store.gate.release(9)

    def commit() -> None:
        raise NotFoundError("gone")

    with trio.fail_after(10), pytest.raises(NotFoundError):
        await scene.journal.append(StoredRecord("api", b"x"), commit)


async def test_one_who_is_cancelled_does_not_hold_his_record_up(nursery: trio.Nursery) -> None:
    scene = Scene()
    nursery.start_soon(scene.journal.run)
    async with trio.open_nursery() as writers:
        writers.start_soon(scene.append, "x")
        await trio.testing.wait_all_tasks_blocked()
        writers.cancel_scope.cancel()
    scene.store.gate.release()
    with trio.fail_after(10):
        await scene.journal.settle()
    assert scene.committed == ["x"]


async def test_who_brings_too_much_waits_for_room(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gossip.journal.MAX_WAITING", 4)
    scene = Scene()
    nursery.start_soon(scene.journal.run)
    with trio.fail_after(10):
        async with trio.open_nursery() as writers:
            for n in range(40):
                writers.start_soon(scene.append, f"{n}")
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert len(scene.journal._items) <= 4
            scene.store.gate.release(100)
    assert sorted(scene.committed, key=int) == [f"{n}" for n in range(40)]


async def test_a_grown_log_is_rewritten(nursery: trio.Nursery) -> None:
    scene = Scene()
    nursery.start_soon(scene.journal.run)
    scene.store.grown = True
    scene.store.gate.release(9)
    with trio.fail_after(10):
        await scene.append("x")
        await scene.journal.settle()
    assert scene.store.compactions == [[StoredRecord("api", b"live")]]


async def test_counters_and_addresses(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossip.journal.RETRY_SECONDS", 0.01)
    scene = Scene()
    nursery.start_soon(scene.journal.run)
    scene.journal.save_counter(7)
    scene.journal.save_counter(9)
    scene.journal.save_remembered([("192.0.2.1", 7)])
    with trio.fail_after(10):
        await scene.journal.settle()
    assert scene.store.counters[-1] == 9
    assert scene.store.remembered == [("192.0.2.1", 7)]
    scene.store.problem = StoreError("full")
    scene.journal.save_counter(11)
    with trio.fail_after(10):
        while scene.store.failures < 2:  # noqa: ASYNC110 - a thread's doing
            await trio.sleep(0.001)
        scene.store.problem = None
        await scene.journal.settle()
    assert scene.store.counters[-1] == 11
    assert set(scene.store.floors) == {6}


async def test_a_floor_is_saved_within_the_reserved_versions_and_stays(nursery: trio.Nursery) -> None:
    scene = Scene()
    nursery.start_soon(scene.journal.run)
    raised: list[int] = []
    with trio.fail_after(10):
        await scene.journal.save_floor(8, lambda: raised.append(8))
        assert (scene.store.counters, scene.store.floors, raised) == ([8], [8], [8])
        assert scene.groups == 1
        scene.journal.save_counter(20)
        await scene.journal.settle()
        await scene.journal.save_floor(9, lambda: raised.append(9))
        assert (scene.store.counters, scene.store.floors) == ([8, 20, 20], [8, 8, 9])
        scene.store.problem = StoreError("full")
        with pytest.raises(StoreError):
            await scene.journal.save_floor(10, lambda: raised.append(10))
        scene.store.problem = None
        scene.journal.save_counter(30)
        await scene.journal.settle()
    assert scene.store.floors[-1] == 9
    assert raised == [8, 9]


async def test_the_log_is_rewritten_when_asked_for(nursery: trio.Nursery) -> None:
    scene = Scene()
    nursery.start_soon(scene.journal.run)
    scene.journal.shorten()
    with trio.fail_after(10):
        await scene.journal.settle()
    assert scene.store.compactions == [[StoredRecord("api", b"live")]]


async def test_what_belongs_to_a_record_is_written_right_before_it(nursery: trio.Nursery) -> None:
    scene = Scene()
    nursery.start_soon(scene.journal.run)
    scene.store.gate.release(9)
    with trio.fail_after(10):
        record, before = (
            StoredRecord("api", b"r"),
            [StoredRecord("checks", b"a"), StoredRecord("checks", b"b")],
        )
        await scene.journal.append(record, lambda: None, *before)
    assert scene.store.written == ["a", "b", "r"]
    assert scene.store.groups == [3]


async def test_what_checks_found_is_saved_as_it_is_by_then(nursery: trio.Nursery) -> None:
    scene = Scene()
    scene.journal.keep_checks()
    scene.journal.keep_checks()
    scene.found = "last"
    nursery.start_soon(scene.journal.run)
    with trio.fail_after(10):
        await scene.journal.settle()
        assert scene.store.checks == ["last"]
        scene.found = "more"
        await scene.journal.save_checks()
        assert scene.store.checks == ["last", "more"]
        scene.store.problem = StoreError("full")
        with pytest.raises(StoreError):
            await scene.journal.save_checks()
        # What nobody waits for is logged, and does not end the worker.
        scene.journal.keep_checks()
        await scene.journal.settle()
        scene.store.problem = None
        await scene.journal.save_checks()
    assert scene.store.checks == ["last", "more", "more"]


async def test_bans_are_on_disk_before_they_are_answered_and_a_full_disk_is_told(
    nursery: trio.Nursery,
) -> None:
    scene = Scene()
    nursery.start_soon(scene.journal.run)
    with trio.fail_after(10):
        scene.bans = [b"one"]
        await scene.journal.save_bans()
        assert scene.store.bans == [[b"one"]]
        scene.bans = [b"one", b"two"]
        scene.store.problem = StoreError("full")
        with pytest.raises(StoreError):
            await scene.journal.save_bans()
        # What came by gossip nobody waits for.
        scene.journal.keep_bans()
        await scene.journal.settle()
        scene.store.problem = None
        scene.journal.keep_bans()
        scene.used = [(b"h", b"n")]
        scene.journal.keep_used()
        await scene.journal.settle()
    assert scene.store.bans == [[b"one"], [b"one", b"two"]]
    assert scene.store.used == [[(b"h", b"n")]]


async def test_keys_are_told_of_once_they_are_on_disk_and_saved_until_they_are(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gossip.journal.RETRY_SECONDS", 0.01)
    scene = Scene()
    told: list[int] = []
    scene.journal.keep_keys(lambda: "now", told.append)
    nursery.start_soon(scene.journal.run)
    with trio.fail_after(10):
        scene.store.problem = StoreError("full")
        with pytest.raises(StoreError):
            await scene.journal.save_keys("by hand")
        scene.journal.save_keys_of(1)
        scene.journal.save_keys_of(2)
        await trio.sleep(0.05)
        assert told == []
        scene.store.problem = None
        await scene.journal.settle()
        assert told == [2]
        await scene.journal.save_keys("by hand")
    assert scene.store.keys == ["now", "by hand"]
    assert told == [2]
