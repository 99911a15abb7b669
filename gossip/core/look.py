"""The last look: whoever is about to bury a member asks it once more, itself.

Small pings, each given what the member's round trips make likely. One is enough where as many accuse as
bring the clock to its minimum, this node or so many of long standing on hosts of their own among them: each
has asked in three ways for a whole period. Otherwise all of them may be one liar, who can have such looks
taken by the thousand until one meets nothing but loss: three are sent at once, and where none of them is
answered three more. With fewer accusers there are three, and with the third helpers are asked too: neither a
lost datagram nor one bad path between two nodes is a reason to bury anybody. On a quiet network that takes a
fraction of a second.
Who is known to be reached over streams only is asked over one instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gossip.core.context import Context
from gossip.core.health import Health
from gossip.core.member import Member
from gossip.core.messages import Ack, Frame
from gossip.core.pings import Pings
from gossip.core.requests import Request, Requests
from gossip.core.sessions import Sessions
from gossip.core.timers import Timer
from gossip.core.types import Kind, NodeId, Outcome, StreamId

__all__ = ["LastLooks"]

PINGS = 3
ROUNDS_IN_DOUBT = 3
"""So many times the helpers of a probe are asked where nobody confirms the only accuser for as long as may
be: it is rather the path between the two."""
LEAST_SHARE = 0.1
"""Of `direct_max`: no ping of a last look waits less, however short the round trips are."""


class Judge(Protocol):
    """Who wants to know how a look has ended."""

    def charges(self, member: Member) -> tuple[bytes, ...]: ...
    def credible(self, member: Member, now: float) -> int: ...
    def look_answered(self, member: Member, now: float) -> None: ...
    def look_failed(self, member: Member, now: float) -> None: ...
    def look_unsure(self, member: Member, now: float) -> None: ...


class LastLooks:
    """The last looks of one node: at most one at a member."""

    def __init__(
        self,
        ctx: Context,
        pings: Pings,
        requests: Requests,
        health: Health,
        judge: Judge,
        sessions: Sessions,
        direct_wait: Callable[[Member], float],
    ) -> None:
        self._ctx = ctx
        self._pings = pings
        self._requests = requests
        self._health = health
        self._judge = judge
        self._sessions = sessions
        self._direct_wait = direct_wait
        self._looks: dict[NodeId, Look] = {}

    def __contains__(self, member: NodeId) -> bool:
        return member in self._looks

    def __len__(self) -> int:
        return len(self._looks)

    @property
    def thorough_wait(self) -> float:
        """Seconds that a thorough look takes. Are they too few for this node, it hears no helper either."""
        return self._ctx.params.direct_max

    def take(self, member: Member, now: float, *, thorough: bool = False) -> None:
        """Look at `member`, unless it is being looked at."""
        if member.id not in self._looks:
            look = self._looks[member.id] = Look(self, member)
            if member.degraded and self._ctx.params.stream_probe:
                self._call(look, now)
            elif thorough:
                look.is_thorough = True
                self._ping(look, now)
                rounds = ROUNDS_IN_DOUBT if self._is_doubtful(member) else 1
                wait = self.thorough_wait
                look.request = self._requests.ask(member, look.address, wait, look, rounds=rounds)
            else:
                look.is_hearsay = self._is_hearsay(member, now)
                self._ping(look, now, PINGS if look.is_hearsay else 1)

    def wait_over(self, subject: NodeId, now: float) -> None:
        """A ping of the look met nobody in time."""
        look = self._looks.get(subject)
        if look is None:
            return
        if look.is_thorough:
            if len(look.seqs) < PINGS:
                self._ping(look, now)
            elif look.request is not None and not look.request.has_spoken:
                # It is rather this node, or its side of a cut.
                self._leave_open(look, now)
            else:
                self.fail(look, now)
            return
        if self._is_doubtful(look.member) and len(look.seqs) < PINGS and not look.is_call:
            self._ping(look, now)
            if len(look.seqs) == PINGS:
                self._ask_helpers(look, now)
        elif look.is_hearsay and len(look.seqs) == PINGS:
            self._ping(look, now, PINGS)
        else:
            self.fail(look, now)

    def _is_doubtful(self, member: Member) -> bool:
        """Whether fewer accuse than bring the clock to its minimum."""
        return len(member.accusations) <= self._ctx.params.suspicion_k

    def _is_hearsay(self, member: Member, now: float) -> bool:
        """Whether as many accuse as are needed, but this node is none of them, and they may be one liar."""
        said, enough = member.accusations, self._ctx.params.suspicion_k
        if len(said) <= enough or self._ctx.notary.id in said:
            return False
        return self._judge.credible(member, now) <= enough

    def refused(self, look: Look, now: float) -> None:
        """Its host says that nothing listens there. Where one accuses, the path may say so instead."""
        if look.request is not None and look.request.missing:
            return
        if look.is_thorough and look.request is None and self._is_doubtful(look.member):
            # There is nobody to ask but itself, until its clock ends.
            return
        if self._is_doubtful(look.member) and not look.is_thorough and look.request is None:
            self.wait_over(look.member.id, now)
        else:
            self.fail(look, now)

    def fail(self, look: Look, now: float) -> None:
        self.drop(look.member.id)
        self._judge.look_failed(look.member, now)

    def helped(self, look: Look, outcome: Outcome, now: float) -> None:
        """A helper says what it met: what none of them reached is dead, without waiting for more."""
        if outcome is Outcome.ACKED and look.is_thorough and not self._is_doubtful(look.member):
            # One helper that lies keeps nobody alive against two accusers; whoever lives will answer them.
            self._leave_open(look, now)
        elif outcome is Outcome.ACKED:
            self.acked(look, now)
        elif not look.is_thorough and look.request is not None and not look.request.missing:
            self.fail(look, now)

    def _leave_open(self, look: Look, now: float) -> None:
        self.drop(look.member.id)
        self._judge.look_unsure(look.member, now)

    def acked(self, look: Look, now: float) -> None:
        self.drop(look.member.id)
        self._judge.look_answered(look.member, now)

    def drop(self, subject: NodeId) -> None:
        """Its outcome matters no more."""
        look = self._looks.pop(subject, None)
        if look is not None:
            for seq in look.seqs:
                self._pings.forget(seq)
            self._requests.forget(look.request)
            if look.stream:
                self._sessions.close(look.stream)
            self._ctx.timers.clear(Timer.LAST_LOOK, subject)

    def drop_all(self) -> list[NodeId]:
        """This node was not running: no look says anything. Whom they were about."""
        subjects = list(self._looks)
        for subject in subjects:
            self.drop(subject)
        return subjects

    def _call(self, look: Look, now: float) -> None:
        """One ping over a stream, given the time that a connection may take."""
        member = look.member
        wait = 2 * self._ctx.params.direct_max * self._health.factor
        self._ctx.timers.set(now + wait, Timer.LAST_LOOK, member.id)
        look.is_call = True
        look.seqs.append(self._ctx.sequence())
        look.stream = self._sessions.dial(look.address, look, wait)
        charges = self._judge.charges(member)
        self._sessions.write(look.stream, self._pings.ping(look.seqs[0], member.id, look.address, charges))

    def _ping(self, look: Look, now: float, copies: int = 1) -> None:
        member = look.member
        if look.is_thorough:
            wait = self.thorough_wait / PINGS
        else:
            least = LEAST_SHARE * self._ctx.params.direct_max * self._health.factor
            wait = max(least, self._direct_wait(member))
        self._ctx.timers.set(now + wait, Timer.LAST_LOOK, member.id)
        charges = self._judge.charges(member)
        look.seqs += [self._pings.send(member.id, member.address, look, now, charges) for _ in range(copies)]

    def _ask_helpers(self, look: Look, now: float) -> None:
        wait = self._ctx.params.direct_max * self._health.factor
        look.request = self._requests.ask(look.member, look.address, wait, look)
        if look.request is not None:
            self._ctx.timers.set(now + wait, Timer.LAST_LOOK, look.member.id)


class Look:
    """One last look, as the asker of its pings and of helpers, or the handler of its stream."""

    __slots__ = (
        "_looks",
        "address",
        "is_call",
        "is_hearsay",
        "is_thorough",
        "member",
        "request",
        "seqs",
        "stream",
    )

    def __init__(self, looks: LastLooks, member: Member) -> None:
        self._looks = looks
        self.member = member
        self.address = member.address
        self.seqs: list[int] = []
        self.is_call = self.is_hearsay = self.is_thorough = False
        self.request: Request | None = None
        self.stream: StreamId = 0

    def helped(self, outcome: Outcome, now: float) -> None:
        self._looks.helped(self, outcome, now)

    def acked(self, _seq: int, now: float) -> None:
        self._looks.acked(self, now)

    def evidence(self, kind: Kind, now: float) -> None:
        if kind is Kind.NOT_ME:
            self._looks.fail(self, now)
        elif self.member.believes_refusals(now):
            self._looks.refused(self, now)

    def opened(self, now: float) -> None:
        """The ping was written when the stream was dialled."""

    def frame(self, frame: Frame, now: float) -> None:
        if (
            isinstance(frame, Ack)
            and frame.seq in self.seqs
            and (frame.sender, frame.address) == (self.member.id, self.address)
        ):
            self._looks.acked(self, now)

    def closed(self, _reason: str, now: float) -> None:
        """Refused, or out of time."""
        self.stream = 0
        self._looks.fail(self, now)
