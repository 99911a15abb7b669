"""A world made of a scenario: its links, zones, groups and services; and how another node is put up."""

from __future__ import annotations

from typing import Any

from sim.chance import derive
from sim.host import Host
from sim.journal import Teller
from sim.links import Link
from sim.processor import Costs
from sim.scenario.crew import Crew
from sim.scenario.lines import line_of
from sim.scenario.scenario import Scenario
from sim.scenario.schema import GroupTable, ZonesTable
from sim.world import World

__all__ = ["Stage"]

PLAIN = GroupTable(name="")


class Stage:
    """The world of one run, and its crew. Nothing has started when it is made.

    Args:
        scenario: what is run.
        seed: of all randomness.
        codec: whether messages travel as real bytes; sizes are right either way.
        trace: is given the story, line by line.
    """

    def __init__(
        self, scenario: Scenario, seed: int, *, codec: bool = True, trace: Teller | None = None
    ) -> None:
        self.scenario = scenario
        network = scenario.network
        self.world = World(
            seed,
            codec=codec,
            sized=not codec,
            params=scenario.params,
            latency=network.latency.latency,
            keep_events=False,
            trace=trace,
        )
        self.crew = Crew()
        self.world.network.default = self.line()
        if network.receive_buffer is not None:
            self.world.receive_buffer = network.receive_buffer
        if scenario.costs is not None:
            self.world.costs = Costs(**scenario.costs)
        self._groups = {group.name: group for group in scenario.groups}
        self._offered: list[set[int]] = []
        """By service: the numbers of the hosts that have it."""
        if scenario.zones is not None:
            self._set_zones(scenario.zones)

    def put_up_all(self) -> list[Host]:
        """The machines of the beginning, groups first; no agent runs on them yet."""
        names = [name for name, size in self.scenario.group_sizes().items() for _ in range(size)]
        names += [""] * (self.scenario.nodes - len(names))
        hosts = [self._put_up(name) for name in names]
        rng = derive(self.world.seed, "services")
        for service in self.scenario.services:
            chosen = self.crew.choose(service.nodes, rng)
            self._offered.append({host.number for host in chosen})
        return hosts

    def put_up_another(self, group: str) -> Host:
        """One more machine. It has the services of all, of its group and of its zone."""
        host = self._put_up(group)
        for service, numbers in zip(self.scenario.services, self._offered, strict=True):
            if any(part.place in {"all", group, host.zone} and part.whole for part in service.nodes.parts):
                numbers.add(host.number)
        return host

    def launch(self, host: Host) -> None:
        """Start its agent, with its services."""
        self.world.start(host)
        self.offer(host)

    def offer(self, host: Host) -> None:
        """Register what the host's agent finds in its files, as far as its disk does not have it."""
        held = {key for _, key in host.disk.records}
        for service, numbers in zip(self.scenario.services, self._offered, strict=True):
            if host.number not in numbers:
                continue
            for number in range(service.count):
                key = service.name if service.count == 1 else f"{service.name}-{number}"
                if key not in held:
                    host.register(
                        service.name,
                        service.port,
                        key=key,
                        tags=service.tags,
                        meta=service.meta,
                        weight=service.weight,
                    )

    def table(self, host: Host) -> GroupTable:
        """What the scenario says of the host's group."""
        return self._groups.get(self.crew.groups[host.number], PLAIN)

    def line(self, **changes: Any) -> Link:
        """The link of `[network]` with changes to keys of that table; None changes nothing."""
        return line_of(self.scenario.network, **changes)

    def _put_up(self, group: str) -> Host:
        world, table = self.world, self._groups.get(group, PLAIN)
        number = len(world.hosts)
        host = world.add(seeds=world.hosts[: self.scenario.seeds], start=False, tags=dict(table.tags))
        host.zone = self._zone(table, number)
        host.refusals = table.refusals
        host.receive_buffer = table.receive_buffer
        world.set_loss(host, incoming=table.loss_in, outgoing=table.loss_out)
        if table.clock_ppm:
            world.set_clock_rate(host, table.clock_ppm)
        if table.starve > 1:
            world.starve(host, table.starve)
        self.crew.add(host, group)
        return host

    def _zone(self, table: GroupTable, number: int) -> str:
        """Nodes without a zone are dealt evenly."""
        zones = self.scenario.zones
        if table.zone or zones is None:
            return table.zone
        return zones.names[number % len(zones.names)]

    def _set_zones(self, zones: ZonesTable) -> None:
        rows: dict[str, dict[str, Link]] = {}
        for row, sender in enumerate(zones.names):
            rows[sender] = {}
            for column, receiver in enumerate(zones.names):
                rows[sender][receiver] = self.line(
                    latency=zones.latency[row][column] if zones.latency else None,
                    loss=zones.loss[row][column] if zones.loss else None,
                )
        self.world.network.set_zones(rows)
