"""The server by the rules of HTTP and its own bounds, over real connections of loopback."""

from __future__ import annotations

import json as standard
import logging
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gossip.api.http import line, talk
from gossip.api.http.routes import Routes
from gossip.api.http.server import listen
from gossip.api.http.values import Request, Response, Send, Streamed, json
from gossip.errors import ConfigError, LimitError, NotFoundError, RefusedError, TransportError
from tests.api.http.served import PATIENCE, Client, serving, until

if TYPE_CHECKING:
    from tests.api.http.served import Answer


async def echo(asked: Request) -> Response:
    return json({"params": asked.params, "query": asked.query, "size": len(asked.body)})


async def count(_asked: Request) -> Streamed:
    async def produce(send: Send) -> None:
        for number in range(3):
            await send(b"%d\n" % number)
        await send(b"")
        await send(b"end")

    return Streamed(produce, content_type="text/plain")


def routes() -> Routes:
    table = Routes()
    table.add("GET", "/echo", echo)
    table.add("POST", "/echo", echo)
    table.add("GET", "/echo/{name}", echo)
    table.add("GET", "/count", count)
    return table


def error_of(answer: Answer) -> tuple[int, str]:
    value = standard.loads(answer.body)
    assert set(value) == {"error", "kind"}
    return answer.status, value["kind"]


# -- what HTTP asks


async def test_requests_follow_one_another_on_one_connection() -> None:
    async with serving(routes()) as here:
        client = await here.connect()
        first = await client.ask("GET", "/echo/a%2Fb?q=1&q=2&empty")
        assert standard.loads(first.body) == {
            "params": {"name": "a/b"},
            "query": {"q": ["1", "2"], "empty": [""]},
            "size": 0,
        }
        assert first.headers["content-type"] == "application/json"
        assert standard.loads((await client.ask("POST", "/echo", b"x" * 70_000)).body)["size"] == 70_000
        assert here.server.requests == {("/echo/{name}", 200): 1, ("/echo", 200): 1}
        assert len(here.before) >= 2, "gossip goes before each request"


async def test_requests_that_come_together_are_answered_in_order() -> None:
    async with serving(routes()) as here:
        client = await here.connect()
        one = b"GET /echo/%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = b"GET /count HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        await client.send(one % 1 + one % 2 + one % 3 + last)
        found = await client.rest()
        places = [found.index(b'"name":"%d"' % number) for number in (1, 2, 3)]
        assert places == sorted(places)
        assert found.endswith(b"0\r\n\r\n")


async def test_head_has_the_header_of_get_and_no_body() -> None:
    async with serving(routes()) as here:
        client = await here.connect()
        await client.send(b"HEAD /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
        head = await client.read()
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert head.endswith(b"\r\n\r\n")
        assert b"content-length: 34\r\n" in head.lower()
        await client.send(b"HEAD /count HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await client.rest()).endswith(b"\r\n\r\n")


async def test_a_streamed_body_is_chunked_and_for_http_1_0_ends_with_the_connection() -> None:
    async with serving(routes()) as here:
        client = await here.connect()
        answer = await client.ask("GET", "/count")
        assert answer.body == b"0\n1\n2\nend"
        assert answer.headers["transfer-encoding"] == "chunked"
        old = await here.connect()
        await old.send(b"GET /count HTTP/1.0\r\n\r\n")
        assert (await old.rest()).endswith(b"\r\n\r\n0\n1\n2\nend")


async def test_a_body_is_waited_for_only_once_it_is_wanted() -> None:
    async with serving(routes()) as here:
        client = await here.connect()
        head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        await client.send(head % b"/echo")
        assert await client.read() == b"HTTP/1.1 100 \r\n\r\n"
        await client.send(b"ab")
        assert b'"size":2' in await client.read()
        await client.send(head % b"/nowhere")
        assert (await client.rest()).startswith(b"HTTP/1.1 404 Not Found\r\n")


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        ("GET", "/nothing", (404, "not_found")),
        ("GET", "/echo/a/b", (404, "not_found")),
        ("DELETE", "/echo", (405, "method_not_allowed")),
        ("GET", "*", (400, "bad_request")),
        ("GET", "/echo?a=%ff", (400, "bad_request")),
        ("GET", "/echo?" + "&".join(["a=1"] * 65), (400, "bad_request")),
    ],
)
async def test_what_no_route_takes_is_told_in_json(
    method: str, target: str, expected: tuple[int, str]
) -> None:
    async with serving(routes()) as here:
        client = await here.connect()
        answer = await client.ask(method, target)
        assert error_of(answer) == expected
        if expected[0] == 405:
            assert answer.headers["allow"] == "GET, HEAD, POST"
        assert (await client.ask("GET", "/echo")).status == 200, "the connection goes on"


async def test_no_http_at_all_is_told_so() -> None:
    async with serving(routes()) as here:
        client = await here.connect()
        await client.send(b"\x16\x03\x01\x02\x00\x01 hello\r\n\r\n")
        assert (await client.rest()).startswith(b"HTTP/1.1 400 ")
        assert here.server.requests == {("other", 400): 1}
        assert here.faults == []


# -- bounds


async def test_a_long_header_and_a_long_body_are_refused() -> None:
    async with serving(routes()) as here:
        client = await here.connect()
        await client.send(b"GET /echo HTTP/1.1\r\nX: " + b"x" * 40_000)
        assert (await client.rest()).startswith(b"HTTP/1.1 431 ")
        told = await here.connect()
        await told.send(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n")
        assert (await told.rest()).startswith(b"HTTP/1.1 413 ")
        untold = await here.connect()
        await untold.send(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        await untold.send(b"%x\r\n" % 1_100_000 + b"x" * 1_100_000)
        assert (await untold.rest()).startswith(b"HTTP/1.1 413 ")


async def test_over_the_cap_a_client_is_told_why() -> None:
    async with serving(routes(), limit=1) as here:
        first = await here.connect()
        assert (await first.ask("GET", "/echo")).status == 200
        second = await here.connect()
        await second.send(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
        found = await second.rest()
        assert found.startswith(b"HTTP/1.1 503 ")
        assert b"1 connections are open already" in found
        await first.stream.aclose()
        await until(lambda: not here.server.connections)
        assert (await (await here.connect()).ask("GET", "/echo")).status == 200


async def test_those_who_come_together_are_taken_in_a_few_turns_of_the_loop() -> None:
    """In one turn each who is served has an answer: a newcomer would wait for all of them."""
    async with serving(routes()) as here:
        # At once: no turn of the loop passes meanwhile.
        socks = [socket.create_connection(here.server.address) for _ in range(200)]
        try:
            turns = 0
            while here.server.connections < len(socks):
                await trio.lowlevel.checkpoint()
                turns += 1
                assert turns < 100
        finally:
            for sock in socks:
                sock.close()


async def advance(clock: MockClock, seconds: float) -> None:
    """Lets so much time pass once everybody waits."""
    await wait_all_tasks_blocked(0.01)
    clock.jump(seconds)
    await wait_all_tasks_blocked(0.01)


async def raw(client: Client) -> bytes:
    """All until the end, without a deadline: the clock is the test's."""
    found = b""
    while data := await client.stream.receive_some(65_536):
        found += data
    return found


async def test_a_client_that_is_slow_is_ended_at_each_stage(mock_clock: MockClock) -> None:
    async with serving(routes()) as here:
        mute, slow, half, idle = [await here.connect() for _ in range(4)]
        await slow.stream.send_all(b"GET /echo HT")
        await half.stream.send_all(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc")
        await idle.stream.send_all(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await idle.stream.receive_some(999)).startswith(b"HTTP/1.1 200 ")
        await advance(mock_clock, talk.HEADER_SECONDS - 1)
        await slow.stream.send_all(b"TP/1.1\r\n")
        await advance(mock_clock, 1.5)
        assert await raw(mute) == b""
        assert (await raw(slow)).startswith(b"HTTP/1.1 408 "), "a byte now and then buys nothing"
        assert here.server.connections == 2
        await advance(mock_clock, talk.BODY_SECONDS)
        assert (await raw(half)).startswith(b"HTTP/1.1 408 ")
        await advance(mock_clock, talk.IDLE_SECONDS)
        assert await raw(idle) == b""
        assert here.server.connections == 0


async def test_a_client_that_does_not_read_is_ended(mock_clock: MockClock) -> None:
    async def flood(_asked: Request) -> Streamed:
        async def produce(send: Send) -> None:
            while True:
                await send(b"x" * 65_536)

        return Streamed(produce)

    table = routes()
    table.add("GET", "/flood", flood)
    async with serving(table) as here:
        client = await here.connect()
        await client.stream.send_all(b"GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await advance(mock_clock, line.STALL_SECONDS / 2)
        assert here.server.connections == 1
        await advance(mock_clock, line.STALL_SECONDS)
        assert here.server.connections == 0


async def test_the_time_for_a_body_is_counted_once(mock_clock: MockClock) -> None:
    """A byte now and then buys nothing there either."""
    async with serving(routes()) as here:
        sized, chunked = await here.connect(), await here.connect()
        await sized.stream.send_all(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\na")
        await chunked.stream.send_all(
            b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(3):
            await advance(mock_clock, talk.BODY_SECONDS / 3 - 1)
            await sized.stream.send_all(b"a")
            await chunked.stream.send_all(b"1\r\na\r\n")
        assert here.server.connections == 2
        await advance(mock_clock, 5)
        assert here.server.connections == 0
        assert (await raw(sized)).startswith(b"HTTP/1.1 408 ")
        assert (await raw(chunked)).startswith(b"HTTP/1.1 408 ")


async def test_gossip_goes_first_within_a_body_of_many_small_parts() -> None:
    async with serving(routes()) as here:
        client = await here.connect()
        await client.send(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.send(b"1\r\nx\r\n" * 1_000 + b"0\r\n\r\n")
        assert b'"size":1000' in await client.read()
        assert len(here.before) > 1_000


async def test_of_a_long_header_not_much_is_read_at_once() -> None:
    """Each line of it costs microseconds of the thread that gossips, and it is read in one go."""
    async with serving(routes()) as here:
        client = await here.connect()
        await client.send(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n" + b"a:\r\n" * 10_000 + b"\r\n")
        assert (await client.rest()).startswith(b"HTTP/1.1 431 ")
        posted = await here.connect()
        await posted.send(
            b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx"
            b"GET /echo HTTP/1.1\r\nHost: localhost\r\n" + b"a:\r\n" * 10_000 + b"\r\n"
        )
        found = await posted.rest()
        assert found.startswith(b"HTTP/1.1 200 ")
        assert b"HTTP/1.1 431 " in found


async def test_a_request_with_two_lengths_is_the_last_of_its_connection() -> None:
    """Whoever stands in between may have read the other one: what follows could be somebody else's."""
    async with serving(routes()) as here:
        client = await here.connect()
        await client.send(
            b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /echo/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        found = await client.rest()
        assert found.startswith(b"HTTP/1.1 400 ")
        assert b"hidden" not in found
        assert found.count(b"HTTP/1.1 ") == 1


# -- handlers


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (NotFoundError("no such"), (404, "not_found")),
        (RefusedError("not now"), (409, "refused")),
        (LimitError("too long"), (400, "limit")),
        (ConfigError("wrong"), (503, "config")),
        (OSError("disk"), (500, "internal_error")),
        (KeyError("a fault of ours"), (500, "internal_error")),
    ],
)
@pytest.mark.parametrize("waits", [False, True])
async def test_what_a_handler_raises_becomes_an_answer(
    fault: Exception, expected: tuple[int, str], waits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_asked: Request) -> Response:
        raise fault

    table = routes()
    table.add("GET", "/fail", fail, waits=waits)
    async with serving(table) as here:
        client = await here.connect()
        with caplog.at_level(logging.ERROR, "gossip.api"):
            assert error_of(await client.ask("GET", "/fail")) == expected
        is_ours = expected[0] == 500
        assert here.faults == ["internal_error"] * is_ours
        assert [record.message for record in caplog.records] == ["http_failed"] * is_ours
        assert (await client.ask("GET", "/echo")).status == 200


async def test_a_stream_that_fails_is_cut_and_not_ended(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(_asked: Request) -> Streamed:
        async def produce(send: Send) -> None:
            await send(b"begun")
            raise KeyError

        return Streamed(produce)

    table = routes()
    table.add("GET", "/fail", fail)
    async with serving(table) as here:
        client = await here.connect()
        await client.send(b"GET /fail HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await client.rest()).endswith(b"\r\n5\r\nbegun\r\n"), "no last chunk: the client can tell"
        assert here.faults == ["internal_error"]


async def test_a_client_that_breaks_off_is_no_fault_of_ours() -> None:
    async def flood(_asked: Request) -> Streamed:
        async def produce(send: Send) -> None:
            while True:
                await send(b"x" * 65_536)
                await trio.lowlevel.checkpoint()

        return Streamed(produce)

    table = routes()
    table.add("GET", "/flood", flood)
    async with serving(table) as here:
        client = await here.connect()
        # More than is read while the answer is made, so that only sending can tell that it is gone.
        await client.send(b"GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"x" * 60_000)
        await client.read()
        client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await client.stream.aclose()
        await until(lambda: not here.server.connections)
        assert here.faults == []


async def test_a_handler_that_waits_ends_when_its_client_goes() -> None:
    ended = trio.Event()

    async def wait(_asked: Request) -> Response:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    table = routes()
    table.add("GET", "/wait", wait, waits=True)
    async with serving(table) as here:
        client = await here.connect()
        await client.send(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await wait_all_tasks_blocked(0.01)
        await client.stream.aclose()
        with trio.fail_after(PATIENCE):
            await ended.wait()


async def test_a_request_that_comes_while_one_waits_is_kept() -> None:
    go = trio.Event()

    async def wait(_asked: Request) -> Response:
        await go.wait()
        return json("waited")

    table = routes()
    table.add("GET", "/wait", wait, waits=True)
    async with serving(table) as here:
        client = await here.connect()
        await client.send(b"GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await wait_all_tasks_blocked(0.01)
        await client.send(b"GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        await wait_all_tasks_blocked(0.01)
        go.set()
        found = await client.rest()
        assert 0 < found.index(b'"waited"') < found.index(b'"params"')


# -- ending


async def test_a_drain_answers_what_is_under_way_and_nothing_new() -> None:
    go = trio.Event()

    async def slow(_asked: Request) -> Response:
        await go.wait()
        return json("done")

    async def forever(_asked: Request) -> Streamed:
        async def produce(send: Send) -> None:
            await send(b"begun")
            await trio.sleep_forever()

        return Streamed(produce)

    table = routes()
    table.add("GET", "/slow", slow)
    table.add("GET", "/forever", forever)
    async with serving(table) as here, trio.open_nursery() as nursery:
        busy, idle, following = [await here.connect() for _ in range(3)]
        await busy.send(busy.encode("GET", "/slow"))
        await following.send(following.encode("GET", "/forever"))
        assert (await idle.ask("GET", "/echo")).status == 200
        await wait_all_tasks_blocked(0.01)
        nursery.start_soon(here.server.drain)
        assert await idle.rest() == b""
        assert (await following.answer()).body == b"begun", "ended in good order"
        go.set()
        answer = await busy.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_a_stream_that_begins_during_a_drain_ends_at_once() -> None:
    async def forever(_asked: Request) -> Streamed:
        async def produce(send: Send) -> None:
            await send(b"begun")
            await trio.sleep_forever()

        return Streamed(produce)

    table = routes()
    table.add("GET", "/forever", forever)
    async with serving(table) as here, trio.open_nursery() as nursery:
        late = await here.connect()
        await late.send(b"GET /forever HTTP/1.1\r\n")
        await wait_all_tasks_blocked(0.01)
        nursery.start_soon(here.server.drain)
        await wait_all_tasks_blocked(0.01)
        await late.send(b"Host: localhost\r\n\r\n")
        assert (await late.rest()).endswith(b"0\r\n\r\n")
        with trio.fail_after(PATIENCE):
            await here.server.drain()


async def test_a_drain_does_not_end_a_part_that_the_client_has_not_read() -> None:
    """The end of a body in the middle of a part would be taken for its text."""

    async def large(_asked: Request) -> Streamed:
        async def produce(send: Send) -> None:
            await send(b"x" * 50_000_000)

        return Streamed(produce)

    table = routes()
    table.add("GET", "/large", large)
    async with serving(table) as here, trio.open_nursery() as nursery:
        client = await here.connect()
        await client.send(b"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await wait_all_tasks_blocked(0.01)
        nursery.start_soon(here.server.drain)
        await wait_all_tasks_blocked(0.01)
        found = await client.rest()
        assert found.endswith(b"xx"), "cut, so that the client can tell"
        assert here.faults == []


# -- where it listens, and as whom


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8500", 200),
        ("127.0.0.1:8500", 200),
        ("[::1]:8500", 200),
        ("192.0.2.1", 200),
        ("agent.example", 200),
        ("evil.example", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example:80", 403),
        ("", 403),
    ],
)
async def test_a_host_that_is_not_this_agent_is_refused_on_loopback(host: str, status: int) -> None:
    async with serving(routes(), host="agent.example") as here:
        client = await here.connect()
        assert (await client.ask("GET", "/echo", host=host)).status == status


async def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    with listen(("127.0.0.1", 0)) as taken:
        address: Any = taken.getsockname()
        with pytest.raises(TransportError, match=rf"127.0.0.1:{address[1]}: in use .* another --http"):
            listen(address)
    with pytest.raises(TransportError, match=r"192\.0\.2\.1:1: .*: give another --http"):
        listen(("192.0.2.1", 1))
