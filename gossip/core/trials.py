"""Trying to reach one node in every way that the protocol uses: a small datagram, one of full size, a stream.

A trial tells nobody anything: no member is suspected or cleared by it. The datagram of full size goes out
only once a small one was answered, so that who is tried without knowing of it gets no more than whoever
asks for the trial has sent.

    at 0, 1/4, 1/2 and 3/4 of the time      a ping: small until one was acked, then of full size
    meanwhile                               a stream, with a ping on it
    when nothing is open, or at the end     what came of each
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from gossip.core.context import Context
from gossip.core.messages import Ack, Frame
from gossip.core.pings import Pings
from gossip.core.sessions import Sessions
from gossip.core.timers import Timer
from gossip.core.types import Address, Kind, NodeId, Reach, StreamId

__all__ = ["STEPS", "Trial", "Trials"]

STEPS = 4
"""Pings of a trial to which nobody answers. With a fifth of all datagrams lost each way, all four are
unanswered once in sixty times."""
FULL_MIN = 2
"""So many datagrams of full size must be unanswered before that says something of their size."""

_MET = {Kind.REFUSED: Reach.REFUSED, Kind.NOT_ME: Reach.NOT_ME}
_ENDS = {
    "refused": Reach.REFUSED,
    "unreachable": Reach.UNREACHABLE,
    "malformed": Reach.FOREIGN,
    "eof": Reach.HUNG_UP,
    "reset": Reach.HUNG_UP,
}


class Trial:
    """One node being tried; the asker of its pings and the handler of its stream.

    Args:
        patience: seconds for the three ways.
        longest: seconds for all, if the stream is to carry more once it was answered.
        done: called once, when it is over.
        then: called when the stream was answered; True if more is to come on it.
        said: takes what comes on it then; True if still more is to come.
    """

    def __init__(
        self,
        trials: Trials,
        number: int,
        target: NodeId,
        address: Address,
        patience: float,
        longest: float,
        now: float,
        done: Done,
        then: Then | None,
        said: Said | None,
    ) -> None:
        self._trials = trials
        self.number = number
        self.target = target
        self.address = address
        self.pause = patience / STEPS
        self.until = now + patience
        self.end = now + longest
        self.done = done
        self._then = then
        self._said = said
        self.small: Reach | None = None
        self.full: Reach | None = None
        self.by_stream: Reach | None = None
        """Each None until it is known; none of them is when the trial is over."""
        self.rtt: float | None = None
        """Seconds until the first answer to a datagram."""
        self.heard = False
        """A datagram of the target's came meanwhile, as an answer or not."""
        self.doubted = False
        """This node was not running for a moment: silence says nothing."""
        self.awaits = False
        """More is to come on the stream."""
        self.small_seqs: dict[int, float] = {}
        self.full_seqs: dict[int, float] = {}
        """Pings under way, and when each was sent."""
        self.stream: StreamId = 0
        self.stream_seq = 0
        self.is_open = False

    # as the asker of pings
    def acked(self, seq: int, now: float) -> None:
        sent = self.small_seqs.pop(seq, None)
        if seq in self.full_seqs:
            sent = self.full_seqs.pop(seq)
            self.full = Reach.ACKED
        if sent is None:
            return
        self.heard = True
        if self.rtt is None:
            self.rtt = now - sent
        if self.small is not Reach.ACKED:
            self.small = Reach.ACKED
            self.full = None
            self._trials.ping(self, now)
        self._trials.look(self, now)

    def evidence(self, kind: Kind, now: float) -> None:
        if self.small is None:
            self.small, self.full = _MET[kind], Reach.UNTRIED
            self._trials.look(self, now)

    # as the handler of a stream
    def opened(self, _now: float) -> None:
        """The ping was written when the stream was dialled."""
        self.is_open = True

    def frame(self, frame: Frame, now: float) -> None:
        if self.by_stream is None:
            echo = (self.stream_seq, self.target, self.address)
            if isinstance(frame, Ack) and (frame.seq, frame.sender, frame.address) == echo:
                self.by_stream = Reach.ACKED
                self.awaits = self._then is not None and self._then(self, now)
        elif self.awaits and self._said is not None:
            self.awaits = self._said(self, frame, now)
        self._trials.look(self, now)

    def closed(self, reason: str, now: float) -> None:
        if self.by_stream is None:
            muted = Reach.MUTE if self.is_open else Reach.SILENT
            self.by_stream = _ENDS.get(reason, muted)
        self.stream, self.awaits = 0, False
        self._trials.look(self, now)

    @property
    def is_over(self) -> bool:
        """Whether nothing more can come of it."""
        known = self.small is not None and self.full is not None and self.by_stream is not None
        return known and not self.awaits

    @property
    def ways(self) -> tuple[Reach, Reach, Reach]:
        """What came of the small datagram, of the full one and of the stream."""
        known = (self.small, self.full, self.by_stream)
        small, full, by_stream = (Reach.UNTRIED if way is None else way for way in known)
        return small, full, by_stream

    def settle(self) -> None:
        """The time of the three ways is over: say what silence means."""
        silent = Reach.UNTRIED if self.doubted else Reach.SILENT
        if self.small is None:
            self.small, self.full = silent, Reach.UNTRIED
        if self.full is None:
            self.full = silent if len(self.full_seqs) >= FULL_MIN else Reach.UNTRIED
        if self.by_stream is None:
            muted = Reach.MUTE if self.is_open else Reach.SILENT
            self.by_stream = Reach.UNTRIED if self.doubted else muted


Done: TypeAlias = Callable[[Trial, float], None]
Then: TypeAlias = Callable[[Trial, float], bool]
Said: TypeAlias = Callable[[Trial, Frame, float], bool]


class Trials:
    """The trials of one node. Whoever starts them bounds their number."""

    def __init__(self, ctx: Context, pings: Pings, sessions: Sessions) -> None:
        self._ctx = ctx
        self._pings = pings
        self._sessions = sessions
        self._running: dict[int, Trial] = {}
        self._number = 0

    def __len__(self) -> int:
        return len(self._running)

    def start(
        self,
        target: NodeId,
        address: Address,
        patience: float,
        now: float,
        done: Done,
        *,
        longest: float | None = None,
        then: Then | None = None,
        said: Said | None = None,
    ) -> Trial:
        """Try to reach `target` at `address`; see `Trial` for the rest."""
        self._number += 1
        trial = Trial(
            self, self._number, target, address, patience, longest or patience, now, done, then, said
        )
        self._running[trial.number] = trial
        trial.stream_seq = self._ctx.sequence()
        trial.stream = self._sessions.dial(address, trial, patience)
        self._sessions.write(trial.stream, self._pings.ping(trial.stream_seq, target, address))
        self.ping(trial, now)
        self._ctx.timers.set(now + trial.pause, Timer.TRIAL, trial.number)
        return trial

    def step(self, number: int, now: float) -> None:
        """A quarter of a trial's time is over, or all of it."""
        trial = self._running.get(number)
        if trial is None:
            return
        if now < trial.until - trial.pause / 2:
            self.ping(trial, now)
            self._ctx.timers.set(min(now + trial.pause, trial.until), Timer.TRIAL, number)
            return
        trial.settle()
        if now >= trial.end:
            trial.awaits = False
        else:
            self._ctx.timers.set(trial.end, Timer.TRIAL, number)
        self.look(trial, now)

    def ping(self, trial: Trial, now: float) -> None:
        """Send the datagram whose turn it is, if one is still to be answered."""
        if trial.small is None:
            trial.small_seqs[self._pings.send(trial.target, trial.address, trial, now)] = now
        elif trial.small is Reach.ACKED and trial.full is None:
            trial.full_seqs[self._pings.send_full(trial.target, trial.address, trial, now)] = now

    def look(self, trial: Trial, now: float) -> None:
        """End a trial of which nothing more can come."""
        if trial.is_over and self.drop(trial):
            trial.done(trial, now)

    def drop(self, trial: Trial) -> bool:
        """Forget a trial, and say nothing of it; False if it was over."""
        if self._running.pop(trial.number, None) is None:
            return False
        self._ctx.timers.clear(Timer.TRIAL, trial.number)
        for seq in (*trial.small_seqs, *trial.full_seqs):
            self._pings.forget(seq)
        if trial.stream:
            self._sessions.close(trial.stream)
        return True

    def heard(self, sender: NodeId) -> None:
        """A datagram came from `sender`."""
        for trial in self._running.values():
            if trial.target == sender:
                trial.heard = True

    def forgive(self) -> None:
        """This node was not running: what it missed says nothing of others."""
        for trial in self._running.values():
            trial.doubted = True
