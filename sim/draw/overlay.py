"""Several settings in the same axes: each a colour, its runs thin lines, their mean or pool a bold one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.draw.plots import cumulative
from sim.draw.story import Curves, Series, Spread
from sim.draw.style import LOOKS, as_text, axes, save, styled

__all__ = ["mean", "overlay", "pooled"]

GRID = 400
"""Moments at which a mean is taken."""
THIN = 30
"""Runs whose own lines are drawn."""
LEGEND = 60
"""Characters of a setting's name in a legend."""


def overlay(sides: Mapping[str, Sequence[Curves]], directory: Path) -> list[Path]:
    """Draw what is to be seen of several settings, by name, each with one or more runs; the files written.

    Raises:
        MissingExtraError: without matplotlib.
        OSError: if a file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    with styled():
        for name, figure in _figures({_short(name): runs for name, runs in sides.items()}):
            written += save(figure, directory, name)
    return written


def mean(runs: Sequence[Series], end_s: float) -> Series:
    """The mean of curves that hold each value until their next."""
    moments = [end_s * step / GRID for step in range(GRID + 1)]
    values = []
    for moment in moments:
        held = [run.y[place] for run in runs if (place := bisect_right(run.x, moment) - 1) >= 0]
        values.append(sum(held) / len(held) if held else 0.0)
    return Series(moments, values)


def pooled(runs: Sequence[Spread]) -> Spread:
    """All cases of all runs as one distribution."""
    weighted = sorted(
        (delay, run.share * run.cases / len(run.delays)) for run in runs for delay in run.delays
    )
    cases = sum(run.cases for run in runs)
    ended = sum(weight for _, weight in weighted)
    ranks = min(len(weighted), 2_000)
    delays: list[float] = []
    passed = 0.0
    for delay, weight in weighted:
        passed += weight
        # So many of the evenly spaced ranks are reached with this one.
        while len(delays) < ranks and passed >= ended * (len(delays) + 1) / ranks - 1e-9 * ended:
            delays.append(delay)
    return Spread(delays, ended / cases if cases else 0.0, cases)


def _figures(sides: Mapping[str, Sequence[Curves]]) -> Iterator[tuple[str, Any]]:
    figure, on = axes(2, 4.6)
    on[0].set_title("Convergence")
    _lines(on[0], sides, lambda run: run.agreement, 100)
    on[0].set_ylim(0, 104)
    on[0].set_ylabel("nodes with the\nright view (%)")
    _lines(on[1], sides, lambda run: run.views, 1)
    on[1].set_ylim(bottom=0)
    on[1].set_ylabel("different views")
    yield "compare-convergence", _finished(figure, on, sides)
    yield from _loads(sides)
    yield from _spreads(sides)


def _loads(sides: Mapping[str, Sequence[Curves]]) -> Iterator[tuple[str, Any]]:
    figure, on = axes(2, 4.6)
    on[0].set_title("Load")
    _lines(on[0], sides, lambda run: run.messages, 1)
    on[0].set_ylabel("messages\nper node and second")
    _lines(on[1], sides, lambda run: run.bytes, 0.001)
    on[1].set_ylabel("kB sent\nper node and second")
    for each in on:
        each.set_ylim(bottom=0)
    yield "compare-load", _finished(figure, on, sides)


def _spreads(sides: Mapping[str, Sequence[Curves]]) -> Iterator[tuple[str, Any]]:
    detections = {
        name: pooled([run.detection for run in runs if run.detection is not None])
        for name, runs in sides.items()
        if any(run.detection is not None for run in runs)
    }
    if detections:
        yield "compare-detection", cumulative("Detection of failures", "the failure", detections)
    kinds = sorted({kind for runs in sides.values() for run in runs for kind in run.dissemination})
    for kind in kinds:
        told = {
            name: pooled([run.dissemination[kind] for run in runs if kind in run.dissemination])
            for name, runs in sides.items()
            if any(kind in run.dissemination for run in runs)
        }
        file = f"compare-dissemination-{kind.replace(' ', '-')}"
        yield file, cumulative(f"Dissemination: {kind}", "a node said it", told)


def _lines(on: Any, sides: Mapping[str, Sequence[Curves]], of: Any, factor: float) -> None:
    for (name, runs), look in zip(sides.items(), LOOKS, strict=False):
        series = [of(run) for run in runs]
        for each in series[:THIN]:
            on.plot(
                each.x,
                [factor * y for y in each.y],
                color=look["color"],
                alpha=0.18,
                linewidth=0.8,
                drawstyle="steps-post",
            )
        bold = mean(series, max(run.end_s for run in runs))
        label = f"{name} (mean of {len(runs)})" if len(runs) > 1 else name
        on.plot(bold.x, [factor * y for y in bold.y], label=as_text(label), **look)


def _finished(figure: Any, on: Sequence[Any], sides: Mapping[str, Sequence[Curves]]) -> Any:
    on[-1].set_xlim(0, max(run.end_s for runs in sides.values() for run in runs) or 1.0)
    on[-1].set_xlabel("virtual time (s)")
    handles, labels = on[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=1)
    return figure


def _short(name: str) -> str:
    return name if len(name) <= LEGEND else f"{name[: LEGEND - 1]}…"
