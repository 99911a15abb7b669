"""How a cluster key passes from member to member: asked for over a stream, wrapped for the asker, signed.

A caller that does not know the key of now is handed it before anything else, since it could not read the
rest: but only who is known here from before. Otherwise whoever has found an old key could come in with it.

Before anything else is before bans, too, and whoever has the key hands it on. So with it come the authority's
words on who is banned: such a node cannot get it from those that were cut off together with it, however fast
it asks them.

A giver may lie. A key is taken only from whom it was asked of, who must be let in here, and one that nobody
seals with or changes to makes room for the next: no number of invented keys stands in a real one's way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from gossip.core.context import Context, refusing
from gossip.core.keys import SHOWN_HEX, Keys, holds
from gossip.core.members import Member, MemberTable
from gossip.core.messages import GRANT_BANS_MAX, Frame, Hello, KeyAsk, KeyGrant, Turned
from gossip.core.own import Own
from gossip.core.records import KEY_MARK_BYTES, Ban, MemberRecord
from gossip.core.sessions import Sessions
from gossip.core.types import NodeId, StreamId
from gossip.errors import LocalProtocolError

__all__ = ["Handover", "signed_part"]

ANY = bytes(KEY_MARK_BYTES)
"""Asked for as a mark: the key that the other seals with."""
ASKS_PER_PERIOD = 4
IDLE_MAX = 16
"""Periods between questions that what cannot be read gives rise to, when the last ones brought nothing: an
outsider can send such in any member's name."""
BANS_BYTES = 48 * 1_024
"""Of bans that go with a key, the newest: about two hundred. Older ones come with the repair that follows."""
SIGNATURE_BYTES = 64
_USE = b"key grant 1\0"


class Asking:
    """One stream on which a key was asked for."""

    __slots__ = ("_handover", "line", "mark", "member", "stream")

    def __init__(self, handover: Handover, line: Line, member: NodeId, mark: bytes) -> None:
        self._handover = handover
        self.line = line
        self.member = member
        self.mark = mark
        self.stream: StreamId = 0

    def opened(self, now: float) -> None:
        """The question was written when the stream was dialled."""

    def frame(self, frame: Frame, now: float) -> None:
        self._handover.answered(self, frame, now)

    def closed(self, _reason: str, _now: float) -> None:
        self._handover.hung_up(self)


class Line:
    """Questions of one kind: one at a time, and no sooner than a while after the last."""

    def __init__(self) -> None:
        self.asking: Asking | None = None
        self.free_at = float("-inf")

    def is_free(self, now: float) -> bool:
        """Whether a question may be asked."""
        return self.asking is None and now >= self.free_at


class Handover:
    """Asking for keys, and handing them on."""

    def __init__(self, ctx: Context, table: MemberTable, own: Own, sessions: Sessions, keys: Keys) -> None:
        self._ctx = ctx
        self._table = table
        self._own = own
        self._sessions = sessions
        self._keys = keys
        self.taken: Callable[[bytes, str, float], None]
        """Told the mark of a key that has come, and from whom."""
        self.spare: Callable[[float], Sequence[bytes]]
        """Marks of keys that may be forgotten for one that has come."""
        self.learn: Callable[[Sequence[bytes], NodeId, float], object]
        """Given records that a member sent, as if it had gossiped them."""
        self._wanted = Line()
        self._unread = Line()
        """Apart: what outsiders can bring about must not stand in the way of what a change needs."""
        self._idle = 1
        """Periods until the next question about what cannot be read."""

    # -- asking -----------------------------------------------------------------------------

    def unreadable(self, member: Member, now: float) -> None:
        """What a member sent was sealed under a key that is not here: ask it for that key."""
        if self._keys.readable() and not self._keys.is_excluded(member.id) and self._unread.is_free(now):
            self._unread.free_at = now + self._idle * self._ctx.params.period
            self._idle = min(IDLE_MAX, 2 * self._idle)
            self._call(self._unread, member, ANY)

    def ask(self, member: Member, mark: bytes, now: float) -> None:
        """Ask a member for a key, unless that was done just now."""
        if self._wanted.is_free(now):
            self._wanted.free_at = now + self._ctx.params.period / ASKS_PER_PERIOD
            self._call(self._wanted, member, mark)

    def _call(self, line: Line, member: Member, mark: bytes) -> None:
        me = self._table.me
        line.asking = asking = Asking(self, line, member.id, mark)
        asking.stream = self._sessions.dial(member.address, asking, self._ctx.params.period)
        self._sessions.write(asking.stream, KeyAsk(me.id, me.fact.raw, mark))

    def answered(self, asking: Asking, frame: Frame, now: float) -> None:
        """What came of it."""
        self._sessions.close(asking.stream)
        asking.line.asking = None
        if isinstance(frame, KeyGrant):
            self.granted(frame, asking.member, now, asked=asking.mark)
        else:
            self._ctx.count("key_not_granted")

    def hung_up(self, asking: Asking) -> None:
        """The stream is over."""
        self._sessions.unwatch(asking.stream)
        asking.line.asking = None

    def granted(self, grant: KeyGrant, giver: NodeId, now: float, *, asked: bytes = ANY) -> None:
        """A key that was asked for, or that a node that was called found this node to lack.

        Args:
            grant: what came.
            giver: who was called; empty if only its address was known.
            now: seconds.
            asked: the mark that was asked for.
        """
        if self._keys.locksmith is None:
            return
        notary = self._ctx.notary
        with refusing(self._ctx):
            fact = notary.parse(grant.record)
            sender = fact.body
            if (
                not isinstance(sender, MemberRecord)
                or grant.recipient != self._own.id
                or (giver and sender.owner != giver)
                or asked not in (ANY, grant.mark)
                or self._keys.is_excluded(sender.owner)
                or self._ctx.gate.refuses(sender, now) is not None
                or not notary.verify(fact, sender.public_key)
                or not notary.check(sender.public_key, grant.signature, signed_part(grant))
            ):
                self._ctx.count("key_refused")
            elif self._keys.state(grant.mark) is None:
                bans = [raw for raw in grant.bans if isinstance(notary.parse(raw).body, Ban)]
                self.learn(bans, sender.owner, now)
                self._keys.locksmith.unwrap(grant.box, grant.mark, grant.name, sender, self.spare(now))
                if asked != ANY or self._is_told_of(grant.mark):
                    self._idle = 1
                self.taken(grant.mark, sender.name, now)

    def _is_told_of(self, mark: bytes) -> bool:
        """Whether a member says that it holds this key."""
        return any(holds(member, mark) for member in self._table if not self._keys.is_excluded(member.id))

    # -- being asked ------------------------------------------------------------------------

    def asked(self, stream: StreamId, ask: KeyAsk, now: float) -> None:
        """Somebody asks for a key: whoever is known here, and may be a member, is given it."""
        mark = self._keys.sending() if ask.mark == ANY else ask.mark
        with refusing(self._ctx):
            fact = self._ctx.notary.parse(ask.record)
            record = fact.body
            if not isinstance(record, MemberRecord) or record.owner != ask.sender:
                self._turn(stream, "the question carries no record of its sender")
            elif not self._ctx.notary.verify(fact, record.public_key):
                self._ctx.count("signature")
                self._turn(stream, "the signature of the member record is wrong")
            elif mark not in self._keys.readable():
                self._turn(stream, "that key is not here")
            elif not self._is_entitled(record, now):
                self._turn(stream, "this agent does not know you, or not as one that may have it: join first")
            else:
                self._grant(stream, record, mark)
            return
        self._turn(stream, "the member record is malformed")

    def greet(self, stream: StreamId, hello: Hello, record: MemberRecord, now: float) -> bool:
        """Whether a caller knows the key of now. Who does not is handed it, or told what to do."""
        mark = self._keys.sending()
        if not mark or not hello.keys or mark in hello.keys:
            return True
        if self._is_entitled(record, now):
            self._grant(stream, record, mark)
            return False
        self._turn(
            stream,
            f"this cluster seals with key {mark.hex()[:SHOWN_HEX]} now, which you lack, and this agent does"
            " not know you from before: give it to yours with 'gossip keys add', or as its --key-file",
        )
        return False

    def _is_entitled(self, record: MemberRecord, now: float) -> bool:
        """Whether it is known from before, and neither banned nor displaced by who had its invitation."""
        node = record.owner
        return (
            self._table.get(node) is not None
            and not self._keys.is_excluded(node)
            and self._ctx.gate.refuses(record, now) is None
        )

    def _grant(self, stream: StreamId, record: MemberRecord, mark: bytes) -> None:
        assert self._keys.locksmith is not None  # noqa: S101 - it holds the key
        try:
            box = self._keys.locksmith.wrap(mark, record)
        except LocalProtocolError as problem:
            self._turn(stream, str(problem))
            return
        unsigned = KeyGrant(
            self._table.me.fact.raw,
            record.owner,
            mark,
            self._keys.name(mark),
            box,
            bytes(SIGNATURE_BYTES),
            self._newest_bans(),
        )
        signature = self._ctx.notary.sign(signed_part(unsigned))
        self._ctx.count("keys_granted")
        self._sessions.write(stream, msgspec.structs.replace(unsigned, signature=signature))
        self._sessions.close(stream)

    def _newest_bans(self) -> tuple[bytes, ...]:
        bans: list[bytes] = []
        room = BANS_BYTES
        for fact in sorted(self._table.bans.values(), key=lambda fact: -cast("Ban", fact.body).version):
            room -= len(fact.raw)
            if room < 0 or len(bans) == GRANT_BANS_MAX:
                break
            bans.append(fact.raw)
        return tuple(bans)

    def _turn(self, stream: StreamId, reason: str) -> None:
        self._ctx.count("key_not_granted")
        self._sessions.write(stream, Turned(reason))
        self._sessions.close(stream)


def signed_part(grant: KeyGrant) -> bytes:
    """What the giver signs."""
    return b"".join(
        (
            _USE,
            grant.recipient,
            grant.mark,
            grant.name.encode(),
            b"\0",
            bytes((len(grant.box),)),
            grant.box,
        )
    )
