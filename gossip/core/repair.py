"""Anti-entropy over a stream: who repairs with whom and when, and the conversation.

Every ping and ack carries the fingerprint of its sender's view. While some peer agrees with mine
there is nothing to do. When nobody has agreed for a while, I open one stream to a member that
disagrees, and we exchange what differs:

    Hello (my buckets) ->            <- Listing (hashes in the buckets that differ)
    Offer (wanted, held) ->          <- Page (facts) with what it wants in turn
    Page (those facts) ->

A bucket too long to list comes split in the `Listing`; the opener then lists the fine buckets
that differ in a `Listing` of its own, which is answered by an `Offer`: the same steps, with the
roles exchanged. A cut conversation leaves what it brought; nothing is lost but time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gossip.core.context import Context
from gossip.core.detector import Detector
from gossip.core.intake import Intake
from gossip.core.members import Member, MemberTable
from gossip.core.messages import Busy, Frame, Hello, Listing, Offer, Page, Turned, Verdict
from gossip.core.records import Fact, MemberRecord
from gossip.core.sessions import Sessions
from gossip.core.sync import Digest, Held
from gossip.core.types import HEAD_BYTES, Address, NodeId, Status, StreamId

__all__ = ["Conversation", "Repair"]

PAGE_BYTES = 49_152
"""Facts per page: about 25 ms of signatures to check at the other end, and then others' turn."""
HAVES_MAX = 32_768
HASTE = 10.0
"""Seconds after a join in which a disagreement is repaired four times as soon: in a storm of joins
the views of most are a few records short for a moment, and waiting is all that full views take."""
OPENERS_MAX = 64
"""Conversations served at one time; more openers are told to come back."""


class Conversation:
    """What both sides of a repair do: answer listings by offers, offers by pages."""

    def __init__(self, repair: Repair, stream: StreamId, peer: NodeId) -> None:
        self.repair = repair
        self.stream = stream
        self.peer = peer
        self.digest: Digest | None = None
        self.listed: list[int] = []
        """The buckets that this side has listed."""
        self.awaited = 0
        """Answers that are still due from the peer."""
        self.changed = 0
        """Facts that were news here."""
        self.gave = 0
        """Facts that the peer asked for."""
        self.quiet = False
        self.must_answer = False
        """The peer waits for an offer, were it empty."""

    def view(self) -> Digest:
        if self.digest is None:
            self.digest = Digest(self.repair.table)
        return self.digest

    def write(self, frame: Frame) -> None:
        self.repair.sessions.write(self.stream, frame)

    def answer_listing(self, listing: Listing) -> None:
        """Say what is wanted of a listing and what it lacks; list what it could only split."""
        digest = self.view()
        for coarse, marks in listing.split:
            fine = digest.list_fine(coarse, marks)
            self.listed.extend(bucket for bucket, _, _ in fine)
            self.write(self.repair.listing(tuple(fine)))
            self.awaited += 1
        difference = digest.compare(listing.buckets)
        if not (
            difference.wants or difference.haves or difference.tell or difference.ask or self.must_answer
        ):
            return
        charges = [raw for member in difference.tell for raw in self.repair.detector.charges(member)]
        self.send_pages(charges, (), last=False)
        lacking = difference.haves[:HAVES_MAX]
        haves = tuple(self._have(held) for held in lacking if held.member.is_live)
        graves = tuple(self._have(held) for held in lacking if not held.member.is_live)
        wants = b"".join(want.to_bytes(HEAD_BYTES, "big") for want in difference.wants)
        self.write(Offer(wants, haves, tuple(difference.ask), graves))
        self.awaited += 1

    def answer_offer(self, offer: Offer) -> None:
        """Give what is wanted, unless the asker holds something newer; ask for what is newer there."""
        digest = self.view()
        wants, beaten, given = self._weigh(offer)
        # Who wants a record of a member that is hidden here must know that member: nobody needs the
        # tombstone of a stranger, and handed on and on it would never end.
        place_of = self.repair.ctx.notary.place
        known = {place_of(accused, (1, "")) for accused in offer.accuse}
        known.update(int.from_bytes(place, "big") for place, _, _ in offer.haves)
        for at in range(0, len(offer.wants) - HEAD_BYTES + 1, HEAD_BYTES):
            wanted = int.from_bytes(offer.wants[at : at + HEAD_BYTES], "big")
            held = None if wanted in beaten else digest.find(wanted)
            if held is not None and (held.member.is_live or place_of(held.member.id, (1, "")) in known):
                given[held.fact.raw] = held
        self.gave += len(given)
        facts = [held.fact.raw for held in sorted(given.values(), key=lambda held: held.key[0])]
        # The record of a member that is dead here comes with what is held against it.
        accused = dict.fromkeys(held.member.id for held in given.values() if held.key == (1, ""))
        for subject in accused | dict.fromkeys(offer.accuse):
            facts += self.repair.charges_of(subject)
        self.send_pages(facts, wants, last=True)
        if wants:
            self.awaited += 1

    def _weigh(self, offer: Offer) -> tuple[list[int], set[int], dict[bytes, Held]]:
        """What is offered, against what is held at the same places.

        Returns:
            hashes that are wanted, hashes of own records that these beat, and records that beat the offered.
        """
        wants: list[int] = []
        beaten: set[int] = set()
        given: dict[bytes, Held] = {}
        offered = [*offer.haves, *offer.graves]
        mine = self.view().places(self.listed, self.repair.ctx.notary) if offered else {}
        for number, (place, version, mark) in enumerate(offered):
            held = mine.get(int.from_bytes(place, "big"))
            record = int.from_bytes(mark, "big")
            if held is None:
                if number < len(offer.haves):
                    wants.append(record)
            elif (version, record) > (_version(held.fact), held.fact.hash):
                wants.append(record)
                beaten.add(held.fact.hash)
            else:
                # Whoever offers an older version is answered with what beats it.
                given[held.fact.raw] = held
        return wants, beaten, given

    def answer_page(self, page: Page, now: float) -> None:
        self.changed += self.repair.intake.take(page.news, self.peer, now, quiet=self.quiet)
        if page.wants:
            digest = self.view()
            asked = (
                digest.find(int.from_bytes(page.wants[at : at + HEAD_BYTES], "big"))
                for at in range(0, len(page.wants) - HEAD_BYTES + 1, HEAD_BYTES)
            )
            facts = [held.fact.raw for held in asked if held is not None]
            self.gave += len(facts)
            self.send_pages(facts, (), last=True)
        if page.last:
            self.awaited -= 1

    def send_pages(self, facts: list[bytes], wants: tuple[int, ...] | list[int], *, last: bool) -> None:
        """Send facts in pages of bounded size; the last one carries what is wanted in turn."""
        if not facts and not last:
            return
        asked = b"".join(want.to_bytes(HEAD_BYTES, "big") for want in wants)
        page: list[bytes] = []
        size = 0
        for raw in facts:
            if size + len(raw) > PAGE_BYTES:
                self.write(Page(tuple(page), b"", last=False))
                page, size = [], 0
            page.append(raw)
            size += len(raw) + 3
        self.write(Page(tuple(page), asked, last=last))

    def _have(self, held: Held) -> tuple[bytes, int, bytes]:
        place = self.repair.ctx.notary.place(held.member.id, held.key)
        return (
            place.to_bytes(HEAD_BYTES, "big"),
            _version(held.fact),
            held.fact.hash.to_bytes(HEAD_BYTES, "big"),
        )


class Opener(Conversation):
    """The side that opened the stream: to repair with a member, or to join by an address."""

    def __init__(
        self,
        repair: Repair,
        address: Address,
        peer: NodeId,
        done: Callable[[Opener, str, float], None],
        *,
        joining: bool,
    ) -> None:
        super().__init__(repair, 0, peer)
        self.address = address
        self.number = 0
        """For the caller's own use."""
        self.verdict: Verdict | None = None
        self.busy: Busy | None = None
        self.problem = ""
        self._done = done
        self.stream = repair.sessions.dial(address, self, repair.ctx.params.stream_timeout)
        self.write(repair.hello(self.view(), joining=joining))

    def opened(self, now: float) -> None:
        """The hello was written when the stream was dialled."""

    def frame(self, frame: Frame, now: float) -> None:
        if isinstance(frame, Listing):
            if not self._knows(frame, now):
                return
            self.answer_listing(frame)
        elif isinstance(frame, Offer):
            self.awaited -= 1
            self.answer_offer(frame)
        elif isinstance(frame, Page):
            self.answer_page(frame, now)
        elif isinstance(frame, Verdict):
            self.verdict = frame
            if frame.reached:
                return
            self.problem = "unreachable"
        elif isinstance(frame, Busy):
            self.busy = frame
            self.problem = "busy"
        elif isinstance(frame, Turned):
            self.problem = frame.reason
        if self.awaited <= 0 or self.problem:
            self.repair.sessions.close(self.stream)
            self._done(self, self.problem, now)

    def closed(self, reason: str, now: float) -> None:
        self.repair.sessions.unwatch(self.stream)
        self._done(self, reason, now)

    def _knows(self, listing: Listing, now: float) -> bool:
        """Take the peer's own record first: its services count only once it is known."""
        if self.peer and listing.sender != self.peer:
            self.problem = "another node answers there"
        elif listing.sender == self.repair.ctx.notary.id:
            self.problem = "that is this agent itself"
        else:
            self.peer = listing.sender
            self.changed += self.repair.intake.welcome(listing.record, self.peer, now, quiet=self.quiet)
            return True
        self.repair.sessions.close(self.stream)
        self._done(self, self.problem, now)
        return False


class Server(Conversation):
    """The side that was called."""

    def __init__(self, repair: Repair, stream: StreamId, peer: NodeId) -> None:
        super().__init__(repair, stream, peer)
        self.must_answer = True

    def opened(self, now: float) -> None:
        """It was open from the start."""

    def frame(self, frame: Frame, now: float) -> None:
        if isinstance(frame, Listing):
            self.answer_listing(frame)
        elif isinstance(frame, Offer):
            self.answer_offer(frame)
        elif isinstance(frame, Page):
            self.answer_page(frame, now)
        elif isinstance(frame, Hello):
            self.repair.ctx.count("frame_unexpected")

    def closed(self, _reason: str, _now: float) -> None:
        self.repair.sessions.unwatch(self.stream)
        self.repair.served -= 1


class Backoff(NamedTuple):
    """A peer with whom the last repair changed nothing, and the views that this was said of."""

    until: float
    wait: float
    mine: int
    theirs: bytes


class Repair:
    """When to repair, and with whom: one conversation opened at a time."""

    def __init__(
        self,
        ctx: Context,
        table: MemberTable,
        detector: Detector,
        intake: Intake,
        sessions: Sessions,
    ) -> None:
        self.ctx = ctx
        self.table = table
        self.detector = detector
        self.intake = intake
        self.sessions = sessions
        self.served = 0
        self._opener: Opener | None = None
        self._agreed_at = float("-inf")
        self._disagreeing: dict[NodeId, bytes] = {}
        self._jitter = 0.0
        self._hasty_until = float("-inf")
        self._backoff: dict[NodeId, Backoff] = {}
        self.view_disagrees = False
        """The last repair changed nothing on either side, and the views still differ."""

    # -- when -------------------------------------------------------------------------------

    def heard_view(self, member: Member, view: bytes, now: float) -> None:
        """A ping or ack told the fingerprint of a member's view."""
        member.view_at = now
        member.agreed = int.from_bytes(view, "big") == self.table.fingerprint
        if member.agreed:
            self._agreed_at = now
            self._disagreeing.clear()
            self.view_disagrees = False
        else:
            if not self._disagreeing:
                self._jitter = self.ctx.rng.random() * self.ctx.params.sync_wait / 2
                self._agreed_at = max(self._agreed_at, now - self.ctx.params.sync_wait)
            self._disagreeing[member.id] = view

    def agreement(self, now: float) -> float | None:
        """The share of members heard of late whose view was this node's own; None if there are none."""
        since = now - self.ctx.params.agreement_window
        heard = [member.agreed for member in self.table if member.is_live and member.view_at >= since]
        return sum(heard) / len(heard) if heard else None

    def consider(self, now: float, drain_time: float) -> None:
        """Once a period: repair if nobody has agreed for too long."""
        wait = max(self.ctx.params.sync_wait, drain_time) + self._jitter
        if now < self._hasty_until:
            wait /= 4
        if self._opener is not None or not self._disagreeing or now - self._agreed_at < wait:
            return
        for member in self._candidates(now):
            self.open(member, now)
            return

    def joined(self, now: float) -> None:
        """This node has joined: what was on its way meanwhile it may have missed, so look sooner."""
        self._hasty_until = now + HASTE

    def open(self, member: Member, now: float) -> None:
        """Repair with `member`, unless a conversation is under way."""
        if self._opener is None:
            self.ctx.count("repairs")
            self._agreed_at = now
            self._opener = Opener(self, member.address, member.id, self._finished, joining=False)

    def fetch(self, source: NodeId, now: float) -> None:
        """News from `source` speaks of something that is not known here: ask it."""
        member = self.table.get(source)
        if member is not None and member.is_live and now - self._agreed_at >= self.ctx.params.period:
            self.open(member, now)

    def _candidates(self, now: float) -> list[Member]:
        found = []
        for peer, view in self._disagreeing.items():
            member = self.table.get(peer)
            if member is None or not member.is_live:
                continue
            rest = self._backoff.get(peer)
            if (
                rest is not None
                and now < rest.until
                and (rest.mine, rest.theirs) == (self.table.fingerprint, view)
            ):
                continue
            found.append(member)
        self.ctx.rng.shuffle(found)
        return found

    def _finished(self, opener: Opener, problem: str, now: float) -> None:
        if self._opener is opener:
            self._opener = None
        if problem and problem != "eof":
            self.ctx.count("repair_failed")
        if opener.changed or opener.gave or problem:
            self._backoff.pop(opener.peer, None)
            return
        view = self._disagreeing.get(opener.peer, b"")
        rest = self._backoff.get(opener.peer)
        wait = (
            self.ctx.params.sync_wait
            if rest is None
            else min(rest.wait * 2, self.ctx.params.sync_backoff_max)
        )
        self._backoff[opener.peer] = Backoff(now + wait, wait, self.table.fingerprint, view)
        if len(self._backoff) > self.ctx.params.addresses_max:
            del self._backoff[next(iter(self._backoff))]
        self.view_disagrees = bool(view) and view != self._view()

    # -- the frames -------------------------------------------------------------------------

    def hello(self, digest: Digest, *, joining: bool) -> Hello:
        me = self.table.me
        return Hello(me.id, me.fact.raw, joining, self._view(), digest.marks())

    def listing(
        self,
        buckets: tuple[tuple[int, bytes, bytes], ...],
        split: tuple[tuple[int, bytes], ...] = (),
    ) -> Listing:
        me = self.table.me
        return Listing(me.id, me.fact.raw, self._view(), buckets, split)

    def is_full(self) -> bool:
        return self.served >= OPENERS_MAX

    def busy(self) -> Busy:
        """Come back later, or ask one of three others."""
        others = tuple(member.address for member in self.table.sample(3) if member.status is Status.ALIVE)
        return Busy(200 + self.ctx.rng.randrange(800), others)

    def serve(self, stream: StreamId, hello: Hello, now: float) -> None:
        """Answer a hello whose sender is welcome: from here on the stream is a conversation."""
        server = Server(self, stream, hello.sender)
        self.served += 1
        # What comes of it shows in the next pings; until then a repair of one's own would be the same again.
        self._agreed_at = now
        self.sessions.watch(stream, server)
        server.changed += self.intake.welcome(hello.record, hello.sender, now)
        listed, split = server.view().answer(hello.buckets)
        self.intake.shared_all(hello.sender)
        server.listed.extend(bucket for bucket, _, _ in listed)
        server.write(self.listing(tuple(listed), tuple(split)))

    def charges_of(self, accused: NodeId) -> tuple[bytes, ...]:
        member = self.table.get(accused)
        return () if member is None or member.is_live else self.detector.charges(member)

    def _view(self) -> bytes:
        return self.table.fingerprint.to_bytes(HEAD_BYTES, "big")


def _version(fact: Fact) -> int:
    body = fact.body
    return body.version if isinstance(body, MemberRecord) else getattr(body, "version", 0)
