"""Beginnings and ends of lives, and agents that are stopped, slow, or have wrong clocks; see `act`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sim.hunt.act import Act

if TYPE_CHECKING:
    from sim.hunt.stage import Stage

__all__ = [
    "ClockRate",
    "Crash",
    "HandOver",
    "JumpWall",
    "Leave",
    "Pause",
    "Rejoin",
    "Restart",
    "Resume",
    "Starve",
    "Storm",
    "Suspend",
]


class Crash(Act, frozen=True):
    """Kill the agent, or the whole machine."""

    host: int
    machine: bool = False

    def do(self, stage: Stage) -> bool:
        host = stage.hosts[self.host]
        if host.process is None:
            return False
        stage.world.crash(host, machine=self.machine)
        return True

    def __str__(self) -> str:
        return f"{'the machine' if self.machine else 'the agent'} of n{self.host} dies"


class Restart(Act, frozen=True):
    """Start the agent again: as it was, as another, at a new address, or with its registrations lost."""

    host: int
    how: Literal["same", "new identity", "new address", "lost disk"] = "same"

    def do(self, stage: Stage) -> bool:
        host = stage.hosts[self.host]
        if self.how == "new identity":
            stage.start(host, identity="new")
        elif self.how == "new address":
            if host.ephemeral:
                return False
            stage.start(host, address="new")
        elif self.how == "lost disk":
            stage.start(host, registrations="lost")
        else:
            stage.start(host)
        stage.done[f"restart: {self.how}"] += 1
        return True

    def __str__(self) -> str:
        return f"n{self.host} is started again" + ("" if self.how == "same" else f", with a {self.how}")


class Storm(Act, frozen=True):
    """Start, at one instant, every agent that is not running."""

    def do(self, stage: Stage) -> bool:
        down = [host for host in stage.hosts if host.process is None]
        for host in down:
            stage.start(host)
        return len(down) > 1

    def __str__(self) -> str:
        return "all that are down are started at once"


class Leave(Act, frozen=True):
    """Have the agent leave; its process ends with that, or stays."""

    host: int
    stays: bool = False

    def do(self, stage: Stage) -> bool:
        host = stage.hosts[self.host]
        if not stage.is_working(host):
            return False
        stage.departs(host, stays=self.stays)
        stage.world.leave(host, stop=not self.stays)
        return True

    def __str__(self) -> str:
        return f"n{self.host} leaves" + (", and its agent stays" if self.stays else "")


class HandOver(Act, frozen=True):
    """Have the agent stop as for an upgrade."""

    host: int

    def do(self, stage: Stage) -> bool:
        host = stage.hosts[self.host]
        if not stage.is_working(host):
            return False
        stage.departs(host)
        stage.world.hand_over(host)
        return True

    def __str__(self) -> str:
        return f"n{self.host} hands over"


class Rejoin(Act, frozen=True):
    """Have the agent join by another host; who has left, and stayed, is back with that."""

    host: int
    other: int

    def do(self, stage: Stage) -> bool:
        host, seed = stage.hosts[self.host], stage.hosts[self.other]
        left = stage.has_left(host)
        if host is seed or not (left or stage.is_working(host)):
            return False
        if left:
            stage.returns(host)
            stage.done["back after leaving"] += 1
        host.join(seed)
        return True

    def __str__(self) -> str:
        return f"n{self.host} is asked to join by n{self.other}"


# Stopped, suspended, slow, and clocks that are wrong


class Pause(Act, frozen=True):
    """Stop the process: its clock runs."""

    host: int

    def do(self, stage: Stage) -> bool:
        host = stage.hosts[self.host]
        if not host.is_running:
            return False
        stage.world.pause(host)
        return True

    def __str__(self) -> str:
        return f"n{self.host} is stopped"


class Suspend(Act, frozen=True):
    """Suspend the machine: its monotonic clock stands still."""

    host: int

    def do(self, stage: Stage) -> bool:
        host = stage.hosts[self.host]
        if not host.is_running:
            return False
        stage.world.suspend(host)
        return True

    def __str__(self) -> str:
        return f"n{self.host} is suspended"


class Resume(Act, frozen=True):
    """Have whoever is stopped or suspended go on."""

    host: int

    def do(self, stage: Stage) -> bool:
        host = stage.hosts[self.host]
        if host.process is None or not host.process.stopped:
            return False
        stage.world.resume(host)
        return True

    def __str__(self) -> str:
        return f"n{self.host} goes on"


class JumpWall(Act, frozen=True):
    """Set the wall clock of a machine forward, or back."""

    host: int
    ms: int

    def do(self, stage: Stage) -> bool:
        stage.world.jump_wall(stage.hosts[self.host], self.ms / 1_000)
        return True

    def __str__(self) -> str:
        way = "forward" if self.ms > 0 else "back"
        return f"the wall clock of n{self.host} is set {way} by {abs(self.ms)} ms"


class ClockRate(Act, frozen=True):
    """Have the clocks of a machine run fast, or slow."""

    host: int
    ppm: int

    def do(self, stage: Stage) -> bool:
        stage.world.set_clock_rate(stage.hosts[self.host], self.ppm)
        return True

    def __str__(self) -> str:
        return f"the clocks of n{self.host} run {abs(self.ppm)} ppm {'slow' if self.ppm < 0 else 'fast'}"


class Starve(Act, frozen=True):
    """Let everything that the agent does take so many times as long as on a machine that is not loaded."""

    host: int
    factor: int

    def do(self, stage: Stage) -> bool:
        stage.world.starve(stage.hosts[self.host], self.factor)
        return True

    def __str__(self) -> str:
        return (
            f"n{self.host} is {self.factor} times slower than it should be"
            if self.factor > 1
            else f"n{self.host} is as fast as ever"
        )
