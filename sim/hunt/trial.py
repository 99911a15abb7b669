"""One plan, run: chaos, then calm, and which rule broke if one did."""

from __future__ import annotations

import gc
import time
import traceback
from typing import Protocol

from msgspec import Struct

from gossip.core.events import Event
from sim.host import Host
from sim.hunt.acts import AnyAct
from sim.hunt.draws import draw
from sim.hunt.errors import BrokenRuleError
from sim.hunt.plan import Plan, make_stage
from sim.hunt.rules import Rule
from sim.hunt.stage import Stage

__all__ = ["Audience", "Outcome", "Task", "attempt", "work"]

TRACE_LINES = 12


class Audience(Protocol):
    """Who is told of a run while it goes on."""

    def trace(self, line: str) -> None:
        """A line of the world's own story, each message in it."""

    def act(self, at_s: float, act: AnyAct, done: bool) -> None:
        """An act's time has come, and it could be done or not."""

    def note(self, host: Host, at_s: float, event: Event) -> None:
        """A node told its watchers."""


class Outcome(Struct, frozen=True):
    """What came of one plan."""

    seed: int
    nodes: int
    steps: int
    rule: str = ""
    """The one that broke; empty if all held."""
    host: str = ""
    at_s: float = 0.0
    detail: str = ""
    calm_s: float = 0.0
    """Virtual seconds from the last fault to one view."""
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    log_hash: str = ""
    met: dict[str, int] = {}
    """How often what has happened; see `coverage`."""

    @property
    def passed(self) -> bool:
        """No rule broke."""
        return not self.rule


class Task(Struct, frozen=True):
    """One seed of a batch."""

    seed: int
    steps: int

    @property
    def key(self) -> str:
        """Names it in a ledger."""
        return f"{self.seed}/{self.steps}"


def work(task: Task) -> Outcome:
    """Run the plan of a seed."""
    return attempt(draw(task.seed, task.steps))


def attempt(plan: Plan, audience: Audience | None = None) -> Outcome:
    """Run a plan.

    Raises:
        ScenarioError: if the plan cannot be run.
    """
    began = time.process_time()
    stage = make_stage(plan, trace=None if audience is None else audience.trace)
    if audience is not None:
        stage.world.listeners.append(audience.note)
    problem: BrokenRuleError | None = None
    calm_s = 0.0
    # A world is one large cycle, and makes few small ones: collecting them in between finds nothing.
    collects = gc.isenabled()
    gc.disable()
    try:
        calm_s = play(plan, stage, audience)
    except BrokenRuleError as broken:
        problem = broken
    except Exception as error:  # noqa: BLE001 - whatever goes wrong in there is what is looked for
        lines = traceback.format_exc().splitlines()[-TRACE_LINES:]
        problem = BrokenRuleError(Rule.CRASH, f"{type(error).__name__}: {error}\n" + "\n".join(lines))
    finally:
        if collects:
            gc.enable()
    return outcome(plan, stage, problem, calm_s, time.process_time() - began)


def play(plan: Plan, stage: Stage, audience: Audience | None) -> float:
    """Chaos, then calm: how many seconds until there was one view.

    Raises:
        BrokenRuleError: if a rule broke.
    """
    clock = stage.world.clock
    starts = [(number * plan.gap_ms, host) for number, host in enumerate(stage.hosts)]
    for at_ms, host in starts:
        if at_ms <= plan.end_ms:
            clock.run(at_ms * 1_000)
            stage.world.start(host)
    for act in plan.acts:
        clock.run(max(clock.now_us, act.at_ms * 1_000))
        done = stage.do(act)
        if audience is not None:
            audience.act(stage.world.now, act, done)
    clock.run(max(clock.now_us, plan.end_ms * 1_000))
    stage.calm()
    return stage.settle()


def outcome(
    plan: Plan, stage: Stage, problem: BrokenRuleError | None, calm_s: float, cpu_s: float
) -> Outcome:
    """What came of it, in numbers."""
    world = stage.world
    at_s = world.now if problem is None or problem.at_s is None else problem.at_s
    return Outcome(
        seed=plan.seed,
        nodes=plan.nodes,
        steps=plan.steps,
        rule="" if problem is None else problem.rule,
        host="" if problem is None else problem.host,
        at_s=at_s,
        detail="" if problem is None else problem.detail,
        calm_s=calm_s,
        virtual_s=world.now,
        cpu_s=cpu_s,
        log_hash=world.log_hash(),
        met=dict(sorted(stage.met().items())),
    )
