"""The doctor of real agents on loopback: healthy, killed, stopped, foreign, doubled and unreachable ones."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

import gossip
from gossip import log
from gossip.agent import Agent
from gossip.config import Config
from gossip.config.keyfile import show_key
from gossip.core.types import Status, show_address
from gossip.diagnosing import Diagnosis
from gossip.errors import RefusedError
from tests.agent.processes import Process, until
from tests.support import ROOT, clean_environment


@pytest.fixture(autouse=True)
def quiet() -> None:
    log.set_up("info", "text", io.StringIO())


def config(folder: Path, name: str, **more: object) -> Config:
    settings: dict[str, object] = {
        "name": name,
        "socket": folder / f"{len(list(folder.iterdir()))}{name}.sock",
        "data_dir": None,
        "bind": (("127.0.0.1", 0),),
        **more,
    }
    return Config(**settings)  # type: ignore[arg-type]


async def holds(what: str, condition: Callable[[], object]) -> None:
    with trio.move_on_after(30):
        while not condition():  # noqa: ASYNC110 - the condition is another task's, or another agent's
            await trio.sleep(0.005)
        return
    raise AssertionError(f"not within 30 s: {what}")


def sees(agent: Agent, others: int) -> bool:
    return len(agent.node.members) == others


@asynccontextmanager
async def meeting(folder: Path, *names: str) -> AsyncIterator[list[Agent]]:
    """Agents that know each other."""
    async with Agent(config(folder, names[0])) as first, trio.open_nursery() as nursery:
        agents = [first]

        async def live(name: str, *, task_status: trio.TaskStatus[Agent]) -> None:
            async with Agent(config(folder, name, join=(show_address(first.node.address),))) as agent:
                task_status.started(agent)
                await agent.finished()

        agents += [await nursery.start(live, name) for name in names[1:]]
        for agent in agents:
            await holds("it sees all", partial(sees, agent, len(names) - 1))
        yield agents
        for agent in agents[1:]:
            agent.stop_at_once()


BUSY = {"starved", "clock_gap", "overflow", "mute"}
"""What is told of an agent for which its machine had no time: true, and no matter here."""


def problems(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    found = [each for each in diagnosis.findings if each.severity == "problem" and each.code not in BUSY]
    return [(each.code, each.member) for each in found]


async def well(agent: Agent, who: bytes | None = None) -> Diagnosis:
    """A diagnosis without problems, as soon as there is one: a busy machine may make one suspect another."""
    with trio.fail_after(90):
        while problems(diagnosis := await agent.doctor(who, 10.0)):
            pass  # it takes a second and a half at least until the next
    return diagnosis


async def test_a_healthy_cluster_is_well_seen_from_everybody(tmp_path: Path) -> None:
    async with meeting(tmp_path, "a", "b", "c") as agents:
        for agent in agents:
            diagnosis = await well(agent)
            if diagnosis.ok:
                assert diagnosis.summary.startswith("All is well: 3 members are alive; by UDP, full-size")
            assert len(diagnosis.facts.peers) == 2
            for each in diagnosis.facts.peers:
                assert each.back is not None
                assert (each.full, each.back.full) == ("acked", "acked")


async def test_those_who_ask_the_same_share_one_and_others_wait(tmp_path: Path) -> None:
    async with meeting(tmp_path, "a", "b") as (a, b):
        found: list[Diagnosis] = []

        async def ask(who: bytes | None) -> None:
            found.append(await a.doctor(who, 20.0))

        async with trio.open_nursery() as nursery:
            for who in (None, None, b.node.id, None):
                nursery.start_soon(ask, who)
        assert len({id(each) for each in found}) == 2
        assert sorted(each.facts.only for each in found) == ["", "", "", b.node.id.hex()]
        assert a._diagnosing._under_way == {}
        # Who has no time to wait for its turn is told so.
        with pytest.raises(RefusedError, match="another diagnosis is under way"):
            await a.doctor(None, 0.001)


async def test_a_fault_of_our_own_is_an_error_and_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with meeting(tmp_path, "a", "b") as (a, _):

        def broken(*_: object) -> None:
            raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr("gossip.diagnosing.gather", broken)
            with pytest.raises(RefusedError, match="log says why"):
                await a.doctor(None, 20.0)
        assert a.node.counters["internal_error"] == 1
        await well(a)


async def test_another_cluster_is_told_on_both_sides(tmp_path: Path) -> None:
    async with meeting(tmp_path, "a", "b") as (a, _):
        where = show_address(a.node.address)
        async with Agent(config(tmp_path, "x", cluster="other", join=(where,))) as stranger:
            await holds("its try has failed", lambda: "broke" in stranger.node.seed_problems()[where])
            diagnosis = await stranger.doctor(None, 5.0)
            assert problems(diagnosis) == [("seed", "")]
            assert "compare --cluster and 'gossip keys list' on both" in diagnosis.findings[0].advice
            diagnosis = await a.doctor(None, 20.0)
            assert problems(diagnosis) == [("other_cluster", "")]
            assert "127.0.0.1" in diagnosis.findings[0].text


async def test_another_key_is_told_on_both_sides(tmp_path: Path) -> None:
    files = []
    for number in range(2):
        file = tmp_path / f"{number}.key"
        file.touch(0o600)
        file.write_text(f"{show_key(bytes(range(number, number + 32)))}\n")
        files.append(file)
    async with Agent(config(tmp_path, "a", key_file=files[0])) as a:
        where = show_address(a.node.address)
        async with Agent(config(tmp_path, "x", key_file=files[1], join=(where,))) as stranger:
            await holds("its try has failed", lambda: "broke" in stranger.node.seed_problems()[where])
            diagnosis = await stranger.doctor(None, 5.0)
            assert problems(diagnosis) == [("seed", "")]
            assert "compare --cluster and 'gossip keys list' on both" in diagnosis.findings[0].advice
            diagnosis = await a.doctor(None, 20.0)
            assert problems(diagnosis) == [("other_key", "")]
            assert "was sealed with a key that this agent does not have" in diagnosis.findings[0].text
            assert "Give both agents the same key" in diagnosis.findings[0].advice


async def test_two_of_one_name_are_told(tmp_path: Path) -> None:
    async with meeting(tmp_path, "a", "b", "b") as (a, one, two):
        diagnosis = await a.doctor(None, 20.0)
        assert [code for code, _ in problems(diagnosis)] == ["name_conflict"]
        text = diagnosis.findings[0].text
        assert one.node.id.hex()[:8] in text
        assert two.node.id.hex()[:8] in text
        diagnosis = await one.doctor(None, 20.0)
        assert "this agent" in diagnosis.findings[0].text


async def test_a_wrong_advertised_port_is_told_to_its_agent(tmp_path: Path) -> None:
    """It knows others, who joined by it, and they cannot reach it where it says that it is."""
    closed = ("127.0.0.1", 1)
    async with Agent(config(tmp_path, "a", advertise=closed)) as a:
        where = show_address(a._driver.endpoints[0].address)
        async with Agent(config(tmp_path, "b", join=(where,))) as b:
            await holds("a knows b", lambda: a.node.members.get(b.node.id) is not None)
            diagnosis = await a.doctor(None, 20.0)
            (found,) = [each for each in diagnosis.findings if each.code == "port_here"]
            assert "b cannot reach this agent at 127.0.0.1:1, which it advertises" in found.text
            assert "UDP is refused, TCP is refused" in found.text


def doctor(process: Process, *arguments: str) -> tuple[int, str]:
    """The command, as an operator types it."""
    ran = subprocess.run(
        [sys.executable, "-m", "gossip", "doctor", *arguments],
        cwd=ROOT,
        env=clean_environment({"GOSSIP_SOCKET": str(process.socket), "NO_COLOR": "1"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.slow
def test_killed_and_stopped_members_as_an_operator_meets_them(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abc"]
    for folder in folders:
        folder.mkdir()
    with Process(folders[0], name="a") as a:
        with a.ask() as ask:
            where = ask.call("agent.info")["addresses"]["gossip"]
        with (
            Process(folders[1], "--join", where, name="b") as b,
            Process(folders[2], "--join", where, name="c") as c,
            gossip.connect(a.socket) as client,
        ):

            def status(name: str) -> str:
                return {each.name: each.status for each in client.members()}.get(name, "")

            until("all are there", lambda: (status("b"), status("c")) == ("alive", "alive"))
            until("all is well", lambda: doctor(a, "--timeout", "10s")[0] == 0, 120.0)
            b.signal(signal.SIGSTOP)
            until("the stopped one is suspected", lambda: status("b") in ("suspect", "dead"))
            code, out = doctor(a, "b", "--timeout", "10s")
            assert code == 1
            assert "takes connections at" in out, out
            assert "stopped, hanging or starved of CPU" in out
            b.signal(signal.SIGCONT)
            until("it goes on", lambda: status("b") == "alive")
            with gossip.connect(b.socket) as other:
                found = {each.code for each in other.doctor(timeout=10.0).findings}
            assert found & {"starved", "clock_gap"}, found
            c.kill()
            until("the killed one is dead", lambda: status("c") == "dead")
            code, out = doctor(a, "c", "--json")
            value: Any = json.loads(out)
            assert (code, value["ok"]) == (1, False)
            (killed,) = [each for each in value["findings"] if each["member"] == "c"]
            assert killed["code"] == "port_closed"
            assert killed["advice"] == "Start its agent again; if it is gone for good: gossip evict c."
        assert c.socket.exists()
    assert doctor(a)[0] == 3


def test_the_async_client_asks_the_same(tmp_path: Path) -> None:
    with Process(tmp_path) as process:

        async def ask() -> gossip.Diagnosis:
            async with gossip.aconnect(process.socket) as g:
                return await g.doctor()

        diagnosis = trio.run(ask)
        assert {each.code for each in diagnosis.findings if each.severity == "problem"} <= BUSY
        assert diagnosis.facts["me"]["name"] == "n1"
        assert Status.ALIVE.label in diagnosis.facts["me"]["members"]


async def test_an_agent_of_another_cluster_at_a_members_address_is_told(tmp_path: Path) -> None:
    async with meeting(tmp_path, "a", "b", "c") as (a, b, _):
        address = b.node.address
        b.stop_at_once()
        await b.finished()
        async with Agent(config(tmp_path, "x", cluster="other", bind=(address,))):
            diagnosis = await a.doctor(b.node.id, 10.0)
            (found,) = [each for each in diagnosis.findings if each.member == "b"]
            assert found.code == "foreign"
            assert f"what answers at {show_address(address)} is no agent of this cluster" in found.text
