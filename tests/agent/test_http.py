"""The HTTP face as part of a real agent: where it is, who it is for, and how it ends."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import trio

from gossip.agent import Agent
from gossip.config import DEV_HTTP, Config
from gossip.errors import TransportError
from tests.agent.processes import PATIENCE, Process, until
from tests.api.http.served import Client

if TYPE_CHECKING:
    from pathlib import Path


def get(address: str, path: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE)


def test_an_agent_tells_its_real_address_and_serves_there(tmp_path: Path) -> None:
    with Process(tmp_path, "--http", "127.0.0.1:0") as process, process.ask() as ask:
        info = ask.call("agent.info")
        address = info["addresses"]["http"]
        assert address.startswith("127.0.0.1:")
        status, told = get(address, "/gossip/v1/info")
        assert (status, told["id"], told["addresses"]) == (200, info["id"], info["addresses"])
        ask.call("services.register", name="web", port=80)
        _, found = get(address, "/gossip/v1/services/web")
        assert found == ask.call("services.lookup", service="web")
        assert get(address, "/gossip/v1/healthy")[0] == 200
        assert get(address, "/nothing")[0] == 404
        started = next(each for each in process.events() if each["event"] == "agent_started")
        assert started["http"] == address


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_watcher_does_not_keep_the_agent_from_ending(tmp_path: Path, number: signal.Signals) -> None:
    with Process(tmp_path, "--http", "127.0.0.1:0") as process, process.ask() as ask:
        with connect(ask.call("agent.info")["addresses"]["http"]) as sock:
            sock.sendall(b"GET /gossip/v1/watch/members HTTP/1.1\r\nHost: localhost\r\n\r\n")
            seen = b""
            while b"event: members" not in seen:
                seen += sock.recv(65_536)
            process.signal(number)
            while data := sock.recv(65_536):
                seen += data
            assert seen.endswith(b"0\r\n\r\n"), "the stream was ended in good order"
        assert process.wait() == 0


def test_a_port_that_is_taken_ends_the_agent_with_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = f"127.0.0.1:{taken.getsockname()[1]}"
        process = Process(tmp_path, "--http", place).start()
        assert process.wait() == 1
        assert f"{place}: in use by another program: give another --http" in process.log.read_text()
        assert not process.socket.exists()


def config(tmp_path: Path, **more: Any) -> Config:
    return Config(name="n", socket=tmp_path / "s", bind=(("127.0.0.1", 0),), **more)


async def test_under_dev_a_taken_port_is_left_for_a_free_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        place = taken.getsockname()
        monkeypatch.setattr("gossip.serving.DEV_HTTP", place)
        async with Agent(config(tmp_path, http=place, dev=True)) as agent:
            http = agent.info().addresses.http
            assert http is not None
            assert http != f"127.0.0.1:{place[1]}"
            assert http in str(caplog.records[0].__dict__["fields"])
        with pytest.raises(TransportError, match="in use"):
            async with Agent(config(tmp_path, http=place)):
                pass
    assert DEV_HTTP == ("127.0.0.1", 8500)


async def test_while_it_leaves_an_agent_is_not_healthy(tmp_path: Path) -> None:
    async with Agent(config(tmp_path, http=("127.0.0.1", 0))) as agent:
        host, _, port = str(agent.info().addresses.http).rpartition(":")
        client = Client(await trio.open_tcp_stream(host, int(port)))
        assert (await client.ask("GET", "/gossip/v1/healthy")).status == 200
        agent.node.leave(trio.current_time())
        answer = await client.ask("GET", "/gossip/v1/healthy")
        assert (answer.status, json.loads(answer.body)["reasons"]) == (503, ["leaving"])
        await client.stream.aclose()


def test_clients_of_both_faces_do_not_blind_the_agent(tmp_path: Path) -> None:
    """Scenario: busy faces. While requests come without a pause, another's crash is seen, and nobody errs."""
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    first = Process(folders[0], "--http", "127.0.0.1:0", "--profile", "local", name="a")
    with first, first.ask() as ask:
        addresses = ask.call("agent.info")["addresses"]
        second = Process(folders[1], "--profile", "local", "--join", addresses["gossip"], name="b")
        with second:
            until("they meet", lambda: ask.call("agent.info")["members"]["alive"] == 2)
            socks = [connect(addresses["http"]) for _ in range(20)]
            try:
                # Thousands of requests wait in the kernel, more than it can answer until this has ended.
                batch = b"GET /gossip/v1/members HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1_000
                for sock in socks:
                    sock.setblocking(False)
                    sock.send(batch)
                second.kill()

                def suspected() -> bool:
                    for sock in socks:
                        with contextlib.suppress(BlockingIOError):
                            sock.recv(1 << 20)
                        with contextlib.suppress(BlockingIOError):
                            sock.send(batch)
                    return any(each["event"] == "member_suspected" for each in first.events())

                until("the crash is seen", suspected)
            finally:
                for sock in socks:
                    sock.close()
