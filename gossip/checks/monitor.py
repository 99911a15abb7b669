"""The owner of all checks of this node: what is due, what was found, what others are to be told.

One task sleeps until the first thing is due and does all that is due by then; a check has a task of its
own only while it runs. A TTL check that is fed costs nothing but its report: its place in the queue
is looked at again when the old deadline comes. Wake-ups are counted in steps of 50 ms, so that a
thousand checks wake the agent twenty times a second at most.
"""

from __future__ import annotations

import heapq
import logging
import math
from typing import TYPE_CHECKING, Any, Final

import trio

from gossip.checks.state import CheckState, SavedCheck
from gossip.checks.table import (
    NODE,
    Check,
    Service,
    Word,
    find_ttl,
    looks_at_the_same,
    row,
    service_status,
    told_ids,
)
from gossip.config.check_values import NODE_ALIAS
from gossip.core.types import Verdict
from gossip.errors import GossipError, NotFoundError
from gossip.log import note

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from random import Random

    from gossip.checks.finding import Finding
    from gossip.checks.runner import Runner
    from gossip.config.checks import CheckDefinition

__all__ = ["NODE", "Monitor", "Word"]

STEP_SECONDS: Final = 0.05
RETRY_SECONDS: Final = 30.0
"""After a service could not be deregistered."""


class Monitor:
    """All checks of a node.

    Args:
        runner: runs one check.
        now: the clock that the node lives by.
        tell: publishes what is said of a service.
        expire: deregisters a service that has been critical for too long.
        node_status: what another node of that name counts as, and why.
        touched: is told when there is something new to keep on disk, and whether a status has changed.
    """

    def __init__(
        self,
        runner: Runner,
        now: Callable[[], float],
        rng: Random,
        tell: Callable[[str, Word], None],
        expire: Callable[[str], Awaitable[None]],
        node_status: Callable[[str], Finding],
        touched: Callable[[bool], None],
    ) -> None:
        self.maintenance: dict[str, str] = {}
        """Reason by service id; the empty id is the node."""
        self._runner = runner
        self._now = now
        self._rng = rng
        self._publish = tell
        self._expire = expire
        self._node_status = node_status
        self._touched = touched
        self._services: dict[str, Service] = {NODE: Service(NODE, NODE)}
        self._checks: dict[str, Check] = {}
        self._aliases: dict[str, list[Check]] = {}
        self._queue: list[tuple[float, int, Check | Service]] = []
        self._number = 0
        self._nursery: trio.Nursery | None = None
        self._woken = trio.lowlevel.ParkingLot()
        self._sleeps_until = -math.inf
        self._have_nodes_changed = False

    # ------------------------------------------------------------------------------- what is checked

    def owner(self, check: str) -> str | None:
        """The service that a check belongs to, or None if there is no such check."""
        found = self._checks.get(check)
        return None if found is None else found.service.key

    def definitions(self, service: str) -> tuple[CheckDefinition, ...]:
        """The checks of a service."""
        found = self._services.get(service)
        return tuple(check.state.definition for check in found.checks) if found else ()

    def of(self, service: str) -> list[Check]:
        """The checks of a service as they stand; of the empty id, those of the node."""
        found = self._services.get(service)
        return list(found.checks) if found else []

    def check(self, id: str) -> Check | None:
        """One check by its id."""
        return self._checks.get(id)

    def put(
        self,
        key: str,
        name: str,
        definitions: Iterable[CheckDefinition],
        saved: Mapping[str, SavedCheck] | None = None,
    ) -> None:
        """Make these the checks of a service that is visible, and tell others at once what they say.

        A check that looks at the same thing as before goes on from where it was; what is `saved` of an
        earlier life counts for those that are new.
        """
        now = self._now()
        service = self._services.setdefault(key, Service(key, name))
        service.name = name
        former = {check.state.definition.id: check for check in service.checks}
        service.checks = []
        for definition in definitions:
            old = former.get(definition.id)
            if old is not None and old.state.definition == definition:
                check = former.pop(definition.id)
            else:
                kept = (saved or {}).get(definition.id)
                if old is not None and looks_at_the_same(old.state.definition, definition):
                    kept = old.state.save(now)
                check = Check(service, CheckState(definition, now, self._rng, kept))
            service.checks.append(check)
        for check in former.values():
            self._end(check)
        for check in service.checks:
            self._begin(check)
        self._spread_to_aliases(key)
        self._tell(service, now, at_once=True)

    def drop(self, key: str) -> None:
        """The service is gone, its checks and its maintenance with it."""
        service = self._services.pop(key, None)
        if service is not None:
            for check in service.checks:
                self._end(check)
            service.checks = []
        self.maintenance.pop(key, None)
        self._spread_to_aliases(key)

    def set_maintenance(self, key: str, reason: str | None) -> None:
        """Begin the maintenance of a service that is visible, or (None) end it."""
        if reason is None:
            self.maintenance.pop(key, None)
        else:
            self.maintenance[key] = reason
        self._spread_to_aliases(key)
        self._tell(self._services.setdefault(key, Service(key, key)), self._now(), at_once=True)

    def nodes_changed(self) -> None:
        """Something has changed at other nodes: aliases that follow one look again, in a moment."""
        if not self._have_nodes_changed and any(target.startswith(NODE_ALIAS) for target in self._aliases):
            self._have_nodes_changed = True
            self._woken.unpark()

    def _follow_nodes(self) -> None:
        self._have_nodes_changed = False
        for target in list(self._aliases):
            if target.startswith(NODE_ALIAS):
                self._spread_to_aliases(target)

    # ------------------------------------------------------------------------------------- what is said

    def report(self, id: str, verdict: Verdict, text: str) -> str:
        """What a program says of itself, by the id of a TTL check or of a service that has one.

        The answer is the check's id.

        Raises:
            NotFoundError: there is no such check.
            RefusedError: it is no TTL check, or the service has several.
        """
        check = find_ttl(self._checks, self._services, id)
        changed = check.state.set(verdict, text, self._now())
        self._enqueue(check)
        if changed:
            self._changed(check)
        else:
            self._touched(False)
        return check.state.definition.id

    def word(self, key: str) -> Word:
        """What is to be told of a service now."""
        service = self._services.get(key)
        checks = service.checks if service else ()
        statuses = tuple((check.state.definition.name, check.state.status) for check in checks)
        ids = told_ids(key, [check.state.definition for check in checks])
        return Word(statuses, key in self.maintenance, self.maintenance.get(key, ""), ids)

    def rows(self) -> list[dict[str, Any]]:
        """All checks, with what only this node knows of them; those of the node first."""
        now = self._now()
        return [row(check, now) for key in sorted(self._services) for check in self._services[key].checks]

    @property
    def counters(self) -> dict[str, int]:
        """Of the runs so far, and how many checks there are in each status."""
        return dict(self._runner.counters)

    def statuses(self) -> dict[str, int]:
        """How many checks are passing, warning, critical."""
        found = dict.fromkeys((verdict.label for verdict in Verdict), 0)
        for check in self._checks.values():
            found[check.state.status.label] += 1
        return found

    def saved(self) -> dict[str, SavedCheck]:
        """What of each check outlives this agent, by its id."""
        now = self._now()
        return {id: check.state.save(now) for id, check in self._checks.items()}

    # ------------------------------------------------------------------------------------ what is due

    async def run(self) -> None:
        """Work until cancelled."""
        async with trio.open_nursery() as self._nursery:
            while True:
                now = self._now()
                self._work(now)
                if self._have_nodes_changed:
                    # It is what was told just now that changed.
                    await trio.lowlevel.checkpoint()
                    continue
                self._sleeps_until = self._next_step()
                with trio.CancelScope(deadline=self._sleeps_until):
                    await self._woken.park()

    def _next_step(self) -> float:
        if not self._queue:
            return math.inf
        return math.ceil(self._queue[0][0] / STEP_SECONDS) * STEP_SECONDS

    def _work(self, now: float) -> None:
        if self._have_nodes_changed:
            self._follow_nodes()
        while self._queue and self._queue[0][0] <= now:
            place, _, item = heapq.heappop(self._queue)
            if isinstance(item, Service):
                item.is_waiting = False
                if self._services.get(item.key) is item:
                    self._tell(item, now)
            elif item.queued == place:
                item.queued = None
                self._serve(item, now)
                self._enqueue(item)

    def _serve(self, check: Check, now: float) -> None:
        state = check.state
        if state.lapse(now):
            self._changed(check)
        if state.deregister_at is not None and state.deregister_at <= now:
            state.postpone(now + RETRY_SECONDS)
            self._start(self._deregister, check)
        if state.next_run is not None and state.next_run <= now:
            if check.running is not None:
                # It is not run twice at once: the end of this run says when the next begins.
                state.next_run = None
            else:
                state.begin(now)
                check.running = trio.CancelScope()
                self._start(self._run, check)

    def _start(self, function: Callable[[Check], Awaitable[None]], check: Check) -> None:
        assert self._nursery is not None  # noqa: S101 - only `run` serves
        self._nursery.start_soon(function, check)

    async def _run(self, check: Check) -> None:
        scope = check.running
        assert scope is not None  # noqa: S101 - set by `_serve`
        with scope:
            finding = await self._runner.find(check.state.definition)
        if scope.cancelled_caught or not self._is_there(check):
            # It was replaced, or its service is gone: perhaps just when it had found something.
            return
        check.running = None
        now = self._now()
        if check.state.next_run is None:
            check.state.begin(now)
        if check.state.result(finding.verdict, finding.output, now):
            self._changed(check)
        self._enqueue(check)

    async def _deregister(self, check: Check) -> None:
        if not self._is_there(check):
            return
        key = check.service.key
        after = check.state.definition.deregister_after
        note(
            logging.WARNING,
            "service_expired",
            id=key,
            check=check.state.definition.id,
            detail=f"critical for {after:g} s: it is deregistered",
        )
        try:
            await self._expire(key)
        except NotFoundError:
            pass
        except GossipError as problem:
            note(logging.ERROR, "service_refused", id=key, detail=str(problem))

    def _enqueue(self, check: Check) -> None:
        at = check.state.wake_at
        if at is None or not self._is_there(check):
            return
        if check.queued is None or at < check.queued:
            check.queued = at
            self._push(at, check)

    def _is_there(self, check: Check) -> bool:
        return self._checks.get(check.state.definition.id) is check

    def _push(self, at: float, item: Check | Service) -> None:
        self._number += 1
        heapq.heappush(self._queue, (at, self._number, item))
        if at < self._sleeps_until:
            self._woken.unpark()

    # ---------------------------------------------------------------------------------- what follows

    def _begin(self, check: Check) -> None:
        definition = check.state.definition
        self._checks[definition.id] = check
        if definition.kind == "alias":
            followers = self._aliases.setdefault(definition.target, [])
            if check not in followers:
                followers.append(check)
            self._follow(check)
        self._enqueue(check)
        self._touched(True)

    def _end(self, check: Check) -> None:
        definition = check.state.definition
        if self._checks.get(definition.id) is check:
            del self._checks[definition.id]
        if check.running is not None:
            check.running.cancel()
        followers = self._aliases.get(definition.target, [])
        if definition.kind == "alias" and check in followers:
            followers.remove(check)
            if not followers:
                del self._aliases[definition.target]
        check.queued = None
        self._touched(True)

    def _changed(self, check: Check) -> None:
        definition, state = check.state.definition, check.state
        level = logging.INFO if state.status is Verdict.PASSING else logging.WARNING
        note(
            level,
            "check_changed",
            id=definition.id,
            service=check.service.key,
            status=state.status.label,
            output=state.output.partition("\n")[0][:256],
        )
        self._touched(True)
        if definition.kind != "alias":
            self._spread_to_aliases(check.service.key)
        self._tell(check.service, self._now())

    def _spread_to_aliases(self, target: str) -> None:
        for alias in self._aliases.get(target, ()):
            if self._follow(alias):
                self._enqueue(alias)
                self._changed(alias)

    def _follow(self, alias: Check) -> bool:
        """Take over what the target counts as; whether that changed anything."""
        target = alias.state.definition.target
        if target.startswith(NODE_ALIAS):
            verdict, output = self._node_status(target.removeprefix(NODE_ALIAS))
        else:
            verdict, output = service_status(self._services.get(target), target, target in self.maintenance)
        return alias.state.set(verdict, output, self._now())

    def _tell(self, service: Service, now: float, *, at_once: bool = False) -> None:
        word = self.word(service.key)
        due = service.telling.due(word)
        if due is None:
            return
        if due > now and not at_once:
            if not service.is_waiting:
                service.is_waiting = True
                self._push(due, service)
            return
        try:
            self._publish(service.key, word)
        except GossipError as problem:
            note(logging.WARNING, "status_refused", id=service.key, detail=str(problem))
        else:
            service.telling.tell(word, now)
