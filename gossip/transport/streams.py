"""Bodies on their way: whether one has begun to be read, and when a response is done with."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import httpx

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

__all__ = ["AsyncBody", "AsyncWatched", "Body", "Watched", "is_repeatable"]


def is_repeatable(stream: object) -> bool:
    """Whether a request's body may be sent again: what is in memory, or has not begun to be read."""
    if isinstance(stream, Watched | AsyncWatched):
        return not stream.has_begun
    return isinstance(stream, httpx.ByteStream)


class Watched(httpx.SyncByteStream):
    """A body that is read only once: it knows whether that has begun."""

    def __init__(self, stream: httpx.SyncByteStream) -> None:
        self._stream = stream
        self.has_begun = False

    def __iter__(self) -> Iterator[bytes]:
        self.has_begun = True
        return iter(self._stream)

    def close(self) -> None:
        self._stream.close()


class AsyncWatched(httpx.AsyncByteStream):
    """The same, for the async client."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream
        self.has_begun = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        self.has_begun = True
        return aiter(self._stream)

    async def aclose(self) -> None:
        await self._stream.aclose()


class Body(httpx.SyncByteStream):
    """A response's body. `done` is called once: with False if the instance broke it off, else with True."""

    def __init__(self, stream: object, done: Callable[[bool], None]) -> None:
        self._stream = cast("httpx.SyncByteStream", stream)
        self._done = done

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._stream
        except httpx.TransportError:
            self._done(False)
            raise

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            self._done(True)


class AsyncBody(httpx.AsyncByteStream):
    """The same, for the async client."""

    def __init__(self, stream: object, done: Callable[[bool], None]) -> None:
        self._stream = cast("httpx.AsyncByteStream", stream)
        self._done = done

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._stream:
                yield part
        except httpx.TransportError:
            self._done(False)
            raise

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        finally:
            self._done(True)
