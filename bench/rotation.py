"""Keys that change every minute, in a cluster that loses packets and whose agents restart all the time.

    scripts/bench rotation                          an hour of fifty agents, in virtual time
    scripts/bench rotation --nodes 20 --minutes 4

A share of the agents is killed again and again, each away for up to 15 s, as agents are that are upgraded or
crash. What may not happen: that an agent which never ended is held dead, or that one cannot read what it is
sent. An agent that comes back after a change cannot read datagrams until it has been handed the key, which
takes a part of a second; those are counted apart.
"""

from __future__ import annotations

import argparse
import time

from msgspec import Struct

from gossip.core.events import Event, EventKind
from gossip.errors import GossipError
from sim.host import Host
from sim.keys import Marks, mark, marks
from sim.world import World

__all__ = ["SUMMARY", "Outcome", "churned"]

SUMMARY = "A change of the cluster's key every minute, under churn and loss, in virtual time."
MINUTE = 60.0
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
    while world.now < end:
        idle = [host for host in restless if host.process is not None]
        if len(idle) > len(restless) / 2:
            host = world.rng.choice(idle)
            outcome.unread_returned += host.node.counters["sealed"]
            world.crash(host)
            back.append((world.now + 0.2 + world.rng.random() * away, host))
        world.run(min(STEP, end - world.now))
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--nodes", type=int, default=50)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--seed", type=int, default=11)


def main(arguments: argparse.Namespace) -> int:
    """Prints what came of it; 1 if something did that may not."""
    begun = time.perf_counter()
    outcome = churned(seed=arguments.seed, nodes=arguments.nodes, minutes=arguments.minutes)
    for name in outcome.__struct_fields__:
        print(f"{name:16} {getattr(outcome, name)}")
    print(f"{'wall_s':16} {time.perf_counter() - begun:.0f}")
    return 0 if outcome.is_well else 1
