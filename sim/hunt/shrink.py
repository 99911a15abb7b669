"""A failing plan, made short: as few acts, nodes and peculiarities as still break the same rule.

Acts are left out by halves, then by quarters and so on (delta debugging: Zeller and Hildebrandt,
"Simplifying and isolating failure-inducing input", IEEE TSE 28, 2002); hosts one by one; then what is
peculiar about the world, and what time can be done without. Every change shifts all draws that come after
it, so a candidate that holds is tried with a few other seeds of the world as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec.structs import replace

from sim.hunt.acts import AnyAct
from sim.hunt.faults import Line
from sim.hunt.plan import STEP_MS, Plan
from sim.hunt.trial import Outcome, attempt

__all__ = ["BUDGET", "shrink", "without_host"]

BUDGET = 300
"""Runs."""
SEEDS = 3
"""Worlds in which a candidate is tried."""
PLAIN = Line(latency="0.5ms")
WAIT_MS = 500
"""A shorter wait is not worth a run."""


class Shrinker:
    """A search for smaller plans that break `rule`, bounded by a number of runs."""

    def __init__(self, plan: Plan, found: Outcome, budget: int, run: Callable[[Plan], Outcome]) -> None:
        self.plan = plan
        self.outcome = found
        self.left = budget
        self._run = run

    def accept(self, plan: Plan) -> bool:
        """Take the candidate if it breaks the same rule, in this world or another."""
        for number in range(SEEDS):
            candidate = plan if not number else replace(plan, seed=plan.seed + number * 1_000_003)
            if self.left <= 0:
                return False
            self.left -= 1
            found = self._run(candidate)
            if found.rule == self.outcome.rule:
                self.plan, self.outcome = self._cut_off(candidate, found), found
                return True
        return False

    def go(self) -> None:
        """Until nothing more can be left out, or the budget is used up."""
        self.plan = self._cut_off(self.plan, self.outcome)
        size = None
        while size != (size := self._size()) and self.left > 0:
            self._fewer_acts()
            self._fewer_hosts()
            self._simpler()
            self._shorter()

    def _size(self) -> tuple[int, int, int]:
        return len(self.plan.acts), self.plan.nodes, self.plan.steps

    def _cut_off(self, plan: Plan, found: Outcome) -> Plan:
        """Without what would come after the rule broke, which changes nothing."""
        steps = min(plan.steps, math.ceil(found.at_s * 1_000 / STEP_MS) + 1)
        acts = tuple(act for act in plan.acts if act.at_ms <= found.at_s * 1_000)
        return replace(plan, steps=steps, acts=tuple(act for act in acts if act.at_ms <= steps * STEP_MS))

    def _fewer_acts(self) -> None:
        """ddmin: leave out one of `parts` equal parts, as long as one can be left out; then smaller parts."""
        parts = 2
        while self.plan.acts and self.left > 0:
            acts = self.plan.acts
            size = math.ceil(len(acts) / parts)
            for at in range(0, len(acts), size):
                if self.accept(replace(self.plan, acts=acts[:at] + acts[at + size :])):
                    parts = max(2, parts - 1)
                    break
            else:
                if size == 1:
                    return
                parts = min(len(acts), 2 * parts)

    def _fewer_hosts(self) -> None:
        for host in reversed(range(self.plan.nodes)):
            if self.plan.nodes > 1 and host < self.plan.nodes:
                self.accept(without_host(self.plan, host))

    def _simpler(self) -> None:
        changes: list[dict[str, Any]] = [
            {"settings": {}},
            {"codec": False},
            {"ephemeral": ()},
            {"gap_ms": 0},
            {"line": PLAIN},
        ]
        for change in changes:
            candidate = replace(self.plan, **change)
            if candidate != self.plan:
                self.accept(candidate)

    def _shorter(self) -> None:
        """Bring what follows a long wait nearer: to where the wait begins, or by half of it."""
        for candidate in self._closer():
            if self.left <= 0 or self.accept(candidate):
                return

    def _closer(self) -> Iterator[Plan]:
        acts = self.plan.acts
        for share in (1, 2):
            before = 0
            for at, act in enumerate(acts):
                by = (act.at_ms - before) // share
                before = act.at_ms
                if by >= WAIT_MS:
                    yield self._earlier(acts, at, by)
            by = (self.plan.end_ms - before) // share
            if by >= WAIT_MS:
                yield replace(self.plan, steps=self.plan.steps - by // STEP_MS)

    def _earlier(self, acts: Sequence[AnyAct], at: int, by: int) -> Plan:
        moved = tuple(replace(act, at_ms=act.at_ms - by) for act in acts[at:])
        return replace(self.plan, acts=(*acts[:at], *moved), steps=self.plan.steps - by // STEP_MS)


def shrink(
    plan: Plan, found: Outcome, *, budget: int = BUDGET, run: Callable[[Plan], Outcome] = attempt
) -> tuple[Plan, Outcome]:
    """The smallest plan that was found to break the same rule as `plan`, whose outcome is `found`.

    Its outcome comes with it. The same arguments give the same plan. At most `budget` runs are made.
    """
    shrinker = Shrinker(plan, found, budget, run)
    shrinker.go()
    return shrinker.plan, shrinker.outcome


def without_host(plan: Plan, host: int) -> Plan:
    """The plan for a world without this host: later numbers move up, and what names it is left out."""

    def moved(number: int) -> int:
        return number - (number > host)

    acts = []
    for act in plan.acts:
        changes: dict[str, Any] = {}
        for field in ("host", "other"):
            number = getattr(act, field, None)
            if number == host:
                break
            if number is not None:
                changes[field] = moved(number)
        else:
            hosts = getattr(act, "hosts", None)
            if hosts is not None:
                changes["hosts"] = tuple(moved(number) for number in hosts if number != host)
                if not changes["hosts"]:
                    continue
            acts.append(replace(act, **changes))
    ephemeral = tuple(moved(number) for number in plan.ephemeral if number != host)
    return replace(plan, nodes=plan.nodes - 1, acts=tuple(acts), ephemeral=ephemeral)
