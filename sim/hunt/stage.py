"""A world under watch, and what was promised in it: where acts are done and their end is awaited."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gossip.core.params import LAN, Params
from gossip.core.types import Phase, Verdict
from sim.host import Host
from sim.hunt.calm import LASTING, calm_limit, differences
from sim.hunt.errors import BrokenRuleError
from sim.hunt.rules import Rule
from sim.hunt.watch import Watch
from sim.links import Link
from sim.world import World

if TYPE_CHECKING:
    from sim.hunt.act import Act

__all__ = ["SEEDS", "Stage"]


SEEDS = 3
"""The first so many hosts are the seeds of all: they never move, and run when it is calm."""
LOOK_S = 0.25
"""How often it is looked whether there is one view."""


class Stage:
    """A world of hosts, none of them running yet, with all invariants watched.

    Args:
        seed: of the world.
        nodes: how many hosts there are.
        params: the settings of every node.
        ephemeral: numbers of the hosts without a disk.
        line: the link between any two hosts when nothing is wrong.
        world: other arguments of `World`.
    """

    def __init__(
        self,
        seed: int,
        nodes: int,
        *,
        line: Link,
        params: Params = LAN,
        ephemeral: Sequence[int] = (),
        **world: Any,
    ) -> None:
        self.watch = Watch()
        self.world = World(seed, params=params, keep_events=False, maker=self.watch.maker, **world)
        self.watch.attach(self.world)
        self.line = line
        self.world.network.default = line
        self.params = params
        self.done: Counter[str] = Counter()
        """Acts that were done, by their word; those that could not be are not counted."""
        self.hosts = [self.world.add(start=False) for _ in range(nodes)]
        for host in self.hosts:
            host.seeds = tuple(seed.spot for seed in self.hosts[:SEEDS])
            host.ephemeral = host.number in ephemeral
        self._staying: dict[int, int] = {}
        """The life in which a host, by number, was told to leave without an end of its process."""
        self.reported: dict[int, dict[str, tuple[Verdict, bool]]] = {number: {} for number in range(nodes)}
        """What checks found last, and whether it is in maintenance: by host number and key."""
        self.promised = self.watch.promised
        self.promised.update((number, {}) for number in range(nodes))

    # Questions

    def is_working(self, host: Host) -> bool:
        """Its agent runs, and does not leave."""
        return host.is_running and host.node.me.record.phase == Phase.RUNNING

    def working(self) -> list[Host]:
        """Hosts whose agents run and do not leave."""
        return [host for host in self.hosts if self.is_working(host)]

    def stopped(self) -> list[Host]:
        """Hosts whose agents are stopped, or suspended with their machine."""
        return [host for host in self.hosts if host.process is not None and host.process.stopped]

    # What is done to it

    def do(self, act: Act) -> bool:
        """Do it, if it can be done now."""
        if not act.do(self):
            return False
        self.done[act.word] += 1
        return True

    def start(self, host: Host, **how: Any) -> None:
        """Start the agent of a host, whatever became of the last one; `how` is that of `World.restart`."""
        if host.ephemeral or how.get("identity") == "new" or how.get("registrations") == "lost":
            self.promised[host.number].clear()
        self.reported[host.number].clear()
        self.world.restart(host, **how)

    def register(self, host: Host, key: str, name: str, port: int) -> None:
        """Register, and remember that it was acknowledged."""
        # Noted before: the watch looks at once whether the node offers it.
        self.promised[host.number][key] = (name, port)
        host.register(name, port, key=key)

    def deregister(self, host: Host, key: str) -> None:
        """Take a service away that was registered."""
        del self.promised[host.number][key]
        self.reported[host.number].pop(key, None)
        host.deregister(key)

    def report(self, host: Host, key: str, verdict: Verdict, *, maintenance: bool = False) -> None:
        """A check of a registered service, or of the node, turns."""
        self.reported[host.number][key] = (verdict, maintenance)
        host.report(key, verdict, maintenance=maintenance)

    def departs(self, host: Host, *, stays: bool = False) -> None:
        """The host is told to leave or to hand over; its process `stays` when that is done."""
        self.watch.departing[host.number] = host.lives
        if stays:
            self._staying[host.number] = host.lives

    def returns(self, host: Host) -> None:
        """A leaver whose process stayed is told to join."""
        self.watch.departing.pop(host.number, None)
        self._staying.pop(host.number, None)

    def has_left(self, host: Host) -> bool:
        """Its agent runs, and has left the cluster or is about to, to stay."""
        return host.is_running and self._staying.get(host.number) == host.lives

    # The end

    def calm(self) -> None:
        """Undo every fault: the network is well, who was stopped goes on, leavers are back, the seeds run."""
        world = self.world
        world.heal()
        world.network.default = self.line
        world.network.links.clear()
        for host in self.hosts:
            world.fail_sends(host, on=False)
            world.starve(host, 1)
            world.set_clock_rate(host, 0)
            host.mute = host.deaf = False
            host.refusals = "sent"
            host.loss_in = host.loss_out = 0
        for host in self.stopped():
            world.resume(host)
        for host in self.hosts[:SEEDS]:
            if host.process is None:
                self.start(host)
        for host in self.hosts:
            if self.has_left(host):
                self.returns(host)
                host.join(*self.hosts[:SEEDS])

    def settle(self) -> float:
        """Wait until all that run hold one view, and see that it lasts: how long it took, in seconds.

        Raises:
            BrokenRuleError: if they do not in the time that `calm_limit` gives them, or not for long.
        """
        world = self.world
        nodes = len(world.running())
        lost = max((len(host.node.members) for host in world.running()), default=0)
        limit = calm_limit(self.params, nodes, lost + len(self.hosts))
        begun = world.now
        while problem := differences(world, self.promised, self.reported):
            if world.now - begun > limit:
                self._fail(f"not within {limit:.0f} s: {problem}")
            world.run(LOOK_S)
        took = world.now - begun
        self._see_that_it_lasts(nodes)
        for host in world.running():
            self.watch.walk(host)
        return took

    def _see_that_it_lasts(self, nodes: int) -> None:
        """Nobody is buried meanwhile. Where packets are lost one may be suspected, while that takes."""
        world = self.world
        buried = self._buried()
        world.run(LASTING)
        until = world.now + (self.params.suspicion_max(nodes) if self.line.loss else 0.0)
        while problem := differences(world, self.promised, self.reported):
            if world.now >= until:
                self._fail(f"they did, but not for {LASTING:.0f} s: {problem}")
            world.run(LOOK_S)
        if self._buried() > buried:
            self._fail("they did, but meanwhile somebody who runs was buried")

    def _buried(self) -> int:
        return sum(host.node.counters["buried"] for host in self.world.running())

    def met(self) -> Counter[str]:
        """Everything that happened in this world, counted, when it is over; see `coverage`."""
        met = self.watch.close()
        met.update({f"act: {word}": count for word, count in self.done.items()})
        met.update({f"dropped: {reason}": count for reason, count in self.world.network.dropped.items()})
        return met

    def _fail(self, problem: str) -> None:
        raise BrokenRuleError(Rule.CONVERGENCE, f"{problem}\n{self.world.describe()}", at_s=self.world.now)
