"""Watches of the async client: an async iterator each, over a connection of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import anyio

from gossip.client.aio.line import Line
from gossip.client.backoff import Backoff
from gossip.client.framing import WatchFold
from gossip.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from gossip.client.framing import Message
    from gossip.client.questions import Topic

__all__ = ["AsyncWatch"]

T = TypeVar("T")


class AsyncWatch(Generic[T]):
    """An endless async iterator over a value that the agent keeps up to date: now, then each change.

    It connects when it is first asked, and raises what goes wrong then. Later, when the agent goes away,
    it waits for its return and gives the whole value, marked; a reader that was too slow gets the same.
    A wait may be cancelled at any time: nothing is lost, and the next goes on. It ends with `aclose`, with
    its `async with` block, with its client, or when nobody refers to it any more.
    """

    def __init__(
        self,
        path: str,
        timeout: float,
        topic: Topic[T],
        reconnect: bool,
        chance: Callable[[], float] | None,
    ) -> None:
        self._path = path
        self._timeout = timeout
        self._topic = topic
        self._reconnect = reconnect
        self._backoff = Backoff(chance)
        self._fold = WatchFold()
        self._line: Line | None = None
        self._has_begun = False
        self._is_closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._is_closed:
            try:
                value = await self._next()
            except UnreachableError:
                if self._is_closed:
                    break
                await self._drop()
                if not self._reconnect or not self._has_begun:
                    raise
                self._fold.broken()
                await anyio.sleep(self._backoff.wait())
                continue
            built = None if value is None else self._topic.value(value)
            if built is not None:
                return built
        raise StopAsyncIteration

    async def next(self, timeout: float) -> T | None:
        """The next value; None when none came within `timeout` seconds."""
        with anyio.move_on_after(timeout):
            return await anext(self)
        return None

    async def _next(self) -> Message | None:
        if self._line is not None:
            return self._fold.take(await self._line.notification())
        line = await Line.open(self._path, self._timeout)
        try:
            (answer,) = await line.ask([(self._topic.method, self._topic.params)], self._timeout)
        except BaseException:
            await line.close()
            raise
        self._line = line
        self._has_begun = True
        self._backoff.reset()
        return self._fold.begin(answer)

    async def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def aclose(self) -> None:
        """Ends the watch; whoever waits for its next value is told that there is none."""
        self._is_closed = True
        await self._drop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # A loop that was left with `break` needs no more words to give its connection back.
        if self._line is not None:
            self._line.abandon()
