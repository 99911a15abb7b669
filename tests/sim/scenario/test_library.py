"""What ships runs, and shows what its description claims; large ones are cut down."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import Any

import pytest

from sim.results.result import Result
from sim.runner import run
from sim.scenario.scenario import Scenario
from sim.scenario.shipped import headlines, shipped_names, shipped_text

CUTS: dict[str, dict[str, Any]] = {
    "asymmetric-partition": {"nodes": 24, **{f"group.rack-{name}.count": 8 for name in "abc"}},
    "cold-start-1000": {"nodes": 80, "duration": "10s"},
    "flapping-link": {"nodes": 24, "group.rack-a.count": 4},
    "join-storm": {"nodes": 20, "action.0.count": 60, "duration": "20s"},
    "lossy-wan": {"nodes": 24},
    "mass-pause": {"nodes": 30},
    "rack-failure": {"nodes": 60},
    "rolling-restart": {},
    "service-churn": {"nodes": 20, "duration": "40s", "action.0.for": "15s"},
    "slow-nodes": {"nodes": 32, "group.slow.count": 4},
    "split-brain": {"nodes": 20, "action.2.nodes": ["n18", "n19"]},
    "steady": {"nodes": 32, "duration": "40s"},
}


@cache
def outcome(name: str) -> Result:
    scenario = Scenario.shipped(name)
    return run(scenario.with_changes(CUTS[name]) if CUTS[name] else scenario, seed=1, codec=False)


def numbers(name: str) -> dict[str, Any]:
    return outcome(name).summary


def test_all_that_ship_are_shown_here_and_say_what_they_are() -> None:
    assert shipped_names() == sorted(CUTS)
    for name in shipped_names():
        scenario = Scenario.shipped(name)
        assert scenario.name == name
        assert "ook at" in scenario.description, "it says what to look at"
        assert tomllib.loads(shipped_text(name)) == scenario.document
    assert all(entry["headline"].endswith(".") and len(entry["headline"]) < 80 for entry in headlines())


@pytest.mark.parametrize("name", sorted(CUTS))
def test_nobody_is_buried_wrongly_and_all_agree_in_the_end(name: str) -> None:
    summary = numbers(name)
    assert summary["false_deaths"] == 0
    assert summary["deaths"]["aftermath"] == 0
    assert summary["converged"]
    assert summary["truncated"] == {}


def test_steady_costs_little_and_suspects_nobody() -> None:
    summary = numbers("steady")
    assert sum(summary["suspicions"].values()) == 0
    assert summary["one_view_s"] < 5
    load = outcome("steady").tables()["load"]
    late = sum(load["messages"][20:]) / 20 / 32
    assert 2 <= late < 4, "a ping and an ack a second, and little else"


def test_a_storm_is_over_soon() -> None:
    summary = numbers("join-storm")
    assert summary["nodes_in_all"] == 80
    assert summary["joins_s"]["max"] < 5
    assert summary["one_view_again_s"] < 5
    assert summary["false_suspicions"] == 0


def test_nobody_misses_a_node_that_is_upgraded() -> None:
    summary = numbers("rolling-restart")
    assert sum(summary["deaths"].values()) == 0
    tables = outcome("rolling-restart").tables()
    assert tables["nodes"]["lives"] == [2] * 30
    assert "service_deregistered" not in tables["events"]["kind"]


def test_a_dark_rack_is_noticed_by_all_in_time() -> None:
    detection = numbers("rack-failure")["detection"]
    scenario = Scenario.shipped("rack-failure").with_changes(CUTS["rack-failure"])
    assert detection["failed"] == detection["noticed_by_all"] == 3
    soonest = scenario.params.suspicion_min(60)
    assert soonest <= detection["first_s"] <= detection["full_s"] <= soonest + 10


def test_the_answer_for_500_nodes_is_for_what_was_asked() -> None:
    scenario = Scenario.shipped("rack-failure")
    assert (scenario.nodes, scenario.network.loss) == (500, 0.05)
    assert scenario.group_sizes() == {"rack-a": 25}


def test_the_suspicions_that_are_told_of_last_as_long_as_the_settings_say() -> None:
    for name in ("rack-failure", "flapping-link"):
        scenario = Scenario.shipped(name)
        params, nodes = scenario.params, scenario.nodes
        said = re.search(r"([\d.]+) to ([\d.]+) s\b", scenario.description)
        assert said is not None, name
        assert [float(number) for number in said.groups()] == [
            round(params.suspicion_min(nodes), 1),
            round(params.suspicion_max(nodes), 1),
        ]
        assert f"at {nodes} nodes" in scenario.description


def test_a_link_that_flaps_buries_nobody() -> None:
    summary = numbers("flapping-link")
    assert sum(summary["deaths"].values()) == 0
    assert summary["suspicions"]["cut"] > 0, "it was tried"
    assert summary["one_view_again_s"] is not None


def test_news_goes_around_a_cut() -> None:
    summary = numbers("asymmetric-partition")
    assert sum(summary["deaths"].values()) == 0
    assert summary["dropped"]["cut"] > 0
    assert summary["dissemination_s"]["max"] < 3


def test_halves_find_each_other_again() -> None:
    summary = numbers("split-brain")
    assert summary["deaths"]["cut"] == 2 * 10 * 10, "each of ten buries all ten of the other half"
    assert summary["one_view_again_s"] < 30
    assert summary["facts"]["published"] == 4
    assert summary["facts"]["unheard"] == 0
    assert 25 <= summary["dissemination_s"]["max"] < 60, "the other half hears once it is healed"


def test_slow_nodes_bury_nobody() -> None:
    summary = numbers("slow-nodes")
    assert sum(summary["deaths"].values()) == 0
    assert summary["one_view_again_s"] < 5


def test_who_was_stopped_comes_back_without_burying_others() -> None:
    summary = numbers("mass-pause")
    assert summary["deaths"]["stopped"] > 0
    assert sum(summary["deaths"].values()) == summary["deaths"]["stopped"]
    assert summary["one_view_again_s"] < 20


def test_news_crosses_continents() -> None:
    summary = numbers("lossy-wan")
    assert 0.05 < summary["dissemination_s"]["max"] < 5
    assert summary["detection"]["noticed_by_all"] == 2
    assert summary["facts"]["unheard"] == 0


def test_churn_reaches_everybody() -> None:
    summary = numbers("service-churn")
    assert summary["facts"]["published"] > 500
    assert summary["facts"]["unheard"] == 0
    assert summary["dissemination_s"]["p99"] < 1
    assert summary["detection"]["noticed_by_all"] == 2


def test_a_cold_start_needs_seconds() -> None:
    summary = numbers("cold-start-1000")
    assert summary["one_view_s"] < 8
    assert sum(summary["deaths"].values()) == 0
    assert Scenario.shipped("cold-start-1000").nodes == 1_000
