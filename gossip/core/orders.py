"""What the user of a node has it say or do, besides joining and leaving."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gossip.core.context import Context
from gossip.core.events import EventKind
from gossip.core.examiner import Examiner
from gossip.core.intake import Intake
from gossip.core.members import Member, MemberTable
from gossip.core.own import Own
from gossip.core.records import MAX_PAYLOAD_BYTES, Ban, EventRecord, Fact
from gossip.core.roster import Roster
from gossip.core.rotation import Plan, Rotation
from gossip.core.types import NodeId, Status
from gossip.core.user_events import UserEvents
from gossip.errors import LimitError, NotFoundError, RefusedError, RemoteProtocolError

__all__ = ["Orders"]


class Orders:
    """The part of a `Node` that takes orders; the node sets all that is declared here."""

    _now: float
    _ctx: Context
    _table: MemberTable
    _roster: Roster
    _own: Own
    _events: UserEvents
    _examiner: Examiner
    _rotation: Rotation

    def keys_changed(self, now: float) -> None:
        """Keys were added or removed here, by the user, and are on disk."""
        self._now = now
        self._rotation.publish()

    @property
    def plan(self) -> Plan:
        """The change of keys that this node takes part in."""
        return self._rotation.plan

    @property
    def is_rotating(self) -> bool:
        """Whether this node has still to seal with the key of that change."""
        return self._rotation.is_under_way

    def spare_keys(self, now: float) -> list[bytes]:
        """See `Rotation.spare`."""
        return self._rotation.spare(now)

    def key_lacking(self) -> list[Member]:
        """See `Rotation.lacking`."""
        return self._rotation.lacking()

    def key_unswitched(self) -> list[Member]:
        """See `Rotation.unswitched`."""
        return self._rotation.unswitched()

    def key_away(self) -> list[Member]:
        """See `Rotation.away`."""
        return self._rotation.away()

    def refuse_rotation(self, mark: bytes) -> None:
        """Raises what `rotate` would."""
        self._rotation.refuse(mark)

    def rotate(self, mark: bytes, now: float) -> None:
        """Begin to change the cluster's key to this one; see `Rotation.rotate`."""
        self._now = now
        self._rotation.rotate(mark, now)

    def insist(self, now: float) -> None:
        """Have older keys retired, whoever is away; see `Rotation.insist`."""
        self._now = now
        self._rotation.insist()

    _intake: Intake

    def examine(
        self, subjects: Sequence[NodeId], witnessed: Sequence[NodeId], patience: float, now: float
    ) -> None:
        """Try these members in every way, in `patience` seconds; ends in EXAMINED. See `Examiner.examine`."""
        self._now = now
        self._examiner.examine(subjects, witnessed, patience, now)

    def prepare_service(
        self,
        key: str,
        name: str,
        host: str,
        port: int,
        tags: tuple[str, ...],
        meta: dict[str, str],
        weight: int,
        checked: bool = False,
    ) -> Fact:
        """Sign a service record; see `Own.prepare_service`."""
        return self._own.prepare_service(key, name, host, port, tags, meta, weight, checked)

    def prepare_status(
        self,
        key: str,
        checks: tuple[tuple[str, int], ...],
        maintenance: bool = False,
        note: str = "",
        ids: tuple[str, ...] = (),
    ) -> Fact:
        """Sign what checks say; see `Own.prepare_status`."""
        return self._own.prepare_status(key, checks, maintenance, note, ids)

    def prepare_deletion(self, key: str) -> Fact:
        """Sign a deletion; see `Own.prepare_deletion`."""
        return self._own.prepare_deletion(key)

    def publish(self, fact: Fact, now: float) -> None:
        """Make a prepared record visible, and tell the others."""
        self._now = now
        self._own.publish(fact)

    @property
    def deletions(self) -> int:
        """How many deletions of services this node remembers; `raise_floor` lets it forget them."""
        return self._own.deletions

    def next_version(self) -> int:
        """A number above everything this node has said: the floor-to-be of what is signed next."""
        return self._own.next_version()

    def renew_statuses(self, keys: Iterable[str], floor: int, now: float) -> None:
        """Sign again what checks say below a floor-to-be; see `Own.renew_statuses`."""
        self._now = now
        self._own.renew_statuses(keys, floor)

    def raise_floor(self, floor: int, now: float) -> None:
        """Void this node's service records below `floor`; see `Own.raise_floor`."""
        self._now = now
        self._own.raise_floor(floor)

    def set_tags(self, tags: dict[str, str], now: float) -> None:
        """Change this node's tags."""
        self._now = now
        if tags != self._own.me.record.tags:
            self._own.restate(tags=tags)

    def evict(self, member: NodeId, now: float) -> None:
        """Turn a dead member into one that left: it is no longer tried.

        Raises:
            NotFoundError: if it is not known.
            RefusedError: if it is not dead.
        """
        self._now = now
        found = self._table.get(member)
        if found is None:
            raise NotFoundError("no such member; see `gossip members`")
        if found.status is not Status.DEAD:
            raise RefusedError(
                f"{found.name} is {found.status.label}; only a dead member is evicted (--ban: any)"
            )
        self._roster.set_status(found, Status.LEFT, EventKind.MEMBER_LEFT, now, "evicted")

    def check_ban(self, raw: bytes) -> Ban:
        """What a record that the authority has signed says, before it is put on disk.

        Raises:
            RefusedError: if there is no authority, it has not signed this, or there is no room for it.
        """
        authority = self._ctx.notary.authority
        if not authority:
            raise RefusedError(
                "a ban is signed by the cluster's authority, and this agent has none: see `gossip ca init`"
            )
        try:
            fact = self._ctx.notary.parse(raw)
        except RemoteProtocolError as error:
            raise RefusedError(f"this is no record: {error.detail}") from None
        body = fact.body
        if not isinstance(body, Ban) or not self._ctx.notary.verify(fact, authority):
            raise RefusedError("this ban is not signed by the authority of this agent's cluster")
        full = len(self._table.bans) >= self._ctx.params.bans_max
        if full and body.subject not in self._table.bans:
            raise RefusedError(f"there are {len(self._table.bans)} bans, and there is room for no more")
        return body

    def ban(self, raw: bytes, now: float) -> None:
        """Obey a ban that was checked, and tell the others."""
        self._now = now
        self._intake.take((raw,), None, now)

    def send_event(self, name: str, payload: bytes, now: float) -> int:
        """Send a user event, at most once to each; returns its version.

        Raises:
            LimitError: if name or payload is too long.
        """
        self._now = now
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise LimitError(f"the payload is {len(payload)} bytes; the limit is {MAX_PAYLOAD_BYTES}")
        body = EventRecord(self._own.id, self._own.next_version(), name, payload)
        fact = self._ctx.notary.issue(body)
        self._events.take(self._own.me, body, fact, None, now)
        return body.version
