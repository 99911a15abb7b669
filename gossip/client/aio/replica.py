"""The replica of the async client."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import anyio

from gossip.client.aio.line import Line
from gossip.client.backoff import Backoff
from gossip.client.framing import TIMEOUT
from gossip.client.mirror import PLACES, PLACES_SECONDS, Mirror
from gossip.errors import GossipError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from gossip.client.values import Instance

__all__ = ["AsyncChanges", "AsyncReplica"]


class AsyncReplica(Mirror):
    """See `Mirror`. Reading it needs no `await`, and may be done in any thread."""

    def __init__(
        self, path: str, timeout: float, names: Sequence[str], chance: Callable[[], float] | None
    ) -> None:
        super().__init__(names, chance=chance)
        self._path = path
        self._timeout = timeout
        self._backoff = Backoff(chance)
        self._problem: GossipError | None = None
        self._waiting: dict[str, anyio.Event] = {}
        self._ready = anyio.Event()

    async def ready(self, timeout: float = TIMEOUT) -> None:
        """Returns when it is in step with its agent.

        Raises:
            UnreachableError: it is not within `timeout` seconds; the message says why.
        """
        with anyio.move_on_after(timeout):
            while not self._in_step:
                await self._ready.wait()
            return
        text = "the agent has not given its whole catalog yet"
        raise UnreachableError(f"this replica is not in step: {self._problem or text}")

    def changed(self, name: str) -> AsyncChanges:
        """Each value that `lookup(name)` takes from now on; of several since the last, the newest."""
        return AsyncChanges(self, name)

    async def wait_changed(self, name: str, seen: Sequence[Instance]) -> tuple[Instance, ...]:
        """`lookup(name)` as soon as it is another tuple than `seen`."""
        while (value := self.lookup(name)) is seen:
            await self._waiting.setdefault(name, anyio.Event()).wait()
        return value

    async def follow(self) -> None:
        """Keeps it in step; does not return."""
        while True:
            try:
                line = await Line.open(self._path, self._timeout)
                try:
                    self.begin(await line.ask(self.requests(), self._timeout))
                    await self._follow_by(line)
                finally:
                    self.lost()
                    await line.close()
            except GossipError as problem:
                self._problem = problem
            await anyio.sleep(self._backoff.wait())

    async def _follow_by(self, line: Line) -> None:
        places_at = -math.inf
        while True:
            if anyio.current_time() >= places_at:
                places_at = anyio.current_time() + PLACES_SECONDS
                await self._ask_places(line)
            with anyio.move_on_after(max(places_at - anyio.current_time(), 0.0)):
                self.take(await line.notification())
            self._backoff.reset()

    async def _ask_places(self, line: Line) -> None:
        try:
            self.placed((await line.ask([PLACES], self._timeout))[0])
        except UnreachableError:
            raise
        except GossipError:
            pass  # the agent is older than the question

    def lost(self) -> None:
        """See `Mirror.lost`."""
        super().lost()
        if self._ready.is_set():
            self._ready = anyio.Event()

    def _changed(self, names: Sequence[str]) -> None:
        self._ready.set()
        for name in names:
            event = self._waiting.pop(name, None)
            if event is not None:
                event.set()


class AsyncChanges:
    """An endless async iterator over the values of one service."""

    def __init__(self, replica: AsyncReplica, name: str) -> None:
        self._replica = replica
        self._name = name
        self._seen = replica.lookup(name)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Instance, ...]:
        self._seen = await self._replica.wait_changed(self._name, self._seen)
        return self._seen
