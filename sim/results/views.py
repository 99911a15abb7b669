"""Whether the nodes hold one view, and how nearly: by fingerprints and counts, not by walking all pairs."""

from __future__ import annotations

from collections import Counter

from gossip.core.members import MemberTable
from gossip.core.node import Node
from gossip.core.types import Status
from sim.results.table import Table
from sim.world import World

__all__ = ["Views"]


class Views:
    """Looks at the running nodes. `changed` must be called whenever one starts, stops or goes on."""

    def __init__(self, world: World, table: Table) -> None:
        self._world = world
        self._table = table
        self._nodes: list[tuple[Node, MemberTable]] | None = None
        self._differed = 0
        self.converged_share = 0.0
        """Of the last sample."""

    def changed(self) -> None:
        """Other nodes may be running now."""
        self._nodes = None

    def agree(self) -> bool:
        """Whether all that run hold one view: just each other for alive, and nobody for suspect.

        It ends at the first that does not.
        """
        nodes = self._running()
        if not nodes:
            return False
        others = len(nodes) - 1
        fingerprint = nodes[0][0].fingerprint
        # Where it last differed, it most probably still does.
        if self._differed < len(nodes) and nodes[self._differed][0].fingerprint != fingerprint:
            return False
        for number, (node, members) in enumerate(nodes):
            # Who is gone and still suspect stands in all fingerprints alike, and is counted by `n`.
            if node.fingerprint != fingerprint or members.n != others + 1:
                self._differed = number
                return False
        return self._world.converged()

    def sample(self, at_us: int, messages: int, size: int) -> None:
        """A row of the table; messages and bytes are those sent so far."""
        nodes = self._running()
        running = len(nodes)
        if not running:
            self._table.add(at_us, 0, 0, 0.0, 0, 0, 0, 0.0, 0.0, 0.0, 0, messages, size)
            return
        alive = [members.counts[Status.ALIVE] for _, members in nodes]
        live = [members.n for _, members in nodes]
        prints = [node.fingerprint for node, _ in nodes]
        queues = [node.queue for node, _ in nodes]
        counts = Counter(prints)
        right = Counter(
            view
            for view, count, known in zip(prints, alive, live, strict=True)
            if count == running - 1 and known == running
        )
        self.converged_share = max(right.values(), default=0) / running
        self._table.add(
            at_us,
            running,
            min(alive),
            sum(alive) / running,
            max(alive),
            sum(members.counts[Status.SUSPECT] for _, members in nodes),
            len(counts),
            max(counts.values()) / running,
            self.converged_share,
            sum(queues) / running,
            max(queues),
            messages,
            size,
        )

    def _running(self) -> list[tuple[Node, MemberTable]]:
        if self._nodes is None:
            self._nodes = [(host.node, host.node.members) for host in self._world.running()]
        return self._nodes
