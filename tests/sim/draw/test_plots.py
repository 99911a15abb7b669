"""Which of what was done has its name above a plot."""

from __future__ import annotations

from typing import Any

from sim.draw.deeds import Deed
from sim.draw.plots import load
from sim.draw.story import curves_of
from sim.draw.style import styled
from tests.sim.draw.runs import made

END_S = 150.0


def _names(*deeds: tuple[float, str]) -> list[tuple[float, str]]:
    """When, and what is written there."""
    run = made(3, end_s=END_S, samples=[{"at_us": 0, "running": 3, "views": 1}])
    told = [Deed(at_s, short, short) for at_s, short in deeds]
    with styled():
        figure = load("title", curves_of(run), told)
    texts: list[Any] = figure.axes[0].texts
    return [(text.xy[0], text.get_text()) for text in texts]


def test_what_comes_a_sixth_of_the_plot_later_has_a_name_of_its_own() -> None:
    """As in split-brain, where the healing is what matters."""
    deeds = [(5.0, "partition (20)"), (60.0, "register (2)"), (85.0, "end of partition")]
    assert _names(*deeds) == deeds


def test_what_is_called_alike_at_one_moment_is_named_once() -> None:
    named = _names((60.0, "register (2)"), (60.0, "register (2)"), (60.0, "crash n1"), (85.0, "heal"))
    assert named == [(60.0, "register (2)"), (60.0, "crash n1"), (85.0, "heal")]


def test_names_do_not_lie_on_each_other() -> None:
    crowd = [(60.0 + n, f"register n{n}") for n in range(10)]
    assert len(_names(*crowd)) == 2, "one on each level"
