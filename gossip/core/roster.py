"""Visible changes: the member table and the catalog change together, and watchers are told."""

from __future__ import annotations

from collections.abc import Iterable

from gossip.core.catalog import NODE, ZONE, Catalog, state_of, status_key
from gossip.core.context import Context
from gossip.core.events import Event, EventKind
from gossip.core.members import Member, MemberTable
from gossip.core.records import (
    Deletion,
    Fact,
    Key,
    MemberRecord,
    ServiceRecord,
    StatusRecord,
    key_of,
)
from gossip.core.types import Address, Phase, Status

__all__ = ["Roster"]

CONFLICTS = frozenset({"name_conflict", "address_conflict"})
"""Flags of the living: who is gone has no conflict."""


class Roster:
    """The one writer of members, services and what is said about them to watchers."""

    def __init__(self, ctx: Context, table: MemberTable, catalog: Catalog) -> None:
        self._ctx = ctx
        self._table = table
        self._catalog = catalog

    def add(self, member: Member) -> None:
        self._table.add(member)
        if not self._table.is_alone(member):
            self._check_conflicts(member.name, member.address)
        if member.is_live:
            self._tell(EventKind.MEMBER_JOINED, member)

    def forget(self, member: Member) -> None:
        """Drop a tombstone, with everything its owner said."""
        for key in list(member.services):
            self._drop_service(member, key)
        self._table.remove(member)

    def set_status(
        self, member: Member, status: Status, kind: EventKind, now: float, detail: str = ""
    ) -> None:
        """Hold `member` as `status` from now on, and say so as an event of `kind`."""
        was_live = member.is_live
        self._table.set_status(member, status, now)
        if member.conflicts or not self._table.is_alone(member):
            self._check_conflicts(member.name, member.address)
        self._tell(kind, member, detail)
        if was_live or member.is_live:
            self._touch_services(member)

    def set_record(self, member: Member, fact: Fact) -> bool:
        """Take the member's newer record; True if it says something new besides its incarnation."""
        old = member.record
        self._table.set_record(member, fact)
        new = member.record
        if new.floor > old.floor:
            void = [key for key, held in member.services.items() if held.body.version < new.floor]  # type: ignore[union-attr]
            for key in void:
                self._drop_service(member, key, tell=True)
        if (old.name, old.address) != (new.name, new.address):
            self._check_conflicts(old.name, old.address)
            self._check_conflicts(new.name, new.address)
        visible = _visible_part(old) != _visible_part(new)
        if member.is_live and _shown_part(old) != _shown_part(new):
            self._touch_services(member)
        return visible

    def tell_updated(self, member: Member) -> None:
        self._tell(EventKind.MEMBER_UPDATED, member)

    def put(self, member: Member, fact: Fact) -> None:
        """Take a newer service record, status or deletion (or an opaque record) of `member`."""
        body = fact.body
        assert not isinstance(body, MemberRecord)  # noqa: S101 - the caller's table of kinds
        if isinstance(body, StatusRecord):
            self._put_status(member, body.key, fact)
            return
        key = key_of(body)  # type: ignore[arg-type]
        old = member.services.get(key)
        was = old.body if old is not None and isinstance(old.body, ServiceRecord) else None
        self._table.set_service(member, key, fact)
        # What is hidden with its owner changes unseen, and is told when the owner is back.
        if was is not None and (not isinstance(body, ServiceRecord) or body.name != was.name):
            self._catalog.remove(member, key, was)
            if member.is_live:
                self._tell_service(EventKind.SERVICE_DEREGISTERED, member, was)
            was = None
        if not isinstance(body, ServiceRecord):
            return
        self._catalog.put(member, key, body)
        if not member.is_live:
            return
        if was is None:
            self._tell_service(EventKind.SERVICE_REGISTERED, member, body)
        elif _content(was) != _content(body):
            self._tell_service(EventKind.SERVICE_CHANGED, member, body)

    def _put_status(self, member: Member, key: str, fact: Fact | None) -> None:
        """Take, or (with None) forget, the status of one service of `member`, or of all that it offers."""
        about = [
            held.body
            for held in (member.services.values() if key == NODE else [member.services.get((2, key))])
            if held is not None and isinstance(held.body, ServiceRecord)
        ]
        before = [self._catalog.shown(member, record) for record in about]
        said = _said(member.services.get(status_key(key)))
        self._table.set_service(member, status_key(key), fact)
        if member.is_live:
            if key == NODE and not about and said != _said(fact):
                # Whoever follows the node itself has no service's change to learn it from.
                self._tell(EventKind.MEMBER_UPDATED, member)
            for record, was in zip(about, before, strict=True):
                if self._catalog.shown(member, record) != was:
                    self._tell_service(EventKind.SERVICE_CHANGED, member, record, state_of(member, record))

    def flag(self, member: Member, word: str, *, on: bool) -> None:
        """Raise or lower one of the conflict flags, `banned`, `degraded` or `unstable`."""
        if word == "degraded":
            if member.degraded is on:
                return
            member.case.degraded = on
        elif word == "unstable":
            if member.judged.unstable is on:
                return
            member.case.unstable = on
        else:
            if (word in member.conflicts) is on:
                return
            others = tuple(other for other in member.conflicts if other != word)
            member.case.conflicts = (*others, word) if on else others
        self._table.revision += 1
        self._tell(EventKind.MEMBER_FLAGGED, member, ("+" if on else "-") + word)

    def _drop_service(self, member: Member, key: Key, *, tell: bool = False) -> None:
        fact = member.services[key]
        if isinstance(fact.body, StatusRecord):
            self._put_status(member, fact.body.key, None)
            return
        self._table.set_service(member, key, None)
        if isinstance(fact.body, ServiceRecord):
            self._catalog.remove(member, key, fact.body)
            if tell and member.is_live:
                self._tell_service(EventKind.SERVICE_DEREGISTERED, member, fact.body)

    def _touch_services(self, member: Member) -> None:
        for fact in member.services.values():
            if isinstance(fact.body, ServiceRecord):
                self._tell_service(EventKind.SERVICE_CHANGED, member, fact.body, state_of(member, fact.body))

    def _tell(self, kind: EventKind, member: Member, detail: str = "") -> None:
        self._table.index += 1
        self._ctx.notify(Event(kind, member.id, member.name, detail=detail, index=self._table.index))

    def _tell_service(self, kind: EventKind, member: Member, record: ServiceRecord, detail: str = "") -> None:
        index = self._catalog.touch(record.name)
        self._ctx.notify(
            Event(kind, member.id, record.name, record.key, member.name, detail=detail, index=index)
        )

    def _check_conflicts(self, name: str, address: Address) -> None:
        me = self._table.me
        named = [member for member in self._table.named(name) if member.is_live]
        placed = self._table.at(address)
        if me.name == name:
            named.append(me)
        if me.address == address:
            placed.append(me)
        self._flag_all(named, "name_conflict")
        self._flag_all(placed, "address_conflict")
        for member in self._table.named(name):
            if not member.is_live:
                for word in member.conflicts:
                    if word in CONFLICTS:
                        self.flag(member, word, on=False)

    def _flag_all(self, group: Iterable[Member], word: str) -> None:
        members = list(group)
        for member in members:
            self.flag(member, word, on=len(members) > 1)


def _visible_part(record: MemberRecord) -> tuple[object, ...]:
    """What watchers care about: a raised incarnation without any other change is no event."""
    return (
        record.name,
        record.host,
        record.port,
        record.tags,
        record.phase,
        record.protocol_min,
        record.protocol_max,
    )


def _said(fact: Fact | None) -> tuple[object, ...]:
    """What a status says, by whatever version."""
    body = None if fact is None else fact.body
    if not isinstance(body, StatusRecord):
        return ((), False, "", ())
    return (body.checks, body.maintenance, body.note, body.ids)


def _shown_part(record: MemberRecord) -> tuple[object, ...]:
    """What a lookup shows of a living owner."""
    return (record.name, record.host, record.phase == Phase.RESTARTING, record.tags.get(ZONE))


def _content(record: ServiceRecord | Deletion) -> tuple[object, ...]:
    if isinstance(record, Deletion):
        return ()
    return (record.host, record.port, record.tags, record.meta, record.weight, record.checked)
