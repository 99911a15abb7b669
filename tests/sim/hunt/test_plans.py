"""Plans: drawn of a seed and nothing else, kept in files, and refused in words if they make no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gossip.core.params import LAN
from sim.errors import ScenarioError
from sim.hunt.act import Act
from sim.hunt.draws import draw
from sim.hunt.faults import (
    Cut,
    FailSends,
    Heal,
    HostLoss,
    Line,
    Mend,
    OneLine,
    Partition,
    Refuse,
    SetDeaf,
    SetLines,
    SetMute,
)
from sim.hunt.lives import (
    ClockRate,
    Crash,
    HandOver,
    JumpWall,
    Leave,
    Pause,
    Rejoin,
    Restart,
    Resume,
    Starve,
    Storm,
    Suspend,
)
from sim.hunt.plan import Plan, load_plan, make_stage, save_plan
from sim.hunt.stage import SEEDS
from sim.hunt.users import Deregister, Evict, Flood, RaiseFloor, Register, Report, SetTag, Tell

BAD = Line("20ms..200ms", 0.3, 0.1, (0.1, 0.2, 1.0), 0.1, 20)
EVERYTHING = (
    Crash(0, 0, machine=True),
    Restart(0, 0, "lost disk"),
    Storm(0),
    Leave(0, 1, stays=True),
    HandOver(0, 2),
    Rejoin(0, 1, 2),
    Register(0, 0, "a", "web", 80),
    Report(0, 0, "a", 2),
    Report(0, 0, "", 1, maintenance=True),
    Deregister(0, 0, "a"),
    RaiseFloor(0, 0),
    SetTag(0, 0, "x"),
    Tell(0, 0),
    Flood(0, (0, 1), 3),
    Evict(0, 0, 1),
    Pause(0, 1),
    Suspend(0, 0),
    Resume(0, 0),
    JumpWall(0, 0, -1_000),
    ClockRate(0, 0, 200),
    Starve(0, 0, 20),
    Partition(0, (0, 1)),
    Heal(0),
    Cut(0, 0, 1, both=True),
    Mend(0, 0, 1),
    SetLines(0, BAD),
    OneLine(0, 0, 1, None),
    SetMute(0, 0, on=True),
    SetDeaf(0, 0, on=False),
    HostLoss(0, 0, 0.5, 0.0),
    Refuse(0, 0, "lying"),
    FailSends(0, 0, on=True),
)


def test_a_plan_is_a_function_of_seed_and_steps() -> None:
    assert draw(7, 800) == draw(7, 800)
    assert draw(7, 800) != draw(8, 800)
    assert draw(7, 800) != draw(7, 900)


def test_plans_of_all_kinds_can_be_run() -> None:
    plans = [draw(seed, 1_000) for seed in range(150)]
    for plan in plans:
        plan.check()
        assert not any(
            act.host < SEEDS for act in plan.acts if isinstance(act, Restart) and act.how == "new address"
        ), "others find each other by where the seeds were"
    assert {plan.nodes for plan in plans} == set(range(3, 13))
    assert {type(act) for plan in plans for act in plan.acts} == {type(act) for act in EVERYTHING}


def test_every_kind_of_act_has_its_words_and_can_be_done() -> None:
    stage = make_stage(Plan(1, 3, 10))
    for host in stage.hosts:
        stage.start(host)
    stage.world.run(2)
    for act in EVERYTHING:
        stage.do(act)
        assert str(act)
    kinds = {act.word for act in EVERYTHING}
    assert kinds - {"rejoin", "evict", "storm"} <= set(stage.done)
    assert {type(act) for act in EVERYTHING} == set(Act.__subclasses__())


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = Plan(3, 3, 10, EVERYTHING, BAD, codec=True, gap_ms=5, ephemeral=(2,), settings={"retention": 40.0})
    save_plan(plan, tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json") == plan
    assert len((tmp_path / "plan.json").read_text().splitlines()) < len(EVERYTHING) + 40, "an act a line"
    bare = Plan(3, 3, 10)
    save_plan(bare, tmp_path / "bare.json")
    assert load_plan(tmp_path / "bare.json") == bare


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nodes": 0}, "nodes = 0: a plan has 1 to 64"),
        ({"steps": -1}, "steps = -1"),
        ({"gap_ms": -1}, "gap_ms = -1"),
        ({"colour": "red"}, "unknown field `colour`"),
        ({"nodes": "three"}, r"Expected `int`, got `str` - at `\$.nodes`"),
        ({"acts": [{"do": "explode", "at_ms": 0}]}, "Invalid value 'explode'"),
        ({"acts": [{"do": "crash", "at_ms": 0}]}, "missing required field `host`"),
        ({"acts": [{"do": "crash", "at_ms": 0, "host": 3}]}, r"acts\[0\] \(crash\): there is no host 3"),
        ({"acts": [{"do": "heal", "at_ms": 5_000}]}, r"acts\[0\] \(heal\): at_ms = 5000 must be from 0"),
        ({"acts": [{"do": "heal", "at_ms": 5}, {"do": "heal", "at_ms": 4}]}, r"acts\[1\] .*from 5"),
        ({"acts": [{"do": "set lines", "at_ms": 0, "line": {"loss": 2.0}}]}, r"acts\[0\] \(set lines\): .*2"),
        ({"line": {"latency": "soon"}}, "line: 'soon'"),
        ({"settings": {"perod": 1.0}}, "settings.perod: there is no such setting"),
        ({"settings": {"period": "long"}}, "settings: Expected `float`"),
    ],
)
def test_a_bad_file_is_refused_by_what_is_wrong(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"seed": 1, "nodes": 3, "steps": 20, **change}))
    with pytest.raises(ScenarioError, match=words) as caught:
        load_plan(path)
    assert str(caught.value).startswith(str(path))


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    for content in (b"", b"[nodes]\n", b"\xff\xfe"):
        path.write_bytes(content)
        with pytest.raises(ScenarioError, match=r"plan\.json"):
            load_plan(path)


def test_numbers_that_make_no_plan_are_refused() -> None:
    with pytest.raises(ScenarioError, match="seed -1"):
        draw(-1, 10)
    with pytest.raises(ScenarioError, match="--steps 0"):
        draw(0, 0)


def test_settings_are_those_of_the_nodes() -> None:
    plan = Plan(1, 3, 10, settings={"suspicion_alpha": 2.0, "streams": 7})
    assert plan.params() == msgspec.structs.replace(LAN, suspicion_alpha=2.0, streams=7)
    assert make_stage(plan).world.params.streams == 7
