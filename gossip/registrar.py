"""This node's own services: who asked for each, and the way from a request to a visible record.

A registration is signed, put on disk and only then published; so what was acknowledged is both on
disk and in the local view, and what the disk refused was never seen by anybody.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from gossip.api.methods import Registration
from gossip.core.records import Deletion, Fact, ServiceRecord
from gossip.errors import GossipError, NotFoundError, RefusedError, RemoteProtocolError
from gossip.log import note
from gossip.store import StoredRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from gossip.config import ServiceDefinition
    from gossip.core.node import Node
    from gossip.journal import Journal
    from gossip.wire.identity import Identity

__all__ = ["API", "FILE", "SESSION", "Registrar", "newest", "read_saved"]

API, FILE, SESSION = "api", "file", "session"
"""Who asked for a service: a program, a file, or a program that wants it gone with its connection."""


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
    """

    def __init__(
        self, node: Node, journal: Journal, sources: dict[str, str], now: Callable[[], float]
    ) -> None:
        self._node = node
        self._journal = journal
        self._sources = sources
        self._now = now
        self._under_way: Counter[str] = Counter()

    def saved(self) -> list[StoredRecord]:
        """All that is worth keeping on disk."""
        records = []
        for fact in self._node.saved():
            key = fact.body.key if isinstance(fact.body, ServiceRecord | Deletion) else ""
            records.append(StoredRecord(self._sources.get(key, API), fact.raw))
        return records

    async def register(self, wanted: Registration, source: str | None = None) -> tuple[str, int]:
        """Returns (id, version) once the record is on disk and visible here.

        What is registered already in the same words is not signed and told to everybody again.

        Raises:
            RefusedError: what is asked for is not in this release, or this node is leaving.
            LimitError: a field or the whole is too large; the message names the limit.
            StoreError: the disk did not take it; nothing has changed.
        """
        if wanted.checks:
            raise RefusedError("health checks are not in this release: register without them")
        if source is None:
            source = SESSION if wanted.while_connected else API
        key = wanted.id or wanted.name
        held = self._held(key)
        if held and self._sources.get(key) == source and not self._under_way[key] and _says(held, wanted):
            return key, held.version
        fact = self._node.prepare_service(
            key, wanted.name, wanted.address, wanted.port, wanted.tags, wanted.meta, wanted.weight
        )
        await self._keep(key, fact, source)
        return key, _version(fact)

    async def deregister(self, key: str) -> None:
        """Returns once the deletion is on disk and visible here.

        Raises:
            NotFoundError: this node has no such service.
            StoreError: the disk did not take it; nothing has changed.
        """
        await self._keep(key, self._node.prepare_deletion(key), self._sources.get(key, API))

    async def release(self, key: str) -> None:
        """The connection that held the service is gone. One that is somebody else's by now stays."""
        if self._sources.get(key) == SESSION:
            await self.deregister(key)

    async def reconcile(self, definitions: Iterable[ServiceDefinition]) -> None:
        """Make the services from files exactly these. Those that programs registered are left alone."""
        wanted = {each.id: each for each in definitions}
        for key in [key for key, source in self._sources.items() if source == FILE and key not in wanted]:
            await self._attempt(key, self.deregister(key))
        for key, each in wanted.items():
            if self._sources.get(key, FILE) != FILE:
                detail = "a program has registered this id: deregister it, or give the file's another"
                note(logging.WARNING, "service_refused", id=key, detail=detail)
                continue
            registration = Registration(
                each.name, each.port, each.id, each.address, tuple(each.tags), dict(each.meta), each.weight
            )
            await self._attempt(key, self.register(registration, FILE))

    async def end_sessions(self) -> None:
        """Deregister what belonged to connections of a former life."""
        for key in [key for key, source in self._sources.items() if source == SESSION]:
            await self._attempt(key, self.deregister(key))

    async def sign_anew(self, records: Iterable[tuple[str, ServiceRecord]]) -> None:
        """Register again, as (source, record), what is below the floor: a damaged disk made it rise."""
        for source, old in records:
            wanted = Registration(old.name, old.port, old.key, old.host, old.tags, old.meta, old.weight)
            await self._attempt(old.key, self.register(wanted, source))

    async def _attempt(self, key: str, change: Awaitable[object]) -> None:
        """One service of many: its fault is logged, and the others go on."""
        try:
            await change
        except NotFoundError:
            self._sources.pop(key, None)
        except GossipError as problem:
            note(logging.ERROR, "service_refused", id=key, detail=str(problem))

    async def _keep(self, key: str, fact: Fact, source: str) -> None:
        def publish() -> None:
            if isinstance(fact.body, Deletion):
                self._sources.pop(key, None)
            else:
                self._sources[key] = source
            self._node.publish(fact, self._now())

        self._under_way[key] += 1
        try:
            await self._journal.append(StoredRecord(source, fact.raw), publish)
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]

    def _held(self, key: str) -> ServiceRecord | None:
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
