"""Members that go silent and come back, again and again, in one life: patience instead of flapping.

A host behind a lossy or one-way link, or one that is stopped now and then, is found silent by several
others, is perhaps buried, and answers again. To bury and revive it each time tells every watcher of
every node about it twice, and helps nobody. So each such *relapse* is remembered for a while, and makes
the next suspicion of that member longer, up to eight times: one mistake, then patience.

Only what several observers saw counts, or a burial here: a single accuser cannot make a member look
unstable. What befalls many members at about the same time says something of the network, or of this
node, and nothing of them. A new life (`boot`) starts afresh, and evidence of a crash needs no patience.
"""

from __future__ import annotations

from collections import deque

from gossip.core.context import Context
from gossip.core.members import Member, MemberTable
from gossip.core.records import MemberRecord
from gossip.core.roster import Roster
from gossip.core.types import NodeId, Status

__all__ = ["Stability"]

FORGIVEN_AFTER = 150.0
"""Seconds in which a relapse of weight 1 is forgotten."""
RETURN = 3.0
REFUTATION = 1.0
"""What a return from the dead weighs, and a suspicion that several shared and that proved wrong."""
WEIGHT_MAX = 6.0
RAISE_AT, LOWER_AT = 4.0, 2.0
"""Between these weights the flag `unstable` stays as it is."""
TOGETHER = 30.0
"""Seconds within which burials count as one event."""
BURIED_LATELY = 600.0
"""Who was buried longer ago than this, seconds, does not flap."""
BURIALS_MAX = 4_096


class Stability:
    """How often each member has come back lately, and how much patience that earns it."""

    def __init__(self, ctx: Context, table: MemberTable, roster: Roster) -> None:
        self._ctx = ctx
        self._table = table
        self._roster = roster
        self._burials: deque[tuple[float, NodeId]] = deque(maxlen=BURIALS_MAX)
        self._flagged: dict[NodeId, Member] = {}

    def patience(self, member: Member, now: float) -> int:
        """By how much to multiply the clock of a new suspicion: 1, 2, 4, ... at most `patience_max`."""
        weight = self._weight(member, now)
        if weight < 0.5:
            return 1
        return min(self._ctx.params.patience_max, 1 << int(weight + 0.5))

    def buried(self, member: Member, now: float) -> None:
        self._burials.append((now, member.id))

    def answered(self, member: Member, now: float) -> None:
        """`member` is suspect here, and has answered: to be told before its accusations are dropped."""
        if len(member.accusations) >= 2 and not self._is_common(self._table.counts[Status.SUSPECT]):
            self._relapsed(member, REFUTATION, now)

    def back(self, member: Member, newer: MemberRecord, now: float) -> None:
        """`member` has a newer record: perhaps it returns from the dead, perhaps in a new life."""
        if newer.boot != member.record.boot:
            self._forget(member)
        elif member.status is Status.DEAD:
            # A burial that is long ago is no flapping, and what else was buried then is forgotten.
            if self._was_buried_alone(member):
                self._relapsed(member, RETURN, now)
        elif member.status is Status.SUSPECT:
            self.answered(member, now)

    def review(self, now: float) -> None:
        """Lower the flags of those that have been quiet for long enough; once a period."""
        while self._burials and now - self._burials[0][0] > BURIED_LATELY + TOGETHER:
            self._burials.popleft()
        for member in list(self._flagged.values()):
            if self._table.get(member.id) is not member:
                del self._flagged[member.id]
            elif self._weight(member, now) < LOWER_AT:
                self._lower(member)

    def _was_buried_alone(self, member: Member) -> bool:
        """Whether its burial is still known, and no more than a few others were buried at about that time."""
        together: set[NodeId] = set()
        for at, who in reversed(self._burials):
            if at < member.since - TOGETHER:
                break
            if at <= member.since + TOGETHER:
                together.add(who)
                if self._is_common(len(together)):
                    return False
        return member.id in together

    def _is_common(self, befallen: int) -> bool:
        """Whether that many members at once are more than a few troubled ones."""
        return befallen > max(1.0, self._table.n / 10)

    def _weight(self, member: Member, now: float) -> float:
        case = member.judged
        if not case.relapses:
            return 0.0
        return max(0.0, case.relapses - (now - case.relapsed_at) / FORGIVEN_AFTER)

    def _relapsed(self, member: Member, by: float, now: float) -> None:
        if self._ctx.params.patience_max <= 1:
            return
        self._ctx.count("relapses")
        weight = min(WEIGHT_MAX, self._weight(member, now) + by)
        member.case.relapses, member.case.relapsed_at = weight, now
        member.case.blamed = tuple(member.accusations.values())
        if weight >= RAISE_AT and member.id not in self._flagged:
            self._flagged[member.id] = member
            self._roster.flag(member, "unstable", on=True)

    def _forget(self, member: Member) -> None:
        if member.judged.relapses:
            member.case.relapses, member.case.blamed = 0.0, ()
        if member.id in self._flagged:
            self._lower(member)

    def _lower(self, member: Member) -> None:
        del self._flagged[member.id]
        self._roster.flag(member, "unstable", on=False)
