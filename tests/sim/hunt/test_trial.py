"""A run of a plan: the same every time, told in words, and a function of nothing but the plan."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gossip.core.params import LAN, WAN
from gossip.core.types import Kind, Status
from sim.errors import ScenarioError
from sim.hunt.calm import LASTING, calm_limit, differences
from sim.hunt.draws import draw
from sim.hunt.errors import BrokenRuleError
from sim.hunt.faults import Line, Partition
from sim.hunt.lives import Crash, Restart
from sim.hunt.plan import Plan, make_stage
from sim.hunt.story import FULL, Story
from sim.hunt.trial import Outcome, Task, attempt, work
from sim.hunt.users import Evict, Register

ROOT = Path(__file__).parents[3]
STEPS = 150


@pytest.mark.parametrize("seed", [1, 8], ids=["objects", "bytes"])
def test_a_replay_ends_with_the_same_hash(seed: int) -> None:
    plan = draw(seed, STEPS)
    assert plan.codec is (seed == 8)
    first = attempt(plan)
    assert first.passed
    assert work(Task(seed, STEPS)).log_hash == first.log_hash
    assert attempt(msgspec.structs.replace(plan, seed=99)).log_hash != first.log_hash
    # Who listens changes nothing.
    assert attempt(plan, Story(plan)).log_hash == first.log_hash


def test_the_hash_does_not_depend_on_the_process() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "5", "PYTHONPATH": os.pathsep.join(sys.path)}
    code = f"from sim.hunt.trial import Task, work; print(work(Task(8, {STEPS})).log_hash)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert done.stdout.strip() == work(Task(8, STEPS)).log_hash


def test_an_outcome_survives_a_ledger() -> None:
    outcome = work(Task(1, 50))
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(outcome)), Outcome) == outcome


def test_a_plan_that_cannot_be_run_is_no_outcome() -> None:
    with pytest.raises(ScenarioError):
        attempt(Plan(1, 0, 10))


def test_the_story_tells_what_was_done_and_noted_in_bounded_space() -> None:
    acts = (
        Register(0, 0, "a", "web", 80),
        Partition(2_000, (2,)),
        Crash(3_000, 1),
        Crash(4_000, 1),
        Restart(30_000, 1, "lost disk"),
    )
    plan = Plan(5, 3, 400, acts, gap_ms=10, ephemeral=(2,), settings={"retention": 40.0})
    story = Story(plan)
    outcome = attempt(plan, story)
    told = "\n".join(story.tell(outcome))
    assert told.startswith("seed 5: 3 nodes, 5 acts in 400 steps of 100 ms (40 s of chaos), then calm")
    assert "without a disk: n2" in told
    assert "settings: retention = 40.0" in told
    assert "2.000000  * n2 is cut off" in told
    assert "3.000000  * the agent of n1 dies" in told
    assert "4.000000  * the agent of n1 dies (which cannot be done now)" in told
    assert "n1 is started again, with a lost disk" in told
    assert "n0 notes member failed: n" in told
    assert "n0 notes service registered: web of n0" in told
    assert "every rule held" in told
    assert outcome.log_hash in told

    short = Story(plan, lines=5)
    attempt(plan, short)
    lines = list(short.tell(outcome))
    assert any("lines before these are left out" in line for line in lines)
    assert len(lines) < 5 + FULL + 15


def test_the_story_ends_with_the_rule_that_broke() -> None:
    plan = Plan(5, 3, 10)
    broken = Outcome(
        5, 3, 10, rule="incarnations rise", host="n2", at_s=1.5, detail="n1 is held at 3 after 4"
    )
    assert list(Story(plan).tell(broken))[-3:-1] == [
        "BROKEN on n2 at 1.500000 s: incarnations rise",
        "  n1 is held at 3 after 4",
    ]


def test_the_bound_of_calm_follows_from_the_settings() -> None:
    # 10 periods of doubt at the worst health; two minutes of hearing nobody; two burials, with the patience
    # for who keeps coming back; thirty times the mean try; four tries of seeds.
    assert calm_limit(LAN, 6, 9) == 90 + 120 + 2 * (2 * 8 * 3 + 9) + 30 * 2 * 9 + 120
    assert calm_limit(LAN, 6, 10) > calm_limit(LAN, 6, 9)
    assert calm_limit(WAN, 6, 9) > calm_limit(LAN, 6, 9)


def test_what_keeps_nodes_from_one_view_is_said() -> None:
    stage = make_stage(Plan(1, 3, 10))
    a, b, c = stage.hosts
    for host in stage.hosts:
        stage.start(host)
    assert differences(stage.world, stage.promised, {}) == "views differ"
    stage.do(Register(0, 0, "a", "web", 80))
    assert stage.settle() > 0
    assert differences(stage.world, stage.promised, {}) == ""

    stage.promised[1]["b"] = ("db", 9)
    assert "n0 misses db passing:9 (b of " in differences(stage.world, stage.promised, {})
    del stage.promised[1]["b"]
    del stage.promised[0]["a"]
    assert "finds web passing:80" in differences(stage.world, stage.promised, {})
    stage.promised[0]["a"] = ("web", 80)

    stage.do(Crash(0, 2, machine=True))
    stage.world.run_until(lambda: a.sees(c) is Status.DEAD and b.sees(c) is Status.DEAD, 60)
    assert not stage.do(Evict(0, 0, 1)), "only the dead can be evicted"
    assert stage.do(Evict(0, 0, 2))
    stage.calm()
    stage.settle()
    assert a.sees(c) is Status.ALIVE, "a seed is started again when it is calm"


@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_one_view_lasts_only_if_nobody_is_buried_and_suspicions_end_where_packets_are_lost(
    loss: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = make_stage(Plan(1, 3, 10, line=Line(loss=loss)))
    a, _, c = stage.hosts
    for host in stage.hosts:
        stage.world.start(host)
    run = stage.world.run
    stage.settle()
    held = a.node.members.get(c.id)
    assert held is not None

    def suspects(seconds: float) -> None:
        run(seconds)
        if seconds == LASTING:
            a.do(lambda node, now: node._detector.accuse(held, Kind.SILENT, now))

    monkeypatch.setattr(stage.world, "run", suspects)
    if loss:
        assert stage.settle() >= 0
    else:
        with pytest.raises(BrokenRuleError, match="not for 10 s"):
            stage.settle()

    def buries(seconds: float) -> None:
        run(seconds)
        if seconds == LASTING:
            a.node._ctx.count("buried")

    monkeypatch.setattr(stage.world, "run", buries)
    with pytest.raises(BrokenRuleError, match="somebody who runs was buried"):
        stage.settle()
