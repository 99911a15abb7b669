"""Rapid's cuts and members, and the two experiments of its paper, in small."""

from __future__ import annotations

import pickle
import random
from typing import Any

import msgspec
import pytest

from sim.papers import find
from sim.papers.bootstrap import Task as Start
from sim.papers.cuts import CutDetector, Rings, conflict_rate
from sim.papers.grey_faults import Engine
from sim.papers.grey_faults import Task as Fault
from sim.papers.grey_faults import work as suffer
from sim.papers.grey_network import CONFLICTS
from sim.papers.paper import Budget, Outcome, Paper, Row
from sim.papers.rapid import RapidPeer, rapid_crowd
from sim.world import World

QUICK = Budget(quick=True)
FULL = Budget()


@pytest.fixture(params=["grey-network", "bootstrap"])
def paper(request: pytest.FixtureRequest) -> Paper:
    return find(request.param)


def rows_of(outcome: Outcome) -> dict[str, Row]:
    rows = {row.quantity: row for row in outcome.rows}
    assert len(rows) == len(outcome.rows), "quantities tell rows apart"
    return rows


# Cuts


def test_a_subject_is_cut_when_enough_say_so_and_nobody_is_in_doubt() -> None:
    detector = CutDetector(high=4, low=2)
    for ring in range(3):
        assert detector.report(7, ring) is None
    assert detector.report(7, 3) == [7]


def test_whoever_is_in_doubt_delays_the_cut_of_others() -> None:
    detector = CutDetector(high=4, low=2)
    for ring in range(2):
        detector.report(8, ring)
    for ring in range(4):
        assert detector.report(7, ring) is None
    assert detector.report(8, 2) is None
    assert detector.report(8, 3) == [7, 8]


def test_fewer_reports_than_the_low_mark_delay_nobody() -> None:
    detector = CutDetector(high=4, low=2)
    detector.report(8, 0)
    assert [detector.report(7, ring) for ring in range(4)][-1] == [7]


def test_the_same_edge_counts_once() -> None:
    detector = CutDetector(high=2, low=1)
    assert [detector.report(7, 0) for _ in range(5)] == [None] * 5


def test_an_observer_that_is_failing_itself_is_taken_to_agree() -> None:
    """Else two that fail together and observe each other could never be cut."""
    observers = {7: [8, 1, 2], 8: [3, 4, 5]}
    detector = CutDetector(high=3, low=2, observers=observers.__getitem__)
    detector.report(7, 1)
    detector.report(7, 2)
    detector.report(8, 0)
    assert detector.report(8, 1) is None
    assert detector.report(8, 2) == [7, 8]


def test_on_each_ring_everybody_is_observed_once_and_by_its_observer(rng: random.Random) -> None:
    rings = Rings(50, 4, rng)
    for ring in range(4):
        subjects = [rings.subjects(member)[ring] for member in range(50)]
        assert sorted(subjects) == list(range(50))
        assert all(rings.observers(subject)[ring] == member for member, subject in enumerate(subjects))


@pytest.mark.parametrize(("marks", "theirs"), [((6, 4), 36.7), ((7, 4), 18.3), ((9, 4), 2.0)])
def test_conflicts_are_as_rare_as_published(
    marks: tuple[int, int], theirs: float, rng: random.Random
) -> None:
    """Figure 11; four standard errors of 2,000 processes."""
    rate = 100 * conflict_rate(*marks, failed=2, processes=2_000, rng=rng)
    assert abs(rate - theirs) <= 4 * (theirs * (100 - theirs) / 2_000) ** 0.5 + 0.5


# Members of Rapid


def test_members_that_fail_together_are_removed_in_one_step_by_all() -> None:
    world = World(3, codec=False, keep_events=False, maker=RapidPeer)
    hosts = rapid_crowd(world, 60)
    world.run(12)
    gone = {hosts[4].number, hosts[5].number}
    for number in gone:
        world.crash(hosts[number], machine=True)
    sizes = set()
    for _ in range(150):
        world.run(0.1)
        views = [host.agent.node.view for host in world.running()]  # type: ignore[attr-defined] # the maker's
        sizes |= {len(view) for view in views}
    assert sizes == {60, 58}
    assert all(view == set(range(60)) - gone for view in views)


def test_a_member_without_faults_never_leaves() -> None:
    world = World(3, codec=False, keep_events=False, loss=0.05, maker=RapidPeer)
    hosts = rapid_crowd(world, 40)
    world.run(120)
    assert {len(host.agent.node.view) for host in hosts} == {40}  # type: ignore[attr-defined] # as above


def test_another_makers_cores_are_refused() -> None:
    with pytest.raises(TypeError, match="runs Node"):
        rapid_crowd(World(0, codec=False), 3)


# The experiments


def test_tasks_pickle_and_have_keys_of_their_own(paper: Paper) -> None:
    for budget in (QUICK, Budget(blocks=2)):
        tasks = paper.tasks(budget)
        assert pickle.loads(pickle.dumps(tasks)) == tasks  # noqa: S301 - our own
        assert len({task.key for task in tasks}) == len(tasks)


def test_a_quick_run_gives_every_row(paper: Paper) -> None:
    results = {}
    for task in paper.tasks(QUICK):
        results[task.key] = msgspec.json.decode(msgspec.json.encode(paper.work(task)))
    found = rows_of(paper.judge(QUICK, results))
    nothing = rows_of(paper.judge(QUICK, {}))
    assert set(nothing) <= set(found)
    assert all(row.ours is None and row.passed is None for row in nothing.values())


@pytest.mark.parametrize("engine", ["memberlist", "shipped"])
def test_a_fault_is_a_function_of_the_task(engine: Engine) -> None:
    task = Fault(engine, "flip-flop", 30, 40, 5)
    assert suffer(task) == suffer(task)


def test_a_crash_changes_each_healthy_view_once_for_each_that_is_lost() -> None:
    found = suffer(Fault("shipped", "crash", 200, 60, 5))
    assert found["gone_s"] is not None
    assert 1 <= found["moves"] <= 2, "two of 200 crash, and may be missed in the same second"
    assert found["wrong"] == 0


def fault_result(**changes: Any) -> dict[str, Any]:
    usual: dict[str, Any] = {
        "smallest": [995] * 900,
        "middle": [996] * 900,
        "largest": [1_000] * 900,
        "changes": 40,
        "moves": 60.0,
        "listed": 0.9,
        "gone_s": None,
        "steps": 8,
        "wrong": 0,
    }
    return {**usual, **changes}


def judged(**changes: dict[str, Any]) -> dict[str, Row]:
    """All is as published, but for `changes`: by engine and fault, what is different there."""
    results: dict[str, Any] = {}
    for task in find("grey-network").tasks(FULL):
        what = f"{task.engine}_{task.fault}".replace("-", "_").replace(" ", "_")
        if task.engine == "conflicts":
            high, low = map(int, task.fault.split())
            results[task.key] = {"rate": CONFLICTS[high, low][0] / 100, **changes.get(what, {})}
            continue
        usual: dict[str, Any] = {"gone_s": 16} if task.fault == "crash" else {}
        if task.engine == "rapid":
            usual = {"gone_s": 8, "steps": 2}
        if task.engine == "shipped":
            usual["moves"] = 10.0
        results[task.key] = fault_result(**{**usual, **changes.get(what, {})})
    return rows_of(find("grey-network").judge(FULL, results))


def test_what_was_published_passes() -> None:
    assert [row.quantity for row in judged().values() if row.passed is False] == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"memberlist_crash": {"gone_s": 40}}, "crash: seconds"),
        ({"memberlist_flip_flop": {"changes": 3}}, "changes of a view"),
        ({"memberlist_flip_flop": {"listed": 0.1}}, "share of seconds"),
        ({"memberlist_egress": {"gone_s": 30}}, "egress loss"),
        ({"memberlist_ingress": {"wrong": 1}}, "healthy members removed"),
        ({"shipped_flip_flop": {"moves": 60.0}}, "shipped core, flip-flop: view changes"),
        ({"shipped_crash": {"wrong": 1}}, "shipped core: healthy members removed"),
        ({"rapid_egress": {"steps": 3}}, "Rapid, egress"),
        ({"conflicts_6_4": {"rate": 0.2}}, "H=6 L=4"),
    ],
)
def test_what_differs_fails_by_its_own_row(changes: dict[str, dict[str, Any]], word: str) -> None:
    failed = [row.quantity for row in judged(**changes).values() if row.passed is False]
    assert len(failed) == 1
    assert word in failed[0]


def test_a_start_that_never_ends_is_not_hidden_by_the_median() -> None:
    bootstrap = find("bootstrap")
    budget = Budget(blocks=3)
    results: dict[str, Any] = {}
    for task in bootstrap.tasks(budget):
        assert isinstance(task, Start)
        seconds = None if task.n == 1_500 and task.seed == 1 else 60 + task.n // 50
        results[task.key] = {"seconds": seconds, "sizes": task.n, "curve": [[1, 1, 1]]}
    rows = rows_of(bootstrap.judge(budget, results))
    assert rows["seconds until all count 1500"].ours is None
    assert rows["seconds until all count 1000"].passed is True
    assert rows["time grows with N"].passed is None
