"""Server-sent events: a watch as a response that does not end.

The first event is the whole value, then one for each change, with the index as its id. A reader that falls
behind is kept nothing for: when it has caught up it is sent `resync` and the whole value again, as on the
local socket. A comment every 15 s keeps proxies from closing the connection, and shows a dead client.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
import trio
from msgspec import Raw, Struct

from gossip.api.http.values import Response, Streamed, problem
from gossip.net.addresses import site

if TYPE_CHECKING:
    from gossip.api.http.values import Request, Send
    from gossip.api.watch import Sink, Watcher, Watches

__all__ = ["MAX_STREAMS", "EventStreams", "as_event"]

MAX_STREAMS: Final = 256
"""Watchers over HTTP at a time; each holds a connection."""
SHARE: Final = 2
"""One address may have one in so many of them, so that others get to watch whatever it does."""
HELD_BYTES: Final = 262_144
"""What may wait for one reader."""
HEARTBEAT_SECONDS: Final = 15.0
CONTENT_TYPE: Final = "text/event-stream"

_HEARTBEAT = b": still here\n\n"
_HEADERS = (("cache-control", "no-store"), ("x-accel-buffering", "no"))


class _Notification(Struct):
    """What a watcher is told on the local socket."""

    params: Raw


class _Known(Struct):
    """The fields of it that an event's head needs."""

    index: int | None = None
    id: int | None = None
    event: str = ""
    resync: bool = False


_notification = msgspec.json.Decoder(_Notification)
_known = msgspec.json.Decoder(_Known)


def as_event(kind: str, data: bytes) -> bytes:
    """A JSON object as an event; `resync` says so itself, whatever is watched."""
    known = _known.decode(data)
    number = known.id if known.index is None else known.index
    head = b"" if number is None else b"id: %d\n" % number
    # JSON has no line break of its own, so one `data` line holds it.
    return head + b"event: %b\ndata: %b\n\n" % (b"resync" if known.resync else kind.encode(), data)


def _data(line: bytes) -> bytes:
    """The parameters of a notification, without the number of the watch, which is the connection here."""
    params = bytes(_notification.decode(line).params)
    return b"{" + params.partition(b",")[2]


class _Reader:
    """One client: what waits for it. A `Sink`."""

    def __init__(self, kind: str) -> None:
        self.watcher: Watcher
        self._kind = kind
        self._waiting: list[bytes] = []
        self._size = 0
        self._changed = trio.Event()

    def offer(self, line: bytes) -> bool:
        """See `Sink`."""
        taken = self._size <= HELD_BYTES
        if taken:
            self.put(_data(line))
        self._changed.set()
        return taken

    def owes(self) -> None:
        """See `Sink`."""
        self._changed.set()

    def put(self, data: bytes) -> None:
        event = as_event(self._kind, data)
        self._waiting.append(event)
        self._size += len(event)

    async def produce(self, send: Send) -> None:
        """Send what there is as the client reads it; does not return."""
        while True:
            while self._waiting or self.watcher.behind:
                if not self._waiting:
                    for line in self.watcher.resync():
                        self.put(_data(line))
                data = b"".join(self._waiting)
                self._waiting.clear()
                await send(data)
                # Only now: while the client does not read it, it waits.
                self._size -= len(data)
            self._changed = trio.Event()
            with trio.move_on_after(HEARTBEAT_SECONDS) as scope:
                await self._changed.wait()
            if scope.cancelled_caught:
                await send(_HEARTBEAT)


class EventStreams:
    """All watchers over HTTP."""

    def __init__(self, watches: Watches, limit: int = MAX_STREAMS) -> None:
        self.open = 0
        self._watches = watches
        self._limit = limit
        self._sites: Counter[str] = Counter()
        """By whose they are; empty: this host's."""

    def answer(
        self, asked: Request, kind: str, watch: Callable[[Watches, Sink], Watcher]
    ) -> Streamed | Response:
        """A response that follows what `watch` begins; a refusal if there are too many.

        Args:
            asked: its source has a share.
            kind: the name of the events.
            watch: begins a watch for the reader that it is given.
        """
        whose = site(asked.source) if asked.source else ""
        if refusal := self._refusal(whose):
            return problem(503, "limit", refusal, [("retry-after", "5")])

        async def produce(send: Send) -> None:
            if self._refusal(whose):
                # Others came while the head left: this one ends, and comes again as after any end.
                return
            reader = _Reader(kind)
            # It begins only now, when the head is out: a client that never reads it watches nothing.
            reader.watcher = watch(self._watches, reader)
            self.open += 1
            self._sites[whose] += 1
            try:
                value = reader.watcher.topic.value()
                if value is not None:
                    reader.put(b"{" + value)
                else:
                    await send(b": watching\n\n")
                await reader.produce(send)
            finally:
                self.open -= 1
                self._sites[whose] -= 1
                if not self._sites[whose]:
                    del self._sites[whose]
                self._watches.forget(reader.watcher)

        return Streamed(produce, content_type=CONTENT_TYPE, headers=_HEADERS)

    def _refusal(self, whose: str) -> str:
        if self.open >= self._limit:
            return f"{self._limit} clients watch over HTTP already: use the local socket, or close some"
        share = self._limit // SHARE
        if whose and self._sites[whose] >= share:
            return f"{share} clients of this address watch over HTTP already: close some"
        return ""
