"""A steady load: `python load.py SOCKET PROXY_PORT OUT`; one JSON line for each request, until SIGTERM.

Some tasks call `http://web.gossip/` by the transport, the others connect to the proxy anew for each request.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

import httpx
import trio

import gossip
from gossip.transport import AsyncTransport

TASKS = 3
PAUSE = 0.03
PATIENCE = 20.0


class Load:
    """What is asked, and what came of it."""

    def __init__(self, out: TextIO, proxy: int) -> None:
        self._out = out
        self._proxy = proxy

    def note(self, way: str, began: float, name: str, problem: str) -> None:
        row = {"way": way, "began": began, "took": time.time() - began, "name": name, "problem": problem}
        self._out.write(json.dumps(row) + "\n")
        self._out.flush()

    async def by_transport(self, client: httpx.AsyncClient) -> None:
        while True:
            began, name, problem = time.time(), "", ""
            try:
                answer = await client.get("http://web.gossip/")
                name = answer.text
                problem = "" if answer.status_code == 200 else str(answer.status_code)
            except httpx.HTTPError as error:
                problem = repr(error)
            self.note("transport", began, name, problem)
            await trio.sleep(PAUSE)

    async def by_proxy(self) -> None:
        while True:
            began, name, problem = time.time(), "", ""
            try:
                name = await self._ask()
                problem = "" if name else "closed"
            except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
                problem = repr(error)
            self.note("proxy", began, name, problem)
            await trio.sleep(PAUSE)

    async def _ask(self) -> str:
        with trio.fail_after(PATIENCE):
            async with await trio.open_tcp_stream("127.0.0.1", self._proxy) as stream:
                await stream.send_all(b"GET / HTTP/1.1\r\nhost: web\r\nconnection: close\r\n\r\n")
                got = b""
                async for data in stream:
                    got += data
                return got.rpartition(b"\r\n\r\n")[2].decode()


async def main(socket: str, proxy: int, out: Path) -> None:
    """Asks until SIGTERM."""
    with out.open("w") as file, trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with gossip.aconnect(socket) as g, g.replica("web") as catalog:
            await catalog.ready()
            load = Load(file, proxy)
            async with (
                httpx.AsyncClient(transport=AsyncTransport(catalog), timeout=6.0) as client,
                trio.open_nursery() as nursery,
            ):
                for _ in range(TASKS):
                    nursery.start_soon(load.by_transport, client)
                    nursery.start_soon(load.by_proxy)
                async for _ in signals:
                    nursery.cancel_scope.cancel()
                    return


if __name__ == "__main__":
    trio.run(main, sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
