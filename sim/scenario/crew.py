"""Who is who in a running scenario: groups, zones, and the choosing of those whom an action means."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

from sim.host import Host
from sim.scenario.values import Part, Selector

__all__ = ["Crew"]


class Crew:
    """All hosts of a world by the places they are in. Hosts are kept in the order of their numbers."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        self.groups: list[str] = []
        """The group of each host, by its number; empty for none."""
        self._places: dict[str, list[Host]] = {}
        self._cursors: dict[str, int] = {}

    def add(self, host: Host, group: str) -> None:
        """The host is there from now on."""
        self.hosts.append(host)
        self.groups.append(group)
        for place in {group, host.zone, host.name} - {""}:
            self._places.setdefault(place, []).append(host)

    def choose(
        self,
        selector: Selector,
        rng: random.Random,
        fits: Callable[[Host], bool] = lambda _host: True,
        others: Collection[Host] = (),
    ) -> list[Host]:
        """The hosts that are meant and fit, in the order of their numbers; each once.

        What is chosen by chance is chosen among those that fit; if there are fewer, all of them are. `rest`
        is everybody but `others`.
        """
        chosen: dict[int, Host] = {}
        for part in selector.parts:
            pool = [host for host in self._pool(part, others) if fits(host) and host.number not in chosen]
            for host in self._draw(part, pool, rng):
                chosen[host.number] = host
        return [chosen[number] for number in sorted(chosen)]

    def _pool(self, part: Part, others: Collection[Host]) -> list[Host]:
        if part.place == "all":
            return self.hosts
        if part.place == "rest":
            without = {host.number for host in others}
            return [host for host in self.hosts if host.number not in without]
        return self._places.get(part.place, [])

    def _draw(self, part: Part, pool: list[Host], rng: random.Random) -> list[Host]:
        if part.in_order:
            return self._next(part, pool)
        count = part.count
        if part.share is not None:
            count = max(1, round(len(pool) * part.share))
        if count is None or count >= len(pool):
            return pool
        return rng.sample(pool, count)

    def _next(self, part: Part, pool: list[Host]) -> list[Host]:
        """The next by number after the one that was last: round and round."""
        last = self._cursors.get(part.place, -1)
        ahead = [host for host in pool if host.number > last] + [host for host in pool if host.number <= last]
        taken = ahead[: part.count]
        if taken:
            self._cursors[part.place] = taken[-1].number
        return taken
