"""Who may be a member: whom the authority has invited, and whom it has banned.

A *warrant* in a member record is the authority's word for that node. Where admission is by invitation, a
record without one is refused, by each node for itself: nobody is let in because somebody else did so.

Theory of the one-time invitation
---------------------------------
A token is a key that signs the id of the node that uses it, so two nodes
with one token have two warrants, each sound. Which of them counts, no signature says; time does, and nobody
can be made to tell it truly. So each node keeps whom it met first, with two rules beside it:

- While the first has been known for less than a minute, the one with the smaller (birth, id) has the
  invitation. So if two use a token at one time in two places, all nodes agree on one of them.
- After that nothing moves it. Were the smaller birth to count for ever, whoever finds an old token could
  name an early birth and drive out the node that has used it. What a joiner is told by its seed counts as
  known for long, for the same reason.

So it is where everybody is let in, too: who comes second is a member there as one without an invitation is,
and is nobody where invitations count one day.

Who has an invitation is never forgotten, and is kept on disk: a token is used up even when its node is gone.
A joiner is told by its seed which were used by nodes that are no longer members, since no record tells it,
and of which two members show a warrant, since no record tells who came first. That is *hearsay*: no signature
proves it, and a seed may lie. So it is held apart, and in memory only: it gives way to the record of the node
that it names, is told to those who join through this node, and the next life of this one asks its own seed.

What is left: a token used on both sides of a partition that lasts longer has two holders, each known to its
side. All name both (`warrant_used`), and a ban of one ends it.

An invitation's `expires` binds the birth of its user. No clock but the user's own tells that birth; if those
of others did, a cluster that was stopped as a whole could not start again without its authority.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, cast

from gossip.core.context import Context
from gossip.core.detector import Detector
from gossip.core.events import Event, EventKind
from gossip.core.members import Member, MemberTable
from gossip.core.records import Ban, Fact, MemberRecord, Warrant
from gossip.core.roster import Roster
from gossip.core.types import NodeId, Status

__all__ = ["BANNED", "Gate", "used_bytes"]

_USED = b"used invitations 1\0"

BANNED = "banned"
"""The flag of a member, and of a node of itself."""
HOLDERS_MAX = 65_536
"""Invitations whose holders are known; beyond it hearsay is forgotten, then those that were learnt first."""
TOLD_MAX = 256
"""Nodes of whose refusal watchers were told lately."""
TOLD_AGAIN = 60.0
"""Seconds after which they are told again."""
TOLD_BURST = 8
"""So many are told of in one period: a flood of made-up nodes must not become one of log lines."""


class Holder(NamedTuple):
    """Who uses an invitation, and since when that is known here, seconds."""

    node: NodeId
    birth: int
    since: float


class Refusal(NamedTuple):
    """Why a node is not let in."""

    reason: str
    """The counter's name."""
    detail: str
    """For people."""


def used_bytes(recipient: NodeId, holders: Iterable[tuple[bytes, NodeId]]) -> bytes:
    """What is signed of a `Used`."""
    parts = [_USED, recipient]
    for invitation, node in holders:
        parts += (bytes((len(invitation),)), invitation, node)
    return b"".join(parts)


class Gate:
    """What one node knows of the authority's word."""

    def __init__(
        self, ctx: Context, table: MemberTable, roster: Roster, detector: Detector, *, invited_only: bool
    ) -> None:
        self._ctx = ctx
        self._table = table
        self._roster = roster
        self._detector = detector
        self.invited_only = invited_only and bool(ctx.notary.authority)
        """Whether whoever has no warrant is refused; else only the banned are."""
        self._warrants: dict[NodeId, tuple[bytes, Warrant | None]] = {}
        """What the warrants of members were found to say, and of which bytes that was said."""
        self._stranger: tuple[NodeId, bytes, Warrant | None] = (b"", b"", None)
        """The same of who was judged last, and is no member yet."""
        self._holders: dict[bytes, Holder] = {}
        """Of each invitation, whose record has shown it first."""
        self._hearsay: dict[bytes, NodeId] = {}
        """Who has which of the others, as seeds said."""
        self._told: dict[NodeId, float] = {}
        self._told_from = float("-inf")
        self._told_now = 0

    def start(self, me: MemberRecord, used: Iterable[tuple[bytes, NodeId]]) -> None:
        """Take what the disk kept of who has which invitation; this node's own is nobody else's."""
        for holder, node in used:
            self._holders[holder] = Holder(node, 0, float("-inf"))
        self.entered(me, float("-inf"), told=True)

    @property
    def used(self) -> list[tuple[bytes, NodeId]]:
        """Which invitations are used, and by whom: what the disk should hold."""
        return [(key, holder.node) for key, holder in self._holders.items()]

    def to_tell(self) -> list[tuple[bytes, NodeId]]:
        """Who has which invitation, as far as records of live members do not tell: what a joiner is told."""
        disputed = {
            warrant.holder
            for node, (_, warrant) in self._warrants.items()
            if warrant is not None and not self._keeps(warrant, node)
        }
        found = list(self._hearsay.items())
        for invitation, holder in self._holders.items():
            member = self._table.get(holder.node)
            is_shown = member is not None and member.is_live and invitation not in disputed
            if holder.node != self._table.me.id and not is_shown:
                found.append((invitation, holder.node))
        return found

    def learn_used(self, holders: Iterable[tuple[bytes, NodeId]]) -> None:
        """A seed tells a joiner who has which invitation. Of what is known here nobody is talked out."""
        for invitation, node in holders:
            is_full = len(self._holders) + len(self._hearsay) >= HOLDERS_MAX
            if invitation not in self._holders and not is_full:
                self._hearsay.setdefault(invitation, node)

    # -- admission ----------------------------------------------------------------------------

    def is_banned(self, node: NodeId) -> bool:
        """Whether the authority has banned it."""
        return node in self._table.bans

    def refuses(self, record: MemberRecord, now: float) -> Refusal | None:
        """Why this node may not be a member by this record, whose signature is good; None if it may."""
        if record.owner in self._table.bans:
            return Refusal(BANNED, "the authority has banned it")
        if not self.invited_only:
            return None
        warrant = self._read(record)
        if warrant is None:
            return Refusal(
                "unwarranted", "it has no invitation of this cluster's authority (`gossip invite`)"
            )
        if warrant.name and warrant.name != record.name:
            return Refusal("warrant_name", f"it was invited as {warrant.name!r}, and calls itself otherwise")
        if record.birth > warrant.expires * 1_000:
            return Refusal("warrant_expired", "its invitation had expired before it was used")
        keeper = self._keeper_against(warrant, record, now)
        if keeper is not None:
            source = "" if warrant.holder in self._holders else ", as the seed of this agent has said"
            return Refusal("warrant_used", f"its invitation was used before, by {self._name(keeper)}{source}")
        return None

    def _name(self, node: NodeId) -> str:
        known = self._table.me if node == self._table.me.id else self._table.get(node)
        return node.hex() if known is None else f"{known.name!r} ({node.hex()[:8]})"

    def _keeper_against(self, warrant: Warrant, record: MemberRecord, now: float) -> NodeId | None:
        """Who else has the invitation, and keeps it."""
        if self._keeps(warrant, record.owner):
            return None
        holder = self._holders.get(warrant.holder)
        if holder is None:
            return self._hearsay[warrant.holder]
        is_settled = now - holder.since >= self._ctx.params.invitation_settles
        is_earlier = (holder.birth, holder.node) <= (record.birth, record.owner)
        return holder.node if is_settled or is_earlier else None

    def _keeps(self, warrant: Warrant, node: NodeId) -> bool:
        """Whether nobody else is known to have its invitation; one by id is nobody else's ever."""
        if not warrant.is_invitation:
            return True
        holder = self._holders.get(warrant.holder)
        keeper = self._hearsay.get(warrant.holder, node) if holder is None else holder.node
        return keeper == node

    def refused(self, record: MemberRecord, refusal: Refusal, now: float) -> None:
        """Count it, and tell watchers unless they have heard of it, or of many."""
        self._ctx.count(refusal.reason)
        if now - self._told_from >= self._ctx.params.period:
            self._told_from, self._told_now = now, 0
        told_at = self._told.get(record.owner)
        if self._told_now >= TOLD_BURST or (told_at is not None and now - told_at < TOLD_AGAIN):
            return
        self._told_now += 1
        self._told.pop(record.owner, None)
        self._told[record.owner] = now
        if len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]
        self._ctx.notify(
            Event(EventKind.MEMBER_REFUSED, record.owner, record.name, ok=False, detail=refusal.detail)
        )

    def entered(self, record: MemberRecord, now: float, *, told: bool = False) -> None:
        """A node has become a member by this record, or a member has restated itself.

        If it was `told` by a seed, it counts as known for long.
        """
        if not self._ctx.notary.authority:
            return
        warrant = self._read(record)
        self._warrants[record.owner] = (record.warrant, warrant)
        if warrant is None or not warrant.is_invitation:
            return
        is_mine = record.owner == self._table.me.id
        if not is_mine and self._keeper_against(warrant, record, now) is not None:
            # Everybody is let in here; that makes nobody the first.
            return
        self._hearsay.pop(warrant.holder, None)
        holder = self._holders.get(warrant.holder)
        if holder is None or holder.node != record.owner:
            self._holders.pop(warrant.holder, None)
            self._holders[warrant.holder] = Holder(record.owner, record.birth, float("-inf") if told else now)
            if len(self._holders) + len(self._hearsay) > HOLDERS_MAX:
                known: dict[bytes, Any] = self._hearsay or self._holders
                del known[next(iter(known))]
            if holder is not None:
                self._displace(holder.node, record, now)

    def _displace(self, node: NodeId, by: MemberRecord, now: float) -> None:
        member = self._table.get(node)
        if member is not None and self.invited_only and member.status is not Status.LEFT:
            self._detector.acquit(member)
            detail = f"its invitation was used first by {by.name!r}"
            self._roster.set_status(member, Status.LEFT, EventKind.MEMBER_LEFT, now, detail)
            self.refused(member.record, Refusal("warrant_used", detail), now)

    def forget(self, node: NodeId) -> None:
        """A tombstone is dropped. Who has its invitation is not forgotten."""
        self._warrants.pop(node, None)

    def is_named(self, member: Member) -> bool:
        """Whether the authority itself gave it the name that it has."""
        warrant = self._warrants.get(member.id, (b"", None))[1]
        return warrant is not None and warrant.name == member.name and self._keeps(warrant, member.id)

    def _read(self, record: MemberRecord) -> Warrant | None:
        """The record's warrant, if it is sound; the signatures of each are checked once."""
        known = self._warrants.get(record.owner)
        if known is not None and known[0] == record.warrant:
            return known[1]
        if self._stranger[:2] != (record.owner, record.warrant):
            self._stranger = (record.owner, record.warrant, self._ctx.notary.warrant(record))
        return self._stranger[2]

    # -- bans ---------------------------------------------------------------------------------

    def may_obey(self, body: Ban, fact: Fact) -> bool:
        """Whether a ban would change something here, were it signed by the authority."""
        if not self._ctx.notary.authority:
            self._ctx.count("ban_unauthorised")
            return False
        held = self._table.bans.get(body.subject)
        if held is not None:
            return (body.version, fact.hash) > (cast("Ban", held.body).version, held.hash)
        if len(self._table.bans) >= self._ctx.params.bans_max:
            self._ctx.count("bans_full")
            return False
        return True

    def ban(self, body: Ban, fact: Fact, now: float) -> None:
        """Obey the authority's word, whose signature is good: what the banned node said counts no more."""
        subject = body.subject
        is_new = subject not in self._table.bans
        self._table.set_ban(subject, fact)
        member = self._table.get(subject)
        if member is not None:
            self._detector.withdraw(subject, now)
            self._detector.acquit(member)
            if member.status is not Status.LEFT:
                self._roster.set_status(member, Status.LEFT, EventKind.MEMBER_LEFT, now, BANNED)
            self._roster.flag(member, BANNED, on=True)
        name = body.name if member is None else member.name
        if subject == self._table.me.id:
            name = self._table.me.name
        if is_new:
            self._ctx.notify(
                Event(EventKind.MEMBER_BANNED, subject, name, ok=False, detail=body.reason or "banned")
            )
