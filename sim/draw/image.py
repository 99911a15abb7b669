"""Space and time in one picture: a row a node, a column a moment, the colour what the others hold it for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.draw.beliefs import STATUSES, Beliefs, raster
from sim.draw.plots import time_axis
from sim.draw.style import STATUS_COLOURS, UNKNOWN, as_text, axes
from sim.extras import need

__all__ = ["beliefs_image"]

ROWS = 60
"""Of more nodes than these only those are shown to which something happened; of fewer, all."""
NAMED = 40
"""Rows that have the names of their nodes."""
NAME_LENGTH = 14
UNKNOWN_MAX = 0.5
"""To a node that nobody suspects, and that so many of the others know all the time, nothing happens."""
ENDED = "#d55e00"
MIXED = "Where the others differ, the colours are mixed by how many hold each."


def beliefs_image(title: str, beliefs: Beliefs, names: Sequence[str], end_s: float) -> Any:
    """Draw it; where observers differ, their colours are mixed as many hold each."""
    numpy = need("numpy")
    shares = _shares(beliefs, numpy)
    shown = _shown(shares, numpy)
    figure, (only,) = axes(1, min(5.2, max(2.6, 1.7 + 0.09 * len(shown))))
    only.set_title(as_text(title))
    only.grid(visible=False)
    colors = need("matplotlib.colors")
    palette = numpy.array([colors.to_rgb(colour) for colour in (*STATUS_COLOURS, UNKNOWN)])
    span_s = beliefs.steps * beliefs.step_us / 1e6
    only.imshow(
        (shares[shown] @ palette).clip(0, 1),
        aspect="auto",
        extent=(0, span_s, len(shown) - 0.5, -0.5),
        interpolation="nearest",
    )
    _draw_ends(only, [beliefs.lives[node] for node in shown], end_s)
    _name_rows(only, [names[node] for node in shown], len(names))
    time_axis(only, end_s)
    figure.legend(
        handles=_signs(),
        title=MIXED,
        title_fontsize=9,
        loc="outside lower center",
        ncols=6,
        handlelength=1.3,
        columnspacing=1.4,
    )
    return figure


def _shares(beliefs: Beliefs, numpy: Any) -> Any:
    """`(nodes, steps, 5)` float64: shares of the others that hold each status, or do not know the node."""
    counts, others = raster(beliefs, numpy)
    held = numpy.concatenate([counts, (others - counts.sum(axis=2))[..., None]], axis=2)
    shares = held / numpy.maximum(others, 1)[..., None]
    # Nobody is there to hold anything: as if it were unknown.
    shares[..., -1] += others == 0
    return shares


def _shown(shares: Any, numpy: Any) -> list[int]:
    """The nodes that have a row."""
    nodes = len(shares)
    if nodes <= ROWS:
        return list(range(nodes))
    suspected = shares[..., 1:-1].sum(axis=2).max(axis=1, initial=0.0) > 0
    missed = shares[..., -1].max(axis=1, initial=0.0) > UNKNOWN_MAX
    eventful = numpy.flatnonzero(suspected | missed).tolist()
    return eventful if 0 < len(eventful) <= nodes // 2 else list(range(nodes))


def _draw_ends(only: Any, lives: Sequence[Sequence[tuple[int, int]]], end_s: float) -> None:
    """The truth: a line through the row while no agent runs any more; in thin rows an edge where it ended."""
    gaps = []
    for row, each in enumerate(lives):
        edges = [*(edge / 1e6 for life in each for edge in life), end_s]
        gaps += [
            (row, begin, end)
            for begin, end in zip(edges[1::2], edges[2::2], strict=bool(each))
            if end > begin
        ]
    rows = [row for row, _, _ in gaps]
    begins = [begin for _, begin, _ in gaps]
    if len(lives) <= ROWS:
        only.hlines(rows, begins, [end for _, _, end in gaps], colors=ENDED, linewidth=1.2)
    else:
        only.vlines(
            begins, [row - 0.5 for row in rows], [row + 0.5 for row in rows], colors=ENDED, linewidth=1.2
        )


def _name_rows(only: Any, names: Sequence[str], nodes: int) -> None:
    if len(names) <= NAMED:
        short = [name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…" for name in names]
        only.set_yticks(range(len(names)), [as_text(name) for name in short], fontsize=7)
    rest = nodes - len(names)
    only.set_ylabel(f"node (nobody suspects\nthe other {rest})" if rest else "node")


def _signs() -> list[Any]:
    patches, lines = need("matplotlib.patches"), need("matplotlib.lines")
    signs = [
        patches.Patch(facecolor=colour, edgecolor="#aab2bd", linewidth=0.6, label=label)
        for label, colour in zip((*STATUSES, "not known"), (*STATUS_COLOURS, UNKNOWN), strict=True)
    ]
    return [*signs, lines.Line2D([], [], color=ENDED, linewidth=2, label="has ended")]
