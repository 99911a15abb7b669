"""Commands run in this process, against a scripted agent."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from gossip.cli import main
from tests.client.scripted import ScriptedAgent

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


@dataclass
class Ran:
    """What a command did."""

    status: int
    out: str
    err: str


@pytest.fixture
def agent() -> Generator[ScriptedAgent, None, None]:
    with ScriptedAgent() as scripted:
        yield scripted


@pytest.fixture
def gossip(
    agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Runs `gossip` with these arguments, with the agent's socket and a clock that stands still."""
    monkeypatch.setenv("GOSSIP_SOCKET", agent.path)
    monkeypatch.setattr(time, "time", lambda: 1_795_262_600.0)  # 2026-11-21T12:03:20Z
    monkeypatch.setattr(time, "strftime", lambda *_: "12:03:20")

    def run(*arguments: str) -> Ran:
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        captured = capsys.readouterr()
        return Ran(status, captured.out, captured.err)

    return run
