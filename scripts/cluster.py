"""Agents on loopback, for playing: `scripts/cluster 5` runs until Ctrl-C. The demo is built on it too."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import gossip

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType, TracebackType
    from typing import NoReturn, Self

PATIENCE = 15.0
"""Seconds that anything here may take at most."""


class Problem(Exception):  # noqa: N818 - told to a person, who has the problem
    """Something did not work; the message says what, for a person."""


class Agent:
    """One `gossip agent` in a process of its own."""

    def __init__(self, name: str, directory: Path, options: Sequence[str]) -> None:
        self.name = name
        self.socket = directory / f"{name}.sock"
        self.log = directory / f"{name}.log"
        command = [sys.executable, "-m", "gossip", "agent", "--name", name]
        command += ["--bind", "127.0.0.1:0", "--socket", str(self.socket)]
        command += ["--data-dir", str(directory / name), *options]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GOSSIP_")}
        with self.log.open("wb") as log:
            # A session of its own: Ctrl-C is for us, and we say to the agents what to do.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    def connect(self) -> gossip.Client:
        """A client, once the agent answers."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return gossip.connect(self.socket, PATIENCE)
            except gossip.UnreachableError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Problem(f"{self.name} does not answer; its log:\n{self.last_words()}") from None
            time.sleep(0.01)

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])


class Cluster:
    """Agents n1, n2, ... that find each other through n1. Leaves nothing behind."""

    def __init__(self, count: int, options: Sequence[str] = ()) -> None:
        self._count = count
        self._options = list(options)
        # Short: a unix socket's path has room for 107 bytes.
        self.directory = Path(tempfile.mkdtemp(prefix="gossip-"))
        self.agents: dict[str, Agent] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        running = [agent.process for agent in self.agents.values() if agent.process.poll() is None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + 5.0
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(deadline - time.monotonic(), 0.0))
            process.kill()
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        """Returns when every agent answers on its socket."""
        self.agents["n1"] = first = Agent("n1", self.directory, self._options)
        with first.connect() as g:
            seed = g.info()["addresses"]["gossip"]
        options = ["--join", seed, *self._options]
        for number in range(2, self._count + 1):
            name = f"n{number}"
            self.agents[name] = Agent(name, self.directory, options)
        for agent in self.agents.values():
            agent.connect().close()

    def converge(self) -> None:
        """Returns when every agent holds every other alive."""
        for agent in self.agents.values():
            with agent.connect() as g, g.watch_members() as views:
                deadline = time.monotonic() + PATIENCE
                view = views.next(PATIENCE)
                while view is None or sum(member.status == "alive" for member in view) < self._count:
                    if time.monotonic() > deadline:
                        raise Problem(f"{agent.name} does not see all; its log:\n{agent.last_words()}")
                    view = views.next(max(deadline - time.monotonic(), 0.0)) or view


def end_on_signals() -> None:
    """Makes SIGTERM and SIGHUP end the program as Ctrl-C does, so that it cleans up."""

    def end(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGHUP, end)


def main() -> int:
    """Runs a cluster until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="scripts/cluster",
        description="Run agents on loopback until Ctrl-C.",
        epilog="example: scripts/cluster 3 --profile local",
    )
    parser.add_argument("count", nargs="?", type=int, default=5, help="how many agents (default: 5)")
    options, passed_on = parser.parse_known_args()
    if options.count < 1:
        parser.error("a cluster has at least one agent")
    end_on_signals()
    try:
        with Cluster(options.count, passed_on) as cluster:
            cluster.start()
            cluster.converge()
            for agent in cluster.agents.values():
                print(f"{agent.name}  GOSSIP_SOCKET={agent.socket}  log {agent.log}")
            one = cluster.agents["n1"].socket
            print(
                f"try:  {Path(sys.executable).parent}/gossip members --socket {one}\nCtrl-C ends them all",
                flush=True,
            )
            wait(cluster)
    except KeyboardInterrupt:
        print()
    except (Problem, gossip.GossipError) as problem:
        print(f"cluster: {problem}", file=sys.stderr)
        return 1
    return 0


def wait(cluster: Cluster) -> None:
    """Tells when an agent ends; returns when none is left."""
    running = dict(cluster.agents)
    while running:
        for name, agent in list(running.items()):
            if (status := agent.process.poll()) is not None:
                print(f"{name} has ended ({'killed' if status < 0 else f'status {status}'})", flush=True)
                del running[name]
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
