"""The composition root: builds the parts of an agent, starts them in order and stops them in order.

Start: the disk (which says who this node is), the sockets (which say where), the node, the local
socket; then, with the journal at work, what the disk and the files say about services; then the
driver, the node, and last the local socket's answers. Nothing is answered before it can be true.

Stop: the cluster is told (left, or back soon), the last answers are handed out, what is worth
keeping is put on disk, and only then does everything end.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import random
import time
from typing import TYPE_CHECKING

import msgspec
import trio

import gossip
from gossip import log
from gossip.answers import Answers
from gossip.api.socket import LocalSocket, listen
from gossip.checking import Checking
from gossip.checks.monitor import NODE
from gossip.config import DEV_HTTP, choose_advertise
from gossip.core.events import Event, EventKind
from gossip.core.node import Node
from gossip.core.own import LEASE
from gossip.core.own import Self as Who
from gossip.core.params import PROFILES
from gossip.core.records import ServiceRecord
from gossip.core.types import show_address
from gossip.diagnosing import Diagnosing
from gossip.errors import RefusedError
from gossip.host import machine_id, raise_descriptors
from gossip.journal import Journal
from gossip.log import note
from gossip.net.bind import bind
from gossip.net.driver import Driver
from gossip.notify import notify
from gossip.registrar import MAX_DELETIONS, Reconciled, Registrar, newest, read_saved
from gossip.store import Store
from gossip.wire.identity import Identity
from gossip.wire.seal import SESSION_BYTES, ClearSealer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from gossip.api.http.face import HttpFace
    from gossip.api.http.proxies import Forwarding
    from gossip.config import Config, ProxyDefinition
    from gossip.core.params import Params
    from gossip.core.types import Address
    from gossip.net.bind import Endpoint
    from gossip.proxying import Proxying
    from gossip.store import StoredRecord

__all__ = ["Agent"]

LEAVE_SECONDS = 5.0
"""How long the cluster is given to hear that this node leaves or is about to restart."""
SETTLE_SECONDS = 1.0
DISK_SECONDS = 5.0
REMEMBER_SECONDS = 30.0
"""Addresses of members are saved at most this often, and only when somebody came, went or moved."""

_MOVES = frozenset(
    {EventKind.MEMBER_JOINED, EventKind.MEMBER_UPDATED, EventKind.MEMBER_FAILED, EventKind.MEMBER_LEFT}
)


class Agent(Answers):
    """One agent: `async with Agent(config) as agent: ...`, in any trio program.

    It leaves the cluster when the block ends. Entering raises `GossipError` (`StoreError`,
    `TransportError`, ...) if it cannot start; nothing is left behind then.

    Args:
        max_deletions: deletions of services that it remembers before it raises its floor.
        reread: reads the configuration again, for `agent.reload` and SIGHUP; it may block.
        endpoints: what it listens on, if that was bound before; closed when it ends.
    """

    def __init__(
        self,
        config: Config,
        *,
        max_deletions: int = MAX_DELETIONS,
        reread: Callable[[], Config] | None = None,
        endpoints: Sequence[Endpoint] = (),
    ) -> None:
        self.config = config
        self._endpoints = endpoints
        self._reread = reread
        self._reloading = trio.Lock()
        self._max_deletions = max_deletions
        self._stop = trio.Event()
        self._farewell: Callable[[float], None] | None = None
        self._has_left = False
        self._left = trio.Event()
        self._finished = trio.Event()
        self._moved = trio.lowlevel.ParkingLot()
        self._has_moved = False
        self._joining: dict[str, list[trio.MemorySendChannel[Event]]] = {}
        self._scope = trio.CancelScope()
        self._parts = contextlib.AsyncExitStack()

    # --------------------------------------------------------------------------- starting and ending

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as parts:
            self._build(parts)
            nursery = await parts.enter_async_context(trio.open_nursery())
            await nursery.start(self._run)
            self._parts = parts.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.stop(leave=True)
        else:
            self.stop_at_once()
        await self._parts.__aexit__(None, None, None)

    def stop(self, *, leave: bool) -> None:
        """End in good order: tell the cluster that this node leaves, or that it will be back soon."""
        if self._farewell is None:
            self._farewell = self.node.leave if leave else self.node.hand_over
        self._stop.set()

    def stop_at_once(self) -> None:
        """End without a word to the cluster, which will find out by itself."""
        self._stop.set()
        self._scope.cancel()

    async def finished(self) -> None:
        """Returns when the agent has ended, whoever ended it."""
        await self._finished.wait()

    def _build(self, parts: contextlib.AsyncExitStack) -> None:
        config = self.config
        for endpoint in self._endpoints:
            parts.callback(endpoint.close)
        self._store = store = (
            Store.memory() if config.data_dir is None else Store.open(config.data_dir, machine_id())
        )
        parts.callback(store.close)
        for warning in store.saved.warnings:
            note(logging.WARNING, "data_dir", detail=warning)
        identity = Identity(store.seed, config.cluster)
        endpoints = self._endpoints or bind(config.bind)
        for endpoint in endpoints:
            parts.callback(endpoint.close)
        params = _params(config)
        self._address = _advertised(config, endpoints[0].address)

        saved = store.saved
        incarnation = max(saved.counter + 1, time.time_ns() // 1_000_000)
        floor = incarnation if saved.lost else saved.floor
        birth = saved.birth or incarnation
        ceiling = incarnation + LEASE
        store.save_counter(ceiling, birth, floor)
        self._kept = newest(read_saved(identity, store.saved.records))

        self._started = trio.current_time()
        self.node = Node(
            identity,
            Who(config.name, self._address, config.cluster, dict(config.tags), store.ephemeral, birth),
            params,
            random.SystemRandom(),
            self._started,
            incarnation,
            ceiling,
            floor,
            [fact for _, fact in self._kept.values()],
            config.join,
            saved.remembered,
        )
        self._floor = floor
        self._journal = Journal(store, ceiling, birth, floor, self._flush, self._saved, self._state_of_checks)
        self._checking = Checking(
            self.node,
            trio.current_time,
            random.SystemRandom(),
            self._flush,
            self._expire,
            self._journal.keep_checks,
            self._journal.save_checks,
        )
        sources = {
            key: source for key, (source, fact) in self._kept.items() if isinstance(fact.body, ServiceRecord)
        }
        self._registrar = Registrar(
            self.node,
            self._journal,
            sources,
            trio.current_time,
            self._checking.monitor,
            config.command_checks,
            self._max_deletions,
        )
        sealer = ClearSealer(config.cluster, os.urandom(SESSION_BYTES))
        self._driver = Driver(self.node, sealer, endpoints, params, save_counter=self._journal.save_counter)
        self._diagnosing = Diagnosing(self.node, self._driver, config.cluster)
        self._socket = LocalSocket(self, listen(config.socket), config.socket, self._driver.gossip_first)
        parts.callback(self._socket.close)
        self._proxying: Proxying | None = None
        if config.proxies:
            self._proxying = self._build_proxying(config.proxies)
            parts.callback(self._proxying.close)
        self._http = self._build_http(parts)
        self._driver.subscribe(self._happened)

    def _build_http(self, parts: contextlib.AsyncExitStack) -> HttpFace | None:
        """Now, since to load it takes a tenth of a second: the node does not live yet, and nobody waits."""
        config = self.config
        if config.http is None:
            return None
        from gossip.api.http.face import HttpFace, listen_or_move

        sock = listen_or_move(config.http, may_move=config.dev and config.http == DEV_HTTP)
        parts.callback(sock.close)
        return HttpFace(sock, self.node, self._driver, self._socket, config.http[0], self._forwarders)

    def _build_proxying(self, wanted: Sequence[ProxyDefinition]) -> Proxying:
        """Listens at once: a port that is taken stops the start."""
        from gossip.proxying import Proxying

        made = Proxying(self.node, self._driver.gossip_first, raise_descriptors())
        made.bind(wanted)
        return made

    def _forwarders(self) -> Sequence[Forwarding]:
        return () if self._proxying is None else self._proxying.forwarders()

    async def _run(self, *, task_status: trio.TaskStatus[None]) -> None:
        try:
            with self._scope:
                async with trio.open_nursery() as parts:
                    parts.start_soon(self._journal.run)
                    await self._restore_services()
                    await parts.start(self._driver.run)
                    self.node.start(self._driver.now())
                    self._flush()
                    parts.start_soon(self._socket.serve)
                    if self._http is not None:
                        parts.start_soon(self._http.serve)
                    self._tasks = parts
                    if self._proxying is not None:
                        await parts.start(self._proxying.run)
                    parts.start_soon(self._remember)
                    parts.start_soon(self._registrar.run)
                    parts.start_soon(self._checking.run)
                    self._say_ready()
                    task_status.started()
                    await self._stop.wait()
                    await self._wind_up()
                    parts.cancel_scope.cancel()
        finally:
            self._finished.set()
            note(logging.INFO, "agent_stopped", name=self.config.name, id=self.node.id.hex())

    async def _restore_services(self) -> None:
        """What the disk kept is the node's already; the rest is work for the journal."""
        kept = [
            (source, fact.body)
            for source, fact in self._kept.values()
            if isinstance(fact.body, ServiceRecord)
        ]
        self._kept.clear()
        # The old log alone holds what has not been signed again yet.
        self._journal.may_shorten = False
        monitor = self._checking.monitor
        self._checking.set_command_checks(self.config.command_checks)
        self._checking.restore(self._store.saved, (record for _, record in kept), self.config.checks)
        await self._registrar.sign_anew(
            (source, record)
            for source, record in kept
            # Beside a damaged log, what has lost its checks would be critical for good.
            if record.version < self._floor or (record.checked and not monitor.definitions(record.key))
        )
        await self._registrar.end_sessions()
        self._journal.may_shorten = True
        await self._registrar.reconcile(self.config.services)
        self._checking.set_own(self.config.checks)

    def _say_ready(self) -> None:
        note(
            logging.INFO,
            "agent_started",
            name=self.config.name,
            id=self.node.id.hex(),
            cluster=self.config.cluster,
            version=gossip.__version__,
            address=show_address(self._address),
            socket=str(self.config.socket),
            http=self._http_address() or "off",
            incarnation=self.node.incarnation,
        )
        notify("READY=1")

    async def _wind_up(self) -> None:
        notify("STOPPING=1")
        note(logging.INFO, "agent_stopping", name=self.config.name, id=self.node.id.hex())
        if self._farewell is not None and not self._has_left:
            await self._part(self._farewell)
        with trio.move_on_after(SETTLE_SECONDS):
            async with trio.open_nursery() as faces:
                faces.start_soon(self._socket.settle)
                if self._http is not None:
                    faces.start_soon(self._http.drain)
                if self._proxying is not None:
                    faces.start_soon(self._proxying.drain)
        self._journal.save_remembered(self.node.remembered())
        self._journal.keep_checks()
        with trio.move_on_after(DISK_SECONDS):
            await self._journal.settle()

    async def _part(self, farewell: Callable[[float], None]) -> None:
        farewell(self._driver.now())
        self._flush()
        with trio.move_on_after(LEAVE_SECONDS):
            await self._left.wait()
            # Whom no datagram reaches is told over a stream.
            await self._driver.settle()

    # ----------------------------------------------------------------------------- what happens inside

    def _saved(self) -> list[StoredRecord]:
        return self._registrar.saved()

    async def _expire(self, key: str) -> None:
        await self._registrar.expire(key)

    def _state_of_checks(self) -> object:
        return self._checking.state()

    def _happened(self, event: Event) -> None:
        log.log_event(event)
        if event.kind is EventKind.JOIN_DONE:
            for channel in self._joining.get(event.name, ()):
                with contextlib.suppress(trio.WouldBlock):
                    channel.send_nowait(event)
        elif event.kind is EventKind.LEAVE_DONE:
            self._left.set()
        elif event.kind in _MOVES:
            self._has_moved = True
            self._moved.unpark()
        self._checking.happened(event)
        if self._proxying is not None:
            self._proxying.happened(event)
        self._socket.happened(event)

    async def _remember(self) -> None:
        """Keep the addresses of others on disk. Wakes up only after somebody came, went or moved."""
        while True:
            if not self._has_moved:
                await self._moved.park()
            await trio.sleep(REMEMBER_SECONDS)
            self._has_moved = False
            self._journal.save_remembered(self.node.remembered())

    # ------------------------------------------------------------------------------------- reloading

    async def reload_files(self) -> object:
        """Read the configuration again and take over what can change; a faulty one changes nothing.

        Raises:
            RefusedError: this agent was started without anything to reload.
            ConfigError: what was read is faulty; the message says where.
        """
        if self._reread is None:
            raise RefusedError("this agent was started without anything to reload")
        async with self._reloading:
            done = await self.reload(await trio.to_thread.run_sync(self._reread))
        return done._asdict()

    async def reload(self, config: Config) -> Reconciled:
        """Take over what can change while running: services and checks from files, tags, the log's level.

        Raises:
            RefusedError: a program's service has a check of the id of one of the node's; nothing has changed.
        """
        keep = ("services", "checks", "proxies", "command_checks", "tags", "log_level", "log_format")
        for name in type(config).__slots__:
            if name not in keep and getattr(config, name) != getattr(self.config, name):
                note(
                    logging.WARNING, "reload", setting=name, detail="takes effect when the agent is restarted"
                )
        with self._registrar.ids.moving({each.id: each.checks for each in config.services}):
            self._registrar.ids.refuse_taken(NODE, config.checks)
        log.set_up(config.log_level, config.log_format)
        if config.tags != self.config.tags:
            self.node.set_tags(dict(config.tags), self._driver.now())
            self._flush()
        self.config = dataclasses.replace(self.config, **{name: getattr(config, name) for name in keep})
        self._registrar.command_checks = config.command_checks
        self._checking.set_command_checks(config.command_checks)
        done = await self._registrar.reconcile(config.services)
        self._checking.set_own(config.checks)
        await self._reload_proxies(config.proxies)
        note(logging.INFO, "reloaded", **done._asdict())
        return done

    async def _reload_proxies(self, wanted: Sequence[ProxyDefinition]) -> None:
        if self._proxying is None:
            if not wanted:
                return
            self._proxying = self._build_proxying(())
            await self._tasks.start(self._proxying.run)
        self._proxying.reload(wanted)


def _params(config: Config) -> Params:
    """The profile, with what the configuration says otherwise."""
    chosen = PROFILES[config.profile]
    period = chosen.period if config.probe_period is None else config.probe_period
    return msgspec.structs.replace(
        chosen,
        period=period,
        # However short the period, the indirect round needs a part of it.
        direct_max=min(chosen.direct_max, period / 2),
        retention=chosen.retention if config.retention is None else config.retention,
        restart_grace=chosen.restart_grace if config.restart_grace is None else config.restart_grace,
        stream_probe=config.stream_probe,
    )


def _advertised(config: Config, bound: Address) -> Address:
    host, port = config.advertise or choose_advertise(config.bind)
    return host, port or bound[1]
