"""News as it comes in: read, judged, checked, applied, passed on.

Cheap questions first. Most copies of a fact are the second to the twentieth, and cost one look
into a table of recent bytes; what is older than what is held costs its reading; only what would
change something has its signature checked. Nothing is checked twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

from gossip.core.broadcast import slot_of
from gossip.core.context import Context
from gossip.core.detector import Detector
from gossip.core.events import EventKind
from gossip.core.members import Member, MemberTable
from gossip.core.own import Own
from gossip.core.params import PROTOCOL_MAX, PROTOCOL_MIN
from gossip.core.records import (
    Accusation,
    Ban,
    Deletion,
    EventRecord,
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
from gossip.core.timers import Timer
from gossip.core.transitions import Action, News, judge
from gossip.core.types import NodeId, Phase, Status
from gossip.core.user_events import UserEvents
from gossip.errors import RemoteProtocolError

__all__ = ["Intake"]

DEAD_OF_A_SPLIT = 3
"""Where more than one in so many is dead, it was rather the network that was parted, and is whole again."""
HEALING = 5.0
"""Seconds for which the return of one of them is urgent news: all come back at nearly the same time."""
RECENT_MAX = 2_048


class Intake:
    """The way in for facts, whether by gossip, repair or a join."""

    def __init__(
        self,
        ctx: Context,
        table: MemberTable,
        roster: Roster,
        spread: Spread,
        own: Own,
        detector: Detector,
        events: UserEvents,
    ) -> None:
        self._ctx = ctx
        self._table = table
        self._roster = roster
        self._spread = spread
        self._own = own
        self._detector = detector
        self._events = events
        self.fetch: Callable[[NodeId, float], None]
        """Ask a peer for what is not known here; set by the node, since repair needs the intake."""
        self.met_keys: Callable[[Member, KeyRecord], None]
        """Told which cluster keys a member holds; set by the node, as `fetch` is."""
        self._recent: dict[bytes, Fact] = {}
        self._older: dict[bytes, Fact] = {}
        self._healing_until = float("-inf")
        self._guest: NodeId = b""
        self._checked = b""
        self._is_there = False

    def take(
        self,
        news: Iterable[bytes],
        source: NodeId | None,
        now: float,
        *,
        quiet: bool = False,
        is_there: bool = False,
    ) -> int:
        """Take facts that `source` sent.

        Args:
            news: the signed bytes.
            source: who sent them; None for this node itself.
            now: seconds.
            quiet: do not pass on what is learnt (a joiner learns what all others know).
            is_there: they came from where `source` is, and not from wherever its name was written.

        Returns:
            how many changed this node's state.
        """
        changed = 0
        self._is_there = is_there
        for fact in self._fresh(news, source, now):
            settled, news_here = self._apply(fact, source, now, quiet=quiet)
            changed += news_here
            if settled:
                self._remember(fact)
        return changed

    def welcome(
        self, record: bytes, peer: NodeId, now: float, *, quiet: bool = False, checked: bool = False
    ) -> int:
        """Take the own record of a peer that this node is in conversation with: it was introduced.

        With `checked` its signature has been found good already.
        """
        self._guest = peer
        self._checked = record if checked else b""
        try:
            return self.take((record,), peer, now, quiet=quiet)
        finally:
            self._guest = self._checked = b""

    def _fresh(self, news: Iterable[bytes], source: NodeId | None, now: float) -> list[Fact]:
        """What is not a copy of something settled: members first, since the rest is about them."""
        fresh: dict[bytes, Fact] = {}
        copies: list[Fact] = []
        recent, older = self._recent.get, self._older.get
        for raw in news:
            known = recent(raw) or older(raw)
            if known is not None:
                copies.append(known)
            else:
                try:
                    fresh[raw] = self._ctx.notary.parse(raw)
                except RemoteProtocolError as error:
                    self._ctx.count(error.reason)
        if copies:
            self._met_again(copies, source, now)
        return sorted(fresh.values(), key=_rank) if len(fresh) > 1 else list(fresh.values())

    def _met_again(self, copies: list[Fact], source: NodeId | None, now: float) -> None:
        if source is not None and len(self._spread.queue):
            self._spread.queue.heard_facts(copies, source)
        for fact in copies:
            if isinstance(fact.body, Accusation) and fact.body.subject == self._own.id:
                # Whoever still says it has not heard the answer.
                self._own.accused(fact.body, source, now, is_there=self._is_there)

    def shared_all(self, peer: NodeId) -> None:
        """`peer` is being given all that is known here."""
        self._spread.queue.heard_all(peer)

    def forget_recent(self) -> None:
        """What was settled is open again: a member was removed, a suspicion ended."""
        self._recent.clear()
        self._older.clear()

    def _remember(self, fact: Fact) -> None:
        self._recent[fact.raw] = fact
        if len(self._recent) > RECENT_MAX:
            self._older, self._recent = self._recent, {}

    # -- one fact; each returns (settled: a copy need not be looked at, changed something) ---

    def _apply(self, fact: Fact, source: NodeId | None, now: float, *, quiet: bool) -> tuple[bool, bool]:
        body = fact.body
        if body.owner in self._table.bans:
            self._ctx.count("banned")
            return True, False
        if isinstance(body, MemberRecord):
            return self._member(body, fact, source, now, quiet=quiet)
        if isinstance(body, Accusation):
            return self._accusation(body, fact, source, now)
        if isinstance(body, EventRecord):
            return self._event(body, fact, source, now)
        if isinstance(body, Ban):
            return self._ban(body, fact, source, now)
        return self._service(body, fact, source, quiet=quiet)

    def _myself(self, body: MemberRecord, fact: Fact, source: NodeId | None, now: float) -> None:
        if fact.raw == self._own.me.fact.raw:
            if source is not None:
                self._spread.queue.heard(slot_of(fact), fact.raw, source)
        elif self._verified(fact, body.public_key):
            self._own.met_own_record(body, fact, now)

    def _member(
        self, body: MemberRecord, fact: Fact, source: NodeId | None, now: float, *, quiet: bool
    ) -> tuple[bool, bool]:
        if body.owner == self._own.id:
            self._myself(body, fact, source, now)
            return True, False
        member = self._table.get(body.owner)
        if member is not None and fact.raw == member.fact.raw:
            return True, False
        action = _judged(body, fact, member)
        if action is Action.DROP or not self._acceptable(body, member):
            return member is not None, False
        if member is None and not self._may_enter(body, source):
            return False, False
        if not self._verified(fact, body.public_key):
            return True, False
        refusal = self._ctx.gate.refuses(body, now)
        if refusal is not None:
            self._ctx.gate.refused(body, refusal, now)
            return False, False
        if member is None:
            member, urgent, eager = self._added(fact, action, now), True, True
        else:
            # Haste for the only suspect costs next to nothing.
            eager = member.status is Status.SUSPECT and self._detector.is_alone(member)
            healing = self._is_healing(member, now)
            urgent = self._changed(member, fact, action, now) or healing
        # What a joiner is told of is known to all for long.
        self._ctx.gate.entered(body, now, told=quiet)
        if body.phase == Phase.RESTARTING:
            self._ctx.timers.set(now + self._ctx.params.restart_grace, Timer.RESTARTING, member.id)
        if not quiet:
            self._spread.news(
                body.owner,
                fact.raw,
                member=True,
                own=False,
                source=source,
                eager=urgent or eager,
                patient=not urgent,
            )
        return True, True

    def _added(self, fact: Fact, action: Action, now: float) -> Member:
        member = Member(fact, Status.LEFT if action is Action.BURY else Status.ALIVE, now)
        self._roster.add(member)
        return member

    def _changed(self, member: Member, fact: Fact, action: Action, now: float) -> bool:
        """Take a newer record of a member; whether others should hear of it at once.

        What only refutes can wait for a tick: the clock that it stops is longer, and asks the member itself
        before it buries it. So can the return of who never stopped: it is one of many, or will go again.
        """
        record = cast("MemberRecord", fact.body)
        new_life = record.boot != member.record.boot
        self._detector.learn_from(member, record, now)
        # Whoever was evicted keeps what was said of it until it says something newer.
        newer = record.version > member.incarnation
        if action is not Action.UPDATE or (newer and member.accusations):
            self._detector.acquit(member)
        visible = self._roster.set_record(member, fact)
        if action is Action.LEAVE:
            self._roster.set_status(member, Status.LEFT, EventKind.MEMBER_LEFT, now)
        elif action is Action.REFUTE:
            self._ctx.count("false_alarms")
            self._roster.set_status(member, Status.ALIVE, EventKind.MEMBER_REFUTED, now)
        elif action is Action.REVIVE:
            self._roster.set_status(member, Status.ALIVE, EventKind.MEMBER_JOINED, now, "back")
        elif visible:
            self._roster.tell_updated(member)
        return visible or new_life

    def _is_healing(self, member: Member, now: float) -> bool:
        """Whether a member is one of so many dead that the network was parted rather."""
        if member.status is not Status.DEAD:
            return False
        if DEAD_OF_A_SPLIT * self._table.counts[Status.DEAD] > len(self._table):
            self._healing_until = now + HEALING
        return now < self._healing_until

    def _acceptable(self, body: MemberRecord, member: Member | None) -> bool:
        """Rules that need no signature: versions that we share, an address that is not ours."""
        if body.protocol_min > PROTOCOL_MAX or body.protocol_max < PROTOCOL_MIN:
            self._ctx.count("protocol_range")
            return False
        if (body.host, body.port) == self._own.me.address and body.phase != Phase.LEAVING:
            # Nobody but this node is there. A former identity of this very host is never learnt.
            self._ctx.count("own_address")
            return member is not None and member.is_live
        return True

    def _may_enter(self, body: MemberRecord, source: NodeId | None) -> bool:
        """Whether a node that is not known may become a member by this record."""
        if source == body.owner != self._guest:
            # Nobody enters by naming itself: its seed does that, once its address has answered.
            self._ctx.count("uninvited")
            return False
        if len(self._table) >= self._ctx.params.members_max:
            self._ctx.count("members_full")
            return False
        return True

    def _service(
        self,
        body: ServiceRecord | StatusRecord | Deletion | KeyRecord | Opaque,
        fact: Fact,
        source: NodeId | None,
        *,
        quiet: bool,
    ) -> tuple[bool, bool]:
        if body.owner == self._own.id:
            mine = self._own.me.services.get(key_of(body))
            if mine is not None and (mine.raw == fact.raw or _version(mine) > body.version):
                return True, False
            if self._verified(fact, self._own.me.record.public_key):
                self._own.met_own_service(body, fact)
            return False, False
        member = self._table.get(body.owner)
        if member is None:
            self._ctx.count("orphan")
            return False, False
        key = key_of(body)
        held = member.services.get(key)
        if body.version < member.record.floor or (held is not None and not _beats(body.version, fact, held)):
            return True, False
        if held is None and len(member.services) >= 3 * self._ctx.params.services_max:
            self._ctx.count("services_full")
            return False, False
        if not self._verified(fact, member.record.public_key):
            return True, False
        self._roster.put(member, fact)
        if isinstance(body, KeyRecord):
            self.met_keys(member, body)
        if not quiet:
            self._spread.news(slot_of(fact), fact.raw, member=False, own=False, source=source)
        return True, True

    def _event(self, body: EventRecord, fact: Fact, source: NodeId | None, now: float) -> tuple[bool, bool]:
        if body.owner == self._own.id:
            return True, False
        member = self._table.get(body.owner)
        if member is None:
            self._ctx.count("orphan")
            return False, False
        if not self._events.is_news(body, fact):
            return True, False
        if not self._verified(fact, member.record.public_key):
            return True, False
        self._events.take(member, body, fact, source, now)
        return True, True

    def _accusation(
        self, body: Accusation, fact: Fact, source: NodeId | None, now: float
    ) -> tuple[bool, bool]:
        accuser = self._table.get(body.owner)
        if body.owner == self._own.id:
            return True, False
        if accuser is None:
            self._ctx.count("accuser_unknown")
            return False, False
        if body.subject == self._own.id:
            # About me I answer anyone that I know: two halves of a cluster that was cut in two
            # each hold the other dead, and only answers bring them back.
            return self._own_accusation(body, fact, accuser, source, now), False
        member = self._table.get(body.subject)
        if member is None:
            return False, False
        action = judge(News.ACCUSATION, member.status, member.incarnation, body.incarnation)
        if action is Action.DROP:
            return body.incarnation < member.incarnation, False
        if body.owner in member.accusations and action is Action.CONFIRM:
            return True, False
        return False, self._accept(member, fact, accuser, action, source, now)

    def _own_accusation(
        self, body: Accusation, fact: Fact, accuser: Member, source: NodeId | None, now: float
    ) -> bool:
        if not self._verified(fact, accuser.record.public_key):
            return False
        return self._own.accused(body, source, now, is_there=self._is_there)

    def _accept(
        self, member: Member, fact: Fact, accuser: Member, action: Action, source: NodeId | None, now: float
    ) -> bool:
        """An accusation that would change something: whether it did."""
        if not accuser.is_live:
            self._ctx.count("accuser_dead")
            return False
        if not self._verified(fact, accuser.record.public_key):
            return False
        if action is Action.FETCH:
            if source is not None:
                self.fetch(source, now)
            return False
        if not self._detector.admits(accuser, member, now):
            return False
        if action is Action.SUSPECT:
            self._detector.suspect(member, fact, source, now)
            return True
        return self._detector.confirm(member, fact, source, now)

    def _ban(self, body: Ban, fact: Fact, source: NodeId | None, now: float) -> tuple[bool, bool]:
        if not self._ctx.gate.may_obey(body, fact):
            return False, False
        if not self._verified(fact, self._ctx.notary.authority):
            return True, False
        self._ctx.gate.ban(body, fact, now)
        member = self._table.get(body.subject)
        if source is None and member is not None:
            # The others will not talk to it again.
            self._spread.deliver(member, (fact.raw,))
        self._spread.news(slot_of(fact), fact.raw, member=True, own=source is None, source=source)
        return True, True

    def _verified(self, fact: Fact, public_key: bytes) -> bool:
        if fact.raw == self._checked or self._ctx.notary.verify(fact, public_key):
            return True
        self._ctx.count("signature")
        return False


def _judged(body: MemberRecord, fact: Fact, member: Member | None) -> Action:
    """What to do about a member record that is not the one held."""
    news = News.LEAVING if body.phase == Phase.LEAVING else News.RECORD
    if member is None:
        return judge(news, None, 0, body.version)
    action = judge(news, member.status, member.incarnation, body.version)
    # One owner, one version, two texts: everybody keeps the one with the larger hash, but a
    # leaving one before any other, since it was obeyed by whoever had it first.
    twins = action is Action.DROP and body.version == member.incarnation
    return Action.UPDATE if twins and _rank_of_twin(fact) > _rank_of_twin(member.fact) else action


def _beats(version: int, fact: Fact, held: Fact) -> bool:
    """Newest wins; of one version, the larger hash of the signed bytes."""
    other = _version(held)
    return version > other or (version == other and fact.hash > held.hash)


def _version(fact: Fact) -> int:
    return cast("ServiceRecord", fact.body).version


def _rank(fact: Fact) -> int:
    """Sorts bans before member records, and these before everything else."""
    return 0 if isinstance(fact.body, Ban) else 1 if isinstance(fact.body, MemberRecord) else 2


def _rank_of_twin(fact: Fact) -> tuple[bool, int]:
    """Of two member records of one version, the higher one counts."""
    return cast("MemberRecord", fact.body).phase == Phase.LEAVING, fact.hash
