"""Ways into the cluster: seeds, joins, introductions, and the addresses that are tried for ever.

A joiner is introduced by its seed, and only once its advertised address has answered: by a
datagram, or at least over a stream. So an address that nobody can reach never enters the view,
and the joiner is told which address was tried and where it was seen from.

A member that did not leave is never given up: one remembered address is tried every other
second, at a cost that does not grow, so that a partition of any length heals by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from gossip.core.attempts import ADDRESSES_PER_SEED, ATTEMPTS_MAX, Attempt, UnderWay, explain
from gossip.core.context import Context, refusing
from gossip.core.conversation import Opener, Server
from gossip.core.effects import Resolve
from gossip.core.events import Event, EventKind
from gossip.core.guests import who_gives_way
from gossip.core.handover import Handover
from gossip.core.knocks import Knocks
from gossip.core.members import MemberTable
from gossip.core.messages import Ack, Frame, Hello, Turned, Verdict
from gossip.core.own import Own
from gossip.core.params import PROTOCOL_MAX, PROTOCOL_MIN
from gossip.core.pings import Pings
from gossip.core.records import Fact, MemberRecord
from gossip.core.repair import Repair
from gossip.core.roster import Roster
from gossip.core.sessions import Sessions
from gossip.core.strangers import Strangers, one_of
from gossip.core.timers import Timer
from gossip.core.types import Address, Kind, Phase, Status, StreamId, is_loopback, show_address

__all__ = ["Admission"]

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


class Introduction:
    """A joiner whose advertised address is being tried: by datagram, then over a stream."""

    __slots__ = ("_admission", "hello", "number", "record", "seen", "seq", "stream", "try_stream")

    def __init__(
        self,
        admission: Admission,
        stream: StreamId,
        hello: Hello,
        record: MemberRecord,
        seen: Address,
        number: int,
    ) -> None:
        self._admission = admission
        self.stream = stream
        self.hello = hello
        self.record = record
        self.seen = seen
        self.number = number
        self.seq = 0
        self.try_stream: StreamId = 0

    # as the asker of a ping
    def acked(self, _seq: int, now: float) -> None:
        self._admission.introduced(self, now, degraded=False)

    def evidence(self, _kind: Kind, now: float) -> None:
        self._admission.introduction_over(self.number, now)

    # as one that is about to be served
    @property
    def host(self) -> str:
        """Where it has called from."""
        return self.seen[0]

    def give_way(self) -> None:
        self._admission.give_way(self)

    # as the handler of the joiner's own stream
    def opened(self, now: float) -> None:
        """It was open from the start."""

    def frame(self, frame: Frame, now: float) -> None:
        """It has said what it wants, and waits."""

    def closed(self, _reason: str, _now: float) -> None:
        self._admission.hung_up(self)


class Trying:
    """The stream to the address that a joiner advertises."""

    __slots__ = ("_admission", "_introduction", "_seq")

    def __init__(self, admission: Admission, introduction: Introduction, seq: int) -> None:
        self._admission = admission
        self._introduction = introduction
        self._seq = seq

    def opened(self, now: float) -> None:
        """The ping was written when the stream was dialled."""

    def frame(self, frame: Frame, now: float) -> None:
        record = self._introduction.record
        if isinstance(frame, Ack) and (frame.seq, frame.sender, frame.address) == (
            self._seq,
            record.owner,
            record.address,
        ):
            self._admission.introduced(self._introduction, now, degraded=True)

    def closed(self, _reason: str, now: float) -> None:
        self._admission.introduction_over(self._introduction.number, now)


class Admission:
    """Joining and letting join."""

    def __init__(
        self,
        ctx: Context,
        table: MemberTable,
        roster: Roster,
        own: Own,
        pings: Pings,
        repair: Repair,
        sessions: Sessions,
        knocks: Knocks,
        handover: Handover,
        seeds: Sequence[str],
        remembered: Sequence[Address],
        now: float,
    ) -> None:
        self._ctx = ctx
        self._table = table
        self._roster = roster
        self._own = own
        self._pings = pings
        self._repair = repair
        self._sessions = sessions
        self._knocks = knocks
        self._handover = handover
        self._seeds = {seed: Attempt(seed, asked=False) for seed in seeds}
        self._seed_addresses: dict[str, list[Address]] = {}
        self._seed_problems: dict[str, str] = {}
        """What came of the last try, of those seeds that did not let this node join."""
        self._attempts: dict[int, Attempt] = {}
        self._waiting: dict[str, list[Attempt]] = {}
        self._under_way = UnderWay()
        self._introductions: dict[int, Introduction] = {}
        self._number = 0
        self._remembered = dict.fromkeys(remembered[: ctx.params.addresses_max])
        self._strangers = Strangers()
        self._seeds_at = float("-inf")
        self._lonely_wait = LONELY_FIRST
        self._lonely_since = now
        self._reconnect_at = float("-inf")

    # -- joining ----------------------------------------------------------------------------

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
        self._have_company()
        seed = self._table.get(opener.peer)
        if seed is not None and opener.verdict is not None and opener.verdict.degraded:
            # What stood in the way of its ping stands in the way of news too.
            self._roster.flag(seed, "degraded", on=True)
        if opener.quiet or attempt.asked:
            self._repair.joined(now)
        self._remembered.pop(opener.address, None)
        self._ended(attempt, "")

    def _have_company(self) -> None:
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

    # -- letting join -----------------------------------------------------------------------

    def received_hello(self, stream: StreamId, hello: Hello, source: Address, now: float) -> None:
        """Somebody opened a stream to join or to repair."""
        if self._own.me.record.phase == Phase.LEAVING:
            self._turn(stream, "this agent is leaving the cluster; ask another one")
            return
        with refusing(self._ctx):
            fact = self._ctx.notary.parse(hello.record)
            record = fact.body
            if not isinstance(record, MemberRecord) or record.owner != hello.sender:
                self._turn(stream, "the hello carries no record of its sender")
            elif record.owner == self._own.id:
                self._turn(stream, "that is this agent itself, or another with a copy of its key")
            elif not self._is_signed(fact, record):
                self._ctx.count("signature")
                self._turn(stream, "the signature of the member record is wrong")
            elif record.protocol_min > PROTOCOL_MAX or record.protocol_max < PROTOCOL_MIN:
                self._turn(
                    stream,
                    f"no common protocol version: {PROTOCOL_MIN} to {PROTOCOL_MAX} here, "
                    f"{record.protocol_min} to {record.protocol_max} there; upgrade the older agent",
                )
            elif (refusal := self._ctx.gate.refuses(record, now)) is not None:
                self._ctx.gate.refused(record, refusal, now)
                self._turn(stream, f"this node is not let in: {refusal.detail}")
            elif self._handover.greet(stream, hello, record, now):
                self._introduce(stream, hello, record, source, now)
            return
        self._turn(stream, "the member record is malformed")

    def _has_place(self, host: str) -> bool:
        """Whether a caller from there can be served, now that somebody may have given way."""
        if not self._repair.is_full(len(self._introductions)):
            return True
        guests = [handler for handler in self._sessions if isinstance(handler, Server | Introduction)]
        guest = who_gives_way(guests, host)
        if guest is not None:
            guest.give_way()
        return guest is not None

    def _put_off(self, stream: StreamId) -> None:
        self._sessions.write(stream, self._repair.busy())
        self._sessions.close(stream)

    def _is_signed(self, fact: Fact, record: MemberRecord) -> bool:
        """Whether the record's signature is good: of one that is held it was when it came."""
        known = self._table.get(record.owner)
        held = known is not None and known.fact.raw == fact.raw
        return held or self._ctx.notary.verify(fact, record.public_key)

    def _introduce(
        self, stream: StreamId, hello: Hello, record: MemberRecord, source: Address, now: float
    ) -> None:
        known = self._table.get(record.owner)
        is_at_home = known is not None and known.is_live and known.address == record.address
        is_known = is_at_home and not hello.joining
        if not is_known and is_loopback(record.host) and not is_loopback(source[0]):
            self._verdict(stream, record, source, reached=False, degraded=False)
            self._sessions.close(stream)
            return
        # Last of all that is asked: nobody gives way for one that is refused anyway.
        if not self._has_place(source[0]):
            self._put_off(stream)
            return
        if is_known:
            self._repair.serve(stream, hello, source[0], now)
            return
        self._number += 1
        introduction = Introduction(self, stream, hello, record, source, self._number)
        self._introductions[introduction.number] = introduction
        self._sessions.watch(stream, introduction)
        self._ctx.timers.set(now + self._ctx.params.direct_max, Timer.INTRODUCE, introduction.number)
        introduction.seq = self._pings.send(record.owner, record.address, introduction, now)

    def introduction_over(self, number: int, now: float) -> None:
        """The joiner did not ack the datagram in time, or the stream to it failed."""
        introduction = self._introductions.get(number)
        if introduction is None:
            return
        self._pings.forget(introduction.seq)
        if not introduction.try_stream and self._ctx.params.stream_probe:
            record = introduction.record
            seq = self._ctx.sequence()
            trying = Trying(self, introduction, seq)
            introduction.try_stream = self._sessions.dial(
                record.address, trying, 2 * self._ctx.params.direct_max
            )
            ping = self._pings.ping(seq, record.owner, record.address)
            self._sessions.write(introduction.try_stream, ping)
            self._ctx.timers.set(now + 2 * self._ctx.params.direct_max, Timer.INTRODUCE, number)
            return
        self._finish(introduction)
        self._verdict(
            introduction.stream, introduction.record, introduction.seen, reached=False, degraded=False
        )
        self._sessions.close(introduction.stream)

    def introduced(self, introduction: Introduction, now: float, *, degraded: bool) -> None:
        """The joiner answered at the address that it advertises."""
        if self._introductions.get(introduction.number) is not introduction:
            return
        self._finish(introduction)
        self._have_company()
        self._verdict(
            introduction.stream, introduction.record, introduction.seen, reached=True, degraded=degraded
        )
        self._repair.serve(introduction.stream, introduction.hello, introduction.host, now)
        member = self._table.get(introduction.record.owner)
        if member is not None:
            self._roster.flag(member, "degraded", on=degraded)

    def give_way(self, introduction: Introduction) -> None:
        """It has a place that somebody else is to have."""
        self._finish(introduction)
        self._put_off(introduction.stream)

    def hung_up(self, introduction: Introduction) -> None:
        """The joiner's own stream is over: there is nobody to tell, and nobody to serve."""
        self._finish(introduction)

    def _finish(self, introduction: Introduction) -> None:
        del self._introductions[introduction.number]
        self._pings.forget(introduction.seq)
        self._ctx.timers.clear(Timer.INTRODUCE, introduction.number)
        if introduction.try_stream:
            self._sessions.close(introduction.try_stream)

    def _verdict(
        self, stream: StreamId, record: MemberRecord, seen: Address, *, reached: bool, degraded: bool
    ) -> None:
        self._ctx.count("introduced" if reached else "unreachable")
        self._sessions.write(stream, Verdict(reached, degraded, record.address, seen))

    def _turn(self, stream: StreamId, reason: str) -> None:
        self._ctx.count("turned_away")
        self._sessions.write(stream, Turned(reason))
        self._sessions.close(stream)

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
