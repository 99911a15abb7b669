"""All pictures of one run, into a directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sim.draw import plots
from sim.draw.beliefs import Beliefs, beliefs_of
from sim.draw.deeds import deeds_of
from sim.draw.image import beliefs_image
from sim.draw.page import write_page
from sim.draw.story import SECOND, Outcome, curves_of
from sim.draw.style import save, styled

__all__ = ["draw_all", "heading"]

NAME_LENGTH = 32


def draw_all(result: Outcome, directory: Path | str) -> list[Path]:
    """Draw what there is to be seen of a run: `replay.html`, and plots as PNG and SVG; the files written.

    `convergence`, `load` and `beliefs` always; `detection` if nodes failed; `dissemination` if something was
    told. The directory is made. A file is there whole or not at all.

    Raises:
        MissingExtraError: without matplotlib and numpy, after the page was written, which needs neither.
        OSError: if a file cannot be written.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    tables = result.tables()
    end_us = round(result.summary["virtual_s"] * SECOND)
    beliefs = beliefs_of(tables, max(1, end_us))
    written = [write_page(result, directory / "replay.html", tables, beliefs)]
    with styled():
        for name, figure in _figures(result, tables, beliefs):
            written += save(figure, directory, name)
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
