"""An experiment's figures: ours as lines and filled points, theirs as hollow marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.extras import need
from sim.papers.paper import Curve, Figure
from sim.results.store import whole

__all__ = ["draw"]

SIZE = (8.0, 5.0)
"""Inches."""
DPI = 120
COLOURS = ("#0b6e99", "#c2410c", "#4d7c0f", "#7c3aed", "#a16207", "#be185d", "#475569", "#0f766e", "#1e3a8a")
MARKS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
MARKED = 24
"""Curves of more points have no marks; a published one of more is a dashed line."""


def draw(figures: Sequence[Figure], directory: Path, name: str) -> list[Path]:
    """Write each figure as NAME.png and NAME.svg (NAME-2, NAME-3 from the second on); the files.

    Raises:
        MissingExtraError: if matplotlib is not installed.
        OSError: if the disk does not take one, with its name: each is there whole or not at all.
    """
    matplotlib = need("matplotlib")
    need("matplotlib.figure")
    need("matplotlib.ticker")
    paths = []
    # Ids in the SVG would be random, and the same figure differ from run to run.
    settings = {"svg.hashsalt": name, "svg.fonttype": "none", "font.size": 10.0}
    with matplotlib.rc_context(settings):
        for number, figure in enumerate(figures, 1):
            canvas = _draw(matplotlib, figure)
            stem = name if number == 1 else f"{name}-{number}"
            for ending, metadata in (("png", {}), ("svg", {"Date": None})):
                path = directory / f"{stem}.{ending}"
                with whole(path) as partial:
                    canvas.savefig(partial, format=ending, dpi=DPI, metadata=metadata)
                paths.append(path)
    return paths


def _draw(matplotlib: Any, figure: Figure) -> Any:
    canvas = matplotlib.figure.Figure(figsize=SIZE, layout="constrained")
    axes = canvas.add_subplot()
    labels = list(dict.fromkeys(curve.label for curve in figure.curves))
    for position, curve in enumerate(figure.curves):
        place = labels.index(curve.label)
        if figure.kind == "bars":
            _bars(axes, curve, position, len(figure.curves), COLOURS[place % len(COLOURS)])
        else:
            _plot(axes, curve, figure.kind, COLOURS[place % len(COLOURS)], MARKS[place % len(MARKS)])
    if figure.log_x:
        axes.set_xscale("log")
        _number(matplotlib, axes.xaxis)
    if figure.log_y:
        axes.set_yscale("log")
        _number(matplotlib, axes.yaxis)
    axes.set_title(figure.title)
    axes.set_xlabel(figure.x_label)
    axes.set_ylabel(figure.y_label)
    axes.grid(visible=True, color="#d4d4d8", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if figure.curves:
        axes.legend(frameon=False, fontsize="small")
    return canvas


def _number(matplotlib: Any, axis: Any) -> None:
    """Ticks at 1, 2 and 5 of each power of ten, as people write them."""
    axis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axis.set_minor_formatter(matplotlib.ticker.NullFormatter())


def _plot(axes: Any, curve: Curve, kind: str, colour: str, mark: str) -> None:
    many = len(curve.x) > MARKED
    style: dict[str, Any] = {"color": colour, "label": _label(curve)}
    if curve.theirs and many:
        style |= {"linestyle": "--", "linewidth": 1.2}
    elif curve.theirs:
        style |= {
            "linestyle": "none",
            "marker": mark,
            "markerfacecolor": "none",
            "markersize": 8,
            "zorder": 3,
        }
    else:
        style |= {"linestyle": "-" if kind == "line" else "none", "linewidth": 1.6}
        style |= {} if many and kind == "line" else {"marker": mark, "markersize": 4.5}
    axes.plot(curve.x, curve.y, **style)


def _bars(axes: Any, curve: Curve, position: int, count: int, colour: str) -> None:
    """Bars of one x stand side by side."""
    steps = [later - earlier for earlier, later in zip(curve.x, curve.x[1:], strict=False)]
    width = 0.8 * min(steps, default=1.0) / count
    at = [x + (position - (count - 1) / 2) * width for x in curve.x]
    face = "none" if curve.theirs else colour
    axes.bar(at, curve.y, width=width, facecolor=face, edgecolor=colour, label=_label(curve))


def _label(curve: Curve) -> str:
    return f"{curve.label} (theirs)" if curve.theirs else curve.label
