"""Ways into the cluster: seeds, joins, and the addresses that are tried for ever.

A member that did not leave is never given up: one remembered address is tried every other
second, at a cost that does not grow, so that a partition of any length heals by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from gossip.core.attempts import ADDRESSES_PER_SEED, ATTEMPTS_MAX, Attempt, UnderWay, explain
from gossip.core.context import Context
from gossip.core.conversation import Opener
from gossip.core.effects import Resolve
from gossip.core.events import Event, EventKind
from gossip.core.knocks import Knocks
from gossip.core.members import MemberTable
from gossip.core.own import Own
from gossip.core.repair import Repair
from gossip.core.roster import Roster
from gossip.core.strangers import Strangers, one_of
from gossip.core.timers import Timer
from gossip.core.types import Address, Status, is_loopback, show_address

__all__ = ["Joining"]

BUSY_TRIES = 8
BUSY_DELAY_MAX = 2.0
"""Seconds: of what a busy one says, since nobody has signed it. We say one at most (`Ground.busy`)."""
LONELY = 0
"""The timer's subject for the retries of a node that knows nobody; attempts have numbers from 1."""
LONELY_SOON = 1.0
LONELY_SOON_FOR = 60.0
"""While it has known nobody for less than a minute the retries stay within a second of each other:
hosts that boot together come up in any order. After that they thin out to seed_interval."""
LONELY_FIRST = 0.25
"""Seconds until the first retry of the seeds while nobody is known; it doubles to seed_interval."""


class Joining:
    """Whom this node tries to join by, and when."""

    def __init__(
        self,
        ctx: Context,
        table: MemberTable,
        roster: Roster,
        own: Own,
        repair: Repair,
        knocks: Knocks,
        seeds: Sequence[str],
        remembered: Sequence[Address],
        now: float,
    ) -> None:
        self._ctx = ctx
        self._table = table
        self._roster = roster
        self._own = own
        self._repair = repair
        self._knocks = knocks
        self._seeds = {seed: Attempt(seed, asked=False) for seed in seeds}
        self._seed_addresses: dict[str, list[Address]] = {}
        self._seed_problems: dict[str, str] = {}
        """What came of the last try, of those seeds that did not let this node join."""
        self._attempts: dict[int, Attempt] = {}
        self._waiting: dict[str, list[Attempt]] = {}
        self._under_way = UnderWay()
        self._number = 0
        self._remembered = dict.fromkeys(remembered[: ctx.params.addresses_max])
        self._strangers = Strangers()
        self._seeds_at = float("-inf")
        self._lonely_wait = LONELY_FIRST
        self._lonely_since = now
        self._reconnect_at = float("-inf")

    # -- seeds --------------------------------------------------------------------------------

    def join(self, seeds: Sequence[str]) -> None:
        """Join by each of these; each ends in a JOIN_DONE event."""
        for seed in seeds:
            if not self._under_way.is_full:
                self._resolve(Attempt(seed, asked=True))
            else:
                detail = f"{ATTEMPTS_MAX} attempts to join are under way: wait until they have ended"
                self._ctx.notify(Event(EventKind.JOIN_DONE, name=seed, ok=False, detail=detail))

    def try_seeds(self, now: float) -> None:
        """Try every seed that is not a live member already."""
        self._seeds_at = now
        if self._seeds and self._table.n == 1:
            # Agents that start together find each other as soon as the seed is up.
            jitter = 0.75 + self._ctx.rng.random() / 2
            self._ctx.timers.set(now + self._lonely_wait * jitter, Timer.SEEDS, LONELY)
            lonely_for = now - self._lonely_since
            longest = LONELY_SOON if lonely_for < LONELY_SOON_FOR else self._ctx.params.seed_interval
            self._lonely_wait = min(2 * self._lonely_wait, longest)
        for seed in self._seeds:
            known = any(self._table.at(address) for address in self._seed_addresses.get(seed, ()))
            if not known and self._under_way.may_begin(seed):
                self._resolve(Attempt(seed, asked=False))

    def seed_problems(self) -> dict[str, str]:
        """What is wrong with each seed: nothing if it let this node join, is a live member or this node."""
        found = {}
        for seed in self._seeds:
            known = self._seed_addresses.get(seed, ())
            well = self._own.me.address in known or any(map(self._table.at, known))
            found[seed] = "" if well else self._seed_problems.get(seed, "no answer yet")
        return found

    @property
    def is_waiting(self) -> bool:
        """Whether there is somebody to join, and no view has been exchanged with anybody yet."""
        if self._own.settled:
            return False
        if self._remembered or self._strangers or self._attempts:
            return True
        return not all(map(self._is_own, self._seeds))

    def _is_own(self, seed: str) -> bool:
        """Whether a seed is this very node, as in a list of seeds that all have."""
        return self._seed_addresses.get(seed) == [self._own.me.address]

    def _resolve(self, attempt: Attempt) -> None:
        self._under_way.begin(attempt)
        waiting = self._waiting.setdefault(attempt.seed, [])
        waiting.append(attempt)
        if len(waiting) == 1:
            self._ctx.effects.append(Resolve(attempt.seed))

    def resolved(self, seed: str, addresses: Sequence[Address], problem: str) -> None:
        """The shell has looked a seed's name up."""
        if seed in self._seeds:
            self._seed_addresses[seed] = list(addresses)
        for attempt in self._waiting.pop(seed, []):
            others = [address for address in addresses if address != self._own.me.address]
            attempt.addresses = others[:ADDRESSES_PER_SEED]
            attempt.problem = problem or (
                "that is this agent itself" if addresses else "the name has no address"
            )
            self._try_next(attempt)

    def _try_next(self, attempt: Attempt) -> None:
        address = attempt.next_address()
        if address is None:
            self._ended(attempt, attempt.problem)
            return
        self._number += 1
        self._attempts[self._number] = attempt
        opener = Opener(self._repair, address, b"", self._opener_done, joining=True)
        opener.number = self._number
        # A node that knows nobody learns only what everybody there knows: it need not tell them. Nor need one
        # that knows only what a conversation has brought that was cut, and that goes on where that ended.
        attempt.quiet = attempt.quiet or (self._table.n == 1 and len(self._table) == 0)
        opener.quiet = attempt.quiet

    def _opener_done(self, opener: Opener, problem: str, now: float) -> None:
        attempt = self._attempts.pop(opener.number, None)
        if attempt is None:
            return
        where = show_address(opener.address)
        if opener.verdict is not None and not opener.verdict.reached:
            tried, seen = show_address(opener.verdict.address), show_address(opener.verdict.seen)
            problem = f"unreachable at {tried}, seen from {seen}: advertise an address that {where} can reach"
        if opener.busy is not None and attempt.busy < BUSY_TRIES:
            others = [other for other in opener.busy.others if _may_name(opener.address, other)]
            attempt.put_off(opener.address, others)
            self._number += 1
            self._attempts[self._number] = attempt
            delay = min(BUSY_DELAY_MAX, opener.busy.delay_ms / 1_000)
            self._ctx.timers.set(now + delay, Timer.SEEDS, self._number)
            return
        if problem and not (opener.verdict is not None and opener.verdict.reached and problem == "eof"):
            attempt.problem = explain(problem, where)
            self._try_next(attempt)
            return
        self._own.settled = True
        self.have_company()
        seed = self._table.get(opener.peer)
        if seed is not None and opener.verdict is not None and opener.verdict.degraded:
            # What stood in the way of its ping stands in the way of news too.
            self._roster.flag(seed, "degraded", on=True)
        if opener.quiet or attempt.asked:
            self._repair.joined(now)
        self._remembered.pop(opener.address, None)
        self._ended(attempt, "")

    def have_company(self) -> None:
        """There are others now to whom it may be news what a join brings that is tried again."""
        for attempt in self._attempts.values():
            attempt.quiet = False

    def try_again(self, number: int, now: float) -> None:
        """A delay is over: a busy seed's, or this node's own while it knows nobody."""
        if number == LONELY:
            if self._table.n == 1:
                self.try_seeds(now)
            return
        attempt = self._attempts.pop(number, None)
        if attempt is not None:
            self._try_next(attempt)

    def _ended(self, attempt: Attempt, problem: str) -> None:
        self._under_way.end(attempt)
        if attempt.seed in self._seeds:
            self._seed_problems[attempt.seed] = problem
        if attempt.asked:
            detail = problem or "joined"
            self._ctx.notify(Event(EventKind.JOIN_DONE, name=attempt.seed, ok=not problem, detail=detail))

    # -- what is tried for ever ---------------------------------------------------------------

    def consider(self, now: float) -> None:
        """Once a period: try the seeds, or one remembered address, if it is their time."""
        n = self._table.n
        if n > 1:
            self._lonely_wait, self._lonely_since = LONELY_FIRST, now
            if self._seeds and now - self._seeds_at >= self._ctx.params.seed_interval:
                self._seeds_at = now
                if self._ctx.rng.random() < min(1.0, 3.0 / n):
                    self.try_seeds(now)
        elif not self._ctx.timers.is_set(Timer.SEEDS, LONELY):
            self.try_seeds(now)
        if now - self._reconnect_at >= self._ctx.params.reconnect_interval:
            self._reconnect_at = now
            self._reconnect()

    def _reconnect(self) -> None:
        for address in [known for known in self._remembered if self._table.knows(known)]:
            # A member again, or one whose end is known: its record says what to do about it.
            del self._remembered[address]
        self._strangers.forget_those(self._table.knows)
        addresses = [[address] for address in self._remembered] + self._strangers.sites()
        lost = self._table.counts[Status.DEAD] + len(addresses)
        if not lost or self._ctx.rng.random() >= lost / self._table.n:
            return
        dead = [member for member in self._table if member.status is Status.DEAD]
        at = self._ctx.rng.randrange(lost)
        if at < len(dead):
            self._knocks.at(dead[at])
            return
        address = one_of(addresses[at - len(dead)], self._ctx.rng)
        attempt = Attempt(show_address(address), asked=False)
        if self._under_way.may_begin(attempt.seed):
            self._under_way.begin(attempt)
            attempt.addresses = [address]
            # Anybody can have pinged from there, and whoever is in earnest pings again.
            self._strangers.forget(address)
            self._try_next(attempt)

    def heard_stranger(self, source: Address) -> None:
        """Somebody unknown pings this node, or who was here before: a former life knew them. So join."""
        if self._table.n == 1 and source not in self._remembered:
            self._strangers.heard(source)

    def remember(self, address: Address) -> None:
        """Keep the address of a member that is forgotten without having left."""
        if len(self._remembered) < self._ctx.params.addresses_max:
            self._remembered[address] = None

    def remembered(self) -> list[Address]:
        """Addresses worth keeping for the next life: longest-lived members first.

        How long it has lived each says itself. So where there is no room for all, those come first where this
        node has met somebody, then those of its last life.
        """
        members = [m for m in self._table if m.status is not Status.LEFT and not m.record.ephemeral]
        members.sort(key=lambda member: member.record.birth)
        found = dict.fromkeys([*(member.address for member in members), *self._remembered])
        most = self._ctx.params.addresses_max
        if len(found) > most:
            met = [member.address for member in members if member.is_at_home]
            found = dict.fromkeys([*met, *self._remembered, *found])
        return list(found)[:most]


def _may_name(seed: Address, other: Address) -> bool:
    """Whether a busy seed may name that one instead: at loopback there is this very machine."""
    return is_loopback(seed[0]) or not is_loopback(other[0])
