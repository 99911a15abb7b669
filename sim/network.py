"""What happens to a datagram between two hosts, and to what the kernels of a stream send each other.

A packet's fate is settled when it is sent: cut, dropped, lost, or under way for so long, perhaps twice. What
the far host makes of it is settled when it arrives. Faults are of a host (`Host.mute`, `deaf`, `loss_in`,
`loss_out`, `group`), of a link (`links`, zones, cuts), or of all (`default`).
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from gossip.core.types import Address
from sim.clock import Clock
from sim.links import Burst, Course, Link, link, wire_size
from sim.refusals import LIE, Limiter

if TYPE_CHECKING:
    from sim.host import Host
    from sim.process import Process

__all__ = ["SIGNAL", "Burst", "Link", "Network", "link"]

SIGNAL = 60
"""Bytes of a packet without data: SYN, reset, ICMP error."""


class Network:
    """All links of one world, and which host has which address."""

    __slots__ = (
        "_bits",
        "_courses",
        "_cuts",
        "_hosts",
        "_limiter",
        "_machines",
        "_partitioned",
        "_zones",
        "clock",
        "default",
        "dropped",
        "lie",
        "links",
    )

    def __init__(self, clock: Clock, rng: random.Random, default: Link) -> None:
        self.clock = clock
        self.default = default
        self.links: dict[tuple[int, int], Link] = {}
        """Links that differ, by (sender's number, receiver's number)."""
        self.dropped: dict[str, int] = {}
        """Packets that did not arrive, by reason."""
        self.lie = LIE
        """The chance of 2^32 that a host whose refusals are lying refuses what it delivers."""
        self._bits = rng.getrandbits
        self._courses: dict[tuple[int, int], Course] = {}
        """Of the pairs that a link other than a plain one was between."""
        self._limiter = Limiter()
        self._zones: dict[tuple[str, str], Link] = {}
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

    # Links

    def set_zones(self, zones: Mapping[str, Mapping[str, Link]]) -> None:
        """The link from each zone to each: `zones[sender.zone][receiver.zone]`; `default` where none is.

        The links of single pairs (`links`) win over these.
        """
        self._zones = {(here, there): line for here, row in zones.items() for there, line in row.items()}

    def set_link(self, sender: Host, receiver: Host, line: Link | None) -> None:
        """Give one direction between two hosts a link of its own, or none again."""
        if line is None:
            self.links.pop((sender.number, receiver.number), None)
        else:
            self.links[sender.number, receiver.number] = line

    def line(self, sender: Host, receiver: Host) -> Link:
        """The link from one host to another."""
        own = self.links.get((sender.number, receiver.number))
        if own is not None:
            return own
        return self._zones.get((sender.zone, receiver.zone), self.default)

    # Packets of streams

    def signal(self, sender: Host, receiver: Host) -> int | None:
        """Send one packet without data: in how many microseconds it is there; None if it never is."""
        line = self.line(sender, receiver)
        held_us = 0
        why = "" if self.passes(sender, receiver) else "cut"
        if not why and not line.plain:
            why, held_us = self._hinder(line, sender, receiver, SIGNAL)
        lost = why or self._loses(line, sender, receiver)
        delay_us = line.latency.draw(self._bits(32))
        return None if lost else held_us + delay_us

    def push(self, sender: Host, receiver: Host, segments: int, each: int) -> tuple[int, int, int]:
        """Send segments of `each` bytes (headers included) of a stream, as many as the line takes now.

        A stream shares the line's bandwidth: it fills half of the backlog and keeps the rest until there is
        room again, as TCP does once it knows the line.

        Returns:
            How many the line took, how many of these were lost, and a time in microseconds: for which the
            others are under way; if none was taken, after which to ask again.
        """
        line = self.line(sender, receiver)
        taken, lost, held_us = segments, 0, 0
        if not self.passes(sender, receiver):
            lost = segments
        elif not line.plain:
            taken, lost, held_us = self._push_hindered(line, sender, receiver, segments, each)
            if not taken:
                return 0, 0, held_us
        elif line.loss or sender.loss_out or receiver.loss_in:
            for _ in range(segments):
                lost += self._loses(line, sender, receiver)
        return taken, lost, held_us + line.latency.draw(self._bits(32))

    def _push_hindered(
        self, line: Link, sender: Host, receiver: Host, segments: int, each: int
    ) -> tuple[int, int, int]:
        course, now_us, bits = self._course(sender, receiver), self.clock.now_us, self._bits
        taken = segments
        if line.bandwidth is not None:
            share = max(line.backlog // 2, each)
            taken = min(segments, max(0, share - course.waiting(line, now_us)) // each)
            if not taken:
                return 0, 0, course.drains(line, max(0, share // 2 - each), now_us)
        # There is room: a stream's share is within the backlog.
        held_us = course.queue(line, taken * each, now_us) or 0
        lost = 0
        for _ in range(taken):
            burst = line.burst is not None and course.loses(line.burst, bits)
            lost += burst or self._loses(line, sender, receiver)
        if line.reordering and any(bits(32) < line.reordering for _ in range(taken)):
            # What overtakes a segment waits for it.
            held_us += line.reorder_us
        return taken, lost, held_us

    # Datagrams

    def send(self, process: Process, target: Address, payload: object, size: int) -> None:
        """Carry one datagram."""
        sender = process.host
        receiver = self._hosts.get(target) or self._machines.get(target[0])
        if receiver is None:
            self._drop("unroutable")
            return
        # `passes` and `_loses` are written out here: nearly all that a world carries goes this way.
        if (
            sender.mute
            or receiver.deaf
            or not (sender.up and receiver.up)
            or (self._partitioned and sender.group != receiver.group)
            or (self._cuts and (sender.number, receiver.number) in self._cuts)
        ):
            self._drop("cut")
            return
        line = self.line(sender, receiver) if self.links or self._zones else self.default
        held_us = 0
        if not line.plain:
            length = wire_size(target, size)
            if line.mtu is not None and length > line.mtu:
                self._drop("mtu")
                return
            why, held_us = self._hinder(line, sender, receiver, length)
            if why:
                self._drop(why)
                return
        bits = self._bits
        if (
            (line.loss and bits(32) < line.loss)
            or (sender.loss_out and bits(32) < sender.loss_out)
            or (receiver.loss_in and bits(32) < receiver.loss_in)
        ):
            self._drop("loss")
            return
        clock = self.clock
        letter = (process, receiver, sender.address, target, payload, size)
        clock.after(held_us + line.latency.draw(bits(32)), self._arrive, letter)
        if line.duplication and bits(32) < line.duplication:
            clock.after(held_us + line.latency.draw(bits(32)), self._arrive, letter)

    def _arrive(self, letter: tuple[Process, Host, Address, Address, object, int]) -> None:
        sender, receiver, source, target, payload, size = letter
        if not receiver.up:
            self._drop("down")
            return
        process = receiver.process
        if process is not None and receiver.address == target and receiver.refusals != "rejecting":
            process.arrive(source, payload, size)
            if receiver.refusals == "lying" and self._bits(32) < self.lie:
                self._refuse(receiver, sender, target)
            return
        self._drop("closed")
        if receiver.refusals != "silent":
            self._refuse(receiver, sender, target)

    def _refuse(self, host: Host, process: Process, target: Address) -> None:
        peer = process.host
        if host.refusals == "limited" and not self._limiter.allows(
            host.number, peer.number, self.clock.now_us
        ):
            self._drop("icmp_limit")
            return
        delay_us = self.signal(host, peer)
        if delay_us is not None:
            self.clock.after(delay_us, process.refused, target)

    # What a packet meets

    def _hinder(self, line: Link, sender: Host, receiver: Host, size: int) -> tuple[str, int]:
        """Why a link that is not plain drops a packet ("" if it does not), and how long it holds it up."""
        course = self._course(sender, receiver)
        held_us = course.queue(line, size, self.clock.now_us)
        if held_us is None:
            return "backlog", 0
        if line.burst is not None and course.loses(line.burst, self._bits):
            return "burst", 0
        if line.reordering and self._bits(32) < line.reordering:
            held_us += line.reorder_us
        return "", held_us

    def _loses(self, line: Link, sender: Host, receiver: Host) -> bool:
        """Whether a packet is lost by chance, whatever was lost before it."""
        bits = self._bits
        return bool(
            (line.loss and bits(32) < line.loss)
            or (sender.loss_out and bits(32) < sender.loss_out)
            or (receiver.loss_in and bits(32) < receiver.loss_in)
        )

    def _course(self, sender: Host, receiver: Host) -> Course:
        key = (sender.number, receiver.number)
        course = self._courses.get(key)
        if course is None:
            course = self._courses[key] = Course()
        return course

    def _drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1
