"""The replica for programs that block: a thread follows the agent, every thread may read."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from gossip.client.backoff import Backoff
from gossip.client.channel import Channel
from gossip.client.framing import TIMEOUT
from gossip.client.mirror import PLACES, PLACES_SECONDS, Mirror
from gossip.errors import GossipError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from gossip.client.values import Instance

__all__ = ["Changes", "Replica"]


class Replica(Mirror):
    """See `Mirror`. Use it in a `with` block, or `close` it."""

    def __init__(
        self, path: str, timeout: float, names: Sequence[str], chance: Callable[[], float] | None
    ) -> None:
        super().__init__(names, chance=chance)
        self._path = path
        self._timeout = timeout
        self._chance = chance
        self._news = threading.Condition()
        self._stop = threading.Event()
        self._channel: Channel | None = None
        self._problem: GossipError | None = None
        self._places_at = 0.0
        self._thread = threading.Thread(target=self._follow, name="gossip-replica", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the following; what is held can still be read. Iterations over changes end."""
        with self._news:
            self._stop.set()
            if self._channel is not None:
                self._channel.interrupt()
            self._news.notify_all()
        self._thread.join()

    def ready(self, timeout: float = TIMEOUT) -> None:
        """Returns when it is in step with its agent.

        Raises:
            UnreachableError: it is not within `timeout` seconds; the message says why.
        """
        with self._news:
            self._news.wait_for(lambda: self._in_step or self._stop.is_set(), timeout)
            if not self._in_step:
                text = "the agent has not given its whole catalog yet"
                raise UnreachableError(f"this replica is not in step: {self._problem or text}")

    def changed(self, name: str) -> Changes:
        """Each value that `lookup(name)` takes from now on; of several since the last, the newest."""
        return Changes(self, name)

    def wait_changed(self, name: str, seen: Sequence[Instance], deadline: float | None) -> bool:
        """Whether `lookup(name)` is another tuple than `seen` before the deadline (monotonic seconds)."""
        with self._news:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            self._news.wait_for(lambda: self.lookup(name) is not seen or self._stop.is_set(), left)
            return self.lookup(name) is not seen and not self._stop.is_set()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._stop.is_set()

    def _changed(self, names: Sequence[str]) -> None:  # noqa: ARG002 - all who wait look for themselves
        with self._news:
            self._news.notify_all()

    def _follow(self) -> None:
        backoff = Backoff(self._chance)
        while not self._stop.is_set():
            try:
                with Channel(self._path, self._timeout) as channel:
                    self._follow_by(channel, backoff)
            except GossipError as problem:
                self._problem = problem
            finally:
                self._channel = None
                self.lost()
            self._stop.wait(backoff.wait())

    def _follow_by(self, channel: Channel, backoff: Backoff) -> None:
        with self._news:
            if self._stop.is_set():
                return
            self._channel = channel
        self.begin(channel.call_all(self.requests()))
        self._ask_places(channel)
        while True:
            params = channel.notification(PLACES_SECONDS)
            backoff.reset()
            if params is not None:
                self.take(params)
            if time.monotonic() >= self._places_at:
                self._ask_places(channel)

    def _ask_places(self, channel: Channel) -> None:
        self._places_at = time.monotonic() + PLACES_SECONDS
        try:
            self.placed(channel.call(*PLACES))
        except UnreachableError:
            raise
        except GossipError:
            pass  # the agent is older than the question


class Changes:
    """An iterator over the values of one service; it ends with its replica."""

    def __init__(self, replica: Replica, name: str) -> None:
        self._replica = replica
        self._name = name
        self._seen = replica.lookup(name)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[Instance, ...]:
        value = self.next()
        if value is None:
            raise StopIteration
        return value

    def next(self, timeout: float | None = None) -> tuple[Instance, ...] | None:
        """The next value; None if none came within `timeout` seconds (None: for ever), or it is closed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._replica.wait_changed(self._name, self._seen, deadline):
            return None
        self._seen = self._replica.lookup(self._name)
        return self._seen
