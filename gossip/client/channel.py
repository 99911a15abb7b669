"""One blocking connection to the agent of this host, and the watches that run over one."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections import deque
from typing import TYPE_CHECKING

from gossip.client.framing import (
    TIMEOUT,
    LineReader,
    Message,
    WatchFold,
    encode_request,
    late,
    lost,
    parameters,
    result_of,
    why_not,
)
from gossip.client.paths import socket_path
from gossip.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

__all__ = ["TIMEOUT", "Channel", "RawWatch", "socket_path"]

_READ = 1 << 16


class Channel:
    """A connection that asks and waits. One thread at a time."""

    def __init__(self, path: str | os.PathLike[str] | None = None, timeout: float = TIMEOUT) -> None:
        """Connects.

        Args:
            path: the agent's socket; None for `GOSSIP_SOCKET` or the default.
            timeout: seconds that each call waits unless it says otherwise.

        Raises:
            UnreachableError: no agent is there, or this user may not speak to it.
        """
        self.path = socket_path(path)
        self.timeout = timeout
        self._reader = LineReader()
        self._arrived: deque[Message] = deque()
        self._notes: deque[Message] = deque()
        self._number = 0
        self._asked = False
        """A whole request may have reached the agent, and is not answered yet."""
        self.is_lost = False
        """The agent has gone, as far as is known; nothing more will come."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(self.path)
        except OSError as problem:
            self._socket.close()
            raise why_not(self.path, problem) from problem

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection, and with it every watch and held registration on it."""
        self._socket.close()

    def fileno(self) -> int:
        """The socket's descriptor, for `select`."""
        return self._socket.fileno()

    def has_ended(self) -> bool:
        """Whether the agent closed this connection while nobody was looking. Takes nothing from it."""
        if not self.is_lost and not self._arrived:
            try:
                self._socket.settimeout(0)
                self.is_lost = not self._socket.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                pass
            except OSError:
                self.is_lost = True
        return self.is_lost

    def interrupt(self) -> None:
        """Ends the connection while another thread waits on it, which then finds it lost."""
        with contextlib.suppress(OSError):  # it may be lost already
            self._socket.shutdown(socket.SHUT_RDWR)

    def call(self, method: str, params: Message | None = None, timeout: float | None = None) -> Message:
        """Asks for `method` and waits `timeout` seconds (None: the channel's own) for its result.

        Raises:
            UnreachableError: the agent went away, or did not answer in time.
            GossipError: the agent's own error, in its own class.
        """
        return self.call_all([(method, params or {})], timeout)[0]

    def call_all(
        self, requests: Sequence[tuple[str, Message]], timeout: float | None = None
    ) -> list[Message]:
        """Asks everything at once, without waiting in between; results in the order of `requests`.

        The first error is raised when all the answers are in, so that the channel stays usable.
        """
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        first = self._number
        self._number += len(requests)
        lines = [encode_request(first + i, method, params) for i, (method, params) in enumerate(requests)]
        answers: dict[int, Message] = {}
        try:
            self._send(b"".join(lines), deadline)
            while len(answers) < len(lines):
                message = self._receive(deadline)
                if message is None:
                    raise late(self.path, may_have_acted=self._asked)
                self._sort_in(message, range(first, self._number), answers)
        finally:
            self._asked = False
        return [result_of(answers[first + i]) for i in range(len(lines))]

    def _sort_in(self, message: Message, wanted: range, answers: dict[int, Message]) -> None:
        number = message.get("id")
        if "method" in message:
            self._notes.append(message)
        elif isinstance(number, int) and number in wanted:
            answers[number] = message
        elif number is None:
            result_of(message)  # an error with no id is about the line itself
        # Anything else answers a call that gave up waiting.

    def notification(self, timeout: float | None = None) -> Message | None:
        """The next notification's parameters.

        Args:
            timeout: seconds; 0 takes only what has already arrived, None waits for ever.

        Returns:
            None when nothing came in time.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            message = self._notes.popleft() if self._notes else self._receive(deadline)
            if message is None:
                return None
            if "method" in message:
                return parameters(message)

    def _send(self, data: bytes, deadline: float) -> None:
        """Sends all of `data`, and reads while the agent is not reading.

        Otherwise many requests and their answers could fill the buffers of both directions, with
        each side waiting for the other.
        """
        rest = memoryview(data)
        try:
            self._send_rest(rest, deadline)
        except BaseException:
            # Stopped in a line, by Ctrl-C perhaps: none can follow it.
            self.is_lost = True
            raise

    def _send_rest(self, rest: memoryview, deadline: float) -> None:
        poll = None
        while rest:
            try:
                self._socket.settimeout(0)
                sent = self._socket.send(rest)
                self._asked = self._asked or b"\n" in bytes(rest[:sent])
                rest = rest[sent:]
                continue
            except BlockingIOError:
                pass
            except OSError as problem:
                raise lost(self.path, may_have_acted=self._asked) from problem
            if poll is None:
                poll = select.poll()
                poll.register(self._socket, select.POLLIN | select.POLLOUT)
            left = deadline - time.monotonic()
            if left <= 0:
                # What was sent is not a whole line, so no agent obeys it.
                raise late(self.path, may_have_acted=self._asked)
            if any(event & ~select.POLLOUT for _, event in poll.poll(left * 1000)):
                self._read(0)

    def _receive(self, deadline: float | None) -> Message | None:
        """The next message, or None at the deadline (monotonic seconds; None waits for ever)."""
        while not self._arrived:
            # A deadline that has passed still takes what is there.
            if not self._read(None if deadline is None else max(deadline - time.monotonic(), 0.0)):
                return None
        return self._arrived.popleft()

    def _read(self, timeout: float | None) -> bool:
        """Takes in what arrives within `timeout` seconds (None: for ever); False when nothing did."""
        try:
            self._socket.settimeout(timeout)
            data = self._socket.recv(_READ)
        except (TimeoutError, BlockingIOError):
            return False
        except OSError as problem:
            self.is_lost = True
            raise lost(self.path, may_have_acted=self._asked) from problem
        if not data:
            self.is_lost = True
            raise lost(self.path, may_have_acted=self._asked)
        self._arrived.extend(self._reader.feed(data))
        return True


class RawWatch:
    """A value that is kept up to date by the agent, as JSON.

    The agent has no way to end one watch, so each watch has a channel of its own, and closing
    the channel ends it. That also leaves the bounding of memory to the agent: a reader that is slow
    leaves its data in the socket, and the agent drops and sends the whole value again (`resync`).
    """

    def __init__(self, channel: Channel, method: str, params: Message | None = None) -> None:
        self.channel = channel
        self._request = (method, params)
        self._fold = WatchFold()
        self._first: Message | None = self._fold.begin(channel.call(method, params))

    def resume(self, channel: Channel) -> None:
        """Watches the same by another connection; the whole value that comes next is marked `resync`."""
        self.channel.close()
        self.channel = channel
        self._fold.broken()
        self._first = self._fold.begin(channel.call(*self._request))

    def next(self, timeout: float | None = None) -> Message | None:
        """The value at first, then each notification; `"resync": true` is in the first after a loss.

        Args:
            timeout: seconds; 0 takes only what has already arrived, None waits for ever.

        Returns:
            None when nothing came in time.
        """
        if self._first is not None:
            first, self._first = self._first, None
            return first
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            value = self.channel.notification(left)
            if value is None:
                return None
            if (whole := self._fold.take(value)) is not None:
                return whole

    def newest(self, timeout: float | None = None) -> Message | None:
        """As `next`, and of several that have arrived the last: for watches whose every value is whole."""
        value = self.next(timeout)
        later = value
        while later is not None:
            value = later
            try:
                later = self.next(0)
            except UnreachableError:
                break  # the agent's last word still counts; asking again raises again
        return value
