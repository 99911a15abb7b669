"""The `gossip` command. Nothing here imports trio, and what a command needs is imported when it runs."""

from __future__ import annotations

from gossip.cli.program import main

__all__ = ["main"]
