"""The command `agent`: the only one that loads the agent, and with it trio."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gossip.cli.output import say

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["agent"]

OURS = frozenset({"run", "parser", "config", "check"})
"""What the parser knows and the configuration does not: `check` is its word for health checks."""


def agent(options: Namespace) -> int:
    """Runs the agent of this host until it is told to stop; with `--check` only reads its configuration."""
    from gossip.config import Config, load

    flags = {name: value for name, value in vars(options).items() if name not in OURS}

    def read() -> Config:
        return load([Path(file) for file in options.config], os.environ, flags)

    config = read()
    if options.check:
        say("the configuration is valid")
        return 0
    from gossip.net.early import bind_early

    endpoints = bind_early(config.bind)
    from gossip.process import run

    return run(config, reload=read, endpoints=endpoints)
