"""`gossip-sim run`, as typed."""

from __future__ import annotations

import json

import pytest

from sim.__main__ import main
from sim.world import World


def run(*arguments: str) -> int:
    return main(["run", *arguments])


def test_a_run_ends_with_one_object_of_the_promised_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--nodes", "5", "--crash", "1@10s", "--duration", "40s", "--seed", "3", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["seed"], summary["nodes"], summary["virtual_s"]) == (3, 5, 40)
    assert summary["converged"] is True
    assert 0 < summary["detection"]["first_s"] <= summary["detection"]["full_s"] < 30
    assert summary["false_deaths"] == 0
    assert summary["messages_per_node_s"] >= 2
    assert summary["bytes_per_node_s"] > 100
    assert summary["wall_s"] > 0
    assert summary["node_seconds_per_s"] > 0
    assert len(summary["log_hash"]) == 32
    assert summary["interrupted"] is False


def test_a_run_for_people_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--nodes", "2", "--loss", "5%", "--latency", "1ms..5ms", "--duration", "5") == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split("  ")[0] for line in lines} >= {"seed", "nodes", "converged", "detection first_s"}
    assert len({len(line) - len(line[line.index("  ") :].lstrip()) for line in lines}) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "--nodes"),
        (("--nodes", "0"), "at least one node"),
        (("--nodes", "3", "--loss", "1.5"), "not from 0 to 1"),
        (("--nodes", "3", "--loss", "much"), "no share"),
        (("--nodes", "3", "--latency", "5ms..1ms"), "ends before it begins"),
        (("--nodes", "3", "--latency", "soon"), "no duration"),
        (("--nodes", "3", "--duration", "0s"), "more than nothing"),
        (("--nodes", "3", "--crash", "3@1s"), "must be left"),
        (("--nodes", "3", "--crash", "2@1s", "--crash", "1@2s"), "must be left"),
        (("--nodes", "3", "--crash", "0@1s"), "at least one node"),
        (("--nodes", "3", "--crash", "1@60s"), "after the end"),
        (("--nodes", "3", "--crash", "one"), "no crash"),
    ],
)
def test_impossible_settings_are_refused_in_words(
    arguments: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2
    assert complaint in capsys.readouterr().err


def test_an_interrupted_run_tells_what_came_of_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    converged = World.converged

    def interrupt(world: World) -> bool:
        if world.now == 2.0:
            world.clock.after(0, _raise_interrupt, None)
        return converged(world) and world.now > 2.1

    monkeypatch.setattr(World, "converged", interrupt)
    assert run("--nodes", "3", "--json") == 130
    output = capsys.readouterr()
    summary = json.loads(output.out)
    assert (summary["interrupted"], summary["virtual_s"]) == (True, 2.0)
    assert "interrupted" in output.err


def _raise_interrupt(_: None) -> None:
    raise KeyboardInterrupt
