"""One life of one agent: feeds a core what the world brings, and carries out its effects.

This is `net.driver` in virtual time. As long as handling takes no time (`World.costs`) each input is a
wake-up of its own, and its effects are carried out before the next. The core is told by `pulse` only when
there is something to tell: on such a process nothing is ever late.

When handling takes time, or the process is *stopped* (by a signal, say), what comes in waits in the
queues of a `Processor`: the clock runs on and the kernel goes on working. When the whole machine is
*suspended*, its monotonic clock stands still too and nothing reaches it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from gossip.core.effects import Close, Dial, Effect, Notify, Resolve, SaveCounter, SaveKeys, Send, Write
from gossip.core.events import EventKind
from gossip.core.node import Node
from gossip.core.outlet import Outlet
from gossip.core.types import Address, StreamId
from gossip.errors import RemoteProtocolError
from gossip.wire.packer import RepeatedError
from sim.clock import SECOND
from sim.keys import Safe
from sim.life import Core
from sim.notary import Signer
from sim.post import Post
from sim.processor import FREE, TICKS_MAX, Costs, Processor
from sim.streams import End

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

__all__ = ["SESSION_BYTES", "Process"]

_Result = TypeVar("_Result")

NEVER = 1 << 62
"""Microseconds: later than anything."""
SESSION_BYTES = 16
DISK_US = 5_000
"""What it takes to put keys on disk."""


class Process:
    """One life of an agent on a host."""

    __slots__ = (
        "_armed_us",
        "_do",
        "_due",
        "_gap_us",
        "_has_news",
        "_is_direct",
        "_leaving",
        "_outlet",
        "_overflow",
        "_processor",
        "_rng",
        "doubt_bound",
        "ended",
        "ends",
        "host",
        "node",
        "notary",
        "post",
        "safe",
        "stopped",
        "world",
    )

    def __init__(
        self, world: World, host: Host, node: Core, notary: Signer, post: Post, rng: random.Random
    ) -> None:
        self.world = world
        self.host = host
        self.node = node
        self.notary = notary
        self.post = post
        self.safe: Safe | None = None
        """The cluster's keys, in a world that has some."""
        self.ends: dict[StreamId, End] = {}
        self.ended = False
        self.stopped = False
        self.doubt_bound = world.params.doubt_bound
        self._rng = rng
        self._armed_us = NEVER
        """For when, by the machine's clock, the alarm is set."""
        self._due = math.inf
        """The deadline that the alarm was last set by."""
        self._gap_us = 0
        self._overflow = False
        self._outlet = Outlet(world.params.period)
        self._has_news = False
        """The next pulse has something to say."""
        self._leaving = False
        self._is_direct = True
        """Inputs can be handled at once: nothing waits, and handling takes no time."""
        self._processor: Processor | None = None
        self._do: dict[type, Callable[[Any], None]] = {
            Send: self._send,
            Dial: self._dial,
            Write: self._write,
            Close: self._close,
            Resolve: self._resolve,
            SaveCounter: self._save_counter,
            SaveKeys: self._save_keys,
            Notify: self._notify,
        }

    @property
    def now(self) -> float:
        """Seconds of this machine's monotonic clock."""
        return self.host.clock.read(self.world.clock.now_us) / SECOND

    @property
    def processor(self) -> Processor:
        """What keeps the inputs that cannot be handled at once; there is none before it is asked for."""
        if self._processor is None:
            self._processor = Processor(self)
        return self._processor

    # Life

    def begin(self, costs: Costs | None) -> None:
        """Start the core, on a processor of that speed."""
        self.set_costs(costs)
        self.call(self.node.start)

    def end(self, *, silently: bool = False) -> None:
        """The process is gone; its kernel ends what was open, unless the machine is gone too (`silently`)."""
        self.ended = True
        self._armed_us = NEVER
        ends, self.ends = self.ends, {}
        for end in ends.values():
            self.world.streams.abandon(end, silently=silently)

    def leave_when_done(self) -> None:
        """End the process at the core's `LEAVE_DONE`, as the agent does."""
        self._leaving = True

    def call(self, action: Callable[[float], _Result]) -> _Result:
        """Do something to the core as the agent's own tasks would, at the time given; effects follow.

        It is done at once, also by a process that has work waiting: only its effects wait their turn.

        Raises:
            RuntimeError: if the process is stopped, and can be asked nothing.
        """
        if self.stopped:
            raise RuntimeError(f"the agent on {self.host.name} is stopped")
        now = self.now
        try:
            return action(now)
        finally:
            if self._is_direct:
                self.settle(now)
            else:
                self.processor.called()

    # Slow, stopped and suspended

    def set_costs(self, costs: Costs | None) -> None:
        """What handling takes from now on; None: no time, once what waits has been handled."""
        if costs is not None:
            self._is_direct = False
            self.processor.costs = costs
        elif self._processor is not None:
            self._processor.costs = FREE
            self._processor.nudge()

    def stop(self) -> None:
        """Handle nothing from now on."""
        if not self.stopped:
            self.stopped = True
            self._is_direct = False
            self.processor.stop()

    def resume(self, suspended_us: int = 0) -> None:
        """Go on, with what waited. `suspended_us`: for how long the machine's clock stood still."""
        if self.stopped:
            self.stopped = False
            self.clock_moved(suspended_us)
            self.processor.resume()

    def clock_moved(self, gap_us: int) -> None:
        """BOOTTIME or the wall clock has moved against the monotonic one; the next wake-up tells core.

        A clock that is set back is no sign of having stood still, and tells nothing.
        """
        if gap_us > 0:
            self._gap_us += gap_us
            self._has_news = True

    def clock_turned(self) -> None:
        """The machine's clock runs at another rate now: the alarm is set anew."""
        due, self._due = self._due, -math.inf
        self._armed_us = NEVER
        if not self.stopped and not self.ended and due > self.now:
            self._arm(due)

    def overflowed(self) -> None:
        """The receive buffer has thrown something away; the next wake-up tells core."""
        self._overflow = self._has_news = True

    def rest(self) -> None:
        """There is nothing left to do before the next deadline."""
        processor = self.processor
        self._is_direct = processor.costs is FREE
        self._arm(self.node.next_deadline())

    # What comes in

    def arrive(self, source: Address, payload: object, size: int) -> None:
        """A datagram is in the socket's buffer."""
        if not self._is_direct:
            self.processor.datagram(source, payload, size)
            return
        now = self.host.clock.read(self.world.clock.now_us) / SECOND
        if self._has_news:
            self.pulse(0.0, now)
        self.receive(source, payload, size, now)
        self.settle(now)

    def refused(self, address: Address) -> None:
        """An ICMP error quotes a datagram of this process."""
        if self.ended:
            return
        if not self._is_direct:
            self.processor.refusal(address)
            return
        now = self.now
        if self._has_news:
            self.pulse(0.0, now)
        self.node.refused(address, now)
        self.settle(now)

    def handle(self, handler: Callable[[Any], None], argument: Any) -> None:
        """Have a task of the process do this: now, or when it gets there."""
        if self.ended:
            return
        if not self._is_direct:
            self.processor.task(handler, argument)
            return
        handler(argument)
        self.settle(self.now)

    def receive(self, source: Address, payload: object, size: int, now: float) -> None:
        """Read a datagram, and hand the core what is in it."""
        world, host, node = self.world, self.host, self.node
        try:
            message = self.post.unpack(payload)
        except RemoteProtocolError as error:
            node.count(error.reason)
            if error.reason == "sealed" and isinstance(node, Node):
                node.unreadable(source, now)
            elif isinstance(error, RepeatedError) and isinstance(node, Node):
                node.repeated(error.packet, source, now)
            return
        kind = type(message).__name__
        data = payload if isinstance(payload, bytes) else kind.encode()
        world.journal.delivered(world.clock.now_us, host.number, data)
        host.received.add(kind, size)
        node.receive(message, source, now)

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
                if due != self._due:
                    self._arm(due)
                break
            node.tick(now)
        else:
            raise RuntimeError(f"{self.host.name} is due at {due} again and again, at {now}")
        for watcher in self.world.watchers:
            watcher(self.host)

    def show(self) -> None:
        """Let watchers look at the node."""
        for watcher in self.world.watchers:
            watcher(self.host)

    # Time

    def pulse(self, late: float, now: float) -> None:
        """Tell the core how late it is woken, and what happened meanwhile to clocks, buffer and sends."""
        gap, self._gap_us = self._gap_us / SECOND, 0
        overflow, self._overflow = self._overflow, False
        unsent = self._outlet.unsent(now)
        self._has_news = False
        if overflow:
            self.node.count("receive_overflow")
        if late > self.doubt_bound or gap > self.doubt_bound:
            self.post.renew(self._rng.randbytes(SESSION_BYTES))
        self.node.pulse(late, gap, overflow, unsent, now)

    def _arm(self, due: float) -> None:
        self._due = due
        if due == math.inf:
            return
        due_us = int(due * SECOND)
        if due_us / SECOND < due:
            due_us += 1
        if due_us < self._armed_us:
            self._armed_us = due_us
            self.world.clock.at(self.host.clock.when(due_us), self._wake, due_us)

    def _wake(self, due_us: int) -> None:
        if due_us != self._armed_us:
            return
        self._armed_us = NEVER
        if self.stopped:
            return
        now = self.host.clock.read(self.world.clock.now_us) / SECOND
        if self._due > now:
            # The deadline has moved, or the clock stood still or slowed down meanwhile.
            self._arm(self._due)
        elif self._is_direct:
            if self._has_news:
                self.pulse(0.0, now)
            self.node.tick(now)
            self.settle(now)
        else:
            self.processor.nudge()

    # What goes out

    def carry_out(self, effect: Effect) -> None:
        """Do one thing that the core wants done."""
        self._do[type(effect)](effect)

    def _send(self, effect: Send) -> None:
        message = effect.message
        world, host = self.world, self.host
        if host.unsent is not None and effect.address in host.unsent:
            self.node.count("send_failed")
            self._outlet.failed("send_failed", effect.address, self.now)
            self._has_news = True
            return
        if self._outlet.failing or self._outlet.unreachable:
            self._outlet.left(effect.address)
        payload, size = self.post.pack(message)
        kind = type(message).__name__
        host.sent.add(kind, size)
        if world.journal.tell is not None:
            world.journal.sent(world.clock.now_us, host.name, kind, effect.address)
        world.network.send(self, effect.address, payload, size)

    def _dial(self, effect: Dial) -> None:
        if self.host.unsent is not None and effect.address in self.host.unsent:
            self.world.clock.after(0, self._undialled, effect.stream)
            return
        self.world.streams.dial(self, effect.stream, effect.address, effect.timeout)

    def _undialled(self, stream: StreamId) -> None:
        self.handle(self._take_undialled, stream)

    def _take_undialled(self, stream: StreamId) -> None:
        self.node.stream_closed(stream, "unreachable", self.now)

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

    def _take_resolved(self, answer: tuple[str, list[Address], str]) -> None:
        seed, addresses, problem = answer
        self.node.resolved(seed, addresses, problem, self.now)

    def _save_counter(self, effect: SaveCounter) -> None:
        self.host.disk.ceiling = effect.ceiling

    def _save_keys(self, effect: SaveKeys) -> None:
        self.world.clock.after(DISK_US, self._keys_saved, effect.number)

    def _keys_saved(self, number: int) -> None:
        if not self.ended and self.safe is not None and isinstance(self.node, Node):
            # All of it is there, or nothing: a life that ends before has saved nothing.
            self.host.disk.keys, self.host.disk.plan = self.safe.save(), self.node.plan
            self.handle(self._take_keys_saved, number)

    def _take_keys_saved(self, number: int) -> None:
        if isinstance(self.node, Node):
            self.node.keys_saved(number, self.now)

    def _notify(self, effect: Notify) -> None:
        event = effect.event
        self.world.note(self.host, event)
        if self._leaving and event.kind is EventKind.LEAVE_DONE:
            self.world.finish(self.host)
