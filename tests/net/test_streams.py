"""Streams on real sockets of loopback: frames, deadlines, limits, and every way to end."""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gossip.core.effects import Close, Dial, Write
from gossip.core.messages import Busy, Page, Turned
from gossip.core.params import Params
from gossip.net import stream as stream_module
from gossip.net import streams as streams_module
from gossip.net.streams import Streams
from gossip.wire import codec
from gossip.wire.frames import FRAME_MAX, FrameReader
from tests.net.recorder import PATIENCE, closed_port, new_sealer, read_frames, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from gossip.core.messages import Frame
    from gossip.core.types import Address, StreamId
    from gossip.wire.seal import StreamSealer
    from tests.net.recorder import Agent

HOSTS = ["127.0.0.1", "::1"]
BRISK = Params(stream_timeout=0.2)
"""For tests that wait for a stream to be cut."""


def turned(number: int) -> Turned:
    return Turned(reason=str(number))


def accept_all(agent: Agent) -> None:
    numbers = iter(range(1_000, 2_000))
    agent.node.accept = lambda _source: next(numbers)


@contextlib.asynccontextmanager
async def connected(
    agent: Agent,
) -> AsyncIterator[tuple[trio.SocketStream, StreamSealer, FrameReader]]:
    """A connection to the agent, by hand."""
    stream = await trio.open_tcp_stream(*agent.address)
    sealer = new_sealer().stream()
    async with stream:
        yield stream, sealer, FrameReader(sealer)


@contextlib.contextmanager
def listening(backlog: int = 8, host: str = "127.0.0.1") -> Any:
    """A listener that accepts nothing by itself, and its address."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.bind((host, 0))
        listener.listen(backlog)
        listener.setblocking(False)
        yield listener, listener.getsockname()[:2]


async def accept(listener: socket.socket) -> trio.SocketStream:
    with trio.fail_after(PATIENCE):
        await trio.lowlevel.wait_readable(listener)
    sock, _ = listener.accept()
    return trio.SocketStream(trio.socket.from_stdlib_socket(sock))


def reset(stream: trio.SocketStream) -> None:
    """Close with a TCP reset, as the system does for a process that is gone."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def ended(stream: trio.SocketStream) -> None:
    """Until the other side has ended the stream without a reset, whatever it sends before."""
    with trio.fail_after(PATIENCE):
        while await stream.receive_some(65_536):
            pass


# -- frames


@pytest.mark.parametrize("host", HOSTS)
async def test_frames_go_both_ways_between_two_agents(host: str) -> None:
    async with running(host) as one, running(host) as other:
        accept_all(other)

        def echo(name: str, arguments: tuple[Any, ...]) -> None:
            if name == "stream_received":
                other.node.wanted.append(Write(*arguments))

        other.node.react = echo
        one.want(Dial(1, other.address, 1.0))
        assert await one.node.saw("stream_opened") == [(1,)]
        for number in range(10):
            one.want(Write(1, turned(number)))
        assert await one.node.saw("stream_received", times=10) == [(1, turned(n)) for n in range(10)]
        one.want(Close(1))
        assert await other.node.saw("stream_closed") == [(1_000, "eof")]
        assert one.node.of("stream_closed") == []
        assert one.node.counters == other.node.counters == {}


async def test_frames_written_before_the_stream_opens_are_sent_once_it_has() -> None:
    async with running() as one, running() as other:
        accept_all(other)
        one.want(Dial(1, other.address, 1.0), Write(1, turned(1)), Write(1, turned(2)))
        assert one.node.of("stream_opened") == []
        received = await other.node.saw("stream_received", times=2)
        assert received == [(1_000, turned(1)), (1_000, turned(2))]


async def test_close_sends_what_is_written_first() -> None:
    page = Page(news=(bytes(1_000),) * 900, wants=b"", last=True)
    async with running() as one, running() as other:
        accept_all(other)
        # A caller's first frame has to be a small one.
        one.want(Dial(1, other.address, 1.0), Write(1, turned(0)), *[Write(1, page)] * 10, Close(1))
        received = await other.node.saw("stream_received", times=11)
        assert [frame for _, frame in received] == [turned(0)] + [page] * 10
        assert await other.node.saw("stream_closed") == [(1_000, "eof")]
        assert one.node.of("stream_opened") == one.node.of("stream_closed") == []


async def test_who_settles_waits_until_what_it_wrote_last_has_been_read() -> None:
    """Who leaves over streams must not end before the others have heard it."""
    async with running() as agent, trio.open_nursery() as nursery:
        with listening() as (listener, address):
            agent.want(Dial(1, address, PATIENCE), Write(1, turned(1)))
            async with await accept(listener) as stream:
                with trio.fail_after(PATIENCE):
                    await agent.driver.settle()  # nobody waits for one that goes on
                agent.want(Close(1))
                settled = trio.Event()

                async def settle() -> None:
                    await agent.driver.settle()
                    settled.set()

                nursery.start_soon(settle)
                await wait_all_tasks_blocked()
                assert not settled.is_set()
                await ended(stream)
            with trio.fail_after(PATIENCE):
                await settled.wait()


async def test_an_accepted_stream_can_be_written_to_at_once_and_closed() -> None:
    async with running() as agent:
        accept_all(agent)

        def greet(name: str, arguments: tuple[Any, ...]) -> None:
            if name == "stream_accepted":
                number = arguments[1]
                agent.node.wanted += [Write(number, Busy(delay_ms=5, others=())), Close(number)]

        agent.node.react = greet
        async with connected(agent) as (stream, sealer, reader):
            await stream.send_all(sealer.seal(codec.encode(turned(1))))
            assert await read_frames(stream, reader) == [Busy(delay_ms=5, others=())]
        assert agent.node.of("stream_closed") == agent.node.of("stream_received") == []


async def test_others_have_their_turn_between_frames_that_came_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As many small frames as fit in one read may each cost a while: nobody waits for all of them."""
    async with running() as agent:
        accept_all(agent)
        now = 0.0
        monkeypatch.setattr(stream_module, "perf_counter", lambda: now)
        handled = 0

        def react(name: str, _arguments: tuple[Any, ...]) -> None:
            nonlocal now, handled
            if name == "stream_received":
                now += stream_module.BURST_SECONDS / 4
                handled += 1

        agent.node.react = react
        async with connected(agent) as (stream, sealer, _), trio.open_nursery() as nursery:
            seen: list[int] = []

            async def other() -> None:
                while handled < 100:
                    await trio.lowlevel.checkpoint()
                    seen.append(handled)

            nursery.start_soon(other)
            await stream.send_all(b"".join(sealer.seal(codec.encode(turned(n))) for n in range(100)))
            received = await agent.node.saw("stream_received", times=100)
            assert [frame for _, frame in received] == [turned(n) for n in range(100)]
        turns = sorted({0, *seen, 100})
        # Five frames a turn; in which order tasks have theirs, trio draws.
        assert max(after - before for before, after in itertools.pairwise(turns)) <= 10


async def test_what_comes_behind_a_frame_that_ended_the_stream_is_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor is it if the stream was ended while others had their turn."""
    async with running() as agent:
        accept_all(agent)
        monkeypatch.setattr(stream_module, "BURST_SECONDS", -1.0)
        async with connected(agent) as (stream, sealer, _), trio.open_nursery() as nursery:

            async def close() -> None:
                await agent.node.saw("stream_received")
                agent.want(Close(1_000))

            nursery.start_soon(close)
            await stream.send_all(b"".join(sealer.seal(codec.encode(turned(n))) for n in range(100)))
            await ended(stream)
        assert 0 < len(agent.node.of("stream_received")) < 10


async def test_a_frame_of_a_later_version_is_counted_and_the_stream_goes_on() -> None:
    async with running() as agent:
        accept_all(agent)
        async with connected(agent) as (stream, sealer, _):
            frames = [codec.encode(turned(1)), b"\x92\x63\x01", codec.encode(turned(2))]
            for body in frames:
                await stream.send_all(sealer.seal(body))
            received = await agent.node.saw("stream_received", times=2)
            assert [frame for _, frame in received] == [turned(1), turned(2)]
            assert agent.node.counters == {"unknown_kind": 1}
            assert agent.node.of("stream_closed") == []


async def test_frames_are_read_byte_by_byte_and_many_at_once() -> None:
    async with running() as agent:
        accept_all(agent)
        async with connected(agent) as (stream, sealer, _):
            for byte in sealer.seal(codec.encode(turned(0))):
                await stream.send_all(bytes([byte]))
            await stream.send_all(b"".join(sealer.seal(codec.encode(turned(n))) for n in range(1, 50)))
            received = await agent.node.saw("stream_received", times=50)
            assert [frame for _, frame in received] == [turned(n) for n in range(50)]


# -- dialling


@pytest.mark.parametrize("host", HOSTS)
async def test_nobody_listens_is_refused(host: str) -> None:
    async with running(host) as agent:
        with closed_port(host) as nobody:
            agent.want(Dial(1, nobody, 1.0))
            assert await agent.node.saw("stream_closed") == [(1, "refused")]
        assert agent.node.of("stream_opened") == []


async def test_a_peer_that_does_not_answer_is_a_timeout() -> None:
    with listening(backlog=0) as (_, address), contextlib.ExitStack() as fillers:
        for _ in range(3):  # the places in its queue; who comes later gets no answer
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        async with running() as agent:
            agent.want(Dial(1, address, 0.1))
            assert await agent.node.saw("stream_closed") == [(1, "timeout")]
            assert agent.node.of("stream_opened") == []


@pytest.mark.parametrize("host", ["example.org", "0.0.0.0", "::ffff:127.0.0.1", ""])
async def test_what_is_no_address_of_one_host_is_unreachable(host: str) -> None:
    async with running() as agent:
        agent.want(Dial(1, (host, 7946), 1.0))
        assert await agent.node.saw("stream_closed") == [(1, "unreachable")]


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENETUNREACH, "unreachable"), (errno.EHOSTUNREACH, "timeout")]
)
async def test_a_network_without_a_route_is_unreachable_and_a_host_that_is_down_is_silent(
    monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    async def fail(_sock: object, _address: object) -> None:
        raise OSError(number, "unreachable")

    async with running() as agent:
        monkeypatch.setattr("trio._socket._SocketType.connect", fail)
        agent.want(Dial(1, ("192.0.2.1", 7946), 1.0))
        assert await agent.node.saw("stream_closed") == [(1, reason)]


async def test_a_dial_that_is_closed_before_it_connects_is_not_reported() -> None:
    with listening() as (_, address):
        async with running() as agent:
            agent.want(Dial(1, address, 1.0), Close(1))
            agent.want(Dial(2, address, 1.0))
            assert await agent.node.saw("stream_opened") == [(2,)]
            await wait_all_tasks_blocked()
            assert agent.node.of("stream_closed") == []
            assert len(agent.driver._streams) == 1


async def test_too_many_dials_are_not_made() -> None:
    with listening() as (_, address):
        async with running(params=Params(streams=2)) as agent:
            agent.want(*[Dial(number, address, 1.0) for number in range(5)])
            assert agent.node.of("stream_closed") == [(4, "unreachable")]
            assert agent.node.counters == {"stream_limit": 1}


# -- how streams end


async def test_a_reset_before_any_byte_is_refused() -> None:
    with listening() as (listener, address):
        async with running() as agent:
            agent.want(Dial(1, address, 1.0), Write(1, turned(1)))
            reset(await accept(listener))
            assert await agent.node.saw("stream_closed") == [(1, "refused")]


async def test_a_reset_after_the_first_byte_is_only_a_reset() -> None:
    with listening() as (listener, address):
        async with running() as agent:
            agent.want(Dial(1, address, 1.0))
            stream = await accept(listener)
            await stream.send_all(new_sealer().stream().seal(codec.encode(turned(1))))
            await agent.node.saw("stream_received")
            reset(stream)
            assert await agent.node.saw("stream_closed") == [(1, "reset")]


async def test_a_reset_by_who_dialled_is_never_a_refusal() -> None:
    async with running() as agent:
        accept_all(agent)
        async with connected(agent) as (stream, _, _):
            await agent.node.saw("stream_accepted")
            reset(stream)
            assert await agent.node.saw("stream_closed") == [(1_000, "reset")]


async def test_an_end_before_any_byte_is_no_refusal_either() -> None:
    with listening() as (listener, address):
        async with running() as agent:
            agent.want(Dial(1, address, 1.0))
            await (await accept(listener)).aclose()
            assert await agent.node.saw("stream_closed") == [(1, "eof")]


async def test_a_stream_that_ends_inside_a_frame_is_an_error() -> None:
    async with running() as agent:
        accept_all(agent)
        async with connected(agent) as (stream, sealer, _):
            await stream.send_all(sealer.seal(codec.encode(turned(1))))
            await stream.send_all(sealer.seal(codec.encode(turned(2)))[:-1])
            await stream.send_eof()
            assert await agent.node.saw("stream_closed") == [(1_000, "reset")]
            assert agent.node.counters == {"truncated": 1}
            assert agent.node.of("stream_received") == [(1_000, turned(1))]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda _s: (FRAME_MAX + 1).to_bytes(4, "big"), "oversized", id="oversized"),
        pytest.param(lambda _s: b"\xff" * 4, "oversized", id="largest length"),
        pytest.param(lambda _s: bytes(4), "malformed", id="length 0"),
        pytest.param(lambda _s: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "oversized", id="another protocol"),
        pytest.param(lambda s: s.seal(b"\xc1"), "malformed", id="no message"),
        pytest.param(lambda s: s.seal(codec.encode(turned(1)))[:-1] + b"!", None, id="damaged"),
        pytest.param(lambda _s: new_sealer("other").stream().seal(b"\x90"), "cluster", id="other cluster"),
    ],
)
async def test_a_bad_frame_is_counted_and_ends_the_stream(
    make: Callable[[StreamSealer], bytes], reason: str | None
) -> None:
    async with running() as agent:
        accept_all(agent)
        async with connected(agent) as (stream, sealer, _):
            await stream.send_all(make(sealer) + bytes(100))
            assert await agent.node.saw("stream_closed") == [(1_000, "malformed")]
            assert sum(agent.node.counters.values()) == 1
            assert reason is None or agent.node.counters[reason] == 1
            await ended(stream)  # politely: what is unread does not come back as a reset
        async with connected(agent) as (stream, sealer, _):
            await stream.send_all(sealer.seal(codec.encode(turned(2))))
            assert await agent.node.saw("stream_received") == [(1_001, turned(2))]


async def test_a_fault_of_our_own_ends_one_stream_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as agent:
        accept_all(agent)

        def fail(name: str, arguments: tuple[Any, ...]) -> None:
            if name == "stream_received" and arguments[1] == turned(1):
                raise ZeroDivisionError

        agent.node.react = fail
        async with connected(agent) as (bad, bad_sealer, _), connected(agent) as (good, good_sealer, _):
            await bad.send_all(bad_sealer.seal(codec.encode(turned(1))))
            ((_, reason),) = await agent.node.saw("stream_closed")
            assert reason == "reset"
            await good.send_all(good_sealer.seal(codec.encode(turned(2))))
            await agent.node.saw("stream_received", times=2)
        assert agent.node.counters == {"internal_error": 1}
        assert "a stream failed" in caplog.text


async def test_an_input_that_fails_while_accepting_ends_that_connection_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running() as agent:

        def fail(_source: Address) -> StreamId | None:
            agent.node.accept = lambda _source: 7
            raise ZeroDivisionError

        agent.node.accept = fail
        async with connected(agent) as (first, _, _):
            await ended(first)
        async with connected(agent):
            assert len(await agent.node.saw("stream_accepted")) == 1
        assert agent.node.counters == {"internal_error": 1}
        assert "could not be served" in caplog.text


# -- deadlines


async def test_who_connects_and_says_nothing_is_cut() -> None:
    async with running(params=BRISK) as agent:
        accept_all(agent)
        async with connected(agent) as (stream, _, _):
            assert await agent.node.saw("stream_closed") == [(1_000, "timeout")]
            await ended(stream)


async def test_who_sends_a_byte_now_and_then_is_cut() -> None:
    async with running(params=BRISK) as agent:
        accept_all(agent)
        frame = new_sealer().stream().seal(codec.encode(turned(1)))
        async with connected(agent) as (stream, _, _), trio.open_nursery() as nursery:

            async def trickle() -> None:
                with contextlib.suppress(trio.BrokenResourceError):
                    for byte in frame[:-1]:
                        await stream.send_all(bytes([byte]))
                        await trio.sleep(BRISK.stream_timeout / 4)

            nursery.start_soon(trickle)
            assert await agent.node.saw("stream_closed") == [(1_000, "timeout")]
            nursery.cancel_scope.cancel()
        assert agent.node.of("stream_received") == []


async def test_who_does_not_read_is_cut() -> None:
    page = Page(news=(bytes(1_000),) * 900, wants=b"", last=False)
    with listening() as (listener, address):
        async with running(params=BRISK) as agent:
            agent.want(Dial(1, address, 1.0), *[Write(1, page)] * 12)
            stream = await accept(listener)
            assert await agent.node.saw("stream_closed") == [(1, "timeout")]
            await stream.aclose()


async def test_frames_keep_a_stream_alive_but_not_for_ever() -> None:
    async with running(params=BRISK) as agent:
        accept_all(agent)
        started = trio.current_time()
        async with connected(agent) as (stream, sealer, _), trio.open_nursery() as nursery:

            async def go_on() -> None:
                with contextlib.suppress(trio.BrokenResourceError):
                    while True:
                        await stream.send_all(sealer.seal(codec.encode(turned(1))))
                        await trio.sleep(BRISK.stream_timeout / 4)

            nursery.start_soon(go_on)
            assert await agent.node.saw("stream_closed") == [(1_000, "timeout")]
            nursery.cancel_scope.cancel()
        lived = trio.current_time() - started
        assert lived >= stream_module.LIFE_FACTOR * BRISK.stream_timeout
        assert len(agent.node.of("stream_received")) >= 6


async def test_a_peer_that_never_ends_its_side_does_not_hold_a_closed_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream_module, "LINGER_SECONDS", 0.1)
    with listening() as (listener, address):
        async with running() as agent:
            agent.want(Dial(1, address, 1.0))
            stream = await accept(listener)
            agent.want(Close(1))
            await ended(stream)
            with trio.fail_after(PATIENCE):
                while len(agent.driver._streams):  # noqa: ASYNC110 - nothing is reported, so nothing tells
                    await trio.sleep(0.01)
            assert agent.node.of("stream_closed") == []
            await stream.aclose()


async def test_what_comes_after_close_is_read_away_and_not_answered_by_a_reset() -> None:
    with listening() as (listener, address):
        async with running() as agent:
            agent.want(Dial(1, address, 1.0), Write(1, turned(1)))
            stream = await accept(listener)
            sealer = new_sealer().stream()
            await agent.node.saw("stream_opened")
            agent.want(Close(1))
            for number in range(100):
                await stream.send_all(sealer.seal(codec.encode(turned(number))))
            assert await read_frames(stream, FrameReader(new_sealer().stream())) == [turned(1)]
            await stream.aclose()
            assert agent.node.of("stream_received") == agent.node.of("stream_closed") == []


async def test_a_stream_closed_in_the_moment_it_is_accepted_ends_without_a_reset() -> None:
    async with running() as agent:
        accept_all(agent)

        def close(name: str, arguments: tuple[Any, ...]) -> None:
            if name == "stream_accepted":
                agent.node.wanted.append(Close(arguments[1]))

        agent.node.react = close
        async with connected(agent) as (stream, sealer, _):
            await stream.send_all(sealer.seal(codec.encode(turned(1))))
            await ended(stream)
        assert agent.node.of("stream_closed") == []


async def test_a_peer_that_has_ended_its_side_still_gets_what_was_written() -> None:
    page = Page(news=(bytes(1_000),) * 900, wants=b"", last=False)
    async with running() as agent:
        accept_all(agent)

        def answer(name: str, arguments: tuple[Any, ...]) -> None:
            if name == "stream_received":
                agent.node.wanted += [*[Write(arguments[0], page)] * 5, Close(arguments[0])]

        agent.node.react = answer
        async with connected(agent) as (stream, sealer, reader):
            await stream.send_all(sealer.seal(codec.encode(turned(1))))
            await stream.send_eof()
            assert await read_frames(stream, reader) == [page] * 5


# -- limits


async def test_a_connection_without_a_place_is_ended_without_a_reset() -> None:
    async with running() as agent:
        agent.node.accept = lambda _source: None
        async with connected(agent) as (stream, sealer, _):
            await stream.send_all(sealer.seal(codec.encode(turned(1))) * 10)
            await ended(stream)
        assert agent.node.counters == {"stream_limit": 1}
        assert agent.node.of("stream_closed") == agent.node.of("stream_received") == []


async def test_with_every_place_taken_none_is_accepted_until_one_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams_module, "SPARE_PLACES", 1)
    async with running(params=Params(streams=2)) as agent:
        accept_all(agent)
        async with contextlib.AsyncExitStack() as stack:
            held = [await stack.enter_async_context(connected(agent)) for _ in range(4)]
            await agent.node.saw("stream_accepted", times=3)
            await wait_all_tasks_blocked(0.01)
            assert len(agent.node.of("stream_accepted")) == 3, "the fourth waits, connected, in the kernel"
            await held[0][0].aclose()
            await agent.node.saw("stream_accepted", times=4)


async def test_one_address_cannot_take_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds them by saying nothing; from another address there is one all the while."""
    monkeypatch.setattr(streams_module, "is_loopback", lambda _host: False)
    async with running(params=Params(streams=4)) as agent:
        accept_all(agent)
        async with contextlib.AsyncExitStack() as stack:
            held = [await stack.enter_async_context(connected(agent)) for _ in range(2)]
            await agent.node.saw("stream_accepted", times=2)
            async with connected(agent) as (third, _, _):
                await ended(third)
            assert agent.node.counters == {"stream_share": 1}
            local = socket.socket()
            local.bind(("127.0.0.2", 0))
            with local:
                local.connect(agent.address)
                await agent.node.saw("stream_accepted", times=3)
            await held[0][0].aclose()
            await agent.node.saw("stream_closed", times=2)
            await stack.enter_async_context(connected(agent))
            await agent.node.saw("stream_accepted", times=4)


async def test_a_backlog_that_nobody_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "BACKLOG_BYTES_MAX", 10_000)
    with listening() as (_, address):
        async with running() as agent:
            agent.want(Dial(1, address, 1.0), *[Write(1, turned(1))] * 200, Write(1, turned(2)), Close(1))
            assert agent.node.of("stream_closed") == [(1, "reset")]
            assert agent.node.counters == {"stream_backlog": 1}


async def test_a_frame_over_the_limit_of_its_own_gives_the_stream_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with listening() as (_, address):
        async with running() as agent:
            agent.want(
                Dial(1, address, 1.0),
                Write(1, Page(news=(bytes(1_100),) * 1_000, wants=b"", last=True)),
            )
            assert agent.node.of("stream_closed") == [(1, "reset")]
            assert agent.node.counters == {"internal_error": 1}
            assert "too long" in caplog.text


async def test_streams_that_do_not_exist_are_ignored() -> None:
    async with running() as agent:
        agent.want(Write(1, turned(1)), Close(1))
        assert agent.node.inputs == []
        assert agent.node.counters == {}


async def test_a_failed_accept_is_counted_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "ACCEPT_PAUSE_SECONDS", 0.0)
    failures = [OSError(24, "Too many open files"), ConnectionAbortedError(103, "gone")]
    real = Streams._accept

    class Listener:
        def __init__(self, listener: Any) -> None:
            self._listener = listener

        async def accept(self) -> Any:
            if failures:
                raise failures.pop(0)
            return await self._listener.accept()

    async def accept(streams: Streams, listener: Any) -> Any:
        return await real(streams, Listener(listener))  # type: ignore[arg-type]

    monkeypatch.setattr(Streams, "_accept", accept)
    async with running() as agent:
        accept_all(agent)
        async with connected(agent):
            await agent.node.saw("stream_accepted")
        assert agent.node.counters == {"accept_failed": 1}


async def test_many_streams_at_once() -> None:
    async with running() as one, running() as other:
        accept_all(other)
        frames: list[Frame] = [turned(number) for number in range(20)]
        for number in range(60):
            one.want(
                Dial(number, other.address, 2.0), *[Write(number, frame) for frame in frames], Close(number)
            )
        await other.node.saw("stream_closed", times=60)
        by_stream: dict[StreamId, list[Frame]] = {}
        for stream, frame in other.node.of("stream_received"):
            by_stream.setdefault(stream, []).append(frame)
        assert list(by_stream.values()) == [frames] * 60
        assert {reason for _, reason in other.node.of("stream_closed")} == {"eof"}
