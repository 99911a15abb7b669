"""A conversation over a stream in which two nodes exchange what differs between their views.

    Hello (my buckets) ->            <- Listing (hashes in the buckets that differ)
    Offer (wanted, held) ->          <- Page (facts) with what it wants in turn
    Page (those facts) ->

A bucket too long to list comes split in the `Listing`; the opener then lists the fine buckets
that differ in a `Listing` of its own, which is answered by an `Offer`: the same steps, with the
roles exchanged. A cut conversation leaves what it brought; nothing is lost but time.

Each of these is taken once, where it is due (`due`). Whoever says one that is not is heard no further.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gossip.core.context import Context
from gossip.core.detector import Detector
from gossip.core.due import Due
from gossip.core.gate import used_bytes
from gossip.core.intake import Intake
from gossip.core.members import MemberTable
from gossip.core.messages import Busy, Frame, Hello, KeyGrant, Listing, Offer, Page, Turned, Used, Verdict
from gossip.core.records import Ban, Fact, MemberRecord
from gossip.core.sessions import Sessions
from gossip.core.sync import Digest, Held, join_hashes, split_hashes
from gossip.core.types import HEAD_BYTES, Address, NodeId, Status, StreamId

__all__ = ["Conversation", "Ground", "Opener", "Server"]

PAGE_BYTES = 49_152
"""Facts per page: about 25 ms of signatures to check at the other end, and then others' turn."""
HAVES_MAX = 32_768
USED_PER_FRAME = 8_192
NOT_DUE = "the node that answers there said what was not due"
KEY_DELAY_MS = 250
"""Until a caller that was handed a key tries again."""


class Ground:
    """What every conversation of a node stands on."""

    def __init__(
        self, ctx: Context, table: MemberTable, detector: Detector, intake: Intake, sessions: Sessions
    ) -> None:
        self.ctx = ctx
        self.table = table
        self.detector = detector
        self.intake = intake
        self.sessions = sessions
        self.readable: Callable[[], tuple[bytes, ...]] = tuple
        """Marks of the keys by which this node can be answered; set by the node, as the next."""
        self.granted: Callable[[KeyGrant, NodeId, float], None]
        """Takes a key that was handed to this node."""
        self.served = 0
        """Conversations that others opened and that are under way."""

    def hello(self, digest: Digest, *, joining: bool) -> Hello:
        me = self.table.me
        return Hello(me.id, me.fact.raw, joining, self.mark(), digest.marks(), self.readable())

    def listing(
        self,
        buckets: tuple[tuple[int, bytes, bytes], ...],
        split: tuple[tuple[int, bytes], ...] = (),
    ) -> Listing:
        me = self.table.me
        return Listing(me.id, me.fact.raw, self.mark(), buckets, split)

    def charges_of(self, accused: NodeId) -> tuple[bytes, ...]:
        member = self.table.get(accused)
        return () if member is None or member.is_live else self.detector.charges(member)

    def busy(self) -> Busy:
        """Come back later, or ask one of three others."""
        others = tuple(member.address for member in self.table.sample(3) if member.status is Status.ALIVE)
        return Busy(200 + self.ctx.rng.randrange(800), others)

    def admits(self, peer: NodeId) -> bool:
        """Whether the authority has nothing against talking to `peer`, whose record has been looked at."""
        gate = self.ctx.gate
        return not gate.is_banned(peer) and (self.table.get(peer) is not None or not gate.invited_only)

    def mark(self) -> bytes:
        """The fingerprint of this node's view, as it travels."""
        return self.table.fingerprint.to_bytes(HEAD_BYTES, "big")


class Conversation:
    """What both sides of a repair do: answer listings by offers, offers by pages."""

    def __init__(self, ground: Ground, stream: StreamId, peer: NodeId, due: Due) -> None:
        self.ground = ground
        self.stream = stream
        self.peer = peer
        self.due = due
        self.digest: Digest | None = None
        self.listed: set[int] = set()
        """The buckets that this side has listed: all of them before it takes an offer."""
        self._places: dict[int, Held] | None = None
        self.changed = 0
        """Facts that were news here."""
        self.gave = 0
        """Facts that the peer asked for."""
        self.quiet = False
        self.is_there = False
        """Whether the other end is where its member is: not known of who calls."""
        self.must_answer = False
        """The peer waits for an offer, were it empty."""

    def view(self) -> Digest:
        if self.digest is None:
            self.digest = Digest(self.ground.table)
        return self.digest

    def places(self) -> dict[int, Held]:
        """What this side has listed, by place."""
        if self._places is None:
            self._places = self.view().places(self.listed, self.ground.ctx.notary)
        return self._places

    def write(self, frame: Frame) -> None:
        self.ground.sessions.write(self.stream, frame)

    def takes(self, frame: Listing | Offer | Page) -> bool:
        """Whether a frame is due, which is counted if it is not; it is due no more then."""
        if isinstance(frame, Listing):
            is_due = self.due.take_listing(frame)
        elif isinstance(frame, Offer):
            is_due = self.due.take_offer()
        else:
            is_due = self.due.take_page(frame)
        if not is_due:
            self.ground.ctx.count("frame_unexpected")
        return is_due

    def answer_listing(self, listing: Listing) -> None:
        """Say what is wanted of a listing and what it lacks; list what it could only split."""
        digest = self.view()
        for coarse, marks in listing.split:
            fine = digest.list_fine(coarse, marks)
            self.listed.update(bucket for bucket, _, _ in fine)
            self.write(self.ground.listing(tuple(fine)))
            self.due.listed()
        difference = digest.compare(listing.buckets)
        if not (
            difference.wants or difference.haves or difference.tell or difference.ask or self.must_answer
        ):
            return
        charges = [raw for member in difference.tell for raw in self.ground.detector.charges(member)]
        self.send_pages(charges, (), last=False)
        lacking = difference.haves[:HAVES_MAX]
        haves = tuple(self._have(held) for held in lacking if held.member.is_live)
        graves = tuple(self._have(held) for held in lacking if not held.member.is_live)
        self.write(Offer(join_hashes(difference.wants), haves, tuple(difference.ask), graves))
        self.due.offered()

    def answer_offer(self, offer: Offer) -> None:
        """Give what is wanted, unless the asker holds something newer; ask for what is newer there."""
        digest = self.view()
        wants, beaten, given = self._weigh(offer)
        # Who wants a record of a member that is hidden here must know that member: nobody needs the
        # tombstone of a stranger, and handed on and on it would never end.
        place_of = self.ground.ctx.notary.place
        known = {place_of(accused, (1, "")) for accused in offer.accuse}
        known.update(int.from_bytes(place, "big") for place, _, _ in offer.haves)
        for wanted in split_hashes(offer.wants):
            held = None if wanted in beaten else digest.find(wanted)
            if held is not None and (held.member.is_live or place_of(held.member.id, (1, "")) in known):
                given[held.fact.raw] = held
        self.gave += len(given)
        facts = [held.fact.raw for held in sorted(given.values(), key=_order)]
        # The record of a member that is dead here comes with what is held against it.
        accused = dict.fromkeys(held.member.id for held in given.values() if held.key == (1, ""))
        for subject in accused | dict.fromkeys(offer.accuse):
            facts += self.ground.charges_of(subject)
        self.send_pages(facts, wants, last=True)
        if wants:
            self.due.asked()

    def _weigh(self, offer: Offer) -> tuple[list[int], set[int], dict[bytes, Held]]:
        """What is offered, against what is held at the same places.

        Returns:
            hashes that are wanted, hashes of own records that these beat, and records that beat the offered.
        """
        wants: list[int] = []
        beaten: set[int] = set()
        given: dict[bytes, Held] = {}
        offered = [*offer.haves, *offer.graves]
        mine = self.places() if offered else {}
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
        self.changed += self.ground.intake.take(
            page.news, self.peer, now, quiet=self.quiet, is_there=self.is_there
        )
        if page.wants:
            digest = self.view()
            asked = map(digest.find, dict.fromkeys(split_hashes(page.wants)))
            facts = [held.fact.raw for held in asked if held is not None]
            self.gave += len(facts)
            self.send_pages(facts, (), last=True)

    def send_pages(self, facts: list[bytes], wants: Sequence[int], *, last: bool) -> None:
        """Send facts in pages of bounded size; the last one carries what is wanted in turn."""
        if not facts and not last:
            return
        asked = join_hashes(wants)
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
        place = self.ground.ctx.notary.place(held.member.id, held.key)
        return (
            place.to_bytes(HEAD_BYTES, "big"),
            _version(held.fact),
            held.fact.hash.to_bytes(HEAD_BYTES, "big"),
        )


class Opener(Conversation):
    """The side that opened the stream: to repair with a member, or to join by an address."""

    def __init__(
        self,
        ground: Ground,
        address: Address,
        peer: NodeId,
        done: Callable[[Opener, str, float], None],
        *,
        joining: bool,
    ) -> None:
        super().__init__(ground, 0, peer, Due(listings=1, offers=0))
        self.address = address
        self.joining = joining
        self.number = 0
        """For the caller's own use."""
        self.verdict: Verdict | None = None
        self.busy: Busy | None = None
        self.problem = ""
        self._done = done
        self.is_there = True
        self.stream = ground.sessions.dial(address, self, ground.ctx.params.stream_timeout)
        self.write(ground.hello(self.view(), joining=joining))

    @property
    def awaited(self) -> int:
        """Answers that are still due from the peer."""
        return self.due.answers

    def opened(self, now: float) -> None:
        """The hello was written when the stream was dialled."""

    def frame(self, frame: Frame, now: float) -> None:
        if isinstance(frame, Listing | Offer | Page) and not self.takes(frame):
            self.problem = NOT_DUE
        elif isinstance(frame, Listing):
            if not self._knows(frame, now):
                return
            self.answer_listing(frame)
        elif isinstance(frame, Offer):
            self.answer_offer(frame)
        elif isinstance(frame, Page):
            self.answer_page(frame, now)
        elif isinstance(frame, Used):
            self._learn_used(frame)
            return
        elif isinstance(frame, Verdict) and frame.reached and self.verdict is None:
            self.verdict = frame
            return
        else:
            self._turned_away(frame, now)
        if not self.awaited or self.problem:
            self.ground.sessions.close(self.stream)
            self._done(self, self.problem, now)

    def _learn_used(self, used: Used) -> None:
        """Not before a listing has told who says it, one who is let in, and with its signature."""
        ctx = self.ground.ctx
        giver = self.ground.table.get(self.peer) if self.joining else None
        if giver is None or used.recipient != ctx.notary.id:
            ctx.count("frame_unexpected")
        elif not ctx.notary.check(
            giver.record.public_key, used.signature, used_bytes(used.recipient, used.holders)
        ):
            ctx.count("signature")
        else:
            ctx.gate.learn_used(used.holders)

    def _turned_away(self, frame: Frame, now: float) -> None:
        """What keeps the two from talking, if that is what it says."""
        if isinstance(frame, Verdict) and frame.reached:
            self.ground.ctx.count("frame_unexpected")
            self.problem = NOT_DUE
        elif isinstance(frame, Verdict):
            self.verdict = frame
            self.problem = "unreachable"
        elif isinstance(frame, Busy):
            self.busy = frame
            self.problem = "busy"
        elif isinstance(frame, Turned):
            self.problem = frame.reason
        elif isinstance(frame, KeyGrant):
            # It can be talked to once it knows this key, which has to be put on disk first.
            self.ground.granted(frame, self.peer, now)
            self.busy = Busy(KEY_DELAY_MS, ())
            self.problem = "busy"

    def closed(self, reason: str, now: float) -> None:
        self.ground.sessions.unwatch(self.stream)
        self._done(self, reason, now)

    def _knows(self, listing: Listing, now: float) -> bool:
        """Take the peer's own record first: its services count only once it is known."""
        if self.peer and listing.sender != self.peer:
            self.problem = "another node answers there"
        elif listing.sender == self.ground.ctx.notary.id:
            self.problem = "that is this agent itself"
        else:
            self.peer = listing.sender
            self.changed += self.ground.intake.welcome(listing.record, self.peer, now, quiet=self.quiet)
            if self.ground.admits(self.peer):
                return True
            self.problem = "the node that answers there is not let in here: see this agent's log"
        self.ground.sessions.close(self.stream)
        self._done(self, self.problem, now)
        return False


class Server(Conversation):
    """The side that was called."""

    def __init__(self, ground: Ground, stream: StreamId, peer: NodeId, host: str) -> None:
        super().__init__(ground, stream, peer, Due(listings=0, offers=0))
        self.host = host
        """Where it was called from."""
        self.must_answer = True

    def answer_hello(self, hello: Hello) -> None:
        """List what differs, and have what is too long to list split; one offer may answer it."""
        listed, split = self.view().answer(hello.buckets)
        self.listed.update(bucket for bucket, _, _ in listed)
        self.due = Due(listings=len(split), offers=1, split=(coarse for coarse, _ in split))
        self.write(self.ground.listing(tuple(listed), tuple(split)))

    def tell_used(self) -> None:
        """Tell a joiner which invitations are used up, once it knows who tells it, and before members."""
        used = self.ground.ctx.gate.to_tell()
        for at in range(0, len(used), USED_PER_FRAME):
            holders = tuple(used[at : at + USED_PER_FRAME])
            signature = self.ground.ctx.notary.sign(used_bytes(self.peer, holders))
            self.write(Used(self.peer, holders, signature))

    def opened(self, now: float) -> None:
        """It was open from the start."""

    def frame(self, frame: Frame, now: float) -> None:
        if self.ground.ctx.gate.is_banned(self.peer):
            # It was let in before it was banned.
            self.ground.ctx.count("banned")
            self._end()
        elif isinstance(frame, Listing | Offer | Page) and not self.takes(frame):
            self._end()
        elif isinstance(frame, Listing):
            self.answer_listing(frame)
        elif isinstance(frame, Offer):
            self.answer_offer(frame)
        elif isinstance(frame, Page):
            self.answer_page(frame, now)
        else:
            self.ground.ctx.count("frame_unexpected")
            self._end()

    def give_way(self) -> None:
        """It has a place that somebody else is to have."""
        self.write(self.ground.busy())
        self._end()

    def _end(self) -> None:
        self.ground.sessions.close(self.stream)
        self.ground.served -= 1

    def closed(self, _reason: str, _now: float) -> None:
        self.ground.sessions.unwatch(self.stream)
        self.ground.served -= 1


def _order(held: Held) -> int:
    """Bans first, then members, then what is theirs: a cut transfer leaves what is of use by itself."""
    return 0 if isinstance(held.fact.body, Ban) else held.key[0]


def _version(fact: Fact) -> int:
    body = fact.body
    return body.version if isinstance(body, MemberRecord) else getattr(body, "version", 0)
