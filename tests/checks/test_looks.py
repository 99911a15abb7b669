"""Looking at real sockets, processes and a gRPC server; at what is not there, and at what lies or hangs."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from gossip.checks.container import engine_path
from gossip.checks.finding import Finding
from gossip.checks.grpc import _request, _status
from gossip.checks.looks import look
from gossip.checks.runner import Runner
from gossip.config import read_checks
from gossip.core.types import Verdict

PASSING, WARNING, CRITICAL = Verdict


async def find(**check: Any) -> Finding:
    """Looks as the agent does, with the time that the definition gives."""
    return await Runner().find(read_checks([{"timeout": "20s"} | check], "web")[0])


@asynccontextmanager
async def served(
    answer: Callable[[trio.abc.Stream, bytes], Awaitable[None]],
    host: str = "127.0.0.1",
    path: str | None = None,
) -> AsyncIterator[str]:
    """A server that reads one request's head and hands over; its address."""

    async def handle(stream: trio.abc.Stream) -> None:
        head = b""
        try:
            while b"\r\n\r\n" not in head and (data := await stream.receive_some(65_536)):
                head += bytes(data)
            await answer(stream, head)
        except trio.BrokenResourceError:
            pass
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        if path is not None:
            sock = trio.socket.socket(socket.AF_UNIX)
            await sock.bind(path)
            sock.listen()
            listeners = [trio.SocketListener(sock)]
            shown = path
        else:
            listeners = await trio.open_tcp_listeners(0, host=host)
            port = listeners[0].socket.getsockname()[1]
            shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        yield shown
        nursery.cancel_scope.cancel()


def saying(text: str, body: str = "", heads: list[bytes] | None = None) -> Any:
    async def answer(stream: trio.abc.Stream, head: bytes) -> None:
        if heads is not None:
            heads.append(head)
        await stream.send_all(
            f"HTTP/1.1 {text}\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}".encode()
        )

    return answer


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


# --------------------------------------------------------------------------------------------- HTTP


@pytest.mark.parametrize(
    ("text", "settings", "verdict"),
    [
        ("200 OK", {}, PASSING),
        ("204 No Content", {}, PASSING),
        ("429 Too Many Requests", {}, WARNING),
        ("429 Too Many Requests", {"expect_status": 429}, PASSING),
        ("301 Moved", {}, CRITICAL),
        ("301 Moved", {"expect_status": "200,300-399"}, PASSING),
        ("500 Oops", {}, CRITICAL),
        ("200 OK", {"expect_body": "all is well"}, PASSING),
        ("200 OK", {"expect_body": "all is good"}, CRITICAL),
    ],
)
async def test_http_statuses_and_bodies(text: str, settings: dict[str, Any], verdict: Verdict) -> None:
    body = "" if text.startswith("204") else "all is well"
    async with served(saying(text, body)) as address:
        found = await find(http=f"http://{address}/health", **settings)
    assert found.verdict is verdict
    assert found.output.startswith(f"HTTP GET http://{address}/health: {text}")


async def test_http_sends_what_it_is_told() -> None:
    heads: list[bytes] = []
    async with served(saying("200 OK", "hi", heads)) as address:
        found = await find(
            http=f"http://{address}/a?b=c", method="post", body="ping", headers={"host": "web", "X-Y": "z"}
        )
    assert found.verdict is PASSING
    head = heads[0].lower()
    assert head.startswith(b"post /a?b=c http/1.1\r\n")
    assert b"\r\nhost: web\r\n" in head
    assert head.count(b"host:") == 1
    assert b"\r\nx-y: z\r\n" in head
    assert b"\r\ncontent-length: 4\r\n" in head
    assert b"\r\nuser-agent: gossip-check\r\n" in head


async def test_http_over_ipv6() -> None:
    async with served(saying("200 OK"), host="::1") as address:
        assert (await find(http=f"http://{address}/")).verdict is PASSING


async def test_http_keeps_little_of_a_body_without_end() -> None:
    async def flood(stream: trio.abc.Stream, head: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 65_536)

    async with served(flood) as address:
        found = await find(http=f"http://{address}/")
    assert found.verdict is PASSING
    assert len(found.output) < 1_200


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "no HTTP"),
        (b"", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 40_000, "no HTTP"),
    ],
)
async def test_http_of_what_speaks_something_else(sent: bytes, words: str) -> None:
    async def answer(stream: trio.abc.Stream, head: bytes) -> None:
        await stream.send_all(sent)

    async with served(answer) as address:
        found = await find(http=f"http://{address}/")
    assert found.verdict is CRITICAL
    assert words in found.output


async def test_what_hangs_is_critical_after_its_timeout() -> None:
    async def hang(stream: trio.abc.Stream, head: bytes) -> None:
        await trio.sleep_forever()

    async with served(hang) as address:
        for check in ({"http": f"http://{address}/"}, {"grpc": address}):
            found = await find(**check, timeout="50ms")
            assert found == (CRITICAL, "no result within 0.05 s")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that nobody trusts, with its key."""
    import datetime as dt

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


async def test_https_checks_the_certificate_unless_told_not_to(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def handle(stream: trio.SocketStream) -> None:
        secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        try:
            await secure.receive_some(65_536)
            await secure.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        except trio.BrokenResourceError:
            pass
        await trio.aclose_forcefully(secure)

    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, handle, [listener])
        url = f"https://localhost:{listener.socket.getsockname()[1]}/"
        found = await find(http=url)
        assert found.verdict is CRITICAL
        assert "certificate refused" in found.output
        assert (await find(http=url, tls_skip_verify=True)).verdict is PASSING
        nursery.cancel_scope.cancel()


# ----------------------------------------------------------------------------------------- TCP, gRPC


async def test_tcp() -> None:
    async with served(saying("")) as address:
        assert await find(tcp=address) == (PASSING, f"TCP {address}: connected")
        assert (await find(tcp=f"localhost:{address.rpartition(':')[2]}")).verdict is PASSING
    port = free_port()
    for check in (
        {"tcp": f"127.0.0.1:{port}"},
        {"http": f"http://127.0.0.1:{port}/"},
        {"grpc": f"127.0.0.1:{port}"},
    ):
        found = await find(**check)
        assert found.verdict is CRITICAL
        assert "connection refused" in found.output
    found = await find(tcp=f"no-such-host.invalid:{port}")
    assert found.verdict is CRITICAL


@pytest.fixture(scope="module")
def grpc_server() -> Iterator[tuple[int, health.HealthServicer]]:
    server = grpc.server(ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port, servicer
    server.stop(None).wait()


async def test_a_real_grpc_server(grpc_server: tuple[int, health.HealthServicer]) -> None:
    port, servicer = grpc_server
    statuses = health_pb2.HealthCheckResponse.ServingStatus
    servicer.set("", statuses.SERVING)
    servicer.set("pkg.Web", statuses.NOT_SERVING)
    address = f"127.0.0.1:{port}"
    assert await find(grpc=address) == (PASSING, f"gRPC {address}: SERVING")
    assert await find(grpc=f"{address}/pkg.Web") == (CRITICAL, f"gRPC {address}/pkg.Web: NOT_SERVING")
    servicer.set("pkg.Web", statuses.SERVING)
    assert (await find(grpc=f"{address}/pkg.Web")).verdict is PASSING
    found = await find(grpc=f"{address}/" + "x" * 200)
    assert found.verdict is CRITICAL
    assert "gRPC status 5" in found.output


async def test_a_grpc_server_without_the_health_service() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        found = await find(grpc=f"127.0.0.1:{port}")
    finally:
        server.stop(None).wait()
    assert found.verdict is CRITICAL
    assert "gRPC status 12" in found.output


async def test_a_grpc_server_over_tls(certificate: Path) -> None:
    pem = await trio.Path(certificate).read_bytes()
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    servicer.set("", health_pb2.HealthCheckResponse.ServingStatus.SERVING)
    split = pem.index(b"-----BEGIN PRIVATE")
    credentials = grpc.ssl_server_credentials([(pem[split:], pem[:split])])
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        assert (await find(grpc=f"localhost:{port}", tls=True, tls_skip_verify=True)).verdict is PASSING
        assert "certificate refused" in (await find(grpc=f"localhost:{port}", tls=True)).output
    finally:
        server.stop(None).wait()


async def test_grpc_of_what_speaks_something_else() -> None:
    async with served(saying("400 Bad Request")) as address:
        found = await find(grpc=address)
    assert found.verdict is CRITICAL


def test_the_two_messages_are_those_of_protobuf() -> None:
    for name in ("", "a", "x" * 127, "x" * 128, "ä" * 5_000):
        assert _request(name) == health_pb2.HealthCheckRequest(service=name).SerializeToString()
    for status in health_pb2.HealthCheckResponse.ServingStatus.values():
        raw = health_pb2.HealthCheckResponse(status=status).SerializeToString()
        assert _status(b"\0" + len(raw).to_bytes(4, "big") + raw) == status
    framed = b"\0\0\0\0"
    assert _status(framed + b"\x06\x12\x02ab\x08\x01") == 1
    for bad in (b"", b"\0\0\0\0\x05\x08\x01", framed + b"\x01\x08", framed + b"\x02\x0d\x01", b"\x01\0\0\0\0",
                framed + b"\x03\x12\x7fa", framed + b"\x0b\x08" + b"\xff" * 10):  # fmt: skip
        assert _status(bad) is None


# ------------------------------------------------------------------------------------------- commands


@pytest.mark.parametrize(
    ("command", "verdict", "output"),
    [
        ("echo fine", PASSING, "fine"),
        ("echo hm; exit 1", WARNING, "hm"),
        ("echo no >&2; exit 2", CRITICAL, "no"),
        ("exit 3", CRITICAL, "exit status 3"),
        ("kill -9 $$", CRITICAL, "ended by signal SIGKILL"),
        (["/bin/echo", "a b", "c"], PASSING, "a b c"),
        (["/no/such/program"], CRITICAL, "/no/such/program: cannot be run: no such file or directory"),
    ],
)
async def test_commands(command: Any, verdict: Verdict, output: str) -> None:
    assert await find(command=command) == (verdict, output)


async def test_much_output_is_cut_and_does_not_block() -> None:
    found = await find(command=[sys.executable, "-c", "print('x' * 1_000_000)"])
    assert found.verdict is PASSING
    assert len(found.output) == 4_096


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # Killed, and waiting for its adoptive parent to take notice.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def ends(pid: int) -> None:
    with trio.fail_after(30):
        while not gone(pid):  # noqa: ASYNC110 - another process
            await trio.sleep(0.01)


async def test_a_command_does_not_see_the_invitation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that prints its environment would show it to all who may read."""
    monkeypatch.setenv("GOSSIP_INVITE", "secret")
    monkeypatch.setenv("GOSSIP_SOCKET", "/run/there.sock")
    found = await find(command="env")
    assert found.verdict is PASSING
    assert "GOSSIP_SOCKET=/run/there.sock" in found.output
    assert "secret" not in found.output


async def test_a_command_over_its_time_is_ended_with_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    # Deaf to SIGTERM, with a child that holds the output open.
    command = f"trap '' TERM; sleep 1000 & echo $! $$ > {pids}; wait; sleep 1000"
    began = time.monotonic()
    found = await find(command=command, timeout="1s")
    assert found == (CRITICAL, "no result within 1 s")
    assert time.monotonic() - began < 20
    for pid in map(int, pids.read_text().split()):
        await ends(pid)


async def test_what_a_command_leaves_behind_is_ended_and_not_waited_for(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    found = await find(command=f"sleep 1000 & echo $! > {pids}; echo done")
    assert found == (PASSING, "done")
    await ends(int(pids.read_text()))


async def test_a_cancelled_command_leaves_no_zombie(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: find(command=f"echo $$ > {pids}; exec sleep 1000"))
        with trio.fail_after(30):
            while not (pids.exists() and pids.read_text()):  # noqa: ASYNC110 - another process
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    # A zombie would still have its number.
    with pytest.raises(ProcessLookupError):
        os.kill(int(pids.read_text()), 0)


# ----------------------------------------------------------------------------------------- containers


@pytest.mark.parametrize(
    ("state", "verdict", "words"),
    [
        ({"Running": True, "Health": {"Status": "healthy", "Log": []}}, PASSING, "is healthy"),
        ({"Running": True, "Health": {"Status": "starting"}}, WARNING, "is starting"),
        ({"Running": True, "Health": {"Status": "unhealthy", "Log": [{"Output": "curl: (7)\n"}]}}, CRITICAL,
         "is unhealthy: curl: (7)"),
        ({"Running": True, "Status": "running"}, PASSING, "has no health check of its own"),
        ({"Running": True, "Health": None}, PASSING, "has no health check of its own"),
        ({"Running": False, "Status": "exited", "ExitCode": 137}, CRITICAL, "exited, exit status 137"),
        ({}, CRITICAL, "cannot be read"),
        ([], CRITICAL, "cannot be read"),
    ],
)  # fmt: skip
async def test_containers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: object, verdict: Verdict, words: str
) -> None:
    heads: list[bytes] = []
    path = str(tmp_path / "engine.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    async with served(saying("200 OK", json.dumps({"State": state}), heads), path=path):
        found = await find(container="web-1")
    assert found.verdict is verdict
    assert words in found.output
    assert heads[0].startswith(b"GET /containers/web-1/json HTTP/1.1\r\n")


async def test_containers_without_container_or_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "engine.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    assert await find(container="web-1") == (
        CRITICAL, f"no container engine at {path}: no such file or directory",
    )  # fmt: skip
    async with served(saying("404 Not Found", "{}"), path=path):
        assert await find(container="web-1") == (CRITICAL, "no container 'web-1'")
    await trio.Path(path).unlink()
    async with served(saying("500 Oops", "{}"), path=path):
        assert (await find(container="web-1")).output == "the container engine answers 500 Oops"
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
    assert "DOCKER_HOST is no unix:// socket" in (await find(container="web-1")).output
    assert engine_path({}) == "/var/run/docker.sock"


def test_a_check_needs_no_library_that_it_does_not_use() -> None:
    code = (
        "import sys, gossip.checks.monitor, gossip.checks.runner\n"
        "print([name for name in ('h2', 'h11') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "[]\n"


async def test_looking_is_the_same_for_all(tmp_path: Path) -> None:
    check = read_checks([{"command": ["/bin/true"]}], "web")[0]
    assert await look(check) == (PASSING, "exit status 0")
    assert signal.getsignal(signal.SIGCHLD) in (signal.SIG_DFL, None)
