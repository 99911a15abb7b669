"""The `gossip-sim` command."""

from __future__ import annotations

from sim.cli.program import main

__all__ = ["main"]
