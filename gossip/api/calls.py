"""From a line to its answer: finds the method, and makes every outcome a line.

Nothing here touches a socket. What can be answered at once is returned; what must wait is started
in the background and its answer handed on when it is there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import trio
from msgspec import UNSET, Raw

from gossip.api.access import SCOPES, Caller, deed
from gossip.api.jsonrpc import (
    FAILED,
    INVALID_REQUEST,
    Request,
    RpcError,
    answer,
    error_of,
    failure,
    read_batch,
    read_request,
)
from gossip.api.methods import CHANGES, READS, WATCHES, Call, is_method, missing
from gossip.config.access import Scope
from gossip.errors import GossipError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from gossip.api.lookups import Lookups
    from gossip.api.methods import Backend, Session

__all__ = ["MAX_BATCH_ANSWER_BYTES", "Calls"]

MAX_BATCH_ANSWER_BYTES = 8 * 1_048_576
"""A batch is answered in one line, so it is held whole: beyond this its other answers are errors."""
ITEM_BYTES = 256
"""What a request of a batch takes besides its text and its answer."""
SLICE_SECONDS = 0.001
"""How long one connection's requests are answered before other tasks run: hundreds may be waiting."""

Starter: TypeAlias = "Callable[[Callable[[], Coroutine[Any, Any, None]]], object]"

_encode = msgspec.json.Encoder().encode


class Calls:
    """The requests of one connection.

    Args:
        caller: who asks.
        session: the connection that they came by.
        start: runs a function in the background; it must let it end even if the connection does.
        reply: takes an answer that was waited for.
        ended: is told when `pending` has fallen.
        gossip_first: called before each request of a batch; other lines are their caller's to care for.
        hold: is told how many bytes a batch that is under way keeps; False: nobody waits for them any more.
    """

    def __init__(
        self,
        agent: Backend,
        caller: Caller,
        lookups: Lookups,
        session: Session,
        start: Starter,
        reply: Callable[[bytes], None],
        ended: Callable[[], None],
        gossip_first: Callable[[], None] = lambda: None,
        hold: Callable[[int], bool] = lambda _size: True,
    ) -> None:
        self.pending = 0
        """Requests whose answers are still to come."""
        self.is_batching = False
        """A batch is under way. Whoever hands on lines sees to it that there is one at a time."""
        self.caller = caller
        """May be replaced while the connection lasts."""
        self._agent = agent
        self._lookups = lookups
        self._session = session
        self._call = Call(agent, session)
        self._start = start
        self._reply = reply
        self._ended = ended
        self._gossip_first = gossip_first
        self._hold = hold

    def line(self, line: bytes) -> bytes | None:
        """The answer to a line, or None if there is none, or none yet."""
        if self.caller.scope:
            quick = self._lookups.at_once(line)
            if quick is not None:
                return quick
        try:
            request = read_request(line)
        except RpcError as problem:
            text = line.strip()
            if text[:1] == b"[":
                self.is_batching = True
                self._begin(lambda: self._batch(text))
                return None
            return failure(problem.id, problem) if text else None
        if request.method == "services.lookup" and self.caller.scope:
            # Most requests are this one.
            try:
                result = self._lookups.answer(request.params)
            except RpcError as problem:
                return _refusal(request, problem)
            self._lookups.note(line, request.params)
            return None if request.id is UNSET else answer(request.id, result)
        found = self._now(request)
        if found is None or isinstance(found, bytes):
            return found
        later = found

        async def change() -> None:
            line = await _outcome(request, later)
            if line is not None:
                self._reply(line)
            if request.method == "agent.leave":
                self._agent.end()

        self._begin(change)
        return None

    def _now(self, request: Request, alone: bool = True) -> bytes | Awaitable[object] | None:
        """The answer, None for a notification, or what to wait for."""
        name = request.method
        try:
            scope = SCOPES.get(name, Scope.ADMIN)
            if self.caller.scope < scope and is_method(name):
                self._agent.denied()
                self.caller.need(scope, deed(name))
            if (read := READS.get(name)) is not None:
                result = _encode(read(self._agent, request.params))
            elif (watch := WATCHES.get(name)) is not None:
                if not alone or request.id is UNSET:
                    return _refusal(request, _watch_alone(name))
                result = watch(self._session, request.params)
            elif (change := CHANGES.get(name)) is not None:
                return change(self._call, request.params)
            else:
                return _refusal(request, missing(name))
        except (RpcError, GossipError) as problem:
            return _refusal(request, problem)
        return None if request.id is UNSET else answer(request.id, result)

    def _begin(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def run() -> None:
            try:
                await function()
            finally:
                self.pending -= 1
                self._ended()

        self.pending += 1
        self._start(run)

    async def _batch(self, text: bytes) -> None:
        self._hold(len(text))
        try:
            ends = await self._answer_batch(text)
        finally:
            self.is_batching = False
            self._hold(0)
        if ends:
            self._agent.end()

    async def _answer_batch(self, text: bytes) -> bool:
        """Whether the agent has to leave now."""
        try:
            items = read_batch(text)
        except RpcError as problem:
            self._reply(failure(problem.id, problem))
            return False
        answers: list[bytes | None] = [None] * len(items)
        asked = len(text) + ITEM_BYTES * len(items)
        kept = 0
        ends = False

        def keep(place: int, line: bytes | None) -> None:
            nonlocal kept
            if line is not None:
                kept += len(line)
                answers[place] = line
                if not self._hold(asked + kept):
                    # What was asked is still done.
                    answers[:] = [None] * len(items)

        async def change(place: int, request: Request, later: Awaitable[object]) -> None:
            keep(place, await _outcome(request, later))

        async with trio.open_nursery() as nursery:
            since = time.perf_counter()
            for place, item in enumerate(items):
                self._gossip_first()
                found = self._item(item, MAX_BATCH_ANSWER_BYTES - kept)
                if isinstance(found, tuple):
                    ends = ends or found[0].method == "agent.leave"
                    nursery.start_soon(change, place, *found)
                else:
                    keep(place, found)
                if time.perf_counter() - since > SLICE_SECONDS:
                    await trio.lowlevel.checkpoint()
                    since = time.perf_counter()
        self._hold(0)
        parts = [line[:-1] for line in answers if line is not None]
        if parts:
            self._reply(b"[" + b",".join(parts) + b"]\n")
        return ends

    def _item(self, item: Raw, left: int) -> bytes | tuple[Request, Awaitable[object]] | None:
        """One request of a batch: its answer, or itself and what to wait for."""
        try:
            request = read_request(item)
        except RpcError as problem:
            return failure(problem.id, problem)
        if left <= 0 and request.id is not UNSET:
            full = f"the batch's answers are over {MAX_BATCH_ANSWER_BYTES} bytes: ask in several"
            return failure(request.id, RpcError(FAILED, full, "limit"))
        found = self._now(request, alone=False)
        return found if found is None or isinstance(found, bytes) else (request, found)


def _watch_alone(name: str) -> RpcError:
    # Otherwise its notifications could come before its number, or never be told from another's.
    return RpcError(INVALID_REQUEST, f"{name} needs an id, and a line of its own", "invalid_request")


def _refusal(request: Request, problem: Exception) -> bytes | None:
    return None if request.id is UNSET else failure(request.id, error_of(problem))


async def _outcome(request: Request, later: Awaitable[object]) -> bytes | None:
    try:
        result = await later
    except (RpcError, GossipError) as problem:
        return _refusal(request, problem)
    return None if request.id is UNSET else answer(request.id, _encode(result))
