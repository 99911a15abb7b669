"""The doctor: gathers what an agent knows, has it try its members, and says in words what is wrong.

One diagnosis runs at a time, and begins 1.5 s after the last at the earliest, since those who are asked to
dial back rest for a second. Whoever asks the same meanwhile is given the same answer.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio
from msgspec import Struct

from gossip.core.dialback import REST
from gossip.core.events import EventKind
from gossip.core.types import Status
from gossip.diagnosis import Facts, Finding, diagnose, summary
from gossip.errors import RefusedError
from gossip.gathering import gather

if TYPE_CHECKING:
    from gossip.core.events import Event
    from gossip.core.members import Member
    from gossip.core.node import Node
    from gossip.core.types import NodeId
    from gossip.net.driver import Driver

__all__ = ["Diagnosing", "Diagnosis"]

PEERS: Final = 3
"""Live members that are tried and asked to dial back: enough to tell the agent's faults from others'."""
DOUBTFUL_MAX: Final = 8
"""Members in doubt that are tried."""
UNSTABLE_MAX: Final = 16
"""Unstable members that are told of without being tried."""
PAUSE: Final = 1.5 * REST
"""Seconds from one diagnosis to the next: those who are asked to dial back must have rested."""
SHARE: Final = 0.9
"""Of the time that is given: the rest is for the answer to be on its way."""

logger = logging.getLogger("gossip")


class Diagnosis(Struct, frozen=True):
    """How it stands: the answer of `agent.doctor`."""

    ok: bool
    """There is no problem."""
    summary: str
    findings: list[Finding]
    facts: Facts


class _Shared:
    """A diagnosis that several may wait for."""

    __slots__ = ("diagnosis", "ended")

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.diagnosis: Diagnosis | None = None


class Diagnosing:
    """The diagnoses of one agent."""

    def __init__(self, node: Node, driver: Driver, cluster: str) -> None:
        self._node = node
        self._driver = driver
        self._cluster = cluster
        self._under_way: dict[NodeId | None, _Shared] = {}
        self._turn = trio.Lock()
        self._last = float("-inf")

    async def run(self, who: NodeId | None, patience: float) -> Diagnosis:
        """Say how this agent and the cluster stand, or (with `who`) this agent and one member.

        Args:
            who: a member; None for all.
            patience: seconds; what has not been answered by then counts as silent.

        Raises:
            RefusedError: other diagnoses took all that time, or a fault of our own.
        """
        shared = self._under_way.get(who)
        if shared is not None:
            with trio.move_on_after(patience):
                await shared.ended.wait()
        else:
            shared = self._under_way[who] = _Shared()
            try:
                shared.diagnosis = await self._in_turn(who, self._driver.now() + patience * SHARE)
            except RefusedError:
                raise
            except Exception:
                self._node.count("internal_error")
                logger.exception("a diagnosis failed for a reason of our own")
                raise RefusedError("the diagnosis failed: the agent's log says why; report it") from None
            finally:
                del self._under_way[who]
                shared.ended.set()
        if shared.diagnosis is None:
            raise RefusedError("another diagnosis is under way and takes long: ask again")
        return shared.diagnosis

    async def _in_turn(self, who: NodeId | None, until: float) -> Diagnosis | None:
        """None if it did not come to its turn in time."""
        with trio.move_on_at(until):
            async with self._turn:
                await trio.sleep_until(self._last + PAUSE)
                self._last = self._driver.now()
                return await self._diagnose(who, until)
        return None

    async def _diagnose(self, who: NodeId | None, until: float) -> Diagnosis:
        subjects, untried, more = self._choose(who)
        with trio.move_on_at(until - (until - self._last) * (1 - SHARE)):
            await self._examine(subjects, (until - self._last) * SHARE * SHARE)
        facts = gather(self._node, self._driver, self._cluster, subjects + untried, more, who)
        findings = diagnose(facts)
        ok = not any(finding.severity == "problem" for finding in findings)
        return Diagnosis(ok, summary(facts, findings), findings, facts)

    def _choose(self, who: NodeId | None) -> tuple[list[Member], list[Member], int]:
        """Whom to try, who is unstable besides, and how many in doubt are not tried."""
        table = self._node.members
        if who is None:
            doubtful = sorted(filter(_is_doubtful, table), key=_rank)
        else:
            found = table.get(who)
            doubtful = [] if found is None else [found]
        chosen = doubtful[:DOUBTFUL_MAX]
        well = [member for member in table.sample(PEERS + len(chosen)) if member not in chosen]
        rest = doubtful[DOUBTFUL_MAX:]
        more = sum(member.status in (Status.SUSPECT, Status.DEAD) for member in rest)
        untried = [member for member in rest if member.status is Status.ALIVE and member.judged.unstable]
        chosen += [member for member in well if not _is_doubtful(member)][:PEERS]
        return chosen, untried[:UNSTABLE_MAX], more

    async def _examine(self, subjects: list[Member], patience: float) -> None:
        ended = trio.Event()

        def happened(event: Event) -> None:
            if event.kind is EventKind.EXAMINED:
                ended.set()

        unsubscribe = self._driver.subscribe(happened)
        try:
            ids = [each.id for each in subjects]
            self._node.examine(ids, ids, patience, self._driver.now())
            self._driver.flush()
            await ended.wait()
        finally:
            unsubscribe()


def _is_doubtful(member: Member) -> bool:
    return member.status in (Status.SUSPECT, Status.DEAD) or (
        member.is_live and (_is_odd(member) or member.judged.unstable)
    )


def _is_odd(member: Member) -> bool:
    return member.degraded or bool(member.conflicts)


def _rank(member: Member) -> tuple[bool, Status, float]:
    """Who is merely unstable takes nobody's place."""
    return member.status is Status.ALIVE and not _is_odd(member), member.status, -member.since
