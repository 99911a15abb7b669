"""Hosts as network namespaces around one switch, with a firewall in the switch and one in each host.

with Network(3) as net:
    a, b, c = net.hosts
    net.start(a, b, c)
    net.wall(drop("udp", source=a), drop("udp", target=a))      # in the switch: silence for both sides
    b.firewall("meta l4proto udp reject")                       # in the host: refusals, failing sends
    c.link(up=False)

Each host has an address on `eth0`, and nothing is seen outside of the namespaces: no interface, no route
and no packet of the machine's own. Their names carry the number of the process that made them, so that
several runs stand beside each other, and so that whatever a killed run left is found and removed.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.agent.processes import Process, until
from tests.support import run_program

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

__all__ = ["PORT", "SETTINGS", "Host", "Network", "drop", "remove_leftovers", "until"]

PORT = 7946
PREFIX = "gossip-test"
SUBNET = "10.77.0"
SUBNET_6 = "fd77:"
_FILES = Path("/etc/netns")
"""`ip netns exec NAME` shows what is in /etc/netns/NAME in the place of the same files in /etc."""
_numbers = itertools.count(1)

SETTINGS = ("--insecure", "--probe-period", "200ms", "--http", "127.0.0.1:8500", "--log-level", "debug")
"""Of every agent: with a fifth of the usual period, suspicions among a few take 0.8 to 4.8 s."""


def ip(*words: str) -> str:
    """What `ip` prints. A test that fails here has no network to look at."""
    ran = run_program(["ip", *words])
    assert ran.returncode == 0, f"ip {' '.join(words)}: {ran.stderr}"
    return ran.stdout


def nft(namespace: str, ruleset: str) -> None:
    """Replace the firewall of a namespace, in one go."""
    subprocess.run(
        ["ip", "netns", "exec", namespace, "nft", "-f", "-"], input=f"flush ruleset\n{ruleset}", text=True,
        check=True, timeout=60,
    )  # fmt: skip


def drop(what: str = "", *, source: Host | None = None, target: Host | None = None) -> str:
    """A rule of the switch: packets of this protocol (`udp`, `tcp`; all if empty) vanish on this way."""
    words = []
    if source is not None:
        words.append(f"ip saddr {source.address}")
    if target is not None:
        words.append(f"ip daddr {target.address}")
    words.append(f"meta l4proto {what}" if what else "meta protocol ip")
    return " ".join([*words, "drop"])


def remove_leftovers() -> None:
    """End and remove what runs that were killed have left: namespaces of processes that are gone."""
    names = {line.split()[0] for line in ip("netns", "list").splitlines()}
    if _FILES.is_dir():
        names |= {path.name for path in _FILES.iterdir()}
    for name in names:
        owner = re.match(rf"{PREFIX}-(\d+)-", name)
        if owner and not Path("/proc", owner[1]).exists():
            # Another run may be at the same work.
            with contextlib.suppress(AssertionError):
                _remove(name)


def _remove(name: str) -> None:
    if Path("/run/netns", name).exists():
        for process in ip("netns", "pids", name).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        ip("netns", "delete", name)
    shutil.rmtree(_FILES / name, ignore_errors=True)


class Host:
    """A namespace with one interface, and the agent that runs in it."""

    def __init__(self, name: str, namespace: str, number: int, folder: Path, *, six: bool) -> None:
        self.name = name
        self.namespace = namespace
        self.address = f"{SUBNET_6}:{number}" if six else f"{SUBNET}.{number}"
        self.folder = folder
        self._agents: list[Process] = []

    @property
    def seed(self) -> str:
        """Its address as one that a port may follow."""
        return f"[{self.address}]" if ":" in self.address else self.address

    @property
    def agent(self) -> Process:
        """The one that was started last."""
        return self._agents[-1]

    def start(self, *options: str, join: Iterable[Host | str] = ()) -> None:
        """Start its agent; the folder, and with it the identity, is the one of the last time."""
        self.folder.mkdir(exist_ok=True)
        seeds = [seed if isinstance(seed, str) else seed.seed for seed in join]
        options = (*SETTINGS, *options, *(word for seed in seeds for word in ("--join", seed)))
        inside = ("ip", "netns", "exec", self.namespace)
        bind = f"{self.seed}:{PORT}"
        self._agents.append(Process(self.folder, *options, name=self.name, bind=bind, before=inside).start())

    def end(self) -> None:
        """Kill whatever still runs."""
        for agent in self._agents:
            agent.__exit__(None, None, None)

    # -- asking

    def call(self, method: str, **params: object) -> Any:
        """What the agent answers on its local socket."""
        with self.agent.ask() as ask:
            return ask.call(method, **params)

    def sees(self) -> dict[str, str]:
        """Name and status of every other member that it knows."""
        rows = self.call("members.list")["members"]
        return {row["name"]: row["status"] for row in rows if "self" not in row["flags"]}

    def flags(self, of: Host) -> list[str]:
        """What it has flagged another member with; of itself, what it says of itself."""
        rows = self.call("members.list")["members"]
        return [flag for row in rows if row["name"] == of.name for flag in row["flags"] if flag != "self"]

    def lookup(self, service: str) -> set[str]:
        """On which nodes it finds a service."""
        found = self.call("services.lookup", service=service)
        return {each["node"] for each in found["instances"]}

    def register(self, service: str) -> None:
        """A service of this node."""
        self.call("services.register", name=service, port=80)

    def metric(self, name: str) -> float:
        """The value of a metric, labels and all, as Prometheus would read it in this namespace."""
        text = self.run(
            sys.executable, "-c",
            "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8500/metrics').read().decode())",
        )  # fmt: skip
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        assert found, f"no {name} in {text}"
        return float(found[1])

    def told(self, event: str, about: Host | None = None) -> list[dict[str, Any]]:
        """Lines of its log, of all its lives."""
        return [
            line
            for line in self.agent.events()
            if line["event"] == event and (about is None or line.get("name") == about.name)
        ]

    def run(self, *command: str) -> str:
        """What a program prints that runs in this namespace."""
        ran = run_program(["ip", "netns", "exec", self.namespace, *command])
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def gossip(self, *arguments: str) -> Any:
        """The command line beside this agent, with `--json`."""
        socket = str(self.agent.socket)
        out = self.run(sys.executable, "-m", "gossip", *arguments, "--socket", socket, "--json")
        return json.loads(out)

    # -- trouble

    def link(self, *, up: bool) -> None:
        """Take its interface down, or bring it up; its address stays, its routes do not."""
        ip("-n", self.namespace, "link", "set", "eth0", "up" if up else "down")

    def firewall(self, *, inbound: str = "", outbound: str = "") -> None:
        """Rules of the host's own firewall; none if both are empty."""
        nft(
            self.namespace,
            "table inet own {\n"
            f"chain in {{ type filter hook input priority 0; {inbound}\n}}\n"
            f"chain out {{ type filter hook output priority 0; {outbound}\n}}\n"
            "}\n",
        )

    def move(self, number: int) -> None:
        """Give it another address, while no agent runs in it."""
        ip("-n", self.namespace, "address", "flush", "dev", "eth0")
        self.address = f"{SUBNET}.{number}"
        ip("-n", self.namespace, "address", "add", f"{self.address}/24", "dev", "eth0")

    def names(self, table: dict[str, str]) -> None:
        """What host names mean in this namespace, from now on, also to an agent that runs already."""
        text = "127.0.0.1 localhost\n" + "".join(f"{where} {name}\n" for name, where in table.items())
        # Into the same file, which is mounted at /etc/hosts.
        (_FILES / self.namespace / "hosts").write_text(text)


class Network:
    """Hosts around a switch. Whatever happens in the test, all of it ends with the block."""

    def __init__(self, count: int, folder: Path, *, six: bool = False) -> None:
        self._prefix = f"{PREFIX}-{os.getpid()}-{next(_numbers)}"
        self._switch = f"{self._prefix}-switch"
        self.hosts = [
            Host(name, f"{self._prefix}-{name}", number, folder / name, six=six)
            for number, name in enumerate("abcdefgh"[:count], 1)
        ]

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._tear_down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in self.hosts:
            host.end()
        self._tear_down()

    def _build(self) -> None:
        ip("netns", "add", self._switch)
        ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", self._switch, "link", "set", "bridge", "up")
        for host in self.hosts:
            (_FILES / host.namespace).mkdir(parents=True)
            host.names({})
            # No server of names: what is not in the file is not found, at once.
            (_FILES / host.namespace / "resolv.conf").write_text("nameserver 127.0.0.1\n")
            ip("netns", "add", host.namespace)
            port = f"to-{host.name}"
            ip(
                "-n",
                self._switch,
                "link",
                "add",
                port,
                "type",
                "veth",
                "peer",
                "eth0",
                "netns",
                host.namespace,
            )
            ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
            # Of IPv6 without asking first whether somebody has it, which takes a second.
            length = ("64", "nodad") if ":" in host.address else ("24",)
            ip(
                "-n",
                host.namespace,
                "address",
                "add",
                f"{host.address}/{length[0]}",
                "dev",
                "eth0",
                *length[1:],
            )
            for interface in ("lo", "eth0"):
                ip("-n", host.namespace, "link", "set", interface, "up")

    def _tear_down(self) -> None:
        for name in (*(host.namespace for host in self.hosts), self._switch):
            _remove(name)

    # -- what tests do

    def start(self, *hosts: Host, options: Iterable[str] = (), seeds: Iterable[Host] | None = None) -> None:
        """Start the agents of these hosts, the first one as the seed of all, and wait until they answer."""
        chosen = list(hosts[:1] if seeds is None else seeds)
        for host in hosts:
            host.start(*options, join=[seed for seed in chosen if seed is not host])
        for host in hosts:
            host.agent.ready()

    def wall(self, *rules: str) -> None:
        """What the switch drops from now on, and nothing else. Nobody is told of it."""
        lines = "\n".join(rules)
        nft(
            self._switch,
            f"table bridge wall {{\nchain way {{ type filter hook forward priority 0;\n{lines}\n}}\n}}\n",
        )

    def part(self, left: Iterable[Host], right: Iterable[Host]) -> list[str]:
        """Rules that part two groups of hosts."""
        pairs = list(itertools.product(left, right))
        return [drop(source=a, target=b) for a, b in pairs] + [drop(source=b, target=a) for a, b in pairs]

    def agree(self, *hosts: Host) -> bool:
        """Whether these hosts hold each other alive, and nobody else."""
        return all(
            host.sees() == {other.name: "alive" for other in hosts if other is not host} for host in hosts
        )

    def wait_for_agreement(self, *hosts: Host, patience: float = 60.0) -> None:
        """Until `agree`, by themselves."""
        until(f"{[host.name for host in hosts]} see each other", lambda: self.agree(*hosts), patience)
