"""Streams as core sees them: a number, and whoever handles what comes on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from gossip.core.context import Context
from gossip.core.effects import Close, Dial, Write
from gossip.core.messages import Frame
from gossip.core.types import Address, StreamId

__all__ = ["Handler", "Sessions"]


class Handler(Protocol):
    """One side of one stream."""

    def opened(self, now: float) -> None:
        """The stream that was dialled is open."""

    def frame(self, frame: Frame, now: float) -> None:
        """A frame came."""

    def closed(self, reason: str, now: float) -> None:
        """The stream ended, not by this side: `refused`, `timeout`, `reset`, `eof`, ..."""


class Sessions:
    """The open streams of one node."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._handlers: dict[StreamId, Handler] = {}

    def __len__(self) -> int:
        return len(self._handlers)

    def __iter__(self) -> Iterator[Handler]:
        """What handles each, that of the first opened first."""
        return iter(self._handlers.values())

    def watch(self, stream: StreamId, handler: Handler) -> None:
        self._handlers[stream] = handler

    def unwatch(self, stream: StreamId) -> None:
        self._handlers.pop(stream, None)

    def get(self, stream: StreamId) -> Handler | None:
        return self._handlers.get(stream)

    def dial(self, address: Address, handler: Handler, timeout: float) -> StreamId:
        stream = self._ctx.next_stream()
        self._handlers[stream] = handler
        self._ctx.effects.append(Dial(stream, address, timeout))
        return stream

    def write(self, stream: StreamId, frame: Frame) -> None:
        self._ctx.effects.append(Write(stream, frame))

    def close(self, stream: StreamId) -> None:
        """End a stream from this side; nothing more is heard of it."""
        self._handlers.pop(stream, None)
        self._ctx.effects.append(Close(stream))
