"""A core that does what a test tells it and writes down what it is given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gossip.core.effects import Effect
from gossip.core.messages import Frame, Gossip, Packet, Turned
from gossip.core.types import Address, StreamId
from sim.host import Host
from sim.life import Life
from sim.world import World

__all__ = ["Script", "frame", "packet", "say", "script", "scripted"]


class Script:
    """Every input, in order, as `(word, what)`; pulses only if they carry news."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.heard: list[tuple[str, Any]] = []
        self.times: list[float] = []
        self.due = math.inf
        self.accepts = True
        self.queue: list[Effect] = []
        self.streams: list[StreamId] = []
        """Of each frame and end."""
        self.sources: list[Address] = []
        self.react: Callable[[str, Any], Iterable[Effect]] = lambda _word, _what: ()
        self._accepted = 1_000

    def _note(self, word: str, what: Any, now: float) -> None:
        self.heard.append((word, what))
        self.times.append(now)
        self.queue.extend(self.react(word, what))

    def at(self, word: str) -> list[float]:
        """When it heard such an input."""
        return [now for now, (heard, _) in zip(self.times, self.heard, strict=True) if heard == word]

    def what(self, word: str) -> list[Any]:
        """What it heard by such inputs."""
        return [what for heard, what in self.heard if heard == word]

    def start(self, now: float) -> None:
        self._note("start", None, now)

    def receive(self, message: Packet, source: Address, now: float) -> None:
        self._note("receive", message, now)
        self.sources.append(source)

    def refused(self, address: Address, now: float) -> None:
        self._note("refused", address, now)

    def stream_accepted(self, source: Address, now: float) -> StreamId | None:
        self._note("accepted", source, now)
        if not self.accepts:
            return None
        self._accepted += 1
        return self._accepted

    def stream_opened(self, stream: StreamId, now: float) -> None:
        self._note("opened", stream, now)

    def stream_received(self, stream: StreamId, frame: Frame, now: float) -> None:
        self._note("frame", frame, now)
        self.streams.append(stream)

    def stream_closed(self, stream: StreamId, reason: str, now: float) -> None:
        self._note("closed", reason, now)
        self.streams.append(stream)

    def resolved(self, seed: str, addresses: Sequence[Address], problem: str, now: float) -> None:
        self._note("resolved", (seed, list(addresses), problem), now)

    def pulse(self, late: float, gap: float, overflow: bool, unsent: int, now: float) -> None:
        if late or gap or overflow or unsent:
            self._note("pulse", (round(late, 6), round(gap, 6), overflow or unsent > 0), now)

    def tick(self, now: float) -> None:
        self.due = math.inf
        self._note("tick", None, now)

    def next_deadline(self) -> float:
        return self.due

    def drain(self) -> list[Effect]:
        effects, self.queue = self.queue, []
        return effects

    def count(self, reason: str) -> None:
        self.heard.append(("count", reason))
        self.times.append(math.nan)

    def remembered(self) -> Sequence[Address]:
        return ()


def scripted(hosts: int, **settings: Any) -> World:
    """A world of that many scripts, all started at time 0."""
    world = World(maker=Script, **settings)
    world.grow(hosts)
    return world


def script(host: Host) -> Script:
    """The script that runs on the host."""
    core = host.agent.node
    assert isinstance(core, Script)
    return core


def say(host: Host, *effects: Effect) -> None:
    """Have the script there put out these effects now."""
    host.agent.call(lambda _now: script(host).queue.extend(effects))


def packet(number: int, size: int = 0) -> Gossip:
    """A datagram's message, with its number in it; `size` is of one piece of news."""
    return Gossip(number.to_bytes(16, "big"), (bytes(size),) if size else ())


def frame(number: int) -> Turned:
    """A frame's message, with its number in it."""
    return Turned(str(number))
