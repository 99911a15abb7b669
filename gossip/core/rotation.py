"""How a cluster changes its key while members come, go and are away, without anybody in charge.

Each node says in a record of its own which keys it holds (`KeyRecord`), and which change it takes part in: a
number, the *epoch*, and the mark of the *target*, the key that the change is to. The larger (epoch, target)
counts everywhere. One node begins a change, with a key that it holds; from then on each acts by what it sees:

    lacks the target     asks a live member that holds it. The key comes wrapped for the asker alone, and
    signed holds the target     once every live member holds it, and nobody would be cut off, seals with it
    seals with it        once every live member does, and none is away that did not, retires older keys

A key is said to be held only once it is on disk. All of it is in records, which outlive whoever wrote them,
and on disk: any node may end at any step, the one that began too, and the change goes on. A member that lacks
the target is either live, and asks, or away, and is waited for until its tombstone is forgotten, unless the
operator insists. It learns of the change when it comes back: whoever is called upon by a node that cannot be
answered under the key of now hands it that key, if it knows the node from before (`handover`).

Who is excluded (banned) is given no key, and not waited for.
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
EPOCHS_AHEAD = 1_024
"""A change numbered higher above the last is nobody's who was away: it would end all later ones."""
WANTED_MAX = 4
"""Changes whose keys are asked for: whoever announces one that nobody has must not hide the others."""
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
    """The cluster's keys, as one node takes part in changing them. Without a locksmith it does nothing."""

    def __init__(
        self, ctx: Context, table: MemberTable, own: Own, keys: Keys, handover: Handover, plan: Plan
    ) -> None:
        self._ctx = ctx
        self._table = table
        self._own = own
        self._keys = keys
        self._handover = handover
        handover.taken = self._taken
        self.plan = plan
        self._wanted: dict[tuple[int, bytes], bool] = {}
        """Changes whose keys are not here yet, by epoch and target; whether the operator insists."""
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
            highest = max((epoch for epoch, _ in self._wanted), default=0)
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
            return
        if (record.epoch, record.target) < (plan.epoch, plan.target):
            return
        if plan.epoch and record.epoch > plan.epoch + EPOCHS_AHEAD:
            self._ctx.count("key_plan_refused")
            return
        state = self._keys.state(record.target)
        if state is KeyState.RETIRED:
            return
        if state is not None:
            self._adopt(record.epoch, record.target, insists=record.insists, now=now)
        else:
            self._want(record, now)

    def _want(self, record: KeyRecord, now: float) -> None:
        change = (record.epoch, record.target)
        if change not in self._wanted and len(self._wanted) >= WANTED_MAX:
            del self._wanted[min(self._wanted)]
        self._wanted[change] = record.insists or self._wanted.get(change, False)
        if not self._ctx.timers.is_set(Timer.KEYS):
            # Not all at once: at first only one node has it.
            self._ctx.timers.set(now + self._ctx.rng.random() * self._ctx.params.period, Timer.KEYS)

    def _adopt(self, epoch: int, target: bytes, *, insists: bool, now: float) -> None:
        replaced = tuple(mark for mark in self._keys.readable() if mark != target)
        self.plan = Plan(epoch, target, replaced, insists)
        self._wanted = {change: said for change, said in self._wanted.items() if change > (epoch, target)}
        self._all_send_since = float("inf")
        self._was_there = True
        self.changed()
        self.review(now)

    def review(self, now: float) -> None:
        """Go on with the change, if the time has come. Once a period."""
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

    # -- keys that are not here -------------------------------------------------------------

    def ask(self, now: float) -> None:
        """Ask a live member for a key that is wanted; until there is one that has it, again and again."""
        if not self._wanted or self._keys.locksmith is None:
            return
        self._ctx.timers.set(now + self._ctx.params.period * (0.5 + self._ctx.rng.random()), Timer.KEYS)
        having = [
            (member, mark) for _, mark in self._wanted for member in self._others() if holds(member, mark)
        ]
        if having:
            self._handover.ask(*having[self._ctx.rng.randrange(len(having))], now)

    def _taken(self, mark: bytes, sender: str, now: float) -> None:
        """A key has come from a member."""
        self._tell(f"took {self._keys.name(mark)} from {sender}")
        self.changed()
        changes = [change for change in self._wanted if change[1] == mark]
        if changes and max(changes) > (self.plan.epoch, self.plan.target):
            epoch, target = max(changes)
            self._adopt(epoch, target, insists=self._wanted[epoch, target], now=now)


def _has_retired(member: Member, mark: bytes) -> bool:
    record = keys_of(member)
    return record is not None and (mark, KeyState.RETIRED) in record.keys
