"""Members by name and services by address, as DNS asks for them: in any case, and backwards.

Both are made when they are first asked for after a change. A walk over all instances costs some
milliseconds in a large catalog, so that one is made once a second at most: a name that is looked up from
an address may be that old.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gossip.core.records import ServiceRecord
from gossip.core.types import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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

    def member(self, name: str) -> Member | None:
        """Who has this name, given in lower case; of several the one that commands choose too."""
        self._refresh()
        return self._by_name.get(name)

    def members_at(self, host: str) -> Sequence[Member]:
        """Who is at this address and has not left."""
        self._refresh()
        return self._by_host.get(host, ())

    def services_at(self, host: str) -> Sequence[str]:
        """Names of services of live members that are offered at this address."""
        state, now = (self._members.index, self._catalog.index), self._clock()
        if state != self._services_state and now - self._services_at >= AGE_SECONDS:
            found: dict[str, dict[str, None]] = {}
            for member in (self._members.me, *self._members):
                if member.is_live:
                    for fact in member.services.values():
                        if isinstance(fact.body, ServiceRecord) and fact.body.host:
                            found.setdefault(fact.body.host, {})[fact.body.name] = None
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
