"""The doctor where packets really are lost: hosts as network namespaces around a switch. For root only."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.agent.processes import Ask, until
from tests.support import ROOT, clean_environment, requires_program

PORT = 7_946
BUSY = {"starved", "clock_gap", "overflow", "mute"}
"""What is told of an agent for which its machine had no time."""


_numbers = itertools.count(1)


def run(*words: str, text: str = "") -> str:
    return subprocess.run(words, input=text, capture_output=True, text=True, check=True, timeout=60).stdout


class Host:
    """A namespace with one interface to the switch; what comes in may be dropped without a word."""

    def __init__(self, folder: Path, namespace: str, name: str, address: str) -> None:
        self.name = name
        self.namespace = namespace
        self.address = address
        self.socket = folder / f"{name}.sock"
        self.port = f"to-{name}"
        """The other end of its interface."""
        self._log = folder / f"{name}.log"
        self._child: subprocess.Popen[bytes] | None = None
        run("ip", "netns", "add", namespace)

    def plug(self, other: str) -> None:
        """Give it an interface that ends in another namespace."""
        self.do("ip", "link", "set", "lo", "up")
        self.do("ip", "link", "add", "eth0", "type", "veth", "peer", "name", self.port, "netns", other)
        self.do("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.do("ip", "link", "set", "eth0", "up")
        run("ip", "-n", other, "link", "set", self.port, "up")

    def do(self, *words: str, text: str = "") -> str:
        return run("ip", "netns", "exec", self.namespace, *words, text=text)

    def firewall(self, *rules: str) -> None:
        """Of what comes in; none: everything may."""
        chain = "\n".join(("type filter hook input priority 0", *rules))
        self.do("nft", "-f", "-", text=f"flush ruleset\ntable inet t {{\nchain c {{\n{chain}\n}}\n}}\n")

    def start(self, *seeds: str) -> None:
        command = [
            "ip", "netns", "exec", self.namespace, sys.executable, "-m", "gossip", "agent", "--dev",
            "--insecure", "--http", "127.0.0.1:0", "--bind", f"{self.address}:{PORT}", "--name", self.name,
            "--socket", str(self.socket), *(word for seed in seeds for word in ("--join", seed)),
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._child = subprocess.Popen(command, cwd=ROOT, env=clean_environment({}), stderr=log)
        until("it answers", self._answers)

    def _answers(self) -> bool:
        assert self._child is not None
        assert self._child.poll() is None, self._log.read_text()
        with contextlib.suppress(OSError):
            self.call("agent.info")
            return True
        return False

    def call(self, method: str, **params: object) -> Any:
        with contextlib.closing(Ask(self.socket)) as ask:
            return ask.call(method, **params)

    def doctor(self) -> dict[str, Any]:
        """What the command says; its exit status agrees with it."""
        ran = subprocess.run(
            [sys.executable, "-m", "gossip", "doctor", "--json", "--timeout", "8s"],
            cwd=ROOT, env=clean_environment({"GOSSIP_SOCKET": str(self.socket)}), capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip
        value: dict[str, Any] = json.loads(ran.stdout)
        assert ran.returncode == (0 if value["ok"] else 1), ran.stderr
        return value

    def problems(self) -> dict[str, str]:
        """Word to sentence, of what is not only for want of time."""
        found = {each["code"]: each for each in self.doctor()["findings"] if each["severity"] == "problem"}
        return {code: f"{each['text']} {each['advice']}" for code, each in found.items() if code not in BUSY}

    def remove(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        with contextlib.suppress(subprocess.CalledProcessError):
            run("ip", "netns", "delete", self.namespace)


@contextlib.contextmanager
def switched(folder: Path, *addresses: str) -> Iterator[list[Host]]:
    """Hosts a, b, c... of these addresses, on one switch that drops nothing by itself."""
    switch = f"gdoc{os.getpid()}-{next(_numbers)}"
    hosts: list[Host] = []
    run("ip", "netns", "add", switch)
    try:
        run("ip", "-n", switch, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", switch, "link", "set", "bridge", "up")
        for name, address in zip("abcdef", addresses, strict=False):
            host = Host(folder, f"{switch}{name}", name, address)
            hosts.append(host)
            host.plug(switch)
            run("ip", "-n", switch, "link", "set", host.port, "master", "bridge")
        yield hosts
    finally:
        for host in hosts:
            host.remove()
        run("ip", "netns", "delete", switch)


@pytest.fixture(scope="module")
def root() -> None:
    """Skips without root, `ip` or `nft`."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces are made by root only")
    requires_program("ip")
    requires_program("nft")


@pytest.fixture(scope="module")
def hosts(root: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    with switched(tmp_path_factory.mktemp("net"), "10.78.0.1", "10.78.0.2", "10.78.0.3") as hosts:
        a, *others = hosts
        a.start()
        for host in others:
            host.start(f"{a.address}:{PORT}")
        yield hosts


def settle(hosts: Sequence[Host]) -> None:
    """Undo every firewall, and wait until everybody is well again."""
    for host in hosts:
        host.firewall()
    until("all is well", lambda: all(host.problems() == {} for host in hosts), 120.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "code", "words"),
    [
        ("meta l4proto udp drop", "udp_from", "UDP to this host is blocked: no datagram of"),
        ("tcp dport 7946 drop", "tcp_in", "Open TCP port 7946 to this host"),
        ("tcp dport 7946 reject with tcp reset", "tcp_in", "is refused. Open TCP port 7946"),
    ],
)
def test_a_firewall_at_the_agents_own_host(hosts: list[Host], rule: str, code: str, words: str) -> None:
    settle(hosts)
    a, b, c = hosts
    a.firewall(rule)
    try:
        found = until("it is told", lambda: code in (said := a.problems()) and said)
        assert words in found[code]
        assert {b.name, c.name} <= set(found[code].replace(",", " ").split())
    finally:
        a.firewall()


@pytest.mark.slow
def test_datagrams_of_one_member_dropped_by_another(hosts: list[Host]) -> None:
    """One way: what a sends does not arrive at b; all else does, so nobody suspects anybody for long."""
    settle(hosts)
    a, b, _ = hosts
    b.firewall(f"ip saddr {a.address} meta l4proto udp drop")
    try:
        found = until("it is told", lambda: "udp_to" in (said := a.problems()) and said)
        assert "datagrams from here do not reach it, though its own arrive here" in found["udp_to"]
        assert "c reaches it by UDP" in found["udp_to"]
        found = until("the other tells it too", lambda: "udp_from" in (said := b.problems()) and said)
        assert "its own do not arrive here" in found["udp_from"]
    finally:
        b.firewall()


@pytest.mark.slow
def test_a_link_with_a_smaller_mtu_that_does_not_say_so(hosts: list[Host]) -> None:
    settle(hosts)
    a, *_ = hosts
    switch = a.namespace.removesuffix(a.name)
    run("ip", "-n", switch, "link", "set", a.port, "mtu", "1400")
    try:
        found = until("it is told", lambda: {"mtu_in", "mtu_out"} <= set(said := a.problems()) and said)
        assert "(1,400 bytes)" in found["mtu_out"]
        assert found.keys() == {"mtu_in", "mtu_out"}
    finally:
        run("ip", "-n", switch, "link", "set", a.port, "mtu", "1500")


NAT = """
table ip t {
    chain forward {
        type filter hook forward priority 0
        iifname eth0 ct state new drop
    }
    chain out {
        type nat hook postrouting priority 100
        oifname eth0 masquerade
    }
}
"""
"""Whoever is behind eth0 is let out in its name, and nobody is let in."""


@pytest.mark.slow
def test_an_agent_behind_nat_is_told_where_it_is_seen(root: None, tmp_path: Path) -> None:
    with switched(tmp_path, "10.78.0.1", "10.78.0.254") as (outside, router), contextlib.ExitStack() as stack:
        home = Host(tmp_path, f"{router.namespace}-in", "home", "10.79.0.1")
        stack.callback(home.remove)
        home.plug(router.namespace)
        home.do("ip", "route", "add", "default", "via", "10.79.0.254")
        router.do("ip", "address", "add", "10.79.0.254/24", "dev", home.port)
        router.do("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        router.do("nft", "-f", "-", text=NAT)
        outside.do("ip", "route", "add", "default", "via", router.address)
        outside.start()
        home.start(f"{outside.address}:{PORT}")
        found = until(
            "it is told", lambda: "unreachable at" in (said := home.problems()).get("seed", "") and said
        )
        assert "unreachable at 10.79.0.1:7946, seen from 10.78.0.254:" in found["seed"]
        assert "advertise an address that 10.78.0.1:7946 can reach" in found["seed"]
