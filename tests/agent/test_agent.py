"""Agents inside this very process, on loopback."""

from __future__ import annotations

import dataclasses
import io
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from gossip import log
from gossip.agent import Agent
from gossip.api.methods import Registration
from gossip.config import Config, ServiceDefinition
from gossip.core.types import show_address
from gossip.errors import ConfigError, LimitError, NotFoundError, StoreError, TransportError
from gossip.notify import notify
from gossip.process import _main


@pytest.fixture(autouse=True)
def quiet() -> None:
    log.set_up("info", "text", io.StringIO())


def config(folder: Path, name: str = "n1", **more: object) -> Config:
    settings: dict[str, object] = {
        "name": name,
        "socket": folder / f"{name}.sock",
        "data_dir": folder / name,
        "bind": (("127.0.0.1", 0),),
        **more,
    }
    return Config(**settings)  # type: ignore[arg-type]


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[Agent, Agent]]:
    async with Agent(config(folder)) as one, Agent(config(folder, "n2")) as two:
        yield one, two


async def until(what: str, condition: Callable[[], object]) -> None:
    with trio.move_on_after(30):
        while not condition():  # noqa: ASYNC110 - the condition is another task's, or another agent's
            await trio.sleep(0.005)
        return
    raise AssertionError(f"not within 30 s: {what}")


def names(agent: Agent, service: str) -> list[str]:
    return [each.key for each in agent.node.catalog.lookup(service)]


async def test_two_agents_join_and_share_a_service(tmp_path: Path) -> None:
    async with pair(tmp_path) as (one, two):
        results = await one.join([show_address(two.node.address), "127.0.0.1:1", "no such name:x"])
        assert [ok for _, ok, _ in results] == [True, False, False]
        assert all(detail for _, ok, detail in results if not ok)
        key, version = await one.register(Registration("web", 80, tags=("v2",)))
        assert key == "web"
        await until("the other sees it", lambda: names(two, "web") == ["web"])
        assert two.member(one.node.id) is not None
        # The same words again are nothing new to anybody.
        assert await one.register(Registration("web", 80, tags=("v2",))) == (key, version)
        assert (await one.register(Registration("web", 81)))[1] > version
        await one.deregister("web")
        await until("the other sees it go", lambda: names(two, "web") == [])
        with pytest.raises(NotFoundError):
            await one.deregister("web")
    assert not one.config.socket.exists()


async def test_an_agent_without_a_disk(tmp_path: Path) -> None:
    async with Agent(config(tmp_path, data_dir=None)) as agent:
        await agent.register(Registration("web", 80))
        assert "ephemeral" in agent.info().flags


@pytest.mark.parametrize(
    ("wanted", "problem"),
    [
        (Registration("web", 80, checks=[{"http": "x"}]), ConfigError),
        (Registration("", 80), Exception),
        (Registration("w" * 65, 80), LimitError),
        (Registration("web", 80, meta={"k": "v" * 600}), LimitError),
        (Registration("web", 80, meta={f"k{n}": "v" * 500 for n in range(5)}), LimitError),
    ],
)
async def test_what_cannot_be_registered(
    tmp_path: Path, wanted: Registration, problem: type[Exception]
) -> None:
    async with Agent(config(tmp_path)) as agent:
        with pytest.raises(problem):
            await agent.register(wanted)
        assert agent.node.saved() == []


async def test_a_disk_that_fails_changes_nothing_and_may_recover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Agent(config(tmp_path)) as agent:
        with monkeypatch.context() as patch:

            def full(_entries: object) -> None:
                raise StoreError("the disk is full")

            patch.setattr(agent._store, "append", full)
            with pytest.raises(StoreError):
                await agent.register(Registration("web", 80))
            assert names(agent, "web") == []
        await agent.register(Registration("web", 80))
        assert names(agent, "web") == ["web"]


async def test_what_the_log_keeps_after_many_changes_is_what_lives(tmp_path: Path) -> None:
    async with Agent(config(tmp_path)) as agent:
        async with trio.open_nursery() as nursery:
            for n in range(50):
                nursery.start_soon(agent.register, Registration("web", 80, f"w{n}"))
        for _ in range(8):
            for port in (81, 82):
                async with trio.open_nursery() as nursery:
                    for n in range(50):
                        nursery.start_soon(
                            agent.register, Registration("web", port, f"w{n}", meta={"k": "v" * 300})
                        )
        await agent.deregister("w7")
    assert (tmp_path / "n1" / "records").stat().st_size < 250_000
    async with Agent(config(tmp_path)) as agent:
        assert sorted(names(agent, "web")) == sorted(f"w{n}" for n in range(50) if n != 7)
        assert {each.port for each in agent.node.catalog.lookup("web")} == {82}


async def test_96_reload_changes_exactly_the_services_of_files(tmp_path: Path) -> None:
    """Scenario 96: adds, changes and removes those of the files; those of programs are untouched."""
    first = config(tmp_path, services=(ServiceDefinition("web", "a", 1), ServiceDefinition("web", "b", 2)))
    async with Agent(first) as agent:
        await agent.register(Registration("web", 9, "mine"))
        versions = {fact.body.key: fact.body.version for fact in agent.node.saved()}  # type: ignore[union-attr]
        second = dataclasses.replace(
            first,
            tags={"role": "db"},
            services=(
                ServiceDefinition("web", "b", 2),
                ServiceDefinition("web", "c", 3),
                ServiceDefinition("web", "mine", 8),
            ),
        )
        await agent.reload(second)
        assert {each.key: each.port for each in agent.node.catalog.lookup("web")} == {
            "b": 2,
            "c": 3,
            "mine": 9,
        }
        after = {fact.body.key: fact.body.version for fact in agent.node.saved()}  # type: ignore[union-attr]
        assert (after["b"], after["mine"]) == (versions["b"], versions["mine"])
        assert agent.members().members[0].tags == {"role": "db"}


async def test_incarnations_rise_and_the_identity_stays(tmp_path: Path) -> None:
    seen = []
    for _ in range(3):
        async with Agent(config(tmp_path)) as agent:
            seen.append((agent.node.id, agent.node.incarnation))
    assert len({id for id, _ in seen}) == 1
    assert [incarnation for _, incarnation in seen] == sorted({incarnation for _, incarnation in seen})


async def test_a_clock_that_was_set_back_does_not_lower_the_incarnation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Agent(config(tmp_path)) as agent:
        before = agent.node.incarnation
    with monkeypatch.context() as patch:
        patch.setattr("gossip.origin.time.time_ns", lambda: 1_000_000_000)
        async with Agent(config(tmp_path)) as agent:
            assert agent.node.incarnation > before


async def test_another_machine_is_another_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = []
    for machine in ("a" * 32, "b" * 32):
        monkeypatch.setattr("gossip.agent.machine_id", lambda machine=machine: machine)
        async with Agent(config(tmp_path)) as agent:
            ids.append(agent.node.id)
    assert len(set(ids)) == 2


async def test_addresses_of_others_are_kept(tmp_path: Path) -> None:
    async with Agent(config(tmp_path, "n2")) as two:
        async with Agent(config(tmp_path)) as one:
            await one.join([show_address(two.node.address)])
            await until("they know each other", lambda: len(one.node.members) == 1)
        async with Agent(config(tmp_path)) as one:
            await until("it finds the other again by itself", lambda: len(one.node.members.live) == 1)


async def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    async with Agent(config(tmp_path)) as agent:
        taken = agent.node.address
        with pytest.raises(TransportError):
            await Agent(config(tmp_path, "n2", bind=(taken,))).__aenter__()
        with pytest.raises(StoreError):
            await Agent(config(tmp_path, "n3", data_dir=tmp_path / "n1")).__aenter__()
    assert not (tmp_path / "n2.sock").exists()
    async with Agent(config(tmp_path, "n2")):
        pass


async def test_an_error_in_the_block_ends_the_agent_and_comes_through(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with Agent(config(tmp_path)):
            _ = 1 / 0
    assert not (tmp_path / "n1.sock").exists()


async def test_hangup_reloads_and_a_faulty_file_changes_nothing(tmp_path: Path) -> None:
    base = config(tmp_path, services=(ServiceDefinition("web", "a", 1),))
    steps: list[Config | Exception] = [
        ConfigError("gossip.toml:3: service.port: it must be a whole number"),
        dataclasses.replace(base, services=(ServiceDefinition("web", "b", 2),)),
    ]

    def reload() -> Config:
        step = steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    text = io.StringIO()

    async def lines(word: str) -> None:
        await until(word, lambda: word in text.getvalue())

    async with trio.open_nursery() as nursery:

        async def main() -> None:
            log.set_up("info", "text", text)
            assert await _main(base, reload, ()) == 0

        nursery.start_soon(main)
        await lines("agent_started")
        signal.raise_signal(signal.SIGHUP)
        await lines("reload_failed")
        assert "service_deregistered" not in text.getvalue()
        text.truncate(0)
        # Reloading sets logging up anew, on standard error: look at what it did instead.
        signal.raise_signal(signal.SIGHUP)
        await until("the file is read again", lambda: not steps)
        signal.raise_signal(signal.SIGTERM)
    async with Agent(dataclasses.replace(base, services=(ServiceDefinition("web", "b", 2),))) as agent:
        assert names(agent, "web") == ["b"]


def test_no_manager_no_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for path in ("", "relative", str(tmp_path / "nobody")):
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        notify("READY=1")
