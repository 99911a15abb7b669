"""A failing plan is made short: nothing that matters is left out, and little that does not matter stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gossip.core.own import Own
from sim.hunt.draws import draw
from sim.hunt.faults import Cut, Heal, Line, Partition
from sim.hunt.lives import Crash
from sim.hunt.plan import Plan
from sim.hunt.rules import Rule
from sim.hunt.shrink import shrink, without_host
from sim.hunt.trial import Outcome, attempt
from sim.hunt.users import Register


class Run:
    """Fails if `fails` says so of the plan, at the end of its chaos; counts."""

    def __init__(self, fails: Callable[[Plan], bool]) -> None:
        self._fails = fails
        self.runs = 0

    def __call__(self, plan: Plan) -> Outcome:
        self.runs += 1
        rule = Rule.FINAL if self._fails(plan) else ""
        return Outcome(plan.seed, plan.nodes, plan.steps, rule=rule, at_s=plan.end_ms / 1_000)


def kills_then_parts(plan: Plan) -> bool:
    """Some host is killed, and later some partition made."""
    crashes = [act.at_ms for act in plan.acts if isinstance(act, Crash)]
    parts = [act.at_ms for act in plan.acts if isinstance(act, Partition)]
    return bool(crashes and parts and min(crashes) <= max(parts))


def seed_with(kinds: set[type]) -> Plan:
    plans = (draw(seed, 3_000) for seed in range(50))
    return next(plan for plan in plans if kinds <= {type(act) for act in plan.acts})


def test_what_matters_is_left() -> None:
    plan = seed_with({Crash, Partition, Heal})
    run = Run(kills_then_parts)
    short, outcome = shrink(plan, run(plan), run=run, budget=400)
    assert [type(act) for act in short.acts] == [Crash, Partition]
    assert short.nodes <= 3
    assert short.steps < plan.steps
    assert short.line == Line(latency="0.5ms")
    assert (short.codec, short.settings, short.gap_ms, short.ephemeral) == (False, {}, 0, ())
    assert outcome.rule == Rule.FINAL
    short.check()


def test_it_is_repeatable_and_bounded() -> None:
    plan = seed_with({Crash, Partition})
    runs = []
    for _ in range(2):
        run = Run(kills_then_parts)
        runs.append((shrink(plan, run(plan), run=run, budget=20), run.runs))
    assert runs[0] == runs[1]
    assert runs[0][1] <= 21


def test_another_rule_is_another_failure() -> None:
    plan = Plan(1, 3, 10, (Crash(0, 1), Heal(10)))

    def run(tried: Plan) -> Outcome:
        rule = Rule.FINAL if len(tried.acts) == 2 else Rule.CATALOG
        return Outcome(tried.seed, tried.nodes, tried.steps, rule=rule, at_s=1.0)

    short, _ = shrink(plan, run(plan), run=run)
    assert [type(act) for act in short.acts] == [Crash, Heal]


def test_without_a_host_the_others_move_up() -> None:
    acts = (
        Crash(0, 0),
        Crash(0, 1),
        Crash(0, 2),
        Cut(0, 2, 0),
        Cut(0, 2, 1),
        Partition(0, (0, 1, 2)),
        Heal(0),
    )
    plan = without_host(Plan(1, 3, 10, acts, ephemeral=(1, 2)), 1)
    assert plan == Plan(
        1, 2, 10, (Crash(0, 0), Crash(0, 1), Cut(0, 1, 0), Partition(0, (0, 1)), Heal(0)), ephemeral=(1,)
    )
    assert without_host(Plan(1, 2, 10, (Partition(0, (1,)),)), 1).acts == ()


def test_a_real_failure_becomes_a_few_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk kept is not read: a registration and a restart, be it when it is calm, show it."""
    monkeypatch.setattr(Own, "load", lambda *_: None)
    plan = next(draw(seed, 600) for seed in range(20) if attempt(draw(seed, 600)).rule == Rule.KEPT)
    short, outcome = shrink(plan, attempt(plan), budget=80)
    assert outcome.rule == Rule.KEPT
    assert attempt(short).detail == outcome.detail, "the short plan fails as it was found to"
    assert len(short.acts) <= 3
    assert any(isinstance(act, Register) for act in short.acts)
    assert short.nodes <= 3
