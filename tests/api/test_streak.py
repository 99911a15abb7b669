"""Waiting awake for a client that asks in close order: only then, only for it, and never for long."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from gossip.api import streak as streak_module
from gossip.api.streak import Streak
from tests.api.served import request, served

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def begin(streak: Streak, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests in close order, however slow this machine is."""
    monkeypatch.setattr(streak_module, "CLOSE_SECONDS", 100.0)
    for _ in range(streak_module.SHORTEST + 1):
        pair[1].send(b"x\n")
        assert await streak.receive(pair, pair[0], 10) == b"x\n"
        streak.answered(pair)


def refuse(_line: bytes) -> bool:
    raise AssertionError


async def test_no_streak_before_requests_in_close_order(pair: Pair) -> None:
    streak = Streak()
    pair[1].send(b"x\n")
    assert streak.follow(pair, pair[0], 10, refuse) is None
    await streak.receive(pair, pair[0], 10)
    streak.answered(pair)
    pair[1].send(b"x\n")
    assert streak.follow(pair, pair[0], 10, refuse) is None


async def test_lines_are_answered_while_they_come(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    streak = Streak()
    await begin(streak, pair, monkeypatch)
    monkeypatch.setattr(streak_module, "SPIN_SECONDS", 0.0)
    streak._turn_ends = float("inf")
    asked = []

    def answer(line: bytes) -> bool:
        asked.append(line)
        if len(asked) < 50:
            pair[1].send(b"y\n")
        return True

    pair[1].send(b"x\n")
    # The last wait is in vain, and the next streak must be longer.
    assert streak.follow(pair, pair[0], 10, answer) is None
    assert asked == [b"x\n"] + [b"y\n"] * 49
    pair[1].send(b"x\n")
    assert streak.follow(pair, pair[0], 10, refuse) is None


@pytest.mark.parametrize("data", [b"a\nb\n", b"part", b"a\nb", b""])
async def test_what_is_not_one_line_is_handed_back(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    streak = Streak()
    await begin(streak, pair, monkeypatch)
    streak._turn_ends = float("inf")
    if data:
        pair[1].send(data)
    else:
        pair[1].close()
    assert streak.follow(pair, pair[0], 10, refuse) == data


async def test_a_turn_ends_however_much_is_asked(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    streak = Streak()
    await begin(streak, pair, monkeypatch)

    def answer(_line: bytes) -> bool:
        pair[1].send(b"x\n")
        return True

    streak._turn_ends = time.perf_counter() + 0.02
    pair[1].send(b"x\n")
    assert streak.follow(pair, pair[0], 10, answer) is None
    assert await streak.receive(pair, pair[0], 10) == b"x\n"


async def test_an_answer_that_must_wait_ends_it(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    streak = Streak()
    await begin(streak, pair, monkeypatch)
    streak._turn_ends = float("inf")
    pair[1].send(b"x\n")
    assert streak.follow(pair, pair[0], 10, lambda _line: False) is None


async def test_another_connection_ends_it(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    streak = Streak()
    await begin(streak, pair, monkeypatch)
    other = object()
    pair[1].send(b"x\n")
    await streak.receive(other, pair[0], 10)
    streak._turn_ends = float("inf")
    pair[1].send(b"x\n")
    assert streak.follow(pair, pair[0], 10, refuse) is None


async def test_one_who_asks_without_pause_does_not_keep_others_waiting(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        stop = threading.Event()
        counts = [0, 0]

        def hammer(which: int) -> None:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(str(here.path))
                sock.settimeout(20)
                while not stop.is_set():
                    sock.sendall(request(5, "services.lookup", service="web"))
                    data = b""
                    while not data.endswith(b"\n"):
                        data += sock.recv(65_536)
                    counts[which] += 1

        async with trio.open_nursery() as nursery:
            for which in range(2):
                nursery.start_soon(trio.to_thread.run_sync, hammer, which)
            client = await here.connect()
            try:
                with trio.fail_after(20):
                    while min(counts) < 200:
                        assert (await client.call("agent.info"))["name"] == "n0"
            finally:
                stop.set()
