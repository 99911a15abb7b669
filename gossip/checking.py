"""Health checks as a part of the agent: what they say goes to the node, what should last to the disk."""

from __future__ import annotations

import dataclasses
import logging
import math
import time
from typing import TYPE_CHECKING, Final

import trio

from gossip.api.views import rfc3339
from gossip.check_ids import CheckIds
from gossip.checks.finding import Finding
from gossip.checks.monitor import NODE, Monitor, Word
from gossip.checks.runner import Runner
from gossip.config import check_name
from gossip.config.checks import MAX_CHECKS
from gossip.core.catalog import status_key
from gossip.core.events import Event, EventKind
from gossip.core.records import MAX_NAME_BYTES, ServiceRecord, StatusRecord
from gossip.core.types import Verdict
from gossip.errors import ConfigError, GossipError, LimitError, NotFoundError, RefusedError
from gossip.host import boot_id, seconds_since_boot
from gossip.log import note
from gossip.saved_checks import read_added, read_definitions, read_state, state_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from random import Random

    from gossip.config import CheckDefinition
    from gossip.core.node import Node
    from gossip.store import Saved

__all__ = ["Checking"]

SAVE_SECONDS: Final = 5.0
"""TTL deadlines that were put off are saved at most this often."""
SAVE_CHANGES_SECONDS: Final = 0.2
"""The same for statuses that changed."""

MAX_REASON_BYTES: Final = 128
"""Of a maintenance: what a status record has room for."""

_ABOUT_NODES = frozenset(
    {
        EventKind.MEMBER_JOINED,
        EventKind.MEMBER_UPDATED,
        EventKind.MEMBER_SUSPECTED,
        EventKind.MEMBER_FAILED,
        EventKind.MEMBER_LEFT,
        EventKind.SERVICE_CHANGED,
    }
)


class Checking:
    """The checks of an agent.

    Args:
        now: the clock that the node lives by.
        flush: called after something was published.
        expire: deregisters a service that has been critical for too long.
        keep: has `state` saved, soon.
        save: returns when `state` is saved.
    """

    def __init__(
        self,
        node: Node,
        now: Callable[[], float],
        rng: Random,
        flush: Callable[[], None],
        expire: Callable[[str], Awaitable[None]],
        keep: Callable[[], None],
        save: Callable[[], Awaitable[None]],
    ) -> None:
        self._runner = Runner()
        self.monitor = Monitor(self._runner, now, rng, self._tell, expire, self._status_of, self._touched)
        self._node = node
        self._now = now
        self._flush = flush
        self._keep = keep
        self._save = save
        self._boot = boot_id()
        self._configured: tuple[CheckDefinition, ...] = ()
        self._added: dict[str, CheckDefinition] = {}
        """Checks of the node itself that a program has added, by id."""
        self._save_at = math.inf
        self._news = trio.lowlevel.ParkingLot()

    def set_command_checks(self, policy: str) -> None:
        """Whether commands run as checks: not if `policy` is `off`, whoever registered them before."""
        self._runner.runs_commands = policy != "off"

    def restore(
        self, saved: Saved, records: Iterable[ServiceRecord], own: tuple[CheckDefinition, ...]
    ) -> None:
        """Take up the checks of services that the disk kept, and the node's own."""
        definitions = read_definitions(saved.records)
        states, maintenance = read_state(saved.checks, self._boot, seconds_since_boot())
        kept = {record.key: record for record in records}
        for key, reason in maintenance.items():
            if key == NODE or key in kept:
                self.monitor.maintenance[key] = reason
        for key, record in kept.items():
            self.monitor.put(key, record.name, definitions.get((key, record.version), ()), states)
        self._added = {each.id: each for each in read_added(saved.checks)}
        self._configured = own
        self.monitor.put(NODE, NODE, self._own(), states)

    def _own(self) -> list[CheckDefinition]:
        """The node's checks: those of its configuration, and those that were added and do not collide."""
        checks = {each.id: each for each in self._configured}
        names = {each.name for each in self._configured}
        for each in self._added.values():
            if each.id not in checks and each.name not in names and len(checks) < MAX_CHECKS:
                checks[each.id] = each
                names.add(each.name)
        return CheckIds(self.monitor).free(checks.values())

    async def add(self, definition: CheckDefinition) -> None:
        """Have the node itself checked so, until that is removed; in place of the one of that id.

        Returns once it is on disk.

        Raises:
            RefusedError: a service's check, or one of the configuration, has the id.
            LimitError: there are too many.
            StoreError: the disk did not take it; all is as before.
        """
        CheckIds(self.monitor).refuse_taken(NODE, [definition])
        if any(each.id == definition.id for each in self._configured):
            raise RefusedError(
                f"the id {definition.id!r} is that of a check in the configuration: give another"
            )
        before = dict(self._added)
        others = [each for id, each in before.items() if id != definition.id]
        if len(self._configured) + len(others) >= MAX_CHECKS:
            raise LimitError(f"the node has {MAX_CHECKS} checks of its own, and that is the limit")
        names = {each.name for each in (*self._configured, *others)}
        if definition.name in names:
            definition = dataclasses.replace(definition, name=definition.id)
        if definition.name in names or len(definition.name.encode()) > MAX_NAME_BYTES:
            raise RefusedError(
                f"the name {definition.name!r} is that of another check of the node: give another"
            )
        self._added[definition.id] = definition
        await self._keep_added(before)

    async def remove(self, id: str) -> bool:
        """Whether there was such a check that was added. Returns once it is gone from the disk.

        Raises:
            StoreError: the disk did not take it; all is as before.
        """
        before = dict(self._added)
        if self._added.pop(id, None) is None:
            return False
        await self._keep_added(before)
        return True

    async def _keep_added(self, before: dict[str, CheckDefinition]) -> None:
        self.monitor.put(NODE, NODE, self._own())
        try:
            await self._save()
        except GossipError:
            self._added = before
            self.monitor.put(NODE, NODE, self._own())
            raise

    def set_own(self, own: tuple[CheckDefinition, ...]) -> None:
        """Make these the node's own checks; one whose id a service's check has is told and left out."""
        self._configured = own
        free = CheckIds(self.monitor).free(own)
        for check in own:
            if check not in free:
                detail = "a service has a check of that id: give it another"
                note(logging.ERROR, "check_refused", id=check.id, detail=detail)
        self.monitor.put(NODE, NODE, self._own())

    async def run(self) -> None:
        """Run checks until cancelled, and have kept what they find."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.monitor.run)
            while True:
                with trio.CancelScope(deadline=self._save_at):
                    await self._news.park()
                    # There is something to save, or sooner than thought.
                    continue
                self._save_at = math.inf
                self._keep()

    def state(self) -> object:
        """What of all this is to be on disk."""
        monitor, added = self.monitor, self._added.values()
        return state_of(monitor.saved(), monitor.maintenance, self._boot, seconds_since_boot(), added)

    def happened(self, event: Event) -> None:
        """The node tells of something."""
        if event.kind in _ABOUT_NODES:
            self.monitor.nodes_changed()

    def update(self, id: str, status: str, text: str) -> str:
        """See `Monitor.report`; `status` is a verdict's word."""
        return self.monitor.report(id, Verdict[status.upper()], text)

    async def set_maintenance(self, key: str, reason: str | None) -> None:
        """Begin the maintenance of a service, or (empty key) of the node; or end it (None).

        Returns once it is on disk. Others are told at once, and told otherwise if the disk refuses.

        Raises:
            NotFoundError: this node has no such service.
            ConfigError: the reason is too long, or does not print.
            StoreError: the disk did not take it; all is as before.
        """
        if reason:
            try:
                check_name(reason, MAX_REASON_BYTES)
            except ConfigError as error:
                raise ConfigError(f"reason: {error}") from error
        if key and not self._has(key):
            raise NotFoundError(
                f"no service {key!r} is registered with this agent;"
                " see `gossip lookup NAME --any --json` for the node of each"
            )
        before = self.monitor.maintenance.get(key)
        self.monitor.set_maintenance(key, reason)
        try:
            await self._save()
        except GossipError:
            self.monitor.set_maintenance(key, before)
            raise

    def listed(self) -> object:
        """The answer of `checks.list`: this node's checks, with what only it knows of them.

        `maintenance` has the reason by service id; under the empty id, that of the whole node.
        """
        wall = time.time()
        rows = self.monitor.rows()
        for row in rows:
            row["since"] = rfc3339(wall - row.pop("since_s"))
        maintenance = dict(sorted(self.monitor.maintenance.items()))
        return {"checks": rows, "index": self._node.catalog.index, "maintenance": maintenance}

    def _has(self, key: str) -> bool:
        fact = self._node.members.me.services.get((2, key))
        return fact is not None and isinstance(fact.body, ServiceRecord)

    def _tell(self, key: str, word: Word) -> None:
        statuses = tuple((name, int(verdict)) for name, verdict in word.statuses)
        fact = self._node.prepare_status(key, statuses, word.maintenance, word.note, word.ids)
        self._node.publish(fact, self._now())
        self._flush()

    def _status_of(self, name: str) -> Finding:
        """What a check that follows a node of that name finds."""
        try:
            member = self._node.find(name)
        except NotFoundError:
            return Finding(Verdict.CRITICAL, f"no member is called {name!r}")
        if not member.is_live:
            return Finding(Verdict.CRITICAL, f"node {name!r} is {member.status.label}")
        fact = member.services.get(status_key(NODE))
        if fact is None or not isinstance(fact.body, StatusRecord):
            return Finding(Verdict.PASSING, f"node {name!r} is {member.status.label}")
        if fact.body.maintenance:
            return Finding(Verdict.CRITICAL, f"node {name!r} is in maintenance")
        return Finding(fact.body.verdict, f"node {name!r} is {fact.body.verdict.label}")

    def _touched(self, has_changed: bool) -> None:
        at = self._now() + (SAVE_CHANGES_SECONDS if has_changed else SAVE_SECONDS)
        if at < self._save_at:
            self._save_at = at
            self._news.unpark()
