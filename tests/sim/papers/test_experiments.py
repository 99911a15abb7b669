"""Experiments of SWIM, epidemics and determinism work, in small; what is true is found by running them."""

from __future__ import annotations

import math
import pickle
from statistics import median
from typing import Any

import msgspec
import pytest

from sim.errors import ScenarioError
from sim.papers import PAPERS, find
from sim.papers.determinism import play
from sim.papers.first_detection import Scene as Detection
from sim.papers.first_detection import Task as DetectionTask
from sim.papers.infection import Scene as Spreading
from sim.papers.infection import Task as InfectionTask
from sim.papers.message_load import Task as LoadTask
from sim.papers.message_load import work as load
from sim.papers.paper import Budget, Outcome, Paper, Row
from sim.papers.swim_fig4 import END_S, Group
from sim.papers.swim_fig4 import Task as GroupTask
from sim.theory import swim

OURS = (
    "first-detection",
    "message-load",
    "false-suspicions",
    "infection",
    "epidemics",
    "swim-fig4",
    "determinism",
)
QUICK = Budget(quick=True)


def outcome(name: str) -> Outcome:
    """Of a quick run, by way of JSON, as the command does it."""
    paper = find(name)
    results = {task.key: through_json(paper.work(task)) for task in paper.tasks(QUICK)}
    return paper.judge(QUICK, results)


def through_json(result: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(result))


def rows_of(found: Outcome) -> dict[str, Row]:
    rows = {row.quantity: row for row in found.rows}
    assert len(rows) == len(found.rows), "quantities tell rows apart"
    return rows


@pytest.fixture(params=OURS)
def paper(request: pytest.FixtureRequest) -> Paper:
    if request.param == "epidemics":
        pytest.importorskip("numpy")
    return find(request.param)


def test_names_and_numbers_agree_with_the_registry(paper: Paper) -> None:
    assert PAPERS[paper.name].endswith(f"{paper.name.replace('-', '_')}:PAPER")
    assert paper.number in {1, 2, 3, 4, 5, 6, 15}


def test_an_unknown_experiment_is_refused_with_the_names() -> None:
    with pytest.raises(ScenarioError, match="swim-fig4"):
        find("swim-fig5")


@pytest.mark.parametrize("budget", [Budget(), Budget(2, 5), Budget(quick=True)])
def test_tasks_are_apart_and_can_be_sent_away(paper: Paper, budget: Budget) -> None:
    tasks = paper.tasks(budget)
    keys = [task.key for task in tasks]
    assert len(set(keys)) == len(keys)
    sent = pickle.dumps((paper.work, tasks))
    assert pickle.loads(sent) == (paper.work, tasks)  # noqa: S301 - our own bytes


def test_blocks_have_seeds_of_their_own(paper: Paper) -> None:
    both = {task.key for task in paper.tasks(Budget(2, 3))}
    assert both == {task.key for seed in (3, 4) for task in paper.tasks(Budget(1, seed))}


def test_a_quick_run_shares_no_result_with_a_whole_one(paper: Paper) -> None:
    """Else a ledger would mix them; theory of few runs and the small worlds are what they are."""
    quick = {task.key for task in paper.tasks(QUICK)}
    shared = quick & {task.key for task in paper.tasks(Budget())}
    assert all("periods=40" in key for key in shared)


def test_nothing_done_is_nothing_judged(paper: Paper) -> None:
    found = paper.judge(Budget(), {})
    assert found.rows
    assert [row.quantity for row in found.rows if row.ours is not None] == []
    assert [row.quantity for row in found.rows if row.passed is not None] == []


def test_first_detection_in_small() -> None:
    rows = rows_of(outcome("first-detection"))
    mean = rows["mean wait for the first ping, N=16"].ours
    assert mean is not None
    # 200 trials: three standard errors are 0.2.
    assert 0.94 - 0.2 < mean < 0.94 + 0.2
    assert rows["longest wait, N=16"].passed is True
    assert rows["most rounds between two pings of one pair, N=16"].passed is True
    assert rows["slope of the mean over ln N"].passed is None


def test_a_trial_of_first_detection_leaves_nothing_behind() -> None:
    """Whoever is stopped goes on with the first ping for it, and nobody accuses it."""
    scene = Detection(DetectionTask(n=8, trials=5, world=0, seed=1))
    world = scene._world
    while len(scene.waits_us) < 5:
        scene.round()
    world.run(1.0)
    assert len(world.running()) == 8
    assert world.converged()
    assert all(host.node.counters["accused"] == 0 for host in world.hosts)
    assert max(scene.waits_us) <= swim.first_detection_bound(8) * 1_000_000


def test_message_load_without_loss_is_two() -> None:
    result = load(LoadTask("shipped", 5, 40, 1))
    assert result == {"sent": 2.0, "received": 2.0, "gossip": 0.0}


def test_message_load_under_loss_follows_the_formula() -> None:
    result = load(LoadTask("swim", 64, 200, 1, loss=0.1, helpers=1))
    assert result["sent"] == pytest.approx(swim.sent_per_period(0.9, 1), rel=0.03)
    assert result["received"] == pytest.approx(0.9 * result["sent"], rel=0.02)


def test_false_suspicions_in_small() -> None:
    rows = rows_of(outcome("false-suspicions"))
    assert rows["failed probes, q=0.8, k=1"].passed is True
    assert rows["failed probes, q=0.8, k=3"].passed is True
    assert rows["k=3 over k=1, q=0.99"].passed is None, "too rare to judge"


def test_infection_in_small() -> None:
    rows = rows_of(outcome("infection"))
    assert rows["gossip to 3 each 200 ms, N=55, seconds"].passed is True
    assert rows["trials in which somebody never heard, first 200 of each setting"].passed is True
    shipped, swims = rows["shipped core, N=55, seconds"].ours, rows["SWIM, N=55"].ours
    assert shipped is not None
    assert swims is not None
    assert shipped < 0.1 < swims


def test_each_update_is_heard_once_by_each() -> None:
    scene = Spreading(InfectionTask("piggyback", 16, 0.0, 3, 1), seed=1)
    scene.round()
    assert [len(heard) for heard in scene._heard.values()] == [16]
    span = scene.spans_us[0]
    assert span is not None
    assert 0 < span[0] < span[1]


def test_rumours_that_cannot_pass_are_counted_as_missed() -> None:
    scene = Spreading(InfectionTask("piggyback", 16, 0.0, 3, 1), seed=1)
    scene._world.hosts[3].deaf = True
    scene._world.hosts[3].mute = True
    scene.round()
    assert scene.spans_us == [None]


@pytest.mark.parametrize(("variant", "least", "most"), [("Basic", 1, 4), ("Inf", 1, 4), ("Inf+Susp", 10, 17)])
def test_suspicion_keeps_a_group_together(variant: str, least: int, most: int) -> None:
    sizes = [Group(GroupTask(variant, run, 1, 1), run).sizes() for run in range(3)]
    assert all(len(run) == END_S for run in sizes)
    assert sizes[0][:4] == [1, 1, 1, 1], "the second joins after five seconds"
    assert least <= median(run[-1] for run in sizes) <= most


def test_epidemics_in_small() -> None:
    pytest.importorskip("numpy")
    found = outcome("epidemics")
    rows = rows_of(found)
    assert rows["T1 push, counter, k=2: ln s + m"].ours == pytest.approx(0.0, abs=0.5)
    assert "rounds, push, n=10000" not in rows
    assert all(math.isfinite(y) for curve in found.figures[0].curves for y in curve.y)


def test_one_seed_one_log_and_what_it_costs() -> None:
    rows = rows_of(outcome("determinism"))
    assert rows["logs of one seed"].passed is True
    assert rows["logs of different seeds"].passed is True
    assert "3 runs of 2 seeds" not in rows["logs of one seed"].note
    assert play(1, "quick") == play(1, "quick") != play(2, "quick")
    costs = [row for name, row in rows.items() if "Interval" in name or "per observer and member" in name]
    assert [row.theirs for row in costs] == [4_000, 250, 250]
    speed, known, pinged = (row.ours or 0.0 for row in costs)
    assert speed > 0
    assert 100 < known < pinged
    assert all(row.passed is not None for row in costs)


def test_what_was_not_measured_is_not_judged() -> None:
    rows = rows_of(find("determinism").judge(QUICK, {}))
    assert {row.passed for row in rows.values()} == {None}


def test_cheap_experiments_are_repeated() -> None:
    papers = [find(name) for name in PAPERS]
    assert {paper.blocks for paper in papers if paper.cost_s < 300} == {5}
    assert {paper.blocks for paper in papers if paper.cost_s >= 300} == {1}
    assert [paper.cost for paper in papers if paper.name in {"epidemics", "determinism", "frontier"}] == [
        "10 s",
        "6 hours",
        "1 minute",
    ]
