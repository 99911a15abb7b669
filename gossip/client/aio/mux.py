"""Many calls over one connection: each task waits for its own answer.

A call that is cancelled, or has given up, takes its request back if it was not sent yet; else its answer
is dropped when it comes. Requests are sent by one task, so that nobody's end cuts a line in two.
What waits here is bounded by the tasks that wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from gossip.client.framing import encode_request, error_from, lost
from gossip.errors import GossipError

if TYPE_CHECKING:
    from gossip.client.aio.line import Line
    from gossip.client.framing import Message

__all__ = ["Mux", "Pending"]


class Pending:
    """One request on its way."""

    __slots__ = ("answer", "done", "number", "sent")

    def __init__(self, number: int) -> None:
        self.number = number
        self.sent = False
        self.answer: Message | None = None
        self.done = anyio.Event()


class Mux:
    """One connection's calls. `read` and `write` are run beside each other until `read` returns."""

    def __init__(self, line: Line) -> None:
        self.has_ended = False
        self.refusal: GossipError | None = None
        """What the agent said of the whole connection: that it has too many, for example."""
        self._line = line
        self._number = 0
        self._pending: dict[int, Pending] = {}
        self._unsent: dict[int, bytes] = {}
        self._more = anyio.Event()

    def ask(self, method: str, params: Message) -> Pending:
        """Queues a request.

        Raises:
            LimitError: it is too long.
            UnreachableError: the connection has ended; nothing was sent.
        """
        if self.has_ended:
            raise lost(self._line.path)
        self._number += 1
        line = encode_request(self._number, method, params)
        pending = Pending(self._number)
        self._pending[pending.number] = pending
        self._unsent[pending.number] = line
        self._more.set()
        return pending

    async def wait(self, pending: Pending) -> Message:
        """The whole answer, result or error.

        Raises:
            UnreachableError: the connection ended before.
        """
        await pending.done.wait()
        if pending.answer is None:
            raise lost(self._line.path, may_have_acted=pending.sent)
        return pending.answer

    def forget(self, pending: Pending) -> None:
        """Nobody waits for it any more."""
        self._pending.pop(pending.number, None)
        self._unsent.pop(pending.number, None)

    async def write(self) -> None:
        """Sends what is queued; does not return."""
        while True:
            while self._unsent:
                for number in self._unsent:
                    self._pending[number].sent = True
                data = b"".join(self._unsent.values())
                self._unsent.clear()
                try:
                    await self._line.send(data)
                except GossipError:
                    return  # `read` finds out as well, and says so
            self._more = anyio.Event()
            await self._more.wait()

    async def read(self) -> None:
        """Hands out answers. Returns when the connection has ended, or another program answers."""
        try:
            while True:
                message = await self._line.receive()
                if message.get("id") is None and "error" in message:
                    self._refuse(message)
                    continue
                pending = self._pending.get(message.get("id", 0))
                if pending is not None:
                    pending.answer = message
                    pending.done.set()
        except GossipError:
            pass

    def _refuse(self, message: Message) -> None:
        """An error of no request: about a line, or the connection. All that are under way get it."""
        self.refusal = error_from(message["error"])
        for pending in self._pending.values():
            if pending.sent:
                pending.answer = message
                pending.done.set()

    def end(self) -> None:
        """Tells all who wait that no answer will come."""
        self.has_ended = True
        for pending in self._pending.values():
            pending.done.set()
