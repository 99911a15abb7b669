"""A watch that outlives its agent: for commands that go on until they are told to stop."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gossip.cli.output import complain
from gossip.client.channel import Channel, RawWatch
from gossip.errors import UnreachableError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from gossip.client.framing import Message

__all__ = ["RETRY_SECONDS", "Following"]

RETRY_SECONDS = 0.5
"""Between attempts to reach an agent that went away: one connect to a local socket, so it costs nothing."""


class Following:
    """The values of a watch. When the agent goes away this says so, waits for it, and goes on.

    Raises:
        UnreachableError: there is no agent at the start; later there may be none for as long as it takes.
    """

    def __init__(self, path: str | None, method: str, params: Message) -> None:
        self._path = path
        self._method = method
        self._params = params
        self._raw = self._begin()
        self.returns = 0
        """How often the agent has come back."""

    def _begin(self) -> RawWatch:
        channel = Channel(self._path)
        try:
            return RawWatch(channel, self._method, self._params)
        except BaseException:
            channel.close()
            raise

    def next(self) -> Message:
        """The next value; after the agent came back, the whole value first if the watch has one."""
        return self._take(newest=False)

    def newest(self) -> Message:
        """The last of the values that have arrived, once there is one."""
        return self._take(newest=True)

    def newest_within(self, timeout: float) -> Message | None:
        """The same; None when none came within `timeout` seconds."""
        try:
            return self._raw.newest(timeout)
        except UnreachableError as problem:
            self._return(problem)
        return self._take(newest=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._raw.channel.close()

    def _take(self, *, newest: bool) -> Message:
        while True:
            try:
                value = self._raw.newest() if newest else self._raw.next()
            except UnreachableError as problem:
                self._return(problem)
                continue
            if value is not None:
                return value

    def _return(self, problem: UnreachableError) -> None:
        """Comes back when the agent has."""
        complain(f"{problem}; waiting for it to come back")
        self._raw.channel.close()
        while True:
            time.sleep(RETRY_SECONDS)
            try:
                self._raw = self._begin()
            except UnreachableError:
                continue
            break
        self.returns += 1
        complain("the agent is back")
