"""The guarded faces of a real agent: what it refuses, what a reload changes, what it never says."""

from __future__ import annotations

import json
import logging
import re
import signal
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import trio

from gossip.agent import Agent
from gossip.api.http.routes import READING
from gossip.api.methods import Registration
from gossip.config import Config, load
from gossip.config.access import Principals, Scope
from gossip.config.tokens import read_tokens
from gossip.errors import ConfigError
from tests.agent.processes import PATIENCE, Process, until
from tests.api.http.served import Client
from tests.support import run_python
from tests.tls import Authority

if TYPE_CHECKING:
    from pathlib import Path


def get(url: str, context: ssl.SSLContext | None = None, token: str = "") -> tuple[int, Any]:
    asked = urllib.request.Request(  # noqa: S310 - the agent's own
        url, headers={"X-Consul-Token": token} if token else {}
    )
    try:
        with urllib.request.urlopen(  # noqa: S310
            asked, timeout=PATIENCE, context=context
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def new(directory: Path, name: str, scope: str = "read") -> str:
    """A token by the command, as an operator makes one."""
    command = ("-m", "gossip", "token", "new", name, "--scope", scope, "--file", str(directory / "tokens"))
    done = run_python(*command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_agent_behind_tokens_and_tls_and_what_a_reload_changes(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("first")
    first = new(tmp_path, "first")
    options = ("--http", "127.0.0.1:0", "--http-tokens", f"{tmp_path}/tokens")
    tls = ("--http-cert", str(pair.cert), "--http-key", str(pair.key), "--http-tls-min", "1.3")
    trusting = ssl.create_default_context(cafile=str(authority.cert))
    with Process(tmp_path, *options, *tls) as process, process.ask() as ask:
        url = f"https://{ask.call('agent.info')['addresses']['http']}/gossip/v1"
        assert get(f"{url}/info", trusting, first)[0] == 200
        assert get(f"{url}/info", trusting)[0] == 401
        assert get(f"{url}/healthy", trusting)[0] == 200

        second = new(tmp_path, "second")
        lines = (tmp_path / "tokens").read_text().splitlines()
        (tmp_path / "tokens").write_text("\n".join(line for line in lines if "second" in line))
        renewed = authority.issue("renewed")
        renewed.cert.replace(pair.cert)
        renewed.key.replace(pair.key)
        process.signal(signal.SIGHUP)
        until("the new token is taken", lambda: get(f"{url}/info", trusting, second)[0] == 200)
        assert get(f"{url}/info", trusting, first)[0] == 401
        with trusting.wrap_socket(_dial(url), server_hostname="localhost") as sock:
            shown: Any = sock.getpeercert()
            subject = dict(each[0] for each in shown["subject"])
            assert subject["commonName"] == "renewed"

        # What is faulty changes nothing, and is named.
        (tmp_path / "tokens").write_text(f"second read {second}\n")
        process.signal(signal.SIGHUP)
        failed = until("it says so", lambda: [e for e in process.events() if e["event"] == "reload_failed"])
        assert f"{tmp_path}/tokens:1: the third word is no hash" in failed[0]["detail"]
        assert get(f"{url}/info", trusting, second)[0] == 200
        log = process.log.read_text()
        assert first not in log
        assert second not in log


def _dial(url: str) -> Any:
    import socket

    host, _, port = url.removeprefix("https://").partition("/")[0].rpartition(":")
    return socket.create_connection((host, int(port)), PATIENCE)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--http", "0.0.0.0:0"), "make one with 'gossip token new'"),
        (("--http", "0.0.0.0:0", "--insecure"), "or --http-insecure to go without"),
        (("--allow-read", "alice,bob"), "is none of user:NAME, group:NAME, everyone"),
        (("--socket-group", "no-such-group"), "there is no group"),
    ],
)
def test_what_would_be_open_or_means_nothing_stops_the_agent(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    process = Process(tmp_path, *options).start()
    assert process.wait() == 2
    assert words in process.log.read_text()
    assert not process.socket.exists()


def test_beyond_loopback_an_agent_may_be_told_to_go_without(tmp_path: Path) -> None:
    """It is then for reading only."""
    with Process(tmp_path, "--http", "0.0.0.0:0", "--http-insecure") as process, process.ask() as ask:
        port = ask.call("agent.info")["addresses"]["http"].rpartition(":")[2]
        assert get(f"http://127.0.0.1:{port}/gossip/v1/info")[0] == 200


def config(tmp_path: Path, **more: Any) -> Config:
    return Config(name="n", socket=tmp_path / "s", bind=(("127.0.0.1", 0),), **more)


async def test_a_reload_takes_over_who_may_do_what(tmp_path: Path) -> None:
    async with Agent(config(tmp_path, http=("127.0.0.1", 0))) as agent:
        host, _, port = str(agent.info().addresses.http).rpartition(":")

        async def status() -> int:
            client = Client(await trio.open_tcp_stream(host, int(port)))
            answer = await client.ask("GET", "/gossip/v1/info")
            await client.stream.aclose()
            return answer.status

        assert await status() == 200
        nobody = Principals(users=frozenset({65_534}))
        await agent.reload(config(tmp_path, http=("127.0.0.1", 0), allow_read=nobody))
        assert agent.config.allowed.read == nobody
        assert await status() == 403
        with pytest.raises(ConfigError, match="http_cert"):
            await agent.reload(config(tmp_path, http_cert=tmp_path / "none", http_key=tmp_path / "none"))
        assert await status() == 403, "a faulty one changes nothing"
        await agent.reload(config(tmp_path, http=("127.0.0.1", 0)))
        assert await status() == 200


async def test_what_was_answered_before_is_not_answered_on_once_tokens_are_asked_for(tmp_path: Path) -> None:
    """Not to the same bytes on the same connection either."""
    await trio.to_thread.run_sync(new, tmp_path, "reader")
    async with Agent(config(tmp_path, http=("127.0.0.1", 0))) as agent:
        host, _, port = str(agent.info().addresses.http).rpartition(":")
        client = Client(await trio.open_tcp_stream(host, int(port)))
        paths = ("/v1/catalog/services", "/gossip/v1/services")
        for path in paths * 3:
            assert (await client.ask("GET", path)).status == 200
        tokens = read_tokens(tmp_path / "tokens")
        await agent.reload(config(tmp_path, http=("127.0.0.1", 0), http_tokens=tokens))
        assert [(await client.ask("GET", path)).status for path in paths] == [403, 401]
        await client.stream.aclose()


OPEN = {("GET", "/gossip/v1/healthy"), ("GET", "/"), ("OPTIONS", "/")}
"""What whoever reaches the port may ask: whether an agent is there and well."""
ADMIN = re.compile(r"/agent/(join|leave|force-leave|reload|maintenance)\b|/operator/keyring")


async def test_every_route_of_an_agent_has_the_scope_that_it_should(tmp_path: Path) -> None:
    async with Agent(config(tmp_path, http=("127.0.0.1", 0))) as agent:
        assert agent._serving.http is not None
        table = agent._serving.http.server.routes
        routes = list(table)
        mounted: list[Any] = list(table._mounted)
    routes += [route for each in mounted for rows in each._rows.values() for route in rows.values()]
    assert len(routes) > 100
    assert {route.method for route in routes if ADMIN.search(route.pattern)} >= {"PUT"}
    for route in routes:
        what = (route.method, route.pattern)
        if route.scope is Scope.NONE:
            assert what in OPEN
        elif route.method in READING:
            assert route.scope >= Scope.READ, what
        else:
            wanted = Scope.ADMIN if ADMIN.search(route.pattern) else Scope.WRITE
            assert route.scope >= wanted, what


# ------------------------------------------------------------------------------------------- secrets

MARKS = {name: f"MARKED-{name}-5ec2e7" for name in ("query", "header", "body", "command")}


def planted(tmp_path: Path, web: str) -> str:
    """A configuration with a secret wherever one may stand."""
    return f"""
        name = "n"
        bind = "127.0.0.1:0"
        data_dir = "data"
        socket = "{tmp_path}/s"
        http = "127.0.0.1:0"
        http_anonymous = "read"
        http_tokens = "tokens"
        http_cert = "first.pem"
        http_key = "first.key"
        log_level = "debug"
        [[service]]
        name = "web"
        port = 80
        [[service.check]]
        http = "http://{web}/health?key={MARKS["query"]}"
        headers = {{ Authorization = "{MARKS["header"]}" }}
        method = "POST"
        body = "{MARKS["body"]}"
        interval = "1s"
        [[service.check]]
        command = ["true", "{MARKS["command"]}"]
        """


async def listen(task_status: trio.TaskStatus[int], heard: list[bytes], asked: trio.Event) -> None:
    async def answer(stream: trio.SocketStream) -> None:
        heard.append(bytes(await stream.receive_some(65_536)))
        asked.set()
        await stream.send_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    task_status.started(listener.socket.getsockname()[1])
    await trio.serve_listeners(answer, [listener])


async def test_what_is_secret_is_in_nothing_that_the_agent_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("first")
    token = await trio.to_thread.run_sync(new, tmp_path, "reader", "admin")
    heard: list[bytes] = []
    asked = trio.Event()
    said: list[object] = []
    trusting = ssl.create_default_context(cafile=str(authority.cert))
    async with trio.open_nursery() as nursery:

        async def serve(*, task_status: trio.TaskStatus[int]) -> None:
            await listen(task_status, heard, asked)

        web = f"127.0.0.1:{await nursery.start(serve)}"
        path = trio.Path(tmp_path / "gossip.toml")
        await path.write_text(planted(tmp_path, web))
        settings = load([tmp_path / "gossip.toml"], {}, {})
        with caplog.at_level(logging.DEBUG):
            async with Agent(settings, reread=lambda: load([tmp_path / "gossip.toml"], {}, {})) as agent:
                with trio.fail_after(PATIENCE):
                    await asked.wait()
                http = str(agent.info().addresses.http)
                targets = ("info", "members", "services", f"services/web?token={token}&any", "nothing")
                urls = [f"https://{http}/gossip/v1/{target}" for target in targets]
                for url in (*urls, f"https://{http}/metrics?token={token}"):
                    said += [await trio.to_thread.run_sync(_read, url, trusting, token)]
                with pytest.raises(Exception, match="port") as caught:
                    await agent.register(
                        Registration(
                            "x", -1, checks=[{"http": "http://h/", "headers": {"A": MARKS["header"]}}]
                        )
                    )
                agent.node.count("internal_error")
                said += [agent.info(), agent.members(), agent.checks(), await agent.doctor(None, 1.0)]
                said += [await agent.reload_files(), repr(agent.config), repr(agent), caught.value]
                seed = agent._store.seed
        nursery.cancel_scope.cancel()
    assert MARKS["header"].encode() in heard[0], "what they are for, they are used for"
    text = repr(said) + caplog.text + str([vars(record) for record in caplog.records])
    text += json.dumps([getattr(record, "fields", {}) for record in caplog.records], default=str)
    assert "HTTP POST http://127.0.0.1:" in text, "the check's output is among what was looked through"
    for mark in (*MARKS.values(), token):
        assert mark not in text
    for secret in (seed.hex(), repr(seed)[2:-1], pair.key.read_text().splitlines()[1]):
        assert secret not in text


def _read(url: str, context: ssl.SSLContext, token: str) -> str:
    asked = urllib.request.Request(  # noqa: S310 - the agent's own
        url, headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(  # noqa: S310
            asked, timeout=PATIENCE, context=context
        ) as answer:
            return f"{answer.headers}{answer.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.headers}{error.read().decode()}"
