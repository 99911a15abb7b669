"""Somebody on the network between agents: every datagram and every stream passes through his hands.

Each agent has a door: an address that it advertises, behind which the relay listens, UDP and TCP. What one
agent sends to another's door is written down, changed if the test says so, and passed on from the sender's
own door, so that nobody sees where it came through. What was written down can be sent again at any time.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import trio

from tests.agent.processes import PATIENCE, until
from tests.support import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

__all__ = ["HOST", "Datagram", "Door", "Relay", "Stream"]

HOST = "127.0.0.1"
READ_BYTES = 65_536


class Datagram(NamedTuple):
    """One that was sent: by whom, to whom, and what."""

    source: str
    target: str
    data: bytes


class Stream:
    """One connection: what the caller wrote, and what it was answered."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.said = bytearray()
        self.answered = bytearray()
        self.over = False

    @property
    def frames(self) -> list[bytes]:
        """What the caller wrote, cut into frames with their lengths."""
        found, rest = [], bytes(self.said)
        while len(rest) >= 4:
            end = 4 + int.from_bytes(rest[:4], "big")
            found.append(rest[:end])
            rest = rest[end:]
        return found


class Door(NamedTuple):
    """One agent's address in the eyes of others, and the port where it really listens."""

    name: str
    port: int
    datagrams: socket.socket
    listener: socket.socket

    @property
    def inside(self) -> str:
        """Where the agent listens."""
        return f"{HOST}:{self.port}"

    @property
    def outside(self) -> str:
        """The address that the agent advertises."""
        return f"{HOST}:{self.listener.getsockname()[1]}"


def _pass(data: bytes) -> list[bytes]:
    return [data]


def _keep(_offset: int, data: bytes) -> bytes:
    return data


class Relay:
    """The man in the middle. Agents are given a door each; then the block may begin."""

    def __init__(self, *names: str) -> None:
        self.doors = {name: self._door(name) for name in names}
        self.datagrams: list[Datagram] = []
        """All that was sent and has arrived as it was, in order."""
        self.streams: list[Stream] = []
        self.bend: Callable[[bytes], list[bytes]] = _pass
        """What arrives in the place of each datagram."""
        self.bend_said: Callable[[int, bytes], bytes] = _keep
        """What arrives of what a caller writes, which begins at that offset of its stream."""
        self.bend_answer: Callable[[int, bytes], bytes] = _keep
        self.mirror = False
        """Whether a caller is answered with its own words, and nobody else hears of it."""
        self.cut = False
        """Whether nothing passes at all."""
        self._names = {door.port: name for name, door in self.doors.items()}
        self._scope = trio.CancelScope()
        self._token: trio.lowlevel.TrioToken | None = None
        self._thread = threading.Thread(target=partial(trio.run, self._run))

    @staticmethod
    def _door(name: str) -> Door:
        inside, outside = free_ports(2)
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((HOST, outside))
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, outside))
        listener.listen()
        return Door(name, inside, datagrams, listener)

    def as_it_is(self) -> None:
        """From now on, all passes unchanged."""
        self.bend, self.bend_said, self.bend_answer, self.mirror = _pass, _keep, _keep, False
        self.cut = False

    def forget(self) -> None:
        """From now on, only what is said anew is in the lists."""
        self.datagrams, self.streams = [], []

    # -- what was said, again

    def said(self, target: str = "", source: str = "") -> list[Datagram]:
        """Datagrams to an agent, of an agent."""
        return [
            each
            for each in list(self.datagrams)
            if target in ("", each.target) and source in ("", each.source)
        ]

    def calls(self, target: str, frames: int = 1) -> list[bytes]:
        """All that was written in streams to an agent that are over, if it was so many frames at least."""
        return [
            bytes(each.said)
            for each in list(self.streams)
            if each.over and each.target == target and len(each.frames) >= frames
        ]

    def send(self, source: str, target: str, data: bytes) -> None:
        """A datagram from one agent's door to another agent."""
        self.doors[source].datagrams.sendto(data, (HOST, self.doors[target].port))

    def call(self, target: str, data: bytes, *, once: bool = False) -> bytes:
        """Open a stream to an agent and say this; what it answers until it ends the stream.

        With `once`, what it answers first: whoever says no more is waited for by the agent.
        """
        with socket.create_connection((HOST, self.doors[target].port), PATIENCE) as sock:
            answer = bytearray()
            # Whoever is refused may be reset, once there is nothing more for it to read.
            with contextlib.suppress(ConnectionError):
                sock.sendall(data)
                while more := sock.recv(READ_BYTES):
                    answer += more
                    if once:
                        break
            return bytes(answer)

    def drop(self, target: str, data: bytes) -> None:
        """Open a stream to an agent, say this and go."""
        with socket.create_connection((HOST, self.doors[target].port), PATIENCE) as sock:
            sock.sendall(data)

    # -- passing on

    async def _run(self) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                for door in self.doors.values():
                    # Handlers are given to trio; the sockets are the test's too, which may send by them.
                    nursery.start_soon(self._pass_datagrams, door)
                    nursery.start_soon(self._accept, door, nursery)
                self._token = trio.lowlevel.current_trio_token()

    async def _pass_datagrams(self, door: Door) -> None:
        sock = trio.socket.from_stdlib_socket(door.datagrams)
        while True:
            data, (_, port) = await sock.recvfrom(READ_BYTES)
            source = self._names.get(port)
            if source is not None and not self.cut:
                arriving = self.bend(data)
                if data in arriving:
                    self.datagrams.append(Datagram(source, door.name, data))
                for each in arriving:
                    self.send(source, door.name, each)

    async def _accept(self, door: Door, nursery: trio.Nursery) -> None:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(door.listener))
        while True:
            nursery.start_soon(self._pass_stream, await listener.accept(), door)

    async def _pass_stream(self, caller: trio.SocketStream, door: Door) -> None:
        if self.cut:
            await caller.aclose()
            return
        stream = Stream(door.name)
        self.streams.append(stream)
        with contextlib.suppress(OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            async with caller:
                if self.mirror:
                    await self._pump(caller, caller, stream.said, _keep)
                else:
                    async with await trio.open_tcp_stream(HOST, door.port) as called:
                        await self._pass_both_ways(caller, called, stream)
        stream.over = True

    async def _pass_both_ways(
        self, caller: trio.SocketStream, called: trio.SocketStream, stream: Stream
    ) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, caller, called, stream.said, self.bend_said)
            nursery.start_soon(self._pump, called, caller, stream.answered, self.bend_answer)

    @staticmethod
    async def _pump(
        source: trio.SocketStream,
        target: trio.SocketStream,
        seen: bytearray,
        bend: Callable[[int, bytes], bytes],
    ) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            while data := await source.receive_some(READ_BYTES):
                offset = len(seen)
                seen += data
                await target.send_all(bend(offset, bytes(data)))
        # Whoever has gone on one side is told of on the other, whose own end is still awaited.
        with contextlib.suppress(trio.BrokenResourceError):
            await target.send_eof()

    def __enter__(self) -> Self:
        self._thread.start()
        until("the relay runs", lambda: self._token is not None or not self._thread.is_alive())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            with contextlib.suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._scope.cancel)
        self._thread.join(PATIENCE)
        for door in self.doors.values():
            door.datagrams.close()
            door.listener.close()
