"""A node that does nothing by itself: it writes down its inputs, and wants what the test says."""

# ruff: noqa: ARG002 - a recorder is told the time with every input, as a node is, and has no use for it

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import trio

from gossip.core.messages import Gossip
from gossip.core.outlet import ENOUGH
from gossip.core.params import Params
from gossip.net.bind import bind
from gossip.net.driver import Driver
from gossip.wire import codec
from gossip.wire.seal import ClearSealer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from gossip.core.effects import Effect
    from gossip.core.messages import Frame, Packet
    from gossip.core.types import Address, StreamId
    from gossip.net.clock import GapClock
    from gossip.wire.frames import FrameReader
    from gossip.wire.seal import Sealer

PATIENCE = 5.0
"""Seconds within which what a test waits for must happen, on a machine that is busy with others."""

CLUSTER = "test"
SENDER = bytes(range(16))


class Recorder:
    """A `Core`. Inputs are in `inputs`, in order, as (name, arguments without `now`)."""

    def __init__(self) -> None:
        self.inputs: list[tuple[str, tuple[Any, ...]]] = []
        self.counters: Counter[str] = Counter()
        self.wanted: list[Effect] = []
        self.deadline = math.inf
        self.accept: Callable[[Address], StreamId | None] = lambda _source: None
        self.react: Callable[[str, tuple[Any, ...]], None] = lambda _name, _arguments: None
        """Called at each input, so that a test can have the node answer."""
        self._changed = trio.Event()

    # -- what a test asks

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds, looking after each input and each count."""
        with trio.fail_after(PATIENCE):
            while not condition():
                await self._changed.wait()

    async def saw(self, name: str, times: int = 1) -> list[tuple[Any, ...]]:
        """The arguments of the inputs of that name, once there are as many."""
        await self.until(lambda: len(self.of(name)) >= times)
        return self.of(name)

    async def counted(self, reason: str, times: int = 1) -> None:
        await self.until(lambda: self.counters[reason] >= times)

    def of(self, name: str) -> list[tuple[Any, ...]]:
        return [arguments for found, arguments in self.inputs if found == name]

    # -- Core

    def _note(self, name: str, *arguments: Any) -> None:
        self.inputs.append((name, arguments))
        self.react(name, arguments)
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def receive(self, message: Packet, source: Address, now: float) -> None:
        self._note("receive", message, source)

    def refused(self, address: Address, now: float) -> None:
        self._note("refused", address)

    def stream_accepted(self, source: Address, now: float) -> StreamId | None:
        number = self.accept(source)
        self._note("stream_accepted", source, number)
        return number

    def stream_opened(self, stream: StreamId, now: float) -> None:
        self._note("stream_opened", stream)

    def stream_received(self, stream: StreamId, frame: Frame, now: float) -> None:
        self._note("stream_received", stream, frame)

    def stream_closed(self, stream: StreamId, reason: str, now: float) -> None:
        self._note("stream_closed", stream, reason)

    def resolved(self, seed: str, addresses: Sequence[Address], problem: str, now: float) -> None:
        self._note("resolved", seed, list(addresses), problem)

    def pulse(self, late: float, gap: float, overflow: bool, unsent: int, now: float) -> None:
        self._note("pulse", late, gap, overflow or unsent >= ENOUGH)

    def unreadable(self, source: Address, now: float) -> None:
        self._note("unreadable", source)

    def repeated(self, message: Packet, source: Address, now: float) -> None:
        self._note("repeated", message, source)

    def tick(self, now: float) -> None:
        # Before the test is told, so that a timer which it sets anew in `react` stays set.
        self.deadline = math.inf
        self._note("tick")

    def next_deadline(self) -> float:
        return self.deadline

    def drain(self) -> list[Effect]:
        wanted, self.wanted = self.wanted, []
        return wanted

    def count(self, reason: str) -> None:
        self.counters[reason] += 1
        self._tell()


class Agent:
    """A driver on loopback with a recorder for a node."""

    def __init__(self, node: Recorder, driver: Driver) -> None:
        self.node = node
        self.driver = driver
        self.address = driver.endpoints[0].address
        self.saved: list[int] = []

    def want(self, *wanted: Effect) -> None:
        self.node.wanted.extend(wanted)
        self.driver.flush()


def new_sealer(cluster: str = CLUSTER) -> ClearSealer:
    return ClearSealer(cluster, os.urandom(16))


@contextlib.asynccontextmanager
async def running(
    *hosts: str,
    params: Params | None = None,
    gap_clock: GapClock | None = None,
    node: Recorder | None = None,
    sealer: Sealer | None = None,
) -> AsyncIterator[Agent]:
    """An agent that listens on free ports of these hosts (127.0.0.1 if none is named)."""
    node = node or Recorder()
    endpoints = bind([(host, 0) for host in hosts or ("127.0.0.1",)])
    saved: list[int] = []
    driver = Driver(
        node,
        sealer or new_sealer(),
        endpoints,
        params or Params(),
        save_counter=saved.append,
        gap_clock=gap_clock,
    )
    agent = Agent(node, driver)
    agent.saved = saved
    async with trio.open_nursery() as nursery:
        await nursery.start(driver.run)
        yield agent
        nursery.cancel_scope.cancel()


class Peer:
    """The other end of datagrams, by hand."""

    def __init__(self, host: str = "127.0.0.1", cluster: str = CLUSTER) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._plain = socket.socket(family, socket.SOCK_DGRAM)
        self.sock = trio.socket.from_stdlib_socket(self._plain)
        self.sealer: Sealer = new_sealer(cluster)
        self._host = host

    async def __aenter__(self) -> Self:
        await self.sock.bind((self._host, 0))
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.sock.close()

    @property
    def address(self) -> Address:
        host, port = self.sock.getsockname()[:2]
        return host, port

    def send(self, message: Packet, address: Address) -> None:
        """Send at once, so that no other task gets its turn in between."""
        self._plain.sendto(self.sealer.seal(codec.encode(message)), address)

    async def receive(self) -> tuple[Packet, Address]:
        with trio.fail_after(PATIENCE):
            datagram, source = await self.sock.recvfrom(2_048)
        return codec.decode_packet(self.sealer.open(datagram)), (source[0], source[1])


async def read_frames(
    stream: trio.SocketStream, reader: FrameReader, times: int | None = None
) -> list[Frame]:
    """Frames until there are that many, or until the other side ends the stream."""
    frames: list[Frame] = []
    with trio.fail_after(PATIENCE):
        while times is None or len(frames) < times:
            data = await stream.receive_some(65_536)
            if not data:
                reader.ended()
                break
            frames.extend(codec.decode_frame(body) for body in reader.feed(data))
    return frames


def gossip(number: int = 0) -> Gossip:
    """A small packet, told from others by its number."""
    return Gossip(sender=SENDER, news=(number.to_bytes(65, "big"),))


@contextlib.contextmanager
def closed_port(host: str = "127.0.0.1") -> Iterator[Address]:
    """An address at which nobody receives datagrams, nor accepts streams, while this lasts.

    The port stays taken by a socket that is connected elsewhere, or does not listen, so that no
    other program of this machine gets the number in the meantime.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tcp, socket.socket(family, socket.SOCK_DGRAM) as udp:
        tcp.bind((host, 0))
        port = tcp.getsockname()[1]
        udp.bind((host, port))
        udp.connect((host, 9))
        yield host, port
