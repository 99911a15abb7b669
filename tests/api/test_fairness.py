"""Gossip goes first, and each connection has its share: what a busy local socket leaves to others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from gossip.api import connection
from tests.api.served import request, served

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PATIENCE = 20.0


async def test_gossip_goes_before_each_request_of_any_kind(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        asked: list[None] = []
        here.local.gossip_first = lambda: asked.append(None)
        client = await here.connect()
        await client.call("members.list")
        assert len(asked) == 1
        await client.send(b"".join(request(number, "services.list") for number in range(10)))
        for _ in range(10):
            await client.line()
        assert len(asked) >= 11
        before = len(asked)
        batch = b"[" + b",".join(request(number, "services.list").strip() for number in range(5)) + b"]\n"
        await client.send(batch)
        assert len(await client.line()) == 5
        assert len(asked) >= before + 5


async def test_a_connection_that_asks_without_a_pause_lets_others_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many lines one read brings, other tasks run after `SLICE_REQUESTS` of them."""
    monkeypatch.setattr(connection, "SLICE_SECONDS", 1e9)
    async with served(tmp_path) as here:
        runs = [0]
        longest = 0

        def count() -> None:
            nonlocal longest
            runs[-1] += 1
            longest = max(longest, runs[-1])

        async def others() -> None:
            while True:
                runs.append(0)
                await trio.lowlevel.checkpoint()

        here.local.gossip_first = count
        client = await here.connect()
        # 60 bytes each: hundreds come with one read.
        lines = b"".join(request(number, "rtt", b="nobody") for number in range(5_000))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            nursery.start_soon(client.send, lines)
            with trio.fail_after(PATIENCE):
                for _ in range(5_000):
                    await client.line()
            nursery.cancel_scope.cancel()
        # Trio takes the tasks of a round in any order: last in one and first in the next is twice in a row.
        assert longest <= 2 * connection.SLICE_REQUESTS
