"""The main job, told in lines: find each other, register, look up, fetch, crash, take over, leave."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from cluster import PATIENCE, Agent, Cluster, Problem, end_on_signals

import gossip

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

SERVICE = "web"


class Step:
    """What a step has to say when it is done."""

    def __init__(self, told: str) -> None:
        self.told = told


@contextmanager
def step(told: str) -> Generator[Step, None, None]:
    """Runs what belongs to one line, and prints the line with the seconds it took."""
    current = Step(told)
    began = time.monotonic()
    try:
        yield current
    except BaseException:
        print(f"{time.monotonic() - began:7.3f} s  {current.told}: FAILED", flush=True)
        raise
    print(f"{time.monotonic() - began:7.3f} s  {current.told}", flush=True)


@contextmanager
def web_server(directory: Path, says: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Python's own HTTP server in a process of its own, on a port that the system chooses."""
    directory.mkdir()
    (directory / "index.html").write_text(says)
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "--directory", str(directory)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            found = re.search(r"port (\d+)", process.stdout.readline() if process.stdout else "")
            if found is None:
                raise Problem("python -m http.server did not start")
            yield process, int(found[1])
        finally:
            process.kill()


def fetch(instance: gossip.Instance) -> str:
    """What the web server at an instance says."""
    with urllib.request.urlopen(f"http://{instance.endpoint}/", timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def look_up(agent: Agent, enough: Callable[[gossip.ServiceView], bool]) -> gossip.ServiceView:
    """What an agent answers, as soon as it is what we wait for."""
    deadline = time.monotonic() + PATIENCE
    with agent.connect() as g, g.watch(SERVICE) as views:
        while True:
            view = views.next(max(deadline - time.monotonic(), 0.0))
            if view is None:
                raise Problem(f"{agent.name} never saw it; its log:\n{agent.last_words()}")
            if enough(view):
                return view


def takes_over(
    cluster: Cluster, resources: ExitStack, owner: str, asked: str, says: str
) -> subprocess.Popen[str]:
    """Starts a web server, registers it with one agent, looks it up through another and fetches from it."""
    server, port = resources.enter_context(web_server(cluster.directory / f"www-{owner}", says))
    with (
        step(f"register a web server on 127.0.0.1:{port} with {owner}"),
        cluster.agents[owner].connect() as g,
    ):
        g.register(SERVICE, port=port, tags=["demo"])
    with step(f"look '{SERVICE}' up through {asked}") as current:
        (instance,) = look_up(cluster.agents[asked], lambda view: len(view) > 0)
        current.told += f": {instance.endpoint}, on {instance.node}"
    with step("fetch a page from it") as current:
        page = fetch(instance)
        current.told += f': "{page}"'
        if page != says or instance.node != owner:
            raise Problem(f"expected {says!r} from {owner}")
    return server


def crash(cluster: Cluster, server: subprocess.Popen[str]) -> None:
    """Kills the first instance and its agent, and waits until another agent has noticed."""
    victim = cluster.agents["n2"]
    with step("n2 and its web server are killed (SIGKILL); a lookup through n4 comes back empty"):
        server.kill()
        victim.process.send_signal(signal.SIGKILL)
        look_up(cluster.agents["n4"], lambda view: len(view) == 0)
    with cluster.agents["n4"].connect() as g:
        (member,) = [each for each in g.members() if each.name == "n2"]
        if member.status != "dead":
            raise Problem(f"n4 holds n2 {member.status}")


def leave(cluster: Cluster) -> None:
    """Lets one agent leave, and waits until another says so and its process has ended."""
    leaver, witness = cluster.agents["n3"], cluster.agents["n5"]
    with (
        step("n3 leaves gracefully; n5 holds it left, not dead"),
        witness.connect() as g,
        g.watch_members() as views,
    ):
        with leaver.connect() as other:
            other.leave()
        deadline = time.monotonic() + PATIENCE
        while True:
            view = views.next(max(deadline - time.monotonic(), 0.0))
            if view is None:
                raise Problem(f"n5 never saw n3 leave; its log:\n{witness.last_words()}")
            status = next(each.status for each in view if each.name == "n3")
            if status == "dead":
                raise Problem("n5 holds n3 dead")
            if status == "left":
                break
        if leaver.process.wait(PATIENCE) != 0:
            raise Problem(
                f"n3 ended with status {leaver.process.returncode}; its log:\n{leaver.last_words()}"
            )


def tell() -> None:
    """The whole story."""
    with Cluster(5) as cluster, ExitStack() as resources:
        with step("start five agents on loopback, n1 to n5; each answers on its socket"):
            cluster.start()
        with step("every one of them sees all five"):
            cluster.converge()
        server = takes_over(cluster, resources, "n2", "n5", "hello from the first instance")
        crash(cluster, server)
        takes_over(cluster, resources, "n4", "n1", "hello from the second instance")
        leave(cluster)


def main() -> int:
    """Tells the story; 1 when a step fails."""
    end_on_signals()
    began = time.monotonic()
    try:
        tell()
    except (Problem, gossip.GossipError, OSError, subprocess.TimeoutExpired) as problem:
        print(f"demo: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"done in {time.monotonic() - began:.1f} s; nothing is left behind")
    return 0


if __name__ == "__main__":
    sys.exit(main())
