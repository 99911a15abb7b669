"""Figures are drawn, the same each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.papers.figures import draw
from sim.papers.paper import Curve, Figure

pytest.importorskip("matplotlib")

LONG = [float(number) for number in range(1, 60)]
FIGURES = [
    Figure("lines", "x", "y", [Curve("a", [1.0, 2.0], [1.0, 3.0]), Curve("a", [1.0], [1.1], theirs=True)]),
    Figure(
        "law", "x", "y", [Curve("b", LONG, LONG), Curve("b", LONG, LONG, theirs=True)], log_x=True, log_y=True
    ),
    Figure("points", "x", "y", [Curve("c", [1.0], [2.0])], "points"),
    Figure(
        "bars", "x", "y", [Curve("d", [1.0, 4.0], [2.0, 3.0]), Curve("e", [1.0], [2.0], theirs=True)], "bars"
    ),
    Figure("nothing came of it", "x", "y", []),
]


def test_each_figure_is_written_twice(tmp_path: Path) -> None:
    files = draw(FIGURES, tmp_path, "toy")
    names = [path.name for path in files]
    assert names[:4] == ["toy.png", "toy.svg", "toy-2.png", "toy-2.svg"]
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    assert all(path.stat().st_size > 1_000 for path in files)


def test_the_legend_tells_ours_from_theirs(tmp_path: Path) -> None:
    draw(FIGURES[:1], tmp_path, "toy")
    drawing = (tmp_path / "toy.svg").read_text(encoding="utf-8")
    assert ">a</text>" in drawing
    assert ">a (theirs)</text>" in drawing


def test_the_same_figure_is_the_same_file(tmp_path: Path) -> None:
    contents = []
    for number in range(2):
        directory = tmp_path / str(number)
        directory.mkdir()
        contents.append([path.read_bytes() for path in draw(FIGURES, directory, "toy")])
    assert contents[0] == contents[1]
