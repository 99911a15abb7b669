"""Health checks on real agents: what lookups show here and elsewhere, and what the disk keeps."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from gossip import log
from gossip.agent import Agent
from gossip.api.methods import Registration
from gossip.config import Config, load, read_checks
from gossip.core.types import show_address
from gossip.errors import ConfigError, LimitError, NotFoundError, RefusedError, StoreError
from gossip.saved_checks import entry_of, read_definitions, read_state, state_of
from gossip.store import StoredRecord
from gossip.store.log import scan
from tests.agent.processes import PATIENCE, Ask, Process, until
from tests.support import ROOT, clean_environment

ENV = {"HOME": "/home/u"}
HEADER_BYTES = 16
"""Of the log of records."""


@pytest.fixture(autouse=True)
def quiet() -> None:
    log.set_up("info", "text", io.StringIO())


def config(folder: Path, name: str = "n1", **more: Any) -> Config:
    settings: dict[str, Any] = {
        "name": name,
        "socket": folder / f"{name}.sock",
        "data_dir": folder / name,
        "bind": (("127.0.0.1", 0),),
        "profile": "local",
        **more,
    }
    return Config(**settings)


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[Agent, Agent]]:
    async with Agent(config(folder)) as one, Agent(config(folder, "n2")) as two:
        await one.join([show_address(two.node.address)])
        yield one, two


async def wait(what: str, condition: Callable[[], object]) -> None:
    with trio.move_on_after(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the condition is another task's, or another agent's
            await trio.sleep(0.005)
        return
    raise AssertionError(f"not within {PATIENCE:g} s: {what}")


def status(agent: Agent, service: str = "web") -> str | None:
    """The word of the only instance, as that agent sees it."""
    found = agent.node.catalog.lookup(service, any=True)
    return found[0].status if found else None


def called(agent: Agent, service: str = "web", *, any: bool = False, no_suspect: bool = False) -> list[str]:
    return [each.key for each in agent.node.catalog.lookup(service, any=any, no_suspect=no_suspect)]


def web(*checks: dict[str, Any], **more: Any) -> Registration:
    return Registration(more.pop("name", "web"), more.pop("port", 80), checks=list(checks), **more)


def is_passing(agent: Agent, service: str) -> bool:
    return status(agent, service) == "passing"


def row(agent: Agent, service: str = "web") -> dict[str, Any]:
    listed: Any = agent.checks()
    return next(each for each in listed["checks"] if each["service_id"] == service)


async def test_a_crashing_a_hanging_a_flapping_and_a_slow_check(tmp_path: Path) -> None:
    """Each has its outcome, at the owner and elsewhere, and none holds up the others."""
    flip = tmp_path / "flip"
    flapping = f"if [ -e {flip} ]; then rm {flip}; exit 2; else touch {flip}; fi"
    every: dict[str, Any] = {"interval": "100ms", "timeout": "10s"}
    async with pair(tmp_path) as (one, two):
        await one.register(web({"command": "kill -9 $$"} | every, name="crashing"))
        await one.register(web({"command": "sleep 1000"} | every | {"timeout": "300ms"}, name="hanging"))
        await one.register(web({"command": flapping} | every, name="flapping"))
        await one.register(web({"command": "sleep 0.5"} | every, name="slow"))
        await one.register(web({"command": "true"} | every, name="well"))
        for agent in (one, two):
            for name in ("slow", "well"):
                await wait(f"{name} passes", partial(is_passing, agent, name))
        await wait("it hung", lambda: row(one, "hanging")["output"] == "no result within 0.3 s")
        await wait("it crashed", lambda: row(one, "crashing")["output"] == "ended by signal SIGKILL")
        assert (status(two, "hanging"), status(two, "crashing")) == ("critical", "critical")
        assert called(two, "hanging") == called(two, "crashing") == []
        assert called(two, "slow") == ["slow"]
        # It cannot make up its mind, so that it is kept out.
        runs = one.info().counters["check_runs"]
        await wait("many runs", lambda: one.info().counters["check_runs"] > runs + 40)
        index = two.node.catalog.index_of("flapping")
        await wait("many runs", lambda: one.info().counters["check_runs"] > runs + 80)
        assert two.node.catalog.index_of("flapping") - index <= 2
        assert status(one, "flapping") == "critical"
        assert one.info().counters["check_timeouts"] >= 1
        assert one.node.health == 0


async def test_a_new_instance_is_not_called_before_its_first_good_check(tmp_path: Path) -> None:
    seen: list[str | None] = []
    async with pair(tmp_path) as (one, two):
        await one.register(web({"ttl": "1h"}))
        assert (status(one), called(one), called(one, any=True)) == ("critical", [], ["web"])
        await wait("it is known", lambda: status(two))
        seen.append(status(two))
        assert one.update_check("web", "passing", "well") == "service:web"
        await wait("it passes", lambda: status(two) == "passing")
        assert (row(one)["output"], row(one)["kind"], row(one)["name"]) == ("well", "ttl", "ttl")
        assert 3_500 < row(one)["next_s"] <= 3_600
        # Never as passing with checks that are not known yet: the status travels with the service.
        await one.register(web({"ttl": "1h", "start": "passing"}, name="db"))
        await wait("it is known", lambda: status(two, "db"))
        assert seen == ["critical"]
        assert two.node.catalog.lookup("db")[0].checks == (("ttl", "passing"),)
        # Without checks it is as well as its node.
        await one.register(web())
        await wait("it has none", lambda: two.node.catalog.lookup("web")[0].checks == ())
        await one.deregister("db")
        await wait("it is gone", lambda: status(two, "db") is None)
        with pytest.raises(NotFoundError):
            one.update_check("db", "passing", "")


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        (web({"tcp": "x"}), ConfigError, r"checks\[0\]\.tcp: 'x' has no port"),
        (web({"command": "true"}), RefusedError, "command_checks is off"),
        (
            web({"ttl": "5s", "id": "taken"}),
            RefusedError,
            "the id 'taken' is that of a check of service 'db'",
        ),
        (web({"ttl": "5s", "id": "node"}), RefusedError, "is that of a check of the node"),
        (web(*[{"ttl": "5s"}] * 17), ConfigError, "17 checks of one service: the limit is 16"),
        (
            web({"http": "http://a/", "headers": {f"h{n}": "x" * 4000 for n in range(15)}}),
            LimitError,
            "49152",
        ),
    ],
)
async def test_what_is_refused_leaves_nothing(
    tmp_path: Path, wanted: Registration, error: type[Exception], words: str
) -> None:
    own = read_checks([{"ttl": "5s"}], "")
    async with Agent(config(tmp_path, command_checks="off", checks=own)) as agent:
        await agent.register(web({"ttl": "5s", "id": "taken"}, name="db"))
        with pytest.raises(error, match=words):
            await agent.register(wanted)
        assert status(agent) is None
        assert len(agent.checks()["checks"]) == 2  # type: ignore[index]


async def test_commands_that_were_registered_before_do_not_run_when_switched_off(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    async with Agent(config(tmp_path)) as agent:
        await agent.register(web({"command": f"touch {mark}", "interval": "100ms"}))
        await wait("it passes", lambda: status(agent) == "passing")
        await agent.reload(replace(agent.config, command_checks="off"))
        await wait("it does not run", lambda: "command_checks is off" in row(agent)["output"])
    await trio.Path(mark).unlink()
    async with Agent(config(tmp_path, command_checks="off")) as agent:
        await wait("it does not run", lambda: "command_checks is off" in row(agent)["output"])
        assert status(agent) == "critical"
    assert not await trio.Path(mark).exists()


async def test_the_nodes_own_checks_and_maintenance_count_for_all_its_services(tmp_path: Path) -> None:
    own = read_checks([{"ttl": "1h", "name": "disk", "start": "passing"}], "")
    async with pair(tmp_path) as (one, two):
        await one.register(web())
        await wait("it is known", lambda: status(two))
        await one.reload(replace(one.config, checks=own))
        await wait(
            "node's check", lambda: ("node:disk", "passing") in two.node.catalog.lookup("web")[0].checks
        )
        one.update_check("node", "warning", "nearly full")
        await wait("it warns", lambda: status(two) == "warning")
        await two.register(web({"alias": "node:n1"}, name="shadow"))
        assert status(two, "shadow") == "warning"
        await one.set_maintenance("", "new disk")
        await wait("maintenance", lambda: status(two) == "maintenance")
        assert two.node.catalog.lookup("web", any=True)[0].note == "new disk"
        await wait("who follows it", lambda: status(two, "shadow") == "critical")
        await one.set_maintenance("", None)
        await wait("who follows it", lambda: status(two, "shadow") == "warning")
        await one.set_maintenance("web", "")
        await wait("maintenance", lambda: called(two) == [])
        with pytest.raises(NotFoundError):
            await one.set_maintenance("zz", "")
        for reason in ("r" * 129, "a\nb"):
            with pytest.raises(ConfigError, match=r"^reason: "):
                await one.set_maintenance("web", reason)


async def test_a_maintenance_that_the_disk_refuses_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Agent(config(tmp_path)) as agent:
        await agent.register(web())

        def full(content: object) -> None:
            raise StoreError("the disk is full")

        monkeypatch.setattr(agent._store, "save_checks", full)
        with pytest.raises(StoreError):
            await agent.set_maintenance("web", "r")
        assert status(agent) == "passing"


async def test_maintenance_survives_a_restart_and_ends_with_its_service(tmp_path: Path) -> None:
    async with Agent(config(tmp_path)) as agent:
        await agent.register(web())
        await agent.register(web(name="db"))
        await agent.set_maintenance("web", "why")
        await agent.set_maintenance("db", "")
        await agent.set_maintenance("", "all")
        agent.stop_at_once()
        await agent.finished()
    async with Agent(config(tmp_path)) as agent:
        assert status(agent) == "maintenance"
        await agent.set_maintenance("", None)
        assert agent.node.catalog.lookup("web", any=True)[0].note == "why"
        await agent.deregister("web")
        agent.stop_at_once()
        await agent.finished()
    async with Agent(config(tmp_path)) as agent:
        await agent.register(web())
        assert (status(agent), status(agent, "db")) == ("passing", "maintenance")


async def test_a_service_that_stays_critical_is_deregistered(tmp_path: Path) -> None:
    async with pair(tmp_path) as (one, two):
        await one.register(web({"tcp": "127.0.0.1:1", "deregister_after": "1s"}))
        await wait("it is known", lambda: status(two))
        await wait("it is gone", lambda: status(two) is None)
        assert one.checks() == {"checks": [], "index": one.node.catalog.index, "maintenance": {}}


async def test_an_owner_that_is_cut_off_while_a_ttl_lapses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scenario 95: the others see it passing until they suspect its owner, and the truth once they hear."""
    async with pair(tmp_path) as (one, two):
        await one.register(web({"ttl": "1s"}))
        one.update_check("web", "passing", "")
        await wait("it passes", lambda: status(two) == "passing")
        cut_at = trio.current_time()
        for agent in (one, two):
            monkeypatch.setattr(agent.node, "receive", lambda *_: None)
            monkeypatch.setattr(agent.node, "stream_received", lambda *_: None)
        await wait("it lapses", lambda: status(one) == "critical")
        lapsed_at = trio.current_time()
        assert called(one) == []
        assert "TTL expired" in row(one)["output"]
        # What the others cannot know they do not say; who wants none of a suspect gets none soon.
        await wait("its owner is suspect", lambda: called(two, no_suspect=True) == [])
        assert trio.current_time() - cut_at < 15
        assert status(two) in ("suspect", "dead")
        monkeypatch.undo()
        await wait("they hear of it", lambda: status(two) == "critical")
        assert trio.current_time() > lapsed_at
        one.update_check("web", "passing", "")
        await wait("it passes", lambda: status(two) == "passing")


async def test_a_reload_counts_from_the_last_one(tmp_path: Path) -> None:
    async with Agent(config(tmp_path)) as agent:
        first = agent.config
        await agent.reload(replace(first, tags={"a": "b"}))
        assert agent.node.members.me.record.tags == {"a": "b"}
        await agent.reload(first)
        assert agent.node.members.me.record.tags == {}
        with pytest.raises(RefusedError, match="without anything to reload"):
            await agent.reload_files()


# ------------------------------------------------------------------------------------------- on disk


async def test_a_write_that_is_cut_leaves_a_service_with_its_own_checks(tmp_path: Path) -> None:
    """A crash between any two frames of the log: a registration with its own checks, or the former one."""
    async with Agent(config(tmp_path)) as agent:
        await agent.register(web({"ttl": "1h"}))
        await agent.register(web({"ttl": "2h"}, {"tcp": "127.0.0.1:1"}, port=81))
        await agent.register(web(port=82))
    path = tmp_path / "n1" / "records"
    whole = path.read_bytes()
    ids = (["service:web"], ["service:web:1", "service:web:2"])
    found = []
    ends = [end for end in range(HEADER_BYTES, len(whole) + 1) if end == scan(whole[:end]).end]
    assert len(ends) == 6
    for end in [*ends, *(end - 1 for end in ends[1:])]:
        path.write_bytes(whole[:end])
        async with Agent(config(tmp_path)) as agent:
            held = agent.node.catalog.lookup("web", any=True)
            rows = [each["id"] for each in agent.checks()["checks"]]  # type: ignore[index]
            found.append((held[0].port if held else None, rows))
        path.write_bytes(whole)
    allowed = [(None, []), (80, ids[0]), (81, ids[1]), (82, [])]
    assert found[:6] == [allowed[0], allowed[0], allowed[1], allowed[1], allowed[2], allowed[3]]
    assert all(each in allowed for each in found)


async def test_checks_survive_a_rewritten_log_and_a_raised_floor(tmp_path: Path) -> None:
    async with Agent(config(tmp_path), max_deletions=3) as agent:
        await agent.register(web({"ttl": "1h"}))
        agent.update_check("web", "passing", "well")
        for number in range(5):
            await agent.register(web(name=f"s{number}"))
            await agent.deregister(f"s{number}")
        await wait("deletions are forgotten", lambda: agent.node.deletions <= 3)
        assert status(agent) == "passing"
        await agent._journal.settle()
    async with Agent(config(tmp_path)) as agent:
        assert (status(agent), row(agent)["output"]) == ("passing", "well")


async def test_services_whose_checks_are_lost_are_without(tmp_path: Path) -> None:
    """Only damage of the disk can do it: better called than critical for good, and the log says so."""
    async with Agent(config(tmp_path)) as agent:
        await agent.register(web({"ttl": "1h"}))
    path = tmp_path / "n1" / "records"
    data = path.read_bytes()
    place = data.index(b'"ttl"')
    path.write_bytes(data[:place] + b"X" + data[place + 1 :])
    async with Agent(config(tmp_path)) as agent:
        assert (status(agent), agent.checks()["checks"]) == ("passing", [])  # type: ignore[index]


def test_what_the_disk_says_is_read_with_care() -> None:
    checks = read_checks([{"ttl": "5s"}], "web")
    entry = entry_of("web", 7, checks)
    bad = [StoredRecord("checks", raw) for raw in (b"", b"[]", b"\xff", b'["a",1,[{"x":1}]]', b'["a",1]')]
    assert read_definitions([StoredRecord("api", b"x"), *bad, entry]) == {("web", 7): checks}
    content = state_of({}, {"web": "r"}, "b1", 100.0) | {
        "checks": {
            "a": ["passing", 10.0, 0.0, "out"], "b": ["critical", None, 3.5, ""], "c": ["up", 1, 1, ""],
            "d": 1,
        }
    }  # fmt: skip
    states, maintenance = read_state(content, "b1", 104.0)
    assert maintenance == {"web": "r"}
    assert {id: (each.status.label, each.remaining, each.critical_for) for id, each in states.items()} == {
        "a": ("passing", 6.0, 0.0),
        "b": ("critical", None, 3.5),
    }
    # The machine was started anew, and its services with it.
    assert read_state(content, "b2", 4.0) == ({}, {"web": "r"})
    assert read_state(content, "", 4.0) == ({}, {"web": "r"})
    nothings: tuple[object, ...] = (None, [], {}, {"boot": 1})
    for nothing in nothings:
        assert read_state(nothing, "b1", 0.0) == ({}, {})


# ------------------------------------------------------------------------------------ whole processes


def listed(ask: Ask) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in ask.call("checks.list")["checks"]}


def seen(process: Process, service: str = "web", **how: bool) -> list[dict[str, Any]]:
    with process.ask() as ask:
        found: list[dict[str, Any]] = ask.call("services.lookup", service=service, **how)["instances"]
        return found


def test_a_ttl_has_what_was_left_after_a_restart_and_lapses_then(tmp_path: Path) -> None:
    """It survives a crash as it does a good end; the time away counts, but for a grace."""
    ttl = {"ttl": "4s"}
    with Process(tmp_path, "--profile", "local") as process:
        with process.ask() as ask:
            ask.call("services.register", name="web", port=80, checks=[ttl, {"ttl": "24h"}])
            ask.call("checks.update", id="service:web:1", status="passing", note="well")
            ask.call("checks.update", id="service:web:2", status="warning")
            until("some of it is used up", lambda: listed(ask)["service:web:1"]["next_s"] < 3.5)
            left = listed(ask)["service:web:2"]["next_s"]
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    with process:
        with process.ask() as ask:
            rows = listed(ask)
            assert (rows["service:web:1"]["status"], rows["service:web:1"]["output"]) == ("passing", "well")
            assert rows["service:web:1"]["next_s"] < 3.5
            assert 86_000 < rows["service:web:2"]["next_s"] < left
            assert ask.call("services.lookup", service="web")["instances"][0]["status"] == "warning"
            # What changed is on disk in a moment; then it crashes.
            saved = tmp_path / "data" / "checks"
            before = saved.read_bytes()
            ask.call("checks.update", id="service:web:2", status="passing")
            until("it is saved", lambda: saved.read_bytes() != before)
        process.kill()
    with process, process.ask() as ask:
        assert listed(ask)["service:web:1"]["status"] == listed(ask)["service:web:2"]["status"] == "passing"
        until("it lapses", lambda: listed(ask)["service:web:1"]["status"] == "critical")
        assert ask.call("services.lookup", service="web")["instances"] == []


def test_killed_between_acknowledgement_and_gossip(tmp_path: Path) -> None:
    """The service and its checks are there again, and reach the others from there."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with Process(tmp_path / "b", "--profile", "local", name="other") as other:
        with other.ask() as ask:
            address = ask.call("agent.info")["addresses"]["gossip"]
        # It knows nobody yet whom it could tell.
        with Process(tmp_path / "a", name="owner") as owner, owner.ask() as ask:
            checks = [{"ttl": "1h"}, {"command": "true"}]
            ask.call("services.register", name="web", port=80, checks=checks)
            owner.kill()
        owner = Process(tmp_path / "a", "--join", address, "--profile", "local", name="owner")
        with owner, owner.ask() as ask:
            assert set(listed(ask)) == {"service:web:1", "service:web:2"}
            until("the other hears of it", lambda: seen(other, any=True))
            ask.call("checks.update", id="web", status="passing")
            until("the other calls it", lambda: seen(other))
            until("both pass", lambda: seen(other)[0]["status"] == "passing")
            assert seen(other)[0]["checks"] == {"ttl": "passing", "command": "passing"}


@pytest.mark.slow
def test_an_owner_dies_and_returns_and_nobody_registers_anew(tmp_path: Path) -> None:
    """Scenario 93: a suspect's services are shown to who does not mind, a dead one's to who asks for any."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with Process(tmp_path / "b", "--profile", "local", name="other") as other:
        with other.ask() as ask:
            address = ask.call("agent.info")["addresses"]["gossip"]
        with Process(tmp_path / "a", "--join", address, "--profile", "local", name="owner") as owner:
            with owner.ask() as ask:
                ask.call("services.register", name="web", port=80, checks=[{"ttl": "1h", "start": "passing"}])
            until("it is called", lambda: [each["status"] for each in seen(other)] == ["passing"])
            owner.signal(signal.SIGSTOP)
            until("its owner is suspect", lambda: not seen(other, no_suspect=True))
            until("its owner is dead", lambda: not seen(other))
            assert [each["status"] for each in seen(other, any=True)] == ["dead"]
            owner.signal(signal.SIGCONT)
            until("it is back", lambda: [each["status"] for each in seen(other)] == ["passing"])
            with owner.ask() as ask:
                assert ask.call("agent.info")["services"] == 1


def definitions(*services: tuple[str, int, str]) -> str:
    return "".join(
        f'[[service]]\nname = "{name}"\nport = {port}\n[[service.check]]\nttl = "{ttl}"\nstart = "passing"\n'
        for name, port, ttl in services
    )


def test_reload_adds_changes_and_removes_exactly_the_services_of_files(tmp_path: Path) -> None:
    """Scenario 96, by SIGHUP and the socket: programs' own are untouched, a faulty file changes nothing."""
    main = tmp_path / "gossip.toml"
    main.write_text(definitions(("a", 1, "1h"), ("b", 2, "1h"), ("c", 3, "1h")))
    folder = tmp_path / "services.d"
    folder.mkdir()
    (folder / "d.json").write_text('{"service": {"name": "d", "port": 4, "check": {"ttl": "1h"}}}')
    with Process(tmp_path, "--config", str(main)) as process, process.ask() as ask:

        def held() -> dict[str, int]:
            names = [each["name"] for each in ask.call("services.list")["services"]]
            found = [
                each
                for name in names
                for each in ask.call("services.lookup", service=name, any=True)["instances"]
            ]
            return {each["id"]: each["port"] for each in found}

        ask.call("services.register", name="api", port=9, checks=[{"ttl": "1h"}])
        ask.call("checks.update", id="api", status="passing", note="mine")
        ask.call("checks.update", id="b", status="warning", note="so so")
        assert held() == {"a": 1, "b": 2, "c": 3, "d": 4, "api": 9}
        good = definitions(("b", 2, "2h"), ("c", 33, "1h"), ("e", 5, "1h"))
        main.write_text(good)
        assert ask.call("agent.reload") == {
            "services": 4,
            "added": 1,
            "changed": 2,
            "removed": 1,
            "problems": [],
        }
        assert held() == {"b": 2, "c": 33, "d": 4, "e": 5, "api": 9}
        rows = listed(ask)
        assert rows["service:api"]["output"] == "mine"
        assert (rows["service:b"]["status"], rows["service:b"]["output"]) == ("warning", "so so")
        assert ask.call("agent.reload") == {
            "services": 4,
            "added": 0,
            "changed": 0,
            "removed": 0,
            "problems": [],
        }

        main.write_text(good.replace("33", "44").replace('"2h"', '"2 hours"'))
        number = ask.send("agent.reload")
        refused = ask.line()
        assert refused["id"] == number
        assert refused["error"]["data"]["kind"] == "config"
        place = f"{main}:5: service.check.ttl: '2 hours' is no duration"
        assert place in refused["error"]["message"]
        process.signal(signal.SIGHUP)
        until("it refuses", lambda: [e for e in process.events() if e["event"] == "reload_failed"])
        assert place in next(e for e in process.events() if e["event"] == "reload_failed")["detail"]
        assert held() == {"b": 2, "c": 33, "d": 4, "e": 5, "api": 9}

        (folder / "d.json").unlink()
        main.write_text("")
        process.signal(signal.SIGHUP)
        until("only the program's is left", lambda: held() == {"api": 9})


def test_check_validates_checks_and_stops(tmp_path: Path) -> None:
    main = tmp_path / "gossip.toml"

    def run(text: str) -> subprocess.CompletedProcess[str]:
        main.write_text(text)
        command = [sys.executable, "-m", "gossip", "agent", "--dev", "--check", "--config", str(main)]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    assert run(definitions(("a", 1, "1h"))).returncode == 0
    bad = run(definitions(("a", 1, "1x")))
    assert bad.returncode != 0
    assert f"{main}:5: service.check.ttl: '1x' is no duration" in bad.stderr


def test_the_agents_files_are_those_of_the_loader(tmp_path: Path) -> None:
    path = tmp_path / "gossip.toml"
    path.write_text("dev = true\n" + definitions(("a", 1, "1h")))
    assert load([path], ENV, {}).services[0].checks[0].ttl == 3_600
