"""The async client: `async with gossip.aconnect() as g: ...`, under trio or asyncio."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

import anyio

from gossip.client import questions
from gossip.client.aio.line import Line, beside
from gossip.client.aio.mux import Mux, Pending
from gossip.client.aio.replica import AsyncReplica
from gossip.client.aio.watch import AsyncWatch
from gossip.client.backoff import Backoff
from gossip.client.framing import TIMEOUT, closed, late, lost, result_of
from gossip.client.paths import socket_path
from gossip.client.questions import DOCTOR_SECONDS, PATIENCE, Question, Topic
from gossip.errors import GossipError, UnreachableError

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from gossip.client.checks import Check
    from gossip.client.framing import Message
    from gossip.client.values import (
        CheckState,
        Diagnosis,
        Instance,
        JoinResult,
        Member,
        MemberView,
        Registration,
        ReloadResult,
        RoundTrip,
        ServiceSummary,
        ServiceView,
        UserEvent,
    )

__all__ = ["AsyncClient", "aconnect"]

T = TypeVar("T")

_log = logging.getLogger("gossip.client")


class AsyncClient:
    """A connection to the agent of this host, for any number of tasks of one event loop.

    The methods are those of `Client`, and answer with the same values. Calls of several tasks share the
    connection, and one that is cancelled harms no other. When the agent restarts, the client finds it
    again by itself, with the same promises as `Client`, and registers again what is `while_connected`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        timeout: float = TIMEOUT,
        *,
        reconnect: bool = True,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self.path = socket_path(path)
        """The socket that this client speaks to."""
        self._timeout = timeout
        self._reconnect = reconnect
        self._chance = chance
        self._mux: Mux | None = None
        self._changed = anyio.Event()
        """Set when there is a connection, or never will be one again."""
        self._is_closed = False
        self._is_given_up = False
        """The agent went away, and is not to be found again."""
        self._why: GossipError | None = None
        """What the last attempt to connect came to."""
        self._held: dict[str, Message] = {}
        self._watches: WeakSet[AsyncWatch[Any]] = WeakSet()

    # -- the connection -----------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[AsyncClient]:
        """Connects, and keeps the connection for as long as the block runs."""
        line = await Line.open(self.path, self._timeout)
        self._mux = Mux(line)
        self._changed.set()
        try:
            async with beside(lambda: self._keep(line)):
                yield self
        finally:
            self._is_closed = True
            self._changed.set()
            for watch in tuple(self._watches):
                await watch.aclose()

    async def _keep(self, first: Line) -> None:
        line: Line | None = first
        while line is not None:
            mux = self._mux or Mux(line)
            try:
                await self._serve(mux)
            finally:
                self._mux = None
                if self._changed.is_set():
                    self._changed = anyio.Event()
                self._why = mux.refusal or self._why
                mux.end()
                await line.close()
            line = await self._return() if self._reconnect else None
        self._is_closed = self._is_given_up = True
        self._changed.set()

    async def _serve(self, mux: Mux) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(mux.write)
            if self._mux is None:
                group.start_soon(self._restore, mux)
            await mux.read()
            group.cancel_scope.cancel()

    async def _return(self) -> Line:
        backoff = Backoff(self._chance)
        while True:
            await anyio.sleep(backoff.wait())
            try:
                return await Line.open(self.path, self._timeout)
            except UnreachableError as problem:
                self._why = problem

    async def _restore(self, mux: Mux) -> None:
        """Register again what is held, before anything else is asked."""
        for key, params in tuple(self._held.items()):
            try:
                result_of(await mux.wait(mux.ask("services.register", params)))
            except UnreachableError:
                return
            except GossipError as problem:
                _log.warning("service %r could not be registered again: %s", key, problem)
        self._mux = mux
        self._changed.set()

    async def _ask(self, question: Question[T]) -> T:
        (value,) = await self._ask_all([question], question.timeout, repeatable=question.repeatable)
        return value

    async def _ask_all(
        self, asked: Sequence[Question[T]], timeout: float | None, *, repeatable: bool
    ) -> list[T]:
        """The answers to all that is asked, which is sent in one go.

        Raises:
            UnreachableError: as `Link.ask`.
        """
        sent = False
        with anyio.move_on_after(self._timeout if timeout is None else timeout):
            while True:
                mux = self._mux
                if mux is None:
                    if self._is_closed:
                        raise lost(self.path) if self._is_given_up else closed(self.path)
                    await self._changed.wait()
                    continue
                pending: list[Pending] = []
                try:
                    pending.extend(mux.ask(each.method, each.params) for each in asked)
                    messages = [await mux.wait(each) for each in pending]
                except UnreachableError as problem:
                    if not self._reconnect or (problem.may_have_acted and not repeatable):
                        raise
                    continue
                finally:
                    sent = any(each.sent for each in pending)
                    for each in pending:
                        mux.forget(each)
                return [
                    each.answer(result_of(message)) for each, message in zip(asked, messages, strict=True)
                ]
        if self._mux is None and self._why is not None:
            raise self._why
        raise late(self.path, may_have_acted=sent and not repeatable)

    # -- the agent and its members ------------------------------------------------------------------

    async def info(self) -> dict[str, Any]:
        """What the agent says of itself: the object of `gossip info --json`."""
        return await self._ask(questions.info())

    async def members(self) -> list[Member]:
        """Every member that the agent knows, itself too (its flags contain `self`)."""
        return await self._ask(questions.members())

    async def join(self, addresses: Iterable[str], timeout: float = PATIENCE) -> list[JoinResult]:
        """Asks the agent to join through `addresses` (`host[:port]`); one result for each."""
        return await self._ask(questions.join(addresses, timeout))

    async def leave(self, timeout: float = PATIENCE) -> None:
        """Lets the agent leave the cluster gracefully and end."""
        await self._ask(questions.leave(timeout))

    async def evict(self, member: str, ban: bool = False) -> None:
        """Removes a member by name or id; `ban` keeps its identity out for good."""
        await self._ask(questions.evict(member, ban))

    async def keys(self) -> dict[str, Any]:
        """As `Client.keys`."""
        return await self._ask(questions.keys())

    async def rotate_keys(self, name: str = "", key: str = "", insist: bool = False) -> str:
        """As `Client.rotate_keys`."""
        return await self._ask(questions.rotate_keys(name, key, insist))

    async def rtt(self, b: str, a: str | None = None) -> RoundTrip:
        """The estimated round trip between member `a` (the agent asked, when None) and member `b`."""
        return await self._ask(questions.rtt(b, a))

    async def doctor(self, member: str | None = None, timeout: float = DOCTOR_SECONDS) -> Diagnosis:
        """What is wrong with the agent, its members and the ways between them; or only with `member`.

        Members are tried by UDP and TCP, and asked to dial back, which takes up to `timeout` seconds (1 to
        30) if something does not answer.

        Raises:
            NotFoundError: there is no such member.
        """
        return await self._ask(questions.doctor(member, timeout))

    async def reload(self) -> ReloadResult:
        """Has the agent read its service definitions again; a fault in them changes nothing.

        Raises:
            ConfigError: where the fault is.
        """
        return await self._ask(questions.reload())

    # -- services -----------------------------------------------------------------------------------

    async def register(
        self,
        name: str,
        port: int,
        *,
        id: str | None = None,
        address: str | None = None,
        tags: Iterable[str] = (),
        meta: Mapping[str, str] | None = None,
        weight: int | None = None,
        check: Check | None = None,
        checks: Iterable[Check] = (),
        while_connected: bool = False,
    ) -> Registration:
        """Registers an instance of service `name`, or changes it.

        Returns when the record is on the agent's disk and visible to its lookups. `id` tells this
        registration from others on its node; what is None is the agent's choice (its advertised
        host for `address`). `weight` is the share of the load, relative to the others'. With a `check`,
        or several `checks`, it is called only while they pass. With `while_connected` the registration
        ends when this client closes or its process dies; when the agent restarts it is made again.
        """
        question = questions.register(
            name, port, id=id, address=address, tags=tags, meta=meta, weight=weight, check=check,
            checks=checks, while_connected=while_connected,
        )  # fmt: skip
        made = await self._ask(question)
        if while_connected:
            self._held[made.id] = question.params | {"id": made.id}
        else:
            self._held.pop(made.id, None)
        return made

    async def deregister(self, id: str) -> None:
        """Takes back a registration of this node.

        Raises:
            NotFoundError: there is none with this id.
        """
        self._held.pop(id, None)
        await self._ask(questions.deregister(id))

    async def services(self) -> list[ServiceSummary]:
        """The names of all services, with their sizes."""
        return await self._ask(questions.services())

    async def lookup(
        self,
        name: str,
        *,
        tags: Iterable[str] = (),
        any: bool = False,
        no_suspect: bool = False,
        near: bool = False,
    ) -> list[Instance]:
        """The instances of service `name` that may be called; an empty list when there are none.

        Only instances that have all of `tags`; with `any`, of every status, also of owners that
        are dead or left; with `no_suspect`, not those whose owner is suspect; with `near`, the
        nearest first.
        """
        return await self._ask(questions.lookup(name, tags=tags, any=any, no_suspect=no_suspect, near=near))

    async def lookup_many(self, names: Iterable[str]) -> dict[str, list[Instance]]:
        """Several lookups in one go: the questions are pipelined, so this takes little more than one."""
        wanted = {name: questions.lookup(name) for name in questions.texts(names)}
        answers = await self._ask_all(list(wanted.values()), None, repeatable=True)
        return dict(zip(wanted, answers, strict=True))

    # -- health -------------------------------------------------------------------------------------

    async def update_check(self, id: str, status: str, note: str = "") -> None:
        """Says how a TTL check stands: `passing`, `warning` or `critical`.

        `id` is the check's, or the service's if it has just one such check.
        """
        await self._ask(questions.update_check(id, status, note))

    async def passing(self, id: str, note: str = "") -> None:
        """The TTL check passes, and its time begins anew."""
        await self.update_check(id, "passing", note)

    async def warning(self, id: str, note: str = "") -> None:
        """The TTL check warns, and its time begins anew."""
        await self.update_check(id, "warning", note)

    async def failing(self, id: str, note: str = "") -> None:
        """The TTL check is critical."""
        await self.update_check(id, "critical", note)

    async def checks(self) -> list[CheckState]:
        """The checks that the agent runs."""
        return await self._ask(questions.checks())

    async def maintenance(self, on: bool, id: str = "", reason: str = "") -> None:
        """Takes a service of this node (without `id`: the whole node) out of lookups, or back in."""
        await self._ask(questions.maintenance(on, id, reason))

    # -- events -------------------------------------------------------------------------------------

    async def event(self, name: str, payload: str = "") -> int:
        """Sends an event to every member; its version, which rises with each."""
        return await self._ask(questions.event(name, payload))

    # -- watches ------------------------------------------------------------------------------------

    def watch(
        self,
        name: str,
        *,
        tags: Iterable[str] = (),
        any: bool = False,
        no_suspect: bool = False,
        near: bool = False,
    ) -> AsyncWatch[ServiceView]:
        """The instances of service `name` now, and again after each change; options as in `lookup`.

        Changes within 20 ms of each other are told as one.
        """
        topic = questions.watch(name, tags=tags, any=any, no_suspect=no_suspect, near=near)
        return self._watch(topic)

    def watch_members(self) -> AsyncWatch[MemberView]:
        """All members now, and again after each change, with the change."""
        return self._watch(questions.watch_members())

    def watch_events(self, name: str | None = None) -> AsyncWatch[UserEvent]:
        """Events from now on; with `name`, only those."""
        return self._watch(questions.watch_events(name))

    def _watch(self, topic: Topic[T]) -> AsyncWatch[T]:
        watch = AsyncWatch(self.path, self._timeout, topic, self._reconnect, self._chance)
        self._watches.add(watch)
        return watch

    # -- the replica --------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def replica(self, *names: str) -> AsyncIterator[AsyncReplica]:
        """A copy of the catalog (or of some services, by name) in this process; see `AsyncReplica`.

        It is filled in the background: `await catalog.ready()` waits for that.
        """
        catalog = AsyncReplica(self.path, self._timeout, names, self._chance)
        async with beside(catalog.follow):
            yield catalog


@contextlib.asynccontextmanager
async def aconnect(
    path: str | os.PathLike[str] | None = None,
    timeout: float = TIMEOUT,
    *,
    reconnect: bool = True,
    chance: Callable[[], float] | None = None,
) -> AsyncIterator[AsyncClient]:
    """Opens an async client to the agent of this host, for an `async with` block.

    The arguments are those of `connect`.

    Raises:
        UnreachableError: no agent is there, or this user may not speak to it.
    """
    async with AsyncClient(path, timeout, reconnect=reconnect, chance=chance).running() as client:
        yield client
