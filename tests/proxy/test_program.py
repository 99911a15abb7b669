"""`gossip proxy` as a process, beside a real agent."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.agent.processes import PATIENCE, Process, until
from tests.support import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def agent() -> Iterator[Process]:
    # Not pytest's tmp_path: a unix socket's path has room for 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="gossip-test-"))
    try:
        with Process(folder, "--http", "off") as process:
            yield process
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that says what it hears."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(client,), daemon=True).start()

    def answer(client: socket.socket) -> None:
        with client, contextlib.suppress(ConnectionError):
            while data := client.recv(100):
                client.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(PATIENCE)


def proxy(agent: Process, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gossip", "proxy", "127.0.0.1:0", "web", "--socket", str(agent.socket)]
    return subprocess.Popen(
        [*command, *words],
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def exchange(sock: socket.socket) -> bytes:
    sock.sendall(b"x")
    return sock.recv(10)


def test_it_follows_its_service_outlives_the_agent_and_drains(agent: Process, echo: int) -> None:
    with proxy(agent, "--json", "--metrics", "127.0.0.1:0") as child:
        try:
            assert child.stdout is not None
            assert child.stderr is not None
            metrics = child.stderr.readline().split()[-1]
            port = int(json.loads(child.stdout.readline())["listen"].rpartition(":")[2])

            def answers() -> bool:
                try:
                    with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
                        return exchange(sock) == b"x"
                except ConnectionResetError:
                    return False

            assert not answers(), "nobody is registered"
            with agent.ask() as ask:
                ask.call("services.register", name="web", port=echo)
            until("the service is called", answers)
            agent.kill()
            assert answers(), "what is known stays"
            agent.start().ready()
            with agent.ask() as ask:
                ask.call("services.deregister", id="web")
            until("it is followed again", lambda: not answers())
            with agent.ask() as ask:
                ask.call("services.register", name="web", port=echo)
            until("the service is back", answers)

            with urllib.request.urlopen(metrics, timeout=PATIENCE) as answer:  # noqa: S310 - it is http
                text = answer.read().decode()
            assert (
                f'gossip_proxy_instances{{listen="127.0.0.1:{port}",service="web",state="callable"}} 1.0'
                in text
            )
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
                assert exchange(sock) == b"x"
                child.send_signal(signal.SIGTERM)
                assert "1 connections may finish" in child.stderr.readline()
                assert exchange(sock) == b"x"
            said, _ = child.communicate(timeout=PATIENCE)
            figures = json.loads(said)
            assert figures["no_instance"] >= 2
            assert (figures["active"], figures["overstayed"], child.returncode) == (0, 0, 0)
        finally:
            child.kill()


def test_a_second_signal_ends_it_at_once(agent: Process, echo: int) -> None:
    with agent.ask() as ask:
        ask.call("services.register", name="web", port=echo)
    with proxy(agent) as child, proxy(agent, "--metrics", str(echo)) as taken:
        try:
            assert taken.communicate(timeout=PATIENCE)[1].strip() == (
                f"gossip: proxy: cannot listen at 127.0.0.1:{echo}: Address already in use"
                "; stop what listens there, or choose another port"
            )
            assert taken.returncode == 1
            assert child.stdout is not None
            assert child.stderr is not None
            port = int(child.stdout.readline().rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
                assert exchange(sock) == b"x"
                child.send_signal(signal.SIGINT)
                child.stderr.readline()
                child.send_signal(signal.SIGINT)
                assert child.wait(PATIENCE) == 128 + signal.SIGINT
                assert child.stdout.readline().startswith("web: 1 connections, 0 of them")
        finally:
            child.kill()
