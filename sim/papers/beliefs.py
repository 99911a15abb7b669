"""What a paper's member holds of the others, and what it makes of rumours.

Membership is core's table. The precedence is SWIM's (section 4.2), and not core's (`core.transitions`): a
suspicion of a newer incarnation counts at once, and a verdict ("confirm", "dead") is hearsay that everybody
believes, until its subject says otherwise with a newer incarnation, as in memberlist. Records and
accusations are core's, issued by the notary that the world gives; a verdict is an accusation of the kind
`GAVE_UP`. Nobody checks signatures: the papers have none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import cast

import msgspec

from gossip.core.context import Context
from gossip.core.health import Health
from gossip.core.members import Member, MemberTable
from gossip.core.params import PROTOCOL_MAX, PROTOCOL_MIN, Params
from gossip.core.records import Accusation, Fact, MemberRecord
from gossip.core.suspicion import Suspicion
from gossip.core.timers import Timer
from gossip.core.types import Kind, NodeId, Phase, Status
from sim.life import Life
from sim.papers.rumours import Rumours
from sim.papers.variant import Variant

__all__ = ["Beliefs", "Charge"]

SEEN_MAX = 512
"""Rumours that are known by sight to say nothing new; then begun anew."""


class Charge:
    """What is said against one member."""

    __slots__ = ("accusations", "incarnation", "suspicion")

    def __init__(self, incarnation: int, suspicion: Suspicion | None, fact: Fact) -> None:
        self.incarnation = incarnation
        """The highest that anybody accused, which may be ahead of the member's record."""
        self.suspicion = suspicion
        """None after the verdict."""
        self.accusations = {fact.body.owner: fact}
        """By accuser; after the verdict, that alone."""


class Beliefs:
    """One member's view, its rumours and its health.

    Args:
        ctx: what the parts share.
        variant: whose rules.
        life: as the world gives it.
        queued: called with the time when there is something to tell, after there was nothing.
        watch: called with what happened, to whom, and when.
    """

    def __init__(
        self,
        ctx: Context,
        variant: Variant,
        life: Life,
        queued: Callable[[float], None],
        watch: Callable[[str, NodeId, float], None],
    ) -> None:
        self._ctx = ctx
        self._variant = variant
        self._queued = queued
        self._watch = watch
        self._seen: dict[bytes, None] = {}
        self._me = ctx.notary.id
        self._parse = ctx.notary.parse
        self.health = Health(Params(health_max=variant.health_max, period=0.0))
        """Core's score; without a period, so that every refutation counts, as in Lifeguard's table I."""
        self.rumours = Rumours(
            variant.packet_items, variant.packet_bytes, variant.cost_alive, variant.cost_accusation
        )
        self.table = MemberTable(ctx.rng)
        self.charges: dict[NodeId, Charge] = {}
        """Against the suspected and the dead, and nobody else."""
        self.graves: dict[NodeId, float] = {}
        """The dead that are still told, and since when; the longest dead first."""
        self.incarnation = life.incarnation
        self.table.me = Member(ctx.notary.issue(self._record(life)), Status.ALIVE, life.now)

    @property
    def fact(self) -> Fact:
        """My own record, as it is now."""
        return self.table.me.fact

    @property
    def limit(self) -> int:
        """How often a rumour is sent."""
        return self._variant.send_limit(self.table.n)

    def know(self, facts: Iterable[Fact], now: float) -> None:
        """Hold these members for alive, as if one had known them for long; nothing is told of it."""
        for fact in facts:
            owner = fact.body.owner
            if owner != self._me and self.table.get(owner) is None:
                self.table.add(Member(fact, Status.ALIVE, now))

    def announce(self, now: float) -> None:
        """Tell that I am."""
        self._tell(self._me, self.fact, now, record=True)

    def hear(self, news: Iterable[bytes], now: float) -> None:
        """Make of rumours what the rules say; most were heard before."""
        seen = self._seen
        for raw in news:
            if raw in seen:
                continue
            if self._weigh(self._parse(raw), now):
                if len(seen) >= SEEN_MAX:
                    seen.clear()
                seen[raw] = None

    def accuse(self, subject: NodeId, now: float) -> None:
        """My own probe of it failed, or a view that I was given has it suspected."""
        member = self.table.get(subject)
        if member is None or not member.is_live:
            return
        if self._variant.patience is None:
            self._condemn(member, now)
            return
        charge = self.charges.get(subject)
        if charge is None or self._me not in charge.accusations:
            self._suspect(member, self._issue(member, Kind.SILENT), now)

    def given(self, fact: Fact, accusation: Accusation, now: float) -> None:
        """A view that I was given has its subject suspected or dead.

        The dead of others are suspected, by me. What they suspect, memberlist takes for a suspicion of my
        own as well; Lifeguard's paper counts independent suspicions, and an exchange makes none.
        """
        subject = accusation.subject
        member = self.table.get(subject)
        if subject == self._me:
            self._defend(accusation.owner, accusation.incarnation, now)
        elif member is not None and accusation.incarnation >= self._said(member):
            if accusation.kind == Kind.GAVE_UP or self._variant.hearsay_confirms:
                self.accuse(subject, now)
            else:
                self._suspect(member, fact, now)

    def restate(self, now: float) -> None:
        """Tell of me by a newer incarnation, unasked."""
        self.incarnation += 1
        record = msgspec.structs.replace(self.table.me.record, version=self.incarnation)
        self.table.set_record(self.table.me, self._ctx.notary.issue(record))
        self.announce(now)

    def verdict(self, subject: NodeId, now: float) -> None:
        """The time to refute is over."""
        member = self.table.get(subject)
        if member is not None and member.status is Status.SUSPECT:
            self._condemn(member, now)

    def forget_dead(self, now: float) -> None:
        """Forget who has been dead for so long that nobody tells it anything any more."""
        keep = self._variant.dead_for
        while keep is not None and self.graves:
            subject, since = next(iter(self.graves.items()))
            if now - since < keep:
                return
            del self.graves[subject]
            member = self.table.get(subject)
            if member is not None:
                self.table.remove(member)
                self.charges.pop(subject, None)
            # What is known to say nothing new of a member says something of a stranger.
            self._seen.clear()

    # What rumours say

    def _weigh(self, fact: Fact, now: float) -> bool:
        """Judge one rumour; whether it would say nothing new if it were heard again."""
        body = fact.body
        if type(body) is MemberRecord:
            self._alive(fact, body, now)
            return True
        if not isinstance(body, Accusation):
            return True
        if body.subject == self._me:
            self._defend(body.owner, body.incarnation, now)
            return True
        member = self.table.get(body.subject)
        if member is None:
            return False
        if body.kind == Kind.GAVE_UP:
            if body.incarnation >= self._said(member) and member.status <= Status.SUSPECT:
                self._bury(member, fact, now)
        else:
            self._suspect(member, fact, now)
        return True

    def _alive(self, fact: Fact, record: MemberRecord, now: float) -> None:
        owner = record.owner
        if owner == self._me:
            return
        member = self.table.get(owner)
        what = "alive"
        if member is None:
            what = "join"
            self.table.add(Member(fact, Status.ALIVE, now))
        elif record.version <= self._said(member):
            return
        else:
            self.table.set_record(member, fact)
            self._acquit(member, now)
        self._tell(owner, fact, now, record=True, mine=False)
        self._watch(what, owner, now)

    def _suspect(self, member: Member, fact: Fact, now: float) -> None:
        patience = self._variant.patience
        body = cast("Accusation", fact.body)
        subject = body.subject
        charge = self.charges.get(subject)
        said = member.record.version if charge is None else charge.incarnation
        if member.status > Status.SUSPECT or patience is None or body.incarnation < said:
            return
        if charge is None:
            charge = self.charges[subject] = Charge(body.incarnation, Suspicion(now, self.table.n), fact)
            self.table.set_status(member, Status.SUSPECT, now)
            self._watch("suspect", subject, now)
        else:
            charge.incarnation = body.incarnation
            if body.owner in charge.accusations or len(charge.accusations) > self._variant.confirmers:
                return
            charge.accusations[body.owner] = fact
        suspicion = charge.suspicion
        if suspicion is not None:
            due = suspicion.started + patience(suspicion.n, len(charge.accusations) - 1)
            self._ctx.timers.set(max(now, due), Timer.SUSPICION, subject)
        self._tell(subject, fact, now, record=False, mine=body.owner == self._me)

    def _condemn(self, member: Member, now: float) -> None:
        self._bury(member, self._issue(member, Kind.GAVE_UP), now)

    def _bury(self, member: Member, fact: Fact, now: float) -> None:
        body = cast("Accusation", fact.body)
        subject = body.subject
        if self._variant.immortal:
            self._acquit(member, now)
            self._watch("dead", subject, now)
            return
        self._ctx.timers.clear(Timer.SUSPICION, subject)
        self.charges[subject] = Charge(body.incarnation, None, fact)
        self.table.set_status(member, Status.DEAD, now)
        self.graves[subject] = now
        self._tell(subject, fact, now, record=False, mine=body.owner == self._me)
        self._watch("dead", subject, now)

    def _acquit(self, member: Member, now: float) -> None:
        if self.charges.pop(member.id, None) is None:
            return
        self._ctx.timers.clear(Timer.SUSPICION, member.id)
        self.graves.pop(member.id, None)
        self.table.set_status(member, Status.ALIVE, now)

    def _said(self, member: Member) -> int:
        """The highest incarnation that anybody spoke of."""
        charge = self.charges.get(member.id)
        return member.incarnation if charge is None else charge.incarnation

    # What I say

    def _defend(self, accuser: NodeId, incarnation: int, now: float) -> None:
        """Refute what is said of my present life, by a new incarnation."""
        if incarnation < self.incarnation:
            return
        self.incarnation = incarnation
        self.health.refuted(accuser, 0.0, now)
        self._watch("refute", self._me, now)
        self.restate(now)

    def _tell(self, subject: NodeId, fact: Fact, now: float, *, record: bool, mine: bool = True) -> None:
        if mine or not self._variant.multicast:
            if not self.rumours:
                self._queued(now)
            self.rumours.add(subject, fact.raw, record=record)

    def _issue(self, member: Member, kind: Kind) -> Fact:
        return self._ctx.notary.issue(Accusation(self._me, member.id, self._said(member), int(kind)))

    def _record(self, life: Life) -> MemberRecord:
        host, port = life.address
        return MemberRecord(
            owner=self._me,
            version=life.incarnation,
            public_key=self._ctx.notary.public_key,
            exchange_key=b"",
            name=life.name,
            host=host,
            port=port,
            tags=life.tags,
            protocol_min=PROTOCOL_MIN,
            protocol_max=PROTOCOL_MAX,
            boot=self._ctx.rng.getrandbits(63),
            floor=life.floor,
            birth=life.birth,
            phase=int(Phase.RUNNING),
            ephemeral=life.ephemeral,
        )
