"""Links and their faults: what happens to a datagram between two hosts, and to an attempt on a stream.

A packet's fate is settled when it is sent: cut, lost, or under way for so long, perhaps twice. What
the far host makes of it is settled when it arrives. Faults are of a host (`Host.mute`, `deaf`,
`group`), of a link (`links`, `cuts`), or of all (`default`).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from gossip.core.types import Address
from sim.chance import threshold
from sim.clock import Clock
from sim.latency import Latency

if TYPE_CHECKING:
    from sim.host import Host
    from sim.process import Process

__all__ = ["Link", "Network", "link"]


class Link(Struct, frozen=True):
    """One direction between two hosts. Chances are of 2^32, as `chance.threshold` makes them."""

    latency: Latency
    loss: int = 0
    duplication: int = 0


def link(latency: Latency, loss: float = 0.0, duplication: float = 0.0) -> Link:
    """A link whose chances are given as shares from 0 to 1.

    Raises:
        ValueError: if a share is not from 0 to 1.
    """
    return Link(latency, threshold(loss), threshold(duplication))


class Network:
    """All links of one world, and which host has which address."""

    __slots__ = (
        "_bits",
        "_cuts",
        "_hosts",
        "_machines",
        "_partitioned",
        "clock",
        "default",
        "dropped",
        "links",
    )

    def __init__(self, clock: Clock, rng: random.Random, default: Link) -> None:
        self.clock = clock
        self.default = default
        self.links: dict[tuple[int, int], Link] = {}
        """Links that differ, by (sender's number, receiver's number)."""
        self.dropped: dict[str, int] = {}
        """Packets that did not arrive, by reason."""
        self._bits = rng.getrandbits
        self._cuts: set[tuple[int, int]] = set()
        self._partitioned = False
        self._hosts: dict[Address, Host] = {}
        self._machines: dict[str, Host] = {}

    # Addresses

    def attach(self, host: Host) -> None:
        """The host has its address from now on.

        Raises:
            ValueError: if another host has it.
        """
        if self._hosts.setdefault(host.address, host) is not host:
            raise ValueError(f"{host.address} is taken by {self._hosts[host.address].name}")
        self._machines.setdefault(host.address[0], host)

    def detach(self, host: Host) -> None:
        """Nobody has the host's address any more: packets to it meet silence."""
        del self._hosts[host.address]
        if self._machines.get(host.address[0]) is host:
            del self._machines[host.address[0]]

    def find(self, address: Address) -> Host | None:
        """Who answers there, if only with a refusal: the host of that address, else of that IP."""
        return self._hosts.get(address) or self._machines.get(address[0])

    # Faults

    def cut(self, sender: Host, receiver: Host, *, both: bool = False) -> None:
        """Nothing passes from `sender` to `receiver` any more; nor back, with `both`."""
        self._cuts.add((sender.number, receiver.number))
        if both:
            self._cuts.add((receiver.number, sender.number))

    def mend(self, sender: Host, receiver: Host) -> None:
        """Undo `cut`, in both directions."""
        self._cuts.discard((sender.number, receiver.number))
        self._cuts.discard((receiver.number, sender.number))

    def partition(self, groups: Sequence[Iterable[Host]], rest: Iterable[Host]) -> None:
        """Nothing passes between groups any more; `rest` is a group of its own."""
        for host in rest:
            host.group = 0
        for number, group in enumerate(groups, 1):
            for host in group:
                host.group = number
        self._partitioned = True

    def heal(self) -> None:
        """Undo every partition and cut; a host's own faults stay."""
        self._partitioned = False
        self._cuts.clear()

    def passes(self, sender: Host, receiver: Host) -> bool:
        """Whether packets get from one to the other, apart from what is lost by chance."""
        if sender.mute or receiver.deaf or not sender.up or not receiver.up:
            return False
        if self._partitioned and sender.group != receiver.group:
            return False
        return not self._cuts or (sender.number, receiver.number) not in self._cuts

    # Packets

    def try_once(self, sender: Host, receiver: Host, packets: int = 1) -> tuple[int, int]:
        """Try to bring `packets` over: how many were lost, and how long the others take (microseconds)."""
        line = self.links.get((sender.number, receiver.number), self.default) if self.links else self.default
        bits = self._bits
        lost = 0
        if not self.passes(sender, receiver):
            lost = packets
        elif line.loss:
            for _ in range(packets):
                lost += bits(32) < line.loss
        return lost, line.latency.draw(bits(32))

    def send(self, process: Process, target: Address, payload: object, size: int) -> None:
        """Carry one datagram."""
        sender = process.host
        receiver = self._hosts.get(target) or self._machines.get(target[0])
        if receiver is None:
            self._drop("unroutable")
            return
        if not self.passes(sender, receiver):
            self._drop("cut")
            return
        line = self.links.get((sender.number, receiver.number), self.default) if self.links else self.default
        bits = self._bits
        if line.loss and bits(32) < line.loss:
            self._drop("loss")
            return
        clock = self.clock
        letter = (process, receiver, sender.address, target, payload, size)
        clock.after(line.latency.draw(bits(32)), self._arrive, letter)
        if line.duplication and bits(32) < line.duplication:
            clock.after(line.latency.draw(bits(32)), self._arrive, letter)

    def _arrive(self, letter: tuple[Process, Host, Address, Address, object, int]) -> None:
        sender, receiver, source, target, payload, size = letter
        if not receiver.up:
            self._drop("down")
            return
        process = receiver.process
        if process is not None and receiver.address == target:
            process.arrive(source, payload, size)
            return
        self._drop("closed")
        if receiver.refuses:
            lost, delay = self.try_once(receiver, sender.host)
            if not lost:
                self.clock.after(delay, sender.refused, target)

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
