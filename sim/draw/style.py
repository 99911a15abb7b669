"""How plots look: one size, one palette for eyes of every kind, and files that are the same for the same run.

Colours of curves are those of Okabe and Ito (2008), "Color Universal Design": told apart with any of the
usual colour deficiencies, and by lightness where they lie side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.extras import need
from sim.results.store import whole

__all__ = ["CURVES", "LOOKS", "STATUS_COLOURS", "UNKNOWN", "as_text", "axes", "save", "styled"]

CURVES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.5)), (0, (5, 1.5, 1.5, 1.5)), "-", (0, (5, 1.5)))
LOOKS = [{"color": colour, "linestyle": dashes} for colour, dashes in zip(CURVES, DASHES, strict=True)]
"""Of curves in the same axes: where they lie on each other, both are seen."""
STATUS_COLOURS = ("#a9d3ee", "#e69f00", "#24224f", "#009e73")
"""Alive, suspect, dead, left: light, medium, dark, and a green that no mixture of the others comes near."""
UNKNOWN = "#ffffff"
INK, SOFT, GRID = "#1c2430", "#5c6775", "#e3e6ea"
WIDTH = 7.2
"""Inches; at `DPI` 1,080 pixels, which a README shows at three quarters."""
DPI = 150
SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": "#aab2bd",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "lines.linewidth": 1.7,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.dpi": DPI,
    "savefig.facecolor": "white",
    "svg.hashsalt": "gossip-sim",
    "svg.fonttype": "path",
    "path.simplify": True,
}


@contextmanager
def styled() -> Iterator[None]:
    """Figures made meanwhile look like this, whatever the user's own settings are.

    Raises:
        MissingExtraError: without matplotlib.
    """
    matplotlib = need("matplotlib")
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        yield


def as_text(name: str) -> str:
    """A name from a scenario as matplotlib shall draw it: what stands between two `$` would be TeX to it."""
    return name.replace("$", r"\$")


def axes(rows: int = 1, height: float = 3.6, **shares: Any) -> tuple[Any, list[Any]]:
    """A figure with so many axes below each other, which share their x axis."""
    figure = need("matplotlib.figure").Figure(figsize=(WIDTH, height), layout="constrained")
    made = figure.subplots(rows, 1, sharex=True, squeeze=False, gridspec_kw=shares or None)
    return figure, [row[0] for row in made]


def save(figure: Any, directory: Path, name: str) -> list[Path]:
    """Write the figure as PNG and SVG; a file is there whole or not at all.

    Raises:
        OSError: if one cannot be written, with its name.
    """
    written = []
    for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        path = directory / f"{name}.{suffix}"
        with whole(path) as partial:
            figure.savefig(partial, format=suffix, dpi=DPI, metadata=metadata)
        written.append(path)
    return written
