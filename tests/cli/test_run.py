"""`gossip run`: ready, registered, signals, drain, exit status; with real programs and a scripted agent."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from gossip.cli.child import Child
from gossip.errors import RefusedError
from tests.agent.processes import PATIENCE, until
from tests.client.scripted import ID_A, ID_B, Reply, ScriptedAgent, an_instance
from tests.support import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Self

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]

SERVER = """
import os, signal, socket, sys, time
port = int(sys.argv[1])
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # a signal may come in the middle of a print
def handler(number, frame):
    say(signal.Signals(number).name)
    if number == signal.SIGTERM:
        sys.exit(5)
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGWINCH"):
    signal.signal(getattr(signal, name), handler)
say("pid", os.getpid())
if port:
    listener = socket.create_server(("127.0.0.1", port))
say("up")
while True:
    time.sleep(0.01)
"""


@pytest.fixture
def agent() -> Iterator[ScriptedAgent]:
    with ScriptedAgent() as scripted:
        scripted.script = {
            "agent.info": Reply({"id": ID_A, "addresses": {"gossip": "127.0.0.1:7946"}}),
            "services.register": Reply({"id": "web-1", "version": 1}),
            "services.deregister": Reply({"id": "web-1"}),
        }
        yield scripted


@pytest.fixture
def port() -> int:
    """One that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


class Running:
    """A `gossip run`; whatever happens in the test, it ends with the block."""

    def __init__(self, agent: ScriptedAgent, *arguments: str, **options: Any) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gossip", "run", "--socket", agent.path, *arguments],
            cwd=ROOT,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **({"stdin": subprocess.DEVNULL} | options),
        )
        # Whoever waits for a line that does not come is not to wait for ever.
        self._limit = threading.Timer(4 * PATIENCE, self.process.kill)
        self._limit.daemon = True
        self._limit.start()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def until_line(self, wanted: str) -> None:
        until(f"the program says {wanted}", lambda: self.line() == wanted)

    def pid(self) -> int:
        word, number = self.line().split()
        assert word == "pid"
        return int(number)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._limit.cancel()
        with self.process, contextlib.suppress(ProcessLookupError):
            self.process.terminate()
            self.process.terminate()


def server(tmp_path: Path, port: int) -> list[str]:
    file = tmp_path / "server.py"
    file.write_text(SERVER)
    return [sys.executable, str(file), str(port)]


def asked(agent: ScriptedAgent, method: str) -> list[dict[str, Any]]:
    return [params for name, params in agent.asked if name == method]


def is_running(pid: int) -> bool:
    """A zombie that its new parent has not waited for yet is no running program."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - one field of the kernel's
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# -- ready and registered ------------------------------------------------------------------------------


def test_it_is_registered_when_its_port_accepts_and_not_before(
    agent: ScriptedAgent, tmp_path: Path, port: int
) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    script = f"read line < {gate}; exec {' '.join(server(tmp_path, port))}"
    options = ["--service", f"web:{port}", "--tag", "v2", "--meta", "k=v", "--weight", "3"]
    with Running(agent, *options, "--drain", "0s", "--", "sh", "-c", script) as ran:
        until("the agent is known", lambda: agent.methods == ["agent.info"])
        gate.write_text("go\n")
        until("it is registered", lambda: "services.register" in agent.methods)
        ran.until_line("up")
        ran.send(signal.SIGTERM)
        status, out, err = ran.end()
    assert (status, out) == (5, "SIGTERM\n")
    assert "registered web-1" in err
    assert agent.methods == ["agent.info", "services.register", "services.deregister"]
    assert asked(agent, "services.register") == [
        {
            "id": f"web-{port}",
            "name": "web",
            "port": port,
            "tags": ["v2"],
            "meta": {"k": "v"},
            "weight": 3,
            "while_connected": True,
        }
    ]
    assert asked(agent, "services.deregister") == [{"id": "web-1"}]


def test_without_a_port_it_is_ready_at_once(agent: ScriptedAgent, tmp_path: Path) -> None:
    with Running(agent, "--service", "job", "--id", "j", "--", *server(tmp_path, 0)) as ran:
        until("it is registered", lambda: "services.register" in agent.methods)
        os.kill(ran.pid(), signal.SIGKILL)
        status, _, _ = ran.end()
    assert status == 128 + 9
    assert (
        asked(agent, "services.register")[0] | {"id": "j", "port": 0} == asked(agent, "services.register")[0]
    )


def test_with_a_check_the_agent_decides_and_the_program_may_take_its_time(
    agent: ScriptedAgent, tmp_path: Path
) -> None:
    ours, other = an_instance("web-1", node_id=ID_A), an_instance("web-1", node_id=ID_B)
    agent.script["services.lookup"] = Reply(
        {"instances": [other], "index": 1}, later=Reply({"instances": [ours, other], "index": 2})
    )
    options = ["--service", "web:1", "--check-ttl", "9s", "--ready-timeout", "30s", "--drain", "0s"]
    with Running(agent, *options, "--", *server(tmp_path, 0)) as ran:
        until("it was looked up until it was there", lambda: agent.methods.count("services.lookup") == 2)
        ran.until_line("up")
        ran.send(signal.SIGTERM)
        assert ran.end()[0] == 5
    assert asked(agent, "services.register")[0]["checks"] == [{"ttl": "9s"}]
    assert agent.methods.count("services.lookup") == 2


@pytest.mark.parametrize("check", [False, True])
def test_a_program_that_does_not_get_ready_is_stopped(
    agent: ScriptedAgent, tmp_path: Path, port: int, check: bool
) -> None:
    agent.script["services.lookup"] = Reply({"instances": [], "index": 1})
    options = ["--check-ttl", "9s"] if check else []
    options += ["--service", f"web:{port}", "--ready-timeout", "500ms"]
    with Running(agent, *options, "--", *server(tmp_path, 0)) as ran:
        status, out, err = ran.end()
    assert status == 1
    assert out.endswith("SIGTERM\n") or "SIGTERM" not in out
    assert "was not ready within 0.5 s" in err
    assert ("services.deregister" in agent.methods) == check


def test_a_registration_that_is_refused_stops_the_program(agent: ScriptedAgent, tmp_path: Path) -> None:
    agent.script["services.register"] = Reply(error=RefusedError("no such thing here"))
    with Running(agent, "--service", "job", "--", *server(tmp_path, 0)) as ran:
        status, _, err = ran.end()
    assert status == 1
    assert "no such thing here; the program is stopped" in err


def test_who_listens_there_already_is_told(agent: ScriptedAgent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = ["--service", f"web:{taken.getsockname()[1]}"]
        with Running(agent, *options, "--", "true") as ran:
            assert "already: ready may be said too early" in ran.end()[2]


# -- signals and draining --------------------------------------------------------------------------------


def test_signals_are_passed_on(agent: ScriptedAgent, tmp_path: Path) -> None:
    with Running(agent, "--service", "job", "--drain", "1h", "--", *server(tmp_path, 0)) as ran:
        ran.until_line("up")
        for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGWINCH"):
            ran.send(signal.Signals[name])
            assert ran.line() == name
        # Deregistered first; the second one, whichever it is, does not wait for the drain.
        until("it is registered", lambda: "services.register" in agent.methods)
        ran.send(signal.SIGTERM)
        until("it is deregistered", lambda: "services.deregister" in agent.methods)
        ran.send(signal.SIGINT)
        assert ran.line() == "SIGINT"
        ran.send(signal.SIGTERM)
        assert ran.end()[:2] == (5, "SIGTERM\n")


def test_the_program_serves_on_while_callers_go_elsewhere(agent: ScriptedAgent, tmp_path: Path) -> None:
    with Running(agent, "--service", "job", "--drain", "300ms", "--", *server(tmp_path, 0)) as ran:
        ran.until_line("up")
        until("it is registered", lambda: "services.register" in agent.methods)
        ran.send(signal.SIGTERM)
        until("it is deregistered", lambda: "services.deregister" in agent.methods)
        assert ran.process.poll() is None
        assert ran.end()[:2] == (5, "SIGTERM\n")


def test_a_program_that_never_got_ready_is_told_at_once(
    agent: ScriptedAgent, tmp_path: Path, port: int
) -> None:
    with Running(agent, "--service", f"web:{port}", "--drain", "1h", "--", *server(tmp_path, 0)) as ran:
        ran.until_line("up")
        ran.send(signal.SIGTERM)
        assert ran.end()[0] == 5
    assert agent.methods == ["agent.info"]


# -- how it ends --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_the_exit_status_is_the_programs(agent: ScriptedAgent, script: str, status: int) -> None:
    with Running(agent, "--service", "job", "--", "sh", "-c", script) as ran:
        assert ran.end()[0] == status


def test_the_exit_status_is_heard_of_by_who_was_started_deaf_to_children(agent: ScriptedAgent) -> None:
    """The kernel would otherwise take the program away without a word, and we would wait for ever."""
    deaf = partial(signal.signal, signal.SIGCHLD, signal.SIG_IGN)
    with Running(agent, "--service", "job", "--", "sh", "-c", "exit 7", preexec_fn=deaf) as ran:
        assert ran.end()[0] == 7


def test_a_signal_between_a_programs_end_and_its_notice_goes_nowhere() -> None:
    child = Child(["true"])
    os.waitpid(child._process.pid, 0)
    child.send(signal.SIGUSR1)
    child._process.returncode = 0


@pytest.mark.parametrize(("program", "status"), [("no-such-program", 127), ("/etc/passwd", 126)])
def test_a_program_that_cannot_be_started(agent: ScriptedAgent, program: str, status: int) -> None:
    with Running(agent, "--service", "job", "--", program) as ran:
        ended = ran.end()
    assert (ended[0], ended[1]) == (status, "")
    assert "cannot be started" in ended[2]
    assert agent.methods == ["agent.info"]


def test_what_a_program_leaves_behind_is_ended_too(agent: ScriptedAgent) -> None:
    with Running(agent, "--service", "job", "--", "sh", "-c", "sleep 1000 & echo pid $!; exit 3") as ran:
        pid = ran.pid()
        assert ran.end()[0] == 3
    until("the leftover has ended", lambda: not is_running(pid))


def test_a_killed_gossip_run_takes_its_program_along(agent: ScriptedAgent, tmp_path: Path) -> None:
    with Running(agent, "--service", "job", "--", *server(tmp_path, 0)) as ran:
        pid = ran.pid()
        until("it is registered", lambda: "services.register" in agent.methods)
        ran.send(signal.SIGKILL)
        ran.process.wait(PATIENCE)
        until("the program was told", lambda: not is_running(pid))


def test_input_is_passed_on(agent: ScriptedAgent) -> None:
    with Running(agent, "--service", "job", "--", "cat", stdin=subprocess.PIPE) as ran:
        out, _ = ran.process.communicate("hello\n", timeout=PATIENCE)
    assert (ran.process.returncode, out) == (0, "hello\n")


def test_a_terminal_stays_ours(agent: ScriptedAgent) -> None:
    """A program in the background that reads the terminal would be stopped; it sees the end at once."""
    ours, theirs = os.openpty()
    try:
        with Running(agent, "--service", "job", "--", "cat", stdin=theirs) as ran:
            assert ran.end()[:2] == (0, "")
    finally:
        os.close(ours)
        os.close(theirs)


# -- the agent ---------------------------------------------------------------------------------------------


def test_without_an_agent_nothing_is_started(gossip: Run, tmp_path: Path) -> None:
    ran = gossip(
        *("run", "--service", "job", "--socket", f"{tmp_path}/none"),
        *("--", "touch", f"{tmp_path}/started"),
    )
    assert (ran.status, list(tmp_path.iterdir())) == (3, [])
    assert "no agent answers" in ran.err


def test_it_waits_for_the_agent_when_told_and_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    class Nobody:
        path = f"{tmp_path}/none"

    nobody: Any = Nobody()
    command = ["touch", f"{tmp_path}/started"]
    with Running(nobody, "--service", "job", "--wait-agent", "--", *command) as ran:
        assert ran.process.stderr is not None
        assert "waiting for it" in ran.process.stderr.readline()
        ran.send(signal.SIGTERM)
        assert ran.end()[0] == 128 + 15
    assert list(tmp_path.iterdir()) == []


def test_the_program_runs_on_without_the_agent_and_is_registered_again(
    agent: ScriptedAgent, tmp_path: Path
) -> None:
    registered = agent.script["services.register"]
    agent.script["services.register"] = Reply({"id": "web-1", "version": 1}, close=True, later=registered)
    with Running(agent, "--service", "job", "--drain", "0s", "--", *server(tmp_path, 0)) as ran:
        until("it is registered again", lambda: agent.methods.count("services.register") == 2)
        ran.until_line("up")
        ran.send(signal.SIGTERM)
        status, _, err = ran.end()
    assert status == 5
    assert "the program runs on, and is registered again when the agent is back" in err
    assert "registered web-1 again" in err
    # Again under the id that it had.
    assert [params["id"] for params in asked(agent, "services.register")] == ["job", "web-1"]
