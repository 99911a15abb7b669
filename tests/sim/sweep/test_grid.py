"""Grid files: how they are read, and how each thing that cannot be is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import ScenarioError
from sim.sweep.grid import read_grid

SCENARIO = 'nodes = 3\nduration = "2s"\n[[group]]\nname = "rack"\ncount = 1\n'


def _file(directory: Path, text: str) -> Path:
    (directory / "small.toml").write_text(SCENARIO)
    path = directory / "grid.toml"
    path.write_text(text)
    return path


def test_every_combination_is_a_cell(tmp_path: Path) -> None:
    text = """
        scenario = ["small.toml", "steady"]
        seeds = [4, 2]
        fields = ["converged"]
        [set]
        duration = "5s"
        [grid]
        network.loss = [0.0, 0.1]
        "settings.suspicion_alpha" = [3.0, 4.0, 5.0]
    """
    grid = read_grid(_file(tmp_path, text))
    assert (grid.seeds, grid.fields, len(grid.cells)) == ([4, 2], ["converged"], 12)
    cell = grid.cells[4]
    assert cell.settings == {"network.loss": 0.1, "settings.suspicion_alpha": 4.0}
    assert cell.scenario.name == "small"
    assert cell.scenario.duration_us == 5_000_000
    assert float(cell.scenario.network.loss) == 0.1
    assert cell.scenario.params.suspicion_alpha == 4.0
    assert {cell.scenario.name for cell in grid.cells} == {"small", "steady"}


def test_a_grid_may_be_of_seeds_alone(tmp_path: Path) -> None:
    grid = read_grid(_file(tmp_path, 'scenario = "small.toml"'))
    assert (len(grid.cells), grid.cells[0].settings, grid.seeds) == (1, {}, list(range(10)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("scenario = ", "no TOML"),
        ("", "scenario: write the name"),
        ("scenario = []", "scenario: write the name"),
        ("scenario = 3", "scenario: write the name"),
        ('scenario = "nope"', "no scenario is called 'nope'"),
        ('scenario = "nope.toml"', "nope.toml: No such file"),
        ('scenario = "small.toml"\ngird = 1', "no key 'gird'"),
        ('scenario = "small.toml"\nseeds = "9..0"', "last comes before"),
        ('scenario = "small.toml"\nfields = "converged"', "fields: write a list"),
        ('scenario = "small.toml"\ngrid = [1]', "write a table"),
        ('scenario = "small.toml"\nset = 1', "write a table"),
        ('scenario = "small.toml"\n[grid]\nnodes = 3', r"\[grid\] nodes: write a list"),
        ('scenario = "small.toml"\n[grid]\nnodes = []', r"\[grid\] nodes: write a list"),
        ('scenario = "small.toml"\n[grid]\nnodes = [3, 4, 3]', r"\[grid\] nodes: each value once"),
        ('scenario = "small.toml"\n[grid]\nnodes = [3, 0]', "small: .*node"),
        ('scenario = "small.toml"\n[grid]\nnetwork.lost = [0.1]', "lost"),
        ('scenario = "small.toml"\n[grid]\nnetwork.mtu = [900, 10]', "network.mtu=10: small: .*an MTU is"),
        (
            'scenario = "small.toml"\n[grid]\nsettings.period = [1.0, nan]',
            "settings.period=nan: .*period is nan",
        ),
        ('scenario = "small.toml"\n[grid]\ngroup.rock.count = [1]', "rock"),
        ('scenario = "small.toml"\n[set]\nduration = "soon"', "soon"),
        (
            'scenario = "small.toml"\nseeds = "0..9999"\n[grid]\nnodes = [3,4,5,6,7,8,9,10,11,12,13]',
            "makes 110,000 runs; 100,000 is the most",
        ),
    ],
)
def test_what_cannot_be_is_told_with_the_file(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ScenarioError, match=rf"(?s)grid\.toml: .*{problem}"):
        read_grid(_file(tmp_path, text))


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"none\.toml: No such file"):
        read_grid(tmp_path / "none.toml")
    with pytest.raises(ScenarioError, match="Is a directory"):
        read_grid(tmp_path)
    (tmp_path / "marked.toml").write_bytes(b'\xef\xbb\xbfscenario = "steady"\n')
    assert len(read_grid(tmp_path / "marked.toml").cells) == 1
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ScenarioError, match="byte 0 is not UTF-8"):
        read_grid(tmp_path / "binary.toml")
    (tmp_path / "large.toml").write_text("#" * (1 << 20) + "\n#")
    with pytest.raises(ScenarioError, match="which is no grid"):
        read_grid(tmp_path / "large.toml")
