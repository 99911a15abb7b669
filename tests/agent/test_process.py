"""The agent as a process: starting, signals, and what stands in its way."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from tests.agent.processes import PATIENCE, Ask, Process, until
from tests.support import run_python


def ended_badly(process: Process) -> str:
    """The one line that an agent which cannot start leaves behind."""
    process.start()
    try:
        assert process.wait() == 1
    finally:
        if process.child.poll() is None:
            process.kill()
    text = process.log.read_text()
    assert "Traceback" not in text
    assert "Exception" not in text
    return text


def address_of(process: Process) -> str:
    with process.ask() as ask:
        return str(ask.call("agent.info")["addresses"]["gossip"])


def status_seen_by(process: Process, name: str) -> str | None:
    with process.ask() as ask:
        rows = ask.call("members.list")["members"]
    return next((row["status"] for row in rows if row["name"] == name), None)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    return first, second


def test_info_has_its_shape(tmp_path: Path) -> None:
    with Process(tmp_path, "--tag", "role=db") as process, process.ask() as ask:
        info = ask.call("agent.info")
        assert info["name"] == "n1"
        assert len(info["id"]) == 32
        assert info["addresses"]["socket"] == str(process.socket)
        assert (info["addresses"]["http"], info["addresses"]["dns"]) == (None, None)
        host, port = info["addresses"]["gossip"].rsplit(":", 1)
        assert host == "127.0.0.1"
        assert int(port) > 0
        assert info["members"] == {"alive": 1, "suspect": 0, "dead": 0, "left": 0}
        assert len(info["view"]["fingerprint"]) == 16
        assert set(info) >= {
            "cluster",
            "version",
            "incarnation",
            "uptime_s",
            "services",
            "health",
            "queue",
            "counters",
        }
        assert ask.call("members.list")["members"][0]["tags"] == {"role": "db"}
        assert stat.S_IMODE(process.socket.stat().st_mode) == 0o660


@pytest.mark.parametrize(
    ("number", "options", "seen", "event"),
    [
        (signal.SIGINT, (), "left", "member_left"),
        (signal.SIGTERM, ("--leave-on-term",), "left", "member_left"),
        (signal.SIGTERM, (), "alive", "member_updated"),
    ],
)
def test_a_signal_ends_it_in_good_order(
    folders: tuple[Path, Path], number: signal.Signals, options: tuple[str, ...], seen: str, event: str
) -> None:
    """SIGINT leaves; SIGTERM hands over: to the others it restarts, and is left only after the grace."""
    with (
        Process(folders[0], name="watcher") as watcher,
        Process(folders[1], "--join", address_of(watcher), *options, name="goer") as goer,
    ):
        until("they know each other", lambda: status_seen_by(watcher, "goer") == "alive")
        with watcher.ask() as ask, goer.ask() as other:
            ask.call("members.watch")
            other.call("services.register", name="web", port=80)
            goer.signal(number)
            assert goer.wait() == 0
            while (note := ask.line())["params"]["event"] != event:
                pass
            assert note["params"]["member"]["status"] == seen
            if seen == "alive":
                assert "restarting" in note["params"]["member"]["flags"]
        assert not goer.socket.exists()
        names = [each["event"] for each in goer.events()]
        assert names[-1] == "agent_stopped"
        assert "agent_stopping" in names


def test_a_second_signal_stops_at_once(folders: tuple[Path, Path]) -> None:
    with (
        Process(folders[0], name="other") as other,
        Process(folders[1], "--join", address_of(other), name="goer") as goer,
    ):
        until("they know each other", lambda: status_seen_by(other, "goer") == "alive")
        # Nobody is there to hear it leave, so that leaving takes its time.
        other.signal(signal.SIGSTOP)
        goer.signal(signal.SIGINT)
        until("it is leaving", lambda: any(each["event"] == "agent_stopping" for each in goer.events()))
        goer.signal(signal.SIGINT)
        assert goer.wait() in (0, 128 + signal.SIGINT)


def test_leave_over_the_socket_answers_and_ends_it(tmp_path: Path) -> None:
    with Process(tmp_path) as process, process.ask() as ask:
        assert ask.call("agent.leave") == {"left": True}
        assert ask.line() is None
        assert process.wait() == 0


def test_it_says_ready_to_a_service_manager(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        with Process(tmp_path, extra={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as process:
            assert manager.recv(100) == b"READY=1"
            Ask(process.socket).close()
            process.signal(signal.SIGTERM)
            assert manager.recv(100) == b"STOPPING=1"
            assert process.wait() == 0


def test_a_socket_in_use(tmp_path: Path) -> None:
    with Process(tmp_path) as process:
        text = ended_badly(Process(tmp_path, "--data-dir", str(tmp_path / "other")))
        assert f"an agent already answers at {process.socket}" in text
        process.ready()


def test_a_data_dir_in_use(tmp_path: Path) -> None:
    with Process(tmp_path) as process:
        text = ended_badly(Process(tmp_path, "--socket", str(tmp_path / "other.sock")))
        assert f"pid {process.child.pid}" in text


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        text = ended_badly(Process(tmp_path, "--bind", f"127.0.0.1:{port}"))
    assert f"127.0.0.1:{port}" in text
    assert "choose another port" in text


def test_a_data_dir_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    assert "--data-dir" in ended_badly(Process(tmp_path))
    assert not (tmp_path / "s.sock").exists()


def test_a_data_dir_where_nobody_may_write(tmp_path: Path) -> None:
    """Not even root: the system's own file system refuses."""
    text = ended_badly(Process(tmp_path, "--data-dir", "/proc/gossip"))
    assert "/proc/gossip" in text
    assert "--data-dir" in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_data_dir_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    assert "not allowed" in ended_badly(Process(tmp_path))


def test_a_stale_socket_is_replaced(tmp_path: Path) -> None:
    with Process(tmp_path) as process:
        process.kill()
        assert process.socket.exists()
    with process, process.ask() as ask:
        assert ask.call("agent.info")["name"] == "n1"


def test_services_from_files_are_exactly_those_of_the_files(tmp_path: Path) -> None:
    """Scenario 96, over a restart: those that programs registered are untouched."""
    config = tmp_path / "gossip.toml"

    def files(*services: tuple[str, int]) -> None:
        config.write_text(
            "".join(f'[[service]]\nname = "web"\nid = "{id}"\nport = {port}\n' for id, port in services)
        )

    def there(ask: Ask) -> dict[str, int]:
        return {each["id"]: each["port"] for each in ask.call("services.lookup", service="web")["instances"]}

    files(("one", 1), ("two", 2))
    process = Process(tmp_path, "--config", str(config))
    with process, process.ask() as ask:
        ask.call("services.register", id="api", name="web", port=9)
        # A file's id that a program has taken stays the program's.
        ask.call("services.register", id="two", name="web", port=22)
        assert there(ask) == {"one": 1, "two": 22, "api": 9}
        process.kill()
    files(("one", 11), ("three", 3))
    with process, process.ask() as ask:
        assert there(ask) == {"one": 11, "two": 22, "three": 3, "api": 9}
        process.kill()
    files()
    with process, process.ask() as ask:
        assert there(ask) == {"two": 22, "api": 9}


def test_starting_imports_little() -> None:
    """No HTTP and no DNS, and no second event loop, in an idle agent."""
    code = "import sys, gossip.agent; print(*sorted(sys.modules))"
    loaded = set(run_python("-c", code).stdout.split())
    assert "trio" in loaded
    for name in ("asyncio", "http", "email", "structlog", "dns", "h11", "multiprocessing", "xml"):
        assert name not in loaded, name


def test_an_exit_by_signal_leaves_no_child(tmp_path: Path) -> None:
    with Process(tmp_path) as process:
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
        left = subprocess.run(["pgrep", "-P", str(process.child.pid)], capture_output=True, check=False)
        assert left.stdout == b""


def test_hangup_takes_over_exactly_the_changes_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "gossip.toml"

    def write(*services: tuple[str, int]) -> None:
        entries = (f'[[service]]\nname = "web"\nid = "{id}"\nport = {port}\n' for id, port in services)
        file.write_text("".join(entries))

    write(("a", 1), ("b", 2), ("c", 3))
    with Process(tmp_path, "--config", str(file)) as process, process.ask() as ask:

        def ports() -> dict[str, int]:
            found = ask.call("services.lookup", service="web")["instances"]
            return {each["id"]: each["port"] for each in found}

        ask.call("services.register", name="web", id="mine", port=9)
        assert ports() == {"a": 1, "b": 2, "c": 3, "mine": 9}
        write(("a", 1), ("b", 20), ("d", 4))
        process.signal(signal.SIGHUP)
        until("it is reloaded", lambda: any(each["event"] == "reloaded" for each in process.events()))
        assert ports() == {"a": 1, "b": 20, "d": 4, "mine": 9}
        changes = [each for each in process.events() if each["event"].startswith("service_")]
        since = [(each["event"], each["id"]) for each in changes[4:]]
        assert sorted(since) == [
            ("service_changed", "b"),
            ("service_deregistered", "c"),
            ("service_registered", "d"),
        ]
        file.write_text("[[service]\n")
        process.signal(signal.SIGHUP)
        until("it is refused", lambda: any(each["event"] == "reload_failed" for each in process.events()))
        assert ports() == {"a": 1, "b": 20, "d": 4, "mine": 9}
