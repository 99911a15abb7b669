"""The transport for `httpx.AsyncClient`, under trio or asyncio."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import anyio
import httpx

from gossip.calling.budget import RetryBudget
from gossip.transport.call import Attempt, Call, nowhere
from gossip.transport.options import Options
from gossip.transport.routing import Routing
from gossip.transport.streams import AsyncBody, AsyncWatched

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from gossip.client.mirror import Mirror

__all__ = ["AsyncTransport"]

GRACE_SECONDS = 0.05
"""After the end of an attempt's time: its steps' own timeouts come first, and say what it was waiting for."""


class AsyncTransport(Routing, httpx.AsyncBaseTransport):
    """See `Transport`; `inner` is an `httpx.AsyncHTTPTransport` unless it is given."""

    def __init__(
        self,
        catalog: Mirror,
        *,
        inner: httpx.AsyncBaseTransport | None = None,
        suffix: str = "gossip",
        budget: RetryBudget | None = None,
        **options: Any,
    ) -> None:
        super().__init__(catalog, suffix, budget or RetryBudget(), Options().changed(options))
        self._inner = httpx.AsyncHTTPTransport() if inner is None else inner

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As `Transport.handle_request`."""
        call = self.call(request)
        if call is None:
            return await self._inner.handle_async_request(request)
        if isinstance(request.stream, httpx.AsyncByteStream) and not isinstance(
            request.stream, httpx.ByteStream | AsyncWatched
        ):
            request.stream = AsyncWatched(request.stream)
        try:
            if call.hedge_after is not None:
                return await _Race(self._inner, call).run(call.hedge_after)
            attempt = call.first()
            while True:
                result = await _send(self._inner, attempt)
                following = await _judge(call, attempt, result)
                if following is None:
                    return _take(call, attempt, result)
                attempt = following
        finally:
            call.over()


async def _send(inner: httpx.AsyncBaseTransport, attempt: Attempt) -> httpx.Response | httpx.TransportError:
    until = attempt.timeouts.until
    try:
        if until is None:
            return await inner.handle_async_request(attempt.request)
        with anyio.move_on_after(until - time.monotonic() + GRACE_SECONDS):
            return await inner.handle_async_request(attempt.request)
        return httpx.ReadTimeout("the answer had not begun in time")
    except httpx.TransportError as error:
        return error
    except UnicodeError as problem:
        if (told := nowhere(attempt.instance, problem)) is not None:
            return told
        attempt.end(None)
        raise
    except BaseException:
        attempt.end(None)
        raise


async def _judge(
    call: Call, attempt: Attempt, result: httpx.Response | httpx.TransportError
) -> Attempt | None:
    if isinstance(result, httpx.TransportError):
        return call.failed(attempt, result)
    following = call.answered(attempt, result.status_code)
    if following is not None:
        try:
            await result.aclose()
        except BaseException:
            following.end(None)
            raise
    return following


def _take(call: Call, attempt: Attempt, result: httpx.Response | httpx.TransportError) -> httpx.Response:
    if isinstance(result, httpx.TransportError):
        call.give_up()
    done = call.accept(attempt, result)
    if result.is_closed:
        done(True)
    else:
        result.stream = AsyncBody(result.stream, done)
    return result


class _Race:
    """Two instances at once; the first answer counts, and the other attempt is cancelled."""

    def __init__(self, inner: httpx.AsyncBaseTransport, call: Call) -> None:
        self._inner = inner
        self._call = call
        self._running = 0
        self._winner: tuple[Attempt, httpx.Response | httpx.TransportError] | None = None
        self._problem: Exception | None = None

    async def run(self, after: float) -> httpx.Response:
        try:
            async with anyio.create_task_group() as group:
                self._start(group, self._call.first())
                group.start_soon(self._hedge, group, after)
        except BaseException:
            # Cancelled, while only the slower one had not ended yet.
            await self._drop(self._winner)
            raise
        if self._problem is not None:
            # The other one was answered all the same, before it noticed.
            await self._drop(self._winner)
            raise self._problem
        if self._winner is None:
            self._call.give_up()
        return _take(self._call, *self._winner)

    async def _hedge(self, group: anyio.abc.TaskGroup, after: float) -> None:
        await anyio.sleep(after)
        self._start(group, self._call.another())

    def _start(self, group: anyio.abc.TaskGroup, attempt: Attempt | None) -> None:
        if attempt is not None:
            self._running += 1
            group.start_soon(self._run, group, attempt)

    async def _run(self, group: anyio.abc.TaskGroup, attempt: Attempt) -> None:
        try:
            result = await _send(self._inner, attempt)
        except Exception as problem:  # noqa: BLE001 - raised again, in no group
            if self._winner is None:
                self._problem = problem
                group.cancel_scope.cancel()
            return
        self._running -= 1
        if self._winner is not None:
            # Both came in the same moment.
            await self._drop((attempt, result))
            return
        following = await _judge(self._call, attempt, result)
        if following is None and not (isinstance(result, httpx.TransportError) and self._running):
            self._winner = (attempt, result)
            group.cancel_scope.cancel()
        else:
            self._start(group, following)

    async def _drop(self, unwanted: tuple[Attempt, httpx.Response | httpx.TransportError] | None) -> None:
        if unwanted is None:
            return
        attempt, result = unwanted
        self._call.drop(attempt)
        if isinstance(result, httpx.Response):
            with anyio.CancelScope(shield=True):
                await result.aclose()
