"""What may be asked of an agent: the answers of its faces, and the changes that they may ask for."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import trio

import gossip
from gossip.api import views
from gossip.armour import AUTHORITY, wrap
from gossip.core.events import Event
from gossip.core.types import show_address
from gossip.host import rss_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gossip.api.methods import Registration
    from gossip.checking import Checking
    from gossip.checks.monitor import Monitor
    from gossip.config import CheckDefinition, Config
    from gossip.core.node import Node
    from gossip.core.records import ServiceRecord
    from gossip.core.types import Address, NodeId
    from gossip.diagnosing import Diagnosing, Diagnosis
    from gossip.journal import Journal
    from gossip.keeping import Keeping
    from gossip.net.driver import Driver
    from gossip.registrar import Registrar
    from gossip.serving import Serving

__all__ = ["Answers"]

JOIN_SECONDS = 30.0


class Answers:
    """The answering half of an `Agent`, which sets all that is declared here."""

    config: Config
    node: Node
    _address: Address
    _checking: Checking
    _diagnosing: Diagnosing
    _driver: Driver
    _has_left: bool
    _serving: Serving
    _keeping: Keeping
    _journal: Journal
    _new_bans: dict[NodeId, bytes]
    _joining: dict[str, list[trio.MemorySendChannel[Event]]]
    _registrar: Registrar
    _started: float
    _stop: trio.Event

    def _flush(self) -> None:
        self._driver.flush()

    async def _part(self, farewell: Callable[[float], None]) -> None:
        """Tell the cluster, and wait until it has heard."""
        raise NotImplementedError

    def denied(self) -> None:
        """Count a request that whoever asked may not make."""
        self.node.count("denied")

    @property
    def cluster(self) -> str:
        """The cluster's name."""
        return self.config.cluster

    @property
    def command_checks(self) -> str:
        """Who may have commands run as checks."""
        return self.config.command_checks

    @property
    def monitor(self) -> Monitor:
        """The checks of this node."""
        return self._checking.monitor

    @property
    def node_tags(self) -> Mapping[str, str]:
        """This node's own."""
        return self.config.tags

    def own_service(self, key: str) -> ServiceRecord | None:
        """See `Registrar.held`."""
        return self._registrar.held(key)

    async def add_check(self, definition: CheckDefinition) -> None:
        """See `Checking.add`."""
        await self._checking.add(definition)

    async def remove_check(self, id: str) -> bool:
        """See `Checking.remove`."""
        return await self._checking.remove(id)

    def info(self) -> views.Info:
        """What this agent says of itself."""
        node, config = self.node, self.config
        agreement = node.agreement()
        return views.Info(
            id=node.id.hex(),
            name=node.name,
            cluster=config.cluster,
            version=gossip.__version__,
            pid=os.getpid(),
            status=node.members.me.status.label,
            addresses=views.Addresses(
                show_address(self._address), self._http_address(), self._dns_address(), str(config.socket)
            ),
            incarnation=node.incarnation,
            uptime_s=round(self._driver.now() - self._started, 3),
            members=views.tally(node),
            services=views.reachable(node),
            health=node.health,
            flags=node.flags,
            view=views.View(f"{node.fingerprint:016x}", None if agreement is None else round(agreement, 4)),
            queue=node.queue,
            rss_bytes=rss_bytes(),
            counters={
                **node.counters,
                **self._checking.monitor.counters,
                **self._driver.traffic,
                "wakeups": self._driver.wakeups,
            },
            sealing=self._keeping.sealing,
            authority=wrap(AUTHORITY, config.authority) if config.authority else "",
            admission=config.admission,
            bans=len(node.bans),
            maintenance=views.maintenance(node.members.me),
        )

    def _http_address(self) -> str | None:
        http = self._serving.http
        return None if http is None else show_address(http.address)

    def _dns_address(self) -> str | None:
        dns = self._serving.dns
        return None if dns is None else show_address(dns.address)

    def members(self) -> views.Members:
        """All members, this node first."""
        return views.members(self.node, self._driver.now(), time.time())

    def member(self, id: NodeId) -> views.MemberView | None:
        """One member, or None if it is not known."""
        now, wall = self._driver.now(), time.time()
        if id == self.node.id:
            return views.itself(self.node, now, wall)
        found = self.node.members.get(id)
        return None if found is None else views.member(found, now, wall)

    def evict(self, id: NodeId) -> None:
        """Have a dead member count as left."""
        self.node.evict(id, self._driver.now())
        self._flush()

    async def ban(self, raw: bytes) -> NodeId:
        """Obey a ban that the authority has signed; returns whom it is about, once it is on disk.

        Raises:
            RefusedError: if there is no authority here, or it has not signed this.
            StoreError: if the disk does not take it: nothing has changed then.
        """
        subject = self.node.check_ban(raw).subject
        self._new_bans[subject] = raw
        try:
            await self._journal.save_bans()
        finally:
            del self._new_bans[subject]
        self.node.ban(raw, self._driver.now())
        self._flush()
        return subject

    def bans(self) -> list[bytes]:
        """All bans that belong on disk: those that are obeyed, and those that are about to be."""
        known = [fact.raw for fact in self.node.bans]
        return [*known, *(raw for raw in self._new_bans.values() if raw not in known)]

    def send_event(self, name: str, payload: bytes) -> int:
        """Send a user event to every member; its version."""
        version = self.node.send_event(name, payload, self._driver.now())
        self._flush()
        return version

    async def register(self, wanted: Registration) -> tuple[str, int]:
        """See `Registrar.register`."""
        return await self._registrar.register(wanted)

    async def deregister(self, key: str) -> None:
        """See `Registrar.deregister`."""
        await self._registrar.deregister(key)

    async def release(self, key: str) -> None:
        """See `Registrar.release`."""
        await self._registrar.release(key)

    def update_check(self, id: str, status: str, text: str) -> str:
        """See `Checking.update`."""
        return self._checking.update(id, status, text)

    def checks(self) -> object:
        """See `Checking.listed`."""
        return self._checking.listed()

    async def set_maintenance(self, key: str, reason: str | None) -> None:
        """See `Checking.set_maintenance`."""
        await self._checking.set_maintenance(key, reason)

    async def join(self, addresses: Sequence[str]) -> list[tuple[str, bool, str]]:
        """Ask these to introduce this node: (address, whether one did, how or why not) for each."""
        wanted = list(dict.fromkeys(addresses))
        send, receive = trio.open_memory_channel[Event](len(wanted))
        for address in wanted:
            self._joining.setdefault(address, []).append(send)
        outcome: dict[str, tuple[bool, str]] = {}
        try:
            self.node.join(wanted, self._driver.now())
            self._flush()
            with trio.move_on_after(JOIN_SECONDS):
                while len(outcome) < len(wanted):
                    event = await receive.receive()
                    outcome[event.name] = (event.ok, event.detail)
        finally:
            for address in wanted:
                self._joining[address].remove(send)
                if not self._joining[address]:
                    del self._joining[address]
        silent = (
            False,
            f"no answer within {JOIN_SECONDS:g} s: is an agent there, and not behind a firewall?",
        )
        return [(address, *outcome.get(address, silent)) for address in addresses]

    async def doctor(self, who: NodeId | None, patience: float) -> Diagnosis:
        """See `Diagnosing.run`."""
        return await self._diagnosing.run(who, patience)

    def keys(self) -> views.KeyList:
        """See `Keeping.listed`."""
        return self._keeping.listed()

    async def change_keys(self, what: str, name: str, key: str, *, insist: bool) -> object:
        """Add, use, remove or rotate; see the methods of `Keeping`."""
        if what == "add":
            return await self._keeping.add(key, name)
        if what == "use":
            return await self._keeping.use(name)
        if what == "remove":
            return await self._keeping.remove(name)
        return await self._keeping.rotate(name, key, insist=insist)

    async def leave(self) -> None:
        """Leave the cluster; `end` then ends the agent."""
        await self._part(self.node.leave)
        self._has_left = True

    def end(self) -> None:
        """End: the cluster has been told already."""
        self._stop.set()
