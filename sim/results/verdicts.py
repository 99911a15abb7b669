"""Whether a suspicion or a death was deserved, judged by what the world knows and no node does.

When an observer begins to hold a subject suspect, or dead, the verdict is one of

    gone       no agent of that identity runs: it crashed, left, or came back as another
    stopped    it runs, but is paused or suspended at that moment
    cut        it runs, but at that moment nothing passes from one of the two to the other (partition, cut,
               mute or deaf host, machine off the network)
    aftermath  it runs and is reachable, but has not been so for long: since it runs again, or since the
               network reaches it or the observer again, less time has passed than a suspicion may take
               (`Params.suspicion_max` of the nodes that run, and two periods)
    false      none of these: a running, reachable node is held suspect or dead

Loss, latency and starvation excuse nothing: what is wrongly held under them is `false`. Lifeguard (Dadgar
et al. 2018, section V) counts the failures of healthy members in the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gossip.core.types import NodeId
from sim.clock import microseconds
from sim.host import Host
from sim.results.table import Table
from sim.world import World

__all__ = ["VERDICTS", "Verdicts", "patience_us"]

VERDICTS = ("gone", "stopped", "cut", "aftermath", "false")
PERIODS = 2
"""How long a probe may take to notice what is to be suspected."""


def patience_us(world: World) -> int:
    """How long a suspicion may take with so many nodes as run now, and what comes before it."""
    params = world.params
    return microseconds(params.suspicion_max(len(world.running())) + PERIODS * params.period)


class Verdicts:
    """Judges suspicions and deaths as they happen, and counts them."""

    def __init__(self, world: World, table: Table) -> None:
        self._world = world
        self._table = table
        self._reached_us: dict[int, int] = {}
        """By host: since when the network reaches it again."""
        self._runs_us: dict[int, int] = {}
        """By host: since when it runs again."""
        self.counts: dict[str, Counter[str]] = {"suspicion": Counter(), "death": Counter()}

    def mended(self, hosts: Sequence[Host], *, network: bool) -> None:
        """These can be reached again (`network`), or run again."""
        since = self._reached_us if network else self._runs_us
        for host in hosts:
            since[host.number] = self._world.clock.now_us

    def judge(self, kind: str, at_us: int, observer: Host, subject: Host, identity: NodeId) -> str:
        """Count it and keep it; at_us is measured time."""
        verdict = self._verdict(observer, subject, identity)
        self.counts[kind][verdict] += 1
        self._table.add(at_us, observer.number, subject.number, kind, verdict)
        return verdict

    def _verdict(self, observer: Host, subject: Host, identity: NodeId) -> str:
        process, network = subject.process, self._world.network
        if process is None or subject.id != identity:
            return "gone"
        if process.stopped:
            return "stopped"
        if not (network.passes(observer, subject) and network.passes(subject, observer)):
            return "cut"
        fresh_us = max(
            self._reached_us.get(subject.number, -1),
            self._reached_us.get(observer.number, -1),
            self._runs_us.get(subject.number, -1),
        )
        if fresh_us >= 0 and self._world.clock.now_us - fresh_us < patience_us(self._world):
            return "aftermath"
        return "false"
