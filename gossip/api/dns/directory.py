"""Members and machines by name and services by address, as DNS asks for them: in any case, and backwards.

They are made when they are first asked for after a change. A walk over all instances costs some
milliseconds in a large catalog, so that one is made once a second at most: a name that is looked up from
an address may be that old.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gossip.api.consul.carried import BARE, node_of
from gossip.core.records import ServiceRecord
from gossip.core.types import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gossip.api.consul.carried import Foreign
    from gossip.core.catalog import Catalog
    from gossip.core.members import Member, MemberTable

__all__ = ["Directory"]

AGE_SECONDS: Final = 1.0


class Directory:
    """Who has a name, and who has an address."""

    def __init__(self, members: MemberTable, catalog: Catalog, clock: Callable[[], float]) -> None:
        self._members = members
        self._catalog = catalog
        self._clock = clock
        self._index = -1
        self._by_name: dict[str, Member] = {}
        self._by_host: dict[str, list[Member]] = {}
        self._services: dict[str, tuple[str, ...]] = {}
        self._services_state = (-1, -1)
        self._services_at = float("-inf")
        self._machines: dict[str, Foreign] = {}
        self._ill: set[str] = set()
        self._machines_state = (-1, -1)

    def member(self, name: str) -> Member | None:
        """Who has this name, given in lower case; of several the one that commands choose too."""
        self._refresh()
        return self._by_name.get(name)

    def members_at(self, host: str) -> Sequence[Member]:
        """Who is at this address and has not left."""
        self._refresh()
        return self._by_host.get(host, ())

    def machines(self) -> Mapping[str, Foreign]:
        """Machines without an agent that live members speak for, by their names in lower case."""
        state = (self._members.index, self._catalog.folded_index(BARE))
        if state != self._machines_state:
            self._machines, self._ill, self._machines_state = {}, set(), state
            for each in self._catalog.lookup(BARE, any=True):
                machine = node_of(each.meta)
                if machine is not None and each.status not in ("dead", "left"):
                    self._machines.setdefault(machine.name.lower(), machine)
                    if each.status in ("critical", "maintenance"):
                        self._ill.add(machine.name.lower())
        return self._machines

    def is_ill(self, machine: Foreign) -> bool:
        """Whether a check of the machine itself is critical: then none of its services is well."""
        self.machines()
        return machine.name.lower() in self._ill

    def services_at(self, host: str) -> Sequence[str]:
        """Names of services of live members that are offered at this address."""
        state, now = (self._members.index, self._catalog.index), self._clock()
        if state != self._services_state and now - self._services_at >= AGE_SECONDS:
            found: dict[str, dict[str, None]] = {}
            for member in (self._members.me, *self._members):
                if member.is_live:
                    for fact in member.services.values():
                        body = fact.body
                        if isinstance(body, ServiceRecord) and body.host and body.name != BARE:
                            found.setdefault(body.host, {})[body.name] = None
            self._services = {host: tuple(names) for host, names in found.items()}
            self._services_state, self._services_at = state, now
        return self._services.get(host, ())

    def _refresh(self) -> None:
        if self._members.index == self._index:
            return
        self._index = self._members.index
        self._by_name, self._by_host = {}, {}
        for member in (self._members.me, *self._members):
            name = member.name.lower()
            holder = self._by_name.get(name)
            if holder is None or _rank(member) < _rank(holder):
                self._by_name[name] = member
            if member.status is not Status.LEFT:
                self._by_host.setdefault(member.record.host, []).append(member)


def _rank(member: Member) -> tuple[object, ...]:
    """As `core.reads.Reads.find`: everywhere the same one has a name."""
    return (not member.is_live, member.record.birth, member.id)
