"""Keys that change every minute, in a cluster that loses packets and whose agents restart all the time.

    scripts/bench rotation                          an hour of fifty agents, in virtual time
    scripts/bench rotation --nodes 20 --minutes 4
    scripts/bench rotation --real 8 --minutes 5     the same with real agents on loopback, which lose nothing

A share of the agents is killed again and again, each away for up to 15 s, as agents are that are upgraded or
crash. What may not happen: that an agent which never ended is held dead, or that one cannot read what it is
sent. An agent that comes back after a change cannot read datagrams until it has been handed the key, which
takes a part of a second; those are counted apart.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from bench.arguments import counted, seconds
from bench.fleet import Fleet, until
from gossip.core.events import Event, EventKind
from gossip.errors import GossipError
from sim.host import Host
from sim.keys import Marks, mark, marks
from sim.world import World

__all__ = ["SUMMARY", "Outcome", "churned"]

SUMMARY = "A change of the cluster's key every minute, under churn and loss, in virtual time."
MINUTE = 60.0
RESOLUTION = 1e-6
"""Of virtual time, in seconds: a shorter run moves no clock."""
STEP = 3.0
"""Virtual seconds between two agents that are killed."""
CALM = 60.0
"""Virtual seconds in which all must agree on the last key."""


class Outcome(Struct):
    """What came of it."""

    nodes: int
    minutes: int
    begun: int = 0
    """Changes of the key; one that is refused, since the last has not ended, is none."""
    restarts: int = 0
    unread_steady: int = 0
    """Datagrams that an agent which never ended could not read for want of a key."""
    unread_returned: int = 0
    """The same at those that came back."""
    false_deaths: int = 0
    """Times that an agent which never ended was held dead by another."""
    keys: int = 0
    """Different keys that agents seal with at the end: one, if all is well."""

    @property
    def is_well(self) -> bool:
        return not self.unread_steady and not self.false_deaths and self.keys == 1


def churned(
    *, seed: int, nodes: int, minutes: int, loss: float = 0.05, share: float = 0.2, away: float = 15.0
) -> Outcome:
    """Let it all happen."""
    world = World(seed, codec=False, keys=marks(), loss=loss)
    world.grow(nodes)
    world.run_until(lambda: all(host.node.members.n == nodes for host in world.hosts), 120)
    outcome = Outcome(nodes, minutes)
    restless = world.rng.sample(world.hosts, round(share * nodes))
    steady = [host for host in world.hosts if host not in restless]

    def heard(_host: Host, _at: float, event: Event) -> None:
        if event.kind is EventKind.MEMBER_FAILED and any(host.id == event.id for host in steady):
            outcome.false_deaths += 1

    world.listeners.append(heard)
    back: list[tuple[float, Host]] = []
    for minute in range(minutes):
        able = [host for host in world.hosts if host.process is not None]
        outcome.begun += _rotate(world.rng.choice(able), f"k{minute}")
        _restart_for(world, restless, back, away, outcome)
    for _, host in back:
        world.start(host)
    world.run(CALM)
    outcome.unread_steady = sum(host.node.counters["sealed"] for host in steady)
    outcome.unread_returned += sum(host.node.counters["sealed"] for host in restless)
    outcome.keys = len({_safe(host).sending() for host in world.hosts})
    return outcome


def _restart_for(
    world: World, restless: list[Host], back: list[tuple[float, Host]], away: float, outcome: Outcome
) -> None:
    """A minute in which agents end and come back."""
    end = world.now + MINUTE
    while (left := end - world.now) >= RESOLUTION:
        idle = [host for host in restless if host.process is not None]
        if len(idle) > len(restless) / 2:
            host = world.rng.choice(idle)
            outcome.unread_returned += host.node.counters["sealed"]
            world.crash(host)
            back.append((world.now + 0.2 + world.rng.random() * away, host))
        world.run(min(STEP, left))
        for due in [each for each in back if each[0] <= world.now]:
            back.remove(due)
            world.start(due[1])
            outcome.restarts += 1


def _safe(host: Host) -> Marks:
    safe = host.agent.safe
    assert isinstance(safe, Marks)  # noqa: S101 - the world was made with them
    return safe


def _rotate(host: Host, name: str) -> bool:
    """As the user's command does: the key is on disk before anything else."""
    try:
        host.node.refuse_rotation(mark(name))
        _safe(host).add(name)
    except GossipError:
        return False
    host.disk.keys = _safe(host).save()
    host.do(lambda node, now: node.rotate(mark(name), now))
    return True


def churned_for_real(*, agents: int, minutes: int, seed: int, every: float) -> Outcome:
    """The same with processes: a change every so often, and a quarter of the agents killed in between."""
    rng = random.Random(seed)
    outcome = Outcome(agents, minutes)
    with tempfile.TemporaryDirectory(prefix="gossip-bench-") as name:
        folder = Path(name) / "fleet"
        with Fleet(agents, folder, rng.randbytes(32)) as fleet:
            restless = rng.sample(range(agents), max(1, agents // 4))
            steady = [index for index in range(agents) if index not in restless]
            end = time.monotonic() + minutes * MINUTE
            while time.monotonic() < end:
                made = fleet.ask(rng.choice(steady), "keys.rotate")
                outcome.begun += 1
                later = time.monotonic() + every
                while time.monotonic() < later:
                    victim = rng.choice(restless)
                    fleet.kill(victim)
                    time.sleep(0.2 + rng.random() * every / 4)
                    fleet.start(victim)
                    fleet.await_all(victim)
                    outcome.restarts += 1
                _await_key(fleet, made["mark"])
            for index in range(agents):
                unread = fleet.ask(index, "agent.info")["counters"].get("sealed", 0)
                if index in steady:
                    outcome.unread_steady += unread
                else:
                    outcome.unread_returned += unread
            outcome.keys = len({fleet.ask(index, "agent.info")["sealing"] for index in range(agents)})
        for log in folder.glob("*.log"):
            for line in log.read_text().splitlines():
                words = line.split()
                outcome.false_deaths += "member_failed" in words and any(
                    f"name=n{n}" in words for n in steady
                )
    return outcome


def _await_key(fleet: Fleet, wanted: str) -> None:
    def all_send() -> bool:
        for index in range(fleet.size):
            held = {key["mark"]: key["state"] for key in fleet.ask(index, "keys.list")["keys"]}
            if held.get(wanted) != "sending" or "receiving" in held.values():
                return False
        return True

    until(f"all seal with {wanted[:8]} and have retired the others", all_send, every=0.2, patience=120.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--nodes", type=counted, default=50)
    parser.add_argument("--minutes", type=counted, default=60)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--real", type=counted, help="so many real agents instead")
    parser.add_argument(
        "--every", type=seconds, default=30.0, help="seconds between changes of real agents' key"
    )


def main(arguments: argparse.Namespace) -> int:
    """Prints what came of it; 1 if something did that may not."""
    begun = time.perf_counter()
    if arguments.real:
        outcome = churned_for_real(
            agents=arguments.real, minutes=arguments.minutes, seed=arguments.seed, every=arguments.every
        )
    else:
        outcome = churned(seed=arguments.seed, nodes=arguments.nodes, minutes=arguments.minutes)
    for name in outcome.__struct_fields__:
        print(f"{name:16} {getattr(outcome, name)}")
    print(f"{'wall_s':16} {time.perf_counter() - begun:.0f}")
    return 0 if outcome.is_well else 1
