"""The command `version`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gossip import __version__
from gossip.cli.output import say, say_json

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["version"]


def version(options: Namespace) -> int:
    """Shows the version of this program; the agent's own is in `gossip info`."""
    python = ".".join(str(part) for part in sys.version_info[:3])
    if getattr(options, "json", False):
        say_json({"version": __version__, "python": python})
    else:
        say(f"gossip {__version__} (Python {python})")
    return 0
