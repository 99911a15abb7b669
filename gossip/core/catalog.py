"""Services by name and tag, ready for lookups, with an index that rises on visible change.

The records themselves stand with their owners (`members`); this is the view of them that a
lookup wants: who offers `web`, and may be called. An instance is hidden as soon as its owner is
dead or left, and shown again when it returns, without anybody registering anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from gossip.core.members import Member
from gossip.core.records import Key, ServiceRecord, StatusRecord
from gossip.core.types import NodeId, Phase, Status, Verdict

__all__ = ["NODE", "ZONE", "Catalog", "Instance", "state_of", "status_key"]

NODE = ""
"""The key of a node's status as a whole."""
ZONE = "zone"
"""The tag of a member, or the meta of a service, that says where it is."""


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
    """The first that applies: `dead` or `left`, as the owner is; `maintenance`; `critical`; `suspect` or
    `restarting`, as the owner is; `warning`; `passing`."""
    checks: tuple[tuple[str, str], ...] = ()
    """(name, word) of its checks, and of its owner's own, whose names begin with `node:`."""
    note: str = ""
    """Why it is in maintenance."""
    zone: str = ""
    """What its own meta says, else the tags of its owner; empty: nothing."""


_ORDER = {
    word: place
    for place, word in enumerate(
        ("passing", "warning", "suspect", "restarting", "critical", "maintenance", "dead", "left")
    )
}
_HIDDEN = frozenset(("critical", "maintenance", "dead", "left"))
"""What a lookup shows only to who asks for any."""


class Catalog:
    """All services of all members, this node's included."""

    def __init__(self) -> None:
        self._by_name: dict[str, dict[tuple[NodeId, Key], tuple[Member, ServiceRecord]]] = {}
        self._changed: dict[str, int] = {}
        self._spelled: dict[str, dict[str, None]] = {}
        """Names that have capitals, by what they are without."""
        self._folded: dict[str, int] = {}
        """As `_changed`, by names without their capitals; only of those that have some."""
        self.index = 0

    def index_of(self, name: str) -> int:
        """The index of the last visible change of the service `name`; 0 if it never had one."""
        return self._changed.get(name, 0)

    def spellings(self, name: str) -> list[str]:
        """Names that somebody offers, whoever, that differ from `name` in the case of letters at most."""
        folded = name.lower()
        return [known for known in (folded, *self._spelled.get(folded, ())) if known in self._by_name]

    def folded_index(self, folded: str) -> int:
        """As `index_of`, of all names that are `folded` in lower case."""
        return max(self._changed.get(folded, 0), self._folded.get(folded, 0))

    @property
    def size(self) -> int:
        """How many instances are held, in whatever health."""
        return sum(map(len, self._by_name.values()))

    def put(self, member: Member, key: Key, record: ServiceRecord) -> None:
        group = self._by_name.setdefault(record.name, {})
        if not group and (folded := record.name.lower()) != record.name:
            self._spelled.setdefault(folded, {})[record.name] = None
        group[(member.id, key)] = (member, record)

    def remove(self, member: Member, key: Key, record: ServiceRecord) -> None:
        group = self._by_name.get(record.name)
        if group is not None and group.pop((member.id, key), None) is not None and not group:
            del self._by_name[record.name]
            if (folded := record.name.lower()) != record.name:
                self._spelled[folded].pop(record.name)
                if not self._spelled[folded]:
                    del self._spelled[folded]

    def touch(self, name: str) -> int:
        """Note a visible change of `name`; returns the new index."""
        self.index += 1
        self._changed[name] = self.index
        if (folded := name.lower()) != name:
            self._folded[folded] = self.index
        if len(self._changed) > 2 * len(self._by_name) + 1_024:
            # Forget names that have had no instance for longest. A watcher of such a name holds
            # the empty answer, and a new instance raises the index above any it has seen.
            for old in [known for known in self._changed if known not in self._by_name][:512]:
                del self._changed[old]
                self._folded.pop(old.lower(), None)
        return self.index

    def shown(self, member: Member, record: ServiceRecord) -> tuple[object, ...]:
        """What of an instance depends on checks: its watchers are told when it changes."""
        instance = _instance(member, record, state_of(member, record))
        return instance.status, instance.checks, instance.note

    def names(self) -> list[str]:
        """Names that some live member offers, in whatever health; sorted."""
        return sorted(
            name for name, group in self._by_name.items() if any(m.is_live for m, _ in group.values())
        )

    def held(self, name: str) -> Iterable[tuple[Member, ServiceRecord]]:
        """Every record of the service `name` with its owner, in whatever health, in no order."""
        return self._by_name.get(name, {}).values()

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
            any: also those that are critical or in maintenance, and those whose owner is dead or left.
            no_suspect: not those whose owner is suspect.
        """
        wanted = frozenset(tags)
        found = []
        for member, record in self._by_name.get(name, {}).values():
            if wanted and not wanted.issubset(record.tags):
                continue
            status = state_of(member, record)
            if not any and (status in _HIDDEN or (no_suspect and status == "suspect")):
                continue
            found.append(_instance(member, record, status))
        found.sort(
            key=lambda instance: (_ORDER[instance.status], instance.node, instance.key, instance.owner)
        )
        return found


def status_key(key: str) -> Key:
    """Where the status of the service `key` stands among its owner's records; `NODE`: that of the owner."""
    return (6, key)


def state_of(member: Member, record: ServiceRecord) -> str:
    """The word for what a caller of this instance should expect: see `Instance.status`."""
    if not member.is_live:
        return member.status.label
    own, whole = _status(member, record.key), _status(member, NODE)
    said = [status for status in (own, whole) if status is not None]
    if any(status.maintenance for status in said):
        return "maintenance"
    verdict = max((status.verdict for status in said), default=Verdict.PASSING)
    if verdict is Verdict.CRITICAL or (record.checked and own is None):
        return Verdict.CRITICAL.label
    if member.status is Status.SUSPECT:
        return member.status.label
    if member.record.phase == Phase.RESTARTING:
        return "restarting"
    return verdict.label


def _status(member: Member, key: str) -> StatusRecord | None:
    fact = member.services.get(status_key(key))
    return fact.body if fact is not None and isinstance(fact.body, StatusRecord) else None


def _instance(member: Member, record: ServiceRecord, status: str) -> Instance:
    own, whole = _status(member, record.key), _status(member, NODE)
    checks = [(name, Verdict(found).label) for name, found in own.checks] if own else []
    if whole:
        checks += [(f"node:{name}", Verdict(found).label) for name, found in whole.checks]
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
        checks=tuple(checks),
        note=(own and own.note) or (whole and whole.note) or "",
        zone=record.meta.get(ZONE) or member.record.tags.get(ZONE, ""),
    )
