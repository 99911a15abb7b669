"""One life of one agent: feeds a core what the world brings, and carries out its effects.

This is `net.driver` in virtual time, and keeps its order: on each wake-up a pulse, then what was
received, then what is due, with effects drained after every input.

A process can be *stopped* (by a signal, say): its clock runs on and its kernel goes on working, so what
arrives is kept for it as far as the buffers reach, and is handled when it continues, late. When the
whole machine is *suspended*, its monotonic clock stands still too and nothing reaches it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from gossip.core.effects import Close, Dial, Notify, Resolve, SaveCounter, Send, Write
from gossip.core.events import EventKind
from gossip.core.types import Address, StreamId
from gossip.errors import RemoteProtocolError
from sim.clock import SECOND
from sim.life import Core
from sim.post import Post
from sim.streams import End

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

__all__ = ["RECEIVE_BUFFER", "SESSION_BYTES", "Process"]

_Result = TypeVar("_Result")

NEVER = 1 << 62
"""Microseconds: later than anything."""
RECEIVE_BUFFER = 212_992
"""Bytes: Linux's default for a UDP socket."""
BUFFER_OVERHEAD = 768
"""What each waiting datagram costs there besides its bytes."""
REFUSAL_LIFE_US = 2 * SECOND
"""A refusal proves nothing about what was sent longer ago."""
SESSION_BYTES = 16
TICKS_MAX = 1_000
"""A core that is due again and again at one instant is at fault, and would stop the world."""


class Process:
    """One life of an agent on a host."""

    __slots__ = (
        "_armed_us",
        "_buffered",
        "_do",
        "_doubt_bound",
        "_gap_us",
        "_inbox",
        "_leaving",
        "_overflow",
        "_rng",
        "_slept_us",
        "ended",
        "ends",
        "host",
        "node",
        "post",
        "stopped",
        "world",
    )

    def __init__(self, world: World, host: Host, node: Core, post: Post, rng: random.Random) -> None:
        self.world = world
        self.host = host
        self.node = node
        self.post = post
        self.ends: dict[StreamId, End] = {}
        self.ended = False
        self.stopped = False
        self._rng = rng
        self._doubt_bound = world.params.doubt_bound
        self._armed_us = NEVER
        self._slept_us = 0
        self._gap_us = 0
        self._inbox: list[tuple[Callable[[Any], None], Any]] = []
        self._buffered = 0
        self._overflow = False
        self._leaving = False
        self._do: dict[type, Callable[[Any], None]] = {
            Send: self._send,
            Dial: self._dial,
            Write: self._write,
            Close: self._close,
            Resolve: self._resolve,
            SaveCounter: self._save_counter,
            Notify: self._notify,
        }

    @property
    def now(self) -> float:
        """Seconds of this machine's monotonic clock, which stands still while it is suspended."""
        return (self.world.clock.now_us - self._slept_us) / SECOND

    # Life

    def begin(self) -> None:
        """Start the core."""
        now = self.now
        self.node.start(now)
        self.settle(now)

    def end(self, *, silently: bool = False) -> None:
        """The process is gone; its kernel ends what was open, unless the machine is gone too (`silently`)."""
        self.ended = True
        ends, self.ends = self.ends, {}
        for end in ends.values():
            self.world.streams.abandon(end, silently=silently)

    def leave_when_done(self) -> None:
        """End the process at the core's `LEAVE_DONE`, as the agent does."""
        self._leaving = True

    def call(self, action: Callable[[float], _Result]) -> _Result:
        """Do something to the core as the agent's own tasks would, at the time given; effects follow.

        Raises:
            RuntimeError: if the process is stopped, and can be asked nothing.
        """
        if self.stopped:
            raise RuntimeError(f"the agent on {self.host.name} is stopped")
        now = self.now
        self._pulse(0.0, now)
        try:
            return action(now)
        finally:
            self.settle(now)

    # Stopped and suspended

    def stop(self) -> None:
        """Handle nothing from now on."""
        self.stopped = True

    def resume(self, suspended_us: int = 0) -> None:
        """Go on: pulse, what waited, what is due. `suspended_us`: for how long the clock stood still."""
        self.stopped = False
        self._slept_us += suspended_us
        self._gap_us += suspended_us
        clock_us = self.world.clock.now_us - self._slept_us
        late = max(0, clock_us - self._armed_us) / SECOND
        self._pulse(late, self.now)
        self._armed_us = NEVER
        inbox, self._inbox = self._inbox, []
        self._buffered = 0
        for handler, argument in inbox:
            if not self.ended:
                handler(argument)
                self._drain()
        if not self.ended:
            self.settle(self.now)

    def clock_moved(self, gap_us: int) -> None:
        """BOOTTIME or the wall clock has moved against the monotonic one; the next wake-up tells core.

        A clock that is set back is no sign of having stood still, and tells nothing.
        """
        self._gap_us += max(0, gap_us)

    def defer(self, handler: Callable[[Any], None], argument: Any) -> None:
        """Have it handled when the process continues."""
        self._inbox.append((handler, argument))

    # What comes in

    def arrive(self, source: Address, payload: object, size: int) -> None:
        """A datagram is in the socket's buffer."""
        if self.stopped:
            self._buffer(source, payload, size)
            return
        world = self.world
        now_us = world.clock.now_us
        now = (now_us - self._slept_us) / SECOND
        if self._gap_us:
            self._pulse(0.0, now)
        else:
            self.node.pulse(0.0, 0.0, False, now)
        self._receive(source, payload, size, now)
        self.settle(now)

    def refused(self, address: Address) -> None:
        """An ICMP error quotes a datagram of this process."""
        self.handle(self._take_refusal, (address, self.world.clock.now_us))

    def handle(self, handler: Callable[[Any], None], argument: Any) -> None:
        """Wake up for this input, now or when the process continues."""
        if self.ended:
            return
        if self.stopped:
            self.defer(handler, argument)
            return
        now = self.now
        self._pulse(0.0, now)
        handler(argument)
        self.settle(now)

    def settle(self, now: float) -> None:
        """After every input: carry out the effects, do what is due, set the alarm."""
        node, do = self.node, self._do
        for _ in range(TICKS_MAX):
            for effect in node.drain():
                do[type(effect)](effect)
            if self.ended:
                return
            due = node.next_deadline()
            if due > now:
                self._arm(due)
                break
            node.tick(now)
        else:
            raise RuntimeError(f"{self.host.name} is due at {due} again and again, at {now}")
        for watcher in self.world.watchers:
            watcher(self.host)

    def _receive(self, source: Address, payload: object, size: int, now: float) -> None:
        world, host, node = self.world, self.host, self.node
        try:
            message = self.post.unpack(payload)
        except RemoteProtocolError as error:
            node.count(error.reason)
            return
        kind = type(message).__name__
        data = payload if isinstance(payload, bytes) else kind.encode()
        world.journal.delivered(world.clock.now_us, host.number, data)
        host.received.add(kind, size)
        node.receive(message, source, now)

    def _buffer(self, source: Address, payload: object, size: int) -> None:
        cost = size + BUFFER_OVERHEAD
        if self._buffered + cost > self.world.receive_buffer:
            self._overflow = True
            return
        self._buffered += cost
        self._inbox.append((self._take_datagram, (source, payload, size)))

    def _take_datagram(self, letter: tuple[Address, object, int]) -> None:
        source, payload, size = letter
        self._receive(source, payload, size, self.now)

    def _take_refusal(self, refusal: tuple[Address, int]) -> None:
        address, arrived_us = refusal
        if self.world.clock.now_us - arrived_us <= REFUSAL_LIFE_US:
            self.node.refused(address, self.now)

    def _take_resolved(self, answer: tuple[str, list[Address], str]) -> None:
        seed, addresses, problem = answer
        self.node.resolved(seed, addresses, problem, self.now)

    # Time

    def _pulse(self, late: float, now: float) -> None:
        gap, self._gap_us = self._gap_us / SECOND, 0
        overflow, self._overflow = self._overflow, False
        if overflow:
            self.node.count("receive_overflow")
        if late > self._doubt_bound or gap > self._doubt_bound:
            self.post.renew(self._rng.randbytes(SESSION_BYTES))
        self.node.pulse(late, gap, overflow, now)

    def _arm(self, due: float) -> None:
        if due == math.inf:
            return
        due_us = int(due * SECOND)
        if due_us / SECOND < due:
            due_us += 1
        if due_us < self._armed_us:
            self._armed_us = due_us
            self.world.clock.at(due_us + self._slept_us, self._wake, due_us)

    def _wake(self, due_us: int) -> None:
        if due_us != self._armed_us or self.stopped or self.ended:
            return
        self._armed_us = NEVER
        now = self.now
        node = self.node
        if node.next_deadline() <= now:
            self._pulse(0.0, now)
            node.tick(now)
        self.settle(now)

    # What goes out

    def _drain(self) -> None:
        do = self._do
        for effect in self.node.drain():
            do[type(effect)](effect)

    def _send(self, effect: Send) -> None:
        message = effect.message
        world, host = self.world, self.host
        payload, size = self.post.pack(message)
        kind = type(message).__name__
        host.sent.add(kind, size)
        if world.journal.tell is not None:
            world.journal.sent(world.clock.now_us, host.name, kind, effect.address)
        world.network.send(self, effect.address, payload, size)

    def _dial(self, effect: Dial) -> None:
        self.world.streams.dial(self, effect.stream, effect.address, effect.timeout)

    def _write(self, effect: Write) -> None:
        end = self.ends.get(effect.stream)
        if end is not None:
            self.world.streams.write(end, effect.frame)

    def _close(self, effect: Close) -> None:
        end = self.ends.pop(effect.stream, None)
        if end is not None:
            self.world.streams.close(end)

    def _resolve(self, effect: Resolve) -> None:
        addresses, problem = self.world.names.look_up(effect.seed)
        answer = (effect.seed, addresses, problem)
        self.world.clock.after(self.world.names.delay_us, self._resolved, answer)

    def _resolved(self, answer: tuple[str, list[Address], str]) -> None:
        self.handle(self._take_resolved, answer)

    def _save_counter(self, effect: SaveCounter) -> None:
        self.host.disk.ceiling = effect.ceiling

    def _notify(self, effect: Notify) -> None:
        event = effect.event
        self.world.note(self.host, event)
        if self._leaving and event.kind is EventKind.LEAVE_DONE:
            self.world.finish(self.host)
