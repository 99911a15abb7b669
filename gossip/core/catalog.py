"""Services by name and tag, ready for lookups, with an index that rises on visible change.

The records themselves stand with their owners (`members`); this is the view of them that a
lookup wants: who offers `web`, and may be called. An instance is hidden as soon as its owner is
dead or left, and shown again when it returns, without anybody registering anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from gossip.core.members import Member
from gossip.core.records import Key, ServiceRecord
from gossip.core.types import NodeId, Phase, Status

__all__ = ["Catalog", "Instance"]


class Instance(Struct, frozen=True):
    """One instance as a lookup returns it."""

    owner: NodeId
    node: str
    key: str
    name: str
    host: str
    port: int
    tags: tuple[str, ...]
    meta: dict[str, str]
    weight: int
    status: str
    """`passing`; `suspect`, `restarting`, `dead` or `left` when the owner is."""


_ORDER = {"passing": 0, "suspect": 1, "restarting": 2, "dead": 3, "left": 4}


class Catalog:
    """All services of all members, this node's included."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[tuple[NodeId, Key], tuple[Member, ServiceRecord]]] = {}
        self._changed: dict[str, int] = {}
        self.index = 0

    def index_of(self, name: str) -> int:
        """The index of the last visible change of the service `name`; 0 if it never had one."""
        return self._changed.get(name, 0)

    def put(self, member: Member, key: Key, record: ServiceRecord) -> None:
        self._by_name.setdefault(record.name, {})[(member.id, key)] = (member, record)

    def remove(self, member: Member, key: Key, record: ServiceRecord) -> None:
        group = self._by_name.get(record.name)
        if group is not None and group.pop((member.id, key), None) is not None and not group:
            del self._by_name[record.name]

    def touch(self, name: str) -> int:
        """Note a visible change of `name`; returns the new index."""
        self.index += 1
        self._changed[name] = self.index
        if len(self._changed) > 2 * len(self._by_name) + 1_024:
            # Forget names that have had no instance for longest. A watcher of such a name holds
            # the empty answer, and a new instance raises the index above any it has seen.
            for old in [known for known in self._changed if known not in self._by_name][:512]:
                del self._changed[old]
        return self.index

    def names(self) -> list[str]:
        """Names with at least one visible instance, sorted."""
        return sorted(
            name for name, group in self._by_name.items() if any(_visible(m) for m, _ in group.values())
        )

    def lookup(
        self,
        name: str,
        tags: Iterable[str] = (),
        any: bool = False,
        no_suspect: bool = False,
    ) -> list[Instance]:
        """Instances of `name` that carry all of `tags`, the preferred ones first.

        Args:
            name: the service.
            tags: every one of them must be on the instance.
            any: also those whose owner is dead or left, with that status.
            no_suspect: not those whose owner is suspect.
        """
        wanted = frozenset(tags)
        found = []
        for member, record in self._by_name.get(name, {}).values():
            status = status_of(member)
            if not any and (not _visible(member) or (no_suspect and status == "suspect")):
                continue
            if wanted and not wanted.issubset(record.tags):
                continue
            found.append(_instance(member, record, status))
        found.sort(
            key=lambda instance: (_ORDER[instance.status], instance.node, instance.key, instance.owner)
        )
        return found


def _visible(member: Member) -> bool:
    return member.status <= Status.SUSPECT


def status_of(member: Member) -> str:
    """The word for what a caller of this member's services should expect."""
    if member.status is Status.ALIVE:
        return "restarting" if member.record.phase == Phase.RESTARTING else "passing"
    return member.status.label


def _instance(member: Member, record: ServiceRecord, status: str) -> Instance:
    return Instance(
        owner=member.id,
        node=member.record.name,
        key=record.key,
        name=record.name,
        host=record.host or member.record.host,
        port=record.port,
        tags=record.tags,
        meta=record.meta,
        weight=record.weight,
        status=status,
    )
