"""The DNS face as part of real agents: where it is, and what it says as the cluster changes."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

import dns.message
import dns.query
import dns.rcode
import pytest
import trio

from gossip.agent import Agent
from gossip.api.methods import Registration
from gossip.config import Config
from gossip.core.types import Verdict
from tests.agent.processes import PATIENCE, Process
from tests.api.dns.world import query, shown
from tests.support import run_python

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dns.message import Message


def place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def ask(address: str, name: str, kind: str = "A", *, tcp: bool = False) -> Message:
    host, port = place(address)
    way = dns.query.tcp if tcp else dns.query.udp
    return way(dns.message.make_query(name, kind), host, PATIENCE, port)


def test_an_agent_tells_its_real_address_and_answers_there(tmp_path: Path) -> None:
    with (
        Process(tmp_path, "--dns", "127.0.0.1:0", "--dns-domain", "sd.example") as process,
        process.ask() as say,
    ):
        address = say.call("agent.info")["addresses"]["dns"]
        say.call("services.register", name="web", port=80, address="10.0.0.7")
        for tcp in (False, True):
            assert shown(ask(address, "web.service.sd.example", tcp=tcp)) == ["10.0.0.7"]
            assert ask(address, "web.service.consul", tcp=tcp).rcode() == dns.rcode.REFUSED
        started = next(each for each in process.events() if each["event"] == "agent_started")
        assert started["dns"] == address


def test_a_port_that_is_taken_ends_the_agent_with_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        process = Process(tmp_path, "--dns", where).start()
        assert process.wait() == 1
        text = process.log.read_text()
        assert f"{where} (TCP): in use by another program: give another --dns" in text
        assert "Traceback" not in text
        assert not process.socket.exists()


def config(tmp_path: Path, **more: Any) -> Config:
    tmp_path.mkdir(exist_ok=True)
    return Config(
        **{
            "name": "n",
            "socket": tmp_path / "s",
            "bind": (("127.0.0.1", 0),),
            "dns": ("127.0.0.1", 0),
            **more,
        }
    )


async def asked(agent: Agent, name: str, kind: str = "A") -> Message:
    """Ask over UDP without holding the agent's own thread up."""
    address = agent.info().addresses.dns
    assert address is not None
    with trio.fail_after(PATIENCE), trio.socket.socket(type=trio.socket.SOCK_DGRAM) as sock:
        await sock.connect(place(address))
        await sock.send(query(name, kind))
        return dns.message.from_wire(await sock.recv(65_535))


async def eventually(agent: Agent, name: str, kind: str, is_right: Callable[[Message], bool]) -> None:
    with trio.fail_after(PATIENCE):
        while not is_right(await asked(agent, name, kind)):  # noqa: ASYNC110 - only the answer tells
            await trio.sleep(0.01)


def is_denied(message: Message) -> bool:
    return bool(message.rcode() == dns.rcode.NXDOMAIN)


async def test_under_dev_a_taken_port_is_left_for_a_free_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = taken.getsockname()
        monkeypatch.setattr("gossip.serving.DEV_DNS", where)
        async with Agent(config(tmp_path, dns=where, dev=True)) as agent:
            assert agent.info().addresses.dns not in (None, f"127.0.0.1:{where[1]}")


async def test_a_change_anywhere_is_an_answer_here(tmp_path: Path) -> None:
    """Registration, a check that fails, a tag, a deregistration, at one agent; asked of the other."""
    async with Agent(config(tmp_path / "a", name="a")) as a:
        seed = a.info().addresses.gossip
        async with Agent(config(tmp_path / "b", name="b", join=(seed,), cluster="gossip")) as b:

            async def until_shown(name: str, kind: str, *expected: str) -> None:
                await eventually(b, name, kind, lambda message: shown(message) == [*expected])

            await a.register(Registration("web", 80, tags=("v1",)))
            await until_shown("web.service.consul", "SRV", "1 1 80 a.node.gossip.consul.")
            await until_shown("a.node.gossip.consul", "A", "127.0.0.1")
            a.node.publish(a.node.prepare_status("web", (("probe", Verdict.CRITICAL),)), a._driver.now())
            a._flush()
            await until_shown("web.service.consul", "SRV")
            a.node.publish(a.node.prepare_status("web", (("probe", Verdict.PASSING),)), a._driver.now())
            a._flush()
            await until_shown("v1.web.service.gossip", "A", "127.0.0.1")
            await a.register(Registration("web", 80, tags=("v2",)))
            await until_shown("v1.web.service.gossip", "A")
            await until_shown("v2.web.service.gossip", "A", "127.0.0.1")
            await a.deregister("web")
            await until_shown("web.service.consul", "A")


async def test_who_has_found_nobody_yet_denies_nothing(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        seed = f"127.0.0.1:{nobody.getsockname()[1]}"
        async with Agent(config(tmp_path / "a", name="a", join=(seed,))) as a:
            assert (await asked(a, "web.service.consul")).rcode() == dns.rcode.SERVFAIL
            own = a.info().addresses.gossip
            async with Agent(config(tmp_path / "b", name="b", join=(own,))):
                await eventually(a, "web.service.consul", "A", is_denied)
        async with Agent(config(tmp_path / "c", name="c")) as alone:
            assert (await asked(alone, "web.service.consul")).rcode() == dns.rcode.NXDOMAIN


async def test_its_families_have_numbers(tmp_path: Path) -> None:
    async with Agent(config(tmp_path, http=("127.0.0.1", 0))) as agent:
        for _ in range(2):
            await asked(agent, "n.node.consul")
        await asked(agent, "nobody.node.consul")
        host, port = place(str(agent.info().addresses.http))
        stream = await trio.open_tcp_stream(host, port)
        async with stream:
            await stream.send_all(b"GET /metrics HTTP/1.0\r\n\r\n")
            text = ""
            with contextlib.suppress(trio.BrokenResourceError):
                async for data in stream:
                    text += data.decode()
    assert 'gossip_dns_queries_total{code="NOERROR",transport="udp"} 2.0' in text.replace(
        'transport="udp",code="NOERROR"', 'code="NOERROR",transport="udp"'
    )
    assert "gossip_dns_ready_total 1.0" in text
    assert 'gossip_dns_dropped_total{reason="no_query"} 0.0' in text
    assert 'gossip_connections{face="dns"} 0.0' in text


def test_the_face_is_loaded_only_when_it_is_asked_for() -> None:
    loaded = run_python("-c", "import sys, gossip.agent; print('gossip.api.dns' in sys.modules)")
    assert loaded.stdout == "False\n"
