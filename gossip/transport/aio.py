"""The transport for `httpx.AsyncClient`, under trio or asyncio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import httpx

from gossip.calling.budget import RetryBudget
from gossip.transport.call import Attempt, Call
from gossip.transport.options import Options
from gossip.transport.routing import Routing
from gossip.transport.streams import AsyncBody, AsyncWatched

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from gossip.client.mirror import Mirror

__all__ = ["AsyncTransport"]


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
        if call.hedge_after is not None:
            return await _Race(self._inner, call).run(call.hedge_after)
        attempt = call.first()
        while True:
            result = await _send(self._inner, attempt)
            following = await _judge(call, attempt, result)
            if following is None:
                return _take(call, attempt, result)
            attempt = following


async def _send(inner: httpx.AsyncBaseTransport, attempt: Attempt) -> httpx.Response | httpx.TransportError:
    try:
        return await inner.handle_async_request(attempt.request)
    except httpx.TransportError as error:
        return error
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
        await result.aclose()
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
        async with anyio.create_task_group() as group:
            self._start(group, self._call.first())
            group.start_soon(self._hedge, group, after)
        if self._problem is not None:
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
            self._problem = problem
            group.cancel_scope.cancel()
            return
        self._running -= 1
        if self._winner is not None:
            # Both came in the same moment.
            self._call.drop(attempt)
            if isinstance(result, httpx.Response):
                with anyio.CancelScope(shield=True):
                    await result.aclose()
            return
        following = await _judge(self._call, attempt, result)
        if following is None and not (isinstance(result, httpx.TransportError) and self._running):
            self._winner = (attempt, result)
            group.cancel_scope.cancel()
        else:
            self._start(group, following)
