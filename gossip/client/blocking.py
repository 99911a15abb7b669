"""The blocking client: `with gossip.connect() as g: ...`."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from gossip.client import questions
from gossip.client.backoff import Backoff
from gossip.client.channel import Channel, RawWatch
from gossip.client.framing import TIMEOUT, closed
from gossip.client.link import Link
from gossip.client.questions import DOCTOR_SECONDS, PATIENCE, Question, Topic
from gossip.errors import UnreachableError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from gossip.client.checks import Check
    from gossip.client.replica import Replica
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

__all__ = ["Client", "Watch", "connect"]

T = TypeVar("T")


class Watch(Generic[T]):
    """An endless iterator over a value that the agent keeps up to date: the value now, then each change.

    It has a connection of its own, which `close` (or the end of a `with` block) ends; the iteration ends
    then too, also in another thread. When the agent
    goes away it waits for its return and then gives the whole value, marked; a reader that was too slow
    gets the same. Only a client that does not reconnect raises `UnreachableError`.
    """

    def __init__(self, link: Link, topic: Topic[T]) -> None:
        self._link = link
        self._topic = topic
        self._backoff = Backoff(link.chance)
        self._try_at: float | None = None
        """When to look for the agent again; None while it is there."""
        self._closed = threading.Event()
        if link.is_closed:
            raise closed(link.path)
        channel = Channel(link.path, link.timeout)
        try:
            self._raw = RawWatch(channel, topic.method, topic.params)
        except BaseException:
            channel.close()
            raise

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while True:
            value = self.next()
            if value is not None:
                return value
            if self._closed.is_set():
                raise StopIteration

    def next(self, timeout: float | None = None) -> T | None:
        """The next value; None if none came within `timeout` seconds (None: for ever), or it is closed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self._closed.is_set():
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            try:
                if self._try_at is not None and not self._resume(deadline):
                    return None
                value = self._raw.next(left)
            except UnreachableError:
                if self._closed.is_set():
                    return None
                if not self._link.reconnect:
                    raise
                self._try_at = time.monotonic() + self._backoff.wait()
                continue
            if value is None:
                return None
            built = self._topic.value(value)
            if built is not None:
                return built
        return None

    def _resume(self, deadline: float | None) -> bool:
        """Begin again with the agent that is there by now; False if the deadline came before."""
        pause = max((self._try_at or 0.0) - time.monotonic(), 0.0)
        if deadline is not None and time.monotonic() + pause > deadline:
            self._closed.wait(max(deadline - time.monotonic(), 0.0))
            return False
        if self._closed.wait(pause):
            return False
        self._raw.resume(Channel(self._link.path, self._link.timeout))
        self._backoff.reset()
        self._try_at = None
        return True

    def close(self) -> None:
        """Ends the watch; whoever waits for its next value is told that there is none."""
        self._closed.set()
        self._raw.channel.interrupt()
        self._raw.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Client:
    """A connection to the agent of this host. One thread at a time; open one per thread.

    When the agent restarts, the client finds it again by itself: a call that did not reach it is made
    again, within its timeout, and so is one that only reads; what may have been carried out is not
    repeated, and raises `UnreachableError` with `may_have_acted`. Every method raises `UnreachableError`
    when the agent stays away or silent, and the agent's own error (`NotFoundError`, `RefusedError`,
    `LimitError`, ...) when it refuses.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        timeout: float = TIMEOUT,
        *,
        reconnect: bool = True,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self._link = Link(path, timeout, reconnect, chance)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection. Services registered with `while_connected` go with it."""
        self._link.close()

    @property
    def path(self) -> str:
        """The socket that this client speaks to."""
        return self._link.path

    def _ask(self, question: Question[T]) -> T:
        (value,) = self._link.ask(
            [(question.method, question.params)], question.timeout, repeatable=question.repeatable
        )
        return question.answer(value)

    # -- the agent and its members ------------------------------------------------------------------

    def info(self) -> dict[str, Any]:
        """What the agent says of itself: the object of `gossip info --json`."""
        return self._ask(questions.info())

    def members(self) -> list[Member]:
        """Every member that the agent knows, itself too (its flags contain `self`)."""
        return self._ask(questions.members())

    def join(self, addresses: Iterable[str], timeout: float = PATIENCE) -> list[JoinResult]:
        """Asks the agent to join through `addresses` (`host[:port]`); one result for each."""
        return self._ask(questions.join(addresses, timeout))

    def leave(self, timeout: float = PATIENCE) -> None:
        """Lets the agent leave the cluster gracefully and end."""
        self._ask(questions.leave(timeout))

    def evict(self, member: str, ban: bool = False) -> None:
        """Removes a member by name or id; `ban` keeps its identity out for good."""
        self._ask(questions.evict(member, ban))

    def keys(self) -> dict[str, Any]:
        """The cluster's keys without their secrets, who holds which, and how a change of them stands."""
        return self._ask(questions.keys())

    def rotate_keys(self, name: str = "", key: str = "", insist: bool = False) -> str:
        """Begins to change the key of the whole cluster; the name of the key that it changes to.

        Args:
            name: of a key that the agent holds, or for the new one.
            key: as `gossip keygen` prints it; empty for one that is held, or (without a name) a new one.
            insist: begin nothing: have older keys retired, whoever is away.

        Raises:
            RefusedError: another change is under way, or the agent runs in clear.
        """
        return self._ask(questions.rotate_keys(name, key, insist))

    def rtt(self, b: str, a: str | None = None) -> RoundTrip:
        """The estimated round trip between member `a` (the agent asked, when None) and member `b`."""
        return self._ask(questions.rtt(b, a))

    def doctor(self, member: str | None = None, timeout: float = DOCTOR_SECONDS) -> Diagnosis:
        """What is wrong with the agent, its members and the ways between them; or only with `member`.

        Members are tried by UDP and TCP, and asked to dial back, which takes up to `timeout` seconds (1 to
        30) if something does not answer.

        Raises:
            NotFoundError: there is no such member.
        """
        return self._ask(questions.doctor(member, timeout))

    def reload(self) -> ReloadResult:
        """Has the agent read its service definitions again; a fault in them changes nothing.

        Raises:
            ConfigError: where the fault is.
        """
        return self._ask(questions.reload())

    # -- services -----------------------------------------------------------------------------------

    def register(
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
        made = self._ask(question)
        if while_connected:
            self._link.hold(made.id, question.params | {"id": made.id})
        else:
            self._link.free(made.id)
        return made

    def deregister(self, id: str) -> None:
        """Takes back a registration of this node.

        Raises:
            NotFoundError: there is none with this id.
        """
        self._link.free(id)
        self._ask(questions.deregister(id))

    def services(self) -> list[ServiceSummary]:
        """The names of all services, with their sizes."""
        return self._ask(questions.services())

    def lookup(
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
        return self._ask(questions.lookup(name, tags=tags, any=any, no_suspect=no_suspect, near=near))

    def lookup_many(self, names: Iterable[str]) -> dict[str, list[Instance]]:
        """Several lookups in one go: the questions are pipelined, so this takes little more than one."""
        wanted = {name: questions.lookup(name) for name in questions.texts(names)}
        requests = [(each.method, each.params) for each in wanted.values()]
        answers = self._link.ask(requests, repeatable=True)
        return {name: each.answer(value) for (name, each), value in zip(wanted.items(), answers, strict=True)}

    # -- health -------------------------------------------------------------------------------------

    def update_check(self, id: str, status: str, note: str = "") -> None:
        """Says how a TTL check stands: `passing`, `warning` or `critical`.

        `id` is the check's, or the service's if it has just one such check.
        """
        self._ask(questions.update_check(id, status, note))

    def passing(self, id: str, note: str = "") -> None:
        """The TTL check passes, and its time begins anew."""
        self.update_check(id, "passing", note)

    def warning(self, id: str, note: str = "") -> None:
        """The TTL check warns, and its time begins anew."""
        self.update_check(id, "warning", note)

    def failing(self, id: str, note: str = "") -> None:
        """The TTL check is critical."""
        self.update_check(id, "critical", note)

    def checks(self) -> list[CheckState]:
        """The checks that the agent runs."""
        return self._ask(questions.checks())

    def maintenance(self, on: bool, id: str = "", reason: str = "") -> None:
        """Takes a service of this node (without `id`: the whole node) out of lookups, or back in."""
        self._ask(questions.maintenance(on, id, reason))

    # -- events -------------------------------------------------------------------------------------

    def event(self, name: str, payload: str = "") -> int:
        """Sends an event to every member; its version, which rises with each."""
        return self._ask(questions.event(name, payload))

    # -- watches ------------------------------------------------------------------------------------

    def watch(
        self,
        name: str,
        *,
        tags: Iterable[str] = (),
        any: bool = False,
        no_suspect: bool = False,
        near: bool = False,
    ) -> Watch[ServiceView]:
        """The instances of service `name` now, and again after each change; options as in `lookup`.

        Changes within 20 ms of each other are told as one.
        """
        topic = questions.watch(name, tags=tags, any=any, no_suspect=no_suspect, near=near)
        return Watch(self._link, topic)

    def watch_members(self) -> Watch[MemberView]:
        """All members now, and again after each change, with the change."""
        return Watch(self._link, questions.watch_members())

    def watch_events(self, name: str | None = None) -> Watch[UserEvent]:
        """Events from now on; with `name`, only those."""
        return Watch(self._link, questions.watch_events(name))

    # -- the replica --------------------------------------------------------------------------------

    def replica(self, *names: str) -> Replica:
        """A copy of the catalog (or of some services, by name) in this process, for a `with` block.

        A thread fills it and keeps it in step, over a connection of its own: `catalog.ready()` waits
        until it is complete. All threads may read it.
        """
        from gossip.client.replica import Replica  # noqa: PLC0415 - few programs have one

        return Replica(self._link.path, self._link.timeout, names, self._link.chance)


def connect(
    path: str | os.PathLike[str] | None = None,
    timeout: float = TIMEOUT,
    *,
    reconnect: bool = True,
    chance: Callable[[], float] | None = None,
) -> Client:
    """Opens a blocking client to the agent of this host.

    Args:
        path: the agent's socket; None for `GOSSIP_SOCKET`, else the default of `gossip agent`.
        timeout: seconds that each call waits for its answer.
        reconnect: whether to find the agent again when it restarts; else that raises.
        chance: gives numbers from 0 to below 1, for the jitter of reconnecting; None for Python's own.

    Raises:
        UnreachableError: no agent is there, or this user may not speak to it.
    """
    return Client(path, timeout, reconnect=reconnect, chance=chance)
