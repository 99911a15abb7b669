"""HTTPS: who is let in, what a handshake may cost, and that nothing of HTTP is different behind it."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

import h11
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gossip.api.http import face, line, pace, talk
from gossip.api.http.routes import Routes
from gossip.api.http.values import Request, Response, Send, Streamed
from gossip.config.faces import Faces
from gossip.config.tls import TlsFiles, server_context
from tests.api.http.served import PATIENCE, Client, serving, until
from tests.tls import Authority, Pair

if TYPE_CHECKING:
    from tests.api.http.served import Serving


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("agent")


async def size(asked: Request) -> Response:
    return Response(200, b"%d" % len(asked.body), "text/plain")


async def large(_asked: Request) -> Response:
    return Response(200, b"x" * 3_000_000, "text/plain")


async def count(_asked: Request) -> Streamed:
    async def produce(send: Send) -> None:
        for number in range(3):
            await send(b"%d\n" % number)

    return Streamed(produce, content_type="text/plain")


def routes() -> Routes:
    table = Routes()
    table.add("GET", "/size", size)
    table.add("POST", "/size", size)
    table.add("GET", "/large", large)
    table.add("GET", "/count", count)
    return table


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.cert))


async def connect(here: Serving, context: ssl.SSLContext) -> Client:
    below = await trio.open_tcp_stream(*here.server.address[:2])
    here._streams.append(below)
    stream = trio.SSLStream(below, context, server_hostname="localhost", https_compatible=True)
    return Client(stream)


async def test_requests_follow_one_another_behind_tls(authority: Authority, pair: Pair) -> None:
    async with serving(routes(), tls=server_context(TlsFiles(*pair))) as here:
        client = await connect(here, trusting(authority))
        assert (await client.ask("GET", "/size")).status == 200
        assert (await client.ask("POST", "/size", b"y" * 900_000)).body == b"900000"
        assert (await client.ask("GET", "/count")).body == b"0\n1\n2\n"
        assert len((await client.ask("GET", "/large")).body) == 3_000_000
        await client.send(b"no http at all\r\n\r\n")
        assert (await client.answer()).status == 400
        assert await client.rest() == b""
        assert here.faults == []


@pytest.mark.parametrize(
    ("minimum", "newest"), [("1.2", ssl.TLSVersion.TLSv1_1), ("1.3", ssl.TLSVersion.TLSv1_2)]
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_tls_is_refused(
    authority: Authority, pair: Pair, minimum: str, newest: ssl.TLSVersion
) -> None:
    context = trusting(authority)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = newest
    context.set_ciphers("ALL:@SECLEVEL=0")
    async with serving(routes(), tls=server_context(TlsFiles(*pair, minimum=minimum))) as here:
        client = await connect(here, context)
        with pytest.raises((trio.BrokenResourceError, h11.RemoteProtocolError)):
            await client.ask("GET", "/size")
        await until(lambda: here.faults == ["tls_failed"])


async def test_with_an_authority_of_clients_a_stranger_gets_no_answer(tmp_path: Any, pair: Pair) -> None:
    theirs, other = Authority(tmp_path, "theirs"), Authority(tmp_path, "other")
    ours = pair.cert.parent / "tests-ca.pem"

    def context(client: Pair | None) -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=str(ours))
        if client is not None:
            made.load_cert_chain(client.cert, client.key)
        return made

    async with serving(routes(), tls=server_context(TlsFiles(*pair, theirs.cert))) as here:
        assert (await (await connect(here, context(theirs.issue("c")))).ask("GET", "/size")).status == 200
        for stranger in (None, other.issue("c")):
            client = await connect(here, context(stranger))
            # Ended without a word, or with an alert: that depends on who is faster.
            with pytest.raises((trio.BrokenResourceError, h11.RemoteProtocolError)):
                await client.ask("GET", "/size")
        await until(lambda: here.faults == ["tls_failed"] * 2)


async def test_a_new_certificate_is_for_new_connections(authority: Authority, pair: Pair) -> None:
    async with serving(routes(), tls=server_context(TlsFiles(*pair))) as here:
        old = await connect(here, trusting(authority))
        await old.ask("GET", "/size")
        here.server.tls = server_context(TlsFiles(*authority.issue("renewed")))
        new = await connect(here, trusting(authority))
        await new.ask("GET", "/size")
        names = [dict(each[0] for each in client.stream.getpeercert()["subject"]) for client in (old, new)]
        assert [name["commonName"] for name in names] == ["agent", "renewed"]
        assert (await old.ask("GET", "/size")).status == 200


async def advance(clock: MockClock, seconds: float) -> None:
    """Lets so much time pass once everybody waits."""
    await wait_all_tasks_blocked(0.02)
    clock.jump(seconds)
    await wait_all_tasks_blocked(0.02)


@pytest.mark.parametrize("said", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
async def test_who_begins_a_handshake_and_does_not_go_on_is_ended(
    authority: Authority, pair: Pair, mock_clock: MockClock, said: bytes
) -> None:
    async with serving(routes(), tls=server_context(TlsFiles(*pair))) as here:
        slow = await here.connect()
        if said:
            await slow.stream.send_all(said)
        await wait_all_tasks_blocked(0.02)
        # Others are served all the while.
        other = await connect(here, trusting(authority))
        assert (await other.ask("GET", "/size")).status == 200
        assert here.server.connections == 2
        await advance(mock_clock, talk.HANDSHAKE_SECONDS)
        assert here.server.connections == 1
        assert (await other.ask("GET", "/size")).status == 200


async def test_a_byte_now_and_then_buys_no_time_for_a_handshake(pair: Pair, mock_clock: MockClock) -> None:
    async with serving(routes(), tls=server_context(TlsFiles(*pair))) as here:
        slow = await here.connect()
        for byte in b"\x16\x03\x01\x02\x00\x01":
            await slow.stream.send_all(bytes([byte]))
            await advance(mock_clock, talk.HANDSHAKE_SECONDS / 5)
        assert here.server.connections == 0


async def test_clear_http_where_tls_is_spoken_is_ended(pair: Pair) -> None:
    async with serving(routes(), tls=server_context(TlsFiles(*pair))) as here:
        client = await here.connect()
        await client.send(b"GET /size HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.suppress(trio.BrokenResourceError):
            await client.rest()
        await until(lambda: here.faults == ["tls_failed"])


def flood(here: Serving, count: int, source: str = "127.0.0.2") -> list[socket.socket]:
    """So many connections that each begin a handshake, from somewhere else."""
    made = []
    for _ in range(count):
        made.append(socket.create_connection(here.server.address, source_address=(source, 0)))
        made[-1].sendall(b"\x16")
    return made


async def let_in(here: Serving, context: ssl.SSLContext, done: list[int]) -> None:
    done.append((await (await connect(here, context)).ask("GET", "/size")).status)


async def test_handshakes_have_a_pace_and_silence_has_none_of_it(
    authority: Authority, pair: Pair, mock_clock: MockClock
) -> None:
    async with serving(routes(), tls=server_context(TlsFiles(*pair))) as here, trio.open_nursery() as nursery:
        here._streams += [(await here.connect()).stream for _ in range(pace.HANDSHAKES_AT_ONCE + 5)]
        done: list[int] = []
        for _ in range(pace.HANDSHAKES_AT_ONCE):
            await let_in(here, trusting(authority), done)
        for _ in range(2):
            nursery.start_soon(let_in, here, trusting(authority), done)
        await wait_all_tasks_blocked(0.02)
        assert len(done) < pace.HANDSHAKES_AT_ONCE + 2
        for _ in range(2):
            await advance(mock_clock, 1 / pace.HANDSHAKES_PER_SECOND)
        assert done == [200] * (pace.HANDSHAKES_AT_ONCE + 2)


async def test_while_one_address_floods_another_has_its_handshake(
    authority: Authority, pair: Pair, mock_clock: MockClock
) -> None:
    async with serving(routes(), tls=server_context(TlsFiles(*pair))) as here, trio.open_nursery() as nursery:
        flooding = flood(here, 4 * pace.HANDSHAKES_AT_ONCE)
        await wait_all_tasks_blocked(0.02)
        assert here.server.connections == len(flooding)
        done: list[int] = []
        nursery.start_soon(let_in, here, trusting(authority), done)
        for _ in range(3):
            await advance(mock_clock, 1 / pace.HANDSHAKES_PER_SECOND)
        assert done == [200]
        for each in flooding:
            each.close()


async def test_who_has_gone_before_its_handshake_has_no_turn(
    authority: Authority, pair: Pair, mock_clock: MockClock
) -> None:
    async with serving(routes(), tls=server_context(TlsFiles(*pair))) as here, trio.open_nursery() as nursery:
        for each in flood(here, 2 * pace.HANDSHAKES_AT_ONCE, "127.0.0.1"):
            each.close()
        await wait_all_tasks_blocked(0.02)
        done: list[int] = []
        nursery.start_soon(let_in, here, trusting(authority), done)
        await wait_all_tasks_blocked(0.02)
        assert done == [200]
        assert here.faults == ["tls_failed"] * 2 * pace.HANDSHAKES_AT_ONCE


async def test_a_crowd_is_counted_and_refused(
    authority: Authority, pair: Pair, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "MOST_WAITING", 5)
    async with serving(routes(), tls=server_context(TlsFiles(*pair))) as here:
        flooding = flood(here, pace.HANDSHAKES_AT_ONCE + 20)
        await wait_all_tasks_blocked(0.02)
        assert here.faults in (["tls_refused"] * (20 - 5), ["tls_refused"] * (20 - 5 - 1))
        for each in flooding:
            each.close()


async def test_a_client_behind_tls_that_does_not_read_is_ended(
    authority: Authority, pair: Pair, mock_clock: MockClock
) -> None:
    async with serving(routes(), tls=server_context(TlsFiles(*pair))) as here:
        client = await connect(here, trusting(authority))
        await client.ask("GET", "/size")
        for _ in range(5):
            # More than the kernel takes for a client that reads none of it.
            await client.stream.send_all(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await advance(mock_clock, line.STALL_SECONDS / 2)
        assert here.server.connections == 1
        await advance(mock_clock, line.STALL_SECONDS)
        assert here.server.connections == 0
        assert here.faults == []


def test_a_key_that_all_can_read_is_told(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    cert, key = authority.issue("open")
    faces = Faces(http_cert=cert, http_key=key)
    for mode, told in ((0o600, 0), (0o640, 0), (0o644, 1)):
        key.chmod(mode)
        assert face._tls_of(faces) is not None
        assert len(caplog.records) == told


async def test_one_address_has_its_share_of_connections() -> None:
    async with serving(routes(), limit=4) as here:
        # As if it were reached from elsewhere: loopback is many programs.
        here.server.checks_host = False
        first, second = await here.connect(), await here.connect()
        for client in (first, second):
            assert (await client.ask("GET", "/size")).status == 200
        third = await here.connect()
        with trio.fail_after(PATIENCE):
            assert (await third.rest()).startswith(b"HTTP/1.1 503 ")
        await first.stream.aclose()
        await until(lambda: here.server.connections == 1)
        assert (await (await here.connect()).ask("GET", "/size")).status == 200
