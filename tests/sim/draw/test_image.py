"""Which nodes have a row in the picture of beliefs, and that the truth stands in it."""

from __future__ import annotations

from typing import Any

import pytest

from sim.draw.beliefs import beliefs_of
from sim.draw.image import ENDED, MIXED, beliefs_image
from sim.draw.plots import cumulative
from sim.draw.story import Spread
from sim.draw.style import STATUS_COLOURS, styled
from tests.sim.draw.runs import belief, event, made

END_US = 10_000_000


def _axes(count: int, **tables: Any) -> Any:
    result = made(count, **tables).tables()
    with styled():
        figure = beliefs_image("title", beliefs_of(result, END_US, steps=10), result["nodes"]["name"], 10.0)
    return figure.axes[0]


def _pixel(on: Any, row: int, column: int) -> str:
    from matplotlib import colors

    return str(colors.to_hex(on.images[0].get_array()[row, column]))


def test_names_with_dollars_are_no_tex() -> None:
    """Between two of them matplotlib reads mathematics, and what is none ends the drawing."""
    bad, typeset = r"price $\frac{1$ x", "from $5 to $7"
    result = made(2, nodes=[{"number": n, "name": typeset, "lives": 1} for n in range(2)]).tables()
    with styled():
        first = beliefs_image(bad, beliefs_of(result, END_US, steps=10), result["nodes"]["name"], 10.0)
        second = cumulative(bad, "the failure", {typeset: Spread([1.0], 1.0, 1)})
    shown = [
        first.axes[0]._left_title,
        *first.axes[0].get_yticklabels(),
        second.axes[0]._left_title,
        *second.legends[0].get_texts(),
    ]
    drawn = [text._preprocess_math(text.get_text()) for text in shown]
    assert [words for words, _ in drawn[:4]] == [bad, typeset, typeset, bad]
    assert drawn[4][0].startswith(f"{typeset}: first 1 s")
    assert not any(is_tex for _, is_tex in drawn)


def test_few_nodes_all_have_a_row() -> None:
    on = _axes(5)
    assert on.images[0].get_array().shape == (5, 10, 3)
    assert [label.get_text() for label in on.get_yticklabels()] == ["n0", "n1", "n2", "n3", "n4"]
    assert on.get_ylabel() == "node"


def test_of_many_nodes_those_are_shown_to_which_something_happened() -> None:
    on = _axes(100, beliefs=[belief(5, 0, 70, "suspect"), belief(6, 0, 80, "dead")])
    assert [label.get_text() for label in on.get_yticklabels()] == ["n70", "n80"]
    assert on.get_ylabel() == "node (nobody suspects\nthe other 98)"


@pytest.mark.parametrize("suspects", [0, 60])
def test_if_nothing_or_much_happened_all_are_shown(suspects: int) -> None:
    on = _axes(100, beliefs=[belief(5, 0, 1 + subject, "suspect") for subject in range(suspects)])
    assert on.images[0].get_array().shape == (100, 10, 3)


def test_colours_are_those_of_what_is_held_and_mixed_where_observers_differ() -> None:
    rows = [belief(2, 0, 2, "suspect"), belief(2, 1, 2, "suspect"), belief(5, 0, 2, "dead")]
    on = _axes(3, beliefs=[*rows, belief(8, 1, 2, "dead")])
    assert [_pixel(on, 2, column) for column in (0, 2, 9)] == list(STATUS_COLOURS[:3])
    assert _pixel(on, 2, 5) not in STATUS_COLOURS
    assert _pixel(on, 0, 9) == STATUS_COLOURS[0]


def test_no_mixture_looks_like_another_colour_and_the_picture_says_that_there_are_mixtures() -> None:
    from itertools import product

    from matplotlib import colors

    alive, suspect, dead, left = (colors.to_rgb(colour) for colour in STATUS_COLOURS)
    tenths = [each for each in product(range(11), repeat=3) if sum(each) == 10]
    for parts in tenths:
        mixed = [
            sum(n * c for n, c in zip(parts, three, strict=True)) / 10
            for three in zip(alive, suspect, dead, strict=True)
        ]
        assert sum((a - b) ** 2 for a, b in zip(mixed, left, strict=True)) ** 0.5 > 0.3, parts
    figure = _axes(3).figure
    (legend,) = figure.legends
    assert legend.get_title().get_text() == MIXED


@pytest.mark.parametrize("count", [5, 200])
def test_a_line_or_an_edge_shows_where_an_agent_ended(count: int) -> None:
    on = _axes(count, events=[event(4, 2, "ended")], beliefs=[belief(5, n, 2, "dead") for n in (0, 1, 3)])
    (lines,) = on.collections
    (segment,) = lines.get_segments()
    assert segment[0][0] == 4.0
    from matplotlib import colors

    assert colors.to_hex(lines.get_color()[0]) == ENDED
