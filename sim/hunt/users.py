"""What users and local programs ask of an agent; see `act`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.core.types import Status, Verdict
from sim.hunt.act import Act

if TYPE_CHECKING:
    from sim.host import Host
    from sim.hunt.stage import Stage

__all__ = ["Deregister", "Evict", "Flood", "RaiseFloor", "Register", "Report", "SetTag", "Tell"]


class Register(Act, frozen=True):
    """Register a service, or change it."""

    host: int
    key: str
    name: str
    port: int

    def do(self, stage: Stage) -> bool:
        host = stage.hosts[self.host]
        if not stage.is_working(host):
            return False
        if self.key in stage.promised[self.host]:
            stage.done["change of a service"] += 1
        stage.register(host, self.key, self.name, self.port)
        return True

    def __str__(self) -> str:
        return f"{self.name}:{self.port} is registered on n{self.host} as {self.key}"


class Deregister(Act, frozen=True):
    """Take a service away."""

    host: int
    key: str

    def do(self, stage: Stage) -> bool:
        host = stage.hosts[self.host]
        if not stage.is_working(host) or self.key not in stage.promised[self.host]:
            return False
        stage.deregister(host, self.key)
        return True

    def __str__(self) -> str:
        return f"{self.key} is deregistered on n{self.host}"


class Report(Act, frozen=True):
    """A check of a service, or (empty key) of the node, turns."""

    host: int
    key: str
    verdict: int
    maintenance: bool = False

    def do(self, stage: Stage) -> bool:
        host = stage.hosts[self.host]
        if not stage.is_working(host) or (self.key and self.key not in stage.promised[self.host]):
            return False
        stage.report(host, self.key, Verdict(self.verdict), maintenance=self.maintenance)
        return True

    def __str__(self) -> str:
        word = "in maintenance" if self.maintenance else Verdict(self.verdict).label
        return f"{self.key or 'all that it offers'} is {word} on n{self.host}"


class RaiseFloor(Act, frozen=True):
    """Sign all that lives anew and void what is older, as an agent does that remembers too many deletions."""

    host: int

    def do(self, stage: Stage) -> bool:
        host = stage.hosts[self.host]
        if not stage.is_working(host):
            return False
        floor = host.do(lambda node, _now: node.next_version())
        for key, (name, port) in stage.promised[self.host].items():
            stage.register(host, key, name, port)
        host.disk.floor = floor
        # Before the others hear of it: the watch looks at what is kept, not at what is void.
        host.disk.records = {key: raw for key, raw in host.disk.records.items() if _is_kept(host, key, floor)}
        host.do(lambda node, now: node.raise_floor(floor, now))
        return True

    def __str__(self) -> str:
        return f"n{self.host} forgets its deletions"


def _is_kept(host: Host, key: tuple[int, str], floor: int) -> bool:
    fact = host.node.me.services.get(key)
    return fact is not None and fact.body.version >= floor  # type: ignore[union-attr]


class SetTag(Act, frozen=True):
    """Change the node's tags."""

    host: int
    value: str

    def do(self, stage: Stage) -> bool:
        host = stage.hosts[self.host]
        if not stage.is_working(host):
            return False
        host.do(lambda node, now: node.set_tags({"v": self.value}, now))
        return True

    def __str__(self) -> str:
        return f"n{self.host} is tagged {self.value}"


class Tell(Act, frozen=True):
    """Send a user event."""

    host: int

    def do(self, stage: Stage) -> bool:
        host = stage.hosts[self.host]
        if not stage.is_working(host):
            return False
        host.do(lambda node, now: node.send_event("deploy", b"42", now))
        return True

    def __str__(self) -> str:
        return f"n{self.host} sends an event"


class Flood(Act, frozen=True):
    """Send many user events from each of some hosts at once: more than a queue has room for."""

    hosts: tuple[int, ...]
    count: int

    def do(self, stage: Stage) -> bool:
        working = [host for host in (stage.hosts[number] for number in self.hosts) if stage.is_working(host)]
        for host in working:
            for _ in range(self.count):
                host.do(lambda node, now: node.send_event("flood", b"", now))
        return bool(working)

    def __str__(self) -> str:
        return f"{self.count} events are sent by each of {', '.join(f'n{number}' for number in self.hosts)}"


class Evict(Act, frozen=True):
    """Have one agent forget a dead member's services for good, as `gossip evict` does."""

    host: int
    other: int

    def do(self, stage: Stage) -> bool:
        host, other = stage.hosts[self.host], stage.hosts[self.other]
        if not stage.is_working(host) or not other.id or host.sees(other) is not Status.DEAD:
            return False
        host.do(lambda node, now: node.evict(other.id, now))
        return True

    def __str__(self) -> str:
        return f"n{self.host} is told to evict n{self.other}"
