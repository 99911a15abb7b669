"""A run, told in words: what was done to whom and when, what the nodes noted, and which rule broke."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from gossip.core.events import Event
from sim.host import Host
from sim.hunt.acts import AnyAct
from sim.hunt.plan import STEP_MS, Plan
from sim.hunt.trial import Outcome

__all__ = ["FULL", "LINES", "Story"]

LINES = 300
"""Acts and notes that are told, the last ones."""
SUBJECTS = 6
"""So many are named in one line."""
FULL = 60
"""Of what happened last, everything is told, each message too."""


class Story:
    """Listens to `trial.attempt`, and keeps as much as a person can read."""

    def __init__(self, plan: Plan, lines: int = LINES) -> None:
        self._plan = plan
        self._lines: deque[str] = deque(maxlen=lines)
        self._full: deque[str] = deque(maxlen=FULL)
        self._told = 0
        self._head = ""
        self._subjects: dict[str, None] = {}

    def trace(self, line: str) -> None:
        """A line of the world's own story."""
        self._full.append(line)

    def act(self, at_s: float, act: AnyAct, done: bool) -> None:
        """Something was done, or could not be."""
        line = f"{at_s:12.6f}  * {act}{'' if done else ' (which cannot be done now)'}"
        self._full.append(line)
        self._flush()
        self._tell(line)

    def note(self, host: Host, at_s: float, event: Event) -> None:
        """A node told its watchers. What it tells of one kind at one instant is one line."""
        what = f"{event.name} of {event.node}" if event.node else event.name
        subject = f"{what} ({event.detail})" if event.detail else what
        head = f"{at_s:12.6f}    {host.name} notes {event.kind.value.replace('_', ' ')}"
        if head != self._head:
            self._flush()
            self._head = head
        self._subjects[subject] = None

    def _flush(self) -> None:
        if self._head:
            some = [subject for subject in self._subjects if subject]
            more = f" and {len(some) - SUBJECTS} more" if len(some) > SUBJECTS else ""
            about = f": {', '.join(some[:SUBJECTS])}{more}" if some else ""
            self._head, head = "", self._head
            self._subjects.clear()
            self._tell(head + about)

    def tell(self, outcome: Outcome) -> Iterator[str]:
        """The whole story, line by line."""
        self._flush()
        yield from self._world()
        yield ""
        yield "what was done (*), and what the nodes noted of it; times are virtual seconds:"
        if self._told > len(self._lines):
            yield f"  ... {self._told - len(self._lines)} lines before these are left out; --lines shows more"
        yield from self._lines
        yield ""
        yield f"the last {len(self._full)} things that happened, in full:"
        yield from self._full
        yield ""
        yield from self._end(outcome)

    def _tell(self, line: str) -> None:
        self._told += 1
        self._lines.append(line)

    def _world(self) -> Iterator[str]:
        plan = self._plan
        chaos_s = plan.end_ms / 1_000
        yield (
            f"seed {plan.seed}: {plan.nodes} nodes, {len(plan.acts)} acts in {plan.steps} steps"
            f" of {STEP_MS} ms ({chaos_s:g} s of chaos), then calm"
        )
        yield f"links: {plan.line}; messages travel as {'bytes' if plan.codec else 'objects'}"
        if plan.gap_ms:
            yield f"agents are started {plan.gap_ms} ms after one another"
        if plan.ephemeral:
            yield f"without a disk: {', '.join(f'n{number}' for number in plan.ephemeral)}"
        if plan.settings:
            yield f"settings: {', '.join(f'{key} = {value}' for key, value in plan.settings.items())}"

    @staticmethod
    def _end(outcome: Outcome) -> Iterator[str]:
        if outcome.passed:
            yield (
                f"every rule held; one view {outcome.calm_s:g} s after the last fault;"
                f" {outcome.virtual_s:g} s in all, log hash {outcome.log_hash}"
            )
            return
        where = f" on {outcome.host}" if outcome.host else ""
        yield f"BROKEN{where} at {outcome.at_s:.6f} s: {outcome.rule}"
        yield f"  {outcome.detail}"
        yield f"log hash {outcome.log_hash}"
