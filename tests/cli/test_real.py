"""The commands of every day against a real agent: checks that lapse, killed programs, its log, reload."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.processes import PATIENCE, Process, until
from tests.support import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    (folder / "gossip.toml").write_text('[[service]]\nname = "filed"\nport = 9001\n')
    return folder


@pytest.fixture(scope="module")
def process(folder: Path) -> Iterator[Process]:
    with Process(folder, "--config", str(folder / "gossip.toml"), "--log-level", "error") as running:
        yield running


@pytest.fixture
def real(
    process: Process, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Runs `gossip` with these arguments and `--json` against the real agent; (status, value)."""
    monkeypatch.setenv("GOSSIP_SOCKET", str(process.socket))
    from gossip.cli import main

    def run(*arguments: str) -> tuple[int, Any]:
        status = main([*arguments, "--json"])
        out = capsys.readouterr().out
        return status, json.loads(out) if out else None

    return run


@contextlib.contextmanager
def running(process: Process, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "gossip", *arguments],
        cwd=ROOT,
        env=clean_environment({"GOSSIP_SOCKET": str(process.socket)}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            yield started
        finally:
            with contextlib.suppress(ProcessLookupError):
                started.kill()


def test_a_ttl_check_passes_by_word_and_lapses_without(real: Callable[..., Any]) -> None:
    assert real("register", "fed", "--port", "9002", "--check-ttl", "1500ms")[0] == 0
    # A new instance is not callable before its first good word.
    assert real("lookup", "fed") == (1, [])
    assert real("check", "pass", "fed", "--note", "I am well")[1]["status"] == "passing"
    # Changes of one instance are told to the cluster at most each half second.
    (instance,) = until("it is there", lambda: real("lookup", "fed")[1])
    assert instance["status"] == "passing"
    (check,) = real("checks")[1]
    assert (check["service"], check["kind"], check["status"]) == ("fed", "ttl", "passing")
    assert "I am well" in check["output"]
    until("it lapses", lambda: real("lookup", "fed") == (1, []))
    assert real("lookup", "fed", "--any")[1][0]["status"] == "critical"
    assert real("check", "warn", "fed")[0] == 0
    until("it is back", lambda: real("lookup", "fed")[1])
    assert real("lookup", "fed")[1][0]["status"] == "warning"


def test_a_check_that_the_agent_runs_decides(real: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        options = ["--check-tcp", f"127.0.0.1:{port}", "--interval", "100ms"]
        assert real("register", "run", "--port", port, *options)[0] == 0
        until("it passes", lambda: real("lookup", "run")[0] == 0)
    until("it fails", lambda: real("lookup", "run")[0] == 1)


def test_maintenance_takes_it_out_and_puts_it_back(real: Callable[..., Any]) -> None:
    real("register", "kept", "--port", "9003")
    assert real("maintenance", "on", "kept", "--reason", "new disks")[1] == {"id": "kept", "on": True}
    assert real("lookup", "kept") == (1, [])
    (instance,) = real("lookup", "kept", "--any")[1]
    assert (instance["status"], instance["note"]) == ("maintenance", "new disks")
    real("maintenance", "off", "kept")
    assert real("lookup", "kept")[0] == 0


def test_a_registration_that_replaces_another_says_so(real: Callable[..., Any]) -> None:
    assert "replaced" not in real("register", "twice", "--port", "9004")[1]
    assert "replaced" not in real("register", "twice", "--port", "9004")[1]
    assert real("register", "twice", "--port", "9005")[1]["replaced"] is True
    real("maintenance", "off", "twice")
    assert "replaced" not in real("register", "twice", "--port", "9005")[1]


def test_maintenance_of_the_whole_node_is_seen_everywhere(real: Callable[..., Any]) -> None:
    assert real("info")[1]["maintenance"] is None
    real("maintenance", "on", "--reason", "new disks")
    try:
        assert real("info")[1]["maintenance"] == "new disks"
        assert real("members")[1][0]["flags"] == ["self", "maintenance"]
        listed = {each["id"]: each for each in real("checks")[1]}
        assert listed["_node_maintenance"]["output"] == "new disks"
        status, diagnosis = real("doctor", "--timeout", "1s")
        assert status == 0
        assert "maintenance" in {each["code"] for each in diagnosis["findings"]}
    finally:
        real("maintenance", "off")
    assert real("members")[1][0]["flags"] == ["self"]


def test_reload_takes_over_what_the_file_says_now(real: Callable[..., Any], folder: Path) -> None:
    (folder / "gossip.toml").write_text(
        '[[service]]\nname = "filed"\nport = 9004\n[[service]]\nname = "new"\nport = 9005\n'
    )
    assert real("reload") == (0, {"services": 2, "added": 1, "changed": 1, "removed": 0, "problems": []})
    assert real("lookup", "filed")[1][0]["port"] == 9_004
    (folder / "gossip.toml").write_text("nonsense = 1\n")
    assert real("reload")[0] != 0
    assert real("lookup", "new")[0] == 0


def test_monitor_shows_what_happens_whatever_the_agents_own_level(
    process: Process, real: Callable[..., Any]
) -> None:
    with running(process, "monitor", "--json") as monitor:
        out = monitor.stdout
        assert out is not None
        # It watches from some moment on: registered anew until it has seen one.
        count = 0

        def is_seen() -> bool:
            nonlocal count
            count += 1
            real("register", "seen", "--port", str(10_000 + count))
            return bool(select.select([out], [], [], 0.1)[0])

        until("it watches", is_seen)
        record = json.loads(out.readline())
        assert record["event"] in ("service_registered", "service_changed")
        assert (record["name"], record["level"]) == ("seen", "info")
    assert "seen" not in process.log.read_text()


@pytest.mark.parametrize("victim", ["program", "gossip run"])
def test_a_web_server_is_gone_at_once_when_it_or_its_gossip_run_is_killed(
    process: Process, real: Callable[..., Any], victim: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    with running(process, "run", "--service", f"web:{port}", "--drain", "0s", "--", *server) as run:
        (instance,) = until("it is there", lambda: real("lookup", "web")[1])
        assert (instance["port"], instance["id"]) == (port, f"web-{port}")
        if victim == "program":
            with open(f"/proc/{run.pid}/task/{run.pid}/children") as children:  # noqa: PTH123 - the kernel's
                os.kill(int(children.read()), signal.SIGKILL)
            assert run.wait(PATIENCE) == 128 + 9
            # Deregistered before it ends, so whoever waits for it sees no ghost.
            assert real("lookup", "web") == (1, [])
        else:
            run.kill()
            run.wait()
            until("it is gone", lambda: real("lookup", "web") == (1, []))
            until("its program has ended", lambda: not _accepts(port))


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_top_draws_a_real_agent(process: Process, gossip: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    ran = gossip("top", "--once", "--socket", str(process.socket))
    assert ran.status == 0
    assert "1 alive" in ran.out
    assert "127.0.0.1:" in ran.out
    assert "unknown" not in ran.out.split("traffic")[1].split("checks")[0]
