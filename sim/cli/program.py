"""From arguments to an exit status: 0 done, 1 it did not work, 2 wrong usage, 130 interrupted."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NoReturn, cast

from gossip.errors import ConfigError, GossipError

__all__ = ["main"]

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
COMMANDS = ("run", "scenarios", "fuzz", "replay", "siege", "paper", "sweep", "compare")
"""In the order of the help; each is a module of this package with a function `add`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` (the process's own when None) ask for; its exit status."""
    try:
        options = make_parser().parse_args(arguments)
        module, name = options.run.split(":")
        function = cast(
            "Callable[[argparse.Namespace], int]", getattr(import_module(f"sim.cli.{module}"), name)
        )
        status = function(options)
        sys.stdout.flush()
    except GossipError as problem:
        return _failed(str(problem), USAGE if isinstance(problem, ConfigError) else FAILED)
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has had enough. The interpreter would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as problem:
        place = f"{problem.filename}: " if problem.filename else ""
        return _failed(f"{place}{problem.strerror or problem}", FAILED)
    return status


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all others are."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with status 2."""
        self.exit(USAGE, f"gossip-sim: {message} (see `{self.prog} --help`)\n")


def make_parser() -> argparse.ArgumentParser:
    """The whole tree of commands."""
    parser = Parser(
        prog="gossip-sim",
        description="Run the real protocol in virtual time: scenarios, faults, published experiments.",
        epilog="`gossip-sim COMMAND --help` shows an example of each.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        import_module(f"sim.cli.{command}").add(commands)
    return parser


def _failed(message: str, status: int) -> int:
    print(f"gossip-sim: {message}", file=sys.stderr, flush=True)
    return status
