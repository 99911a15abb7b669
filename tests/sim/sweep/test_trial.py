"""One run among many: its key, its seeds, its numbers."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sim.draw.story import Curves
from sim.errors import ScenarioError
from sim.farm.ledger import Ledger
from sim.scenario.scenario import Scenario
from sim.sweep import trial as module
from sim.sweep.trial import Trial, conduct, find_scenario, parse_seeds, perform, trial_of

SMALL = 'name = "small"\nnodes = 3\nduration = "2s"\n'


def _small(**changes: Any) -> Scenario:
    return Scenario.parse(SMALL).with_changes(
        {key.replace("__", "."): value for key, value in changes.items()}
    )


@pytest.mark.parametrize(
    ("said", "seeds"),
    [("0..3", [0, 1, 2, 3]), ("7", [7]), (" 7..7 ", [7]), (7, [7]), ([5, 1], [5, 1])],
)
def test_seeds_are_read(said: Any, seeds: list[int]) -> None:
    assert parse_seeds(said) == seeds


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("3..1", "last comes before the first"),
        ("a", 'like "0..9"'),
        ("-1..3", 'like "0..9"'),
        ("0..100000", "more than 100,000"),
        ([], "at least one"),
        ([1, 1], "each once"),
        ([-1], "from 0"),
        ([1 << 63], "2^63"),
        (True, 'like "0..9"'),
        ([1.5], 'like "0..9"'),
        (None, 'like "0..9"'),
    ],
)
def test_seeds_that_are_none_are_told(said: Any, problem: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_seeds(said)
    assert problem in str(caught.value)


def test_a_key_changes_with_everything_that_the_numbers_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [
        trial_of(_small(), 1).key,
        trial_of(_small(), 2).key,
        trial_of(_small(network__loss=0.1), 1).key,
        trial_of(_small(settings__period=0.5), 1).key,
        trial_of(_small(), 1, codec=False).key,
        trial_of(_small(), 1, curves=True).key,
    ]
    assert trial_of(_small(), 1).key == keys[0]
    monkeypatch.setattr(module, "__version__", "0.0.0")
    keys.append(trial_of(_small(), 1).key)
    assert len(set(keys)) == len(keys)
    assert all(key.startswith("small seed ") for key in keys)


def test_a_key_changes_with_the_delays_that_were_measured(tmp_path: Path) -> None:
    delays = tmp_path / "delays.txt"
    file = tmp_path / "small.toml"
    file.write_text(SMALL + '[network]\nlatency = "file delays.txt"\n')
    delays.write_text("1ms\n2ms\n")
    trial = trial_of(Scenario.load(file), 1)
    delays.write_text("# the same\n2ms\n1ms\n")
    assert trial_of(Scenario.load(file), 1).key == trial.key
    delays.write_text("1ms\n3ms\n")
    other = trial_of(Scenario.load(file), 1)
    assert other.key != trial.key
    assert "error" not in perform(other)
    with pytest.raises(ScenarioError, match=r"delays \(file delays\.txt\) are not what they were"):
        perform(trial)


def test_a_trial_travels() -> None:
    trial = trial_of(_small(), 1)
    assert pickle.loads(pickle.dumps(trial)) == trial  # noqa: S301 - our own bytes


def test_numbers_are_the_same_everywhere() -> None:
    """In this process and in another; what depends on the machine is not among them."""
    trials = [trial_of(_small(), seed, codec=False, curves=True) for seed in range(2)]
    here = dict(conduct(trials, None, jobs=1))
    assert here == dict(conduct(trials, None, jobs=2))
    result = here[trials[1].key]
    assert result["summary"]["seed"] == 1
    assert not module.OF_THE_MACHINE & result["summary"].keys()
    assert Curves.of(result["curves"]).end_s == 2.0
    assert msgspec.json.decode(msgspec.json.encode(result)) == result
    assert "curves" not in perform(trial_of(_small(), 1, codec=False))


def test_a_run_that_cannot_be_is_a_result_in_words() -> None:
    """All packets are lost: the nodes never come to one view, which the scenario starts from."""
    error = perform(trial_of(_small(start="converged", network__loss=1.0), 0, codec=False))["error"]
    assert "do not come to one view" in error


def test_an_interrupt_during_a_run_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_trial: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sim.scenario.director.Director.pass_to", lambda *_: interrupted(None))
    with pytest.raises(KeyboardInterrupt):
        perform(trial_of(_small(), 0, codec=False))


def test_what_a_ledger_has_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [trial_of(_small(), seed, codec=False) for seed in range(3)]
    told = []
    with Ledger(tmp_path / "runs.jsonl") as ledger:
        first = dict(conduct(trials[:2], ledger, jobs=1, told=lambda: told.append(1)))
    ran: list[str] = []

    def noted(trial: Trial) -> dict[str, Any]:
        ran.append(trial.key)
        return {"summary": {}}

    monkeypatch.setattr(module, "perform", noted)
    with Ledger(tmp_path / "runs.jsonl") as ledger:
        second = dict(conduct(trials, ledger, jobs=1, told=lambda: told.append(1)))
    assert ran == [trials[2].key]
    assert {key: second[key] for key in first} == first
    assert len(told) == 5


def test_a_scenario_is_a_file_beside_or_one_that_ships(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(SMALL)
    assert find_scenario("mine.toml", tmp_path).nodes == 3
    (tmp_path / "steady").mkdir()  # results of an earlier run, say
    assert find_scenario("steady", tmp_path).name == "steady"
    with pytest.raises(ScenarioError, match=r"other\.toml"):
        find_scenario("other.toml", tmp_path)
    with pytest.raises(ScenarioError, match="no scenario is called 'steadi'"):
        find_scenario("steadi", tmp_path)
