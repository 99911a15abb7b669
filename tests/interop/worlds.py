"""Three agents that speak Consul's HTTP API: three of ours, or a real Consul server with two clients.

The stories that clients live through here are told against the real one as well, which shows that they ask
for what Consul does, not for what we happen to do:

    TESTS_INTEROP=consul scripts/test tests/interop
"""

from __future__ import annotations

import abc
import json
import subprocess
from typing import TYPE_CHECKING, Self

from tests.agent.processes import Process, until
from tests.interop.api import get
from tests.support import clean_environment, free_ports, requires_peer

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

__all__ = ["SIZE", "ConsulWorld", "GossipWorld", "World"]

SIZE = 3


class World(abc.ABC):
    """The first agent stays; the others may be killed and come back."""

    name: str
    names = ("one", "two", "three")

    @abc.abstractmethod
    def http(self, place: int) -> str:
        """Where an agent's API is now: HOST:PORT."""

    @abc.abstractmethod
    def kill(self, place: int) -> None:
        """SIGKILL."""

    @abc.abstractmethod
    def revive(self) -> None:
        """Starts again, where they were, those that have ended; returns when all see all alive."""

    @abc.abstractmethod
    def stop(self) -> None: ...

    def gathered(self) -> None:
        """Returns when each agent's API shows all of them alive, in its members and in the catalog."""
        for place in range(SIZE):
            until("all see all", lambda place=place: self._sees_all(place))

    def _sees_all(self, place: int) -> bool:
        members, health, nodes = (
            get(self.http(place), f"/v1/{path}")
            for path in ("agent/members", "health/state/passing", "catalog/nodes")
        )
        if not members.status == health.status == nodes.status == 200:
            return False  # a Consul without a leader yet
        alive = {each["Name"] for each in members.json if each["Status"] == 1}
        well = {each["Node"] for each in health.json if each["CheckID"] == "serfHealth"}
        # A Consul's node is listed before it has told all about itself.
        known = {each["Node"] for each in nodes.json if each["TaggedAddresses"]}
        return alive == well == known == set(self.names)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class GossipWorld(World):
    """Ours. With the timing of `local`, so that a death is a matter of a second."""

    name = "gossip"

    def __init__(self, folder: Path) -> None:
        self._agents: list[Process] = []
        self._http = [""] * SIZE
        seed: tuple[str, ...] = ()
        try:
            for name in self.names:
                (folder / name).mkdir()
                agent = Process(
                    folder / name, "--profile", "local", "--http", "127.0.0.1:0", *seed, name=name
                ).start()
                self._agents.append(agent)
                if not seed:
                    agent.ready()
                    with agent.ask() as ask:
                        seed = ("--join", ask.call("agent.info")["addresses"]["gossip"])
            for place in range(SIZE):
                self._find(place)
            self.gathered()
        except BaseException:
            self.stop()
            raise

    def _find(self, place: int) -> None:
        with self._agents[place].ready().ask() as ask:
            self._http[place] = ask.call("agent.info")["addresses"]["http"]

    def http(self, place: int) -> str:
        return self._http[place]

    def kill(self, place: int) -> None:
        self._agents[place].kill()

    def revive(self) -> None:
        ended = [place for place in range(SIZE) if self._agents[place].child.poll() is not None]
        for place in ended:
            self._agents[place].start()
        for place in ended:
            self._find(place)
        if ended:
            self.gathered()

    def stop(self) -> None:
        for agent in self._agents:
            agent.__exit__(None, None, None)


class ConsulWorld(World):
    """Consul 1.8.7: the first is a server (not -dev, whose answers are indented), the others are clients."""

    name = "consul"

    def __init__(self, folder: Path, size: int = SIZE) -> None:
        self.program = requires_peer("consul", "consul", optional=True)
        self._folder = folder
        self._size = size
        self._ports = [free_ports(6) for _ in range(size)]
        self._children: list[subprocess.Popen[bytes]] = []
        try:
            for place in range(size):
                self._children.append(self._start(place))
            self.gathered()
        except BaseException:
            self.stop()
            raise

    def _start(self, place: int) -> subprocess.Popen[bytes]:
        folder = self._folder / self.names[place]
        folder.mkdir(exist_ok=True)
        http, dns, lan, wan, server, _ = self._ports[place]
        quick = {"probe_interval": "200ms", "probe_timeout": "100ms", "suspicion_mult": 2}
        config = folder / "config.json"
        config.write_text(
            json.dumps(
                {
                    "node_name": self.names[place],
                    "data_dir": str(folder / "data"),
                    "bind_addr": "127.0.0.1",
                    "server": place == 0,
                    **({"bootstrap_expect": 1} if place == 0 else {}),
                    "retry_join": [f"127.0.0.1:{self._ports[0][2]}"],
                    "retry_interval": "1s",
                    "performance": {"raft_multiplier": 1},
                    "ports": {
                        "http": http, "dns": dns, "serf_lan": lan, "serf_wan": wan, "server": server,
                        "grpc": -1, "https": -1,
                    },
                    "gossip_lan": quick,
                    "disable_update_check": True,
                    "enable_local_script_checks": False,
                }
            )
        )  # fmt: skip
        with (folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self.program, "agent", f"-config-file={config}"],
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _sees_all(self, place: int) -> bool:
        if place >= self._size:
            return True
        assert self._children[place].poll() is None, (self._folder / self.names[place] / "log").read_text()
        try:
            return self._size < SIZE or super()._sees_all(place)
        except ConnectionRefusedError:
            return False

    def http(self, place: int) -> str:
        return f"127.0.0.1:{self._ports[place][0]}"

    def pid(self, place: int) -> int:
        return self._children[place].pid

    def kill(self, place: int) -> None:
        self._children[place].kill()
        self._children[place].wait()

    def revive(self) -> None:
        ended = [place for place, child in enumerate(self._children) if child.poll() is not None]
        for place in ended:
            self._children[place] = self._start(place)
        if ended:
            self.gathered()

    def stop(self) -> None:
        for child in self._children:
            child.kill()
        for child in self._children:
            child.wait()
