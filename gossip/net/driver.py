"""The driver: the one owner of a node, between core and the sockets.

Everything happens in one trio thread. Each wake-up is one *turn*: the node is told how late it is
and what the clocks say, what waits on the sockets is handed in, timers that are due fire, and
what the node wants done is done, in `flush` and nowhere else.

An idle driver sleeps: one task per UDP socket waits for it to become readable, and one task waits
for the node's next deadline, which `flush` moves. Nothing is polled, so a wake-up is either a
datagram or a timer that core has asked for. Streams and lookups are tasks that exist only while
there is a stream or a lookup.

Other tasks of the same thread may keep it busy: hundreds of clients that ask without a pause make one
round of trio's long. So whoever serves them calls `gossip_first` before each request, which makes a turn
there and then if gossip has waited; so does each frame of a stream, and its beginning and end.

Timers fire only after the sockets were read dry, since an ack may be waiting there. If they cannot
be, because more comes in than is read, the timers fire once the lateness is over the bound at which
core distrusts itself anyway.
"""

from __future__ import annotations

import logging
import math
import os
import select
from time import perf_counter
from typing import TYPE_CHECKING, Final, Protocol

import trio

from gossip.core import effects
from gossip.core.outlet import OUTLET_PROBLEMS, Outlet
from gossip.errors import RemoteProtocolError
from gossip.net.addresses import is_same
from gossip.net.clock import GapClock
from gossip.net.lag import Lag
from gossip.net.resolve import DEFAULT_PORT, literal, resolve
from gossip.net.sent import SentLog
from gossip.net.strangers import Strangers
from gossip.net.streams import Streams
from gossip.net.udp import choose_port
from gossip.wire import codec
from gossip.wire.packer import Packer, RepeatedError
from gossip.wire.seal import SESSION_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gossip.core.events import Event
    from gossip.core.messages import Frame, Packet
    from gossip.core.params import Params
    from gossip.core.types import Address, StreamId
    from gossip.net.bind import Endpoint
    from gossip.net.errqueue import Quote
    from gossip.net.stream import Volume
    from gossip.net.udp import UdpPort
    from gossip.wire.seal import Sealer

__all__ = ["Core", "Driver"]

ROUTES_MAX: Final = 4_096
"""Hosts for which the socket to send from is remembered."""

PATIENCE_SECONDS: Final = 0.002
"""How long faces may serve requests before gossip's sockets and timers are looked at. A probe's answer
that comes this late is far within any timeout; and to look costs some 3 us, a thousandth of the time."""

logger = logging.getLogger("gossip.net")


class Core(Protocol):
    """What a driver needs of `core.node.Node`."""

    def receive(self, message: Packet, source: Address, now: float) -> None: ...
    def refused(self, address: Address, now: float) -> None: ...
    def stream_accepted(self, source: Address, now: float) -> StreamId | None: ...
    def stream_opened(self, stream: StreamId, now: float) -> None: ...
    def stream_received(self, stream: StreamId, frame: Frame, now: float) -> None: ...
    def stream_closed(self, stream: StreamId, reason: str, now: float) -> None: ...
    def resolved(self, seed: str, addresses: Sequence[Address], problem: str, now: float) -> None: ...
    def pulse(self, late: float, gap: float, overflow: bool, unsent: int, now: float) -> None: ...
    def tick(self, now: float) -> None: ...
    def next_deadline(self) -> float: ...
    def unreadable(self, source: Address, now: float) -> None: ...
    def repeated(self, message: Packet, source: Address, now: float) -> None: ...
    def drain(self) -> list[effects.Effect]: ...
    def count(self, reason: str) -> None: ...


class Driver:
    """Feeds a node from its sockets and clocks, and carries out its effects.

    Whoever calls a method of the node from outside calls `flush` afterwards. Nothing that the node
    wants is done before `run`.

    Args:
        endpoints: from `bind`; closed when `run` ends.
        save_counter: puts a counter's ceiling on disk before it returns. What cannot be saved is for
            it to handle: it must not raise.
        save_keys: has the cluster's keys put on disk; the node is then told of that number.
        default_port: of seeds that name none.
        rest: called at the end of each turn with the seconds for which no timer is due.
        gap_clock: given by tests; the system's clocks otherwise.
    """

    def __init__(
        self,
        node: Core,
        sealer: Sealer,
        endpoints: Sequence[Endpoint],
        params: Params,
        *,
        save_counter: Callable[[int], None],
        save_keys: Callable[[int], None] = lambda _number: None,
        default_port: int = DEFAULT_PORT,
        rest: Callable[[float], None] = lambda _seconds: None,
        gap_clock: GapClock | None = None,
    ) -> None:
        self.node = node
        self.endpoints = endpoints
        self.wakeups = 0
        """Turns so far: datagram batches and timers."""
        self.lag = Lag()
        """How late it came to its timers."""
        self.strangers = Strangers()
        """Whose words could not be read."""
        self._sealer = sealer
        self._packer = Packer(sealer)
        self._params = params
        self._save_counter = save_counter
        self._save_keys = save_keys
        self._default_port = default_port
        self._rest = rest
        self._clock = gap_clock or GapClock()
        self._ports = [endpoint.udp for endpoint in endpoints]
        self._routes: dict[str, UdpPort | None] = {}
        self._sent = SentLog()
        inputs = _StreamInputs(self)
        self._streams = Streams(inputs, sealer, idle=params.stream_timeout, limit=params.streams)
        self._subscribers: dict[object, Callable[[Event], None]] = {}
        self._resolving: set[str] = set()
        self._nursery: trio.Nursery | None = None
        self._timer = trio.CancelScope()
        self._is_flushing = self._is_turning = False
        self._looked_at = 0.0
        self._armed_at = -math.inf
        """When the deadline that is waited for was learnt."""
        self._poll = select.poll()
        for port in self._ports:
            self._poll.register(port.sock, select.POLLIN | select.POLLERR)
        self.outlet = Outlet(params.period)

    def now(self) -> float:
        """Seconds of the monotonic clock that core lives by."""
        return trio.current_time()

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Call `callback` with every event from now on; it must not block.

        Returns:
            A function that ends it.
        """
        token = object()
        self._subscribers[token] = callback

        def unsubscribe() -> None:
            self._subscribers.pop(token, None)

        return unsubscribe

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Work until cancelled; `started` once the sockets are read and effects are carried out."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._clock.restart()
                self._streams.start(nursery, [endpoint.listener for endpoint in self.endpoints])
                for port in self._ports:
                    nursery.start_soon(self._read, port)
                nursery.start_soon(self._keep_time)
                self.flush()
                task_status.started()
        finally:
            self._nursery = None
            for endpoint in self.endpoints:
                endpoint.close()

    def flush(self) -> None:
        """Carry out what the node wants done, and set the timer anew.

        Called by a subscriber, it does nothing: the flush that is under way goes on to the end.
        """
        if self._nursery is None or self._is_flushing:
            return
        self._is_flushing = True
        try:
            while wanted := self.node.drain():
                for effect in wanted:
                    self._carry_out(effect)
        finally:
            self._is_flushing = False
        deadline = self.node.next_deadline()
        if deadline != self._timer.deadline:
            self._timer.deadline = deadline
            self._armed_at = self.now()

    def gossip_first(self) -> None:
        """Make a turn now if gossip has waited for `PATIENCE_SECONDS` and has something to do.

        For whoever else works in this thread, before each piece of its work: nearly always this is one look
        at a clock. Within a turn, as when a subscriber calls it, it does nothing.
        """
        if perf_counter() - self._looked_at > PATIENCE_SECONDS:
            self._look()

    def _look(self) -> None:
        if self._is_turning or self._is_flushing or self._nursery is None:
            return
        if self.now() >= self.node.next_deadline() or self._poll.poll(0):
            self._turn()
        self._looked_at = perf_counter()

    @property
    def traffic(self) -> dict[str, int]:
        """Datagrams and their bytes so far, under the names that counters have."""
        return {
            "datagrams_sent": sum(port.sent for port in self._ports),
            "bytes_sent": sum(port.sent_bytes for port in self._ports),
            "datagrams_received": sum(port.received for port in self._ports),
            "bytes_received": sum(port.received_bytes for port in self._ports),
        }

    @property
    def streamed(self) -> Volume:
        """What streams have carried."""
        return self._streams.volume

    async def settle(self) -> None:
        """Until what was last sent over streams has been read."""
        await self._streams.settle()

    # -- wake-ups

    async def _read(self, port: UdpPort) -> None:
        while True:
            await trio.lowlevel.wait_readable(port.sock)
            self._turn()

    async def _keep_time(self) -> None:
        while True:
            with trio.CancelScope(deadline=self.node.next_deadline()) as self._timer:
                await trio.sleep_forever()
            self._turn()

    def _turn(self) -> None:
        self._is_turning = True
        try:
            self._take_turn()
        finally:
            self._is_turning = False
            self._looked_at = perf_counter()

    def _take_turn(self) -> None:
        self.wakeups += 1
        node, bound = self.node, self._params.doubt_bound
        now, deadline = self.now(), node.next_deadline()
        # News can have a timer end in the past (a suspicion that others confirm has less patience from its
        # beginning): nobody is late for what was not known then.
        late = max(0.0, now - max(deadline, self._armed_at))
        if now >= deadline:
            self.lag.observe(late, now)
        gap = self._clock.gap()
        overflow = False
        for port in self._ports:
            if port.overflowed():
                overflow = True
                node.count("receive_overflow")
        unsent = self.outlet.unsent(now)
        if max(late, gap) > bound:
            # Perhaps this is a copy of a machine whose original runs on: never a number twice.
            self._sealer.renew(os.urandom(SESSION_BYTES))
        node.pulse(late, gap, overflow, unsent, now)
        for port in self._ports:
            self._hand_in(port)
        now = self.now()
        if now >= node.next_deadline() and (late > bound or all(port.dry for port in self._ports)):
            node.tick(now)
        self.flush()
        self._rest(node.next_deadline() - self.now())

    def _hand_in(self, port: UdpPort) -> None:
        for quote in port.quotes():
            self._take_error(quote)
        node, unpack = self.node, self._packer.unpack
        for datagram, source in port.batch():
            try:
                try:
                    node.receive(unpack(datagram), source, self.now())
                except RemoteProtocolError as exc:
                    node.count(exc.reason)
                    if exc.reason == "sealed":
                        node.unreadable(source, self.now())
                    elif isinstance(exc, RepeatedError):
                        node.repeated(exc.packet, source, self.now())
                    self.strangers.note(exc.reason, source, self.now())
            except Exception:
                # A fault of our own, but one that somebody else's packet has set off: whoever finds
                # such a packet must not be able to end every agent with it.
                node.count("internal_error")
                logger.exception("a packet could not be handled")

    def _take_error(self, quote: Quote) -> None:
        """Hand in a refusal if it quotes a datagram that we did send there, just now."""
        if not quote.refused:
            self.node.count("icmp_other")
            return
        now = self.now()
        mark = self._sealer.mark(quote.datagram)
        address = self._sent.take(mark, now) if mark is not None else None
        if address is None or not is_same(address, quote.address):
            self.node.count("refusal_unproven")
            return
        self.node.refused(address, now)

    # -- effects

    def _carry_out(self, effect: effects.Effect) -> None:
        match effect:
            case effects.Send(address, message, asks):
                self._send(address, message, asks=asks)
            case effects.Notify(event):
                self._notify(event)
            case effects.Dial(stream, address, timeout):
                self._streams.dial(stream, address, timeout)
            case effects.Write(stream, frame):
                self._streams.write(stream, codec.encode(frame))
            case effects.Close(stream):
                self._streams.close(stream)
            case effects.Resolve(seed):
                self._resolve(seed)
            case effects.SaveCounter(ceiling):
                self._save_counter(ceiling)
            case effects.SaveKeys(number):
                self._save_keys(number)

    def _send(self, address: Address, message: Packet, *, asks: bool) -> None:
        port = self._route(address[0])
        if port is None:
            self.node.count("send_no_socket")
            return
        datagram = self._packer.pack(message)
        problem = port.send(datagram, address)
        if problem:
            self.node.count(problem)
            if problem in OUTLET_PROBLEMS:
                self.outlet.failed(problem, address, self.now())
            return
        self.outlet.left(address)
        mark = self._sealer.mark(datagram)
        if mark is not None:
            self._sent.note(mark, address, self.now(), asks=asks)

    def _route(self, host: str) -> UdpPort | None:
        if host not in self._routes:
            if len(self._routes) >= ROUTES_MAX:
                self._routes.clear()
            self._routes[host] = choose_port(self._ports, host)
        return self._routes[host]

    def _notify(self, event: Event) -> None:
        for callback in tuple(self._subscribers.values()):
            try:
                callback(event)
            except Exception:
                self.node.count("subscriber_failed")
                logger.exception("a subscriber failed at an event")

    def _resolve(self, seed: str) -> None:
        address = literal(seed, self._default_port)
        if address is not None:
            self.node.resolved(seed, [address], "", self.now())
        elif seed not in self._resolving and self._nursery is not None:
            self._resolving.add(seed)
            self._nursery.start_soon(self._look_up, seed)

    async def _look_up(self, seed: str) -> None:
        try:
            addresses, problem = await resolve(seed, self._default_port)
        finally:
            self._resolving.discard(seed)
        self.node.resolved(seed, addresses, problem, self.now())
        self.flush()


class _StreamInputs:
    """What happens on streams, as inputs of the node."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._node = driver.node

    def stream_accepted(self, source: Address) -> StreamId | None:
        return self._node.stream_accepted(source, self._driver.now())

    def flush(self) -> None:
        self._driver.flush()

    def stream_opened(self, stream: StreamId) -> None:
        self._driver.gossip_first()
        self._node.stream_opened(stream, self._driver.now())
        self._driver.flush()

    def stream_received(self, stream: StreamId, body: bytes) -> None:
        self._driver.gossip_first()
        try:
            frame = codec.decode_frame(body)
        except RemoteProtocolError as exc:
            if exc.reason != "unknown_kind":
                raise
            # A later version's: the conversation goes on without it.
            self._node.count(exc.reason)
            return
        now = self._driver.now()
        self._driver.outlet.streamed(now)
        self._node.stream_received(stream, frame, now)
        self._driver.flush()

    def stream_closed(self, stream: StreamId, reason: str) -> None:
        # Whoever was stopped meanwhile must know that first: it would bury whom it called for the silence.
        self._driver.gossip_first()
        self._node.stream_closed(stream, reason, self._driver.now())
        self._driver.flush()

    def count(self, reason: str) -> None:
        self._node.count(reason)

    def refused(self, reason: str, peer: Address) -> None:
        self._node.count(reason)
        self._driver.strangers.note(reason, peer, self._driver.now(), stream=True)
