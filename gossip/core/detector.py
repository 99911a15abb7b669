"""Accusations, suspicion and burial: no death by hearsay.

An accusation is one node's signed word against another at one incarnation. The first one that a
node accepts starts a clock of its own; each further accuser may shorten it (`suspicion`). When
the clock ends the node looks once more for itself, and buries whom it cannot reach. So nobody is
dead here because somebody said so, and the same rule serves gossip, repair and the simulator.
"""

from __future__ import annotations

from typing import Protocol

from gossip.core.broadcast import accusation_slot, slot_of
from gossip.core.context import Context
from gossip.core.events import EventKind
from gossip.core.health import Health
from gossip.core.look import LastLooks
from gossip.core.member import ACCUSE_BURST
from gossip.core.members import Member, MemberTable
from gossip.core.params import ACCUSED_AGAIN_PERIODS
from gossip.core.pings import Pings
from gossip.core.records import Accusation, Fact, MemberRecord
from gossip.core.requests import Requests
from gossip.core.roster import Roster
from gossip.core.sessions import Sessions
from gossip.core.spread import Spread
from gossip.core.stability import Stability
from gossip.core.suspicion import EVIDENCE_ENOUGH, Suspicion
from gossip.core.timers import Timer
from gossip.core.types import Kind, NodeId, Status

__all__ = ["Detector"]

ACCUSERS_MAX = 8
"""How many accusers are kept for one member; the clock is at its shortest long before."""
UNSURE_MAX = 8
"""So many last looks at one suspect may settle nothing: helpers may be out of reach for as long."""
DISTRUST_REFUSALS = 3_600.0
"""Seconds for which refusals of a member count as silence, after one killed it wrongly."""

EVIDENCE = (Kind.REFUSED, Kind.NOT_ME)
LOOKERS_AT_ONE = 3
"""So many nodes look at once, on average, where one alone is suspect: the chance that none does is e^-3, and
then only the first one's word counts until a round robin gets there."""


class Probes(Protocol):
    """What a detector needs of the prober, which needs the detector."""

    def start(self, member: Member, now: float, *, hurried: bool = False) -> None: ...
    def direct_wait(self, member: Member) -> float: ...


class Detector:
    """Who is suspected here, on whose word, and until when."""

    def __init__(
        self,
        ctx: Context,
        table: MemberTable,
        roster: Roster,
        spread: Spread,
        pings: Pings,
        requests: Requests,
        health: Health,
        probes: Probes,
        sessions: Sessions,
    ) -> None:
        self._ctx = ctx
        self._table = table
        self._roster = roster
        self._spread = spread
        self._health = health
        self._probes = probes
        self._looks = LastLooks(ctx, pings, requests, health, self, sessions, probes.direct_wait)
        self.stability = Stability(ctx, table, roster)
        self._credit = ACCUSE_BURST
        self._credit_at = float("-inf")
        self.isolated = False
        """This node hears nobody."""
        self._isolated_at = 0.0

    # -- whether this node may judge ----------------------------------------------------------

    def isolate(self, now: float) -> None:
        """This node hears nobody."""
        self.isolated = True
        self._isolated_at = now

    def reconnect(self, now: float) -> None:
        """It hears somebody again: what it held against others while it was deaf counts as not waited."""
        self.isolated = False
        for member in self._table:
            if member.suspicion is not None:
                member.suspicion.extended += now - max(self._isolated_at, member.suspicion.started)
                self._table.revision += 1
                self._arm(member, now)

    def is_mute(self, now: float) -> bool:
        """Whether this node trusts itself too little to judge others.

        Whoever hears nobody at all, of two or more, had better look to itself; but not for ever, or two
        that died together would be listed for good.
        """
        if self._health.doubting:
            return True
        return self.isolated and self._table.n > 2 and self.waits_for_company(now)

    def waits_for_company(self, now: float) -> bool:
        """Whether it still may be this node that is cut off, when nobody answers."""
        return not self.isolated or now - self._isolated_at < self._ctx.params.isolation

    # -- accusations ------------------------------------------------------------------------

    def admits(self, accuser: Member, member: Member, now: float) -> bool:
        """Whether a live accuser's new word against `member` is within its rates; if so, it is charged.

        One a period over all, with a burst of three; against the same life of a member one in
        `accusation_window`, so that nobody can keep a member under suspicion that refutes.
        """
        window = self._ctx.params.accusation_window(self._table.n)
        lately = {who: at for who, at in member.case.accused_at.items() if now - at < window}
        said = accuser.case
        credit = said.accuse_credit + (now - said.accuse_at) / self._ctx.params.period
        if accuser.id in lately or credit < 1.0:
            self._ctx.count("accusation_rate")
            return False
        said.accuse_credit, said.accuse_at = min(ACCUSE_BURST, credit) - 1.0, now
        member.case.accused_at = {**lately, accuser.id: now}
        return True

    def accuse(self, member: Member, kind: Kind, now: float) -> None:
        """Say of `member`, signed, what this node met itself."""
        if self.is_mute(now) or not member.is_live or self._ctx.notary.id in member.accusations:
            return
        if not self._may_speak(now):
            return
        fact = self._issue(member, kind)
        self._ctx.count("accused")
        # Whoever it is about has the first right to hear it.
        self._spread.deliver(member, (fact.raw,))
        if member.status is Status.ALIVE:
            self.suspect(member, fact, None, now)
        else:
            self.confirm(member, fact, None, now)

    def _may_speak(self, now: float) -> bool:
        """Whether this node's own word is within the rate that others hold it to."""
        credit = min(ACCUSE_BURST, self._credit + (now - self._credit_at) / self._ctx.params.period)
        if credit < 1.0:
            self._ctx.count("accusation_held_back")
            return False
        self._credit, self._credit_at = credit - 1.0, now
        return True

    def suspect(self, member: Member, fact: Fact, source: NodeId | None, now: float) -> None:
        """The first accusation that counts: the clock starts now, by local time."""
        member.case.suspicion = Suspicion(now, self._table.n, self.stability.patience(member, now))
        self._table.revision += 1
        self._ctx.count("suspected")
        self._hold(member, fact, source)
        self._roster.set_status(
            member, Status.SUSPECT, EventKind.MEMBER_SUSPECTED, now, Kind(_kind(fact)).name.lower()
        )
        self._arm(member, now)
        if source is not None and not self._health.doubting:
            # Confirmation does not wait for the round robin: about k nodes look at once, or a few more.
            is_alone = self.is_alone(member)
            lookers = LOOKERS_AT_ONE if is_alone else self._ctx.params.suspicion_k
            if self._ctx.rng.random() < lookers / max(1, self._table.n - 2):
                self._probes.start(member, now, hurried=is_alone)

    def confirm(self, member: Member, fact: Fact, source: NodeId | None, now: float) -> bool:
        """One more accuser; False if it is none, or there are enough."""
        accuser = fact.body.owner
        if accuser in member.accusations or len(member.accusations) >= ACCUSERS_MAX:
            return False
        self._hold(member, fact, source)
        self._arm(member, now)
        return True

    def _hold(self, member: Member, fact: Fact, source: NodeId | None) -> None:
        accuser = fact.body.owner
        member.case.accusations[accuser] = fact
        self._table.revision += 1
        # Evidence ends a clock at once, so everybody is told at once. Silence has a clock of seconds, and in
        # bad times there is much of it: unless one alone is suspect, it fills the packets of ticks instead of
        # having its own.
        is_evidence = _kind(fact) in EVIDENCE
        if is_evidence:
            seen = sum(_kind(held) in EVIDENCE for held in member.accusations.values())
            tells_more = seen <= EVIDENCE_ENOUGH
        else:
            tells_more = len(member.accusations) <= self._ctx.params.suspicion_k + 1
        if tells_more:
            own = accuser == self._ctx.notary.id
            self._spread.news(
                slot_of(fact),
                fact.raw,
                member=True,
                own=own,
                source=source,
                eager=is_evidence or self.is_alone(member),
                patient=not is_evidence,
            )

    def _issue(self, member: Member, kind: Kind) -> Fact:
        return self._ctx.notary.issue(
            Accusation(self._ctx.notary.id, member.id, member.incarnation, int(kind))
        )

    # -- the clock --------------------------------------------------------------------------

    def _arm(self, member: Member, now: float) -> None:
        if member.id in self._looks:
            return
        at = self._look_at(member, now)
        if self._own_word(member) is not None:
            at = min(at, now + self._ctx.params.period)
        self._ctx.timers.set(at, Timer.SUSPICION, member.id)

    def _look_at(self, member: Member, now: float) -> float:
        """When the last look begins: when the clock ends, or so early that a thorough one ends with it."""
        ends = self._suspicion_ends(member, now)
        return ends - self._looks.thorough_wait if self._is_thorough(member, now) else ends

    def _suspicion_ends(self, member: Member, now: float) -> float:
        assert member.suspicion is not None  # noqa: S101 - a suspect has a clock
        accusers, evidence = max(1, len(member.accusations)), self._evidence(member, now)
        return member.suspicion.deadline(self._ctx.params, accusers, evidence, isolated=self.isolated)

    def _own_word(self, member: Member) -> Fact | None:
        """This node's accusation, if there is no other."""
        return member.accusations.get(self._ctx.notary.id) if len(member.accusations) == 1 else None

    def _evidence(self, member: Member, now: float) -> int:
        """How many saw a refusal or a stranger."""
        believed = EVIDENCE if member.believes_refusals(now) else (Kind.NOT_ME,)
        return sum(_kind(fact) in believed for fact in member.accusations.values())

    def is_alone(self, member: Member) -> bool:
        """Whether no other member is suspect: haste and care for this one cost next to nothing."""
        return self._table.counts[Status.SUSPECT] == (member.status is Status.SUSPECT)

    def _is_thorough(self, member: Member, now: float) -> bool:
        """Whether its last look is thorough. Who refuses is asked once, who is `degraded` over a stream."""
        return self.is_alone(member) and not member.degraded and self._evidence(member, now) < EVIDENCE_ENOUGH

    def clock_ended(self, subject: NodeId, now: float) -> None:
        """The suspicion's timer fired: look once more, unless this node doubts itself."""
        member = self._table.get(subject)
        if member is None or member.status is not Status.SUSPECT:
            return
        if self.is_mute(now):
            self._ctx.timers.set(now + self._ctx.params.period, Timer.SUSPICION, subject)
        elif self._look_at(member, now) > now:
            word = self._own_word(member)
            if word is not None:
                # Perhaps nobody else takes it, as said too often, and the first time it was lost.
                self._spread.deliver(member, (word.raw,))
            self._arm(member, now)
        else:
            self._looks.take(member, now, thorough=self._is_thorough(member, now))

    def look_wait_over(self, subject: NodeId, now: float) -> None:
        """A ping of a last look met nobody in time."""
        self._looks.wait_over(subject, now)

    def look_failed(self, member: Member, now: float) -> None:
        """The last look met nobody."""
        if member.status is not Status.SUSPECT or self._table.get(member.id) is not member:
            return
        if self.is_mute(now):
            self._ctx.timers.set(now + self._ctx.params.period, Timer.SUSPICION, member.id)
            return
        self._bury(member, now)

    def look_unsure(self, member: Member, now: float) -> None:
        """It met nobody, and that settles nothing: look again after a period, but not for ever."""
        if member.suspicion is None:
            return
        member.suspicion.unsure += 1
        if member.suspicion.unsure > UNSURE_MAX:
            self.look_failed(member, now)
            return
        self._ctx.count("look_unsure")
        self._ctx.timers.set(now + self._ctx.params.period, Timer.SUSPICION, member.id)

    def look_answered(self, member: Member, now: float) -> None:
        """The last look was acked: the suspicion ends here, whatever others still think."""
        if member.status is Status.SUSPECT:
            self._ctx.count("false_alarms")
            self.stability.answered(member, now)
            self.acquit(member)
            self._roster.set_status(member, Status.ALIVE, EventKind.MEMBER_REFUTED, now, "last look")

    def _bury(self, member: Member, now: float) -> None:
        if self._ctx.notary.id not in member.accusations and len(member.accusations) < ACCUSERS_MAX:
            self._hold(member, self._issue(member, Kind.GAVE_UP), None)
        member.case.suspicion = None
        self._table.revision += 1
        self._ctx.timers.clear(Timer.SUSPICION, member.id)
        self._ctx.count("buried")
        self.stability.buried(member, now)
        self._roster.set_status(member, Status.DEAD, EventKind.MEMBER_FAILED, now)

    # -- ends of a suspicion ----------------------------------------------------------------

    def acquit(self, member: Member) -> None:
        """Drop the suspicion and every accusation of it: the member has answered."""
        if member.accusations or member.suspicion is not None:
            for accuser in member.accusations:
                self._spread.queue.drop(accusation_slot(member.id, accuser))
            member.case.accusations, member.case.suspicion = {}, None
            self._table.revision += 1
        self._looks.drop(member.id)
        self._ctx.timers.clear(Timer.SUSPICION, member.id)

    def withdraw(self, accuser: NodeId, now: float) -> None:
        """Nothing that `accuser` has said counts any more: it was banned."""
        for member in [each for each in self._table if accuser in each.accusations]:
            del member.case.accusations[accuser]
            self._table.revision += 1
            self._spread.queue.drop(accusation_slot(member.id, accuser))
            if member.status is Status.SUSPECT and not member.accusations:
                self.acquit(member)
                self._roster.set_status(member, Status.ALIVE, EventKind.MEMBER_REFUTED, now, "accuser banned")

    def learn_from(self, member: Member, newer: MemberRecord, now: float) -> None:
        """A member's newer record: of the same life it may tell that refusals lied; a new life starts afresh.

        What was said against the former life was about a process that is gone: held to it, no accuser
        would be heard again for the longest patience, and a second crash would take that long to see.
        """
        self.stability.back(member, newer, now)
        if newer.boot != member.record.boot:
            member.forget_accusers()
        refusals = sum(_kind(fact) in EVIDENCE for fact in member.accusations.values())
        if member.status is Status.DEAD and refusals and newer.boot == member.record.boot:
            member.case.distrust_refusals_until = now + DISTRUST_REFUSALS
            self._table.revision += 1
            self._ctx.count("refusal_lied")

    def extend(self, gap: float, now: float) -> None:
        """This node was not running for `gap` seconds: no clock ran meanwhile, nor could it hear anybody."""
        self._isolated_at += gap
        self._ctx.timers.postpone(Timer.SUSPICION, gap)
        self._ctx.timers.postpone(Timer.RESTARTING, gap)
        for subject in self._looks.drop_all():
            self._ctx.timers.set(now + self._ctx.params.period, Timer.SUSPICION, subject)
        for member in self._table:
            if member.suspicion is not None:
                member.suspicion.extended += gap
                self._table.revision += 1

    def credible(self, member: Member, now: float) -> int:
        """On how many hosts the accusers of `member` live that have been alive here for long.

        Whoever has the cluster's key can invent members, on its own host or on none: those that do not answer
        are dead by then.
        """
        age = ACCUSED_AGAIN_PERIODS * self._ctx.params.period
        accusers = [self._table.get(accuser) for accuser in member.accusations]
        return len(
            {
                accuser.address[0]
                for accuser in accusers
                if accuser is not None and accuser.status is Status.ALIVE and now - accuser.since >= age
            }
        )

    def charges(self, member: Member) -> tuple[bytes, ...]:
        """What is held against a member, for it to hear (the buddy system); a leaver's own word."""
        accusations = member.accusations
        if not accusations:
            return (member.fact.raw,) if member.status is Status.LEFT else ()
        kept = list(accusations.values())[: self._ctx.params.suspicion_k + 1]
        return tuple(fact.raw for fact in kept)


def _kind(fact: Fact) -> int:
    """A `Kind`; its number, since it is asked about all that is held at every accusation."""
    assert isinstance(fact.body, Accusation)  # noqa: S101 - only accusations are held
    return fact.body.kind
