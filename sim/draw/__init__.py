"""Pictures of a run: plots as PNG and SVG, and one page that replays it."""

from __future__ import annotations

from sim.draw.files import DrawingInterruptedError, draw_all
from sim.draw.overlay import overlay
from sim.draw.story import Curves, curves_of

__all__ = ["Curves", "DrawingInterruptedError", "curves_of", "draw_all", "overlay"]
