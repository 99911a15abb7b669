"""An agent as a process of its own: what its signals mean, and its exit status."""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING

import trio

from gossip import log
from gossip.agent import Agent
from gossip.errors import GossipError
from gossip.log import note
from gossip.net.collector import Collector

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from gossip.config import Config
    from gossip.net.bind import Endpoint

__all__ = ["run"]


def run(
    config: Config, reload: Callable[[], Config] | None = None, endpoints: Sequence[Endpoint] = ()
) -> int:
    """Run an agent until it is told to stop, on these sockets if there are any; the exit status.

    SIGINT leaves the cluster, SIGTERM hands over (or leaves, with `leave_on_term`), a second one
    of either stops at once, SIGHUP takes over what `reload` gives.

    Raises:
        GossipError: it cannot start; the message says why.
    """
    log.set_up(config.log_level, config.log_format)
    # Started deaf to it, we would not hear how the commands of checks ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return trio.run(_main, config, reload, endpoints)


async def _main(config: Config, reload: Callable[[], Config] | None, endpoints: Sequence[Endpoint]) -> int:
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    status = [0]
    with trio.open_signal_receiver(*signals) as received, Collector() as collector:
        async with (
            Agent(config, reread=reload, endpoints=endpoints, rest=collector.rest) as agent,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(_obey, agent, received, status)
            await agent.finished()
            nursery.cancel_scope.cancel()
    return status[0]


async def _obey(agent: Agent, received: AsyncIterator[int], status: list[int]) -> None:
    is_stopping = False
    async for number in received:
        note(logging.INFO, "signal", name=signal.Signals(number).name)
        if number == signal.SIGHUP:
            await _reload(agent)
        elif is_stopping:
            status[0] = 128 + number
            agent.stop_at_once()
        else:
            is_stopping = True
            agent.stop(leave=number == signal.SIGINT or agent.config.leave_on_term)


async def _reload(agent: Agent) -> None:
    try:
        await agent.reload_files()
    except GossipError as problem:
        # What runs is better than nothing: the old settings stand.
        note(logging.ERROR, "reload_failed", detail=str(problem))
