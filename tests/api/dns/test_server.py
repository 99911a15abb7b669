"""Sockets: datagrams, streams, their limits, and others that are asked."""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
import trio

from gossip.api.dns import recursion as asking
from gossip.api.dns import tcp as streaming
from gossip.api.dns.face import bind_or_move
from gossip.api.dns.server import _is_near
from gossip.api.dns.sockets import MAX_QUERY_BYTES
from gossip.errors import TransportError
from tests.api.dns.served import PATIENCE, Served, served
from tests.api.dns.world import Dns, query, shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from dns.message import Message

    from gossip.core.types import Address


def offer(here: Served, count: int = 1) -> None:
    for number in range(count):
        here.node.put(here.node.id, f"web{number}", "web", 80, host=f"10.1.0.{number}")


# -------------------------------------------------------------------------------------------- datagrams


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "::"])
async def test_datagrams_are_answered_from_where_they_were_sent_to(host: str) -> None:
    """A client that is connected to an address takes nothing from another."""
    async with served(host=host) as here:
        offer(here)
        reached = {"0.0.0.0": ["127.0.0.1", "127.0.0.2"], "::": ["::1"]}.get(host, [host])
        for each in reached:
            data = query("web.service.consul")
            answer = await here.datagram(data, host=each)
            assert answer is not None
            assert shown(dns.message.from_wire(answer)) == ["10.1.0.0"]
        assert here.turns >= len(reached), "gossip goes first"


async def test_oversized_and_senseless_datagrams_do_no_harm() -> None:
    async with served() as here:
        offer(here)
        refused = await here.ask(query("web.service.consul")[:12] + bytes(MAX_QUERY_BYTES))
        assert refused.rcode() == dns.rcode.FORMERR
        for data in (b"", b"x", b"\xff" * 500):
            assert await here.datagram(data, patience=0.01) is None
        assert shown(await here.ask(query("web.service.consul"))) == ["10.1.0.0"]
        assert here.face.dropped()["no_query"] == 3
        assert here.counted == []


async def test_a_fault_of_our_own_costs_one_query(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served() as here:
        offer(here)

        def fail(*_: object) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as broken:
            broken.setattr(here.face.server.responder._zone, "find", fail)
            assert await here.datagram(query("web.service.consul"), patience=0.05) is None
            stream = await here.connect()
            await stream.send(query("web.service.consul"))
            assert await stream.receive() is None
        assert here.counted == ["internal_error"] * 2
        assert shown(await here.ask(query("web.service.consul"))) == ["10.1.0.0"]


async def test_what_is_cut_over_udp_is_whole_over_tcp() -> None:
    async with served() as here:
        offer(here, 100)
        data = query("web.service.consul", "SRV")
        cut = await here.ask(data)
        assert cut.flags & dns.flags.TC
        stream = await here.connect()
        await stream.send(data)
        answer = await stream.receive()
        assert answer is not None
        assert len(shown(dns.message.from_wire(answer))) == 100
        codes = {(way, code): count for way, code, count in here.face.queries() if count}
        assert codes == {("udp", "NOERROR"): 1, ("tcp", "NOERROR"): 1}
        assert (here.face.cut(), here.face.hits()) == (1, 0)


# ---------------------------------------------------------------------------------------------- streams


async def test_many_queries_on_one_connection_in_whatever_pieces() -> None:
    async with served() as here:
        offer(here)
        stream = await here.connect()
        queries = [query("web.service.consul", id=number) for number in range(300)]
        await stream.send(*queries)
        for data in queries:
            answer = await stream.receive()
            assert answer is not None
            assert answer[:2] == data[:2]
        whole = struct.pack("!H", len(queries[0])) + queries[0]
        for byte in whole:
            await stream.stream.send_all(bytes((byte,)))
            await trio.lowlevel.checkpoint()
        assert await stream.receive() is not None
        assert here.face.server.tcp.connections == 1


async def test_what_is_no_query_ends_a_stream_after_what_was_good() -> None:
    async with served() as here:
        offer(here)
        for bad in (struct.pack("!H", MAX_QUERY_BYTES + 1), struct.pack("!H", 3) + b"abc"):
            stream = await here.connect()
            good = query("web.service.consul")
            await stream.stream.send_all(struct.pack("!H", len(good)) + good + bad)
            assert await stream.receive() is not None
            assert await stream.receive() is None


async def test_a_stream_has_so_much_time(autojump_clock: trio.testing.MockClock) -> None:
    """Idle between queries, slow within one."""
    async with served() as here:
        offer(here)
        idle, slow = await here.connect(), await here.connect()
        data = query("web.service.consul")
        await idle.send(data)
        assert await idle.receive() is not None
        began = trio.current_time()
        await slow.stream.send_all(b"\0")
        with trio.fail_after(10 * PATIENCE):
            assert await slow.stream.receive_some(1) == b""
            assert trio.current_time() - began == pytest.approx(streaming.QUERY_SECONDS, abs=1)
            assert await idle.stream.receive_some(1) == b""
            assert trio.current_time() - began == pytest.approx(streaming.IDLE_SECONDS, abs=1)


async def test_who_does_not_read_is_dropped(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with served() as here:
        offer(here, 100)
        stream = await here.connect()
        data = query("web.service.consul", "SRV")
        flood = (struct.pack("!H", len(data)) + data) * 100_000
        began = trio.current_time()
        with pytest.raises(trio.BrokenResourceError):
            await stream.stream.send_all(flood)
        assert trio.current_time() - began == pytest.approx(streaming.STALL_SECONDS, abs=1)
        assert here.face.server.tcp.connections == 0


async def test_when_all_places_are_taken_the_most_silent_makes_room() -> None:
    async with served() as here:
        offer(here)
        here.face.server.tcp._limit = 3
        streams = [await here.connect() for _ in range(3)]
        for stream in (streams[0], streams[2], streams[1]):
            await stream.send(query("web.service.consul"))
            assert await stream.receive() is not None
        await streams[0].send(query("web.service.consul"))
        assert await streams[0].receive() is not None
        newcomer = await here.connect()
        await newcomer.send(query("web.service.consul"))
        assert await newcomer.receive() is not None
        assert await streams[2].receive() is None
        for stream in streams[:2]:
            await stream.send(query("web.service.consul"))
            assert await stream.receive() is not None
        assert here.face.dropped()["displaced"] == 1
        assert here.face.server.tcp.connections == 3


async def test_a_flood_of_connections_displaces_itself() -> None:
    async with served() as here:
        offer(here)
        here.face.server.tcp._limit = 3
        streams = [await here.connect() for _ in range(2)]
        for stream in streams:
            await stream.send(query("web.service.consul"))
            assert await stream.receive() is not None
        for _ in range(20):
            idle = await here.connect()
        while here.face.server.tcp.displaced < 19:  # noqa: ASYNC110 - nothing is reported, so nothing tells
            await trio.sleep(0.001)
        for stream in (*streams, idle):
            await stream.send(query("web.service.consul"))
            assert await stream.receive() is not None


# ----------------------------------------------------------------------------------------------- binding


def test_a_taken_port_is_named_and_nothing_stays_bound() -> None:
    """At an address that nobody else on this machine takes numbers of."""
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.9.8.7", 0))
        address = taken.getsockname()
        place = f"127.9.8.7:{address[1]}"
        with pytest.raises(
            TransportError, match=rf"^{place} \(UDP\): in use by another program: give another --dns"
        ):
            bind_or_move(address, may_move=False)
        moved = bind_or_move(address, may_move=True)
        assert moved.address[1] != address[1]
        moved.close()
        moved.close()
    bind_or_move(address, may_move=False).close()


def test_a_port_that_needs_a_privilege_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict(socket.socket):
        def bind(self, _address: Any) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("gossip.api.dns.sockets.socket.socket", Strict)
    with pytest.raises(TransportError, match="ports below 1024 need a privilege"):
        bind_or_move(("127.0.0.1", 53), may_move=False)


# --------------------------------------------------------------------------------------------- recursion


class Upstream:
    """Another DNS server: what it answers is the test's."""

    def __init__(self, udp: trio.socket.SocketType, listener: trio.SocketListener) -> None:
        self._udp = udp
        self.listener = listener
        self.address: Address = udp.getsockname()
        self.asked: list[Message] = []
        self.reply: Callable[[Message], list[bytes]] = lambda message: [answering(message).to_wire()]

    async def datagrams(self) -> None:
        while True:
            data, source = await self._udp.recvfrom(4_096)
            message = dns.message.from_wire(data)
            self.asked.append(message)
            for answer in self.reply(message):
                await self._udp.sendto(answer, source)

    async def stream(self, stream: trio.SocketStream) -> None:
        async with stream:
            size = int.from_bytes(await stream.receive_some(2))
            message = dns.message.from_wire(await stream.receive_some(size))
            self.asked.append(message)
            for answer in self.reply(message):
                await stream.send_all(struct.pack("!H", len(answer)) + answer)


def answering(message: Message, *records: str) -> Message:
    answer = dns.message.make_response(message, recursion_available=True)
    question = message.question[0]
    for text in records or ("192.0.2.1",):
        answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", text))
    return answer


@asynccontextmanager
async def upstream() -> AsyncIterator[Upstream]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    address = listener.socket.getsockname()
    with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as udp:
        await udp.bind(address)
        server = Upstream(udp, listener)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.datagrams)
            nursery.start_soon(trio.serve_listeners, server.stream, [listener])
            yield server
            nursery.cancel_scope.cancel()


async def test_names_of_others_are_asked_of_others() -> None:
    async with upstream() as other, served(recursors=[other.address]) as here:
        data = query("wWw.example.com", id=77)
        message = await here.ask(data)
        assert message.id == 77
        assert shown(message) == ["192.0.2.1"]
        assert message.flags & dns.flags.RA
        assert message.question[0].name.to_text() == "wWw.example.com."
        stream = await here.connect()
        await stream.send(data, query("consul", "SOA"))
        for expected in ("192.0.2.1", "ns.consul."):
            answer = await stream.receive()
            assert answer is not None
            assert shown(dns.message.from_wire(answer))[0].startswith(expected)
        assert len(other.asked) == 2
        assert here.face.server.recursion.outcomes == {"answered": 2, "failed": 0, "refused": 0}
        assert (await here.ask(query("nope.service.consul"))).rcode() == dns.rcode.NXDOMAIN
        assert len(other.asked) == 2


async def test_the_addresses_behind_an_alias_are_given_along() -> None:
    async with upstream() as other, served(recursors=[other.address]) as here:

        def reply(message: Message) -> list[bytes]:
            answer = dns.message.make_response(message)
            name = message.question[0].name
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", "edge.example.net."))
            answer.answer.append(
                dns.rrset.from_text("edge.example.net.", 60, "IN", "A", "192.0.2.7", "192.0.2.8")
            )
            return [answer.to_wire()]

        other.reply = reply
        here.node.put(here.node.id, "ext", "ext", 443, host="www.example.com")
        for _ in range(2):
            message = await here.ask(query("ext.service.consul"))
            assert [
                (each.name.to_text(), sorted(rdata.to_text() for rdata in each)) for each in message.answer
            ] == [
                ("ext.service.consul.", ["www.example.com."]),
                ("www.example.com.", ["edge.example.net."]),
                ("edge.example.net.", ["192.0.2.7", "192.0.2.8"]),
            ]
        other.reply = lambda _: []
        with pytest.MonkeyPatch.context() as short:
            short.setattr(asking, "PATIENCE_SECONDS", 0.02)
            assert shown(await here.ask(query("ext.service.consul"))) == ["www.example.com."]


async def test_only_an_answer_to_what_was_asked_counts() -> None:
    async with upstream() as other, served(recursors=[other.address]) as here:

        def reply(message: Message) -> list[bytes]:
            good = answering(message, "192.0.2.9").to_wire()
            lie = answering(message, "192.0.2.66")
            elsewhere = dns.message.make_response(dns.message.make_query("other.example.com", "A"))
            elsewhere.id = message.id
            number = struct.pack("!H", message.id ^ 1)
            return [number + lie.to_wire()[2:], elsewhere.to_wire(), b"", message.to_wire(), good]

        other.reply = reply
        assert shown(await here.ask(query("www.example.com"))) == ["192.0.2.9"]


async def test_the_next_is_asked_when_one_is_silent_and_then_it_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.05)
    async with upstream() as silent, upstream() as other:
        silent.reply = lambda _: []
        async with served(recursors=[silent.address, other.address]) as here:
            assert shown(await here.ask(query("www.example.com"))) == ["192.0.2.1"]
        async with served(recursors=[silent.address]) as here:
            message = await here.ask(query("www.example.com", edns=1_232))
            assert (message.rcode(), message.edns) == (dns.rcode.SERVFAIL, 0)
            assert here.face.server.recursion.outcomes["failed"] == 1


async def test_so_many_at_a_time_and_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstream() as other, served(recursors=[other.address]) as here:
        monkeypatch.setattr(here.face.server.recursion, "_credit", 2.0)
        monkeypatch.setattr(asking, "RATE", 0.0)
        codes = [(await here.ask(query("www.example.com"))).rcode() for _ in range(3)]
        assert codes == [dns.rcode.NOERROR, dns.rcode.NOERROR, dns.rcode.SERVFAIL]
        monkeypatch.setattr(here.face.server.recursion, "_credit", 9.0)
        monkeypatch.setattr(asking, "MAX_UNDER_WAY", 0)
        assert (await here.ask(query("www.example.com"))).rcode() == dns.rcode.SERVFAIL
        assert here.face.server.recursion.outcomes["refused"] == 2


async def test_another_server_s_answer_is_cut_to_what_the_asker_takes() -> None:
    async with upstream() as other, served(recursors=[other.address]) as here:
        many = [f"192.0.2.{number}" for number in range(100)]
        other.reply = lambda message: [answering(message, *many).to_wire()]
        message = await here.ask(query("www.example.com"))
        assert message.flags & dns.flags.TC
        assert shown(message) == []
        assert len(shown(await here.ask(query("www.example.com", edns=4_096)))) == 100


@pytest.mark.parametrize(
    ("host", "near"),
    [("127.0.0.1", True), ("10.1.2.3", True), ("192.168.1.1", True), ("fe80::1%eth0", True),
     ("fd00::1", True), ("8.8.8.8", False), ("2606:4700::1", False)],
)  # fmt: skip
def test_strangers_are_not_asked_for(host: str, near: bool) -> None:
    assert _is_near(host) is near


async def test_a_stranger_s_question_about_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossip.api.dns.server._is_near", lambda _: False)
    async with upstream() as other, served(recursors=[other.address]) as here:
        here.node.put(here.node.id, "ext", "ext", 443, host="www.example.com")
        assert (await here.ask(query("www.example.com"))).rcode() == dns.rcode.REFUSED
        assert shown(await here.ask(query("ext.service.consul"))) == ["www.example.com."]
        assert other.asked == []


# ------------------------------------------------------------------------------ sources that ask too often


async def test_a_source_that_asks_too_often_is_flooded_by_nobody(
    monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr("gossip.api.dns.server._is_here", lambda _host: False)
    async with served(rate=5) as here:
        offer(here, 8)
        data = query("web.service.consul", edns=4_096)
        for _ in range(10):
            answer = await here.datagram(data)
            assert answer is not None
            assert len(shown(dns.message.from_wire(answer))) == 8
        server = here.face.server
        with trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
            await sock.connect(here.face.address)
            for _ in range(9):
                await sock.send(data)
            await sock.send(b"x" * (MAX_QUERY_BYTES + 1))
            for _ in range(3):
                with trio.fail_after(PATIENCE):
                    answer = await sock.recv(65_535)
                assert len(answer) <= len(data), "no more than was asked with"
                message = dns.message.from_wire(answer)
                assert message.flags & dns.flags.TC
                assert (message.id, message.question, message.answer) == (
                    dns.message.from_wire(data).id,
                    dns.message.from_wire(data).question,
                    [],
                )
            await trio.testing.wait_all_tasks_blocked(0.02)
            assert server.limited == {"dropped": 7, "truncated": 3, "delayed": 0}
        # Another is answered, and this one too where it is proven that it is there; later as before.
        assert await here.datagram(data, source="127.0.0.2") is not None
        stream = await here.connect()
        await stream.send(data)
        answer = await stream.receive()
        assert answer is not None
        assert len(shown(dns.message.from_wire(answer))) == 8
        mock_clock.jump(0.2)
        answer = await here.datagram(data)
        assert answer is not None
        assert len(shown(dns.message.from_wire(answer))) == 8


async def test_over_tcp_who_asks_too_often_waits_for_his_turn(
    monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    monkeypatch.setattr("gossip.api.dns.server._is_here", lambda _host: False)
    async with served(rate=1) as here:
        offer(here)
        stream = await here.connect()
        await stream.send(*[query("web.service.consul")] * 21)
        limited = here.face.limited()
        for _ in range(20):
            assert await stream.receive() is not None, "those before it do not wait with it"
        await trio.testing.wait_all_tasks_blocked()
        assert limited == {"dropped": 0, "truncated": 0, "delayed": 1}
        mock_clock.jump(0.11)
        assert await stream.receive() is not None
        # As if too many turns had been given up.
        rates = here.face.server._stream_rates
        assert rates is not None
        for _ in range(60):
            rates.use("127.0.0.1", trio.current_time())
        await stream.send(query("web.service.consul"))
        assert await stream.receive() is None
        assert limited["dropped"] == 1


async def test_this_host_is_asked_for_as_often_as_it_likes(mock_clock: trio.testing.MockClock) -> None:
    async with served(host="0.0.0.0", rate=1) as here:
        offer(here)
        for _ in range(10):
            assert await here.datagram(query("web.service.consul"), host="127.0.0.1") is not None
        assert not any(here.face.limited().values())


@pytest.mark.parametrize("edns", [None, 512, 4_096])
def test_what_is_said_instead_is_never_longer_than_the_question(edns: int | None) -> None:
    dns_ = Dns()
    for data in (query("web.service.consul", edns=edns), query(".", "ANY", edns=edns)):
        answer = dns_.responder.cut(data, dns_.afar)
        assert answer is not None
        assert len(answer) <= len(data)
        assert dns.message.from_wire(answer).flags & dns.flags.TC
    for bad in (b"", b"\xff" * 40, query("a.")[:14]):
        assert dns_.responder.cut(bad, dns_.afar) is None
