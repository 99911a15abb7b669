"""`logs.watch`: every record from the watcher's level on, bounded, and no cost when nobody watches."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
import trio

from gossip import log
from gossip.api.connection import WATCH_BYTES
from gossip.log import note
from tests.api.served import PATIENCE, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gossip.api.logs import Logs


@pytest.fixture
def stderr() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    log.set_up("warning", "text", stream)
    yield stream
    log.set_up("info", "text", io.StringIO())


def event_of(message: Any) -> tuple[int, str, str]:
    params = message["params"]
    return params["watch"], params["record"]["level"], params["record"]["event"]


async def test_records_arrive_from_the_level_that_was_asked_for(tmp_path: Path, stderr: io.StringIO) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        assert await client.call("logs.watch", level="warning") == {"watch": 1}
        assert await client.call("logs.watch", level="debug") == {"watch": 2}
        note(logging.DEBUG, "fine", name="n1", value=b"\x00")
        note(logging.ERROR, "grave", name="n2")
        first = await client.line()
        assert event_of(first) == (2, "debug", "fine")
        assert (first["method"], first["params"]["record"]["name"]) == ("logs.watch", "n1")
        assert first["params"]["record"]["time"].endswith("Z")
        assert {event_of(await client.line()) for _ in range(2)} == {(n, "error", "grave") for n in (1, 2)}
        # The agent's own level is what it was.
        assert "grave" in stderr.getvalue()
        assert "fine" not in stderr.getvalue()


async def test_the_default_is_info_and_an_unknown_level_is_refused(
    tmp_path: Path, stderr: io.StringIO
) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        assert await client.call("logs.watch") == {"watch": 1}
        note(logging.DEBUG, "fine")
        note(logging.INFO, "usual")
        assert event_of(await client.line()) == (1, "info", "usual")
        assert "error" in await client.ask("logs.watch", level="loud")
        assert "error" in await client.ask("logs.watch", colour="red")


async def test_loggers_of_parts_and_faults_of_our_own_are_shown(tmp_path: Path, stderr: io.StringIO) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        await client.call("logs.watch")
        try:
            int("a fault")
        except ValueError:
            logging.getLogger("gossip.net").exception("failed")
        record = (await client.line())["params"]["record"]
        assert (record["event"], record["level"]) == ("failed", "error")
        assert "ValueError: invalid literal" in record["trace"]


async def until_forgotten(logs: Logs) -> None:
    with trio.fail_after(PATIENCE):
        while logs._levels:  # noqa: ASYNC110 - the connection's end is nobody's event
            await trio.sleep(0.001)


async def test_nothing_is_left_when_the_last_watcher_has_gone(tmp_path: Path, stderr: io.StringIO) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        await client.call("logs.watch", level="debug")
        assert log._feed in logging.getLogger("gossip").handlers
        log.set_up("warning", "text", stderr)  # as a reload does
        note(logging.DEBUG, "still")
        assert event_of(await client.line()) == (1, "debug", "still")
        await client.stream.aclose()
        await until_forgotten(here.local.logs)
        assert log._feed not in logging.getLogger("gossip").handlers
        assert log._feed.level > logging.CRITICAL


async def test_a_slow_watcher_is_told_how_many_records_it_missed(tmp_path: Path, stderr: io.StringIO) -> None:
    """Nothing is kept for who does not read; the count makes up for every record that was not sent."""
    sent = 400
    text = "x" * 8_000
    assert sent * len(text) > 4 * WATCH_BYTES
    async with served(tmp_path) as here:
        client = await here.connect()
        await client.call("logs.watch")
        for number in range(sent):
            note(logging.INFO, "chatter", number=number, text=text)
        seen = 0
        while True:
            params = (await client.line())["params"]
            if params.get("resync"):
                missed = params["missed"]
                break
            assert params["record"]["number"] == seen
            seen += 1
        assert missed > 0
        assert seen + missed == sent
        note(logging.INFO, "after")
        assert event_of(await client.line()) == (1, "info", "after")


async def test_a_record_of_a_worker_thread_arrives_too(tmp_path: Path, stderr: io.StringIO) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        await client.call("logs.watch")
        await trio.to_thread.run_sync(note, logging.INFO, "from_afar")
        assert event_of(await client.line()) == (1, "info", "from_afar")


async def test_values_that_json_has_not_are_shown_as_text(tmp_path: Path, stderr: io.StringIO) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        await client.call("logs.watch")
        note(logging.INFO, "odd", path=tmp_path, text="\ud800 é")
        record = (await client.line())["params"]["record"]
        assert record["path"] == str(tmp_path)
        assert json.dumps(record["text"]) == '"\\ud800 \\u00e9"'
