"""TCP between the processes of a world, frame by frame.

The kernel does its part by itself: it completes handshakes, takes what is written and keeps what has
arrived, whether the process runs or is stopped. A SYN that is lost or meets a cut is sent again after
1, 2, 4... seconds, until the dialler gives up. A closed port answers with a reset. When a process ends,
its kernel ends its streams properly; when a machine is gone, the other side waits until its own deadline.
A cut stalls a stream. The side whose deadline comes first closes it; if the cut is mended before the other's,
what that side has sent arrives where nobody reads any more, and is answered with a reset.

The deadlines are those of `net.streams`: the dial's own timeout; from then on `stream_timeout` after the
last whole frame read or written, and `LIFE_FACTOR` times that in all. What still comes on a stream that the
program has ended is read away for `LINGER_US`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gossip.core.messages import Frame
from gossip.core.types import Address, StreamId
from gossip.errors import RemoteProtocolError
from sim.clock import SECOND, Clock, microseconds
from sim.network import Network
from sim.pipe import RETRY_US, Pipe

if TYPE_CHECKING:
    from sim.host import Host
    from sim.process import Process

__all__ = ["LIFE_FACTOR", "End", "Streams"]

SYN_RETRY_US = SECOND
LIFE_FACTOR = 6
LINGER_US = 2 * SECOND


class Sign(enum.IntEnum):
    """What a kernel says besides data."""

    OPEN = 0
    """The last part of the handshake: the connection can be accepted."""
    FIN = 1


class End:
    """One end of one stream, and what its kernel knows of it."""

    __slots__ = (
        "address",
        "deadline_us",
        "dialled",
        "died_us",
        "gone",
        "heard",
        "line",
        "out",
        "over",
        "peer",
        "process",
        "shut_us",
        "stream",
        "waiting",
    )

    def __init__(self, process: Process, address: Address, stream: StreamId, *, dialled: bool) -> None:
        self.process = process
        self.address = address
        """The other side's."""
        self.stream = stream
        """Core's number for it; -1 before it is accepted."""
        self.dialled = dialled
        self.line = process.post.line()
        self.peer: End | None = None
        self.out: Pipe | None = None
        """To the other side; None while dialling."""
        self.waiting: list[tuple[Any, int]] = []
        """Written while dialling: what, and its size in bytes."""
        self.over = False
        """Core has closed it, or was told that it is over."""
        self.gone = False
        """The kernel has forgotten it: whatever arrives for it is answered with a reset."""
        self.heard = False
        self.shut_us = 0
        """Once over: until when the kernel still takes what arrives."""
        self.deadline_us = 0
        self.died_us = 0
        """When its longest life is over."""


class Streams:
    """All streams of a world."""

    __slots__ = ("_clock", "_idle_us", "_network")

    def __init__(self, clock: Clock, network: Network, idle: float) -> None:
        """`idle` is `Params.stream_timeout`, in seconds."""
        self._clock = clock
        self._network = network
        self._idle_us = microseconds(idle)

    # What processes ask for

    def dial(self, process: Process, stream: StreamId, address: Address, timeout: float) -> None:
        """Connect within `timeout` seconds: `stream_opened`, or `stream_closed` with the reason."""
        end = End(process, address, stream, dialled=True)
        process.ends[stream] = end
        end.deadline_us = self._clock.now_us + microseconds(timeout)
        self._clock.at(end.deadline_us, self._check, end)
        self._syn((end, SYN_RETRY_US))

    def write(self, end: End, frame: Frame) -> None:
        """Send one frame; it waits if the stream is not open yet."""
        payload, size = end.line.pack(frame)
        end.process.host.sent.add(type(frame).__name__, size)
        if end.out is None:
            end.waiting.append((payload, size))
        else:
            self._moved(end)
            end.out.put((end.peer, payload, size), size)

    def close(self, end: End) -> None:
        """Send what waits, then end; nothing more is reported."""
        end.over = True
        end.shut_us = self._clock.now_us + LINGER_US
        if end.out is not None:
            self._finish(end)
        elif end.waiting:
            end.waiting.append((Sign.FIN, 0))
        else:
            end.gone = True

    def abandon(self, end: End, *, silently: bool) -> None:
        """The process is gone; `silently`: its kernel with it."""
        end.over = end.gone = True
        if end.out is not None:
            if silently:
                end.out.drop()
            else:
                self._finish(end)

    # The handshake

    def _syn(self, attempt: tuple[End, int]) -> None:
        end, wait_us = attempt
        if end.out is not None or end.gone or self._clock.now_us >= end.deadline_us:
            return
        self._clock.after(wait_us, self._syn, (end, 2 * wait_us))
        receiver = self._network.find(end.address)
        if receiver is not None:
            self._signal(end.process.host, receiver, self._knock, (end, receiver))

    def _knock(self, knock: tuple[End, Host]) -> None:
        end, host = knock
        process = host.process
        if not host.up or end.out is not None:
            return
        if process is None or host.address != end.address or host.refusals == "rejecting":
            if host.refuses:
                self._signal(host, end.process.host, self._turn_away, end)
            return
        if end.peer is None or end.peer.process is not process:
            peer = End(process, end.process.host.address, -1, dialled=False)
            peer.peer = end
            peer.out = self._pipe(peer, end.process.host)
            end.peer = peer
        self._signal(host, end.process.host, self._establish, end)

    def _turn_away(self, end: End) -> None:
        if end.out is None and not end.over:
            end.process.handle(self._take_end, (end, "refused"))

    def _establish(self, end: End) -> None:
        peer = end.peer
        if end.out is not None or end.gone or peer is None:
            return
        end.out = self._pipe(end, peer.process.host)
        end.out.put((peer, Sign.OPEN, 0))
        end.process.handle(self._take_opened, end)

    def _signal(self, sender: Host, receiver: Host, handler: Callable[[Any], None], argument: Any) -> None:
        """One packet without data, which nobody repeats if it is lost."""
        delay_us = self._network.signal(sender, receiver)
        if delay_us is not None:
            self._clock.after(delay_us, handler, argument)

    def _pipe(self, end: End, receiver: Host) -> Pipe:
        def give_up() -> None:
            if not end.over:
                end.process.handle(self._take_end, (end, "reset"))

        return Pipe(self._clock, self._network, end.process.host, receiver, self._arrive, give_up)

    # What arrives at a kernel

    def _arrive(self, item: tuple[End, Any, int]) -> None:
        end = item[0]
        process = end.process
        if not process.host.up:
            return
        if end.gone or (end.over and self._clock.now_us >= end.shut_us):
            if end.peer is not None and item[1] is not Sign.FIN:
                self._answer_late((end, RETRY_US))
            return
        process.handle(self._take, item)

    def _answer_late(self, answer: tuple[End, int]) -> None:
        """Reset the peer; if that is lost, its kernel sends its data again, and is answered again."""
        end, wait_us = answer
        peer = end.peer
        if peer is None or peer.over or not end.process.host.up:
            return
        delay_us = self._network.signal(end.process.host, peer.process.host)
        if delay_us is None:
            self._clock.after(wait_us, self._answer_late, (end, 2 * wait_us))
        else:
            self._clock.after(delay_us, self._reset, peer)

    def _reset(self, end: End) -> None:
        if end.out is not None:
            end.out.drop()
        if not end.over:
            # A reset before any byte came from a process that is gone, or from one that never listened.
            reason = "refused" if end.dialled and not end.heard else "reset"
            end.process.handle(self._take_end, (end, reason))

    # What a process is told

    def _take_opened(self, end: End) -> None:
        waiting, end.waiting = end.waiting, []
        for content, size in waiting:
            if end.out is not None:
                end.out.put((end.peer, content, size), size, last=content is Sign.FIN)
        self._begin(end)
        if not end.over:
            end.process.node.stream_opened(end.stream, end.process.now)

    def _take(self, item: tuple[End, Any, int]) -> None:
        end, content, size = item
        if end.over:
            return
        if content is Sign.OPEN:
            self._take_accepted(end)
        elif content is Sign.FIN:
            self._take_end((end, "eof"))
        else:
            self._take_frame(end, content, size)

    def _take_accepted(self, end: End) -> None:
        process = end.process
        stream = process.node.stream_accepted(end.address, process.now)
        if stream is None:
            process.node.count("stream_limit")
            self.close(end)
            return
        end.stream = stream
        process.ends[stream] = end
        self._begin(end)
        self._clock.at(end.deadline_us, self._check, end)

    def _take_frame(self, end: End, payload: object, size: int) -> None:
        process = end.process
        world, host = process.world, process.host
        end.heard = True
        try:
            frames = end.line.unpack(payload)
        except RemoteProtocolError as error:
            process.node.count(error.reason)
            self._take_end((end, "malformed"))
            return
        for frame in frames:
            kind = type(frame).__name__
            self._moved(end)
            host.received.add(kind, size)
            data = payload if isinstance(payload, bytes) else kind.encode()
            world.journal.delivered(self._clock.now_us, host.number, data)
            process.node.stream_received(end.stream, frame, process.now)

    def _take_end(self, ending: tuple[End, str]) -> None:
        end, reason = ending
        if end.over:
            return
        end.over = True
        if end.out is None:
            end.gone = True
        else:
            self._finish(end)
        end.process.ends.pop(end.stream, None)
        end.process.node.stream_closed(end.stream, reason, end.process.now)

    # Deadlines

    def _begin(self, end: End) -> None:
        end.died_us = self._clock.now_us + LIFE_FACTOR * self._idle_us
        self._moved(end)

    def _moved(self, end: End) -> None:
        end.deadline_us = min(end.died_us, self._clock.now_us + self._idle_us)

    def _check(self, end: End) -> None:
        if end.over:
            return
        if self._clock.now_us < end.deadline_us:
            self._clock.at(end.deadline_us, self._check, end)
        else:
            end.process.handle(self._take_end, (end, "timeout"))

    def _finish(self, end: End) -> None:
        if end.out is not None:
            end.out.put((end.peer, Sign.FIN, 0), last=True)
