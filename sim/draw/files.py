"""All pictures of one run, into a directory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sim.draw import plots
from sim.draw.beliefs import Beliefs, beliefs_of
from sim.draw.deeds import deeds_of
from sim.draw.image import beliefs_image
from sim.draw.page import write_page
from sim.draw.story import SECOND, Outcome, curves_of
from sim.draw.style import save, styled

__all__ = ["DrawingInterruptedError", "draw_all", "heading"]

NAME_LENGTH = 32
PAGE = "replay.html"
PICTURES = ("convergence", "load", "beliefs", "detection", "dissemination")
"""In the order in which they are drawn; the last two as far as there is something to be seen."""


class DrawingInterruptedError(KeyboardInterrupt):
    """Ctrl-C; `left` are the files that are not there."""

    def __init__(self, left: Sequence[str]) -> None:
        super().__init__()
        self.left = left


def draw_all(result: Outcome, directory: Path | str) -> list[Path]:
    """Draw what there is to be seen of a run: `replay.html`, and plots as PNG and SVG; the files written.

    `convergence` and `load` always; `beliefs` if there are nodes; `detection` if nodes failed;
    `dissemination` if something was told. The directory is made. A file is there whole or not at all.

    Raises:
        MissingExtraError: without matplotlib and numpy, after the page was written, which needs neither.
        OSError: if a file cannot be written.
        DrawingInterruptedError: on Ctrl-C.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    left = [PAGE, *PICTURES]
    try:
        tables = result.tables()
        end_us = round(result.summary["virtual_s"] * SECOND)
        beliefs = beliefs_of(tables, max(1, end_us))
        written = [write_page(result, directory / PAGE, tables, beliefs)]
        left.remove(PAGE)
        with styled():
            for name, figure in _figures(result, tables, beliefs):
                written += save(figure, directory, name)
                left.remove(name)
    except KeyboardInterrupt:
        raise DrawingInterruptedError(left) from None
    return written


def heading(summary: dict[str, Any]) -> str:
    """What a picture says it is of."""
    name = summary["scenario"]
    short = name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"
    return f"{short}, {summary['nodes_in_all']} nodes, seed {summary['seed']}"


def _figures(result: Outcome, tables: Any, beliefs: Beliefs) -> Iterator[tuple[str, Any]]:
    curves, deeds = curves_of(result, tables), deeds_of(tables)
    of = heading(result.summary)
    yield "convergence", plots.agreement(f"Convergence: {of}", curves, deeds)
    yield "load", plots.load(f"Load: {of}", curves, deeds)
    names = tables["nodes"]["name"]
    if names:
        yield "beliefs", beliefs_image(f"Held by the others: {of}", beliefs, names, curves.end_s)
    if curves.detection is not None:
        yield (
            "detection",
            plots.cumulative(f"Detection of failures: {of}", "the failure", {"": curves.detection}),
        )
    if curves.dissemination:
        yield (
            "dissemination",
            plots.cumulative(f"Dissemination: {of}", "a node said it", curves.dissemination),
        )
