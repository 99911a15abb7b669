"""gossip itself: one connection to each agent's local socket, with watches for members, services, events."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.agents import Agent, BenchError
from bench.loop import Loop
from bench.proc import spawn

__all__ = ["SERVICE", "GossipAgent", "command"]

SERVICE = "bench"
_SERVICE_PORT = 8080
_WATCHES = ("members.watch", "services.watch", "events.watch")


def command() -> list[str]:
    """How `gossip` is started: the script beside this Python, as a user has it."""
    script = Path(sys.executable).with_name("gossip")
    return [str(script)] if script.exists() else [sys.executable, "-m", "gossip"]


class GossipAgent(Agent):
    """One `gossip agent` with its default (LAN) profile and no key, as loopback allows."""

    def __init__(self, index: int, directory: Path, loop: Loop, base_port: int) -> None:
        super().__init__(index, directory, loop, base_port)
        self.path = directory / f"{self.name}.sock"
        self.options: list[str] = []
        """Further words of the command."""
        self._socket: socket.socket | None = None
        self._buffer = b""
        self._sequence = 0
        self._asked: dict[int, tuple[str, str]] = {}

    @staticmethod
    def version() -> str:
        done = subprocess.run([*command(), "version"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchError(f"gossip does not run: {done.stderr.strip()[-300:]}")
        return done.stdout.strip().splitlines()[0]

    def launch(self, seeds: list[str]) -> None:
        line = [*command(), "agent", "--name", self.name, "--bind", self.address, "--socket", str(self.path)]
        line.extend(["--data-dir", str(self.directory / self.name), *self.options])
        for seed in seeds:
            line.extend(["--join", seed])
        self.launched_at = time.monotonic()
        self.process = spawn(line, self.directory / f"{self.name}.log", namespace=self.namespace)

    def live_on(self, host: str, namespace: int) -> None:
        super().live_on(host, namespace)
        # Beyond loopback it refuses to speak in clear text, which its peers do as a matter of course.
        self.options.append("--insecure")

    def forget(self) -> None:
        super().forget()
        self._socket, self._buffer = None, b""
        self._asked.clear()

    @property
    def _connection(self) -> socket.socket:
        if self._socket is None:
            raise BenchError(f"{self.name} has closed its socket")
        return self._socket

    def knock(self) -> None:
        if self._socket is not None:
            return
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(5)
        try:
            connection.connect(str(self.path))
        except OSError:
            connection.close()
            return
        self._socket = connection
        self.loop.add(connection.fileno(), self._readable)
        self.ask("agent.info")
        self.ask("members.watch")
        self.ask("services.watch", service=SERVICE)
        self.ask("events.watch")

    def ask(self, method: str, token: str = "", **parameters: Any) -> None:
        """Send a request; its answer acknowledges `token`."""
        self._sequence += 1
        self._asked[self._sequence] = (method, token)
        request = {"jsonrpc": "2.0", "id": self._sequence, "method": method, "params": parameters}
        self._connection.sendall(json.dumps(request).encode() + b"\n")

    def _readable(self) -> None:
        try:
            data = self._connection.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            self.disconnect()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        if "method" in message:
            self._notice(message["method"], message["params"])
            return
        method, token = self._asked.pop(message["id"])
        if "error" in message:
            self.failures.append(f"{method}: {message['error']['message']}")
        elif method == "agent.info":
            self.answered()
        elif method in _WATCHES:
            self._notice(method, message["result"])
        if token:
            self.acknowledge(token)

    def _notice(self, method: str, value: dict[str, Any]) -> None:
        """Take a watch's first value, or one of its notifications."""
        if value.get("event") == "member_failed":
            # The member comes as it is now, which may be alive again.
            self.see(value["member"]["name"], "dead")
        if "member" in value:
            self.see(value["member"]["name"], value["member"]["status"])
        for member in value.get("members", ()):
            self.see(member["name"], member["status"])
        for instance in value.get("instances", ()):
            self.hear(instance["id"])
        if method == "events.watch" and "name" in value:
            self.hear(value["name"])

    def join(self, seed: str) -> None:
        self.ask("agent.join", "join", addresses=[seed])

    def leave(self) -> None:
        self.ask("agent.leave", "leave")

    def change(self, token: str) -> None:
        self.ask("services.register", token, name=SERVICE, id=token, port=_SERVICE_PORT)

    def send_event(self, token: str) -> None:
        self.ask("events.send", token, name=token, payload="bench")

    def check_followed(self) -> None:
        super().check_followed()
        _ = self._connection

    def disconnect(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(KeyError, ValueError):
                self.loop.remove(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def cli(self) -> tuple[list[str], dict[str, str]] | None:
        return [*command(), "members"], {"GOSSIP_SOCKET": str(self.path)}
