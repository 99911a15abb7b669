"""Real agents in this process, with Consul's API, and a client that is short to write."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import trio

from gossip.agent import Agent
from gossip.config import Config
from tests.api.http.served import PATIENCE, Client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

__all__ = ["Consul", "Said", "cluster", "until"]


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def index(self) -> int:
        return int(self.headers["x-consul-index"])


class Consul:
    """One agent, asked over a connection for each request."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        host, _, port = str(agent.info().addresses.http).rpartition(":")
        self._place = host, int(port)

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> Said:
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        stream = await trio.open_tcp_stream(*self._place)
        try:
            answer = await Client(stream).ask(method, f"/v1/{path}", data, **headers)
        finally:
            await trio.aclose_forcefully(stream)
        return Said(answer.status, answer.headers, answer.body.decode())

    async def get(self, path: str, **headers: str) -> Said:
        return await self.ask("GET", path, **headers)

    async def put(self, path: str, body: object = None) -> Said:
        return await self.ask("PUT", path, body)

    async def register(self, name: str = "web", **fields: Any) -> None:
        said = await self.put("agent/service/register", {"Name": name, **fields})
        assert (said.status, said.text) == (200, ""), said


@asynccontextmanager
async def cluster(folder: Path, size: int = 1, **settings: Any) -> AsyncIterator[list[Consul]]:
    """Agents n1, n2, ... that know each other."""
    async with AsyncExitStack() as agents:
        found: list[Consul] = []
        seeds: tuple[str, ...] = ()
        for number in range(1, size + 1):
            config = Config(
                name=f"n{number}",
                socket=folder / f"s{number}",
                bind=(("127.0.0.1", 0),),
                join=seeds,
                http=("127.0.0.1", 0),
                cluster="dc1",
                profile="local",
                **settings,
            )
            agent = await agents.enter_async_context(Agent(config))
            seeds = seeds or (agent.info().addresses.gossip,)
            found.append(Consul(agent))
        for each in found:
            await until(lambda each=each: len(list(each.agent.node.members)) == size - 1)
        yield found


async def until(condition: Callable[[], Any] | Callable[[], Awaitable[Any]]) -> None:
    """Returns when the condition holds."""
    with trio.fail_after(PATIENCE):
        while True:
            found: Any = condition()
            if hasattr(found, "__await__"):
                found = await found
            if found:
                return
            await trio.sleep(0.005)
