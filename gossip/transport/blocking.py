"""The transport for `httpx.Client`."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

import httpx

from gossip.calling.budget import RetryBudget
from gossip.transport.call import Attempt, Call, nowhere
from gossip.transport.options import Options
from gossip.transport.routing import Routing
from gossip.transport.streams import Body, Watched

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from gossip.client.mirror import Mirror

__all__ = ["Transport"]


class Transport(Routing, httpx.BaseTransport):
    """Sends requests for `NAME.gossip` to instances of that service, all others as they are.

    Args:
        catalog: a replica; it is not closed.
        inner: what speaks HTTP; closed with this. None: an `httpx.HTTPTransport` of its own.
        suffix: the domain.
        budget: how many retries there may be; None: a fifth of the requests, and two a second.
        options: see `Options`; each may be given by its name.
    """

    def __init__(
        self,
        catalog: Mirror,
        *,
        inner: httpx.BaseTransport | None = None,
        suffix: str = "gossip",
        budget: RetryBudget | None = None,
        **options: Any,
    ) -> None:
        super().__init__(catalog, suffix, budget or RetryBudget(), Options().changed(options))
        self._inner = httpx.HTTPTransport() if inner is None else inner

    def __enter__(self) -> Self:
        self._inner.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self._inner.__exit__(kind, error, trace)

    def close(self) -> None:
        self._inner.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.BaseTransport`.

        Raises:
            NoInstanceError: nobody may be called.
            httpx.TransportError: of its usual classes; the message and `tried` have every instance.
        """
        call = self.call(request)
        if call is None:
            return self._inner.handle_request(request)
        if isinstance(request.stream, httpx.SyncByteStream) and not isinstance(
            request.stream, httpx.ByteStream | Watched
        ):
            request.stream = Watched(request.stream)
        try:
            if call.hedge_after is not None:
                return _Race(self._inner, call, call.hedge_after).run()
            attempt = call.first()
            while True:
                result = _send(self._inner, attempt)
                following = _judge(call, attempt, result)
                if following is None:
                    return _take(call, attempt, result)
                attempt = following
        finally:
            call.over()


def _send(inner: httpx.BaseTransport, attempt: Attempt) -> httpx.Response | httpx.TransportError:
    try:
        return inner.handle_request(attempt.request)
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


def _judge(call: Call, attempt: Attempt, result: httpx.Response | httpx.TransportError) -> Attempt | None:
    if isinstance(result, httpx.TransportError):
        return call.failed(attempt, result)
    following = call.answered(attempt, result.status_code)
    if following is not None:
        try:
            result.close()
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
        result.stream = Body(result.stream, done)
    return result


class _Race:
    """Two instances at once: each attempt has a thread of its own, and the first answer counts."""

    def __init__(self, inner: httpx.BaseTransport, call: Call, after: float) -> None:
        self._inner = inner
        self._call = call
        self._after: float | None = after
        self._news: queue.SimpleQueue[tuple[Attempt, httpx.Response | httpx.TransportError]] = (
            queue.SimpleQueue()
        )
        self._lock = threading.Lock()
        self._is_over = False
        self._running = 0

    def run(self) -> httpx.Response:
        self._start(self._call.first())
        try:
            return self._wait()
        finally:
            with self._lock:
                self._is_over = True
            while not self._news.empty():
                self._drop(*self._news.get())

    def _wait(self) -> httpx.Response:
        while True:
            try:
                attempt, result = self._news.get(timeout=self._after)
            except queue.Empty:
                self._after = None
                self._start(self._call.another())
                continue
            self._running -= 1
            following = _judge(self._call, attempt, result)
            if following is None and not (isinstance(result, httpx.TransportError) and self._running):
                return _take(self._call, attempt, result)
            self._start(following)

    def _start(self, attempt: Attempt | None) -> None:
        if attempt is not None:
            self._running += 1
            threading.Thread(target=self._run, args=(attempt,), name="gossip-hedge", daemon=True).start()

    def _run(self, attempt: Attempt) -> None:
        try:
            result = _send(self._inner, attempt)
        except Exception as error:  # noqa: BLE001 - told to who waits, as every other end of it
            result = httpx.TransportError(repr(error))
        with self._lock:
            if not self._is_over:
                self._news.put((attempt, result))
                return
        self._drop(attempt, result)

    def _drop(self, attempt: Attempt, result: httpx.Response | httpx.TransportError) -> None:
        self._call.drop(attempt)
        if isinstance(result, httpx.Response):
            result.close()
