"""One connection to the agent: lines out, messages in; and a way to run something beside a block."""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import SocketAttribute

from gossip.client.framing import (
    LineReader,
    encode_request,
    late,
    lost,
    parameters,
    result_of,
    why_not,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Sequence

    from anyio.abc import SocketStream, UNIXSocketStream

    from gossip.client.framing import Message

__all__ = ["Line", "beside"]

_READ = 1 << 16
_BROKEN = (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, OSError)


class Line:
    """A connection. One task may send while another receives."""

    def __init__(self, stream: UNIXSocketStream | SocketStream, path: str) -> None:
        self.path = path
        self._stream = stream
        self._socket = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - no Django here
        self._reader = LineReader()
        self._arrived: deque[Message] = deque()

    @classmethod
    async def open(cls, path: str, timeout: float) -> Line:
        """Connects.

        Raises:
            UnreachableError: no agent is there, or it does not accept within `timeout` seconds.
        """
        try:
            with anyio.fail_after(timeout):
                return cls(await anyio.connect_unix(path), path)
        except OSError as problem:  # TimeoutError is one
            raise why_not(path, problem) from problem

    async def send(self, data: bytes) -> None:
        """Sends all of it. Cancelled, it may have sent a part: the line is of no use then."""
        try:
            await self._stream.send(data)
        except _BROKEN as problem:
            raise lost(self.path) from problem

    async def receive(self) -> Message:
        """The next message. Cancelled, it has lost nothing.

        Raises:
            UnreachableError: the agent has gone.
        """
        while not self._arrived:
            try:
                data = await self._stream.receive(_READ)
            except _BROKEN as problem:
                raise lost(self.path) from problem
            self._arrived.extend(self._reader.feed(data))
        return self._arrived.popleft()

    async def ask(self, requests: Sequence[tuple[str, Message]], timeout: float) -> list[Message]:
        """The results of the first requests on this line, in order; notifications stay for `notification`."""
        lines = [encode_request(number, *request) for number, request in enumerate(requests)]
        answers: dict[object, Message] = {}
        kept: list[Message] = []
        try:
            with anyio.fail_after(timeout):
                await self.send(b"".join(lines))
                while len(answers) < len(lines):
                    message = await self.receive()
                    if "method" in message:
                        kept.append(message)
                    elif message.get("id") is None:
                        result_of(message)  # an error with no id is about the connection
                    else:
                        answers[message["id"]] = message
        except TimeoutError as problem:
            raise late(self.path, may_have_acted=True) from problem
        self._arrived.extendleft(reversed(kept))
        return [result_of(answers[number]) for number in range(len(lines))]

    async def notification(self) -> Message:
        """The next notification's parameters. Cancelled, it has lost nothing."""
        while True:
            message = await self.receive()
            if "method" in message:
                return parameters(message)

    async def close(self) -> None:
        """Ends the connection, even if it is cancelled meanwhile."""
        await self._stream.aclose()

    def abandon(self) -> None:
        """Ends the connection from where nothing can be awaited; nobody waits on it."""
        self._socket.close()


@contextlib.asynccontextmanager
async def beside(function: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Runs `function` while a block runs. What the block raises comes out as it is, in no group."""
    problem: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(function)
            try:
                yield
            except (Exception, KeyboardInterrupt, SystemExit) as raised:  # noqa: BLE001 - raised again below
                problem = raised
            group.cancel_scope.cancel()
    finally:
        if problem is not None:
            raise problem
