"""A blocking connection that comes back: what a call, and a held registration, is carried by.

Who may be asked twice? A request that never left this process, always. One that may have reached the
agent before the connection broke, only if it changes nothing: nobody can tell whether it was obeyed.

A program that registers `while_connected` may never call again, so from then on a thread watches
the connection: when the agent has gone and come back, it registers again what was held.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from typing import TYPE_CHECKING

from gossip.client.backoff import Backoff
from gossip.client.channel import Channel
from gossip.client.framing import closed, lost
from gossip.errors import GossipError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gossip.client.framing import Message

__all__ = ["Link"]


class Link:
    """See the module.

    Args:
        path: the agent's socket; None for `GOSSIP_SOCKET` or the default.
        timeout: seconds that each call may take, waiting for an agent that is away included.
        reconnect: False lets the first loss be the end.
        chance: for the backoff's jitter; see `Backoff`.

    Raises:
        UnreachableError: no agent is there now.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        timeout: float,
        reconnect: bool,
        chance: Callable[[], float] | None,
    ) -> None:
        self.timeout = timeout
        self.reconnect = reconnect
        self.chance = chance
        self._channel: Channel | None = Channel(path, timeout)
        self.path = self._channel.path
        self._held: dict[str, Message] = {}
        # The program's thread and the keeper's are the only two.
        self._lock = threading.RLock()
        self._keeper: threading.Thread | None = None
        self._closing = threading.Event()
        self._wake_out = self._wake_in = -1

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closing.is_set()

    def close(self) -> None:
        """Ends the connection, and the registrations that it holds."""
        self._closing.set()
        if self._keeper is not None:
            self._wake()
            self._keeper.join()
            self._keeper = None
            os.close(self._wake_in)
            os.close(self._wake_out)
        self._drop()

    # ------------------------------------------------------------------------------------------ calls

    def ask(
        self,
        requests: Sequence[tuple[str, Message]],
        timeout: float | None = None,
        *,
        repeatable: bool = False,
    ) -> list[Message]:
        """The results, in order; see `Channel.call_all`.

        Raises:
            UnreachableError: the agent did not come back, or not answer, in time; or it went away after
                a request that may have been carried out (`may_have_acted`).
        """
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        backoff = Backoff(self.chance)
        with self._lock:
            while True:
                if self._closing.is_set():
                    raise closed(self.path)
                try:
                    channel = self._open(deadline)
                    return channel.call_all(requests, max(deadline - time.monotonic(), 0.0))
                except UnreachableError as problem:
                    if self._channel is not None and not self._channel.is_lost:
                        raise  # it is there, and slow
                    self._drop()
                    pause = backoff.wait()
                    if (
                        not self.reconnect
                        or (problem.may_have_acted and not repeatable)
                        or time.monotonic() + pause > deadline
                    ):
                        raise
                time.sleep(pause)

    def _open(self, deadline: float) -> Channel:
        channel = self._channel
        if channel is not None and not channel.has_ended():
            return channel
        self._drop()
        if self._closing.is_set() or not self.reconnect:
            raise lost(self.path)
        channel = Channel(self.path, max(deadline - time.monotonic(), 0.001))
        channel.timeout = self.timeout
        try:
            self._restore(channel, deadline)
        except BaseException:
            channel.close()
            raise
        self._channel = channel
        self._wake()
        return channel

    def _drop(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
            self._wake()

    # --------------------------------------------------------------------------- held registrations

    def hold(self, key: str, params: Message) -> None:
        """From now on the service `key` is registered again, in these words, whenever the agent is back."""
        with self._lock:
            self._held[key] = params
            if self._keeper is None and self.reconnect:
                self._wake_out, self._wake_in = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
                self._keeper = threading.Thread(target=self._keep, name="gossip-keeper", daemon=True)
                self._keeper.start()

    def free(self, key: str) -> None:
        """The service is not held any more."""
        with self._lock:
            self._held.pop(key, None)

    def _restore(self, channel: Channel, deadline: float) -> None:
        for key, params in tuple(self._held.items()):
            try:
                channel.call("services.register", params, max(deadline - time.monotonic(), 0.0))
            except UnreachableError as problem:
                # The registration may have been made; what is to follow it was not asked for yet.
                raise lost(self.path) from problem
            except GossipError as problem:
                _complain(key, problem)

    def _wake(self) -> None:
        if self._keeper is not None:
            with contextlib.suppress(BlockingIOError):  # enough wake-ups are waiting for it
                os.write(self._wake_in, b"\0")

    def _keep(self) -> None:
        backoff = Backoff(self.chance)
        while not self._closing.is_set():
            with self._lock:
                channel = self._channel
                number = -1 if channel is None else channel.fileno()
                if channel is None or channel.is_lost:
                    try:
                        self._open(time.monotonic() + self.timeout)
                    except GossipError:
                        pause = backoff.wait()
                    else:
                        backoff.reset()
                        continue
            if number >= 0 and channel is not None and not channel.is_lost:
                self._await_loss(channel, number)
            else:
                self._closing.wait(pause)

    def _await_loss(self, channel: Channel, number: int) -> None:
        """Returns when the agent has closed this connection, or something else is to be looked at."""
        poll = select.poll()
        poll.register(number, select.POLLRDHUP)
        poll.register(self._wake_out, select.POLLIN)
        found = dict(poll.poll())
        if self._wake_out in found:
            os.read(self._wake_out, 4_096)
        if number in found:
            with self._lock:
                # What it still sent before it went is not for a held registration.
                channel.is_lost = True


def _complain(key: str, problem: GossipError) -> None:
    from logging import getLogger  # noqa: PLC0415 - for this alone

    getLogger("gossip.client").warning("service %r could not be registered again: %s", key, problem)
