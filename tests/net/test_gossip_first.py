"""Gossip goes first: whoever keeps the thread busy lets the driver make its turns."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import trio

from gossip.core.effects import Notify, Send
from gossip.core.events import Event, EventKind
from gossip.core.messages import Turned
from gossip.net import driver as module
from gossip.wire import codec
from tests.net.recorder import Agent, Peer, gossip, new_sealer, running

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock:
    """The clock that the hook looks at; it stands still unless told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def patience_over(self) -> None:
        self.now += module.PATIENCE_SECONDS * 1.01


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "perf_counter", clock)
    return clock


def turns(agent: Agent, busy: Callable[[], None]) -> int:
    """How many turns `busy` made, which runs without letting any other task run."""
    before = agent.driver.wakeups
    busy()
    return agent.driver.wakeups - before


async def test_a_datagram_is_handled_while_the_thread_is_kept_busy(clock: Clock) -> None:
    async with running() as agent, Peer() as peer:
        agent.driver.gossip_first()
        peer.send(gossip(1), agent.address)
        assert turns(agent, agent.driver.gossip_first) == 0, "not before it has waited"
        clock.patience_over()
        assert turns(agent, agent.driver.gossip_first) == 1
        assert agent.node.of("receive") == [(gossip(1), peer.address)]
        clock.patience_over()
        assert turns(agent, agent.driver.gossip_first) == 0, "there is nothing more"


async def test_a_timer_that_is_due_fires_while_the_thread_is_kept_busy(clock: Clock) -> None:
    async with running() as agent:
        agent.node.deadline = trio.current_time() + 1_000
        agent.driver.flush()
        clock.patience_over()
        assert turns(agent, agent.driver.gossip_first) == 0
        agent.node.deadline = trio.current_time()
        clock.patience_over()
        assert turns(agent, agent.driver.gossip_first) == 1
        assert len(agent.node.of("tick")) == 1
        assert sum(agent.driver.lag.histogram.counts) == 1


async def test_nobody_is_late_for_a_deadline_that_was_learnt_after_it() -> None:
    """An accusation that comes by a stream can end a suspicion that began long ago: that is no doubt."""
    async with running() as agent:
        agent.node.deadline = trio.current_time() - 9
        agent.driver.flush()
        await agent.node.saw("tick")
        assert [late < 1 for late, _, _ in agent.node.of("pulse")] == [True]
        assert agent.driver.lag.worst(trio.current_time()) < 1


async def test_what_the_node_answers_leaves_at_once(clock: Clock) -> None:
    async with running() as agent, Peer() as peer:
        agent.node.react = lambda name, arguments: (
            agent.node.wanted.append(Send(arguments[1], gossip(2))) if name == "receive" else None
        )
        agent.driver.gossip_first()
        peer.send(gossip(1), agent.address)
        clock.patience_over()
        agent.driver.gossip_first()
        assert (await peer.receive())[0] == gossip(2)


async def test_within_a_turn_or_a_flush_it_does_nothing(clock: Clock) -> None:
    """A subscriber may serve somebody, and so may whoever the node calls: no turn within a turn."""
    async with running() as agent, Peer() as peer:
        depth, deepest = 0, 0

        def nested(*_: object) -> None:
            nonlocal depth, deepest
            depth += 1
            deepest = max(deepest, depth)
            peer.send(gossip(9), agent.address)
            clock.patience_over()
            agent.driver.gossip_first()
            depth -= 1

        agent.driver.subscribe(nested)
        agent.want(Notify(Event(EventKind.DOUBT, b"", "")))
        agent.node.react = lambda name, _arguments: nested() if name == "receive" else None
        assert agent.node.of("receive") == []
        clock.patience_over()
        agent.driver.gossip_first()
        assert deepest == 1
        assert agent.node.of("receive")


async def test_gossip_goes_before_a_frame_of_a_stream(clock: Clock) -> None:
    """However many streams bring frames, and whatever each frame costs."""
    async with running() as agent, Peer() as peer:
        agent.node.accept = lambda _source: 1_000

        def react(name: str, arguments: tuple[Any, ...]) -> None:
            if name == "stream_received" and arguments[1] == Turned("dear"):
                peer.send(gossip(1), agent.address)
                clock.patience_over()

        agent.node.react = react
        stream = await trio.open_tcp_stream(*agent.address)
        sealer = new_sealer().stream()
        async with stream:
            frames = (Turned("dear"), Turned("next"))
            await stream.send_all(b"".join(sealer.seal(codec.encode(frame)) for frame in frames))
            await agent.node.saw("stream_received", times=2)
        heard = [name for name, _ in agent.node.inputs if name in ("receive", "stream_received")]
        assert heard == ["stream_received", "receive", "stream_received"]


async def test_before_the_driver_runs_it_does_nothing(clock: Clock) -> None:
    async with running() as agent:
        driver = agent.driver
    clock.patience_over()
    assert turns(agent, driver.gossip_first) == 0


async def test_gossip_is_handled_while_many_tasks_are_hot() -> None:
    """Each round of trio's takes a fifth of a second, and a datagram still waits for milliseconds only."""
    connections, piece = 200, 0.001
    async with running() as agent, Peer() as peer:
        waited: list[float] = []
        sent = 0.0

        async def hot(number: int) -> None:
            nonlocal sent
            while len(waited) < 3:
                agent.driver.gossip_first()
                if number == 0 and not sent:
                    sent = time.perf_counter()
                    peer.send(gossip(len(waited)), agent.address)
                until = time.perf_counter() + piece
                while time.perf_counter() < until:
                    pass
                await trio.lowlevel.checkpoint()

        def react(name: str, _arguments: object) -> None:
            nonlocal sent
            if name == "receive":
                waited.append(time.perf_counter() - sent)
                sent = 0.0

        agent.node.react = react
        async with trio.open_nursery() as nursery:
            for number in range(connections):
                nursery.start_soon(hot, number)
        # A round is connections x piece long; on a busy machine a moment may be taken away in between.
        assert min(waited) < connections * piece / 4


@pytest.mark.parametrize("happened", ["stream_opened", "stream_closed"])
async def test_who_was_not_running_is_told_so_before_what_befell_its_streams(
    clock: Clock, happened: str
) -> None:
    """A stream that ended meanwhile, as for want of time, is no fault of its other end."""
    async with running() as agent:
        agent.node.deadline = trio.current_time() + 0.05
        agent.driver.flush()
        time.sleep(0.4)  # noqa: ASYNC251 - the process was stopped, say
        clock.patience_over()
        inputs = module._StreamInputs(agent.driver)
        inputs.stream_opened(1) if happened == "stream_opened" else inputs.stream_closed(1, "timeout")
        order = [name for name, _ in agent.node.inputs if name in ("pulse", happened)]
        assert order == ["pulse", happened]
        assert agent.node.of("pulse")[0][0] > 0.3
