"""HashiCorp serf: its RPC socket (msgpack over TCP) tells and takes everything, no process per question.

Views come from the log stream of the RPC socket: serf writes "EventMemberJoin" and its kin at the moment
its member table changes, whereas its event stream holds member events back for one to three seconds.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import msgpack

from bench.agents import Agent, BenchError
from bench.loop import Loop
from bench.proc import spawn

__all__ = ["SerfAgent", "parse_log"]

_RPC_OFFSET = 2000
_MEMBER = re.compile(r"serf: EventMember(Join|Failed|Leave|Update)(?: \(forced\))?: (\S+)")
_USER_EVENT = re.compile(r"agent: Received event: user-event: (\S+)")
_STATUS = {"Join": "alive", "Failed": "dead", "Leave": "left"}
# Requests whose answer has a body after the header; a monitor's later messages have one too.
_WITH_BODY = frozenset({"join", "members", "members-filtered", "stats"})


def parse_log(line: str) -> tuple[str, str] | None:
    """(what, whom) of a serf log line: a status and a member, "update" and a member, "event" and its name."""
    if match := _MEMBER.search(line):
        return _STATUS.get(match[1], "update"), match[2]
    if match := _USER_EVENT.search(line):
        return "event", match[1]
    return None


class SerfAgent(Agent):
    """One `serf agent` with its default (LAN) profile."""

    def __init__(self, index: int, directory: Path, loop: Loop, base_port: int) -> None:
        super().__init__(index, directory, loop, base_port)
        self.rpc = ("127.0.0.1", self.port + _RPC_OFFSET)
        self._socket: socket.socket | None = None
        self._unpacker = self._new_unpacker()
        self._sequence = 0
        self._asked: dict[int, tuple[str, str]] = {}
        self._monitor = -1
        self._header: dict[str, Any] | None = None

    @staticmethod
    def _new_unpacker() -> msgpack.Unpacker:
        # Addresses are bytes in the old msgpack format that serf speaks; only texts matter here.
        return msgpack.Unpacker(raw=False, unicode_errors="surrogateescape", strict_map_key=False)

    @staticmethod
    def version() -> str:
        if shutil.which("serf") is None:
            raise BenchError("serf is not installed (Debian: apt-get install serf)")
        text = subprocess.run(["serf", "version"], capture_output=True, text=True, check=True).stdout
        query = ["dpkg-query", "-W", "-f", "${Version}", "serf"]
        package = ""
        if shutil.which("dpkg-query"):
            package = subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
        return f"serf {package or text.splitlines()[0].strip()}"

    def launch(self, seeds: list[str]) -> None:
        command = ["serf", "agent", f"-node={self.name}", f"-bind={self.address}", "-profile=lan"]
        command.append(f"-rpc-addr={self.rpc[0]}:{self.rpc[1]}")
        command.extend(f"-join={seed}" for seed in seeds)
        self.launched_at = time.monotonic()
        self.process = spawn(command, self.directory / f"{self.name}.log", namespace=self.namespace)

    def live_on(self, host: str, namespace: int) -> None:
        super().live_on(host, namespace)
        self.rpc = (host, self.rpc[1])

    def forget(self) -> None:
        super().forget()
        self._socket, self._unpacker = None, self._new_unpacker()
        self._asked.clear()
        self._monitor, self._header = -1, None

    @property
    def _connection(self) -> socket.socket:
        if self._socket is None:
            raise BenchError(f"{self.name} has closed its socket")
        return self._socket

    def knock(self) -> None:
        if self._socket is not None:
            return
        try:
            self._socket = socket.create_connection(self.rpc, timeout=5)
        except OSError:
            return
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.loop.add(self._socket.fileno(), self._readable)
        self._ask("handshake", "", {"Version": 1})
        self._ask("stats", "", None)
        self._ask("monitor", "", {"LogLevel": "INFO"})

    def _ask(self, command: str, token: str, body: dict[str, Any] | None) -> None:
        self._sequence += 1
        self._asked[self._sequence] = (command, token)
        if command == "monitor":
            self._monitor = self._sequence
        data: bytes = msgpack.packb({"Command": command, "Seq": self._sequence}, use_bin_type=False)
        if body is not None:
            data += msgpack.packb(body, use_bin_type=False)
        self._connection.sendall(data)

    def _readable(self) -> None:
        try:
            data = self._connection.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            self.disconnect()
            return
        self._unpacker.feed(data)
        for value in self._unpacker:
            self._take(value)

    def _take(self, value: dict[str, Any]) -> None:
        if self._header is not None:
            header, self._header = self._header, None
            if header["Seq"] == self._monitor:
                self._log(value.get("Log", ""))
            return
        sequence = value["Seq"]
        asked = self._asked.pop(sequence, None)
        if asked is None:
            # Only the monitor speaks unasked; its records follow in a body.
            self._header = value
            return
        command, token = asked
        if value["Error"]:
            self.failures.append(f"{command}: {value['Error']}")
        elif command == "stats":
            self.answered()
        if token:
            self.acknowledge(token)
        if command in _WITH_BODY:
            self._header = value

    def _log(self, line: str) -> None:
        told = parse_log(line)
        if told is None:
            return
        what, whom = told
        if what == "event":
            self.hear(whom)
        elif what == "update":
            self.hear(f"update:{whom}")
        else:
            self.see(whom, what)

    def join(self, seed: str) -> None:
        self._ask("join", "join", {"Existing": [seed], "Replay": False})

    def leave(self) -> None:
        self._ask("leave", "leave", None)

    def change_token(self, _number: int) -> str:
        # The log tells whose tags changed, not what they are.
        return f"update:{self.name}"

    def change(self, token: str) -> None:
        value = f"{time.monotonic_ns()}"
        self._ask("tags", token, {"Tags": {"bench": value}, "DeleteTags": []})

    def send_event(self, token: str) -> None:
        self._ask("event", token, {"Name": token, "Payload": b"bench", "Coalesce": False})

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
        return ["serf", "members", f"-rpc-addr={self.rpc[0]}:{self.rpc[1]}"], {}
