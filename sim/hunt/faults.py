"""What can be done to the network, each as a value; see `act`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from sim.chance import threshold
from sim.hunt.act import Act
from sim.latency import parse_latency
from sim.links import Burst, Link, link
from sim.refusals import Refusals

if TYPE_CHECKING:
    from sim.hunt.stage import Stage

__all__ = [
    "Cut",
    "FailSends",
    "Heal",
    "HostLoss",
    "Line",
    "Mend",
    "OneLine",
    "Partition",
    "Refuse",
    "SetDeaf",
    "SetLines",
    "SetMute",
    "make_link",
]


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    """A link as a plan's file has it. Shares are of 1."""

    latency: str = "0.1ms..3ms"
    loss: float = 0.0
    duplication: float = 0.0
    burst: tuple[float, float, float] | None = None
    """Chances to enter and to leave a burst of loss, and the loss in it."""
    reordering: float = 0.0
    reorder_ms: int = 0

    def __str__(self) -> str:
        parts = [self.latency]
        parts += [
            f"{share:.0%} {word}"
            for share, word in ((self.loss, "lost"), (self.duplication, "doubled"))
            if share
        ]
        if self.burst is not None:
            parts.append("bursts of loss")
        if self.reordering:
            parts.append(f"{self.reordering:.0%} held up by {self.reorder_ms} ms")
        return ", ".join(parts)


def make_link(line: Line) -> Link:
    """The world's own form of it.

    Raises:
        ValueError: if a share is none, or the latency cannot be read.
    """
    return link(
        parse_latency(line.latency),
        line.loss,
        line.duplication,
        burst=None if line.burst is None else Burst(*line.burst),
        reordering=line.reordering,
        reorder_us=1_000 * line.reorder_ms,
    )


class Partition(Act, frozen=True):
    """Let nothing pass between these hosts and the rest."""

    hosts: tuple[int, ...]

    def do(self, stage: Stage) -> bool:
        if not 0 < len(self.hosts) < len(stage.hosts):
            return False
        stage.world.partition([[stage.hosts[number] for number in self.hosts]])
        return True

    def __str__(self) -> str:
        some = ", ".join(f"n{number}" for number in self.hosts)
        return f"{some} {'is' if len(self.hosts) == 1 else 'are'} cut off"


class Heal(Act, frozen=True):
    """Undo all partitions and cuts."""

    def do(self, stage: Stage) -> bool:
        stage.world.heal()
        return True

    def __str__(self) -> str:
        return "partitions and cuts are healed"


class Cut(Act, frozen=True):
    """Let nothing pass from one host to another, or back."""

    host: int
    other: int
    both: bool = False

    def do(self, stage: Stage) -> bool:
        if self.host == self.other:
            return False
        stage.world.network.cut(stage.hosts[self.host], stage.hosts[self.other], both=self.both)
        stage.done["two-way cut" if self.both else "one-way cut"] += 1
        return True

    def __str__(self) -> str:
        if self.both:
            return f"nothing passes between n{self.host} and n{self.other}"
        return f"nothing passes from n{self.host} to n{self.other}"


class Mend(Act, frozen=True):
    """Undo the cuts between two hosts."""

    host: int
    other: int

    def do(self, stage: Stage) -> bool:
        stage.world.network.mend(stage.hosts[self.host], stage.hosts[self.other])
        return True

    def __str__(self) -> str:
        return f"packets pass between n{self.host} and n{self.other} again"


class SetLines(Act, frozen=True):
    """Change the link between any two; without one, it is as it should be."""

    line: Line | None = None

    def do(self, stage: Stage) -> bool:
        stage.world.network.default = stage.line if self.line is None else make_link(self.line)
        return True

    def __str__(self) -> str:
        return "all links are well" if self.line is None else f"all links: {self.line}"


class OneLine(Act, frozen=True):
    """Give one direction between two hosts a link of its own; without one, that of all."""

    host: int
    other: int
    line: Line | None = None

    def do(self, stage: Stage) -> bool:
        line = None if self.line is None else make_link(self.line)
        stage.world.set_link(stage.hosts[self.host], stage.hosts[self.other], line)
        return True

    def __str__(self) -> str:
        return f"from n{self.host} to n{self.other}: {'as all links' if self.line is None else self.line}"


class SetMute(Act, frozen=True):
    """Nothing that a host sends gets out; or it does again."""

    host: int
    on: bool

    def do(self, stage: Stage) -> bool:
        stage.hosts[self.host].mute = self.on
        return True

    def __str__(self) -> str:
        return f"nothing that n{self.host} sends gets out" if self.on else f"n{self.host} is heard again"


class SetDeaf(Act, frozen=True):
    """Nothing that is sent to a host gets in; or it does again."""

    host: int
    on: bool

    def do(self, stage: Stage) -> bool:
        stage.hosts[self.host].deaf = self.on
        return True

    def __str__(self) -> str:
        return f"nothing that is sent to n{self.host} gets in" if self.on else f"n{self.host} hears again"


class HostLoss(Act, frozen=True):
    """Shares of what a host receives and sends that are lost, besides what its links lose."""

    host: int
    incoming: float
    outgoing: float

    def do(self, stage: Stage) -> bool:
        host = stage.hosts[self.host]
        host.loss_in, host.loss_out = threshold(self.incoming), threshold(self.outgoing)
        return True

    def __str__(self) -> str:
        return (
            f"n{self.host} loses {self.incoming:.0%} of what it is sent, {self.outgoing:.0%} of what it sends"
        )


class Refuse(Act, frozen=True):
    """How a host answers at closed ports, or, lying or rejecting, at its open one."""

    host: int
    how: Refusals

    def do(self, stage: Stage) -> bool:
        stage.hosts[self.host].refusals = self.how
        stage.done[f"refusals: {self.how}"] += 1
        return True

    def __str__(self) -> str:
        return f"refusals of n{self.host} are {self.how}"


class FailSends(Act, frozen=True):
    """Have every send of a host fail, as without a route; or no longer."""

    host: int
    on: bool

    def do(self, stage: Stage) -> bool:
        stage.world.fail_sends(stage.hosts[self.host], self.on)
        return True

    def __str__(self) -> str:
        return f"n{self.host} cannot send" if self.on else f"n{self.host} can send again"
