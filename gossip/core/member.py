"""What a node holds of one other: small while nothing is remarkable about it.

A cluster of n nodes holds n x n of these. So what only few members have, or have only for a while, stands
apart and is made when it is first needed: what was measured of a member (`Seen`), and what was said against
it or found wrong with it (`Case`). Read through the member, all of it is there all the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from msgspec import Struct

from gossip.core.coordinates import Coordinate, unpack
from gossip.core.records import Deletion, Fact, Key, MemberRecord
from gossip.core.suspicion import Suspicion
from gossip.core.types import Address, NodeId, Phase, Status

__all__ = ["ACCUSE_BURST", "NEVER", "Member"]

NEVER = float("-inf")
ACCUSE_BURST = 3.0
"""Words against others that one may say at once, where it may say one a period."""

_NO_FACTS: Mapping[object, Fact] = MappingProxyType({})
"""What all share who have none; nobody can write into it."""


class Seen(Struct, eq=False, gc=False):
    """What this node has measured of a member, or was told of its view."""

    rtt: float | None = None
    deviation: float = 0.0
    position: bytes = b""
    """As it travels: unpacked it would take eight times the room."""
    agreed: bool = False
    view_at: float = NEVER
    proven: bool = False


class Case(Struct, eq=False):
    """What was said against a member, or by it against others, and what is wrong with it."""

    accusations: dict[NodeId, Fact]
    accused_at: dict[NodeId, float]
    suspicion: Suspicion | None = None
    conflicts: tuple[str, ...] = ()
    distrust_refusals_until: float = NEVER
    accuse_credit: float = ACCUSE_BURST
    accuse_at: float = NEVER
    answered_at: float = NEVER
    relapses: float = 0.0
    relapsed_at: float = NEVER
    blamed: tuple[Fact, ...] = ()
    """What stood against it when it last came back."""
    unstable: bool = False
    degraded: bool = False
    """It answers over streams only."""


_UNSEEN = Seen()
_NO_CASE = Case({}, {})


class Member(Struct, eq=False, gc=False):
    """What this node holds of one node. Written by core only.

    Struct with `gc=False`: it holds nothing that could hold it, and a simulator has millions of them.
    """

    fact: Fact
    status: Status
    since: float
    """When it was first held so, seconds."""
    record: MemberRecord = cast("MemberRecord", None)
    services: Mapping[Key, Fact] = cast("Mapping[Key, Fact]", _NO_FACTS)
    """Its other records by key, deletions included."""
    ring_at: int = -1
    """Its place among the live, or -1."""
    _seen: Seen = cast("Seen", None)
    _case: Case = cast("Case", None)

    def __post_init__(self) -> None:
        self.record = cast("MemberRecord", self.fact.body)
        self._seen = _UNSEEN
        self._case = _NO_CASE

    @property
    def mark(self) -> int:
        """Its share of the fingerprint: the xor of the hashes of all its records that are no deletions."""
        mark = self.fact.hash
        for fact in self.services.values():
            if not isinstance(fact.body, Deletion):
                mark ^= fact.hash
        return mark

    @property
    def id(self) -> NodeId:
        return self.record.owner

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def address(self) -> Address:
        return self.record.address

    @property
    def incarnation(self) -> int:
        return self.record.version

    @property
    def is_live(self) -> bool:
        """Whether its records count in the view: neither dead nor left."""
        return self.status <= 1

    @property
    def flags(self) -> tuple[str, ...]:
        """What an operator should know besides the status."""
        flags = list(self.conflicts)
        if self._case.degraded and self.is_live:
            # Who is dead answers in no way, though streams are still how to try it.
            flags.append("degraded")
        if self._case.unstable:
            flags.append("unstable")
        if self.record.phase == Phase.RESTARTING:
            flags.append("restarting")
        if self.record.ephemeral:
            flags.append("ephemeral")
        return tuple(flags)

    def keep(self, key: Key, fact: Fact | None) -> None:
        """Put, replace or (with None) forget one of its other records."""
        services = cast("dict[Key, Fact]", self.services or {})
        services.pop(key, None)
        if fact is not None:
            services[key] = fact
        self.services = services or cast("Mapping[Key, Fact]", _NO_FACTS)

    # -- what was measured --------------------------------------------------------------------

    @property
    def seen(self) -> Seen:
        """What was measured of it, to be written."""
        if self._seen is _UNSEEN:
            self._seen = Seen()
        return self._seen

    @property
    def rtt(self) -> float | None:
        """The smoothed round trip, seconds."""
        return self._seen.rtt

    @property
    def deviation(self) -> float:
        """How far round trips stray from `rtt`, seconds."""
        return self._seen.deviation

    @property
    def position(self) -> Coordinate | None:
        """Its network coordinate, as it last said."""
        return unpack(self._seen.position) if self._seen.position else None

    @property
    def agreed(self) -> bool:
        """Whether its view was this node's own when it last told."""
        return self._seen.agreed

    @property
    def view_at(self) -> float:
        """When it last told the fingerprint of its view, seconds."""
        return self._seen.view_at

    @property
    def proven(self) -> bool:
        """Whether it has acked a large datagram."""
        return self._seen.proven

    @property
    def is_at_home(self) -> bool:
        """Whether it has acked a ping where its record says that it is."""
        return self._seen.rtt is not None

    def moved(self) -> None:
        """Its record names another address: how far that is, and what reaches it, is not known."""
        if self._seen is not _UNSEEN:
            self._seen.rtt, self._seen.deviation, self._seen.proven = None, 0.0, False

    def sample_rtt(self, rtt: float) -> None:
        """Smooth a round trip in (Jacobson 1988: gains 1/8 and 1/4)."""
        seen = self.seen
        if seen.rtt is None:
            seen.rtt = rtt
            seen.deviation = rtt / 2
            return
        seen.deviation += (abs(rtt - seen.rtt) - seen.deviation) / 4
        seen.rtt += (rtt - seen.rtt) / 8

    # -- what was said of it ------------------------------------------------------------------

    @property
    def case(self) -> Case:
        """What was said against it and so on, to be written."""
        if self._case is _NO_CASE:
            self._case = Case({}, {})
        return self._case

    @property
    def judged(self) -> Case:
        """The same, only to be read: members of whom nothing was said share one."""
        return self._case

    @property
    def accusations(self) -> Mapping[NodeId, Fact]:
        """What is held against it, by accuser."""
        return self._case.accusations

    def forget_accusers(self) -> None:
        """Let everybody accuse it again: what was said before was of another life."""
        if self._case.accused_at:
            self._case.accused_at = {}

    @property
    def suspicion(self) -> Suspicion | None:
        """Its clock, while it is suspect."""
        return self._case.suspicion

    @property
    def conflicts(self) -> tuple[str, ...]:
        """`name_conflict`, `address_conflict`."""
        return self._case.conflicts

    @property
    def degraded(self) -> bool:
        """Whether it answers over streams only."""
        return self._case.degraded

    @property
    def distrust_refusals_until(self) -> float:
        """Until when refusals of it are taken for silence, seconds."""
        return self._case.distrust_refusals_until

    @property
    def answered_at(self) -> float:
        """When it was last told what is held against it, or answered an accusation; seconds."""
        return self._case.answered_at

    def believes_refusals(self, now: float) -> bool:
        """Whether a refusal at its address says anything of this member, and not of another or a liar."""
        case = self._case
        return "address_conflict" not in case.conflicts and now >= case.distrust_refusals_until
