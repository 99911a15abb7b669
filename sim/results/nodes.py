"""Each node's account: how long it ran, what it sent, what it holds at the end."""

from __future__ import annotations

from gossip.core.types import Status, show_address
from sim.host import Host
from sim.results.table import Table
from sim.world import World

__all__ = ["Lives"]


class Lives:
    """Counts running time. A stopped or suspended agent counts as running: it is there, and costs."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._groups: dict[int, str] = {}
        self._since_us: dict[int, int] = {}
        self._ran_us: dict[int, int] = {}
        self._sent_base: dict[int, tuple[int, int, int, int]] = {}

    def added(self, host: Host, group: str) -> None:
        """It is there; what it has sent so far does not count."""
        self._groups[host.number] = group
        self._ran_us[host.number] = 0
        self._sent_base[host.number] = _traffic(host)

    def started(self, host: Host) -> None:
        """Its agent runs from now on."""
        self._since_us[host.number] = self._world.clock.now_us

    def ended(self, host: Host) -> None:
        """Its agent is gone."""
        since_us = self._since_us.pop(host.number, None)
        if since_us is not None:
            self._ran_us[host.number] += self._world.clock.now_us - since_us

    def running_us(self, host: Host) -> int:
        """How long its agents have run."""
        since_us = self._since_us.get(host.number)
        still_us = 0 if since_us is None else self._world.clock.now_us - since_us
        return self._ran_us[host.number] + still_us

    def total_us(self) -> int:
        """Node-time of all."""
        return sum(self.running_us(host) for host in self._world.hosts if host.number in self._ran_us)

    def fill(self, table: Table) -> Table:
        """A row for each node."""
        for host in self._world.hosts:
            if host.number not in self._ran_us:
                continue
            shown = host.node if host.process is not None and host.is_shipped else None
            counts = [None if shown is None else shown.members.counts[status] for status in Status]
            base = self._sent_base[host.number]
            table.add(
                host.number,
                host.name,
                self._groups[host.number],
                host.zone,
                host.id.hex(),
                show_address(host.address),
                _state(host),
                host.lives,
                self.running_us(host),
                *counts,
                "" if shown is None else f"{shown.fingerprint:016x}",
                *(now - before for now, before in zip(_traffic(host), base, strict=True)),
            )
        return table


def _traffic(host: Host) -> tuple[int, int, int, int]:
    return host.sent.messages, host.sent.bytes, host.received.messages, host.received.bytes


def _state(host: Host) -> str:
    if host.process is None:
        return "down" if host.lives else "new"
    if host.suspended_us is not None:
        return "suspended"
    return "paused" if host.process.stopped else "running"
