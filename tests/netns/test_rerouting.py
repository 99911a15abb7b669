"""Calls go on while instances fail in every way: the transport loses none, the proxy none once it knows."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.netns.hosts import Host, Network, drop, until
from tests.support import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    Build = Callable[[int], Network]

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
WEB, PROXY = 8000, 8080
SLACK = 1.0
"""Seconds from when the agent knows until the test holds the proxy to it, on a machine that is busy."""
COUNTED = ("unreachable", "no_instance", "broken", "cut", "overstayed")
"""Figures of the proxy that a client may notice."""


class Programs:
    """Programs in namespaces. All of them end with the block."""

    def __init__(self) -> None:
        self._children: list[subprocess.Popen[str]] = []

    def start(self, host: Host, *command: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            ["ip", "netns", "exec", host.namespace, sys.executable, *command],
            cwd=ROOT,
            env=clean_environment({"PYTHONPATH": str(ROOT)}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._children.append(child)
        return child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.kill()
            child.communicate()


class Scene:
    """Three instances on hosts of their own; on a fourth one a proxy, and who calls both ways."""

    def __init__(self, net: Network, programs: Programs) -> None:
        self.net = net
        self.caller, *self.hosts = net.hosts
        self._programs = programs
        self.servers: dict[str, subprocess.Popen[str]] = {}
        self._out = self.caller.folder / "load"
        net.start(*net.hosts)
        net.wait_for_agreement(*net.hosts)
        for host in self.hosts:
            self.serve(host)
            self.register(host)
        until("all are known", lambda: self.caller.lookup("web") == set(self.servers))
        self._sock = str(self.caller.agent.socket)
        self._proxy = programs.start(
            self.caller, "-m", "gossip", "proxy", str(PROXY), "web", "--socket", self._sock, "--json"
        )
        assert self._proxy.stdout is not None
        assert json.loads(self._proxy.stdout.readline())["listen"] == f"127.0.0.1:{PROXY}"
        self._load = programs.start(
            self.caller, str(HERE / "load.py"), self._sock, str(PROXY), str(self._out)
        )

    def serve(self, host: Host) -> None:
        self.servers[host.name] = self._programs.start(
            host, str(HERE / "web.py"), host.address, str(WEB), host.name, str(self.sick(host))
        )

    def sick(self, host: Host) -> Path:
        return host.folder / "sick"

    def register(self, host: Host) -> None:
        check = {"http": f"http://{host.address}:{WEB}/health", "interval": "300ms", "timeout": "2s"}
        host.call("services.register", name="web", port=WEB, checks=[check])

    def rows(self, since: float = 0.0) -> list[dict[str, Any]]:
        """What was asked since then, and has been answered."""
        lines = self._out.read_text().splitlines() if self._out.exists() else []
        rows = []
        for line in lines:
            with contextlib.suppress(ValueError):  # the last one may be half written
                rows.append(json.loads(line))
        return [row for row in rows if row["began"] >= since]

    def used(self, since: float) -> dict[str, set[str]]:
        """Whom each way has reached."""
        return {
            way: {row["name"] for row in self.rows(since) if row["way"] == way} - {""}
            for way in ("transport", "proxy")
        }

    def await_all(self, *names: str) -> float:
        """Waits until both ways use just these; since when."""
        since = time.time()
        wanted = set(names)
        until(f"{names} are used", lambda: all(used >= wanted for used in self.used(since).values()))
        return since

    def await_none_of(self, host: Host) -> None:
        """Waits until neither way has used it for a while, and both have gone on."""

        def is_left() -> bool:
            since = time.time() - SLACK
            used = self.used(since)
            return all(found and host.name not in found for found in used.values())

        until(f"{host.name} is not used", is_left)

    def end(self) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """All that was asked, and the proxy's figures on its exit."""
        self._load.send_signal(signal.SIGTERM)
        assert self._load.wait(30) == 0
        self._proxy.send_signal(signal.SIGTERM)
        said, _ = self._proxy.communicate(timeout=30)
        assert self._proxy.returncode == 0
        return self.rows(), json.loads(said)


@pytest.fixture
def scene(network: Build) -> Iterator[Scene]:
    net = network(4)
    with Programs() as programs:
        yield Scene(net, programs)


def knows(scene: Scene, host: Host, *statuses: str) -> None:
    """Waits until the caller's agent holds an instance so."""

    def check() -> bool:
        rows = scene.caller.call("services.lookup", service="web", any=True)["instances"]
        return all(row["status"] in statuses for row in rows if row["node"] == host.name)

    until(f"{host.name} is known to be {statuses}", check)


def kill(scene: Scene, host: Host) -> tuple[float, float]:
    """Its connections are reset, its port refuses, its check fails. From when that is known until the end."""
    scene.servers[host.name].kill()
    knows(scene, host, "critical")
    at = time.time()
    scene.await_none_of(host)
    ended = time.time()
    scene.serve(host)
    knows(scene, host, "passing")
    return at, ended


def sicken(scene: Scene, host: Host) -> None:
    """Its check fails, while it answers all calls: nobody notices."""
    before = len(scene.rows())
    scene.sick(host).touch()
    knows(scene, host, "critical")
    scene.await_none_of(host)
    scene.sick(host).unlink()
    knows(scene, host, "passing")
    scene.await_all(host.name)
    assert not [row for row in scene.rows()[before:] if row["problem"]]


def silence(scene: Scene, host: Host) -> tuple[float, float]:
    """Nothing says so but time. As `kill`."""
    scene.net.wall(drop(source=host), drop(target=host))
    knows(scene, host, "suspect", "dead")
    at = time.time()
    scene.await_none_of(host)
    knows(scene, host, "dead")
    ended = time.time()
    scene.net.wall()
    knows(scene, host, "passing")
    return at, ended


def deregister(scene: Scene, host: Host) -> None:
    """It answers what has begun, and ends: nobody notices."""
    before, since = len(scene.rows()), time.time()
    host.call("services.deregister", id="web")
    until("it is gone", lambda: host.name not in scene.caller.lookup("web"))
    scene.await_none_of(host)
    scene.servers[host.name].send_signal(signal.SIGTERM)
    assert scene.servers[host.name].wait(30) == 0
    scene.await_none_of(host)
    assert not [row for row in scene.rows()[before:] if row["problem"] and row["began"] >= since]


def test_calls_go_on_whatever_fails(scene: Scene) -> None:
    b, c, d = scene.hosts
    scene.await_all("b", "c", "d")
    known = [kill(scene, b)]
    sicken(scene, c)
    known.append(silence(scene, d))
    deregister(scene, c)

    rows, figures = scene.end()
    failed = [row for row in rows if row["problem"]]
    assert [row for row in failed if row["way"] == "transport"] == []
    assert len([row for row in rows if row["way"] == "transport"]) > 100
    for began, ended in known:
        assert [row for row in failed if began + SLACK <= row["began"] < ended] == []
    print(f"{len(rows)} requests; by the proxy {len(failed)} failed; its figures: {figures}")
    assert len(failed) <= sum(figures[name] for name in COUNTED), "each is counted"
    assert figures["connected"] >= len([row for row in rows if row["way"] == "proxy" and row["name"]])
    assert figures["active"] == 0
