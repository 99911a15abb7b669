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
import random
from typing import TYPE_CHECKING

import trio

import gossip
from gossip import log
from gossip.answers import Answers
from gossip.api.socket import LocalSocket, listen
from gossip.checking import Checking
from gossip.checks.monitor import NODE
from gossip.core.events import Event, EventKind
from gossip.core.records import ServiceRecord
from gossip.core.types import show_address
from gossip.diagnosing import Diagnosing
from gossip.errors import RefusedError
from gossip.host import machine_id
from gossip.journal import Journal
from gossip.keeping import Keeping
from gossip.log import note
from gossip.net.bind import bind
from gossip.net.driver import Driver
from gossip.notify import notify
from gossip.origin import Origin
from gossip.registrar import MAX_DELETIONS, Reconciled, Registrar
from gossip.seeking import warn_while_alone
from gossip.serving import Serving
from gossip.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from gossip.config import Config
    from gossip.net.bind import Endpoint
    from gossip.store import StoredRecord

__all__ = ["Agent"]

LEAVE_SECONDS = 5.0
"""How long the cluster is given to hear that this node leaves or is about to restart."""
SETTLE_SECONDS = 1.0
DISK_SECONDS = 5.0
REMEMBER_SECONDS = 30.0
"""Addresses of members are saved at most this often, and only when somebody came, went or moved."""

GUARDS = (
    *("allow_read", "allow_write", "allow_admin", "http_tokens", "http_anonymous"),
    *("http_cert", "http_key", "http_client_ca", "http_tls_min", "http_rate", "http_token_rate"),
)
"""Settings that say who may use the faces, and may change while they serve."""
KEEP = ("services", "checks", "proxies", "command_checks", "tags", "log_level", "log_format", *GUARDS)
"""Settings that a reload takes over."""
LATER = "takes effect when the agent is restarted"

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
        rest: called whenever it has nothing to do, with the seconds for which no timer of its node is due.
    """

    def __init__(
        self,
        config: Config,
        *,
        max_deletions: int = MAX_DELETIONS,
        reread: Callable[[], Config] | None = None,
        endpoints: Sequence[Endpoint] = (),
        rest: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self.config = config
        self._endpoints = endpoints
        self._rest = rest
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
        endpoints = self._endpoints or bind(config.bind)
        for endpoint in endpoints:
            parts.callback(endpoint.close)
        self._started = trio.current_time()
        origin = Origin.of(config, store, endpoints[0].address, self._started)
        self.node, self._address, self._kept = origin.node, origin.address, origin.kept
        self._keeping = Keeping(self.node, origin.ring, origin.ring_sealer, trio.current_time, self._flush)
        self._floor = origin.floor
        self._new_bans = {}
        self._journal = Journal(
            store,
            origin.ceiling,
            origin.birth,
            origin.floor,
            self._flush,
            self._saved,
            self._state_of_checks,
            self.bans,
            lambda: self.node.used_invitations,
        )
        self._keeping.kept_by(self._journal)
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
        self._driver = Driver(
            self.node,
            origin.sealer,
            endpoints,
            origin.params,
            save_counter=self._journal.save_counter,
            save_keys=self._journal.save_keys_of,
            rest=self._rest,
        )
        self._diagnosing = Diagnosing(self.node, self._driver, config.cluster)
        sock = listen(config.socket, config.socket_mode, config.socket_group)
        gossip_first, count = self._driver.gossip_first, self.node.count
        self._socket = LocalSocket(self, sock, config.socket, gossip_first, config.allowed, count)
        parts.callback(self._socket.close)
        self._serving = Serving(parts, config, self.node, self._driver, self._socket, self)
        self._driver.subscribe(self._happened)

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
                    await self._serving.start(parts)
                    parts.start_soon(self._remember)
                    parts.start_soon(warn_while_alone, self.node)
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
            dns=self._dns_address() or "off",
            sealing=self._keeping.sealing,
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
                self._serving.drain(faces)
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
        elif event.kind is EventKind.MEMBER_BANNED:
            self._journal.keep_bans()
        elif event.kind in _MOVES:
            if self.config.authority and event.kind is EventKind.MEMBER_JOINED:
                self._journal.keep_used()
            self._has_moved = True
            self._moved.unpark()
        self._checking.happened(event)
        self._socket.happened(event)
        self._serving.happened(event)

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
        """Take over what can change while running: `KEEP`. What cannot is in the answer and in the log.

        Raises:
            RefusedError: a program's service has a check of the id of one of the node's; nothing has changed.
            ConfigError: the certificate or its key is faulty; nothing has changed.
        """
        problems = []
        for name in (field.name for field in dataclasses.fields(config)):
            if name not in KEEP and getattr(config, name) != getattr(self.config, name):
                note(logging.WARNING, "reload", setting=name, detail=LATER)
                problems.append(f"{name}: {LATER}")
        with self._registrar.ids.moving({each.id: each.checks for each in config.services}):
            self._registrar.ids.refuse_taken(NODE, config.checks)
        guarded = dataclasses.replace(self.config, **{name: getattr(config, name) for name in GUARDS})
        self._serving.reload(guarded)
        self._socket.allow(config.allowed)
        log.set_up(config.log_level, config.log_format)
        if config.tags != self.config.tags:
            self.node.set_tags(dict(config.tags), self._driver.now())
            self._flush()
        self.config = dataclasses.replace(self.config, **{name: getattr(config, name) for name in KEEP})
        self._registrar.command_checks = config.command_checks
        self._checking.set_command_checks(config.command_checks)
        done = await self._registrar.reconcile(config.services)
        self._checking.set_own(config.checks)
        for problem in await self._serving.reload_proxies(config.proxies):
            note(logging.ERROR, "reload_failed", detail=problem)
            problems.append(problem)
        note(
            logging.INFO, "reloaded",
            services=done.services, added=done.added, changed=done.changed, removed=done.removed,
        )  # fmt: skip
        return done._replace(problems=tuple(problems))
