"""A machine, its disk, and the agent that lives on it: what a scenario holds in its hand."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from gossip.core.events import Event, EventKind
from gossip.core.node import Node
from gossip.core.records import Accusation, Fact, Key, key_of
from gossip.core.rotation import Plan
from gossip.core.types import Address, NodeId, Status, show_address
from sim.clock import MachineClock
from sim.life import Maker, shipped
from sim.meters import Meter
from sim.refusals import Refusals

if TYPE_CHECKING:
    from sim.process import Process

__all__ = ["Disk", "Everywhere", "Host"]

_Result = TypeVar("_Result")


class Everywhere:
    """All addresses."""

    def __contains__(self, _address: object) -> bool:
        return True


class Disk:
    """What survives the process, as the agent's data directory does."""

    __slots__ = (
        "addresses",
        "bans",
        "birth",
        "ceiling",
        "floor",
        "keys",
        "lost",
        "plan",
        "records",
        "secret",
        "used",
        "warrant",
    )

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        """The private key."""
        self.ceiling = 0
        """The highest version that may have been used."""
        self.birth = 0
        """The first incarnation ever; 0 before the first life."""
        self.floor = 0
        self.records: dict[Key, bytes] = {}
        """The node's own services and deletions, as signed."""
        self.lost = False
        """The registrations are gone, though not the key: the next life tells the others by its floor."""
        self.keys: object = None
        """The cluster's keys (`sim.keys`); None before the first life, and in a world without."""
        self.plan: Plan | None = None
        """The change of keys that is under way."""
        self.addresses: list[Address] = []
        """Where others were at the end of the last life."""
        self.warrant = b""
        """The authority's word for this identity."""
        self.bans: list[bytes] = []
        """Those of the authority that the node knew at the end of the last life."""
        self.used: list[tuple[bytes, NodeId]] = []
        """Who had which invitation, as known then."""

    def keep(self, fact: Fact) -> None:
        """Put a service or a deletion on disk."""
        if not isinstance(fact.body, Accusation):
            self.records[key_of(fact.body)] = fact.raw


class Host:
    """One machine with one agent, through all of the agent's lives. `World.add` makes it."""

    __slots__ = (
        "address",
        "advertise",
        "clock",
        "deaf",
        "disk",
        "ephemeral",
        "events",
        "group",
        "id",
        "lives",
        "loss_in",
        "loss_out",
        "maker",
        "mute",
        "name",
        "number",
        "process",
        "receive_buffer",
        "received",
        "refusals",
        "seeds",
        "sent",
        "slowness",
        "suspended_us",
        "tags",
        "unsent",
        "up",
        "wall_shift_us",
        "zone",
    )

    def __init__(self, number: int, name: str, address: Address, disk: Disk, clock: MachineClock) -> None:
        self.number = number
        """Counted from 0 in the order of `World.add`."""
        self.name = name
        self.address = address
        """Where it is, and what others see as the source of what it sends."""
        self.advertise: Address | None = None
        """What it says its address is, if that is another."""
        self.tags: dict[str, str] = {}
        self.seeds: Sequence[str] = ()
        self.ephemeral = False
        """Has no disk: each life is a new identity."""
        self.disk = disk
        self.maker: Maker = shipped
        self.lives = 0
        self.id: NodeId = b""
        """That of its node, in the present life or the last; empty before the first."""
        self.process: Process | None = None
        """The running (or stopped) agent; None if there is none."""

        self.up = True
        """Whether the machine is on the network: if not, what is sent to it meets silence."""
        self.refusals: Refusals = "sent"
        """How a closed port here answers."""
        self.mute = False
        """Nothing that it sends gets out."""
        self.deaf = False
        """Nothing that is sent to it gets in."""
        self.unsent: Container[Address] | None = None
        """To these its own kernel refuses what the agent sends, and says so: `World.fail_sends`."""
        self.receive_buffer: int | None = None
        """Bytes that its UDP socket holds, overhead included; None: the world's `receive_buffer`."""
        self.slowness = 1
        """By how much its processor is slower than `World.costs` says: `World.starve`."""
        self.loss_in = 0
        """The chance of 2^32 that a packet to it is lost, besides the link's; a threshold of `sim.chance`."""
        self.loss_out = 0
        """The same of a packet from it."""
        self.zone = ""
        """Which row and column of `Network.set_zones` are its."""
        self.group = 0
        """The side of a partition that it is on."""
        self.clock = clock
        """Its monotonic clock."""
        self.suspended_us: int | None = None
        """Since when the machine is suspended."""
        self.wall_shift_us = 0
        """How far its wall clock is ahead of the world's."""

        self.sent = Meter()
        self.received = Meter()
        self.events: list[tuple[float, Event]] = []
        """What its node told watchers, and when (seconds of the world's time)."""

    def __repr__(self) -> str:
        return f"<{self.name} at {show_address(self.address)}>"

    # What there is

    @property
    def refuses(self) -> bool:
        """Whether a closed port here answers at all; to set it means `refusals` "sent" or "silent"."""
        return self.refusals != "silent"

    @refuses.setter
    def refuses(self, answers: bool) -> None:
        self.refusals = "sent" if answers else "silent"

    @property
    def is_shipped(self) -> bool:
        """The agent that is there runs the shipped core."""
        return self.process is not None and isinstance(self.process.node, Node)

    @property
    def is_running(self) -> bool:
        """There is an agent, and it is not stopped."""
        return self.process is not None and not self.process.stopped

    @property
    def agent(self) -> Process:
        """The process.

        Raises:
            LookupError: if there is none.
        """
        if self.process is None:
            raise LookupError(f"no agent is running on {self.name}")
        return self.process

    @property
    def node(self) -> Node:
        """The shipped core.

        Raises:
            LookupError: if no agent is running.
            TypeError: if another core is.
        """
        core = self.agent.node
        if not isinstance(core, Node):
            raise TypeError(f"{self.name} runs {type(core).__name__}")
        return core

    @property
    def spot(self) -> str:
        """Its address as a seed is written."""
        return show_address(self.advertise or self.address)

    # What the node holds

    def view(self) -> dict[str, str]:
        """The status word of every member it knows, by name, itself not included."""
        return {member.record.name: member.status.label for member in self.node.members}

    def sees(self, other: Host | NodeId) -> Status | None:
        """What it holds of another; None if it does not know it."""
        member = self.node.members.get(other if isinstance(other, bytes) else other.id)
        return None if member is None else member.status

    def told(self, kind: EventKind, name: str | None = None) -> list[float]:
        """When it told watchers of such an event (about `name`, if given), in seconds."""
        return [at for at, event in self.events if event.kind is kind and name in (None, event.name)]

    # What local programs ask of it

    def do(self, action: Callable[[Node, float], _Result]) -> _Result:
        """Call the node as the agent's own tasks do: the result of `action(node, now)`, effects done."""
        node = self.node
        return self.agent.call(lambda now: action(node, now))

    def register(
        self,
        name: str,
        port: int = 80,
        *,
        key: str | None = None,
        address: str = "",
        tags: Sequence[str] = (),
        meta: Mapping[str, str] | None = None,
        weight: int = 1,
        checked: bool = False,
    ) -> Fact:
        """Register a service as the agent does: sign, put on disk, publish. `key` is `name` by default."""

        def publish(node: Node, now: float) -> Fact:
            fact = node.prepare_service(
                name if key is None else key,
                name,
                address,
                port,
                tuple(tags),
                dict(meta or {}),
                weight,
                checked,
            )
            self.disk.keep(fact)
            node.publish(fact, now)
            return fact

        return self.do(publish)

    def report(
        self, key: str, verdict: int, *, check: str = "check", maintenance: bool = False, note: str = ""
    ) -> Fact:
        """Have the one check of a service (empty key: of the node) find this; no disk hears of it.

        Raises:
            NotFoundError: if there is no service of that key.
        """

        def publish(node: Node, now: float) -> Fact:
            fact = node.prepare_status(key, ((check, verdict),), maintenance, note)
            node.publish(fact, now)
            return fact

        return self.do(publish)

    def deregister(self, key: str) -> Fact:
        """Take a service away.

        Raises:
            NotFoundError: if there is none of that key.
        """

        def publish(node: Node, now: float) -> Fact:
            fact = node.prepare_deletion(key)
            self.disk.keep(fact)
            node.publish(fact, now)
            return fact

        return self.do(publish)

    def join(self, *seeds: Host | str) -> None:
        """Ask to join; the outcome of each is a `join_done` event."""
        written = [seed if isinstance(seed, str) else seed.spot for seed in seeds]
        self.do(lambda node, now: node.join(written, now))

    def lookup(self, service: str) -> list[str]:
        """The names of the nodes with instances that a plain lookup finds."""
        return [instance.node for instance in self.node.catalog.lookup(service)]
