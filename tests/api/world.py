"""An agent without a network: core's own member table and catalog, changed by hand.

What the local socket reads is real; what it would have the cluster do is recorded.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import trio

import gossip
from gossip.api import views
from gossip.core.catalog import Catalog, Instance
from gossip.core.context import Context
from gossip.core.effects import Notify
from gossip.core.events import Event, EventKind
from gossip.core.members import Member, MemberTable
from gossip.core.params import LAN
from gossip.core.records import Deletion, MemberRecord, ServiceRecord, StatusRecord
from gossip.core.roster import Roster
from gossip.core.types import NodeId, Status, Verdict, show_address
from gossip.errors import GossipError, NotFoundError, RefusedError
from gossip.wire.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gossip.api.methods import Registration

__all__ = ["FakeAgent", "FakeNode"]


class FakeNode:
    """As much of a node as the local socket reads."""

    def __init__(self) -> None:
        self.identity = Identity(bytes(range(32)), "test")
        self._ctx = Context(self.identity, LAN, random.Random(1))
        self.members = MemberTable(random.Random(2))
        self.catalog = Catalog()
        self._roster = Roster(self._ctx, self.members, self.catalog)
        self._owners: dict[NodeId, Identity] = {self.identity.id: self.identity}
        self._version = 1_000
        self.members.me = Member(
            self.identity.issue(self._record(self.identity, "n0", 7_000)), Status.ALIVE, 0.0
        )
        self.counters: dict[str, int] = {}
        self.health = 0
        self.flags: tuple[str, ...] = ()
        self.is_isolated = False
        self.is_waiting = False
        self.fingerprint = 0xFEED
        self.queue = 0
        self.rtts: dict[NodeId, float] = {}

    def _record(self, identity: Identity, name: str, port: int, host: str = "127.0.0.1") -> MemberRecord:
        self._version += 1
        return MemberRecord(
            identity.id, self._version, identity.public_key, b"", name, host, port, {"role": "db"},
            1, 1, 7, 0, 1, 0, False,
        )  # fmt: skip

    # What core would do by itself.

    def add(self, name: str, port: int = 7_001, host: str = "127.0.0.1") -> NodeId:
        identity = Identity(name.encode().ljust(32, b".")[:32], "test")
        self._owners[identity.id] = identity
        self._roster.add(Member(identity.issue(self._record(identity, name, port, host)), Status.ALIVE, 10.0))
        return identity.id

    def set_status(self, id: NodeId, status: Status) -> None:
        kinds = {
            Status.ALIVE: EventKind.MEMBER_REFUTED,
            Status.SUSPECT: EventKind.MEMBER_SUSPECTED,
            Status.DEAD: EventKind.MEMBER_FAILED,
            Status.LEFT: EventKind.MEMBER_LEFT,
        }
        member = self.members.get(id)
        assert member is not None
        self._roster.set_status(member, status, kinds[status], 20.0)

    def put(
        self,
        id: NodeId,
        key: str,
        name: str,
        port: int,
        tags: Iterable[str] = (),
        host: str = "",
        weight: int = 1,
        meta: Mapping[str, str] | None = None,
    ) -> int:
        self._version += 1
        held = {"zone": "a", **(meta or {})}
        record = ServiceRecord(id, self._version, key, name, host, port, tuple(tags), held, weight)
        self._roster.put(self._member(id), self._owners[id].issue(record))
        return self._version

    def check(self, id: NodeId, key: str, verdict: Verdict, *, maintenance: bool = False) -> None:
        self._version += 1
        record = StatusRecord(id, self._version, key, (("probe", verdict),), maintenance, "")
        self._roster.put(self._member(id), self._owners[id].issue(record))

    def delete(self, id: NodeId, key: str) -> None:
        self._version += 1
        self._roster.put(self._member(id), self._owners[id].issue(Deletion(id, self._version, key)))

    def shout(self, name: str, payload: bytes) -> int:
        self._version += 1
        self._ctx.notify(
            Event(
                EventKind.EVENT_RECEIVED, self.id, name, node=self.name, payload=payload, index=self._version
            )
        )
        return self._version

    def drain(self) -> list[Event]:
        told = [effect.event for effect in self._ctx.effects if isinstance(effect, Notify)]
        self._ctx.effects.clear()
        return told

    def _member(self, id: NodeId) -> Member:
        member = self.members.me if id == self.id else self.members.get(id)
        assert member is not None
        return member

    @property
    def saved_version(self) -> int:
        """The last version that was signed."""
        return self._version

    # What the socket reads.

    @property
    def id(self) -> NodeId:
        return self.identity.id

    @property
    def name(self) -> str:
        return self.members.me.name

    @property
    def incarnation(self) -> int:
        return self.members.me.incarnation

    def find(self, word: str) -> Member:
        everybody: list[Member] = [self.members.me, *self.members]
        for member in everybody:
            if word in (member.name, member.id.hex()):
                return member
        raise NotFoundError(f"no member {word!r}")

    def rtt(self, a: NodeId | None, b: NodeId) -> float | None:
        # Only distances from this node are known here.
        return self.rtts.get(b) if a in (None, self.id) else None

    def near(self, found: Sequence[Instance]) -> list[Instance]:
        return sorted(found, key=lambda each: self.rtts.get(each.owner, 9.0))


class FakeAgent:
    """Answers the socket's methods from a `FakeNode`; a registration waits for `disk` if that is set."""

    def __init__(self) -> None:
        self.node = FakeNode()
        self.told: Callable[[Event], None] = lambda _event: None
        self.disk: trio.Event | None = None
        self.problem: GossipError | None = None
        self.ended = trio.Event()
        self.reported: list[tuple[str, str, str]] = []
        self.maintained: list[tuple[str, str | None]] = []
        self.refusals = 0
        self.banned: list[bytes] = []

    def flush(self) -> None:
        for event in self.node.drain():
            self.told(event)

    def denied(self) -> None:
        self.refusals += 1

    def info(self) -> views.Info:
        node = self.node
        return views.Info(
            node.id.hex(), node.name, "test", gossip.__version__, 1, "alive",
            views.Addresses(show_address(node.members.me.address), None, None, "s"),
            node.incarnation, 1.0, views.tally(node), views.reachable(node), 0, (),
            views.View("0", None), 0, None, {},
        )  # fmt: skip

    def members(self) -> views.Members:
        return views.members(self.node, 100.0, 1_800_000_100.0)

    def member(self, id: NodeId) -> views.MemberView | None:
        found = self.node.members.get(id)
        return None if found is None else views.member(found, 100.0, 1_800_000_100.0)

    async def ban(self, raw: bytes) -> NodeId:
        await trio.lowlevel.checkpoint()
        self.banned.append(raw)
        return raw[:16]

    def evict(self, id: NodeId) -> None:
        member = self.node.members.get(id)
        assert member is not None
        if member.status is not Status.DEAD:
            raise RefusedError(f"{member.name} is {member.status.label}: only the dead are evicted")
        self.node.set_status(id, Status.LEFT)
        self.flush()

    def send_event(self, name: str, payload: bytes) -> int:
        version = self.node.shout(name, payload)
        self.flush()
        return version

    async def join(self, addresses: Sequence[str]) -> list[tuple[str, bool, str]]:
        await trio.lowlevel.checkpoint()
        return [(address, address != "bad", "") for address in addresses]

    async def doctor(self, who: NodeId | None, patience: float) -> object:
        await trio.lowlevel.checkpoint()
        return {"who": who and who.hex(), "patience": patience}

    def keys(self) -> views.KeyList:
        return views.KeyList([], [], None, "clear", 0)

    async def change_keys(self, what: str, name: str, key: str, *, insist: bool) -> object:
        await trio.lowlevel.checkpoint()
        return {"what": what, "name": name, "key": key, "insist": insist}

    async def leave(self) -> None:
        await trio.lowlevel.checkpoint()

    def end(self) -> None:
        self.ended.set()

    async def register(self, wanted: Registration) -> tuple[str, int]:
        if self.disk is not None:
            await self.disk.wait()
        if self.problem is not None:
            raise self.problem
        key = wanted.id or wanted.name
        version = self.node.put(self.node.id, key, wanted.name, wanted.port, wanted.tags)
        self.flush()
        return key, version

    async def deregister(self, key: str) -> None:
        if (2, key) not in self.node.members.me.services:
            raise NotFoundError(f"no service {key!r}")
        await trio.lowlevel.checkpoint()
        self.node.delete(self.node.id, key)
        self.flush()

    async def release(self, key: str) -> None:
        await self.deregister(key)

    def update_check(self, id: str, status: str, text: str) -> str:
        self.reported.append((id, status, text))
        if id == "zz":
            raise NotFoundError(f"no check {id!r}")
        return id

    def checks(self) -> object:
        return {"checks": [], "index": 0}

    async def set_maintenance(self, key: str, reason: str | None) -> None:
        await trio.lowlevel.checkpoint()
        self.maintained.append((key, reason))

    async def reload_files(self) -> object:
        await trio.lowlevel.checkpoint()
        raise RefusedError("this agent was started without anything to reload")
