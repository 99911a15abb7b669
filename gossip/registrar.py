"""This node's own services: who asked for each, and the way from a request to a visible record.

A registration is signed, put on disk with its checks and only then published, together with what the
checks say at first; so what was acknowledged is both on disk and in the local view, and what the disk
refused was never seen by anybody.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import trio

from gossip.api.methods import Registration
from gossip.check_ids import CheckIds
from gossip.checks.monitor import NODE
from gossip.config import read_checks, refuse_commands
from gossip.core.records import Deletion, Fact, ServiceRecord
from gossip.core.types import Phase
from gossip.errors import GossipError, NotFoundError, RefusedError, RemoteProtocolError
from gossip.log import note
from gossip.saved_checks import CHECKS, entry_of
from gossip.store import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gossip.checks.monitor import Monitor
    from gossip.config import CheckDefinition, ServiceDefinition
    from gossip.core.node import Node
    from gossip.journal import Journal
    from gossip.wire.identity import Identity

__all__ = ["API", "FILE", "MAX_DELETIONS", "SESSION", "Reconciled", "Registrar", "newest", "read_saved"]

API, FILE, SESSION = "api", "file", "session"
"""Who asked for a service: a program, a file, or a program that wants it gone with its connection."""

MAX_DELETIONS = 1_024
"""Deletions that a node remembers before it raises its floor to forget them. The others take no new
service of a node of which they hold 12,288 records, statuses and deletions; 4,096 services may live, each
with its status."""
SPREAD_SECONDS = 2.0
"""How long what was signed again may travel ahead of the floor: who hears of the floor first misses
those services until he is told of them."""
SIGN_AT_ONCE = 256
"""Records that are signed in one go, a few 10 ms; others have their turn in between."""
SPREAD_LOOK_SECONDS = 0.1
"""How often is looked, only then, whether it has been told."""


class Reconciled(NamedTuple):
    """What became of the services from files."""

    services: int
    added: int
    changed: int
    removed: int
    problems: tuple[str, ...] = ()
    """Of a reload: what could not be taken over besides, and why."""


def newest(facts: Iterable[tuple[str, Fact]]) -> dict[str, tuple[str, Fact]]:
    """(source, fact) by service id: of each id, the record with the highest version."""
    found: dict[str, tuple[str, Fact]] = {}
    for source, fact in facts:
        body = fact.body
        if isinstance(body, ServiceRecord | Deletion):
            held = found.get(body.key)
            if held is None or _version(held[1]) < body.version:
                found[body.key] = (source, fact)
    return found


def _version(fact: Fact) -> int:
    assert isinstance(fact.body, ServiceRecord | Deletion)  # noqa: S101 - chosen by `newest`
    return fact.body.version


def read_saved(identity: Identity, records: Iterable[StoredRecord]) -> list[tuple[str, Fact]]:
    """The services that the disk kept; what cannot be read is told and left behind."""
    found = []
    for record in records:
        if record.source == CHECKS:
            continue
        try:
            fact = identity.parse(record.raw)
        except RemoteProtocolError as problem:
            note(logging.WARNING, "data_dir", detail=f"a saved service cannot be read: {problem}")
            continue
        if identity.verify(fact, identity.public_key):
            found.append((record.source, fact))
        else:
            # So it is after a change of the cluster's name, which every signature covers.
            note(
                logging.WARNING,
                "data_dir",
                detail="a saved service was not signed by this node in this cluster",
            )
    return found


class Registrar:
    """Registers and deregisters.

    Args:
        sources: who asked for the services that the disk kept, by service id.
        now: the clock that the node lives by.
        monitor: runs the checks of what is registered.
        command_checks: whether commands are run as checks: `off`, or `local` and `http`.
        max_deletions: how many deletions this node remembers before it forgets them.
    """

    def __init__(
        self,
        node: Node,
        journal: Journal,
        sources: dict[str, str],
        now: Callable[[], float],
        monitor: Monitor,
        command_checks: str = "local",
        max_deletions: int = MAX_DELETIONS,
    ) -> None:
        self.command_checks = command_checks
        self.ids = CheckIds(monitor)
        self._monitor = monitor
        self._node = node
        self._journal = journal
        self._sources = sources
        self._now = now
        self._max_deletions = max_deletions
        self._under_way: Counter[str] = Counter()
        self._is_signing_anew = False
        self._may_sign = trio.lowlevel.ParkingLot()
        """Where changes wait while everything that lives is signed again."""
        self._landed = trio.lowlevel.ParkingLot()
        self._has_deleted = False
        self._deleted = trio.lowlevel.ParkingLot()

    async def run(self) -> None:
        """Forget deletions whenever they have become many. Asleep until there is one more; never returns."""
        while True:
            if self._node.deletions > self._max_deletions:
                try:
                    await self._forget_deletions()
                except GossipError as problem:
                    # Nothing is lost: the next deletion is the next attempt.
                    note(logging.WARNING, "deletions_kept", detail=str(problem))
            while not self._has_deleted:
                await self._deleted.park()
            self._has_deleted = False

    def saved(self) -> list[StoredRecord]:
        """All that is worth keeping on disk."""
        records = []
        for fact in self._node.saved():
            body = fact.body
            if not isinstance(body, ServiceRecord | Deletion):
                continue
            if isinstance(body, ServiceRecord) and (checks := self._monitor.definitions(body.key)):
                records.append(entry_of(body.key, body.version, checks))
            records.append(StoredRecord(self._sources.get(body.key, API), fact.raw))
        return records

    async def register(self, wanted: Registration, source: str | None = None) -> tuple[str, int]:
        """Returns (id, version) once the record is on disk and visible here.

        What is registered already in the same words is not signed and told to everybody again.

        Raises:
            RefusedError: what is asked for is switched off, or this node is leaving.
            ConfigError: a check is defined wrongly.
            LimitError: a field or the whole is too large; the message names the limit.
            StoreError: the disk did not take it; nothing has changed.
        """
        if source is None:
            source = SESSION if wanted.is_held else API
        key = wanted.id or wanted.name
        checks = self._read_checks(key, wanted.checks)
        held = self.held(key)
        if (
            held
            and self._sources.get(key) == source
            and not self._under_way[key]
            and _says(held, wanted)
            and held.checked == bool(checks)
            and self._monitor.definitions(key) == checks
        ):
            return key, held.version
        await self._turn()
        self.ids.refuse_taken(key, checks)
        fact = self._node.prepare_service(
            key,
            wanted.name,
            wanted.address,
            wanted.port,
            wanted.tags,
            wanted.meta,
            wanted.weight,
            bool(checks),
        )
        await self._keep(key, fact, source, checks)
        return key, _version(fact)

    def _read_checks(self, key: str, given: list[object]) -> tuple[CheckDefinition, ...]:
        checks = read_checks(given, key)
        if self.command_checks == "off" and (refusal := refuse_commands(checks)):
            raise RefusedError(refusal)
        return checks

    async def deregister(self, key: str) -> None:
        """Returns once the deletion is on disk and visible here.

        Raises:
            NotFoundError: this node has no such service.
            StoreError: the disk did not take it; nothing has changed.
        """
        await self._turn()
        in_maintenance = key in self._monitor.maintenance
        await self._keep(key, self._node.prepare_deletion(key), self._sources.get(key, API))
        if in_maintenance:
            # Before anybody can register the id anew, which a crash must not put into maintenance.
            await self._journal.save_checks()

    async def expire(self, key: str) -> None:
        """Deregister what has been critical for too long, unless it is being registered just now."""
        await self._turn()
        if key not in self._under_way:
            await self.deregister(key)

    async def release(self, key: str) -> None:
        """The connection that held the service is gone. One that is somebody else's by now stays."""
        if self._sources.get(key) == SESSION:
            await self.deregister(key)

    async def reconcile(self, definitions: Iterable[ServiceDefinition]) -> Reconciled:
        """Make the services from files exactly these. Those that programs registered are left alone."""
        wanted = {each.id: each for each in definitions}
        files = {key: each.checks for key, each in wanted.items() if self._sources.get(key, FILE) == FILE}
        with self.ids.moving(files):
            return await self._reconcile(wanted)

    async def _reconcile(self, wanted: dict[str, ServiceDefinition]) -> Reconciled:
        added = changed = removed = 0
        for key in [key for key, source in self._sources.items() if source == FILE and key not in wanted]:
            removed += await self._attempt(key, self.deregister(key))
        for key, each in wanted.items():
            if self._sources.get(key, FILE) != FILE:
                detail = "a program has registered this id: deregister it, or give the file's another"
                note(logging.WARNING, "service_refused", id=key, detail=detail)
                continue
            checks: list[object] = [check.mapping() for check in each.checks]
            registration = Registration(
                each.name, each.port, key, each.address, each.tags, dict(each.meta), each.weight, checks
            )
            held = self.held(key)
            await self._attempt(key, self.register(registration, FILE))
            now = self.held(key)
            added += held is None and now is not None
            changed += held is not None and now is not None and now.version > held.version
        return Reconciled(len(wanted), added, changed, removed)

    async def end_sessions(self) -> None:
        """Deregister what belonged to connections of a former life."""
        for key in [key for key, source in self._sources.items() if source == SESSION]:
            await self._attempt(key, self.deregister(key))

    async def sign_anew(self, records: Iterable[tuple[str, ServiceRecord]]) -> None:
        """Register again, as (source, record), what is below the floor: a damaged disk made it rise."""
        for source, old in records:
            checks = [check.mapping() for check in self._monitor.definitions(old.key)]
            if old.checked and not checks:
                note(
                    logging.WARNING, "checks_lost", id=old.key, detail="its checks are lost: register it anew"
                )
            wanted = Registration(
                old.name, old.port, old.key, old.host, old.tags, old.meta, old.weight, checks
            )
            await self._attempt(old.key, self.register(wanted, source))

    async def _turn(self) -> None:
        """Wait until what lives is not being signed again: it would otherwise undo a change on its way."""
        while self._is_signing_anew:
            await self._may_sign.park()

    async def _forget_deletions(self) -> None:
        """Sign what lives again, above a new floor, and void everything below by it.

        At each step a crash leaves either the old floor with its deletions, or the new floor with
        all that lives above it. Changes wait only while what lives is signed; those that come later
        are above the floor by themselves.

        Raises:
            GossipError: it cannot be done now; the deletions stay.
        """
        floor = await self._sign_all_above()
        with trio.move_on_after(SPREAD_SECONDS):
            while self._node.queue:  # noqa: ASYNC110 - core says nothing when its queue has run empty
                await trio.sleep(SPREAD_LOOK_SECONDS)
        if self._node.me.record.phase != Phase.RUNNING:
            raise RefusedError("this agent is leaving: it will not come to need them")
        await self._journal.save_floor(floor, lambda: self._node.raise_floor(floor, self._now()))
        self._journal.shorten()
        note(logging.INFO, "deletions_forgotten", floor=floor)

    async def _sign_all_above(self) -> int:
        """A new floor, above which everything lives from now on, on disk as in the view."""
        self._is_signing_anew = True
        try:
            # Also what its caller has given up after it was signed: the journal still brings it.
            while self._under_way:
                await self._landed.park()
            await self._journal.written()
            floor = self._node.next_version()
            living = [fact.body for fact in self._node.saved() if isinstance(fact.body, ServiceRecord)]
            problems: list[GossipError] = []

            async def sign(old: ServiceRecord) -> None:
                try:
                    fact = self._node.prepare_service(
                        old.key, old.name, old.host, old.port, old.tags, old.meta, old.weight, old.checked
                    )
                    checks = self._monitor.definitions(old.key)
                    await self._keep(old.key, fact, self._sources.get(old.key, API), checks, floor)
                except GossipError as problem:
                    problems.append(problem)

            for first in range(0, len(living), SIGN_AT_ONCE):
                async with trio.open_nursery() as nursery:
                    for old in living[first : first + SIGN_AT_ONCE]:
                        nursery.start_soon(sign, old)
                if problems:
                    raise problems[0]
            return floor
        finally:
            self._is_signing_anew = False
            self._may_sign.unpark_all()

    async def _attempt(self, key: str, change: Awaitable[object]) -> bool:
        """One service of many: its fault is logged, and the others go on. Whether it was done."""
        try:
            await change
        except NotFoundError:
            self._sources.pop(key, None)
        except GossipError as problem:
            note(logging.ERROR, "service_refused", id=key, detail=str(problem))
        else:
            return True
        return False

    async def _keep(
        self, key: str, fact: Fact, source: str, checks: tuple[CheckDefinition, ...] = (), floor: int = 0
    ) -> None:
        def publish() -> None:
            newer = self._node.members.me.services.get((2, key))
            if newer is not None and _version(newer) > _version(fact):
                # Who waits for room in front of the disk may be overtaken.
                return
            if isinstance(fact.body, ServiceRecord):
                self._sources[key] = source
                self._node.publish(fact, self._now())
                # What its checks say goes out in the same flush, or others would see it critical first.
                self._monitor.put(key, fact.body.name, checks)
                # Or others would forget what they say with the floor, and see it critical.
                self._node.renew_statuses((key, NODE), floor, self._now())
                return
            self._sources.pop(key, None)
            self._node.publish(fact, self._now())
            self._monitor.drop(key)
            self._has_deleted = True
            self._deleted.unpark()

        before = [entry_of(key, _version(fact), checks)] if checks else []
        self._under_way[key] += 1
        try:
            with self.ids.claimed(key, checks):
                await self._journal.append(StoredRecord(source, fact.raw), publish, *before)
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]
            if not self._under_way:
                self._landed.unpark_all()

    def held(self, key: str) -> ServiceRecord | None:
        """The record of a service of this node."""
        fact = self._node.members.me.services.get((2, key))
        return fact.body if fact is not None and isinstance(fact.body, ServiceRecord) else None


def _says(held: ServiceRecord, wanted: Registration) -> bool:
    return (held.name, held.host, held.port, held.tags, held.meta, held.weight) == (
        wanted.name,
        wanted.address,
        wanted.port,
        wanted.tags,
        wanted.meta,
        wanted.weight,
    )
