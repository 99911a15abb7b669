"""What handling costs, and what an agent does in which order when it cannot do all at once.

A `Processor` stands between a process and its core whenever inputs cannot be handled the instant they
arrive: the process is stopped, or handling takes time (`Costs`). It keeps what waits, and works as
`net.driver` does. One wake-up is one turn: a pulse with the true lateness; refusals and datagrams, at
most 256 of them or for 20 ms; timers that are due, if the socket was read dry or the lateness is over
the doubt bound; then the effects, one by one. What happens on streams is handled between turns.
`World.timers_first` turns the order round, to show what it is good for.

Every step takes its time before the next begins, so a datagram leaves when it has been paid for, what
arrives meanwhile fills the receive buffer, and timers are late by as much as there is to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from gossip.core.effects import Effect, Send, Write
from gossip.core.types import Address
from sim.clock import SECOND

if TYPE_CHECKING:
    from sim.process import Process

__all__ = ["BUFFER_OVERHEAD", "FREE", "RECEIVE_BUFFER", "TICKS_MAX", "Costs", "Processor"]

RECEIVE_BUFFER = 212_992
"""Bytes: Linux's default for a UDP socket."""
BUFFER_OVERHEAD = 768
"""What each waiting datagram costs there besides its bytes."""
BATCH_MAX = 256
BATCH_US = 20_000
"""A turn reads no more datagrams, and for no longer, as `net.udp` does."""
REFUSAL_LIFE_US = 2 * SECOND
"""A refusal proves nothing about what was sent longer ago."""
TICKS_MAX = 1_000
"""A core that is due again and again at one instant is at fault, and would stop the world."""


class Costs(Struct, frozen=True):
    """Processor time of one agent, in microseconds.

    The defaults are for the machine of bench/REPORT.md. From there: 12 us for a ping and its ack from bytes
    to bytes, 181 us for gossip of one new record. Measured beside it: 118 us for a signature check, 38 us
    for signing, 2 us to read and 4 us to send a datagram. `wake` and `tick` are estimates, from an event
    loop that is busy and from shares of a profile. An agent that idles pays about 400 us for a wake-up,
    since its caches are cold; that is left out, as it harms nobody.
    """

    wake: int = 20
    """Each turn, whatever it finds."""
    received: int = 8
    """Each datagram, refusal, frame, or other thing that is heard."""
    sent: int = 10
    """Each datagram or frame."""
    checked: int = 118
    """Each signature that is checked."""
    signed: int = 38
    """Each signature that is made."""
    tick: int = 30
    """Each time that timers fire."""

    def times(self, factor: int) -> Costs:
        """The same work on a machine that is `factor` times slower.

        Raises:
            ValueError: unless `factor` is at least 1.
        """
        if factor < 1:
            raise ValueError(f"a machine is slower by a factor of at least 1, not {factor}")
        return Costs(
            self.wake * factor,
            self.received * factor,
            self.sent * factor,
            self.checked * factor,
            self.signed * factor,
            self.tick * factor,
        )


FREE = Costs(0, 0, 0, 0, 0, 0)
"""Handling takes no time."""


class Processor:
    """The queues and the steps of one process. A step gives what it took, in microseconds."""

    __slots__ = (
        "_buffered",
        "_checks",
        "_datagrams",
        "_effects",
        "_free_us",
        "_is_idle",
        "_late",
        "_next",
        "_paid",
        "_process",
        "_read",
        "_refusals",
        "_signs",
        "_stopped_us",
        "_tasks",
        "_ticks",
        "_turn_us",
        "_turned",
        "costs",
    )

    def __init__(self, process: Process) -> None:
        self.costs = FREE
        self._process = process
        self._datagrams: deque[tuple[Address, object, int]] = deque()
        self._buffered = 0
        self._refusals: deque[tuple[Address, int]] = deque()
        self._tasks: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._effects: deque[Effect] = deque()
        self._paid: Effect | None = None
        self._next: Callable[[], int | None] = self._choose
        self._is_idle = True
        """Nothing is on the world's clock that will go on with the work."""
        self._free_us = 0
        """When the present step ends, in the world's time."""
        self._stopped_us = 0
        self._checks, self._signs = process.notary.checks, process.notary.signs
        self._late = 0.0
        self._read = 0
        self._turn_us = 0
        self._turned = False
        self._ticks = 0

    # What comes in

    def datagram(self, source: Address, payload: object, size: int) -> None:
        """Put it into the receive buffer, if there is room."""
        process = self._process
        host = process.host
        limit = process.world.receive_buffer if host.receive_buffer is None else host.receive_buffer
        cost = size + BUFFER_OVERHEAD
        if self._buffered + cost > limit:
            process.overflowed()
            return
        self._buffered += cost
        self._datagrams.append((source, payload, size))
        self.nudge()

    def refusal(self, address: Address) -> None:
        """Put it into the socket's error queue."""
        self._refusals.append((address, self._process.world.clock.now_us))
        self.nudge()

    def task(self, handler: Callable[[Any], None], argument: Any) -> None:
        """Have something handled between turns."""
        self._tasks.append((handler, argument))
        self.nudge()

    def called(self) -> None:
        """The core was asked something by a local program: pay for it, and carry out what follows."""
        clock = self._process.world.clock
        self._free_us = max(self._free_us, clock.now_us) + self._signatures()
        if self._is_idle and self._next == self._choose:
            self._next = self._flush
        self.nudge()

    # Stop and go

    def nudge(self) -> None:
        """Begin to work, unless that is so already or the process is stopped."""
        if self._is_idle and not self._process.stopped:
            self._is_idle = False
            self._work(None)

    def stop(self) -> None:
        """The process has been stopped, just now."""
        self._stopped_us = self._process.world.clock.now_us

    def resume(self) -> None:
        """The process goes on: a step under way ends later by the time that was lost."""
        now_us = self._process.world.clock.now_us
        if self._free_us > self._stopped_us:
            self._free_us += now_us - self._stopped_us
        self.nudge()

    def _work(self, _: None) -> None:
        """Go from step to step, until one takes time or nothing is left to do."""
        process = self._process
        clock = process.world.clock
        self._ticks = 0
        while not process.ended:
            if process.stopped:
                self._is_idle = True
                return
            if clock.now_us < self._free_us:
                clock.at(self._free_us, self._work, None)
                return
            took = self._next()
            if took is None:
                self._is_idle = True
                process.rest()
                return
            self._free_us = max(self._free_us, clock.now_us) + took

    # Steps

    def _choose(self) -> int | None:
        process = self._process
        is_due = process.node.next_deadline() <= process.now
        has_turn = is_due or bool(self._datagrams) or bool(self._refusals)
        if self._tasks and (self._turned or not has_turn):
            self._turned = False
            handler, argument = self._tasks.popleft()
            handler(argument)
            self._next = self._flush
            return self._took(self.costs.received)
        if not has_turn:
            return None
        self._turned = True
        now = process.now
        self._late = max(0.0, now - process.node.next_deadline())
        self._read = 0
        self._turn_us = process.world.clock.now_us
        process.pulse(self._late, now)
        self._next = self._hurry if process.world.timers_first else self._take
        return self._took(self.costs.wake)

    def _hurry(self) -> int | None:
        """One timer that is due, before anything is read."""
        if self._process.node.next_deadline() <= self._process.now:
            return self._tick()
        self._next = self._take
        return 0

    def _take(self) -> int | None:
        """One refusal or datagram; else on to the timers."""
        process = self._process
        now_us = process.world.clock.now_us
        if self._refusals:
            address, arrived_us = self._refusals.popleft()
            if now_us - arrived_us <= REFUSAL_LIFE_US:
                process.node.refused(address, process.now)
            return self._took(self.costs.received)
        if self._datagrams and self._read < BATCH_MAX and now_us - self._turn_us <= BATCH_US:
            source, payload, size = self._datagrams.popleft()
            self._buffered -= size + BUFFER_OVERHEAD
            self._read += 1
            process.receive(source, payload, size, process.now)
            return self._took(self.costs.received)
        self._next = self._flush
        is_due = process.node.next_deadline() <= process.now
        return self._tick() if is_due and (self._late > process.doubt_bound or not self._datagrams) else 0

    def _tick(self) -> int:
        process = self._process
        self._ticks += 1
        if self._ticks > TICKS_MAX:
            raise RuntimeError(f"{process.host.name} is due again and again, at {process.now}")
        process.node.tick(process.now)
        return self._took(self.costs.tick)

    def _flush(self) -> int | None:
        """Carry out one effect, when it has been paid for."""
        process = self._process
        effect, self._paid = self._paid, None
        if effect is None:
            if not self._effects:
                self._effects.extend(process.node.drain())
                if not self._effects:
                    self._next = self._choose
                    return self._took(0)
            effect = self._effects.popleft()
            if self.costs.sent and type(effect) in (Send, Write):
                self._paid = effect
                return self.costs.sent
        process.carry_out(effect)
        return self._took(0)

    def _took(self, cost: int) -> int:
        """What a step took that the core had a part in; watchers look at what came of it."""
        process = self._process
        if not process.ended:
            process.show()
        return cost + self._signatures()

    def _signatures(self) -> int:
        notary, costs = self._process.notary, self.costs
        checks, signs = notary.checks - self._checks, notary.signs - self._signs
        self._checks, self._signs = notary.checks, notary.signs
        return checks * costs.checked + signs * costs.signed
