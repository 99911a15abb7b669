"""The disk's one worker: what is to be kept goes through here, in order, off the event loop.

Registrations come in bursts and an fsync costs milliseconds, so everything that arrived while the
disk was busy is written with one fsync (a group commit). Only then is each made visible, in the
order in which they were signed, and whoever waits for it woken.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, TypeVar

import trio

from gossip.errors import GossipError, LimitError, StoreError
from gossip.log import note
from gossip.store import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gossip.core.types import Address, NodeId
    from gossip.store import Store

__all__ = ["Journal"]

MAX_WAITING = 1_024
"""Records that may wait for the disk; who brings more waits for room."""
MAX_GROUP = 256
"""Records in one write."""
RETRY_SECONDS = 1.0
"""After a counter that could not be saved: versions are reserved far ahead, so there is time."""

T = TypeVar("T")


class _Item:
    __slots__ = ("before", "commit", "done", "entry", "problem")

    def __init__(
        self,
        entry: StoredRecord | int | None,
        commit: Callable[[], None],
        before: tuple[StoredRecord, ...] = (),
    ) -> None:
        self.entry = entry
        """A record, a floor, or nothing where only the rest counts."""
        self.before = before
        """What is written right before it, in the same write."""
        self.commit = commit
        self.done = trio.Event()
        self.problem: GossipError | None = None


class Journal:
    """Writes to a store.

    Args:
        ceiling: the versions that are reserved on disk already; `birth` and `floor` are saved beside it.
        committed: called after each group has become visible.
        live: everything that is worth keeping, for when the log has grown.
        checks: what is worth keeping of health checks, beside their definitions.
        bans: those of the authority.
        used: who has used which of its invitations.
    """

    def __init__(
        self,
        store: Store,
        ceiling: int,
        birth: int,
        floor: int,
        committed: Callable[[], None],
        live: Callable[[], Sequence[StoredRecord]],
        checks: Callable[[], object] = lambda: None,
        bans: Callable[[], Sequence[bytes]] = tuple,
        used: Callable[[], Sequence[tuple[bytes, NodeId]]] = tuple,
    ) -> None:
        self.may_shorten = True
        """Whether the log may be rewritten: not while `live` lacks what is still to be signed again."""
        self._store = store
        self._reserved = ceiling
        self._birth = birth
        self._floor = floor
        self._committed = committed
        self._live = live
        self._checks = checks
        self._keys: Callable[[], object] = lambda: None
        self._keys_saved: Callable[[int], None] = lambda _number: None
        self._new_keys = 0
        self._key_drafts: deque[tuple[object, _Item]] = deque()
        self._has_new_checks = False
        self._check_waiters: list[_Item] = []
        self._bans = bans
        self._has_new_bans = False
        self._ban_waiters: list[_Item] = []
        self._items: deque[_Item] = deque()
        self._floors: deque[_Item] = deque()
        self._is_long = False
        self._is_writing = False
        self._ceiling: int | None = None
        self._addresses: Sequence[Address] | None = None
        self._used = used
        self._has_new_used = False
        self._is_idle = True
        self._work = trio.lowlevel.ParkingLot()
        self._room = trio.lowlevel.ParkingLot()
        self._rest = trio.lowlevel.ParkingLot()

    async def append(self, entry: StoredRecord, commit: Callable[[], None], *before: StoredRecord) -> None:
        """Returns when `entry` is on disk and `commit` has been called.

        What is given as `before` is written ahead of it: a crash leaves none, these alone, or all.
        A caller that is cancelled in between does not hold the record up.

        Raises:
            StoreError: the disk did not take it; `commit` is not called.
            GossipError: what `commit` raised.
        """
        while len(self._items) >= MAX_WAITING:
            await self._room.park()
        item = _Item(entry, commit, before)
        self._items.append(item)
        self._work.unpark()
        await item.done.wait()
        if item.problem is not None:
            raise item.problem

    def save_counter(self, ceiling: int) -> None:
        """Reserve the versions up to `ceiling`, before any record that waits is written."""
        self._ceiling = max(ceiling, self._ceiling or 0)
        self._work.unpark()

    async def save_floor(self, floor: int, commit: Callable[[], None]) -> None:
        """Returns when `floor` is on disk, for every later start, and `commit` has been called.

        Raises:
            StoreError: the disk did not take it; the old floor stands and `commit` is not called.
            GossipError: what `commit` raised.
        """
        item = _Item(floor, commit)
        self._floors.append(item)
        self._work.unpark()
        await item.done.wait()
        if item.problem is not None:
            raise item.problem

    def shorten(self) -> None:
        """Rewrite the log with what is worth keeping now."""
        self._is_long = True
        self._work.unpark()

    async def written(self) -> None:
        """Returns when every record that was brought so far has been tried."""
        while self._items or self._is_writing:
            await self._rest.park()

    def save_remembered(self, addresses: Sequence[Address]) -> None:
        """Keep these addresses for the next start."""
        self._addresses = addresses
        self._work.unpark()

    def keep_used(self) -> None:
        """Save who has used which invitation, soon."""
        self._has_new_used = True
        self._work.unpark()

    def keep_checks(self) -> None:
        """Save what is to be kept of health checks, soon."""
        self._has_new_checks = True
        self._work.unpark()

    async def save_checks(self) -> None:
        """Returns when what is to be kept of health checks now is on disk.

        Raises:
            StoreError: the disk did not take it.
        """
        item = _Item(None, lambda: None)
        self._check_waiters.append(item)
        self._work.unpark()
        await item.done.wait()
        if item.problem is not None:
            raise item.problem

    def keep_keys(self, content: Callable[[], object], saved: Callable[[int], None]) -> None:
        """From now on `save_keys_of` writes that content, and tells which number it was asked for by."""
        self._keys, self._keys_saved = content, saved

    def save_keys_of(self, number: int) -> None:
        """Save the cluster's keys as they are when it is their turn, until it works."""
        self._new_keys = max(number, self._new_keys)
        self._work.unpark()

    async def save_keys(self, content: object) -> None:
        """Returns when these keys are on disk.

        Raises:
            StoreError: the disk did not take them.
        """
        item = _Item(None, lambda: None)
        self._key_drafts.append((content, item))
        self._work.unpark()
        await item.done.wait()
        if item.problem is not None:
            raise item.problem

    def keep_bans(self) -> None:
        """Save the bans, soon."""
        self._has_new_bans = True
        self._work.unpark()

    async def save_bans(self) -> None:
        """Returns when the bans of now are on disk.

        Raises:
            StoreError: the disk did not take them.
        """
        item = _Item(None, lambda: None)
        self._ban_waiters.append(item)
        self._work.unpark()
        await item.done.wait()
        if item.problem is not None:
            raise item.problem

    async def settle(self) -> None:
        """Returns when all that was asked for so far has been tried."""
        while self._has_work() or not self._is_idle:
            await self._rest.park()

    async def run(self) -> None:
        """Work until cancelled; a write that has begun is ended first."""
        while True:
            self._is_idle = False
            if self._ceiling is not None:
                await self._write_counter(self._ceiling)
            if self._items:
                await self._write_group()
                self._rest.unpark_all()
            if self._floors:
                await self._write_floor(self._floors.popleft())
            if self._is_long:
                self._is_long = False
                await self._try("a shorter log", self._store.compact, self._live())
            if self._has_new_checks or self._check_waiters:
                await self._write_checks()
            if self._key_drafts or self._new_keys:
                await self._write_keys()
            if self._has_new_bans or self._ban_waiters:
                await self._write_bans()
            if self._addresses is not None:
                addresses, self._addresses = self._addresses, None
                await self._try("the addresses of other members", self._store.save_remembered, addresses)
            if self._has_new_used:
                self._has_new_used = False
                await self._try("who has used which invitation", self._store.save_used, self._used())
            if self._has_work():
                continue
            self._is_idle = True
            self._rest.unpark_all()
            await self._work.park()

    def _has_work(self) -> bool:
        return bool(
            self._items
            or self._floors
            or self._is_long
            or self._has_new_checks
            or self._check_waiters
            or self._key_drafts
            or self._new_keys
            or self._has_new_bans
            or self._ban_waiters
            or self._ceiling is not None
            or self._addresses is not None
            or self._has_new_used
        )

    async def _write_counter(self, ceiling: int) -> None:
        try:
            await trio.to_thread.run_sync(self._store.save_counter, ceiling, self._birth, self._floor)
        except StoreError as problem:
            note(logging.ERROR, "store_failed", detail=str(problem))
            # Others need not wait for the counter: they have versions that are reserved already.
            if not (self._items or self._floors):
                with trio.move_on_after(RETRY_SECONDS):
                    await self._work.park()
        else:
            self._reserved = max(ceiling, self._reserved)
            if self._ceiling == ceiling:
                self._ceiling = None

    async def _write_floor(self, item: _Item) -> None:
        assert isinstance(item.entry, int)  # noqa: S101 - made by `save_floor`
        floor = item.entry
        # The next life begins above the ceiling, and no floor may be above a node's incarnation.
        ceiling = max(self._reserved, floor)
        try:
            await trio.to_thread.run_sync(self._store.save_counter, ceiling, self._birth, floor)
        except StoreError as problem:
            item.problem = problem
            note(logging.ERROR, "store_failed", detail=str(problem))
        else:
            self._reserved, self._floor = ceiling, floor
            _commit(item)
        item.done.set()
        if item.problem is None:
            self._committed()

    async def _write_group(self) -> None:
        group = [self._items.popleft() for _ in range(min(MAX_GROUP, len(self._items)))]
        self._room.unpark(count=len(group))
        problem: GossipError | None = None
        entries = [
            entry for item in group for entry in (*item.before, item.entry) if isinstance(entry, StoredRecord)
        ]
        self._is_writing = True
        try:
            await trio.to_thread.run_sync(self._store.append, entries)
        except (StoreError, LimitError) as failure:
            problem = failure
            note(logging.ERROR, "store_failed", detail=str(problem))
        finally:
            self._is_writing = False
        for item in group:
            item.problem = problem
            if problem is None:
                _commit(item)
            item.done.set()
        if problem is None:
            self._committed()
            if self._store.wants_compaction and self.may_shorten:
                await self._try("a shorter log", self._store.compact, self._live())

    async def _write_checks(self) -> None:
        self._has_new_checks = False
        waiters, self._check_waiters = self._check_waiters, []
        await self._write_for(waiters, "checks", self._store.save_checks, self._checks())

    async def _write_bans(self) -> None:
        self._has_new_bans = False
        waiters, self._ban_waiters = self._ban_waiters, []
        await self._write_for(waiters, "bans", self._store.save_bans, self._bans())

    async def _write_for(
        self, waiters: list[_Item], what: str, write: Callable[[T], None], content: T
    ) -> None:
        """Write what is replaced as a whole, and tell those who wait for it."""
        try:
            await trio.to_thread.run_sync(write, content)
        except StoreError as problem:
            note(logging.WARNING, "store_failed", detail=f"{what} could not be saved: {problem}")
            for item in waiters:
                item.problem = problem
        for item in waiters:
            item.done.set()

    async def _write_keys(self) -> None:
        number, draft = 0, None
        if self._key_drafts:
            content, draft = self._key_drafts.popleft()
        else:
            number, self._new_keys = self._new_keys, 0
            content = self._keys()
        try:
            await trio.to_thread.run_sync(self._store.save_keys, content)
        except StoreError as problem:
            note(logging.ERROR, "store_failed", detail=f"keys could not be saved: {problem}")
            if draft is not None:
                draft.problem = problem
            else:
                # Others are not told of what is not on disk: it is tried again.
                self._new_keys = max(number, self._new_keys)
                with trio.move_on_after(RETRY_SECONDS):
                    await self._work.park()
        else:
            if draft is None:
                self._keys_saved(number)
        if draft is not None:
            draft.done.set()

    async def _try(self, what: str, write: Callable[[Sequence[T]], None], content: Sequence[T]) -> None:
        """Write what is useful but not promised to anybody."""
        try:
            await trio.to_thread.run_sync(write, content)
        except GossipError as problem:
            detail = f"{what} could not be saved: {problem}"
            note(logging.WARNING, "store_failed", detail=detail)


def _commit(item: _Item) -> None:
    try:
        item.commit()
    except GossipError as refusal:
        item.problem = refusal
