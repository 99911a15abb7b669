"""A forwarder and real sockets on loopback."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import socket
from collections import Counter
from typing import TYPE_CHECKING

import pytest
import trio

from gossip.config import ProxyDefinition
from gossip.errors import TransportError
from gossip.host import raise_descriptors
from gossip.proxy.dial import dial
from gossip.proxy.forwarder import Forwarder, listen
from tests.calling.targets import T
from tests.proxy.instances import Serve, a_dead_port, echo, forwarding, instance, open_to, said

if TYPE_CHECKING:
    from collections.abc import Callable


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for happens in kernels and counters
        await trio.sleep(0.002)


def naming(name: str) -> Serve:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.send_all(name.encode())
        await echo(stream)

    return serve


async def test_bytes_go_there_and_back() -> None:
    async with instance("a") as a, forwarding(a) as forwarder:
        assert await said(forwarder) == b"hello"
        big = bytes(range(256)) * 20_000
        async with await open_to(forwarder) as stream, trio.open_nursery() as nursery:

            async def send() -> None:
                await stream.send_all(big)
                await stream.send_eof()

            nursery.start_soon(send)
            got = b"".join([data async for data in stream])
        assert got == big
        await until(lambda: forwarder.figures.active == 0)
        figures = forwarder.figures
        assert (figures.accepted, figures.connected, figures.broken) == (2, 2, 0)
        assert figures.up_bytes == figures.down_bytes == len(big) + 5


async def test_each_direction_ends_by_itself() -> None:
    heard = trio.Event()

    async def late(stream: trio.SocketStream) -> None:
        text = b"".join([data async for data in stream])
        heard.set()
        await stream.send_all(b"after your end: " + text)
        await trio.sleep(0.01)
        await stream.send_all(b"!")

    async with instance("a", late) as a, forwarding(a) as forwarder:
        assert await said(forwarder) == b"after your end: hello!"

    async def first(stream: trio.SocketStream) -> None:
        await stream.send_eof()
        assert b"".join([data async for data in stream]) == b"still heard"
        done.set()

    done = trio.Event()
    async with instance("a", first) as a, forwarding(a) as forwarder:
        async with await open_to(forwarder) as stream:
            assert await stream.receive_some() == b""
            await stream.send_all(b"still heard")
        await done.wait()


async def test_who_does_not_read_holds_up_only_who_writes_to_it() -> None:
    go = trio.Event()

    async def deaf(stream: trio.SocketStream) -> None:
        await go.wait()
        await echo(stream)

    async with instance("a", deaf) as a, forwarding(a) as forwarder:
        async with await open_to(forwarder) as stream, trio.open_nursery() as nursery:
            sent = 0

            async def send() -> None:
                nonlocal sent
                for _ in range(400):
                    await stream.send_all(b"x" * 65_536)
                    sent += 1
                await stream.send_eof()

            nursery.start_soon(send)
            await until(lambda: any(link.instance.backlog for link in forwarder._pump.links()))
            await until(lambda: not forwarder._pump.links()[0].client.mask)
            assert sent < 400, "it is held up"
            assert forwarder.figures.up_bytes < 400 * 65_536
            assert 0 < len(forwarder._pump.links()[0].instance.backlog) <= 131_072
            go.set()
            total = 0
            async for data in stream:
                total += len(data)
            assert total == 400 * 65_536


async def test_another_instance_is_tried_before_the_client_is_turned_away() -> None:
    dead = T("dead", node_id="d", address="127.0.0.1", port=a_dead_port())
    async with instance("a") as a, forwarding(dead, a) as forwarder:
        for _ in range(20):
            assert await said(forwarder) == b"hello"
            await until(lambda: forwarder.figures.active == 0)
        figures = forwarder.figures
        assert (figures.accepted, figures.connected, figures.unreachable) == (20, 20, 0)
        assert figures.retried == figures.attempts_failed == 5, "then it is left out"
        assert figures.ejections == 1
        assert forwarder.counted()["ejected"] == 1


async def test_who_gets_no_instance_is_reset_and_counted() -> None:
    dead = [T(str(n), node_id=str(n), address="127.0.0.1", port=a_dead_port()) for n in range(2)]
    async with forwarding(*dead) as forwarder:
        assert await said(forwarder) == b""
        assert forwarder.figures.unreachable == 1
        forwarder.offer([])
        stream = await open_to(forwarder)
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        await stream.aclose()
        assert forwarder.figures.no_instance == 1
        forwarder.offer([T("c", status="critical"), T("m", status="maintenance")])
        assert await said(forwarder) == b""
        assert (forwarder.figures.no_instance, forwarder.counted()["hidden"]) == (2, 2)
        forwarder.offer([T("worker", port=0)])
        assert forwarder.counted()["callable"] == 0


async def test_connections_go_where_there_are_fewest() -> None:
    names: Counter[bytes] = Counter()
    async with instance("a", naming("a")) as a, instance("b", naming("b")) as b:
        async with forwarding(a, b) as forwarder, contextlib.AsyncExitStack() as stack:
            for _ in range(40):
                stream = await stack.enter_async_context(await open_to(forwarder))
                names[await stream.receive_some()] += 1
            assert min(names.values()) >= 15


async def test_sticky_clients_stay() -> None:
    async with instance("a", naming("a")) as a, instance("b", naming("b")) as b:
        async with forwarding(a, b, sticky=True) as forwarder:
            assert len({await said(forwarder, b"") for _ in range(10)}) == 1


@pytest.mark.parametrize(("version", "length"), [("v1", None), ("v2", 28)])
async def test_the_instance_learns_who_connects(version: str, length: int | None) -> None:
    async with instance("a") as a, forwarding(a, send_proxy=version) as forwarder:
        async with await open_to(forwarder) as stream:
            host, port = stream.socket.getsockname()
            await stream.send_all(b"hello")
            await stream.send_eof()
            got = b"".join([data async for data in stream])
        assert got.endswith(b"hello")
        if length is None:
            assert got == f"PROXY TCP4 {host} 127.0.0.1 {port} {forwarder.address[1]}\r\nhello".encode()
        else:
            assert got[:16] == b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c"
            assert len(got) == length + 5
            assert int.from_bytes(got[24:26], "big") == port


async def test_a_reset_is_passed_on_and_is_the_instances_fault() -> None:
    async def rude(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        stream.socket.close()

    async with instance("a", rude) as a, forwarding(a) as forwarder:
        async with await open_to(forwarder) as stream:
            await stream.send_all(b"x")
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
        await until(lambda: forwarder.figures.active == 0)
        assert forwarder.figures.broken == 1

    async def silent(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.aclose()

    async with instance("a", silent) as a, forwarding(a) as forwarder:
        assert await said(forwarder) == b""
        await until(lambda: forwarder.figures.broken == 1)


async def test_a_client_that_resets_is_nobodys_fault() -> None:
    gone = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            while await stream.receive_some():
                pass
        gone.set()

    async with instance("a", serve) as a, forwarding(a) as forwarder:
        stream = await open_to(forwarder)
        await stream.send_all(b"x")
        await until(lambda: forwarder.figures.up_bytes)
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        stream.socket.close()
        await gone.wait()
        await until(lambda: forwarder.figures.active == 0)
        assert forwarder.figures.broken == 0


async def test_what_was_answered_before_the_reset_arrives() -> None:
    """An instance that refuses an upload with an answer and closes."""

    async def full(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"413 too much")
        await stream.send_eof()
        await stream.aclose()

    async with instance("a", full) as a, forwarding(a) as forwarder:
        async with await open_to(forwarder) as stream:
            await stream.send_all(b"x" * 1_000)
            assert await stream.receive_some() == b"413 too much"


async def test_dead_instances_are_cut_and_others_drain() -> None:
    async with instance("a") as a, instance("b") as b, forwarding(a, b, drain=0.05) as forwarder:
        streams = [await open_to(forwarder) for _ in range(8)]
        for stream in streams:
            await stream.send_all(b"x")
            assert await stream.receive_some() == b"x"
        # A check that fails ends no connection, and neither does the same instance under another status.
        forwarder.offer([dataclasses.replace(a, status="critical"), dataclasses.replace(b, status="suspect")])
        await trio.sleep(0.1)
        assert forwarder.figures.active == 8
        forwarder.offer([dataclasses.replace(a, status="dead"), b])
        await until(lambda: forwarder.figures.cut)
        cut = forwarder.figures.cut
        assert 0 < cut < 8
        assert forwarder.figures.active == 8 - cut
        forwarder.offer([dataclasses.replace(b, status="maintenance")])
        forwarder.offer([b])
        await trio.sleep(0.1)
        assert forwarder.figures.active == 8 - cut, "it came back in time"
        forwarder.offer([])
        assert forwarder.figures.active == 8 - cut
        await until(lambda: forwarder.figures.active == 0)
        assert forwarder.figures.overstayed == 8 - cut
        for stream in streams:
            await stream.aclose()


async def test_its_own_end_waits_for_those_that_are_busy() -> None:
    async with instance("a") as a, forwarding(a, drain=0.0) as forwarder:
        stream = await open_to(forwarder)
        await stream.send_all(b"x")
        assert await stream.receive_some() == b"x"
        forwarder.stop()
        forwarder.stop()
        with pytest.raises(OSError, match="all attempts to connect"):
            await open_to(forwarder)
        await stream.send_all(b"y")
        assert await stream.receive_some() == b"y"
        assert not forwarder.finished.is_set()
        await stream.aclose()
        await forwarder.finished.wait()
        assert forwarder.figures.overstayed == 0


@pytest.mark.parametrize("by_definition", [True, False])
async def test_more_than_it_takes_wait_their_turn(by_definition: bool) -> None:
    settings = {"max_connections": 2} if by_definition else {}
    async with instance("a") as a, forwarding(a, **settings) as forwarder:
        forwarder.room = 1_000 if by_definition else 2
        first, second, third = [await open_to(forwarder) for _ in range(3)]
        for stream in (first, second, third):
            await stream.send_all(b"x")
        assert await first.receive_some() == await second.receive_some() == b"x"
        assert forwarder.figures.accepted == 2
        await first.aclose()
        assert await third.receive_some() == b"x"
        await second.aclose()
        await third.aclose()


async def test_what_is_lacking_here_is_not_held_against_the_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    async with instance("a") as a, instance("b") as b, forwarding(a, b) as forwarder:
        with monkeypatch.context() as patch:
            patch.setattr("gossip.proxy.forwarder.dial", full)
            for _ in range(6):
                assert await said(forwarder) == b""
        assert (forwarder.figures.unreachable, forwarder.counted()["ejected"]) == (6, 0)
        assert await said(forwarder) == b"hello"


async def test_a_changed_definition_holds_for_what_comes() -> None:
    async with instance("a", naming("a")) as a, instance("b", naming("b")) as b:
        async with forwarding(a) as forwarder:
            old = await open_to(forwarder)
            assert await old.receive_some() == b"a"
            forwarder.serve(dataclasses.replace(forwarder.definition, service="db"))
            forwarder.offer([b])
            assert await said(forwarder, b"") == b"b"
            await old.send_all(b"still")
            assert await old.receive_some() == b"still"
            await old.aclose()


async def test_hundreds_of_connections() -> None:
    raise_descriptors()
    async with instance("a") as a, forwarding(a) as forwarder, contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(await open_to(forwarder)) for _ in range(300)]
        for turn in range(2):
            for stream in streams:
                await stream.send_all(b"%d" % turn)
            for stream in streams:
                assert await stream.receive_some() == b"%d" % turn
        assert forwarder.figures.active == 300


def test_a_port_that_is_taken_is_told() -> None:
    sock = listen(("127.0.0.1", 0))
    with sock, pytest.raises(TransportError, match=f"127.0.0.1:{sock.getsockname()[1]}: Address already"):
        listen(sock.getsockname())


async def test_its_end_comes_also_while_it_takes_no_more() -> None:
    async with instance("a") as a, forwarding(a, max_connections=2) as forwarder:
        first, second = [await open_to(forwarder) for _ in range(2)]
        for stream in (first, second):
            await stream.send_all(b"x")
            assert await stream.receive_some() == b"x"
        forwarder.stop()
        await first.aclose()
        await until(lambda: forwarder.figures.active == 1)
        await second.send_all(b"y")
        assert await second.receive_some() == b"y"
        await second.aclose()
        await forwarder.finished.wait()


async def test_a_raised_limit_holds_at_once() -> None:
    async with instance("a") as a, forwarding(a, max_connections=1) as forwarder:
        async with await open_to(forwarder) as first, await open_to(forwarder) as second:
            await first.send_all(b"x")
            assert await first.receive_some() == b"x"
            await second.send_all(b"y")
            forwarder.serve(dataclasses.replace(forwarder.definition, max_connections=2))
            assert await second.receive_some() == b"y"


@pytest.mark.parametrize("status", ["gone", "dead"])
async def test_what_goes_while_it_is_dialled_ends_too(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with instance("a") as a, forwarding(a, drain=0.01) as forwarder:

        async def late(host: str, port: int, seconds: float) -> socket.socket:
            sock = await dial(host, port, seconds)
            forwarder.offer([] if status == "gone" else [dataclasses.replace(a, status=status)])
            return sock

        monkeypatch.setattr("gossip.proxy.forwarder.dial", late)
        async with await open_to(forwarder) as stream:
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
        figures = forwarder.figures
        assert (figures.overstayed, figures.cut) == ((1, 0) if status == "gone" else (0, 1))


@pytest.mark.parametrize("name", ["a..b", "x" * 70 + ".example"])
async def test_an_address_that_is_no_name_is_an_instance_that_does_not_answer(name: str) -> None:
    async with instance("a") as a:
        async with forwarding(dataclasses.replace(a, id="b", address=name), a, sticky=True) as forwarder:
            assert await said(forwarder) == b"hello"
            forwarder.offer([dataclasses.replace(a, address=name)])
            assert await said(forwarder) == b""
            assert forwarder.figures.unreachable == 1


@pytest.mark.parametrize("listening", ["127.0.0.1", "0.0.0.0"])
async def test_it_does_not_call_itself(listening: str, caplog: pytest.LogCaptureFixture) -> None:
    definition = ProxyDefinition((listening, 0), "web", max_connections=50)
    forwarder = Forwarder(listen(definition.listen), definition)
    me = T("me", node_id="me", address="127.0.0.1", port=forwarder.address[1])
    async with instance("a") as a, trio.open_nursery() as nursery:
        nursery.start_soon(forwarder.run)
        forwarder.offer([me])
        with contextlib.suppress(trio.BrokenResourceError):
            async with await trio.open_tcp_stream("127.0.0.1", me.port) as stream:
                assert not await stream.receive_some()
        await until(lambda: not forwarder.figures.active)
        assert forwarder.figures.accepted <= 3
        forwarder.offer([me, a])
        for _ in range(5):
            async with await trio.open_tcp_stream("127.0.0.1", me.port) as stream:
                await stream.send_all(b"x")
                assert await stream.receive_some() == b"x"
        (said_once,) = caplog.records
        assert "registered at this very port" in said_once.fields["detail"]  # type: ignore[attr-defined]
        nursery.cancel_scope.cancel()
