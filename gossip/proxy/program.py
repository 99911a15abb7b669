"""`gossip proxy`: a forwarder as a process of its own, which follows the service at the agent of its host."""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
from typing import TYPE_CHECKING

import trio

import gossip
from gossip import log
from gossip.client.aio.line import Line
from gossip.client.framing import TIMEOUT
from gossip.client.mirror import PLACES, PLACES_SECONDS, RETURN_SECONDS
from gossip.client.paths import socket_path
from gossip.client.picking import places_of
from gossip.config import show_address
from gossip.errors import GossipError, TransportError
from gossip.host import raise_descriptors
from gossip.proxy.forwarder import HIDDEN, Forwarder, listen

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator

    from gossip.client.aio import AsyncWatch
    from gossip.client.values import ServiceView
    from gossip.config import Address
    from gossip.config.proxies import ProxyDefinition

__all__ = ["run"]

_log = logging.getLogger("gossip.proxy")


def run(definition: ProxyDefinition, path: str | None, metrics: Address | None, *, as_json: bool) -> int:
    """Forwards until it is told to stop: SIGINT or SIGTERM drain, a second one ends at once.

    Args:
        definition: what it does.
        path: the agent's socket; None for the default.
        metrics: where to serve `/metrics`; None: nowhere.
        as_json: whether what is printed is one object a line.

    Raises:
        UnreachableError: no agent is there.
        TransportError: it cannot listen.
    """
    log.set_up("warning", "text")
    return trio.run(_main, definition, path, metrics, as_json)


async def _main(definition: ProxyDefinition, path: str | None, metrics: Address | None, as_json: bool) -> int:
    status = [0]
    async with gossip.aconnect(path) as g:
        watch = g.watch(definition.service, any=True)
        first = await anext(watch)
        # Until here there is nothing to drain, and a signal ends it as any program.
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as received:
            sock = listen(definition.listen)
            at = _listen_too(metrics, sock)
            forwarder = Forwarder(sock, definition)
            forwarder.room = raise_descriptors()
            forwarder.offer(first.instances)
            async with trio.open_nursery() as nursery:
                try:
                    if at is not None:
                        await nursery.start(_serve_metrics, forwarder, at)
                    nursery.start_soon(_follow, watch, forwarder)
                    nursery.start_soon(_locate, socket_path(path), forwarder)
                    nursery.start_soon(_obey, received, forwarder, nursery.cancel_scope, status)
                    _say_where(forwarder, as_json)
                    await forwarder.run()
                finally:
                    sock.close()
                    nursery.cancel_scope.cancel()
        await watch.aclose()
    counted = {
        "service": definition.service,
        "listen": show_address(forwarder.address),
        **forwarder.counted(),
    }
    print(json.dumps(counted) if as_json else f"{definition.service}: {forwarder.figures}", flush=True)  # noqa: T201 - what the command says
    return status[0]


def _listen_too(metrics: Address | None, other: socket.socket) -> socket.socket | None:
    try:
        return None if metrics is None else listen(metrics)
    except TransportError:
        other.close()
        raise


def _say_where(forwarder: Forwarder, as_json: bool) -> None:
    where = show_address(forwarder.address)
    text = json.dumps({"service": forwarder.service, "listen": where})
    print(text if as_json else f"{forwarder.service}: listening at {where}", flush=True)  # noqa: T201 - as above


async def _follow(watch: AsyncWatch[ServiceView], forwarder: Forwarder) -> None:
    """Offers what the agent says; that there is nobody, of one that is back, only after a while."""
    doubted: ServiceView | None = None
    believed_at = math.inf
    while True:
        view = None
        with trio.move_on_at(believed_at):
            try:
                view = await anext(watch)
            except StopAsyncIteration:
                return
            except GossipError as problem:
                # One that is back and does not let us: what is known stays, as when there is none.
                _log.warning("proxy", extra={"fields": {"detail": f"the agent: {problem}"}})
                await trio.sleep(RETURN_SECONDS)
        if view is None and trio.current_time() < believed_at:
            continue
        if view is not None and not any(each.status not in HIDDEN for each in view):
            if view.resync and doubted is None:
                believed_at = trio.current_time() + RETURN_SECONDS
            if trio.current_time() < believed_at < math.inf:
                doubted = view
                continue
        known = doubted if view is None else view
        doubted, believed_at = None, math.inf
        if known is not None:
            forwarder.offer(known.instances)


async def _locate(path: str, forwarder: Forwarder) -> None:
    """Where everybody is, now and then."""
    while True:
        try:
            line = await Line.open(path, TIMEOUT)
            try:
                forwarder.places = places_of((await line.ask([PLACES], TIMEOUT))[0])
            finally:
                await line.close()
        except (GossipError, ValueError, TypeError):
            pass  # an agent that is away, or older than the question: what is known stays
        await trio.sleep(PLACES_SECONDS)


async def _obey(
    received: AsyncIterator[int], forwarder: Forwarder, scope: trio.CancelScope, status: list[int]
) -> None:
    is_stopping = False
    async for number in received:
        if is_stopping:
            status[0] = 128 + number
            scope.cancel()
            return
        is_stopping = True
        busy = forwarder.figures.active
        if busy:
            sys.stderr.write(f"gossip proxy: {busy} connections may finish; once more ends them\n")
        forwarder.stop()


async def _serve_metrics(
    forwarder: Forwarder,
    sock: socket.socket,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    from gossip.api.http.metrics import Metrics  # noqa: PLC0415 - only where it is asked for: a tenth of a second
    from gossip.api.http.routes import Routes  # noqa: PLC0415 - as above
    from gossip.api.http.server import HttpServer  # noqa: PLC0415 - as above
    from gossip.api.http.values import Request, Response  # noqa: PLC0415 - as above

    metrics = Metrics.of_proxies([forwarder])

    async def answer(asked: Request) -> Response:
        asked.only()
        return Response(200, metrics.render(), metrics.content_type)

    routes = Routes()
    routes.add("GET", "/metrics", answer)
    server = HttpServer(routes, sock, host=sock.getsockname()[0])
    print(f"metrics: http://{show_address(server.address)}/metrics", file=sys.stderr)  # noqa: T201 - as above
    task_status.started()
    await server.serve()
