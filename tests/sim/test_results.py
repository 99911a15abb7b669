"""What is recorded of a run: true, documented, bounded, and the same when it comes back from disk."""

from __future__ import annotations

import json
import re
import resource
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from sim import Result, Scenario, run
from sim.cli.summary import describe
from sim.draw import curves_of
from sim.errors import MissingExtraError, ScenarioError
from sim.results import store
from sim.results.columns import LIMITS, TABLES
from sim.results.percentiles import median, percentile, spread
from sim.results.table import Table
from sim.runner import Progress, sample_us
from sim.scenario.director import Director

COLUMNS = (resources.files("sim.results") / "COLUMNS.md").read_text("utf-8")
SCENARIO = """
name = "busy"
nodes = 12
duration = "40s"
seeds = 3
[network]
loss = "2%"
[[group]]
name = "rack"
count = 2
[[service]]
name = "web"
[[action]]
at = "8s"
do = "register"
name = "api"
nodes = "n11"
[[action]]
at = "9s"
do = "deregister"
key = "api"
nodes = "n11"
[[action]]
at = "10s"
do = "event"
name = "deploy"
nodes = "n11"
[[action]]
at = "12s"
do = "crash"
nodes = "rack"
[[action]]
at = "30s"
do = "join"
count = 1
[[action]]
at = "32s"
do = "leave"
nodes = "n10"
"""


def busy(text: str = SCENARIO, **options: Any) -> Result:
    return run(Scenario.parse(text), 3, codec=False, **options)


@pytest.fixture(scope="module")
def result() -> Result:
    return busy()


def rows(result: Result, table: str, **which: Any) -> list[dict[str, Any]]:
    return [
        row for row in result.table(table).rows() if all(row[key] == value for key, value in which.items())
    ]


def test_a_run_is_a_function_of_scenario_and_seed(result: Result) -> None:
    again, other = busy(), run(Scenario.parse(SCENARIO), 4, codec=False)
    assert again.tables() == result.tables()
    timing = {"wall_s", "cpu_s", "node_seconds_per_s"}
    for field in result.summary.keys() - timing:
        assert again.summary[field] == result.summary[field], field
    assert other.summary["log_hash"] != result.summary["log_hash"]


def test_watching_changes_nothing(result: Result) -> None:
    """Samples far apart, or close together: the same world."""
    assert busy(samples_every_us=7_000_000).summary["log_hash"] == result.summary["log_hash"]


def test_the_summary_has_the_promised_fields(result: Result) -> None:
    summary = result.summary
    promised = (
        "seed, nodes, virtual_s, wall_s, node_seconds_per_s, log_hash, converged, detection, "
        "dissemination_s, false_deaths, messages_per_node_s, bytes_per_node_s"
    )
    assert set(promised.split(", ")) <= summary.keys()
    assert {"first_s", "full_s"} <= summary["detection"].keys()
    assert set(summary["dissemination_s"]) == {"p50", "p99", "max"}
    assert json.loads(result.to_json()) == json.loads(json.dumps(summary))


def test_a_crash_is_followed_from_the_first_to_the_last_who_notices(result: Result) -> None:
    found = rows(result, "detections")
    assert [(row["subject"], row["at_us"], row["outcome"]) for row in found] == [
        (0, 12_000_000, "all"),
        (1, 12_000_000, "all"),
    ]
    deaths = rows(result, "events", kind="member_failed", subject=0)
    times = [row["at_us"] for row in deaths if row["host"] != 10]
    assert (found[0]["first_us"], found[0]["full_us"]) == (min(times), max(times))
    assert found[0]["noticed"] == found[0]["observers"] == 9, (
        "n10 has left; the other crashed; n12 came later"
    )
    assert {row["verdict"] for row in rows(result, "verdicts", kind="death")} == {"gone"}
    assert result.summary["deaths"]["gone"] == len(rows(result, "verdicts", kind="death"))
    firsts = sorted(row["first_us"] - row["at_us"] for row in found)
    assert result.summary["detection"]["first_s"] == pytest.approx(sum(firsts) / 2e6)


def test_facts_are_followed_to_every_observer(result: Result) -> None:
    facts = {(row["kind"], row["owner"]): row for row in rows(result, "facts")}
    assert set(facts) == {
        ("registered", 11),
        ("deregistered", 11),
        ("event", 11),
        ("joined", 12),
        ("left", 10),
    }
    for row in facts.values():
        assert row["observers"] == row["heard"]
        heard = rows(result, "rumours", fact=row["fact"])
        assert len(heard) == row["heard"] == len({one["observer"] for one in heard})
        assert max(one["at_us"] for one in heard) == row["last_us"]
        assert all(one["exact"] for one in heard)
    registered = facts["registered", 11]
    told = rows(result, "events", kind="service_registered", subject=11, key="api")
    assert {row["host"]: row["at_us"] for row in told if row["host"] != 11} == {
        row["observer"]: row["at_us"] for row in rows(result, "rumours", fact=registered["fact"])
    }
    delays = [
        row["at_us"] - facts[kind, owner]["at_us"]
        for kind, owner in (("registered", 11), ("deregistered", 11), ("left", 10))
        for row in rows(result, "rumours", fact=facts[kind, owner]["fact"])
    ]
    assert result.summary["dissemination_s"] == spread(delays)
    assert result.summary["events_s"]["max"] > 0
    assert result.summary["joins_s"]["max"] > 0


def test_what_makes_no_event_is_found_by_looking() -> None:
    """n5 is cut off while a service comes and goes: it never tells of the service, only lacks it."""
    text = """
    nodes = 6
    duration = "40s"
    start = "converged"
    [[action]]
    at = "1s"
    do = "partition"
    sides = ["n5"]
    for = "3s"
    [[action]]
    at = "2s"
    do = "register"
    name = "api"
    nodes = "n1"
    [[action]]
    at = "3s"
    do = "deregister"
    key = "api"
    nodes = "n1"
    """
    result = busy(text)
    assert rows(result, "events", host=5, kind="service_registered") == []
    found = rows(result, "rumours", observer=5)
    assert [(row["fact"], row["exact"]) for row in found] == [(0, False), (1, False)]
    assert found[0]["at_us"] >= 4_000_000, "looked for when it is two seconds old"
    assert result.summary["facts"]["unheard"] == 0
    spans = [row["last_us"] - row["at_us"] for row in rows(result, "facts")]
    assert result.summary["facts"]["everywhere_median_s"] == sum(spans) / 2e6, "of two, their mean"


def test_what_was_never_heard_is_not_hidden() -> None:
    text = """
    nodes = 4
    duration = "30s"
    start = "converged"
    [[action]]
    at = "1s"
    do = "deaf"
    nodes = "n3"
    [[action]]
    at = "2s"
    do = "register"
    name = "api"
    nodes = "n1"
    [[action]]
    at = "29.9s"
    do = "register"
    name = "late"
    nodes = "n2"
    """
    result = busy(text)
    summary = result.summary
    assert summary["facts"]["unheard"] == 1
    assert summary["dissemination_s"]["p50"] is not None
    assert summary["dissemination_s"]["p99"] is None
    assert summary["dissemination_s"]["max"] is None
    assert [row["young"] for row in rows(result, "facts")] == [False, True]
    assert summary["facts"]["judged"] == 1
    assert not summary["converged"]


def test_what_dies_with_its_owner_is_lost_and_not_late() -> None:
    text = """
    nodes = 5
    duration = "20s"
    start = "converged"
    [[action]]
    at = "1s"
    do = "mute"
    nodes = "n3"
    [[action]]
    at = "1.1s"
    do = "register"
    name = "api"
    nodes = "n3"
    [[action]]
    at = "1.2s"
    do = "crash"
    nodes = "n3"
    """
    facts = busy(text).summary["facts"]
    assert (facts["published"], facts["lost"], facts["judged"], facts["unheard"]) == (1, 1, 0, 0)


def test_percentiles_count_what_is_missing_as_infinite() -> None:
    values = list(range(1, 101))
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert [percentile(values, share, 100) for share in (0.5, 0.51)] == [100, None]
    assert percentile([], 0.5) is None
    assert [median(values) for values in ([], [3], [4, 1], [1, 2, 9])] == [None, 3, 2.5, 2]
    assert [median([1, 2, 3], missing) for missing in (1, 2, 3)] == [2.5, 3, None]


@pytest.mark.parametrize(
    ("action", "verdict"),
    [
        ('do = "pause"\nnodes = "n3"', "stopped"),
        ('do = "mute"\nnodes = "n3"', "cut"),
        ('do = "partition"\nsides = ["n3"]', "cut"),
        ('do = "loss"\nnodes = "n3"\nincoming = 1\noutgoing = 1', "false"),
        ('do = "crash"\nnodes = "n3"', "gone"),
    ],
)
def test_deaths_are_judged_by_what_was_the_case(action: str, verdict: str) -> None:
    text = f'nodes = 8\nduration = "40s"\nstart = "converged"\n[[action]]\nat = "1s"\n{action}\n'
    result = busy(text)
    deaths = rows(result, "verdicts", kind="death", subject=3)
    assert {row["verdict"] for row in deaths} == {verdict}
    assert len(deaths) == 7
    assert result.summary["false_deaths"] == sum(
        row["verdict"] == "false" for row in rows(result, "verdicts", kind="death")
    )
    assert result.summary["deaths"][verdict] >= 7


def test_a_death_soon_after_a_fault_is_told_apart() -> None:
    """n3 runs again just before the others' suspicions end, and they have not heard of it yet."""
    text = """
    nodes = 8
    duration = "20s"
    start = "converged"
    [[action]]
    at = "1s"
    do = "pause"
    nodes = "n3"
    [[action]]
    at = "1s"
    do = "loss"
    nodes = "n3"
    incoming = 1
    outgoing = 1
    [[action]]
    at = "4s"
    do = "resume"
    """
    deaths = rows(busy(text), "verdicts", kind="death", subject=3)
    assert {row["verdict"] for row in deaths} == {"aftermath"}


def test_a_node_that_returns_before_it_was_missed_counts_in_no_median() -> None:
    text = """
    nodes = 6
    duration = "20s"
    start = "converged"
    [[action]]
    at = "2s"
    do = "restart"
    nodes = "n3"
    stop = "crash"
    down = "100ms"
    """
    result = busy(text)
    assert [row["outcome"] for row in rows(result, "detections")] == ["returned"]
    assert result.summary["detection"]["returned"] == 1
    assert result.summary["detection"]["first_s"] is None


CRASHES = """
nodes = 8
duration = "40s"
start = "converged"
[[action]]
at = "2s"
do = "crash"
nodes = ["n1", "n2", "n3"]
[[action]]
at = "20s"
do = "deaf"
nodes = "n7"
[[action]]
at = "{last}"
do = "crash"
nodes = "n4"
"""


def test_a_crash_just_before_the_end_is_not_judged() -> None:
    """Of four crashes the last comes a second before the end: it costs the others nothing."""
    text = CRASHES.format(last="39s")
    result = busy(text)
    detection = result.summary["detection"]
    assert (detection["failed"], detection["judged"], detection["noticed_by_all"]) == (4, 3, 3)
    assert 0 < detection["first_s"] <= detection["full_s"] <= detection["full_max_s"] < 15
    assert [row["outcome"] for row in rows(result, "detections")] == ["all", "all", "all", "young"]
    (line,) = [line for line in describe(result.summary).splitlines() if line.startswith("failures")]
    assert line.split("  ")[-1].startswith("4 (1 not judged); first noticed after ")
    assert "never" not in line
    curve = curves_of(result).detection
    assert curve is not None
    assert curve.share == 1.0, "the last one has no part in the picture"


def test_a_crash_that_one_never_noticed_is_the_worst_and_hides_no_median() -> None:
    """n7 hears nothing any more when n4 dies, and buries nobody by itself."""
    result = busy(CRASHES.format(last="21s"))
    detection = result.summary["detection"]
    assert (detection["judged"], detection["noticed_by_all"]) == (4, 3)
    assert 0 < detection["first_s"] <= detection["first_max_s"]
    assert 0 < detection["full_s"] < 15
    assert detection["full_max_s"] is None
    (line,) = [line for line in describe(result.summary).splitlines() if line.startswith("failures")]
    assert "4; 3 of 4 noticed by all; first noticed after" in line
    assert line.endswith("(worst never)")


def test_beliefs_are_the_events_that_change_one(result: Result) -> None:
    beliefs = rows(result, "beliefs", subject=0, observer=5)
    assert [row["status"] for row in beliefs] == ["alive", "suspect", "dead"]
    assert rows(result, "beliefs", subject=10, observer=5)[-1]["status"] == "left"


def test_loads_and_meters_add_up(result: Result) -> None:
    tables, summary = result.tables(), result.summary
    assert sum(tables["load"]["messages"]) == sum(tables["kinds"]["messages"]) == summary["messages"]
    assert sum(tables["load"]["bytes"]) == sum(tables["nodes"]["sent_bytes"]) == summary["bytes"]
    assert sum(tables["load"]["dropped"]) == sum(summary["dropped"].values())
    assert tables["load"]["at_us"] == [second * 1_000_000 for second in range(40)]
    node_s = sum(tables["nodes"]["running_us"]) / 1e6
    assert node_s == pytest.approx(9 * 40 + 2 * 12 + 10 + 32, abs=0.5)
    assert summary["messages_per_node_s"] == pytest.approx(summary["messages"] / node_s, abs=0.001)


def test_samples_show_the_way_to_one_view(result: Result) -> None:
    samples = result.tables()["samples"]
    assert samples["at_us"] == [tenth * 100_000 for tenth in range(401)]
    assert (samples["running"][0], samples["running"][-1]) == (12, 10)
    at = round(result.summary["one_view_s"] * 10) + 1
    assert (
        samples["converged_share"][0]
        < 1.0
        == samples["converged_share"][at]
        == samples["converged_share"][-1]
    )
    assert (samples["views"][at], samples["alive_min"][at], samples["alive_max"][at]) == (1, 11, 11)
    assert samples["suspects"][130:] != [0] * 271
    assert samples["messages"] == sorted(samples["messages"])
    assert samples["messages"][-1] == result.summary["messages"]


def test_a_suspect_that_is_gone_is_no_view_of_just_the_living() -> None:
    """While all still hold the dead node for suspect, they agree, but not on who is there."""
    text = 'nodes = 8\nduration = "30s"\nstart = "converged"\n[[action]]\nat = "1s"\ndo = "crash"\n'
    summary = busy(text).summary
    assert summary["one_view_again_s"] == pytest.approx(summary["detection"]["full_s"], abs=0.011)
    assert summary["one_view_s"] == 0.0


def test_nodes_that_start_one_after_another_hold_one_view_after_the_last() -> None:
    """The first alone is no view of all; that the others know the last is counted from its start."""
    text = 'nodes = 4\nduration = "20s"\nstart = "over 8s"\n'
    result = busy(text)
    summary = result.summary
    assert [row["at_us"] for row in rows(result, "events", kind="started")] == [0, 2e6, 4e6, 6e6]
    assert summary["last_change_s"] == 6.0
    assert 6.0 < summary["one_view_s"] == 6.0 + summary["one_view_again_s"] < 10
    assert rows(result, "facts") == [], "the joining of those of the beginning is no news"
    together = busy('nodes = 4\nduration = "5s"\n').summary
    assert together["last_change_s"] is None
    assert together["one_view_s"] > 0


def test_nodes_at_the_end(result: Result) -> None:
    nodes = {row["name"]: row for row in rows(result, "nodes")}
    assert (nodes["n0"]["state"], nodes["n0"]["group"], nodes["n0"]["alive"]) == ("down", "rack", None)
    assert (nodes["n5"]["state"], nodes["n5"]["alive"], nodes["n5"]["dead"], nodes["n5"]["left"]) == (
        "running",
        9,
        2,
        1,
    )
    assert len(nodes) == result.summary["nodes_in_all"] == 13
    assert len({row["fingerprint"] for row in nodes.values() if row["state"] == "running"}) == 1


def test_events_are_a_sequence(result: Result) -> None:
    events = result.events
    assert len(events) == len(rows(result, "events"))
    assert events[-1] == list(events)[-1]
    assert events[3:5] == list(events)[3:5]
    assert [event.host for event in events if event.kind == "crash"] == [0, 1]
    with pytest.raises(IndexError):
        events[len(events)]


def test_results_come_back_from_disk(result: Result, tmp_path: Path) -> None:
    written = result.save(tmp_path / "new" / "place")
    assert {file.name for file in written} == {file.name for file in (tmp_path / "new" / "place").iterdir()}
    again = Result.load(tmp_path / "new" / "place")
    assert again.tables() == result.tables()
    assert again.summary == json.loads(result.to_json())
    assert Scenario.parse(again.scenario).document == Scenario.parse(SCENARIO).document
    lines = (tmp_path / "new" / "place" / "events.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows(result, "events")


def test_what_was_kept_of_measured_delays_is_run_again(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (tmp_path / "far.txt").write_text("20\n31.5\n")
    (here / "near.txt").write_text("0.3ms\n900us\n")
    zones = 'names = ["a", "b"]\nlatency = [["file near.txt", "file ../far.txt"], ["1ms", "file near.txt"]]'
    action = '[[action]]\nat = "1s"\ndo = "network"\nlatency = "file ../far.txt"\n'
    (here / "mine.toml").write_text(f'name = "m"\nnodes = 4\nduration = "2s"\n[zones]\n{zones}\n{action}')
    first = run(Scenario.load(here / "mine.toml"), seed=3)
    (tmp_path / "far.txt").unlink()
    first.save(there)
    assert sorted(path.name for path in there.glob("delays*")) == ["delays-1.txt", "delays-2.txt"]
    again = run(Scenario.load(there / "scenario.toml"), seed=3)
    assert again.summary["log_hash"] == first.summary["log_hash"]
    assert again.scenario == first.scenario == Result.load(there).scenario
    assert Result.load(there).files == first.files


def test_frames_have_the_documented_columns_and_types(result: Result) -> None:
    polars = pytest.importorskip("polars")
    types = {
        "int": polars.Int64,
        "small": polars.Int32,
        "word": polars.String,
        "flag": polars.Boolean,
        "float": polars.Float64,
    }
    frames = result.frames()
    assert list(frames) == list(TABLES)
    for name, frame in frames.items():
        assert dict(frame.schema) == {column: types[kind] for column, kind in TABLES[name].items()}
        assert frame.to_dict(as_series=False) == result.tables()[name]


def test_without_polars_tables_are_kept_as_json(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "find_spec", lambda _name: None)
    result.save(tmp_path)
    assert not list(tmp_path.glob("*.parquet"))
    assert Result.load(tmp_path).tables() == result.tables()
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'gossip-agent\[sim\]'"):
        result.frames()


def test_a_full_disk_leaves_whole_files_only(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_write_parquet", full)
    with pytest.raises(OSError, match="No space"):
        result.save(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"summary.json", "scenario.toml", "events.jsonl"}


def test_what_does_not_fit_keeps_nothing_smaller_away(result: Result, tmp_path: Path) -> None:
    """A limit on the length of files stands for the disk: the events are the longest by far."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*/events\.jsonl'"):
            result.save(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert Result.load(tmp_path).tables() == result.tables()
    assert "events.jsonl" not in {file.name for file in tmp_path.iterdir()}


def test_what_are_no_results_is_said(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="results are what"):
        Result.load(tmp_path)
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(ScenarioError, match=r"summary\.json"):
        Result.load(tmp_path)
    with pytest.raises(ValueError, match="no column 'at_us'"):
        Table.of("load", TABLES["load"], {})
    with pytest.raises(ValueError, match="not equally long"):
        Table.of("x", {"a": "int", "b": "word"}, {"a": [1], "b": []})


def test_tables_are_bounded_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"events": 50, "samples": 5, "rumours": 3, "facts": 2, "detections": 1, "verdicts": 4}
    monkeypatch.setattr("sim.results.recorder.LIMITS", {**LIMITS, **limits})
    result = busy()
    assert {name: len(result.table(name)) for name in limits} == limits
    assert set(result.summary["truncated"]) == set(limits)
    assert result.summary["truncated"]["facts"] == 3
    assert result.summary["truncated"]["detections"] == 1


def test_an_interrupted_run_keeps_what_it_has(result: Result) -> None:
    seen: list[Progress] = []

    def report(progress: Progress) -> None:
        seen.append(progress)
        if progress.virtual_us >= 15_000_000:
            raise KeyboardInterrupt

    part = busy(progress=report)
    assert part.summary["interrupted"] is True
    assert part.summary["virtual_s"] == 15.0
    assert len(part.table("detections")) == 2
    assert part.events[:100] == result.events[:100]
    assert seen[0].virtual_us == 0
    assert [progress.virtual_us for progress in seen[1:]] == [tenth * 100_000 for tenth in range(1, 151)]
    assert seen[-1].converged_share == 1.0 or seen[-1].running == 10


def test_an_interrupt_before_the_beginning_is_a_result_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_director: Director) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Director, "_is_at_rest", interrupt)
    result = run(Scenario.parse('nodes = 3\nstart = "converged"\n'), 1)
    assert result.summary["interrupted"] is True
    assert result.summary["virtual_s"] == 0.0
    assert len(result.events) == 0


def test_a_seed_is_a_whole_number_of_whatever_type() -> None:
    numpy = pytest.importorskip("numpy")
    scenario = Scenario.of({"nodes": 2, "duration": "0.1s"})
    result = run(scenario, numpy.int64(7))
    assert result.summary["log_hash"] == run(scenario, 7).summary["log_hash"]
    assert json.loads(result.to_json())["seed"] == 7
    for wrong in (7.0, "7", None):
        with pytest.raises(TypeError, match=f"seed {wrong!r}: write a whole number"):
            run(scenario, wrong)  # type: ignore[arg-type]
    for wrong in (1 << 63, -(1 << 63) - 1):
        with pytest.raises(ScenarioError, match=rf"seed {wrong}: from -2\^63"):
            run(scenario, wrong)


def test_what_is_no_scenario_or_no_time_between_samples_is_said() -> None:
    with pytest.raises(TypeError, match=r"'s2\.toml' is no Scenario: Scenario\.load"):
        run("s2.toml")  # type: ignore[arg-type]
    for wrong in (0, -1):
        with pytest.raises(ScenarioError, match=f"samples_every_us is {wrong}: write 1 or more"):
            run(Scenario.of({"nodes": 2, "duration": "0.1s"}), samples_every_us=wrong)


def test_large_clusters_are_sampled_less_often() -> None:
    assert [sample_us(nodes) for nodes in (3, 100, 1_000)] == [100_000, 100_000, 1_000_000]


def described(title: str) -> set[str]:
    section = re.split(r"\n##+ ", COLUMNS.split(f"# {title}\n", 1)[1], maxsplit=1)[0]
    names = set()
    for line in section.splitlines():
        if line.startswith("| `"):
            names |= set(re.findall(r"`(\w+)`", line.split("|")[1]))
    return names


def test_every_column_is_described() -> None:
    assert re.findall(r"^### (\w+)$", COLUMNS, re.MULTILINE) == list(TABLES)
    for name, columns in TABLES.items():
        assert described(name) == set(columns), name


def test_every_field_of_the_summary_is_described(result: Result) -> None:
    assert described("Summary") == set(result.summary)
