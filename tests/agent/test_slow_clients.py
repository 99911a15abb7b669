"""Slow clients of every listener at once: each costs its own connection, and nobody else notices."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from tests.agent.processes import PATIENCE, Process, until
from tests.agent.test_faces import get, new
from tests.tls import Authority

if TYPE_CHECKING:
    from pathlib import Path

MANY = 40

BEGINNINGS = {
    "socket": [b"", b'{"jsonrpc":"2.0","id":1,"meth', b"x" * 100_000],
    "http": [
        b"",
        b"\x16",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /gossip/v1/info HTTP/1.1\r\nHost: l",
    ],
    "gossip": [b"", b"\x00", b"\x00\x00\x01\x00", bytes(range(64))],
}


def test_slow_clients_cost_their_own_connections_and_nothing_else(tmp_path: Path) -> None:
    """Slow-loris on the local socket, HTTPS and the gossip port, while others are served and join."""
    authority = Authority(tmp_path)
    pair = authority.issue("first")
    token = new(tmp_path, "reader")
    trusting = ssl.create_default_context(cafile=str(authority.cert))
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    options = ("--http", "127.0.0.1:0", "--http-tokens", f"{tmp_path}/tokens", "--profile", "local")
    tls = ("--http-cert", str(pair.cert), "--http-key", str(pair.key))
    slow: list[socket.socket] = []
    with Process(folders[0], *options, *tls, name="a") as first, first.ask() as ask:
        addresses = ask.call("agent.info")["addresses"]
        try:
            for face, beginnings in BEGINNINGS.items():
                for number in range(MANY):
                    sock = _dial(str(first.socket) if face == "socket" else addresses[face])
                    slow.append(sock)
                    sock.sendall(beginnings[number % len(beginnings)])
            ask.call("services.register", name="web", port=80)
            url = f"https://{addresses['http']}/gossip/v1/services/web"
            status, found = get(url, trusting, token)
            assert (status, len(found["instances"])) == (200, 1)
            joining = Process(folders[1], "--profile", "local", "--join", addresses["gossip"], name="b")
            with joining, joining.ask() as other:
                until("they meet", lambda: other.call("agent.info")["members"]["alive"] == 2)
                until("it has the service", lambda: other.call("services.lookup", service="web")["instances"])
                events = [each["event"] for each in (*first.events(), *joining.events())]
                assert "member_suspected" not in events
                assert ask.call("agent.info")["counters"].get("internal_error", 0) == 0
        finally:
            for sock in slow:
                sock.close()


def _dial(address: str) -> socket.socket:
    if "/" in address:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(address)
        return sock
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE)
