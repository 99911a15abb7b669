"""What this node says of itself, and how it answers what is said of it.

One counter numbers everything a node says; its member record's number is its incarnation. A node
restates itself (a higher incarnation) when something changes, when it is accused, and when it
meets a record under its own key that it did not write: a former life's, or a clone's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from gossip.core.broadcast import slot_of
from gossip.core.catalog import NODE, status_key
from gossip.core.context import Context
from gossip.core.effects import SaveCounter
from gossip.core.events import Event, EventKind
from gossip.core.health import Health
from gossip.core.keys import keys_of
from gossip.core.members import Member, MemberTable
from gossip.core.messages import Gossip
from gossip.core.params import PROTOCOL_MAX, PROTOCOL_MIN
from gossip.core.records import (
    MAX_CHECKS,
    Accusation,
    Body,
    Deletion,
    Fact,
    KeyRecord,
    MemberRecord,
    Opaque,
    ServiceRecord,
    StatusRecord,
    key_of,
)
from gossip.core.roster import Roster
from gossip.core.spread import Spread
from gossip.core.types import MAX_VERSION, Address, Kind, NodeId, Phase, Status, show_address
from gossip.errors import LimitError, NotFoundError, RefusedError

__all__ = ["ANSWERS_MAX", "BROUGHT_MAX", "LEASE", "Own", "Self"]

LEASE = 65_536
"""Versions reserved on disk at a time, so that none is used before it is saved."""
CLONE_RAISES = 3
CLONE_WINDOW = 60.0
"""At most so many raises against a clone in so many seconds."""
HORIZON = MAX_VERSION // 2
"""A version that no life of a node comes to (they begin with milliseconds since 1970): whoever says it with
this node's key wants its numbers used up, and is not outbid."""
ACCUSERS_MAX = 8
"""Of this node: whose last words are kept for its user."""
ANSWERS_MAX = 8
"""Members that are shown the own record in one period, because they repeat what it answers."""
BROUGHT_MAX = 4
"""Of those, for what one member has brought: anybody can repeat old accusations for ever. So many, too, for
all that comes from where no such member is; they leave members theirs."""


class Self(msgspec.Struct, frozen=True):
    """Who a node is, as its agent knows it at the start."""

    name: str
    address: Address
    """The advertised one."""
    cluster: str
    tags: dict[str, str] = {}
    ephemeral: bool = False
    birth: int = 0
    """The first incarnation ever; 0 if this life is the first."""
    exchange_key: bytes = b""
    """By which others wrap a cluster key for it; empty if it takes none."""
    warrant: bytes = b""
    """The authority's word for this node; empty if it needs none."""
    wall_ms: int = 0
    """What the wall clock shows at the start, ms since 1970; 0 if it tells nothing."""


class Own:
    """This node's own records, and its version counter."""

    def __init__(
        self,
        ctx: Context,
        table: MemberTable,
        roster: Roster,
        spread: Spread,
        health: Health,
        *,
        who: Self,
        incarnation: int,
        ceiling: int,
        floor: int,
        now: float,
    ) -> None:
        self._ctx = ctx
        self._table = table
        self._roster = roster
        self._spread = spread
        self._health = health
        self._counter = incarnation
        self._ceiling = ceiling
        self._raises: list[float] = []
        self._answers: Counter[NodeId | None] = Counter()
        self._answers_from = float("-inf")
        """How many were shown the own record since then, by who brought the accusation."""
        self.settled = False
        """A join sync has ended: a newer record of mine is no longer a former life's."""
        self.yielded = False
        """A clone with a smaller boot runs: this one no longer announces itself."""
        self.accusers: dict[NodeId, tuple[Kind, float]] = {}
        """Who accused this node last, of what and when, as far as it had to refute it."""
        record = MemberRecord(
            owner=ctx.notary.id,
            version=incarnation,
            public_key=ctx.notary.public_key,
            exchange_key=who.exchange_key,
            name=who.name,
            host=who.address[0],
            port=who.address[1],
            tags=who.tags,
            protocol_min=PROTOCOL_MIN,
            protocol_max=PROTOCOL_MAX,
            boot=ctx.rng.getrandbits(63),
            floor=floor,
            birth=who.birth or incarnation,
            phase=Phase.RUNNING,
            ephemeral=who.ephemeral,
            warrant=who.warrant,
        )
        self.me = Member(ctx.notary.issue(record), Status.ALIVE, now)
        table.me = self.me
        table.fingerprint ^= self.me.mark
        self._lease()

    # -- versions ---------------------------------------------------------------------------

    def next_version(self, above: int = 0) -> int:
        """The next number, above everything said so far and above `above`."""
        self._counter = max(self._counter, above) + 1
        if self._counter > MAX_VERSION:
            raise LimitError("the version counter is used up; give this node a new identity")
        self._lease()
        return self._counter

    def _lease(self) -> None:
        if self._counter + LEASE // 2 > self._ceiling:
            # Asked for while half of the last lease is left, so that the disk is ahead of its use.
            self._ceiling = self._counter + LEASE
            self._ctx.effects.append(SaveCounter(self._ceiling))

    # -- the member record ------------------------------------------------------------------

    def restate(self, *, above: int = 0, tell: bool = True, refutes: bool = False, **changes: Any) -> None:
        """Sign a new member record: a higher incarnation, with `changes` to its fields.

        One that refutes is told until somebody is known to have it: the clocks of others run meanwhile.
        """
        record = msgspec.structs.replace(self.me.record, version=self.next_version(above), **changes)
        self._roster.set_record(self.me, self._ctx.notary.issue(record))
        if tell and not self.yielded:
            self.announce(insist=refutes)

    def announce(self, *, insist: bool = False) -> None:
        fact = self.me.fact
        self._spread.news(slot_of(fact), fact.raw, member=True, own=True, source=None, insist=insist)

    def accused(
        self, accusation: Accusation, source: NodeId | None, now: float, *, is_there: bool = False
    ) -> bool:
        """Somebody accuses this node: refute by a higher incarnation, unless that was done before.

        Then the accuser, and `source` who still repeats it, are shown the record that answers it. Unless it
        `is_there` where that came from, anybody may have written its name.

        Returns:
            whether the matter is settled: false if this node never had the accused incarnation.
        """
        mine = self.me.record
        if accusation.incarnation > mine.version:
            self._ctx.count("accusation_future")
            return False
        if accusation.incarnation < mine.version:
            for who in dict.fromkeys((accusation.owner, source)):
                member = None if who is None else self._table.get(who)
                self._answer(member, source if is_there else None, now)
            return True
        if mine.phase == Phase.LEAVING or self.yielded:
            return True
        self._ctx.count("refuted")
        self.accusers.pop(accusation.owner, None)
        self.accusers[accusation.owner] = (Kind(accusation.kind), now)
        if len(self.accusers) > ACCUSERS_MAX:
            del self.accusers[next(iter(self.accusers))]
        self._health.refuted(accusation.owner, self._ctx.params.accusation_window(self._table.n), now)
        self.restate(above=accusation.incarnation, refutes=True)
        return True

    def _answer(self, member: Member | None, brought_by: NodeId | None, now: float) -> None:
        """Show `member` this node's record: at most once a period each, and so many in all.

        Whoever wakes up finds the accusations of half a cluster in its buffer. A few that are told at once,
        and gossip, bring the answer to all.
        """
        if member is None or now - member.answered_at < self._ctx.params.period:
            return
        if now - self._answers_from >= self._ctx.params.period:
            self._answers_from = now
            self._answers.clear()
        shown = self._answers.total()
        if brought_by is not None:
            shown -= self._answers[None]
        if shown < ANSWERS_MAX and self._answers[brought_by] < BROUGHT_MAX:
            self._answers[brought_by] += 1
            member.case.answered_at = now
            self._ctx.send(member.address, Gossip(self.me.id, (self.me.fact.raw,), member.record.boot))

    def met_own_record(self, other: MemberRecord, fact: Fact, now: float) -> None:
        """A member record under this node's key that it did not write, or wrote in a former life."""
        mine = self.me.record
        newer = other.version > mine.version or (
            other.version == mine.version and fact.hash > self.me.fact.hash
        )
        if not newer or fact.raw == self.me.fact.raw:
            return
        self._raises = [at for at in self._raises if now - at < CLONE_WINDOW]
        self._raises.append(now)
        many = len(self._raises) > CLONE_RAISES or other.version > HORIZON
        if not self.yielded and ((self.settled and other.boot != mine.boot) or many):
            self._met_clone(other, many=many)
        if not self.yielded:
            self.restate(above=other.version)

    def _met_clone(self, other: MemberRecord, *, many: bool) -> None:
        """Another process runs with this key: the larger boot yields, and whoever raised too often.

        A restored machine has even the boot of its twin, and is known only by the many raises.
        """
        yields = self.me.record.boot > other.boot or many
        here, there = show_address(self.me.address), show_address((other.host, other.port))
        detail = f"the key of this node is in use at {here} and at {there}"
        self._ctx.notify(
            Event(EventKind.DUPLICATE_IDENTITY, self.me.id, self.me.name, ok=not yields, detail=detail)
        )
        self._ctx.count("duplicate_identity")
        self.yielded = yields
        self._table.revision += 1

    # -- services ---------------------------------------------------------------------------

    def load(self, records: list[Fact]) -> None:
        """Take the records that the disk kept, before the first word to anybody."""
        floor = self.me.record.floor
        for fact in records:
            body = fact.body
            if (
                isinstance(body, ServiceRecord | Deletion)
                and body.owner == self.me.id
                and body.version >= floor
            ):
                self._counter = max(self._counter, body.version)
                held = self.me.services.get(key_of(body))
                if held is None or cast("ServiceRecord", held.body).version < body.version:
                    self._roster.put(self.me, fact)

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
        """Sign a service's next version. It is visible only once it is published.

        Raises:
            LimitError: if a field or the whole is too large, or the node has too many services.
            RefusedError: if this node is leaving.
        """
        self._refuse_when_leaving()
        if (2, key) not in self.me.services or self._is_deleted(key):
            living = sum(isinstance(fact.body, ServiceRecord) for fact in self.me.services.values())
            if living >= self._ctx.params.services_max:
                raise LimitError(
                    f"this node has {living} services; the limit is {self._ctx.params.services_max}"
                )
        body = ServiceRecord(
            self.me.id, self.next_version(), key, name, host, port, tags, meta, weight, checked
        )
        return self._ctx.notary.issue(body)

    def prepare_status(
        self,
        key: str,
        checks: tuple[tuple[str, int], ...],
        maintenance: bool = False,
        note: str = "",
        ids: tuple[str, ...] = (),
    ) -> Fact:
        """Sign what the checks of a service say; see `StatusRecord`. No disk needs to hear of it.

        Raises:
            NotFoundError: if this node has no such service.
            LimitError: if there are too many checks, or a text is too long.
            RefusedError: if this node is leaving.
        """
        self._refuse_when_leaving()
        if key != NODE:
            self._service(key)
        if len(checks) > MAX_CHECKS:
            raise LimitError(f"{len(checks)} checks of one service; the limit is {MAX_CHECKS}")
        body = StatusRecord(self.me.id, self.next_version(), key, checks, maintenance, note, ids)
        return self._ctx.notary.issue(body)

    def prepare_deletion(self, key: str) -> Fact:
        """Sign a service's deletion.

        Raises:
            NotFoundError: if this node has no such service.
        """
        self._service(key)
        return self._ctx.notary.issue(Deletion(self.me.id, self.next_version(), key))

    def publish(self, fact: Fact) -> None:
        """Make a prepared record visible here and tell the others; an older one changes nothing."""
        body = fact.body
        assert isinstance(body, ServiceRecord | StatusRecord | KeyRecord | Deletion)  # noqa: S101 - made here
        held = self.me.services.get(key_of(body))
        if held is not None and cast("ServiceRecord", held.body).version >= body.version:
            return
        self._roster.put(self.me, fact)
        if not self.yielded:
            self._spread.news(slot_of(fact), fact.raw, member=False, own=True, source=None)
        if isinstance(body, Deletion):
            self._take_back_status(body.key)

    def _take_back_status(self, key: str) -> None:
        held = self.me.services.get(status_key(key))
        if held is not None and not cast("StatusRecord", held.body).says_nothing:
            self.publish(
                self._ctx.notary.issue(StatusRecord(self.me.id, self.next_version(), key, (), False, ""))
            )

    @property
    def deletions(self) -> int:
        """How many records this node remembers only because others must not believe older ones."""
        return sum(
            isinstance(fact.body, Deletion)
            or (isinstance(fact.body, StatusRecord) and fact.body.says_nothing)
            for fact in self.me.services.values()
        )

    def raise_floor(self, floor: int) -> None:
        """Void every record below `floor`, deletions included: all services that live are above it.

        What checks say is signed again here, if it was not before (`renew_statuses`).

        Raises:
            RefusedError: if a living service is below.
        """
        for fact in self.me.services.values():
            if isinstance(fact.body, ServiceRecord) and fact.body.version < floor:
                raise RefusedError(f"service {fact.body.key!r} is below the floor; sign it again first")
        self.renew_statuses([key for family, key in self.me.services if family == 6], floor)
        keys = keys_of(self.me)
        if keys is not None and keys.version < floor:
            self.publish_keys(keys, above=floor)
        self.restate(floor=floor)

    def publish_keys(self, record: KeyRecord, above: int = 0) -> None:
        """Sign and tell which cluster keys this node holds; owner and version are filled in."""
        version = self.next_version(above=above)
        record = msgspec.structs.replace(record, owner=self.me.id, version=version)
        self.publish(self._ctx.notary.issue(record))

    def renew_statuses(self, keys: Iterable[str], floor: int) -> None:
        """Sign again what checks of these services say, where that is below a floor that is to come."""
        for key in keys:
            held = self.me.services.get(status_key(key))
            body = None if held is None else held.body
            if isinstance(body, StatusRecord) and body.version < floor and not body.says_nothing:
                again = msgspec.structs.replace(body, version=self.next_version(above=floor))
                self.publish(self._ctx.notary.issue(again))

    def met_own_service(
        self, body: ServiceRecord | StatusRecord | KeyRecord | Deletion | Opaque, fact: Fact
    ) -> None:
        """A record of this node that it does not hold: deleted by it, or lost by its disk."""
        if body.version < self.me.record.floor or self.yielded or self.me.record.phase == Phase.LEAVING:
            return
        held = self.me.services.get(key_of(body))
        if held is not None and (
            cast("ServiceRecord", held.body).version > body.version or held.raw == fact.raw
        ):
            return
        if body.version > HORIZON:
            self._ctx.count("own_beyond")
            return
        version = self.next_version(above=body.version)
        if held is not None and isinstance(held.body, ServiceRecord | StatusRecord | KeyRecord):
            again: Body = msgspec.structs.replace(held.body, version=version)
        elif isinstance(body, ServiceRecord):
            again = Deletion(self.me.id, version, body.key)
        elif isinstance(body, StatusRecord):
            again = StatusRecord(self.me.id, version, body.key, (), False, "")
        elif isinstance(body, KeyRecord):
            again = KeyRecord(self.me.id, version, "", 0, b"", False, ())
        else:
            return
        self._ctx.count("own_record_answered")
        self.publish(self._ctx.notary.issue(again))

    def _service(self, key: str) -> ServiceRecord:
        fact = self.me.services.get((2, key))
        if fact is None or not isinstance(fact.body, ServiceRecord):
            raise NotFoundError(
                f"no service {key!r} is registered with this agent;"
                " see `gossip lookup NAME --any --json` for the node of each"
            )
        return fact.body

    def _is_deleted(self, key: str) -> bool:
        return isinstance(self.me.services[(2, key)].body, Deletion)

    def _refuse_when_leaving(self) -> None:
        if self.me.record.phase == Phase.LEAVING:
            raise RefusedError("this agent is leaving the cluster; register with another one")

    @property
    def id(self) -> NodeId:
        return self.me.id
