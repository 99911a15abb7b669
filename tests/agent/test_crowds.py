"""Far more connections asked for than there is room for: so many are served, the others are told or cut."""

from __future__ import annotations

import contextlib
import resource
import socket
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from gossip.api import socket as local_socket
from gossip.api.dns import tcp as dns_tcp
from gossip.api.http import server as http_server
from tests.agent.processes import PATIENCE, Process, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

AT_ONCE = 500
SPARE = 64
"""Descriptors of those who are just being turned away."""

HTTP = b"GET /gossip/v1/info HTTP/1.1\r\nHost: localhost\r\n\r\n"
LINE = b'{"jsonrpc":"2.0","id":1,"method":"agent.info"}\n'
QUERY = bytes.fromhex("001f 0001 0100 0001 0000 0000 0000 0161 046e6f6465 06676f73736970 00 0001 0001")


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    """Enough for those who are served; who is turned away closes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Crowd:
    """Clients that each ask once and stay if they are answered.

    Args:
        address: a port on loopback, or the path of a socket.
        request: what each sends.
        kind: what an answer that has begun is: `served`, `told` that there is no room, or `cut`.
    """

    def __init__(self, address: int | str, request: bytes, kind: Callable[[bytes], str]) -> None:
        self._address = address
        self._request = request
        self._kind = kind
        self.fates: Counter[str] = Counter()
        self.held: list[trio.abc.Stream] = []

    async def ask(self, count: int) -> None:
        """So many more ask."""
        room = trio.CapacityLimiter(AT_ONCE)
        with trio.fail_after(4 * PATIENCE):
            async with trio.open_nursery() as nursery:
                for _ in range(count):
                    nursery.start_soon(self._ask, room)

    async def _ask(self, room: trio.CapacityLimiter) -> None:
        async with room:
            stream: trio.abc.Stream | None = None
            answer = b""
            try:
                stream = await self._connect()
                # Who is turned away at once cannot be told anything, and may have been.
                with contextlib.suppress(trio.BrokenResourceError):
                    await stream.send_all(self._request)
                answer = bytes(await stream.receive_some(4_096))
            except (OSError, trio.BrokenResourceError):
                pass
            fate = self._kind(answer)
            self.fates[fate] += 1
            if stream is not None:
                if fate == "served":
                    self.held.append(stream)
                else:
                    await stream.aclose()

    async def _connect(self) -> trio.abc.Stream:
        if isinstance(self._address, str):
            return await trio.open_unix_socket(self._address)
        return trio.SocketStream(await _connected(self._address))

    async def close(self) -> None:
        """Those who were served go."""
        for stream in self.held:
            await stream.aclose()


async def _connected(port: int) -> trio.socket.SocketType:
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        await sock.connect(("127.0.0.1", port))
    except BaseException:
        sock.close()
        raise
    return sock


def http_kind(answer: bytes) -> str:
    if answer.startswith(b"HTTP/1.1 200 "):
        return "served"
    return "told" if answer.startswith(b"HTTP/1.1 503 ") and b"open already: close some" in answer else "cut"


def line_kind(answer: bytes) -> str:
    if b'"result"' in answer:
        return "served"
    return "told" if b"connected already: close some" in answer else "cut"


def dns_kind(answer: bytes) -> str:
    return "served" if answer[2:4] == b"\x00\x01" else "cut"


def test_thousands_of_connections_to_each_face(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    faces = ("--http", "127.0.0.1:0", "--dns", "127.0.0.1:0", "--profile", "local")
    with Process(folders[0], *faces, name="a") as first, first.ask() as ask:
        addresses = ask.call("agent.info")["addresses"]
        joining = Process(folders[1], "--profile", "local", "--join", addresses["gossip"], name="b")
        with joining, joining.ask() as other:
            until("they meet", lambda: other.call("agent.info")["members"]["alive"] == 2)
            before = descriptors_of(first)
            crowds = [
                (Crowd(_port(addresses["http"]), HTTP, http_kind), 10_000, http_server.MAX_CONNECTIONS),
                # This test is connected itself.
                (Crowd(str(first.socket), LINE, line_kind), 3_000, local_socket.MAX_CONNECTIONS - 1),
                (Crowd(_port(addresses["dns"]), QUERY, dns_kind), 3_000, dns_tcp.MAX_CONNECTIONS),
            ]
            for crowd, asked, limit in crowds:
                trio.run(crowd.ask, asked)
                assert crowd.fates.total() == asked
                # On a slow machine the first may have been idle for too long before the last one came.
                assert crowd.fates["served"] >= limit, crowd.fates
                assert crowd.fates["served"] < asked / 2, crowd.fates
            for crowd, _, _ in crowds[:2]:
                assert crowd.fates["told"] >= 100, crowd.fates
            held = sum(limit for _, _, limit in crowds)
            assert descriptors_of(first) <= before + held + SPARE
            # Who is served already goes on being served, and gossip goes on.
            ask.call("services.register", name="web", port=80)
            until("it has the service", lambda: other.call("services.lookup", service="web")["instances"])
            events = [each["event"] for each in (*first.events(), *joining.events())]
            assert "member_suspected" not in events
            assert ask.call("agent.info")["counters"].get("internal_error", 0) == 0
            for crowd, _, _ in crowds:
                trio.run(crowd.close)
            until("all are gone", lambda: descriptors_of(first) <= before)


def descriptors_of(agent: Process) -> int:
    return sum(1 for _ in Path(f"/proc/{agent.child.pid}/fd").iterdir())


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])
