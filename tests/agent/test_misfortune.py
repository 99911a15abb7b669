"""Changes of services and their checks that meet each other at the wrong moment."""

from __future__ import annotations

import io
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from gossip import log
from gossip.agent import Agent
from gossip.api.methods import Registration
from gossip.config import ServiceDefinition, read_checks
from gossip.core.events import Event, EventKind
from gossip.errors import ConfigError, GossipError, RefusedError
from gossip.registrar import Reconciled, Registrar
from gossip.store import StoredRecord
from tests.agent.processes import Process, until
from tests.agent.test_checks import config, listed, pair, row, status, wait, web


@pytest.fixture(autouse=True)
def quiet() -> None:
    log.set_up("info", "text", io.StringIO())


def slow_disk(agent: Agent, seconds: float) -> None:
    append = agent._store.append

    def slow(entries: Sequence[StoredRecord]) -> None:
        time.sleep(seconds)
        append(entries)

    agent._store.append = slow  # type: ignore[method-assign]


def of_file(id: str, *checks: dict[str, Any], port: int = 80) -> ServiceDefinition:
    return ServiceDefinition(id, id, port, checks=read_checks(list(checks), id))


async def test_names_of_checks_that_no_status_record_holds_are_refused(tmp_path: Path) -> None:
    """Or the service would be critical for ever, since nothing could be told of it."""
    key = "k" * 64
    async with Agent(config(tmp_path)) as agent:
        checks = [{"ttl": "1h", "start": "passing", "name": f"{n:02}" + "n" * 62} for n in range(16)]
        with pytest.raises(ConfigError, match="names of the checks have 1024 bytes in all: the limit is"):
            await agent.register(web(*checks, name=key))
        assert status(agent, key) is None
        checks = [{"ttl": "1h", "start": "passing", "name": f"{n:02}" + "n" * 38} for n in range(16)]
        await agent.register(web(*checks, name=key))
        assert status(agent, key) == "passing"
        await agent.set_maintenance(key, "r" * 128)
        assert status(agent, key) == "maintenance"


async def test_one_id_for_two_checks_is_refused_while_the_first_is_on_its_way(tmp_path: Path) -> None:
    done: dict[str, object] = {}
    async with Agent(config(tmp_path)) as agent:
        slow_disk(agent, 0.02)

        async def register(name: str) -> None:
            try:
                await agent.register(web({"ttl": "1h", "id": "mine"}, name=name))
                done[name] = "ok"
            except GossipError as problem:
                done[name] = problem

        async with trio.open_nursery() as nursery:
            for name in ("a", "b"):
                nursery.start_soon(register, name)
        refused = [name for name, outcome in done.items() if outcome != "ok"]
        assert len(refused) == 1
        assert isinstance(done[refused[0]], RefusedError)
        assert agent.update_check("mine", "passing", "") == "mine"
        # And it is to be had once its owner is gone.
        (kept,) = set(done) - set(refused)
        await agent.deregister(kept)
        await agent.register(web({"ttl": "1h", "id": "mine"}, name=refused[0]))


async def test_a_check_of_the_node_does_not_take_the_place_of_a_services(tmp_path: Path) -> None:
    async with Agent(config(tmp_path)) as agent:
        await agent.register(web({"ttl": "1h", "id": "disk"}))
        own = read_checks([{"ttl": "1h", "id": "disk"}], "")
        with pytest.raises(RefusedError, match="'disk' is that of a check of service 'web'"):
            await agent.reload(replace(agent.config, checks=own, tags={"a": "b"}))
        assert agent.node.members.me.record.tags == {}
        agent.update_check("disk", "passing", "")
        await wait("it passes", lambda: status(agent) == "passing")


async def test_a_reload_moves_checks_between_services_in_any_order(tmp_path: Path) -> None:
    one, two = {"ttl": "1h", "id": "one"}, {"ttl": "2h", "id": "two"}
    async with Agent(config(tmp_path, services=(of_file("a", one), of_file("b", two)))) as agent:
        done = await agent.reload(replace(agent.config, services=(of_file("a", two), of_file("b", one))))
        assert done == Reconciled(2, 0, 2, 0)
        assert (row(agent, "a")["id"], row(agent, "b")["id"]) == ("two", "one")
        agent.update_check("one", "passing", "")
        agent.update_check("two", "passing", "")
        await wait("both pass", lambda: status(agent, "a") == status(agent, "b") == "passing")


async def test_an_expiry_does_not_take_a_registration_that_is_on_its_way(tmp_path: Path) -> None:
    async with Agent(config(tmp_path)) as agent:
        await agent.register(web({"ttl": "1h", "deregister_after": "1s"}))
        monitor = agent._checking.monitor
        (check,) = monitor._services["web"].checks
        slow_disk(agent, 0.2)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(agent.register, web({"ttl": "1h", "start": "passing"}, port=81))
            await trio.testing.wait_all_tasks_blocked(0.01)
            await monitor._deregister(check)
        assert [each.port for each in agent.node.catalog.lookup("web", any=True)] == [81]


async def test_a_raised_floor_shows_nobody_a_service_without_its_status(tmp_path: Path) -> None:
    seen: list[str] = []
    async with pair(tmp_path) as (one, two):
        for number in range(60):
            await one.register(web({"ttl": "1h", "start": "passing"}, name=f"s{number}"))
        await wait("all are known", lambda: all(status(two, f"s{n}") == "passing" for n in range(60)))

        def watch(event: Event) -> None:
            if event.kind is EventKind.SERVICE_CHANGED:
                seen.append(event.detail)

        two._driver.subscribe(watch)
        floor = one.node.floor
        one._registrar._max_deletions = 1
        for name in ("x", "y"):
            await one.register(Registration(name, 1))
            await one.deregister(name)
        await wait("the floor rises", lambda: one.node.floor > floor)
        await wait("both agree", lambda: one.node.fingerprint == two.node.fingerprint)
        assert "critical" not in seen


async def test_who_follows_a_node_without_services_hears_of_its_maintenance(tmp_path: Path) -> None:
    async with pair(tmp_path) as (one, two):
        await two.register(web({"alias": "node:n1"}))
        assert status(two) == "passing"
        await one.set_maintenance("", "")
        await wait("it follows", lambda: status(two) == "critical")
        await one.set_maintenance("", None)
        await wait("it follows", lambda: status(two) == "passing")


async def test_of_more_registrations_than_may_wait_the_last_one_counts(tmp_path: Path) -> None:
    async with Agent(config(tmp_path)) as agent:
        slow_disk(agent, 0.05)
        asked: list[int] = []

        async def register(port: int) -> None:
            asked.append(port)
            await agent.register(web({"ttl": f"{port + 1}s"}, port=port))

        async with trio.open_nursery() as nursery:
            for port in range(1_600):
                nursery.start_soon(register, port)
        (found,) = agent.node.catalog.lookup("web", any=True)
        (held,) = agent._checking.monitor.definitions("web")
        assert held.ttl == found.port + 1


async def test_a_crash_while_all_is_signed_again_loses_nothing(tmp_path: Path) -> None:
    """A state file that is lost raises the floor: what is still below stands in the old log only."""
    note_of = {"k": "v" * 500}
    async with Agent(config(tmp_path)) as agent, trio.open_nursery() as nursery:
        for number in range(120):
            nursery.start_soon(agent.register, Registration("web", number, f"s{number}", meta=note_of))
    (tmp_path / "n1" / "state").unlink()
    agent = Agent(config(tmp_path))
    with pytest.raises(RuntimeError, match="crash"):  # noqa: PT012 - the crash comes from inside
        register, done = Registrar.register, 0

        async def crash(self: Registrar, *arguments: Any) -> tuple[str, int]:
            nonlocal done
            done += 1
            if done == 4:
                raise RuntimeError("crash")
            return await register(self, *arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Registrar, "register", crash)
            try:
                async with agent:
                    pass
            except BaseExceptionGroup as group:
                raise RuntimeError("crash") from group
    async with Agent(config(tmp_path)) as agent:
        assert len(agent.node.catalog.lookup("web")) == 120


def test_an_agent_that_was_started_deaf_to_children_hears_how_commands_end(tmp_path: Path) -> None:
    process = Process(tmp_path, "--profile", "local")
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        process.start()
    finally:
        signal.signal(signal.SIGCHLD, before)
    try:
        with process.ready().ask() as ask:
            ask.call("services.register", name="web", port=80, checks=[{"command": "true"}])
            until("it passes", lambda: listed(ask)["service:web"]["status"] == "passing")
    finally:
        process.kill()
