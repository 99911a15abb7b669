"""Bytes between pairs of sockets, for thousands of pairs in one task.

A task for each direction would cost a wake-up of trio's for each piece. Here all sockets stand in an epoll
of our own, which is itself a descriptor that trio waits for; when it wakes, all that is ready is moved at
once. Each piece is read into one buffer and written on from there; what the other side does not take is
kept, and its reader is not read until it is gone. So memory is bounded by a piece for each direction, and
only of those that are stuck.

Each direction ends by itself (half-close): at the end of one side's data, the other side is told, and the
way back stays open. Whatever breaks resets the other side, so that nobody takes a part for the whole.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["End", "Link", "Pump", "reset"]

PIECE_BYTES = 131_072
BATCH = 32
"""Sockets that are served before anything else may run: about half a millisecond."""
_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_TROUBLE = select.EPOLLERR | select.EPOLLHUP
_NO_LINGER = struct.pack("ii", 1, 0)


def reset(sock: socket.socket) -> None:
    """Closes it so that the other side sees an error instead of an end."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    sock.close()


class End:
    """One of the two sockets of a link."""

    __slots__ = ("backlog", "bytes", "fd", "is_over", "is_shut", "link", "mask", "other", "sock")

    other: End

    def __init__(self, link: Link, sock: socket.socket, backlog: bytes = b"") -> None:
        self.link = link
        self.sock = sock
        self.fd = sock.fileno()
        self.backlog = backlog
        """What this side has not taken yet."""
        self.bytes = 0
        """Read from here."""
        self.mask = 0
        self.is_over = False
        """Nothing more is to be read from here."""
        self.is_shut = False
        """Nothing more can be written here."""


class Link:
    """A client and an instance that are connected."""

    __slots__ = ("client", "done", "instance", "is_open", "key")

    def __init__(
        self,
        client: socket.socket,
        instance: socket.socket,
        greeting: bytes,
        key: Hashable,
        done: Callable[[Link, bool], None],
    ) -> None:
        self.client = End(self, client)
        self.instance = End(self, instance, greeting)
        self.client.other, self.instance.other = self.instance, self.client
        self.key = key
        self.done = done
        """Told once, when it has ended: whether the instance broke it."""
        self.is_open = True


class Pump:
    """All the links of a forwarder.

    Args:
        first: called before each piece, so that what is more urgent in this thread goes first.
    """

    def __init__(self, first: Callable[[], None] = lambda: None) -> None:
        self._epoll = select.epoll()
        self._ends: dict[int, End] = {}
        self._buffer = memoryview(bytearray(PIECE_BYTES))
        self._first = first

    def add(self, link: Link) -> None:
        """Begins to move bytes."""
        for end in (link.client, link.instance):
            self._ends[end.fd] = end
            self._watch(end, _IN)
        if link.instance.backlog:
            self._watch(link.client, 0)
            self._watch(link.instance, _IN | _OUT)

    async def run(self) -> None:
        """Moves bytes until cancelled; then all links are reset."""
        poll = self._epoll.poll
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                while events := poll(0, BATCH):
                    for fd, mask in events:
                        self._first()
                        end = self._ends.get(fd)
                        if end is not None:
                            self._serve(end, mask)
                    if len(events) < BATCH:
                        break
                    await trio.lowlevel.checkpoint()
        finally:
            for link in self.links():
                self.cut(link)
            self._epoll.close()

    def links(self) -> list[Link]:
        """All that are open."""
        return [end.link for end in self._ends.values() if end is end.link.client]

    def cut(self, link: Link) -> None:
        """Resets both sides."""
        self._end(link, broken=False, by_reset=True)

    def _serve(self, end: End, mask: int) -> None:
        if end.backlog and mask & (_OUT | _TROUBLE):
            self._write_on(end)
        if end.mask & _IN and mask & (_IN | _TROUBLE):
            self._read(end)

    def _read(self, end: End) -> None:
        buffer, other = self._buffer, end.other
        try:
            size = end.sock.recv_into(buffer)
        except BlockingIOError:
            return
        except OSError:
            self._end(end.link, broken=end is end.link.instance, by_reset=True)
            return
        if not size:
            end.is_over = True
            self._watch(end, end.mask & ~_IN)
            if not other.backlog:
                self._shut(other)
            return
        end.bytes += size
        try:
            sent = other.sock.send(buffer[:size])
        except BlockingIOError:
            sent = 0
        except OSError:
            self._is_deaf(other)
            return
        if sent < size:
            other.backlog = bytes(buffer[sent:size])
            self._watch(end, end.mask & ~_IN)
            self._watch(other, other.mask | _OUT)

    def _write_on(self, end: End) -> None:
        try:
            sent = end.sock.send(end.backlog)
        except BlockingIOError:
            return
        except OSError:
            end.backlog = b""
            self._is_deaf(end)
            return
        end.backlog = end.backlog[sent:]
        if not end.backlog:
            self._watch(end, end.mask & ~_OUT)
            if end.other.is_over:
                self._shut(end)
            else:
                self._watch(end.other, end.other.mask | _IN)

    def _is_deaf(self, end: End) -> None:
        """It takes nothing more; what it has said before may still be on its way, and is worth reading."""
        end.is_shut = True
        end.other.is_over = True
        self._watch(end.other, end.other.mask & ~_IN)
        if end.is_over:
            self._end(end.link, broken=False, by_reset=True)
        else:
            self._watch(end, _IN)

    def _shut(self, end: End) -> None:
        """Tells this side that the other has no more to say."""
        if not end.is_shut:
            end.is_shut = True
            with contextlib.suppress(OSError):
                end.sock.shutdown(socket.SHUT_WR)
        link = end.link
        if (
            link.client.is_over
            and link.instance.is_over
            and not (link.client.backlog or link.instance.backlog)
        ):
            self._end(link, broken=link.client.bytes > 0 and not link.instance.bytes, by_reset=False)

    def _end(self, link: Link, *, broken: bool, by_reset: bool) -> None:
        if not link.is_open:
            return
        link.is_open = False
        for end in (link.client, link.instance):
            self._watch(end, 0)
            self._ends.pop(end.fd, None)
            if by_reset:
                reset(end.sock)
            else:
                end.sock.close()
        link.done(link, broken)

    def _watch(self, end: End, mask: int) -> None:
        # Without anything to wait for it is taken out, since errors are always told, again and again.
        if mask == end.mask:
            return
        if not end.mask:
            self._epoll.register(end.fd, mask)
        elif mask:
            self._epoll.modify(end.fd, mask)
        else:
            self._epoll.unregister(end.fd)
        end.mask = mask
