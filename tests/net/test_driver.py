"""The driver on real sockets of loopback, with a scripted node: datagrams, refusals, time, effects."""

from __future__ import annotations

import os
import random
import socket
from typing import TYPE_CHECKING, Any

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gossip.core.effects import Notify, Resolve, SaveCounter, Send
from gossip.core.events import Event, EventKind
from gossip.core.keys import KeyState
from gossip.core.messages import Ack, Ping
from gossip.core.outlet import ENOUGH
from gossip.core.params import Params
from gossip.errors import RemoteProtocolError
from gossip.net import driver as module
from gossip.net.clock import GapClock
from gossip.net.sent import GENERATION_MAX, PROOF_SECONDS
from gossip.net.udp import BATCH_MAX
from gossip.wire import codec
from gossip.wire.keyring import KeyRing
from gossip.wire.packer import RepeatedError
from gossip.wire.sealing import RingSealer
from tests.net.recorder import (
    CLUSTER,
    PATIENCE,
    SENDER,
    Peer,
    Recorder,
    closed_port,
    gossip,
    new_sealer,
    running,
)
from tests.net.test_clock import Clocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gossip.core.types import Address
    from tests.net.recorder import Agent

HOSTS = ["127.0.0.1", "::1"]


class Steps(trio.abc.Instrument):
    """Counts how often any task is given the processor."""

    def __init__(self) -> None:
        self.taken = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002 - trio's name for it
        self.taken += 1


# -- datagrams in and out


@pytest.mark.parametrize("host", HOSTS)
async def test_a_datagram_reaches_the_node_and_its_answer_the_peer(host: str) -> None:
    async with running(host) as agent, Peer(host) as peer:
        agent.node.react = lambda name, arguments: (
            agent.node.wanted.append(Send(arguments[1], gossip(2))) if name == "receive" else None
        )
        peer.send(gossip(1), agent.address)
        assert await peer.receive() == (gossip(2), agent.address)
        assert agent.node.of("receive") == [(gossip(1), peer.address)]


async def test_both_families_at_once() -> None:
    async with running(*HOSTS) as agent:
        for number, host in enumerate(HOSTS):
            async with Peer(host) as peer:
                agent.want(Send(peer.address, gossip(number)))
                message, source = await peer.receive()
                assert message == gossip(number)
                assert source == agent.driver.endpoints[number].address


async def test_what_cannot_be_sent_is_counted() -> None:
    async with running("127.0.0.1") as agent:
        for host in ("::1", "example.org", "", "<broadcast>", "224.0.0.1", "::ffff:127.0.0.1"):
            agent.want(Send((host, 7946), gossip()))
        assert agent.node.counters == {"send_no_socket": 6}


async def test_routes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROUTES_MAX", 8)
    async with running("127.0.0.1") as agent:
        for number in range(100):
            agent.want(Send((f"2001:db8::{number:x}", 7946), gossip()))
        assert len(agent.driver._routes) <= 8


# -- bad packets


async def test_garbage_is_counted_by_reason_and_the_driver_goes_on(rng: random.Random) -> None:
    async with running() as agent, Peer() as peer, Peer(cluster="other") as stranger:
        good = peer.sealer.seal(codec.encode(gossip()))
        bad = [
            b"x",
            rng.randbytes(100),
            rng.randbytes(1_400),
            good[:-1],
            good[:30],
            bytes([99]) + good[1:],
            good[:40] + bytes([good[40] ^ 1]) + good[41:],
            peer.sealer.seal(b"\xc1"),
            peer.sealer.seal(codec.encode(gossip())[:-3]),
            good + bytes(3_000),
        ]
        for datagram in [b"", *bad]:
            await peer.sock.sendto(datagram, agent.address)
        stranger.send(gossip(), agent.address)
        peer.send(gossip(7), agent.address)
        assert await agent.node.saw("receive") == [(gossip(7), peer.address)]
        assert sum(agent.node.counters.values()) == len(bad) + 2
        assert "internal_error" not in agent.node.counters
        assert agent.node.counters["cluster"] >= 1


async def test_what_may_be_a_copy_is_counted_and_handed_in_as_such() -> None:
    ring = KeyRing()
    ring.add(bytes(range(32)), "key", KeyState.SENDING)
    one, other = (RingSealer(ring, CLUSTER, os.urandom(16), os.urandom(32)) for _ in range(2))
    async with running(sealer=one) as agent, Peer() as peer:
        datagram = other.seal(codec.encode(gossip(1)))
        for _ in range(3):
            await peer.sock.sendto(datagram, agent.address)
        assert await agent.node.saw("repeated", 2) == [(gossip(1), peer.address)] * 2
        assert agent.node.of("receive") == [(gossip(1), peer.address)]
        assert agent.node.counters == {"replayed": 2}


async def test_an_ack_makes_a_window_begin_anew_that_somebody_has_raised() -> None:
    ring = KeyRing()
    ring.add(bytes(range(32)), "key", KeyState.SENDING)
    one, other, thief = (RingSealer(ring, CLUSTER, os.urandom(16), os.urandom(32)) for _ in range(3))
    thief.renew(other._session)
    thief._counter = 2**64 - 1
    async with running(sealer=one) as agent, Peer() as peer:
        peer.sealer = other
        await peer.sock.sendto(thief.seal(codec.encode(gossip(0))), agent.address)
        await agent.node.saw("receive")
        ping = Ping(7, SENDER, SENDER, peer.address, bytes(8), b"", ())
        agent.want(Send(peer.address, ping))
        assert await peer.receive() == (ping, agent.address)
        answer = Ack(7, SENDER, peer.address, bytes(8), b"", ())
        for packet in (gossip(1), answer, gossip(2)):
            peer.send(packet, agent.address)
        assert [packet for packet, _ in await agent.node.saw("receive", 3)] == [gossip(0), answer, gossip(2)]
        assert agent.node.of("repeated") == [(gossip(1), peer.address)]


async def test_ones_own_datagrams_are_dropped() -> None:
    async with running() as agent:
        agent.want(Send(agent.address, gossip()))
        await agent.node.counted("own")
        assert agent.node.of("receive") == []


async def test_what_the_node_refuses_is_counted_under_its_reason() -> None:
    async with running() as agent, Peer() as peer:

        def refuse(name: str, _arguments: object) -> None:
            if name == "receive":
                raise RemoteProtocolError("signature")

        agent.node.react = refuse
        peer.send(gossip(), agent.address)
        await agent.node.counted("signature")


async def test_a_packet_that_meets_a_fault_of_our_own_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as agent, Peer() as peer:

        def fail(name: str, arguments: tuple[Any, ...]) -> None:
            if name == "receive" and arguments[0] == gossip(1):
                raise ZeroDivisionError

        agent.node.react = fail
        peer.send(gossip(1), agent.address)
        peer.send(gossip(2), agent.address)
        await agent.node.saw("receive", times=2)
        assert agent.node.counters == {"internal_error": 1}
        assert "a packet could not be handled" in caplog.text


async def test_nor_does_what_may_be_a_copy_and_meets_one() -> None:
    async with running() as agent, Peer() as peer:

        def fail(name: str, arguments: tuple[Any, ...]) -> None:
            if name == "receive" and arguments[0] == gossip(1):
                raise RepeatedError(gossip(1))
            if name == "repeated":
                raise ZeroDivisionError

        agent.node.react = fail
        peer.send(gossip(1), agent.address)
        peer.send(gossip(2), agent.address)
        await agent.node.saw("receive", times=2)
        assert agent.node.counters == {"replayed": 1, "internal_error": 1}


async def test_a_flood_is_read_in_bounded_batches_and_completely() -> None:
    total = 3 * BATCH_MAX
    async with running() as agent, Peer() as peer:
        for number in range(total):
            peer.send(gossip(number), agent.address)
        received = await agent.node.saw("receive", times=total)
        assert [message for message, _ in received] == [gossip(number) for number in range(total)]
        assert agent.driver.wakeups >= 3


# -- refusals


@pytest.mark.parametrize("host", HOSTS)
async def test_a_refused_datagram_is_reported_with_its_address(host: str) -> None:
    async with running(host) as agent:
        with closed_port(host) as nobody:
            agent.want(Send(nobody, gossip()))
            assert await agent.node.saw("refused") == [(nobody,)]
        assert agent.node.counters == {}


async def test_many_refusals_are_each_reported() -> None:
    async with running() as agent:
        with closed_port() as nobody, closed_port() as nobody_else:
            agent.want(*[Send(address, gossip()) for address in (nobody, nobody_else) * 5])
            refused = await agent.node.saw("refused", times=10)
        assert sorted(set(refused)) == sorted([(nobody,), (nobody_else,)])


async def test_however_much_others_have_sent_a_refusal_of_a_ping_is_proven() -> None:
    async with running() as agent, Peer() as peer:
        with closed_port() as nobody:
            ping = Ping(1, SENDER, SENDER, nobody, bytes(8), b"", ())
            ack = Ack(2, SENDER, peer.address, bytes(8), b"", ())
            agent.want(Send(nobody, ping, asks=True), *[Send(peer.address, ack)] * (2 * GENERATION_MAX))
            assert await agent.node.saw("refused") == [(nobody,)]
        assert "refusal_unproven" not in agent.node.counters


async def test_a_refusal_of_what_was_sent_too_long_ago_is_unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as agent:
        monkeypatch.setattr(agent.driver, "now", lambda: trio.current_time() - PROOF_SECONDS - 1)
        with closed_port() as nobody:
            agent.want(Send(nobody, gossip()))
            monkeypatch.undo()
            await agent.node.counted("refusal_unproven")
        assert agent.node.of("refused") == []


async def test_a_refusal_that_quotes_no_datagram_of_ours_is_unproven() -> None:
    async with running() as agent:
        with closed_port() as nobody:
            port = agent.driver.endpoints[0].udp
            port.send(b"short", nobody)
            port.send(new_sealer().seal(codec.encode(gossip())), nobody)
            await agent.node.counted("refusal_unproven", times=2)
        assert agent.node.of("refused") == []


async def test_a_refusal_from_an_address_that_the_datagram_did_not_go_to_is_unproven() -> None:
    async with running() as agent:
        with closed_port() as nobody, closed_port() as nobody_else:
            port = agent.driver.endpoints[0].udp
            datagram = agent.driver._sealer.seal(codec.encode(gossip()))
            mark = agent.driver._sealer.mark(datagram)
            assert mark is not None
            agent.driver._sent.note(mark, nobody_else, agent.driver.now(), asks=False)
            port.send(datagram, nobody)
            await agent.node.counted("refusal_unproven")
        assert agent.node.of("refused") == []


# -- time


async def test_the_node_ticks_at_its_deadline(mock_clock: trio.testing.MockClock) -> None:
    node = Recorder()
    node.deadline = trio.current_time() + 5
    async with running(node=node) as agent:
        await wait_all_tasks_blocked()
        mock_clock.jump(4.999)
        await wait_all_tasks_blocked()
        assert node.of("tick") == []
        mock_clock.jump(0.001)
        await wait_all_tasks_blocked()
        assert node.of("tick") == [()]
        assert agent.driver.wakeups == 1


@pytest.mark.parametrize(("before", "after"), [(60.0, 3.0), (3.0, 60.0), (float("inf"), 3.0)])
async def test_a_flush_moves_the_timer(
    mock_clock: trio.testing.MockClock, before: float, after: float
) -> None:
    node = Recorder()
    started = trio.current_time()
    node.deadline = started + before
    async with running(node=node) as agent:
        await wait_all_tasks_blocked()
        node.deadline = started + after
        agent.driver.flush()
        mock_clock.jump(after - 0.001)
        await wait_all_tasks_blocked()
        assert agent.driver.wakeups == 0
        mock_clock.jump(0.001)
        await wait_all_tasks_blocked()
        assert node.of("tick") == [()]
        assert agent.driver.wakeups == 1


async def test_a_timer_that_is_set_anew_at_each_tick_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    node = Recorder()

    def again(name: str, _arguments: object) -> None:
        if name == "tick":
            node.deadline = trio.current_time() + 1

    node.react = again
    node.deadline = started = trio.current_time() + 1
    async with running(node=node):
        await node.saw("tick", times=4)
        assert trio.current_time() == started + 3


async def test_an_idle_driver_never_wakes(mock_clock: trio.testing.MockClock) -> None:
    async with running(*HOSTS) as agent:
        await wait_all_tasks_blocked()
        steps = Steps()
        trio.lowlevel.add_instrument(steps)
        mock_clock.jump(86_400)
        await wait_all_tasks_blocked()
        trio.lowlevel.remove_instrument(steps)
        assert agent.driver.wakeups == 0
        assert steps.taken <= 1, "only this test's own waiting"


async def test_the_pulse_comes_first_then_datagrams_then_the_tick(
    mock_clock: trio.testing.MockClock,
) -> None:
    node = Recorder()
    node.deadline = trio.current_time() + 5
    async with running(node=node) as agent, Peer() as peer:
        await wait_all_tasks_blocked()
        peer.send(gossip(), agent.address)
        mock_clock.jump(5.125)
        await node.saw("tick")
        names = [name for name, _ in node.inputs]
        assert names[: names.index("tick") + 1] == ["pulse", "receive", "tick"]
        assert node.of("pulse")[0] == (pytest.approx(0.125), pytest.approx(0, abs=0.1), False)


async def test_a_tick_waits_for_the_sockets_to_be_dry_but_not_beyond_the_bound(
    mock_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Recorder()
    node.deadline = trio.current_time() + 5

    def flood(port: Any) -> Iterator[tuple[bytes, Address]]:
        mock_clock.jump(0.020)
        port.dry = False
        return iter(())

    monkeypatch.setattr("gossip.net.udp.UdpPort.batch", flood)
    async with running(node=node) as agent:
        await wait_all_tasks_blocked()
        mock_clock.jump(5)
        await node.saw("tick")
        lates = [late for late, _, _ in node.of("pulse")]
        assert lates == sorted(lates)
        assert lates[-2] <= Params().doubt_bound < lates[-1], "it ticked at the first pulse over the bound"
        assert agent.driver.wakeups == len(lates)


async def test_a_late_wake_up_and_a_gap_are_told_and_begin_a_session(
    mock_clock: trio.testing.MockClock,
) -> None:
    clocks, node = Clocks(), Recorder()
    node.deadline = trio.current_time() + 1
    sessions: list[bytes] = []
    async with running(node=node, gap_clock=GapClock(clocks.read)) as agent, Peer() as peer:

        async def tick_and_look(late: float) -> None:
            """Let a timer go off, and note the session of a datagram sent afterwards."""
            pulses = len(node.of("pulse"))
            await wait_all_tasks_blocked()
            mock_clock.jump(1 + late)
            await node.saw("pulse", times=pulses + 1)
            agent.want(Send(peer.address, gossip()))
            datagram, _ = await peer.sock.recvfrom(2_048)
            sessions.append(datagram[2:18])
            node.deadline = trio.current_time() + 1
            agent.driver.flush()

        await tick_and_look(late=0)
        await tick_and_look(late=0.2)
        clocks.move(monotonic=1, boottime=31, wall=31)
        await tick_and_look(late=0)
        await tick_and_look(late=0.3)
        await tick_and_look(late=0)
    told = [(round(late, 3), round(gap, 3)) for late, gap, _ in node.of("pulse")]
    assert told == [(0, 0), (0.2, 0), (0, 30), (0.3, 0), (0, 0)]
    assert sessions[0] == sessions[1]
    assert len(set(sessions[1:4])) == 3
    assert sessions[3] == sessions[4]


async def test_what_passed_before_the_driver_ran_is_no_gap() -> None:
    clocks, node = Clocks(), Recorder()
    clock = GapClock(clocks.read)
    clocks.move(wall=1_000, boottime=1_000)
    async with running(node=node, gap_clock=clock) as agent, Peer() as peer:
        peer.send(gossip(), agent.address)
        await node.saw("receive")
        assert node.of("pulse")[0] == (0, 0, False)


async def test_an_overflow_of_the_receive_buffer_is_told() -> None:
    async with running() as agent:
        agent.driver.endpoints[0].udp.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flood:
            for _ in range(50):  # without a pause for the driver to read in
                flood.sendto(bytes(1_000), agent.address)
        pulses = await agent.node.saw("pulse")
        assert pulses[0][2] is True
        assert agent.node.counters["receive_overflow"] == 1


async def test_a_node_that_can_send_to_nobody_is_told_to_doubt_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as agent, Peer() as peer:
        port = agent.driver.endpoints[0].udp
        outcomes: list[str] = []
        nets: list[int] = []
        monkeypatch.setattr(port, "send", lambda *_: outcomes.pop(0))

        async def doubts_after(*given: str) -> bool:
            outcomes[:] = given
            turns = len(agent.node.of("pulse"))
            net = len(nets)
            if "" in given:
                # Where it fails while others are sent to it is no sign any more: not there again.
                nets.append(net)
            elsewhere = [(f"127.0.{net}.{number}", 7946) for number in range(2, 2 + len(given))]
            agent.want(*(Send(address, gossip(n)) for n, address in enumerate(elsewhere)))
            peer.send(gossip(), agent.address)
            pulses = await agent.node.saw("pulse", turns + 1)
            return bool(pulses[turns][2])

        failed, forbidden = ["send_failed"] * ENOUGH, ["send_forbidden"] * ENOUGH
        assert await doubts_after(*failed)
        assert not await doubts_after(), "it is told once"
        assert not await doubts_after("send_blocked")
        assert not await doubts_after(*failed, ""), "those cannot be reached; others can"
        assert not await doubts_after("send_failed", "send_blocked", "send_blocked")
        assert await doubts_after("send_blocked", *failed)
        # A firewall that keeps datagrams in lets streams pass: who hears by them is not cut off.
        agent.driver.outlet.streamed(agent.driver.now())
        assert not await doubts_after(*forbidden, "")
        assert not await doubts_after(*forbidden)
        assert await doubts_after(*failed)


# -- the other effects


async def test_subscribers_are_told_until_they_end_it_and_may_use_the_node(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[tuple[str, str]] = []
    async with running() as agent:

        def first(event: Event) -> None:
            told.append(("first", event.name))
            if event.name == "a":
                agent.want(Notify(Event(EventKind.MEMBER_JOINED, name="b")))

        def broken(_event: Event) -> None:
            raise ZeroDivisionError

        def last(event: Event) -> None:
            told.append(("last", event.name))

        end_first = agent.driver.subscribe(first)
        agent.driver.subscribe(broken)
        agent.driver.subscribe(last)
        agent.want(Notify(Event(EventKind.MEMBER_JOINED, name="a")))
        end_first()
        end_first()
        agent.want(Notify(Event(EventKind.MEMBER_JOINED, name="c")))
        assert told == [("first", "a"), ("last", "a"), ("first", "b"), ("last", "b"), ("last", "c")]
        assert agent.node.counters == {"subscriber_failed": 3}
        assert "a subscriber failed" in caplog.text


async def test_a_counter_is_saved_before_what_comes_after_it() -> None:
    async with running() as agent:
        seen: list[list[int]] = []
        agent.driver.subscribe(lambda _event: seen.append(list(agent.saved)))
        agent.want(SaveCounter(5_000), Notify(Event(EventKind.DOUBT)))
        assert seen == [[5_000]]


async def test_a_seed_that_is_an_address_is_resolved_at_once() -> None:
    async with running() as agent:
        agent.want(Resolve("192.0.2.1"), Resolve("[2001:db8::1]:80"))
        assert agent.node.of("resolved") == [
            ("192.0.2.1", [("192.0.2.1", 7946)], ""),
            ("[2001:db8::1]:80", [("2001:db8::1", 80)], ""),
        ]


async def test_a_seed_that_is_a_name_is_resolved_in_the_background() -> None:
    async with running() as agent:
        agent.want(Resolve("localhost:80"), Resolve("localhost:80"))
        assert agent.node.of("resolved") == []
        ((seed, addresses, problem),) = await agent.node.saw("resolved")
        assert (seed, problem) == ("localhost:80", "")
        assert ("127.0.0.1", 80) in addresses
        agent.want(Resolve("localhost:80"))
        await agent.node.saw("resolved", times=2)


async def test_a_seed_that_is_nonsense_is_answered_too() -> None:
    async with running() as agent:
        agent.want(Resolve("a:b"))
        ((_, addresses, problem),) = await agent.node.saw("resolved")
        assert addresses == []
        assert "port" in problem


async def test_what_the_node_wants_before_the_driver_runs_waits_for_it() -> None:
    node = Recorder()
    node.wanted.append(SaveCounter(1))
    async with running(node=node) as agent:
        assert agent.saved == [1]


async def test_the_end_closes_every_socket_and_effects_wait() -> None:
    async with running(*HOSTS) as agent:
        endpoints = agent.driver.endpoints
    for endpoint in endpoints:
        assert endpoint.udp.sock.fileno() == -1
        assert endpoint.listener.fileno() == -1
    agent.want(SaveCounter(1))
    assert agent.saved == []


async def test_two_agents_talk() -> None:
    async with running() as one, running() as other:

        def echo(agent: Agent) -> None:
            def react(name: str, arguments: tuple[Any, ...]) -> None:
                if name == "receive" and len(agent.node.of("receive")) < 50:
                    agent.node.wanted.append(Send(arguments[1], arguments[0]))

            agent.node.react = react

        echo(one)
        echo(other)
        one.want(Send(other.address, gossip(1)))
        with trio.fail_after(PATIENCE):
            await one.node.saw("receive", times=49)
            await other.node.saw("receive", times=50)
