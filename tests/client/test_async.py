"""The async client under trio and under asyncio, with an agent that says what a test tells it to say."""

from __future__ import annotations

import inspect
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import gossip
from tests.client.scripted import Reply, ScriptedAgent, a_member, an_instance

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATIENCE = 30.0


@pytest.fixture(params=["trio", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Runs a function under one of the event loops."""

    def run_(function: Callable[[], Awaitable[None]]) -> None:
        async def bounded() -> None:
            with anyio.fail_after(PATIENCE):
                await function()

        anyio.run(bounded, backend=request.param)

    return run_


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = inspect.getmembers(kind, inspect.isfunction)
        return {
            name: list(inspect.signature(each).parameters)
            for name, each in found
            if not name.startswith("_") and name not in ("close", "running")
        }

    assert methods(gossip.AsyncClient) == methods(gossip.Client)


def test_answers_are_typed(agent: ScriptedAgent, run: Any) -> None:
    agent.script = {
        "members.list": Reply({"members": [a_member()], "index": 1}),
        "services.lookup": Reply({"instances": [an_instance()], "index": 1}),
        "services.register": Reply({"id": "web", "version": 3}),
        "agent.evict": Reply(error=gossip.NotFoundError("no member")),
    }

    async def main() -> None:
        async with gossip.aconnect(agent.path) as g:
            (member,) = await g.members()
            assert isinstance(member, gossip.Member)
            (found,) = await g.lookup("web", tags=["a"])
            assert found.endpoint == "127.0.0.1:8080"
            assert await g.register("web", 80, check=gossip.TTLCheck(1)) == gossip.Registration("web", 3)
            assert [*(await g.lookup_many(["a", "b"]))] == ["a", "b"]
            with pytest.raises(gossip.NotFoundError):
                await g.evict("x")

    run(main)


def test_no_agent_is_an_error_at_once(run: Any, tmp_path: Any) -> None:
    async def main() -> None:
        with pytest.raises(gossip.UnreachableError, match="no agent answers"):
            async with gossip.aconnect(str(tmp_path / "none")):
                pass

    run(main)


def test_what_the_block_raises_comes_out_as_it_is(agent: ScriptedAgent, run: Any) -> None:
    async def main() -> None:
        with pytest.raises(KeyError, match="mine"):
            async with gossip.aconnect(agent.path) as g, g.replica():
                raise KeyError("mine")

    run(main)


def test_a_block_that_is_cancelled_ends_and_so_do_calls_beside_it(agent: ScriptedAgent, run: Any) -> None:
    agent.script = {
        "agent.info": Reply(silent=True),
        "services.watch": Reply({"watch": 1, "instances": [], "index": 1}),
    }

    async def main() -> None:
        problems = []

        async def ask(g: gossip.AsyncClient) -> None:
            try:
                await g.info()
            except gossip.UnreachableError as problem:
                problems.append(problem)

        async def follow(views: gossip.AsyncWatch[gossip.ServiceView]) -> None:
            assert [len(view) async for view in views] == [0]

        async with anyio.create_task_group() as group:
            with anyio.move_on_after(0.1) as scope:
                async with gossip.aconnect(agent.path) as g, g.replica("web"):
                    group.start_soon(ask, g)
                    group.start_soon(follow, g.watch("web"))
                    await anyio.sleep_forever()
            assert scope.cancelled_caught
        assert len(problems) == 1
        with pytest.raises(gossip.UnreachableError):
            await g.members()

    run(main)


def test_many_tasks_share_the_connection_and_a_cancelled_one_harms_none(
    agent: ScriptedAgent, run: Any
) -> None:
    agent.batch = 20
    agent.script = {
        "services.lookup": Reply({"instances": [], "index": 1}),
        "agent.info": Reply(silent=True),
    }

    async def main() -> None:
        answered = []
        async with gossip.aconnect(agent.path) as g, anyio.create_task_group() as group:

            async def ask(number: int) -> None:
                await g.lookup("web")
                answered.append(number)

            async with anyio.create_task_group() as cancelled:
                cancelled.start_soon(g.info)
                with anyio.fail_after(20):
                    while "agent.info" not in agent.methods:  # noqa: ASYNC110 - a thread has it
                        await anyio.sleep(0.005)
                cancelled.cancel_scope.cancel()
            for number in range(39):
                group.start_soon(ask, number)
        assert len(answered) == 39
        assert len(agent._connections) == 1

    run(main)


def test_an_agent_that_is_silent_is_not_waited_for_longer(agent: ScriptedAgent, run: Any) -> None:
    agent.script = {"agent.leave": Reply(silent=True), "agent.info": Reply({"name": "n1"})}

    async def main() -> None:
        async with gossip.aconnect(agent.path) as g:
            with pytest.raises(gossip.UnreachableError, match="too long") as caught:
                await g.leave(timeout=0.05)
            assert caught.value.may_have_acted
            assert await g.info() == {"name": "n1"}

    run(main)


def test_a_call_waits_for_an_agent_that_restarts(agent: ScriptedAgent, run: Any) -> None:
    agent.script = {
        "agent.info": Reply({"name": "n1"}),
        "services.register": Reply({"id": "web", "version": 1}),
        "events.send": Reply(silent=True, close=True),
    }

    async def main() -> None:
        async with gossip.aconnect(agent.path, chance=lambda: 0.5) as g:
            await g.register("web", 80, while_connected=True)
            await g.register("gone", 80, id="web", while_connected=True)
            agent.go_away()
            back = threading.Timer(0.1, agent.come_back)
            back.start()
            assert await g.info() == {"name": "n1"}
            back.join()
            registered = [params for method, params in agent.asked if method == "services.register"]
            assert registered[2:] == [
                {"name": "gone", "port": 80, "tags": [], "id": "web", "while_connected": True}
            ]
            # Sent, and the connection broke: it may have been carried out, so it is not repeated.
            with pytest.raises(gossip.UnreachableError) as caught:
                await g.event("deploy")
            assert caught.value.may_have_acted
            assert agent.methods.count("events.send") == 1
            # A read is.
            agent.script["members.list"] = Reply(silent=True, close=True)
            with anyio.move_on_after(0.4):
                await g.members()
            assert agent.methods.count("members.list") > 1

    run(main)


def test_an_agent_that_stays_away_is_an_error_in_time(agent: ScriptedAgent, run: Any) -> None:
    async def main() -> None:
        async with gossip.aconnect(agent.path, timeout=0.3) as g:
            agent.go_away()
            with pytest.raises(gossip.UnreachableError):
                await g.info()
        agent.come_back()
        agent.script["agent.info"] = Reply({})
        async with gossip.aconnect(agent.path, reconnect=False) as g:
            await g.info()
            agent.hang_up()
            with pytest.raises(gossip.UnreachableError, match="closed"):
                await g.info()
            with pytest.raises(gossip.UnreachableError, match="closed"):
                await g.info()

    run(main)


def test_a_watch_resumes_with_the_whole_value_and_says_so(agent: ScriptedAgent, run: Any) -> None:
    agent.script["services.watch"] = Reply(
        {"watch": 1, "instances": [an_instance()], "index": 7},
        then=[{"watch": 1, "instances": [], "index": 8}, {"watch": 2, "instances": [], "index": 9}],
    )
    agent.script["events.watch"] = Reply({"watch": 1}, then=[
        {"watch": 1, "name": "e", "payload": "", "node": "n", "node_id": "0", "id": 1}])  # fmt: skip

    async def main() -> None:
        async with gossip.aconnect(agent.path, chance=lambda: 0.0) as g:
            seen = []
            async for view in g.watch("web"):
                seen.append((view.index, view.resync))
                if len(seen) == 2:
                    agent.go_away()
                    agent.come_back()
                if len(seen) == 4:
                    break
            assert seen == [(7, False), (8, False), (7, True), (8, False)]
            async with g.watch_events() as events:
                assert not (await anext(events)).missed
                assert await events.next(0.02) is None
                agent.hang_up()
                assert (await anext(events)).missed
            with pytest.raises(StopAsyncIteration):
                await anext(events)

    run(main)


def test_a_watch_that_is_refused_says_so_and_leaves_nothing_open(agent: ScriptedAgent, run: Any) -> None:
    agent.script["members.watch"] = Reply(error=gossip.LimitError("too many watches"))

    async def main() -> None:
        async with gossip.aconnect(agent.path) as g:
            with pytest.raises(gossip.LimitError):
                await anext(g.watch_members())

    run(main)


@pytest.mark.parametrize("end", [SystemExit(3), KeyboardInterrupt()])
def test_the_end_of_the_program_is_no_group(agent: ScriptedAgent, end: BaseException) -> None:
    async def main() -> None:
        async with gossip.aconnect(agent.path):
            raise end

    with pytest.raises(type(end)):
        anyio.run(main, backend="trio")


def test_an_error_of_no_request_is_everybodys(agent: ScriptedAgent, run: Any) -> None:
    text = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"full","data":{"kind":"limit"}}}\n'
    agent.script["agent.info"] = Reply(raw=text)

    async def main() -> None:
        async with gossip.aconnect(agent.path) as g:
            with pytest.raises(gossip.LimitError, match="full"):
                await g.info()

    run(main)
