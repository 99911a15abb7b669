"""The transport over real connections: silence, pauses, and connections that were kept too long."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from gossip.transport import AsyncTransport, Transport
from tests.client.scripted import an_instance
from tests.transport.test_transport import a_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gossip.client.mirror import Mirror

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
URL = "http://web.gossip/"
PATIENCE = 3.0
"""Seconds. A third of it is a second: enough for a busy machine, and what a silent instance costs."""


class Servers:
    """Instances that do as they are told with each connection, in a thread each."""

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.free = threading.Event()
        self._listeners: list[socket.socket] = []

    def add(self, serve: Callable[[socket.socket], None]) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self._listeners.append(listener)
        self.ports.append(listener.getsockname()[1])
        threading.Thread(target=self._accept, args=(listener, serve), daemon=True).start()

    def _accept(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._run, args=(client, serve), daemon=True).start()

    @staticmethod
    def _run(client: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        with client, contextlib.suppress(OSError):
            serve(client)

    def catalog(self) -> Mirror:
        return a_catalog(*(an_instance(str(port), port=port, node_id=f"{port:032x}") for port in self.ports))

    def close(self) -> None:
        self.free.set()
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()


@pytest.fixture
def servers() -> Iterator[Servers]:
    made = Servers()
    yield made
    made.close()


def good(client: socket.socket) -> None:
    while client.recv(10_000):
        client.sendall(HEAD + b"good")


def get(kind: str, catalog: Mirror, times: int = 1) -> list[str]:
    """What some requests bring, one after the other."""
    if kind == "blocking":
        with httpx.Client(transport=Transport(catalog), timeout=PATIENCE) as client:
            return [client.get(URL).text for _ in range(times)]

    async def main() -> list[str]:
        async with httpx.AsyncClient(transport=AsyncTransport(catalog), timeout=PATIENCE) as client:
            return [(await client.get(URL)).text for _ in range(times)]

    return anyio.run(main, backend=kind)


kinds = pytest.mark.parametrize("kind", ["blocking", "trio", "asyncio"])


@kinds
def test_one_that_says_nothing_costs_a_third_of_the_time(kind: str, servers: Servers) -> None:
    def silent(client: socket.socket) -> None:
        client.recv(10_000)
        servers.free.wait()

    servers.add(silent)
    servers.add(good)
    catalog = servers.catalog()
    calls = 0
    while not any(each.latency_ms is None and each.calls for each in catalog.balance("web").standings):
        assert get(kind, catalog) == ["good"]
        calls += 1
        assert calls < 50
    silent_one = catalog.balance("web").standings[0]
    assert silent_one.calls == 1


@kinds
def test_a_body_may_take_as_long_as_its_caller_allows(kind: str, servers: Servers) -> None:
    """Longer than what an instance has to begin its answer."""

    def slow(client: socket.socket) -> None:
        while client.recv(10_000):
            client.sendall(HEAD + b"sl")
            servers.free.wait(0.3)
            client.sendall(b"ow")

    for _ in range(2):
        servers.add(slow)
    catalog = servers.catalog()
    if kind == "blocking":
        with httpx.Client(transport=Transport(catalog, first_share=0.02), timeout=10.0) as client:
            assert client.get(URL).text == "slow"
        return

    async def main() -> None:
        transport = AsyncTransport(catalog, first_share=0.02)
        async with httpx.AsyncClient(transport=transport, timeout=10.0) as client:
            assert (await client.get(URL)).text == "slow"

    anyio.run(main, backend=kind)


@kinds
def test_a_kept_connection_that_was_closed_is_no_failure_of_the_call(kind: str, servers: Servers) -> None:
    def once(client: socket.socket) -> None:
        client.recv(10_000)
        client.sendall(HEAD + b"once")

    for _ in range(2):
        servers.add(once)
    assert get(kind, servers.catalog(), 6) == ["once"] * 6
