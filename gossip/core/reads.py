"""What may be asked of a node between its inputs: no time passes, and nothing is copied in vain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from gossip.core.catalog import ZONE, Catalog, Instance
from gossip.core.context import Context
from gossip.core.coordinates import Coordinate, Coordinates, distance
from gossip.core.detector import Detector
from gossip.core.doubts import Doubt, Doubts
from gossip.core.examiner import Examined, Examiner
from gossip.core.gate import BANNED, Gate
from gossip.core.health import Health
from gossip.core.histogram import Histogram
from gossip.core.joining import Joining
from gossip.core.members import Member, MemberTable
from gossip.core.own import Own
from gossip.core.pings import Pings
from gossip.core.records import Fact
from gossip.core.repair import Repair
from gossip.core.spread import Spread
from gossip.core.types import Address, Kind, NodeId
from gossip.errors import NotFoundError

__all__ = ["Reads"]


class Reads:
    """The reading half of a `Node`, which sets all that is declared here."""

    catalog: Catalog
    _now: float
    _ctx: Context
    _table: MemberTable
    _health: Health
    _coordinates: Coordinates
    _spread: Spread
    _own: Own
    _pings: Pings
    _detector: Detector
    _repair: Repair
    _joining: Joining
    _doubts: Doubts
    _examiner: Examiner
    _gate: Gate

    @property
    def id(self) -> NodeId:
        return self._own.id

    @property
    def me(self) -> Member:
        """This node as the others see it."""
        return self._own.me

    @property
    def name(self) -> str:
        return self._own.me.name

    @property
    def address(self) -> Address:
        return self._own.me.address

    @property
    def incarnation(self) -> int:
        return self._own.me.incarnation

    @property
    def members(self) -> MemberTable:
        """Everybody else."""
        return self._table

    @property
    def counters(self) -> Counter[str]:
        return self._ctx.counters

    @property
    def health(self) -> int:
        return self._health.score

    @property
    def is_doubting(self) -> bool:
        return self._health.doubting

    @property
    def is_isolated(self) -> bool:
        return self._detector.isolated

    @property
    def is_waiting(self) -> bool:
        """Whether it has somebody to join and has seen nobody's view yet: others know what it does not."""
        return self._joining.is_waiting

    @property
    def fingerprint(self) -> int:
        """64 bits over everything live in this node's view."""
        return self._table.fingerprint

    @property
    def revision(self) -> int:
        """Changes whenever what this node holds of others, or of itself, does; for caches of answers.

        Counted are records, statuses, flags, accusations and suspicion clocks, and with them the catalog;
        not what is only measured (round trips, who was heard, whose view agrees), nor this node's health.
        """
        return self._table.revision

    @property
    def round_trips(self) -> Histogram:
        """Of pings that were answered, in seconds."""
        return self._pings.round_trips

    @property
    def queue(self) -> int:
        """News still to be told."""
        return len(self._spread.queue)

    @property
    def flags(self) -> tuple[str, ...]:
        """What an operator should know of this node."""
        flags = list(self._own.me.flags)
        for word, up in (
            ("doubting", self.is_doubting),
            ("isolated", self.is_isolated),
            ("duplicate_identity", self._own.yielded),
            ("view_disagrees", self._repair.view_disagrees),
            (BANNED, self._gate.is_banned(self.id)),
        ):
            if up:
                flags.append(word)
        return tuple(flags)

    @property
    def doubts(self) -> list[Doubt]:
        """When and why this node doubted itself of late, oldest first."""
        return list(self._doubts)

    @property
    def examined(self) -> list[Examined]:
        """What came of the last examination."""
        return self._examiner.results

    @property
    def accusers(self) -> dict[NodeId, tuple[Kind, float]]:
        """Who accused this node of what it had to refute, and when; a few."""
        return dict(self._own.accusers)

    def seed_problems(self) -> dict[str, str]:
        """What is wrong with each seed; empty for one with which all is well."""
        return self._joining.seed_problems()

    def agreement(self) -> float | None:
        """The share of peers lately heard from that hold exactly this view; None if none was heard."""
        return self._repair.agreement(self._now)

    def find(self, who: str) -> Member:
        """A member by its name, its id in hex, or the beginning of one.

        Raises:
            NotFoundError: if there is none, or more than one id begins like that.
        """
        everybody: list[Member] = [self._own.me, *self._table]
        named = [member for member in everybody if member.name == who]
        if named:
            # One name, several nodes: everywhere the same one has it.
            is_named = self._gate.is_named
            return min(named, key=lambda m: (not is_named(m), not m.is_live, m.record.birth, m.id))
        found = [member for member in everybody if who and member.id.hex().startswith(who.lower())]
        if len(found) == 1:
            return found[0]
        if found:
            raise NotFoundError(f"{len(found)} members' ids begin with {who!r}; give more of it")
        raise NotFoundError(f"no member is called {who!r}; see `gossip members`")

    def rtt(self, a: NodeId | None, b: NodeId) -> float | None:
        """The estimated round trip between two members (None: this one), seconds; None if unknown."""
        first, second = (self._position(self.id if a is None else a)), self._position(b)
        if first is None or second is None:
            return None
        return 0.0 if (a or self.id) == b else distance(first, second)

    def near(self, instances: Sequence[Instance]) -> list[Instance]:
        """The same instances: this node's zone first, then the nearest; unknown distances last, in order."""
        zone = self.me.record.tags.get(ZONE)

        def away(instance: Instance) -> tuple[bool, float]:
            rtt = self.rtt(None, instance.owner)
            return bool(zone) and instance.zone != zone, float("inf") if rtt is None else rtt

        return sorted(instances, key=away)

    def coordinate(self, member: NodeId) -> Coordinate | None:
        """Where a member is in the network, as it last said; None if it has not."""
        return self._position(member)

    def _position(self, member: NodeId) -> Coordinate | None:
        if member == self.id:
            return self._coordinates.own
        found = self._table.get(member)
        return None if found is None else found.position

    def remembered(self) -> list[Address]:
        """Addresses worth keeping on disk, to find the cluster again without its seeds."""
        return self._joining.remembered()

    def saved(self) -> list[Fact]:
        """This node's own service records and deletions: what the disk should hold."""
        return list(self._own.me.services.values())

    @property
    def bans(self) -> list[Fact]:
        """The authority's bans, as far as they are known here: what the disk should hold."""
        return list(self._table.bans.values())

    @property
    def used_invitations(self) -> list[tuple[bytes, NodeId]]:
        """Which invitations are used, and by whom: what the disk should hold."""
        return self._gate.used

    @property
    def floor(self) -> int:
        return self._own.me.record.floor

    def __iter__(self) -> Iterator[Member]:
        """This node, then everybody else."""
        yield self._own.me
        yield from self._table
