"""Consul's HTTP API, composed: its table of paths, and what of the agent it hangs on."""

from __future__ import annotations

import functools
import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import trio

from gossip.api.consul import refusals
from gossip.api.consul.agent import AgentReading
from gossip.api.consul.context import Context
from gossip.api.consul.discovery import Discovery
from gossip.api.consul.events import Events
from gossip.api.consul.external import External
from gossip.api.consul.holdings import Holdings
from gossip.api.consul.network import Network
from gossip.api.consul.reading import Reading
from gossip.api.consul.registering import Registering
from gossip.api.consul.running import Running
from gossip.api.consul.table import Table
from gossip.api.consul.words import Refusal
from gossip.api.http.values import Handler, Later, Response, Streamed, plain
from gossip.errors import ConfigError, GossipError, LocalProtocolError, NotFoundError

if TYPE_CHECKING:
    from gossip.api.consul.answers import Answers
    from gossip.api.consul.backend import Backend
    from gossip.api.http.metrics import Metrics
    from gossip.api.http.values import Request
    from gossip.core.events import Event

__all__ = ["ConsulFace"]


class ConsulFace:
    """The API.

    Args:
        metrics: for `agent/metrics`.
        self_as: the service as which every agent is listed; empty: none.
    """

    def __init__(self, agent: Backend, answers: Answers, metrics: Metrics, self_as: str = "") -> None:
        self._answers = answers
        holdings = Holdings(agent.node, agent.monitor, self_as, trio.current_time)
        self._context = Context(agent, holdings, answers, random.Random())  # noqa: S311 - parts those who wait
        self._events = Events(self._context)
        self._nursery: trio.Nursery | None = None
        self.table = Guarded()
        for part in (
            Reading(self._context),
            AgentReading(self._context),
            Registering(self._context),
            Running(self._context, metrics, self._spawn),
            self._events,
            Network(self._context),
            External(self._context),
            Discovery(self._context),
        ):
            part.add_to(self.table)
        refusals.add_to(self.table)

    def happened(self, event: Event) -> None:
        """The node tells of something, and has already changed."""
        self._context.happened(event)
        self._events.happened(event)

    async def run(self) -> None:
        """Wake who waits, until cancelled."""
        async with trio.open_nursery() as self._nursery:
            await self._answers.run()

    def _spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(work)


class Guarded(Table):
    """A table whose handlers' refusals become answers in Consul's form."""

    def add(self, method: str, path: str, handler: Handler) -> None:
        """See `Table.add`."""
        super().add(method, path, functools.partial(_guarded, handler))


async def _guarded(handler: Handler, asked: Request) -> Response | Streamed | Later:
    try:
        answer = await handler(asked)
    except GossipError as error:
        return _refused(error)
    if not isinstance(answer, Later):
        return answer
    work = answer.work

    async def guarded() -> Response | Streamed:
        try:
            return await work()
        except GossipError as error:
            return _refused(error)

    return Later(guarded)


def _refused(error: GossipError) -> Response:
    if isinstance(error, Refusal):
        return plain(error.status, error.text, error.headers)
    if isinstance(error, NotFoundError):
        return plain(404, str(error))
    return plain(400 if isinstance(error, LocalProtocolError | ConfigError) else 500, str(error))
