"""One run of a plain cluster: nodes start at once, some crash, and what came of it in numbers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from gossip.core.events import Event, EventKind
from gossip.core.types import NodeId
from sim.chance import derive
from sim.clock import SECOND
from sim.host import Host
from sim.latency import Latency
from sim.meters import total
from sim.world import LATENCY, World

__all__ = ["Crash", "Run", "Setup"]

LOOK_US = 10_000
"""How often a run looks whether all nodes hold one view yet, in microseconds."""


class Crash(Struct, frozen=True):
    """`count` machines that run an agent, chosen by chance, die at that time."""

    count: int
    at_us: int


class Setup(Struct, frozen=True):
    """What is run.

    Raises:
        ValueError: from `check`, if it cannot be.
    """

    nodes: int
    loss: float = 0.0
    latency: Latency = LATENCY
    crashes: Sequence[Crash] = ()
    seed: int = 0
    duration_us: int = 60 * SECOND

    def check(self) -> None:
        """Raise ValueError, with what to change, if this makes no sense."""
        if self.nodes < 1:
            raise ValueError("a cluster has at least one node")
        if not 0.0 <= self.loss <= 1.0:
            raise ValueError(f"loss is a share from 0 to 1, not {self.loss}")
        if self.duration_us <= 0:
            raise ValueError("the duration must be more than nothing")
        if sum(crash.count for crash in self.crashes) >= self.nodes:
            raise ValueError(f"of {self.nodes} nodes at least one must be left by the crashes")
        for crash in self.crashes:
            if crash.count < 1:
                raise ValueError("a crash takes at least one node")
            if crash.at_us >= self.duration_us:
                raise ValueError(f"the crash at {crash.at_us / SECOND:g} s comes after the end of the run")


class Run:
    """A run that can be asked for its summary at any time, also when it was interrupted."""

    def __init__(self, setup: Setup) -> None:
        setup.check()
        self._setup = setup
        self._world = World(setup.seed, latency=setup.latency, loss=setup.loss, keep_events=False)
        self._world.listeners.append(self._listen)
        self._rng = derive(setup.seed, "crashes")
        self._begun = time.perf_counter()
        self._wall_s = 0.0
        self._one_view_us: int | None = None
        self._owners: dict[NodeId, Host] = {}
        self._crashed: dict[int, int] = {}
        """When, by the number of the host."""
        self._noticed: dict[int, dict[int, int]] = {}
        """By crashed host: when each other host first held it dead."""
        self._false_deaths = 0

    def go(self) -> None:
        """Run to the end."""
        setup, world = self._setup, self._world
        self._begun = time.perf_counter()
        try:
            world.grow(setup.nodes)
            self._owners = {host.id: host for host in world.hosts}
            for crash in sorted(setup.crashes, key=lambda crash: crash.at_us):
                self._pass(crash.at_us)
                for host in self._rng.sample(world.running(), crash.count):
                    self._crashed[host.number] = world.clock.now_us
                    self._noticed[host.number] = {}
                    world.crash(host, machine=True)
            self._pass(setup.duration_us)
        finally:
            self._wall_s = time.perf_counter() - self._begun

    def summary(self) -> dict[str, Any]:
        """What `gossip-sim run --json` prints; None where nothing was there to be measured.

        Of several crashes, the medians: `first_s` until somebody held the node dead, `full_s` until
        all that still run did.
        """
        world, now_us = self._world, self._world.clock.now_us
        node_us = sum(self._crashed.get(host.number, now_us) for host in world.hosts)
        sent = total(host.sent for host in world.hosts)
        return {
            "seed": self._setup.seed,
            "nodes": self._setup.nodes,
            "virtual_s": now_us / SECOND,
            "wall_s": round(self._wall_s, 3),
            "node_seconds_per_s": round(node_us / SECOND / self._wall_s) if self._wall_s else None,
            "log_hash": world.log_hash(),
            "converged": world.converged(),
            "one_view_s": None if self._one_view_us is None else self._one_view_us / SECOND,
            "detection": {"first_s": self._median(self._firsts()), "full_s": self._median(self._fulls())},
            "false_deaths": self._false_deaths,
            "messages_per_node_s": round(sent.messages * SECOND / node_us, 3) if node_us else None,
            "bytes_per_node_s": round(sent.bytes * SECOND / node_us, 1) if node_us else None,
        }

    def _pass(self, until_us: int) -> None:
        clock = self._world.clock
        while self._one_view_us is None and clock.now_us < until_us:
            if self._world.converged():
                self._one_view_us = clock.now_us
            else:
                clock.run(min(until_us, clock.now_us + LOOK_US))
        clock.run(until_us)

    def _listen(self, host: Host, _now: float, event: Event) -> None:
        if event.kind is not EventKind.MEMBER_FAILED:
            return
        subject = self._owners.get(event.id)
        if subject is None or subject.number not in self._crashed:
            self._false_deaths += 1
        else:
            self._noticed[subject.number].setdefault(host.number, self._world.clock.now_us)

    def _firsts(self) -> list[int | None]:
        return [
            min(self._noticed[number].values(), default=at_us) - at_us if self._noticed[number] else None
            for number, at_us in self._crashed.items()
        ]

    def _fulls(self) -> list[int | None]:
        left = [host.number for host in self._world.running()]
        return [
            max(self._noticed[number][other] for other in left) - at_us
            if all(other in self._noticed[number] for other in left)
            else None
            for number, at_us in self._crashed.items()
        ]

    @staticmethod
    def _median(values: Sequence[int | None]) -> float | None:
        """In seconds; None if one was never seen: a median of the rest would hide it."""
        known = [value for value in values if value is not None]
        return statistics.median(known) / SECOND if known and len(known) == len(values) else None
