"""How a cluster key passes from member to member: asked for over a stream, wrapped for the asker, signed.

A caller that does not know the key of now is handed it before anything else, since it could not read the
rest: but only who is known here from before. Otherwise whoever has found an old key could come in with it.

Before anything else is before bans, too, and whoever has the key hands it on. So with it comes who is not to
have it: a banned node cannot get it from those that were cut off together with it, however fast it asks them.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gossip.core.context import Context, refusing
from gossip.core.keys import SHOWN_HEX, Keys
from gossip.core.members import Member, MemberTable
from gossip.core.messages import Frame, Hello, KeyAsk, KeyGrant, Turned
from gossip.core.own import Own
from gossip.core.records import KEY_MARK_BYTES, MemberRecord
from gossip.core.sessions import Sessions
from gossip.core.types import ID_BYTES, NodeId, StreamId
from gossip.errors import LocalProtocolError

__all__ = ["Handover"]

ANY = bytes(KEY_MARK_BYTES)
"""Asked for as a mark: the key that the other seals with."""
ASKS_PER_PERIOD = 4
IDLE_MAX = 16
"""Periods between questions that what cannot be read gives rise to, when the last ones brought nothing: an
outsider can send such in any member's name."""
DENIED_MAX = 4_096
SIGNATURE_BYTES = 64
_USE = b"key grant 1\0"


class Asking:
    """One stream on which a key was asked for."""

    __slots__ = ("_handover", "line", "stream")

    def __init__(self, handover: Handover, line: Line) -> None:
        self._handover = handover
        self.line = line
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
        self._wanted = Line()
        self._unread = Line()
        """Apart: what outsiders can bring about must not stand in the way of what a change needs."""
        self._idle = 1
        """Periods until the next question about what cannot be read."""
        self._denied: dict[NodeId, None] = {}
        """Who is not to have the key that came last, by whoever gave it."""

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
        line.asking = asking = Asking(self, line)
        asking.stream = self._sessions.dial(member.address, asking, self._ctx.params.period)
        self._sessions.write(asking.stream, KeyAsk(me.id, me.fact.raw, mark))

    def answered(self, asking: Asking, frame: Frame, now: float) -> None:
        """What came of it."""
        self._sessions.close(asking.stream)
        asking.line.asking = None
        if isinstance(frame, KeyGrant):
            self.granted(frame, now)
        else:
            self._ctx.count("key_not_granted")

    def hung_up(self, asking: Asking) -> None:
        """The stream is over."""
        self._sessions.unwatch(asking.stream)
        asking.line.asking = None

    def granted(self, grant: KeyGrant, now: float) -> None:
        """A key that was asked for, or that a seed found this node to lack."""
        if self._keys.locksmith is None:
            return
        notary = self._ctx.notary
        with refusing(self._ctx):
            fact = notary.parse(grant.record)
            sender = fact.body
            if (
                not isinstance(sender, MemberRecord)
                or grant.recipient != self._own.id
                or self._keys.is_excluded(sender.owner)
                or not notary.verify(fact, sender.public_key)
                or not notary.check(sender.public_key, grant.signature, _signed_part(grant))
            ):
                self._ctx.count("key_refused")
            elif self._keys.state(grant.mark) is None:
                self._keys.locksmith.unwrap(grant.box, grant.mark, grant.name, sender)
                ids = range(0, len(grant.denied), ID_BYTES)
                self._denied = dict.fromkeys(grant.denied[at : at + ID_BYTES] for at in ids)
                self._idle = 1
                self.taken(grant.mark, sender.name, now)

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
            and node not in self._denied
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
            b"".join([*self._table.bans, *self._denied][:DENIED_MAX]),
        )
        signature = self._ctx.notary.sign(_signed_part(unsigned))
        self._ctx.count("keys_granted")
        self._sessions.write(stream, msgspec.structs.replace(unsigned, signature=signature))
        self._sessions.close(stream)

    def _turn(self, stream: StreamId, reason: str) -> None:
        self._ctx.count("key_not_granted")
        self._sessions.write(stream, Turned(reason))
        self._sessions.close(stream)


def _signed_part(grant: KeyGrant) -> bytes:
    return b"".join(
        (
            _USE,
            grant.recipient,
            grant.mark,
            grant.name.encode(),
            b"\0",
            bytes((len(grant.box),)),
            grant.box,
            grant.denied,
        )
    )
