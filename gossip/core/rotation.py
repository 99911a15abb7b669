"""How a cluster changes its key while members come, go and are away, without anybody in charge.

Each node says in a record of its own which keys it holds (`KeyRecord`), and which change it takes part in: a
number, the *epoch*, and the mark of the *target*, the key that the change is to. The larger (epoch, target)
counts everywhere. One node begins a change, with a key that it holds; from then on each acts by what it sees:

    lacks the target     asks a live member that holds it: it comes wrapped for the asker alone, and signed
    holds the target     once every live member holds it, and nobody would be cut off, seals with it
    seals with it        once every live member does, and none is away that did not, retires older keys

A key is said to be held only once it is on disk. All of it is in records, which outlive whoever wrote them,
and on disk: any node may end at any step, the one that began too, and the change goes on. A member that lacks
the target is either live, and asks, or away, and is waited for until its tombstone is forgotten, unless the
operator insists. It learns of the change when it comes back: whoever is called upon by a node that cannot be
answered under the key of now hands it that key, if it knows the node from before (`handover`).

Who is excluded (banned) is given no key, and not waited for, and what it says of changes counts no more:
which changes there are is looked up in the records of those who count, and kept nowhere else.

Epochs are small numbers, and nobody believes one above the seconds since 1970 and a day. So whoever lies
about them can always be outbid by one, and a newcomer need not ask anybody how large they may be.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from gossip.core.context import Context
from gossip.core.effects import SaveKeys
from gossip.core.events import Event, EventKind
from gossip.core.handover import Handover
from gossip.core.keys import Keys, KeyState, holds, keys_of
from gossip.core.members import Member, MemberTable
from gossip.core.own import Own
from gossip.core.records import KeyRecord
from gossip.core.timers import Timer
from gossip.core.types import Status
from gossip.errors import RefusedError

__all__ = ["Plan", "Rotation"]

LINGER_PERIODS = 10
"""After all seal with the target: what was sealed before has arrived, and who restarts is back."""
EPOCHS_AHEAD = 86_400
"""So much higher than the seconds since 1970 an epoch may be: clocks differ."""
ALONE_PERIODS = 10
"""A node that has begun and met nobody for so long is the whole cluster."""


class Plan(Struct, frozen=True):
    """A change of keys, as one node takes part in it. The whole of it is saved with the keys."""

    epoch: int = 0
    target: bytes = b""
    """The mark of the key that it is to."""
    replaced: tuple[bytes, ...] = ()
    """Marks of the keys that are to be retired."""
    insists: bool = False


class Rotation:
    """The cluster's keys, as one node takes part in changing them. Without a locksmith it does nothing.

    `wall` is by how much the wall clock, in seconds since 1970, was ahead of this node's at its start.
    """

    def __init__(
        self,
        ctx: Context,
        table: MemberTable,
        own: Own,
        keys: Keys,
        handover: Handover,
        plan: Plan,
        wall: float,
    ) -> None:
        self._ctx = ctx
        self._table = table
        self._own = own
        self._keys = keys
        self._handover = handover
        handover.taken = self._taken
        handover.spare = self.spare
        self.plan = plan
        self._wall = wall
        self._look_again_at = float("inf")
        """When the smallest epoch that was refused will be believed."""
        self._saves = 0
        self._all_send_since = float("inf")
        self._alone_until = self._knows_all_from = float("inf")
        self._was_there = False
        """The change began in this life."""

    # -- what others see --------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Tell which keys are here, as the disk has them."""
        self._alone_until = now + ALONE_PERIODS * self._ctx.params.period
        self._knows_all_from = now + self._ctx.params.retention
        self.publish()

    def changed(self) -> None:
        """Keys or plan are others: have them saved, and then told."""
        self._saves += 1
        self._ctx.effects.append(SaveKeys(self._saves))

    def saved(self, number: int) -> None:
        """What was asked to be saved as `number` is on disk: others may rely on it."""
        if number == self._saves:
            self.publish()

    def publish(self) -> None:
        """Tell which keys are here. They must be on disk."""
        if self._keys.locksmith is None:
            return
        plan = self.plan
        keys = tuple((key.mark, int(key.state)) for key in self._keys.held())
        record = KeyRecord(self._own.id, 1, "", plan.epoch, plan.target, plan.insists, keys)
        self._own.publish_keys(record)

    # -- changes ----------------------------------------------------------------------------

    def rotate(self, mark: bytes, now: float) -> None:
        """Begin a change to this key, which must be held here and on disk.

        Raises:
            RefusedError: if another change is under way, or there is nothing to change.
        """
        self.refuse(mark)
        if mark != self.plan.target:
            highest = max((record.epoch for record in self._larger(now)), default=0)
            self._adopt(max(self.plan.epoch, highest) + 1, mark, insists=False, now=now)

    def refuse(self, mark: bytes) -> None:
        """Raises what `rotate` would."""
        if self._keys.sending() == mark and not self.plan.replaced:
            raise RefusedError(f"this agent seals with key {self._keys.name(mark)} already")
        retired = [member.name for member in self._others() if _has_retired(member, mark)]
        if retired:
            raise RefusedError(f"{', '.join(retired)} has retired that key: rotate to another one")
        if self.is_under_way and mark != self.plan.target:
            waiting = ", ".join(member.name for member in self.lacking()) or "its next look"
            name = self._keys.name(self.plan.target)
            raise RefusedError(
                f"a change to key {name} is under way and waits for {waiting}: let it end, or stop who cannot"
                " take the key"
            )

    def insist(self) -> None:
        """Do not wait for members that are away.

        Raises:
            RefusedError: if there is nothing to wait for.
        """
        if not self.plan.replaced:
            raise RefusedError("no key waits to be retired")
        self.plan = Plan(self.plan.epoch, self.plan.target, self.plan.replaced, insists=True)
        self.changed()

    @property
    def is_under_way(self) -> bool:
        """Whether this node has still to seal with the key of the change."""
        return bool(self.plan.target) and self._keys.state(self.plan.target) is KeyState.RECEIVING

    def lacking(self) -> list[Member]:
        """Live members without the key of the change: it waits for them."""
        return [member for member in self._others() if not holds(member, self.plan.target)]

    def unswitched(self) -> list[Member]:
        """Live members that seal with an older key."""
        return [member for member in self._others() if not holds(member, self.plan.target, sending=True)]

    def away(self) -> list[Member]:
        """Dead members that did not seal with it: older keys are kept for their return."""
        return [
            member
            for member in self._table
            if member.status is Status.DEAD
            and not member.record.ephemeral
            and not self._keys.is_excluded(member.id)
            and not holds(member, self.plan.target, sending=True)
        ]

    def _others(self) -> Iterator[Member]:
        return (member for member in self._table if member.is_live and not self._keys.is_excluded(member.id))

    def met(self, member: Member, record: KeyRecord, now: float) -> None:
        """A member says which keys it holds."""
        if self._keys.locksmith is None or self._keys.is_excluded(member.id) or not record.epoch:
            return
        plan = self.plan
        if (record.epoch, record.target) == (plan.epoch, plan.target):
            if record.insists and not plan.insists and plan.replaced:
                self.insist()
        elif self._is_larger(record):
            if not self._is_believed(record, now):
                self._ctx.count("key_plan_refused")
                self._look_again_at = min(self._look_again_at, record.epoch - EPOCHS_AHEAD - self._wall)
                return
            state = self._keys.state(record.target)
            if state is None:
                self._ask_soon(now)
            elif state is not KeyState.RETIRED:
                self._adopt(record.epoch, record.target, insists=record.insists, now=now)

    def _is_larger(self, record: KeyRecord) -> bool:
        return (record.epoch, record.target) > (self.plan.epoch, self.plan.target)

    def _is_believed(self, record: KeyRecord, now: float) -> bool:
        return record.epoch <= now + self._wall + EPOCHS_AHEAD

    def _larger(self, now: float) -> Iterator[KeyRecord]:
        """What is said of larger changes than this node's, by whoever counts, be it away."""
        for member in self._table:
            record = keys_of(member)
            if (
                record is not None
                and record.epoch
                and self._is_larger(record)
                and self._is_believed(record, now)
                and not self._keys.is_excluded(member.id)
            ):
                yield record

    def _meet_again(self, now: float) -> None:
        """Look once more at what all say: what was too large to be believed may be so no longer."""
        self._look_again_at = float("inf")
        for member in self._table:
            record = keys_of(member)
            if record is not None:
                self.met(member, record, now)

    def _adopt(self, epoch: int, target: bytes, *, insists: bool, now: float) -> None:
        replaced = tuple(mark for mark in self._keys.readable() if mark != target)
        self.plan = Plan(epoch, target, replaced, insists)
        self._all_send_since = float("inf")
        self._was_there = True
        self.changed()
        self.review(now)

    def review(self, now: float) -> None:
        """Go on with the change, if the time has come. Once a period."""
        if now >= self._look_again_at:
            self._meet_again(now)
        plan = self.plan
        if self._keys.locksmith is None or not plan.target:
            return
        if self.is_under_way:
            if not self.lacking() and (self._own.settled or now >= self._alone_until):
                self._keys.locksmith.use(plan.target)
                self._tell(f"seals with {self._keys.name(plan.target)}")
                self.changed()
            return
        if not plan.replaced or self._keys.sending() != plan.target:
            return
        if self.unswitched() or (self.away() and not plan.insists):
            # Who comes back with the old key calls and is answered under it, until it has the new one.
            self._all_send_since = float("inf")
            return
        self._all_send_since = min(self._all_send_since, now)
        linger = LINGER_PERIODS * self._ctx.params.period
        if now - self._all_send_since >= linger and (plan.insists or self._knows_of_all(now)):
            self._retire(plan)

    def _knows_of_all(self, now: float) -> bool:
        """Whether this node would know of anybody that can come back with an older key.

        Who has begun after the change did was not told of members that were dead by then: it waits for
        somebody who was there before, or until all have forgotten those members.
        """
        others = list(self._others())
        if self._was_there or not others or now >= self._knows_all_from:
            return True
        return any(_has_retired(member, mark) for member in others for mark in self.plan.replaced)

    def _retire(self, plan: Plan) -> None:
        assert self._keys.locksmith is not None  # noqa: S101 - the caller has looked
        for mark in plan.replaced:
            if self._keys.state(mark) is KeyState.RECEIVING:
                self._keys.locksmith.retire(mark)
                self._tell(f"retired {self._keys.name(mark)}")
        self.plan = Plan(plan.epoch, plan.target, (), plan.insists)
        self.changed()

    def _tell(self, detail: str) -> None:
        me = self._table.me
        self._ctx.notify(Event(EventKind.KEYS_CHANGED, me.id, me.name, detail=detail))

    def spare(self, now: float) -> list[bytes]:
        """Marks of keys that members handed to this node, and nobody who counts has a use for, oldest first.

        Who lies can hand on keys of its own making, and as many as it likes. What is sealed with, by members
        that are away too, and what a change is to, is no such key; nor is what the operator added.
        """
        needed = {self.plan.target, *(record.target for record in self._larger(now))}
        for member in self._table:
            record = None if self._keys.is_excluded(member.id) else keys_of(member)
            if record is not None:
                needed.update(mark for mark, state in record.keys if state == KeyState.SENDING)
        return [
            key.mark
            for key in self._keys.held()
            if key.handed and key.state is KeyState.RECEIVING and key.mark not in needed
        ]

    # -- keys that are not here -------------------------------------------------------------

    def _ask_soon(self, now: float) -> None:
        if not self._ctx.timers.is_set(Timer.KEYS):
            # Not all at once: at first only one node has it.
            self._ctx.timers.set(now + self._ctx.rng.random() * self._ctx.params.period, Timer.KEYS)

    def ask(self, now: float) -> None:
        """Ask a live member for a key that is wanted; until there is one that has it, again and again."""
        if self._keys.locksmith is None:
            return
        wanted = {record.target for record in self._larger(now) if self._keys.state(record.target) is None}
        if not wanted:
            return
        self._ctx.timers.set(now + self._ctx.params.period * (0.5 + self._ctx.rng.random()), Timer.KEYS)
        having = [
            (member, mark)
            for member in self._others()
            if (record := keys_of(member)) is not None
            for mark, state in record.keys
            if mark in wanted and state != KeyState.RETIRED
        ]
        if having:
            # Whoever announces keys that nobody has cannot hide the others: more and more hold a real one.
            self._handover.ask(*having[self._ctx.rng.randrange(len(having))], now)

    def _taken(self, mark: bytes, sender: str, now: float) -> None:
        """A key has come from a member."""
        self._tell(f"took {self._keys.name(mark)} from {sender}")
        self.changed()
        changes = [record for record in self._larger(now) if record.target == mark]
        if changes:
            epoch = max(record.epoch for record in changes)
            insists = any(record.insists for record in changes if record.epoch == epoch)
            self._adopt(epoch, mark, insists=insists, now=now)


def _has_retired(member: Member, mark: bytes) -> bool:
    record = keys_of(member)
    return record is not None and (mark, KeyState.RETIRED) in record.keys
