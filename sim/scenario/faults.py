"""Which cuts, partitions and links are in force: what one action ends, another may still want."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from sim.errors import ScenarioError
from sim.host import Host
from sim.links import Link
from sim.world import World

__all__ = ["PAIRS_MAX", "Faults", "too_many_pairs"]

PAIRS_MAX = 1_000_000
"""Pairs of one action: cuts and links are kept pair by pair."""


def too_many_pairs(senders: int, receivers: int) -> str:
    """What is said of it."""
    return (
        f"{senders} x {receivers} pairs of nodes are too many to cut or link one by one:"
        ' write do = "partition" or do = "network", or choose fewer'
    )


class Faults:
    """All that keeps packets from passing, counted, so that it ends with the last who wants it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._cuts: Counter[tuple[int, int]] = Counter()
        self._partition: list[list[Host]] = []
        self.heals = 0
        """How often everything was healed: what comes and goes sees by it that it is over."""

    def cut(self, senders: Sequence[Host], receivers: Sequence[Host], *, both: bool) -> Callable[[], None]:
        """Cut all pairs; the result mends what no other action cut."""
        pairs = self._pairs(senders, receivers, both=both)
        for sender, receiver in pairs:
            self._cuts[sender.number, receiver.number] += 1
            self._world.network.cut(sender, receiver)
        return lambda: self._mend(pairs)

    def partition(self, sides: list[list[Host]]) -> Callable[[], None]:
        """Part the sides from each other and from the rest; a partition that was there before ends."""
        self._partition = sides
        self._world.partition(sides)
        return lambda: self._unite(sides)

    def heal(self) -> None:
        """End everything."""
        self.heals += 1
        self._cuts.clear()
        self._partition = []
        self._world.heal()

    def relink(
        self, senders: Sequence[Host], receivers: Sequence[Host], line: Link, *, both: bool
    ) -> Callable[[], None]:
        """Give all pairs that link; the result gives them what they had before."""
        pairs = self._pairs(senders, receivers, both=both)
        links = self._world.network.links
        before = [links.get((sender.number, receiver.number)) for sender, receiver in pairs]
        for sender, receiver in pairs:
            self._world.set_link(sender, receiver, line)

        def undo() -> None:
            for (sender, receiver), old in zip(pairs, before, strict=True):
                if links.get((sender.number, receiver.number)) is line:
                    self._world.set_link(sender, receiver, old)

        return undo

    def _pairs(
        self, senders: Sequence[Host], receivers: Sequence[Host], *, both: bool
    ) -> list[tuple[Host, Host]]:
        if len(senders) * len(receivers) > PAIRS_MAX:
            raise ScenarioError(too_many_pairs(len(senders), len(receivers)))
        pairs = [(here, there) for here in senders for there in receivers if here is not there]
        if both:
            pairs = list(dict.fromkeys(pairs + [(there, here) for here, there in pairs]))
        return pairs

    def _mend(self, pairs: Sequence[tuple[Host, Host]]) -> None:
        for sender, receiver in pairs:
            key = (sender.number, receiver.number)
            if self._cuts[key] <= 1:
                if self._cuts.pop(key, 0):
                    self._uncut(sender, receiver)
            else:
                self._cuts[key] -= 1

    def _uncut(self, sender: Host, receiver: Host) -> None:
        # `mend` undoes both directions: what is still cut the other way is cut again.
        self._world.network.mend(sender, receiver)
        if self._cuts[receiver.number, sender.number]:
            self._world.network.cut(receiver, sender)

    def _unite(self, sides: list[list[Host]]) -> None:
        if self._partition is not sides:
            return
        self._partition = []
        self._world.heal()
        hosts = self._world.hosts
        for sender, receiver in sorted(self._cuts):
            self._world.network.cut(hosts[sender], hosts[receiver])
