"""A scripted agent: a JSON-RPC server on a unix socket that says what a test tells it to say."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

    from gossip.errors import GossipError

__all__ = ["ID_A", "ID_B", "Reply", "ScriptedAgent", "a_member", "an_instance"]

ID_A = "a" * 32
ID_B = "b" * 32


@dataclass
class Reply:
    """What one method answers."""

    result: Any = field(default_factory=dict)
    error: GossipError | None = None
    then: list[Any] = field(default_factory=list)
    """Notifications that follow the answer at once: parameters, or bytes to be sent as they are."""
    raw: bytes | None = None
    """Sent in place of an answer."""
    silent: bool = False
    """No answer at all."""
    close: bool = False
    """Close the connection afterwards."""
    later: Reply | None = None
    """What the method answers from the next time on; None: this again."""


class ScriptedAgent:
    """Listens in a directory of its own; `script` maps methods to replies, `asked` is what has arrived."""

    def __init__(self) -> None:
        # Not pytest's tmp_path: a unix socket's path has room for 107 bytes.
        self._directory = Path(tempfile.mkdtemp(prefix="gossip-test-"))
        self.path = str(self._directory / "s")
        self.script: dict[str, Reply] = {}
        self.asked: list[tuple[str, Any]] = []
        self.batch = 1
        """Answer only when so many requests have arrived, and then the last one first."""
        self._listener = self._listen()
        self._threads: list[threading.Thread] = []
        self._connections: list[socket.socket] = []
        self._accepting = 0
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.hang_up()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self._listener.close()
        for connection in self._connections:
            connection.close()
        shutil.rmtree(self._directory)

    def hang_up(self) -> None:
        """Close every connection, as an agent does that ends."""
        for connection in list(self._connections):
            self._shut(connection)

    def go_away(self) -> None:
        """End, as far as anybody can see; `come_back` begins again."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        Path(self.path).unlink()
        self._threads[self._accepting].join(10)
        self.hang_up()

    def come_back(self) -> None:
        """Listen again."""
        self._listener = self._listen()
        self._accepting = len(self._threads)
        self._start(self._accept)

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.path)
        listener.listen()
        return listener

    @property
    def methods(self) -> list[str]:
        """The names of the methods that were asked for."""
        return [method for method, _ in self.asked]

    def _start(self, target: Any, *arguments: Any) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        listener = self._listener
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        try:
            waiting: list[dict[str, Any]] = []
            for line in _lines(connection):
                request = json.loads(line)
                self.asked.append((request["method"], request["params"]))
                waiting.append(request)
                if len(waiting) >= self.batch:
                    for each in reversed(waiting):
                        self._answer(connection, each)
                    waiting.clear()
        except OSError:
            pass  # the client has gone
        finally:
            self._shut(connection)

    def _answer(self, connection: socket.socket, request: dict[str, Any]) -> None:
        number, method = request["id"], request["method"]
        reply = self.script.get(method)
        if reply is None:
            error = {"code": -32601, "message": f"no method {method}", "data": {"kind": "unknown_method"}}
            connection.sendall(_line({"jsonrpc": "2.0", "id": number, "error": error}))
            return
        if reply.later is not None:
            self.script[method] = reply.later
        if reply.silent:
            pass
        elif reply.raw is not None:
            connection.sendall(reply.raw)
        elif reply.error is not None:
            error = {"code": -32000, "message": str(reply.error), "data": {"kind": reply.error.kind}}
            connection.sendall(_line({"jsonrpc": "2.0", "id": number, "error": error}))
        else:
            connection.sendall(_line({"jsonrpc": "2.0", "id": number, "result": reply.result}))
        for note in reply.then:
            connection.sendall(
                note
                if isinstance(note, bytes)
                else _line({"jsonrpc": "2.0", "method": method, "params": note})
            )
        if reply.close:
            self._shut(connection)

    @staticmethod
    def _shut(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # it may be shut already
            connection.shutdown(socket.SHUT_RDWR)


def _lines(connection: socket.socket) -> Iterator[bytes]:
    held = b""
    while data := connection.recv(65_536):
        *lines, held = (held + data).split(b"\n")
        yield from lines


def _line(value: Any) -> bytes:
    return json.dumps(value).encode() + b"\n"


def a_member(name: str = "n1", **changes: Any) -> dict[str, Any]:
    """One object of `members.list`."""
    return {
        "id": ID_A,
        "name": name,
        "address": "127.0.0.1:7946",
        "status": "alive",
        "incarnation": 7,
        "tags": {},
        "since": "2026-11-21T12:00:00.500Z",
        "rtt_ms": 0.25,
        "flags": [],
        "services": 0,
    } | changes


def an_instance(id: str = "web", **changes: Any) -> dict[str, Any]:
    """One object of `services.lookup`."""
    return {
        "service": "web",
        "id": id,
        "node": "n1",
        "node_id": ID_A,
        "address": "127.0.0.1",
        "port": 8080,
        "tags": [],
        "meta": {},
        "weight": 1,
        "status": "passing",
    } | changes
