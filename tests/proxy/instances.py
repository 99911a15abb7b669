"""Instances on loopback that do as a test says, and a forwarder before them."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING, Any, TypeAlias

import trio

from gossip.config.proxies import ProxyDefinition
from gossip.proxy.forwarder import Forwarder, listen
from tests.calling.targets import T

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

Serve: TypeAlias = "Callable[[trio.SocketStream], Awaitable[None]]"

__all__ = ["Serve", "a_dead_port", "echo", "forwarding", "instance", "open_to", "said"]

PATIENCE = 30.0


async def echo(stream: trio.SocketStream) -> None:
    """Says what it hears, until the end of it."""
    async for data in stream:
        await stream.send_all(data)
    await stream.send_eof()


@contextlib.asynccontextmanager
async def instance(id: str, serve: Serve = echo, **more: Any) -> AsyncIterator[T]:
    """A listening instance."""

    async def handle(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await serve(stream)

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        yield T(id, node_id=id, address="127.0.0.1", port=listener.socket.getsockname()[1], **more)
        nursery.cancel_scope.cancel()


def a_dead_port() -> int:
    """Where nobody listens."""
    sock = listen(("127.0.0.1", 0))
    port: int = sock.getsockname()[1]
    sock.close()
    return port


@contextlib.asynccontextmanager
async def forwarding(*instances: T, seed: int = 1, **settings: Any) -> AsyncIterator[Forwarder]:
    """A forwarder that runs while the block does."""
    definition = ProxyDefinition(("127.0.0.1", 0), "web", **settings)
    forwarder = Forwarder(listen(definition.listen), definition, chance=random.Random(seed).random)
    forwarder.offer(instances)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(forwarder.run)
            yield forwarder
            nursery.cancel_scope.cancel()


async def open_to(forwarder: Forwarder) -> trio.SocketStream:
    """A client's connection."""
    return await trio.open_tcp_stream(*forwarder.address)


async def said(forwarder: Forwarder, text: bytes = b"hello") -> bytes:
    """What a whole exchange brings; b"" if it was reset."""
    got = b""
    with contextlib.suppress(trio.BrokenResourceError):
        async with await open_to(forwarder) as stream:
            await stream.send_all(text)
            await stream.send_eof()
            async for data in stream:
                got += data
    return got
